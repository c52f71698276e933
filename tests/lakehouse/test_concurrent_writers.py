"""Two processes write one table at the same time: nothing is lost, nothing is mixed, and who loses is told."""

from __future__ import annotations

import multiprocessing
import random
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from deltalake import DeltaTable

from lakehouse import schema
from lakehouse.commits import Origin
from lakehouse.lake import Lake, LakeError

TABLE = "rejects/web"
JOURNAL = "generations/recipe"
ROUNDS = 20
Step = Callable[[Lake, int, int], int]  # a lake, the writer's number, the round: the version that was made
State = dict[str, list[str]]  # the ids of each snapshot


@dataclass(eq=False)
class Outcome:
    """What one writer did in one round: the version it built on first, and the version it made or what it was told."""

    number: int
    turn: int
    base: int | None = None
    version: int | None = None
    refusal: str | None = None


@dataclass
class Race:
    """The outcomes of both writers, a list of rounds each."""

    outcomes: list[list[Outcome]] = field(default_factory=list)

    @property
    def meetings(self) -> list[tuple[Outcome, Outcome]]:
        """The rounds in which both built on the same version, so that only one of them could be the next."""
        return [(a, b) for a, b in zip(*self.outcomes, strict=True) if a.base == b.base]

    @property
    def refusals(self) -> list[str]:
        return [outcome.refusal for writer in self.outcomes for outcome in writer if outcome.refusal]


class Writers:
    """Two processes that wait for steps to race each other in."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._barrier = context.Barrier(2)  # it is gone when nobody in this process has it
        self._ends: list[Connection] = []
        for number in (0, 1):
            ours, theirs = context.Pipe()
            context.Process(target=_write, args=(number, self._barrier, theirs), daemon=True).start()
            theirs.close()
            self._ends.append(ours)

    def race(self, root: Path, first: Step, second: Step) -> Race:
        """Let both go through the rounds, each round begun by both at once."""
        for end, step in zip(self._ends, (first, second), strict=True):
            end.send((root, step))
        found = [end.recv() for end in self._ends]
        broken = [outcomes for outcomes in found if isinstance(outcomes, str)]
        assert not broken, broken[0]
        return Race(found)

    def close(self) -> None:
        for end in self._ends:
            end.close()


def _write(number: int, barrier: Barrier, requests: Connection) -> None:
    commit = DeltaTable.create_write_transaction
    outcome = Outcome(number, -1)

    def watched(delta: DeltaTable, *arguments: Any, **options: Any) -> None:
        if outcome.base is None:
            outcome.base = delta.version()
        commit(delta, *arguments, **options)

    pytest.MonkeyPatch().setattr(DeltaTable, "create_write_transaction", watched)
    while True:
        try:
            root, step = requests.recv()
        except EOFError:
            return
        lake, outcomes = Lake(root), []
        try:
            for turn in range(ROUNDS):
                outcome = Outcome(number, turn)
                outcomes.append(outcome)
                barrier.wait(60)
                time.sleep(random.uniform(0, 0.002))  # or one of them is always the first
                try:
                    outcome.version = step(lake, number, turn)
                except LakeError as error:
                    outcome.refusal = str(error)
            requests.send(outcomes)
        except Exception:
            barrier.abort()
            requests.send(traceback.format_exc())
            raise


@pytest.fixture(scope="module")
def writers() -> Iterator[Writers]:
    both = Writers()
    yield both
    both.close()


def rejects(snapshot: str, *ids: str) -> pl.DataFrame:
    rows = {"source": "web", "stage": "record", "rule": "redirect", "failed": ["redirect"], "snapshot": snapshot}
    return pl.DataFrame([{"doc_id": name, **rows} for name in ids])


def calls(*ids: str) -> pl.DataFrame:
    names = ("doc_id", "snapshot", "recipe", "recipe_version", "model", "params_hash", "prompt_hash", "status")
    rows = [{"request_id": one, **dict.fromkeys(names, "x"), "created_at": 0} for one in ids]
    return pl.DataFrame(rows).with_columns(pl.col("created_at").cast(pl.Datetime("us", "UTC")))


def origin(number: int, *ids: str) -> Origin:
    return Origin(run_id=f"writer {number}", asset=TABLE, details={"ids": ids})


def replace(lake: Lake, number: int, snapshot: str, turn: int) -> int:
    """Replace a snapshot by two files with a row each."""
    ids, files = [f"{number}-{turn}-{part}" for part in "ab"], []
    for ordinal, name in enumerate(ids):
        with lake.writer(TABLE, snapshot=snapshot, ordinal=ordinal) as writer:
            writer.write(rejects(snapshot, name))
        files += writer.finished()
    return lake.replace(TABLE, files, origin(number, *ids), snapshot=snapshot).version


def replace_own_snapshot(lake: Lake, number: int, turn: int) -> int:
    return replace(lake, number, f"{number}-{turn % 4}", turn)


def replace_one_snapshot(lake: Lake, number: int, turn: int) -> int:
    return replace(lake, number, "s", turn)


def fill_new_snapshot(lake: Lake, number: int, turn: int) -> int:
    return replace(lake, number, f"s{turn}", turn)


def append_call(lake: Lake, number: int, turn: int) -> int:
    name = f"{number}-{turn}"
    return lake.append_frame(JOURNAL, calls(name), origin(number, name), snapshot="s").version


def replace_journal(lake: Lake, number: int, turn: int) -> int:
    name = f"{number}-{turn}"
    return lake.replace_frame(JOURNAL, calls(name), origin(number, name)).version


def create_table(lake: Lake, number: int, turn: int) -> int:
    snapshot = f"s{number}"
    frame = rejects(snapshot, f"{number}-{turn}")
    return lake.replace_frame(f"rejects/t{turn}", frame, origin(number), snapshot=snapshot).version


def add_columns(lake: Lake, number: int, turn: int) -> int:
    snapshot, name = f"s{number}", f"score_{turn}"
    columns = schema.annotation_schema([pa.field(name, pa.int64())])
    frame = pl.DataFrame([{"doc_id": f"{number}", "snapshot": snapshot, name: turn}])
    return lake.replace_frame(
        "annotations/web/scores", frame, origin(number), snapshot=snapshot, columns=columns
    ).version


def assert_each_version_is_the_one_before_and_one_commit(root: Path, commits: int) -> None:
    """Replay the log: a snapshot has the rows of its last commit, whoever wrote before, after or meanwhile."""
    lake, state = Lake(root), State()
    history = [commit for commit in reversed(lake.history(TABLE)) if commit.asset]
    assert [commit.version for commit in history] == list(range(1, commits + 1))
    for commit in history:
        state[str(commit.partition)] = commit.details["ids"]
        rows = lake.scan(TABLE, version=commit.version).select("snapshot", "doc_id").collect()
        found = {key[0]: part["doc_id"].to_list() for key, part in rows.group_by("snapshot")}
        assert found == state, f"version {commit.version}"


def test_writers_of_different_snapshots_lose_nothing(writers: Writers, tmp_path: Path) -> None:
    race = writers.race(tmp_path, replace_own_snapshot, replace_own_snapshot)

    assert race.refusals == []
    assert len(race.meetings) > ROUNDS // 5, "they hardly met"
    made = [outcome.version for writer in race.outcomes for outcome in writer]
    assert sorted(made, key=int) == list(range(1, 2 * ROUNDS + 1))  # type: ignore[arg-type]
    assert_each_version_is_the_one_before_and_one_commit(tmp_path, commits=2 * ROUNDS)


@pytest.mark.parametrize("step", [replace_one_snapshot, fill_new_snapshot])
def test_of_two_writers_of_one_snapshot_one_wins_and_the_other_is_told(
    writers: Writers, tmp_path: Path, step: Step
) -> None:
    Lake(tmp_path).replace_frame(
        TABLE, rejects("s", "before"), Origin(asset=TABLE, details={"ids": ["before"]}), snapshot="s"
    )
    race = writers.race(tmp_path, step, step)

    assert len(race.meetings) > ROUNDS // 5, "they hardly met"
    for pair in race.meetings:
        (winner,) = [outcome for outcome in pair if outcome.version is not None]
        (loser,) = [outcome for outcome in pair if outcome.refusal is not None]
        snapshot = "s" if step is replace_one_snapshot else f"s{loser.turn}"
        assert loser.refusal == (
            f"{TABLE}: run writer {winner.number} wrote snapshot {snapshot} at the same time "
            f"(version {winner.version}). Its rows stand, these were not written: build again."
        )
    made = [outcome for writer in race.outcomes for outcome in writer if outcome.version is not None]
    assert len(made) + len(race.refusals) == 2 * ROUNDS
    assert_each_version_is_the_one_before_and_one_commit(tmp_path, commits=len(made) + 1)


def test_calls_are_appended_while_the_journal_is_replaced(writers: Writers, tmp_path: Path) -> None:
    race = writers.race(tmp_path, append_call, replace_journal)
    appended, replaced = race.outcomes

    assert len(race.meetings) > ROUNDS // 5, "they hardly met"
    assert [outcome.refusal for outcome in appended] == [None] * ROUNDS
    assert all("run writer 0 wrote the table at the same time" in message for message in race.refusals)
    last = max((outcome.version for outcome in replaced if outcome.version is not None), default=0)
    state = [f"1-{turn}" for turn, outcome in enumerate(replaced) if outcome.version == last]
    state += [f"0-{turn}" for turn, outcome in enumerate(appended) if (outcome.version or 0) > last]
    assert sorted(Lake(tmp_path).scan(JOURNAL).collect()["request_id"]) == sorted(state)


def test_writers_that_append_at_once_lose_nothing(writers: Writers, tmp_path: Path) -> None:
    race = writers.race(tmp_path, append_call, append_call)

    assert race.refusals == []
    assert len(race.meetings) > ROUNDS // 5, "they hardly met"
    expected = {f"{number}-{turn}" for number in (0, 1) for turn in range(ROUNDS)}
    found = Lake(tmp_path).scan(JOURNAL).collect()["request_id"].to_list()
    assert len(found) == len(expected)
    assert set(found) == expected


def test_a_table_that_two_writers_create_is_created_once(writers: Writers, tmp_path: Path) -> None:
    race = writers.race(tmp_path, create_table, create_table)

    assert race.refusals == []
    lake = Lake(tmp_path)
    for turn in range(ROUNDS):
        table = f"rejects/t{turn}"
        assert sorted(lake.scan(table).collect()["doc_id"]) == [f"0-{turn}", f"1-{turn}"]
        operations = [entry["operation"] for entry in DeltaTable(str(lake.folder(table))).history()]
        assert operations.count("CREATE TABLE") == 1, "it got a second id"


def test_two_writers_that_bring_a_new_column_lose_nothing(writers: Writers, tmp_path: Path) -> None:
    race = writers.race(tmp_path, add_columns, add_columns)

    assert race.refusals == []
    found = Lake(tmp_path).scan("annotations/web/scores").select("doc_id", f"score_{ROUNDS - 1}").sort("doc_id")
    assert found.collect().rows() == [("0", ROUNDS - 1), ("1", ROUNDS - 1)]
