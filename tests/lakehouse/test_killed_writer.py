"""Writers that are killed with -9 at 30 points of a write: the table is as it was, or as it was to be, and goes on."""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import itertools
import json
import multiprocessing
import os
import random
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from deltalake import DeltaTable

from lakehouse.commits import Commit, Origin
from lakehouse.lake import Lake

TABLE = "rejects/web"
SNAPSHOT = "s"
STAGES = ("opening", "writing", "committing", "done")
POINTS = {"opening": 2, "writing": 11, "committing": 15, "done": 2}  # 30 in all, most where it is dangerous
FILES = 5
ROWS = 2_000  # of a file
SEED = 20261121

State = dict[str, str]  # the name of what each snapshot holds


@dataclass(frozen=True)
class Point:
    """Where a writer is killed: in which stage, and after which share of the time that the stage takes."""

    stage: str
    share: float


def rejects(name: str, snapshot: str, part: int) -> pl.DataFrame:
    return pl.select(
        doc_id=pl.lit(f"{name}:{part}:") + pl.int_range(ROWS).cast(pl.String),
        snapshot=pl.lit(snapshot),
        source=pl.lit("web"),
        stage=pl.lit("record"),
        rule=pl.lit("redirect"),
        failed=pl.lit(["redirect"]),
    )


def write(root: Path, name: str, snapshot: str, stage: Any = None) -> Commit:
    """Replace a snapshot by some files of rows that bear a name; `stage` is told how far it is."""
    stage = ctypes.c_int() if stage is None else stage
    lake, files = Lake(root), []
    stage.value = 1
    for part in range(FILES):
        with lake.writer(TABLE, snapshot=snapshot, ordinal=part) as writer:
            writer.write(rejects(name, snapshot, part))
        files += writer.finished()
    stage.value = 2
    commit = lake.replace(TABLE, files, Origin(run_id=name, asset=TABLE), snapshot=snapshot)
    stage.value = 3
    return commit


def _write_slowly(root: Path, name: str, snapshot: str, stage: Any) -> None:
    write(root, name, snapshot, stage)
    signal.pause()


class Killer:
    """Starts writers and kills them; knows how long the stages of a write take here."""

    def __init__(self, root: Path) -> None:
        self.root = root
        # Threads of Polars and delta-rs don't survive a fork: writers are forked from a process that has the modules
        # and has never used them.
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["pytest", "lakehouse.lake", __name__])
        self._seconds = dict.fromkeys(STAGES, 0.001)
        for number in range(2):
            self._seconds = self._durations(f"warm-{number}")

    def kill(self, point: Point, name: str, snapshot: str = SNAPSHOT) -> str:
        """Start a writer, kill it at a point, and return the stage that it had reached."""
        writer, stage = self._start(name, snapshot)
        self._wait_for(stage, STAGES.index(point.stage))
        _sleep(point.share * self._seconds[point.stage])
        assert writer.pid is not None
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
        assert writer.exitcode == -signal.SIGKILL
        return STAGES[stage.value]

    def _durations(self, name: str) -> dict[str, float]:
        writer, stage = self._start(name, SNAPSHOT)
        reached = []
        for number in range(len(STAGES)):
            self._wait_for(stage, number)
            reached.append(time.perf_counter())
        writer.kill()
        writer.join()
        seconds = [after - before for before, after in itertools.pairwise(reached)]
        return dict(zip(STAGES, [*seconds, 0.002], strict=True))

    def _start(self, name: str, snapshot: str) -> tuple[Any, Any]:
        stage = self._context.Value(ctypes.c_int, 0, lock=False)
        writer = self._context.Process(target=_write_slowly, args=(self.root, name, snapshot, stage), daemon=True)
        writer.start()
        return writer, stage

    @staticmethod
    def _wait_for(stage: Any, number: int) -> None:
        deadline = time.perf_counter() + 30
        while stage.value < number:
            assert time.perf_counter() < deadline, "the writer does not get on"


def _sleep(seconds: float) -> None:
    # time.sleep takes too long for points that are a fraction of a millisecond apart.
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


@dataclass(frozen=True)
class Observation:
    """What became of one kill.

    Attributes:
        reached: the stage in which the writer died.
        before: the table before; `name` is what the writer was to put into the snapshot.
        found: the table afterwards, by each reader.
        newer_by: how many versions there are more than before.
        after_next: the table after the next write, which puts `<name>-next` into the snapshot.
    """

    point: Point
    reached: str
    name: str
    before: State
    found: dict[str, State]
    newer_by: int
    after_next: State


@dataclass(frozen=True)
class Aftermath:
    lake: Lake
    observations: list[Observation]


@pytest.fixture(scope="module")
def aftermath(tmp_path_factory: pytest.TempPathFactory) -> Aftermath:
    """A table whose writers were killed at 30 points, each followed by a write that was left alone."""
    root = tmp_path_factory.mktemp("killed") / "the lake"
    for snapshot in ("bystander", SNAPSHOT):
        write(root, "first", snapshot)
    killer, chance = Killer(root), random.Random(SEED)
    write(root, "first", SNAPSHOT)
    points = [Point(stage, chance.random()) for stage, count in POINTS.items() for _ in range(count)]
    chance.shuffle(points)
    observations: list[Observation] = []
    state = contents_in_lake(root)
    for number, point in enumerate(points):
        observations.append(_observe(killer, point, f"n{number}", state))
        state = observations[-1].after_next
    return Aftermath(Lake(root), observations)


def _observe(killer: Killer, point: Point, name: str, before: State) -> Observation:
    root = killer.root
    version = Lake(root).version(TABLE)
    reached = killer.kill(point, name)
    found = {reader: read(root) for reader, read in READERS.items()}
    newer_by = Lake(root).version(TABLE) - version
    write(root, f"{name}-next", SNAPSHOT)
    return Observation(point, reached, name, before, found, newer_by, contents_in_lake(root))


def contents_in_lake(root: Path) -> State:
    return _state(Lake(root).sql(f"SELECT snapshot, {_NAME} AS name, {_COUNTS} FROM rejects.web GROUP BY ALL"))


def contents_in_deltalake(root: Path) -> State:
    rows = DeltaTable(str(root / TABLE)).to_pyarrow_dataset().to_table(["snapshot", "doc_id"])
    with duckdb.connect() as connection:
        query = f"SELECT snapshot, {_NAME} AS name, {_COUNTS} FROM rows GROUP BY ALL"
        return _state(connection.from_arrow(rows).query("rows", query).pl())


def contents_in_duckdb(root: Path) -> State:
    source = f"delta_scan('{root / TABLE}')"
    return _state(_with_extension().sql(f"SELECT snapshot, {_NAME} AS name, {_COUNTS} FROM {source} GROUP BY ALL").pl())


_NAME = "split_part(doc_id, ':', 1)"
_COUNTS = "count(*) AS documents, count(DISTINCT doc_id) AS ids"


def _state(found: pl.DataFrame) -> State:
    """The name of what each snapshot holds; it holds all of it, once."""
    for row in found.iter_rows(named=True):
        assert row["documents"] == row["ids"] == FILES * ROWS, found
    state = dict(found.sort("snapshot").select("snapshot", "name").iter_rows())
    assert len(state) == len(found), f"a mixture: {found}"
    return state


def delta_extension() -> Path | None:
    """DuckDB's extension for Delta tables, from the package that has it."""
    spec = importlib.util.find_spec("duckdb_extension_delta")
    if spec is None or spec.origin is None:
        return None
    file = Path(spec.origin).parent / "extensions" / f"v{duckdb.__version__}" / "delta.duckdb_extension"
    return file if file.exists() else None


@functools.cache
def _with_extension() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.load_extension(str(DELTA_EXTENSION))
    return connection


DELTA_EXTENSION = delta_extension()
READERS = {"Lake": contents_in_lake, "deltalake": contents_in_deltalake}
if DELTA_EXTENSION:
    READERS["DuckDB"] = contents_in_duckdb


def test_the_points_are_spread_over_the_whole_write(aftermath: Aftermath) -> None:
    reached = [one.reached for one in aftermath.observations]
    assert len(reached) == 30
    assert reached.count("writing") >= 5
    assert reached.count("committing") >= 5
    assert {one.newer_by for one in aftermath.observations} == {0, 1}, "all of them died on one side of the commit"


def test_the_table_is_as_it_was_or_as_it_was_to_be(aftermath: Aftermath) -> None:
    for one in aftermath.observations:
        expected = one.before | ({SNAPSHOT: one.name} if one.newer_by else {})
        assert one.found == dict.fromkeys(READERS, expected), one.point
        assert one.newer_by == 0 if one.reached in ("opening", "writing") else one.newer_by in (0, 1)
        assert one.newer_by == 1 or one.reached != "done"
        assert expected["bystander"] == "first"


def test_the_next_write_works(aftermath: Aftermath) -> None:
    for one in aftermath.observations:
        assert one.after_next == {"bystander": "first", SNAPSHOT: f"{one.name}-next"}, one.point


def test_every_version_of_the_history_can_be_read(aftermath: Aftermath) -> None:
    lake = aftermath.lake
    commits = [commit for commit in lake.history(TABLE) if commit.asset]
    assert [commit.version for commit in commits] == list(range(len(commits), 0, -1))
    for commit in commits:
        rows = lake.scan(TABLE, version=commit.version, snapshot=commit.partition)
        names = rows.select(pl.col("doc_id").str.split(":").list.first().unique()).collect().to_series()
        assert names.to_list() == [commit.run_id]


def test_what_is_left_is_in_no_version_and_vacuum_removes_it(aftermath: Aftermath) -> None:
    lake = aftermath.lake
    there = {path.relative_to(lake.folder(TABLE)).as_posix() for path in lake.folder(TABLE).rglob("*.parquet")}
    there = {path for path in there if not path.startswith("_delta_log")}
    versions = list(range(lake.version(TABLE) + 1))
    named = {
        json.loads(line)["add"]["path"]
        for log in lake.folder(TABLE).glob("_delta_log/*.json")
        for line in log.read_text().splitlines()
        if '"add"' in line
    }
    assert named <= there
    left = there - named
    killed_with_files = [one for one in aftermath.observations if one.newer_by == 0 and one.reached != "opening"]
    assert len(left) >= len(killed_with_files) / 2

    lake.vacuum(TABLE, older_than_hours=0, keep_versions=versions)

    now = {path.relative_to(lake.folder(TABLE)).as_posix() for path in lake.folder(TABLE).rglob("snapshot=*/*")}
    assert now == named


def test_a_writer_that_dies_while_it_creates_a_table_leaves_a_lake_that_can_be_read(tmp_path: Path) -> None:
    write(tmp_path, "other", SNAPSHOT)
    lake = Lake(tmp_path)
    log = lake.folder("rejects/books") / "_delta_log"
    log.mkdir(parents=True)
    (log / "00000000000000000000.json#1").write_text('{"commitInfo":{"times')

    assert not lake.exists("rejects/books")
    assert lake.tables() == [TABLE]
    assert contents_in_lake(tmp_path) == {SNAPSHOT: "other"}
    rows = rejects("books", SNAPSHOT, 0)
    assert lake.replace_frame("rejects/books", rows, Origin(asset="rejects/books"), snapshot=SNAPSHOT).rows == ROWS
    assert lake.scan("rejects/books").collect().height == ROWS


def test_half_a_commit_is_no_version(tmp_path: Path) -> None:
    write(tmp_path, "first", SNAPSHOT)
    lake = Lake(tmp_path)
    log = lake.folder(TABLE) / "_delta_log"
    (log / "00000000000000000002.json#1").write_text((log / "00000000000000000001.json").read_text()[:500])

    assert {read(tmp_path)[SNAPSHOT] for read in READERS.values()} == {"first"}
    assert write(tmp_path, "second", SNAPSHOT).version == 2
    assert {read(tmp_path)[SNAPSHOT] for read in READERS.values()} == {"second"}


def test_a_commit_counts_though_its_checkpoint_could_not_be_written(tmp_path: Path) -> None:
    write(tmp_path, "first", SNAPSHOT)
    lake = Lake(tmp_path)
    # A file cannot be put where a folder is.
    (lake.folder(TABLE) / "_delta_log/_last_checkpoint/in the way").mkdir(parents=True)
    made = [write(tmp_path, f"n{number}", SNAPSHOT).version for number in range(12)]

    assert made == list(range(2, 14))
    assert contents_in_lake(tmp_path) == {SNAPSHOT: "n11"}
    assert lake.scan(TABLE, version=10).select(pl.col("doc_id").first()).collect().item() == "n8:0:0"
