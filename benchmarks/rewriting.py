"""What the engine costs beside the model server: `python benchmarks/rewriting.py [--units 50000] [--called 5000]`.

A journal that has all answers is written first, then replayed: nothing is called. After that a smaller number of units
is called, from a mock server in another process. Each measurement has a process of its own, so that its memory is that
of nothing else. Documents have some 390 bytes of text, answers as many.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import polars as pl

from lakehouse import identity
from lakehouse.commits import Origin
from lakehouse.generate import (
    Asking,
    Endpoint,
    Index,
    Limits,
    Model,
    Recipe,
    Recorder,
    Rewriting,
    Tools,
    Unit,
    units_of,
)
from lakehouse.generate.journal.recorder import frame_of, spool_folder
from lakehouse.generate.journal.sharing import Others
from lakehouse.generate.requests import Request
from lakehouse.lake import Lake

TABLE, MODEL, SNAPSHOT = "generations/measured", "lakehouse-mock-1", "S"
CHUNK = 512
COMMIT = 16_384  # rows, as the recorder commits them
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
_VOCABULARY = (
    "river miller valley winter bread window morning children market harvest lantern bridge forest copper letter "
    "garden sailor weaver candle orchard the of to in that was with from which they had into over after before until"
)
WORDS = _VOCABULARY.split()
ASK = "\n\n<text>\n{{ text }}\n</text>"
STEPS: list[dict[str, Any]] = [
    {"name": "question", "user": "Ask about it." + ASK},
    {"name": "answer", "user": "Answer the question: {{ question }}" + ASK},
    {"name": "check", "user": "Answer it again: {{ question }} Not: {{ answer }}" + ASK},
    {"name": "title", "user": "Name it: {{ question }} {{ answer }} {{ check }}" + ASK},
    {"name": "summary", "user": "Sum it up: {{ title }} {{ question }}" + ASK},
]


def recipe(steps: int) -> Recipe:
    """So many calls a unit, one after the other."""
    content = {
        "name": "measured",
        "purpose": "To be measured.",
        "paper": "None.",
        "units": {"document": {"max_tokens": 400}},
        "sampling": {"temperature": 0.0, "top_p": 1.0, "max_tokens": 400},
        "steps": STEPS[:steps],
        "gates": {"language": False, "length_ratio": {"max": 100.0}},
    }
    return Recipe.model_validate(content)


def text(place: int, kind: str) -> str:
    """Some 390 bytes that no other place has, and that pack about as well as prose."""
    digits = identity.hash_of(kind, place) + identity.hash_of(place, kind)
    words = [WORDS[int(digits[at : at + 2], 16) % len(WORDS)] for at in range(62)]
    return f"The {kind} of house {place} begins so: {' '.join(words)}."


def units(count: int, made: Recipe) -> Iterator[Sequence[Unit]]:
    """The units, in chunks, made as they are needed."""
    for start in range(0, count, CHUNK):
        places = range(start, min(count, start + CHUNK))
        frame = pl.DataFrame(
            {
                "doc_id": [identity.hash_of("anchor", place) for place in places],
                "snapshot": SNAPSHOT,
                "source": "raw/web",
                "language": "en",
                "depth": 0,
                "text": [text(place, "story") for place in places],
            }
        )
        yield list(units_of(frame, made))


def rewriting(root: Path, count: int, made: Recipe) -> Rewriting:
    """The recipe over so many units."""
    asking = Asking(made, {"default": Model(MODEL)})
    return Rewriting(lambda: units(count, made), asking, Index(Lake(root), TABLE), Tools())


def row_of(request: Request, place: int) -> dict[str, Any]:
    """A call that was answered."""
    return {
        **{name: getattr(request, name) for name in ("request_id", "doc_id", "snapshot", "recipe", "recipe_version")},
        **{name: getattr(request, name) for name in ("step", "model", "params_hash", "prompt_hash")},
        "status": "ok",
        "response": text(place, request.step),
        "finish_reason": "stop",
        "prompt_tokens": 110,
        "completion_tokens": 98,
        "cost_usd": Decimal(0),
        "latency_ms": 1000.0,
        "tries": 1,
        "error": None,
        "reused_from": None,
        "created_at": BEGAN + timedelta(seconds=place),
    }


def write_journal(root: Path, count: int, made: Recipe) -> int:
    """Answer every request, step after step, in commits of the usual size. How many there are."""
    lake, written = Lake(root), 0
    for _ in made.steps:
        there = rewriting(root, count, made)
        rows: list[dict[str, Any]] = []

        def commit(rows: list[dict[str, Any]]) -> None:
            with lake.writer(TABLE) as writer:
                writer.write(frame_of(rows))
            lake.append(TABLE, writer.finished(), Origin("measured", TABLE), snapshot=SNAPSHOT)

        for states in there.states():
            for state in states:
                if state.waiting:
                    rows.append(row_of(state.waiting, written))
                    written += 1
            if len(rows) >= COMMIT:
                commit(rows)
                rows = []
        commit(rows)
    return written


def replayed(root: Path, count: int, steps: int) -> dict[str, float]:
    """Read the index, replay, and make documents, with all answers there."""
    made, seconds = recipe(steps), dict[str, float]()
    began = time.perf_counter()
    there = rewriting(root, count, made)
    seconds["index"] = time.perf_counter() - began
    began = time.perf_counter()
    assert sum(len(chunk) for chunk in units(count, made)) == count
    seconds["units"] = time.perf_counter() - began
    began = time.perf_counter()
    assert there.survey().waiting == 0
    seconds["replay"] = time.perf_counter() - began
    seconds["peak of replay"] = peak()
    began = time.perf_counter()
    assert sum(laid.documents.height for laid in there.documents()) == count
    seconds["documents"] = time.perf_counter() - began
    seconds["peak"] = peak()
    return seconds


def found(root: Path, count: int, steps: int) -> dict[str, float]:
    """Find answers by their ids, a chunk at a time, in the order of the journal and in no order."""
    index = Index(Lake(root), TABLE)
    ids = Lake(root).scan(TABLE).select("request_id").collect()["request_id"]
    seconds: dict[str, float] = {}
    few = min(len(ids), 20 * CHUNK)
    for name, asked in (("in order", ids), ("in no order", ids.sort().head(few))):
        began = time.perf_counter()
        for start in range(0, len(asked), CHUNK):
            some = asked[start : start + CHUNK].to_list()
            assert len(index.find(some)) == len(some)
        seconds[name] = (time.perf_counter() - began) / len(asked)
    return seconds


def recorded(root: Path, count: int, steps: int) -> dict[str, float]:
    """Record calls four at a time, as they end."""
    (request,) = (state.waiting for chunk in rewriting(root, 1, recipe(1)).states() for state in chunk)
    assert request is not None
    rows = [row_of(request, place) for place in range(count)]
    with Recorder(Lake(root), TABLE, Origin("measured", TABLE), SNAPSHOT) as recorder:
        began = time.perf_counter()
        for start in range(0, count, 4):
            recorder.record(rows[start : start + 4])
        ended = time.perf_counter()
    return {"record": (ended - began) / count, "and commit": (time.perf_counter() - began) / count}


def called(root: Path, count: int, steps: int, base_url: str) -> dict[str, float]:
    """Call for every unit, and judge."""
    made, lake = recipe(steps), Lake(root)
    began, worked = time.perf_counter(), time.process_time()
    with Recorder(lake, TABLE, Origin("measured", TABLE), SNAPSHOT) as recorder:
        there = rewriting(root, count, made)
        run = there.run(
            {"default": Endpoint((base_url,), MODEL, max_in_flight=64)},
            recorder,
            Others(lake, TABLE),
            Limits(),
            batches=spool_folder(lake, TABLE),
        )
    assert (run.report.succeeded, run.waiting) == (count * steps, 0)
    seconds = {"called": time.perf_counter() - began, "processor": time.process_time() - worked, "peak called": peak()}
    assert sum(laid.outputs for laid in there.documents()) == count
    return seconds | {"peak": peak()}


def peak() -> float:
    """Most memory that this process has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def serve(connection: Connection) -> None:
    """A mock server, until its process ends."""
    from lakehouse.generate.mock.server import MockModel

    model = MockModel()
    connection.send(model.base_url)
    model.serve_forever()


@contextmanager
def server() -> Iterator[str]:
    """The address of a mock server in a process of its own."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs,), daemon=True)
    process.start()
    try:
        yield ours.recv()
    finally:
        process.terminate()
        process.join()


def apart(measure: Callable[..., Any], *given: Any) -> Any:
    """What a function returns in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(measure, *given).result()


def main() -> None:
    """Print a line a measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--units", type=int, default=50_000, help="that are replayed")
    parser.add_argument("--called", type=int, default=5_000, help="that are called")
    parser.add_argument("--steps", type=int, default=1, choices=range(1, len(STEPS) + 1), help="calls a unit")
    given = parser.parse_args()
    show = partial(print, flush=True)
    show(f"imports: {apart(peak):,.0f} MB")
    with tempfile.TemporaryDirectory() as folder:
        root, count, steps = Path(folder), given.units, given.steps
        rows = apart(write_journal, root / "full", count, recipe(steps))
        size = sum(file.stat().st_size for file in Lake(root / "full").files(TABLE)) / 1e6
        show(f"journal: {rows:,} answers, {size:,.0f} MB")
        time_of = apart(replayed, root / "full", count, steps)
        for name in ("index", "units", "replay", "documents"):
            show(f"{name}: {time_of[name]:,.2f} s, {time_of[name] / count * 1e6:,.0f} µs a unit")
        show(f"peak: replayed {time_of['peak of replay']:,.0f} MB, with documents {time_of['peak']:,.0f} MB")
        for name, seconds in apart(found, root / "full", count, steps).items():
            show(f"find, {name}: {seconds * 1e6:,.1f} µs an answer")
        for name, seconds in apart(recorded, root / "kept", 40_000, steps).items():
            show(f"{name}: {seconds * 1e6:,.1f} µs a call")
        if given.called:
            with server() as base_url:
                run = apart(called, root / "called", given.called, steps, base_url)
            calls = given.called * steps
            show(f"called: {calls / run['called']:,.0f} calls/s, {calls / run['processor']:,.0f} a processor second")
            show(f"peak: called {run['peak called']:,.0f} MB, with documents {run['peak']:,.0f} MB")


if __name__ == "__main__":
    main()
