"""The engine held against a server with faults, and against being killed.

    python tests/engine.py faults --units 20000 --rate 0.1 --seed 1
    python tests/engine.py kills --kills 20 --seed 1

The tests run both in small. A promise that is broken ends the command with exit status 1.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

# This folder has a folder `lakehouse` of its own, which is no package.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import polars as pl
from engine_at_work import PLAIN, TABLE, Engine, at_server, chain

from lakehouse.generate.calls import lane
from lakehouse.generate.calls.budget import Limits
from lakehouse.generate.errors import GenerationError
from lakehouse.generate.journal import recorder as journal_recorder
from lakehouse.generate.journal.recorder import spool_folder
from lakehouse.generate.mock.faults import Faults
from lakehouse.generate.mock.server import MockModel
from lakehouse.generate.recipe import Recipe

GATE_OF = {
    "truncated": "finish_reason",
    "refusals": "refusal",
    "prefaces": "preface",
    "wrong_language": "language",
    "empty": "empty",
}
IN_FLIGHT = 16
"""Calls under way at once in a process that is killed."""


class BrokenPromiseError(AssertionError):
    """The engine did what it must never do."""


def must(holds: bool, otherwise: str) -> None:
    """Raise unless something holds.

    Raises:
        BrokenPromiseError: it does not.
    """
    if not holds:
        raise BrokenPromiseError(otherwise)


@contextmanager
def hasty_retries() -> Iterator[None]:
    """Tries that follow each other soon: a test has no server to be kind to."""
    with patch.object(lane, "_FIRST_DELAY", 0.01), patch.object(lane, "_LONGEST_DELAY", 0.05):
        yield


def server_faults(rate: float, seed: int, **kinds: float) -> Faults:
    """Faults of all kinds that don't take long."""
    return replace(Faults.evenly(rate, seed=seed, **kinds), retry_after=0.02, slowness=0.05)


def check_faults(folder: Path, recipe: Recipe, units: int, *, rate: float, seed: int, timeout: float) -> dict[str, int]:
    """Run a recipe against a server with faults of all kinds, and hold the outcome against a run without any.

    Returns:
        How many units were accepted, were rejected, had bad answers, were accepted all the same; and how many calls
        there were.

    Raises:
        BrokenPromiseError: a unit is lost, a call was repeated that had succeeded, or an outcome is another one.
    """
    faults = server_faults(rate, seed)
    quiet, hit = Engine(folder / "quiet", recipe, units), Engine(folder / "hit", recipe, units)
    with MockModel() as model:
        quiet.run(model.base_url)
    with MockModel(faults=faults) as model, hasty_retries():
        run = hit.run(model.base_url, timeout=timeout)
        must(run.report.tries == model.calls, f"{run.report.tries} tries are reported, {model.calls} were made")
        # Answers that were cut off are asked for again by the second run, and by no third.
        waiting = [hit.run(model.base_url, timeout=timeout).waiting for _ in range(2)]
        answers, calls = model.answers_of, model.calls
        must(hit.run(model.base_url, timeout=timeout).report.tries == 0, "a run with nothing to do made calls")
    must(run.report.failed == 0, f"{run.report.failed} calls failed")
    must(waiting == [0, 0], f"{waiting} units wait after a second and a third run")
    _check_answered_once(hit, answers, faults)
    spoilt = hit.spoilt(faults)
    documents, judgements = hit.outcome()
    _check_every_unit_ended(judgements, units)
    _check_same(quiet.outcome(), (documents, judgements), spoilt)
    passed = _check_bad_answers(judgements, spoilt, recipe)
    return {
        "accepted": judgements.filter("accepted").height,
        "rejected": judgements.filter(~pl.col("accepted")).height,
        "spoilt": len(spoilt),
        "spoilt and accepted": passed,
        "requests": len(answers),
        "calls": calls,
    }


def _check_answered_once(engine: Engine, answers: Mapping[str, int], faults: Faults) -> None:
    """Only what was cut off is answered twice; the journal has a row for each answer."""
    rows = Counter(engine.journal()["request_id"])
    requests = engine.requests()
    must(
        {one.request_id for one in requests} == rows.keys(), "the journal's requests are others than those of the units"
    )
    for request in requests:
        most = 2 if faults.of(request.messages[-1]["content"]) == "truncated" else 1
        answered = answers.get(at_server(request), 0)
        must(answered == most, f"{request.request_id} ({request.step}) was answered {answered} times")
        must(rows[request.request_id] == most, f"{request.request_id} has {rows[request.request_id]} rows")


def _check_every_unit_ended(judgements: pl.DataFrame, units: int) -> None:
    """Every unit is accepted, or rejected by a gate that is named."""
    must(judgements["unit_id"].n_unique() == judgements.height == units, f"{units} units, {judgements.height} outcomes")
    without = judgements.filter(~pl.col("accepted") & pl.col("gate").is_null()).height
    must(without == 0, f"{without} units are rejected without a reason")


def _check_same(
    quiet: tuple[pl.DataFrame, pl.DataFrame], hit: tuple[pl.DataFrame, pl.DataFrame], spoilt: Mapping[str, Any]
) -> None:
    """But for units with bad answers, the outcome is that of a run without faults, row for row."""
    is_spoilt = pl.col("unit_id").is_in(list(spoilt))
    one, other = (judgements.filter(~is_spoilt) for _, judgements in (quiet, hit))
    must(one.equals(other), "faults of the server change what is judged")
    anchors = quiet[1].filter(is_spoilt)["parents"].explode().implode()
    of_spoilt = pl.col("parents").list.first().is_in(anchors)
    one, other = (documents.filter(~of_spoilt) for documents, _ in (quiet, hit))
    must(one.equals(other), "faults of the server change documents")


def _check_bad_answers(
    judgements: pl.DataFrame, spoilt: Mapping[str, Sequence[tuple[str, str]]], recipe: Recipe
) -> int:
    """Units with bad answers are rejected; where there is one step, by the gate that is there for it.

    Returns:
        How many were accepted all the same: of several steps one may announce an answer that agrees with another.
    """
    gates, accepted = dict(judgements.select("unit_id", "gate").iter_rows()), 0
    for unit_id, bad in spoilt.items():
        gate = gates[unit_id]
        if len(recipe.steps) == 1:
            must(gate == GATE_OF[bad[0][1]], f"unit {unit_id} has {bad} and is rejected by {gate}")
        elif gate is None:
            must({fault for _, fault in bad} == {"prefaces"}, f"unit {unit_id} is accepted with {bad}")
            accepted += 1
    return accepted


def check_error_budget(folder: Path, units: int, *, seed: int) -> int:
    """Run a recipe against a server that fails for long, with resumes after every stop by the error budget.

    Returns:
        How often the run was stopped.

    Raises:
        BrokenPromiseError: the outcome is another one than without faults, or a call was repeated that had succeeded.
    """
    # A request fails thrice, but is tried twice in a run: it is answered in the second.
    faults = replace(server_faults(0.0, seed, server_errors=0.08, malformed_json=0.04, unavailable=0.03), times=3)
    quiet, hit = Engine(folder / "quiet", PLAIN, units), Engine(folder / "hit", PLAIN, units)
    stops = 0
    with MockModel() as model:
        quiet.run(model.base_url)
    with MockModel(faults=faults) as model, hasty_retries():
        while True:
            before = Counter(hit.journal().filter(pl.col("status") == "ok")["request_id"])
            try:
                run = hit.run(model.base_url, Limits(error_budget=units // 25), max_retries=1)
            except GenerationError as error:
                must("calls failed" in str(error), f"another error: {error}")
                stops += 1
                must(stops <= 50, "resumes make no progress")
            else:
                if not run.report.failed:
                    break
            after = Counter(hit.journal().filter(pl.col("status") == "ok")["request_id"])
            must(before <= after, "a stop lost answers")
        answers = model.answers_of
    must(stops > 0, "the error budget was never exceeded")
    must(set(answers.values()) == {1}, "a call was repeated that had succeeded")
    _check_same(quiet.outcome(), hit.outcome(), {})
    return stops


def check_kills(folder: Path, recipe: Recipe, units: int, *, kills: int, seed: int) -> dict[str, int]:
    """Kill a run at random points, resume it until it ends, and hold the outcome against an undisturbed run.

    A call may be made again only if it was under way at a kill: a request that the killed process had sent, and whose
    answer was not on disk.

    Returns:
        How many requests there are, calls were made, were under way at kills, and how often a run was killed.

    Raises:
        BrokenPromiseError: a call was repeated without such a reason, or a row is lost, doubled or another one.
    """
    quiet, hit = Engine(folder / "quiet", recipe, units), Engine(folder / "hit", recipe, units)
    with MockModel() as model:
        quiet.run(model.base_url)
    requests = {one.request_id: at_server(one) for one in quiet.requests()}
    dice = random.Random(seed)
    # Not among the last requests: on a fast machine the run would end before it is killed.
    points = sorted(dice.randrange(len(requests) * 2 // 3) for _ in range(kills))
    killed, under_way = 0, Counter[str]()
    with MockModel(delay=0.05) as model:
        for point in [*points, None]:
            calls, recorded = Counter(model.calls_of), {requests[one] for one in hit.journal()["request_id"]}
            wait = dice.uniform(0, 0.15)
            ended = _live(hit, model, None if point is None else point + sum(under_way.values()), wait)
            _settle(model)
            sent = Counter(model.calls_of) - calls
            must(not sent or set(sent.values()) == {1}, "a process made a call twice")
            must(not sent.keys() & recorded, "a call was made again whose answer was on disk")
            lost = sent.keys() - {requests[one] for one in hit.journal()["request_id"]}
            must(len(lost) <= IN_FLIGHT, f"{len(lost)} calls were under way at a kill, {IN_FLIGHT} may be")
            must(not (ended and lost), "a run that ended has calls that are not on disk")
            killed += not ended
            under_way.update(lost)
            if ended:
                break
        made = Counter(model.calls_of)
    must(killed == kills, f"{killed} of {kills} kills came before the end")
    must(made == Counter(requests.values()) + under_way, "calls made are not those that are needed and those lost")
    table = hit.lake.scan(TABLE).collect()
    must(sorted(table["request_id"]) == sorted(requests), "rows of the journal are lost or doubled")
    must(not list(spool_folder(hit.lake, TABLE).glob("*.jsonl")), "rows wait for ever to become part of the table")
    _check_same(quiet.outcome(), hit.outcome(), {})
    return {"requests": len(requests), "calls": made.total(), "under way": under_way.total(), "kills": killed}


def _live(engine: Engine, model: MockModel, point: int | None, wait: float) -> bool:
    """A process that runs the engine, killed a while after the server had so many calls. Whether it came to its end."""
    process = start(engine, model.base_url)
    while point is not None and process.is_alive():
        if model.calls > point:
            time.sleep(wait)
            process.kill()
            break
        time.sleep(0.002)
    process.join()
    must(process.exitcode in (0, -signal.SIGKILL), f"the process ended with {process.exitcode}")
    return process.exitcode == 0


def start(engine: Engine, base_url: str, *, batch: bool = False) -> BaseProcess:
    """A process that runs the engine to its end."""
    # Forked from a process that has imported everything and done nothing: importing takes longer than a run.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["engine_at_work", "lakehouse.generate.calls.chat"])
    process = context.Process(target=_run, args=(engine.root, engine.recipe, engine.count, base_url, batch))
    process.start()
    return process


def _run(root: Path, recipe: Recipe, units: int, base_url: str, batch: bool) -> None:
    # Small commits, so that many kills meet one.
    with patch.object(journal_recorder, "_COMMIT_ROWS", 64):
        Engine(root, recipe, units).run(base_url, max_in_flight=IN_FLIGHT, batch=batch)


def _settle(model: MockModel) -> None:
    """Wait until the server has read what a killed process sent."""
    calls = -1
    while calls != model.calls:
        calls = model.calls
        time.sleep(0.05)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    faults = commands.add_parser("faults", help="faults of all kinds")
    faults.add_argument("--units", type=int, default=20_000)
    faults.add_argument("--rate", type=float, default=0.1, help="share of all prompts that meet a fault")
    kills = commands.add_parser("kills", help="kill -9 at random points")
    kills.add_argument("--kills", type=int, default=20)
    kills.add_argument("--units", type=int, default=1_000)
    for command in (faults, kills):
        command.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def main() -> None:
    """The command line; see above."""
    given = _arguments()
    began = time.monotonic()
    with TemporaryDirectory(prefix="lakehouse-engine-") as folder:
        try:
            for recipe in (PLAIN, chain()):
                root = Path(folder) / recipe.name
                if given.command == "faults":
                    found = check_faults(root, recipe, given.units, rate=given.rate, seed=given.seed, timeout=5.0)
                else:
                    found = check_kills(root, recipe, given.units, kills=given.kills, seed=given.seed)
                print(f"{recipe.name}: " + ", ".join(f"{count:,} {name}" for name, count in found.items()), flush=True)
            if given.command == "faults":
                stops = check_error_budget(Path(folder) / "budget", given.units, seed=given.seed)
                print(f"error budget: stopped {stops} times")
        except BrokenPromiseError as error:
            sys.exit(f"engine.py: {error}")
    print(f"Every promise holds: {time.monotonic() - began:.0f} s.")


if __name__ == "__main__":
    main()
