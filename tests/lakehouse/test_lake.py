"""Versions, partitions, commits and SQL of the lake."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from lakehouse import schema
from lakehouse.commits import Origin
from lakehouse.lake import Lake, LakeError
from lakehouse.schema import TableNameError


def reject(doc_id: str, snapshot: str, rule: str = "http_status") -> dict[str, object]:
    return {
        "doc_id": doc_id,
        "snapshot": snapshot,
        "source": "web",
        "stage": "record",
        "rule": rule,
        "failed": [rule],
    }


def rejects(snapshot: str, *ids: str) -> pl.DataFrame:
    return pl.DataFrame([reject(name, snapshot) for name in ids])


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "a lake")


ORIGIN = Origin(run_id="run-1", asset="rejects/web", code_version="1-abc", config_hash="abc", inputs={"raw/web": 7})


def test_replacing_one_snapshot_leaves_the_others(lake: Lake) -> None:
    lake.replace_frame("rejects/web", rejects("2026-01", "a", "b"), ORIGIN, snapshot="2026-01")
    lake.replace_frame("rejects/web", rejects("2026-02", "c"), ORIGIN, snapshot="2026-02")
    lake.replace_frame("rejects/web", rejects("2026-01", "d"), ORIGIN, snapshot="2026-01")

    rows = lake.scan("rejects/web").select("snapshot", "doc_id").collect().rows()
    assert sorted(rows) == [("2026-01", "d"), ("2026-02", "c")]


def test_a_snapshot_can_become_empty(lake: Lake) -> None:
    lake.replace_frame("rejects/web", rejects("2026-01", "a"), ORIGIN, snapshot="2026-01")
    lake.replace_frame("rejects/web", schema.empty(schema.REJECTS), ORIGIN, snapshot="2026-01")

    assert lake.scan("rejects/web").collect().height == 0
    assert lake.sql("SELECT count(*) AS n FROM rejects.web")["n"].to_list() == [0]


def test_an_old_version_can_be_read(lake: Lake) -> None:
    first = lake.replace_frame("rejects/web", rejects("2026-01", "a", "b"), ORIGIN, snapshot="2026-01")
    lake.replace_frame("rejects/web", rejects("2026-01", "c"), ORIGIN, snapshot="2026-01")

    old = lake.scan("rejects/web", version=first.version).collect()
    assert old["doc_id"].to_list() == ["a", "b"]
    assert lake.sql("SELECT doc_id FROM rejects.web ORDER BY 1", {"rejects/web": first.version}).rows() == [
        ("a",),
        ("b",),
    ]


def test_a_commit_says_who_made_it_and_from_what(lake: Lake) -> None:
    made = lake.replace_frame("rejects/web", rejects("2026-01", "a", "b"), ORIGIN, snapshot="2026-01")

    found = lake.last_commit("rejects/web", "2026-01")
    assert found == made
    assert (made.run_id, made.asset, made.partition, made.rows) == ("run-1", "rejects/web", "2026-01", 2)
    assert made.inputs == {"raw/web": 7}
    assert made.data_version == f"{made.table_id[:8]}@{made.version}"
    row = lake.sql("SELECT * FROM lake.versions WHERE version = 1").to_dicts()[0]
    assert (row["table"], row["run_id"], row["inputs"], row["rows"]) == ("rejects/web", "run-1", '{"raw/web": 7}', 2)


def test_the_last_commit_of_a_snapshot_is_not_another_snapshots(lake: Lake) -> None:
    first = lake.replace_frame("rejects/web", rejects("2026-01", "a"), ORIGIN, snapshot="2026-01")
    second = lake.replace_frame("rejects/web", rejects("2026-02", "b"), ORIGIN, snapshot="2026-02")

    assert lake.last_commit("rejects/web", "2026-01") == first
    assert lake.last_commit("rejects/web") == second
    assert lake.last_commit("rejects/web", "2026-03") is None
    assert lake.last_commit("rejects/books") is None


def test_rows_of_another_snapshot_are_refused(lake: Lake) -> None:
    with pytest.raises(ValueError, match="rows of snapshot '2026-02' in a file of snapshot '2026-01'"):
        lake.replace_frame("rejects/web", rejects("2026-02", "a"), ORIGIN, snapshot="2026-01")
    assert not list(lake.root.rglob("*.parquet"))


def test_rows_that_do_not_fit_the_schema_are_refused(lake: Lake) -> None:
    rows = rejects("2026-01", "a")
    with pytest.raises(ValueError, match="'stage' must not be null"):
        lake.replace_frame("rejects/web", rows.with_columns(stage=pl.lit(None, pl.String)), ORIGIN, snapshot="2026-01")
    with pytest.raises(ValueError, match="not in the schema"):
        lake.replace_frame("rejects/web", rows.with_columns(stages=pl.lit("a")), ORIGIN, snapshot="2026-01")


@pytest.mark.parametrize(
    "table", ["raw", "raw/../x", "raw/Web", "rew/web", "raw/a/b/c", "raw/we b", "raw/a__b", "/raw/web"]
)
def test_no_table_name_leaves_the_lake(lake: Lake, table: str) -> None:
    with pytest.raises(TableNameError):
        lake.folder(table)


@pytest.mark.parametrize("snapshot", ["../x", "", "a/b", "2026 01", "-x", "x" * 80])
def test_no_snapshot_name_leaves_the_table(lake: Lake, snapshot: str) -> None:
    with pytest.raises(TableNameError):
        lake.writer("rejects/web", snapshot=snapshot)


def test_a_missing_table_or_version_is_one_clear_line(lake: Lake) -> None:
    lake.replace_frame("rejects/web", rejects("2026-01", "a"), ORIGIN, snapshot="2026-01")
    with pytest.raises(LakeError, match=r"There is no table 'raw/web' .* Tables: rejects/web\."):
        lake.scan("raw/web")
    with pytest.raises(LakeError, match="rejects/web has no version 9"):
        lake.scan("rejects/web", version=9)


def test_rows_come_back_in_the_order_of_the_units_whoever_wrote_them_first(lake: Lake) -> None:
    writers = [lake.writer("rejects/web", snapshot="2026-01", ordinal=ordinal) for ordinal in (2, 0, 1)]
    for writer, name in zip(writers, ["third", "first", "second"], strict=True):
        writer.write(rejects("2026-01", name))
        writer.close()
    lake.replace("rejects/web", [file for writer in writers for file in writer.finished()], ORIGIN, snapshot="2026-01")

    assert lake.scan("rejects/web").collect()["doc_id"].to_list() == ["first", "second", "third"]
    assert lake.history("rejects/web")[0].rows == 3


def test_long_rows_are_fewer_to_a_row_group(lake: Lake) -> None:
    with lake.writer("rejects/web", snapshot="s1") as writer:
        for number in range(40):
            long = rejects("s1", f"d{number}").with_columns(evidence=pl.lit("x" * 4_000_000))
            writer.write(long)
    (file,) = writer.finished()
    parquet = pq.ParquetFile(lake.folder("rejects/web") / file.path)
    # 64 MiB are 16.8 of these rows.
    assert [parquet.metadata.row_group(group).num_rows for group in range(parquet.num_row_groups)] == [17, 17, 6]


def test_snapshots_that_look_like_dates_stay_text_in_sql(lake: Lake) -> None:
    lake.replace_frame("rejects/web", rejects("2026-01-01", "a"), ORIGIN, snapshot="2026-01-01")
    assert lake.sql("SELECT snapshot FROM rejects.web")["snapshot"].to_list() == ["2026-01-01"]


def test_the_tables_of_a_layer_can_be_asked_together(lake: Lake) -> None:
    lake.replace_frame("rejects/web", rejects("2026-01", "a"), ORIGIN, snapshot="2026-01")
    lake.replace_frame("rejects/web_clean", rejects("2026-01", "b"), ORIGIN, snapshot="2026-01")

    rows = lake.sql('SELECT "table", doc_id FROM lake.rejects ORDER BY ALL').rows()
    assert rows == [("rejects/web", "a"), ("rejects/web_clean", "b")]
    assert lake.sql("SELECT count(*) AS n FROM lake.shards")["n"].to_list() == [0]


def test_two_writers_of_different_snapshots_lose_nothing(lake: Lake) -> None:
    lake.replace_frame("rejects/web", rejects("s00", "first"), ORIGIN, snapshot="s00")
    failures: list[LakeError] = []

    def write(number: int) -> None:
        try:
            for part in range(4):
                name = f"s{number}{part}"
                lake.replace_frame("rejects/web", rejects(name, name), ORIGIN, snapshot=name)
        except LakeError as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert not failures
    expected = {"first"} | {f"s{number}{part}" for number in (1, 2) for part in range(4)}
    assert set(lake.scan("rejects/web").collect()["doc_id"]) == expected


def test_what_another_writer_put_into_the_same_snapshot_is_not_overwritten_unseen(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake.replace_frame("rejects/web", rejects("s", "first"), ORIGIN, snapshot="s")
    opened = Lake._create
    other = Origin(run_id="run-2", asset="rejects/web")

    def open_then_lose_the_race(self: Lake, *arguments: object) -> DeltaTable:
        delta = opened(self, *arguments)  # type: ignore[arg-type]
        monkeypatch.undo()
        lake.replace_frame("rejects/web", rejects("s", "theirs"), other, snapshot="s")
        return delta

    monkeypatch.setattr(Lake, "_create", open_then_lose_the_race)
    with pytest.raises(LakeError, match=r"run run-2 wrote snapshot s at the same time \(version 2\)"):
        lake.replace_frame("rejects/web", rejects("s", "ours"), ORIGIN, snapshot="s")
    assert lake.scan("rejects/web").collect()["doc_id"].to_list() == ["theirs"]


def test_vacuum_removes_what_a_crash_left_and_keeps_pinned_versions(lake: Lake) -> None:
    pinned = lake.replace_frame("rejects/web", rejects("s", "pinned"), ORIGIN, snapshot="s")
    lake.replace_frame("rejects/web", rejects("s", "dropped"), ORIGIN, snapshot="s")
    lake.replace_frame("rejects/web", rejects("s", "newest"), ORIGIN, snapshot="s")
    with lake.writer("rejects/web", snapshot="s", ordinal=9) as writer:
        writer.write(rejects("s", "never committed"))
    left_behind = lake.folder("rejects/web") / writer.finished()[0].path
    os.utime(left_behind, (0, 0))

    lake.vacuum("rejects/web", older_than_hours=0, keep_versions=[pinned.version])

    assert not left_behind.exists()
    assert lake.scan("rejects/web").collect()["doc_id"].to_list() == ["newest"]
    assert lake.scan("rejects/web", version=pinned.version).collect()["doc_id"].to_list() == ["pinned"]
    with pytest.raises(FileNotFoundError):
        lake.scan("rejects/web", version=2).collect()


def test_a_writer_that_is_killed_leaves_the_table_as_it_was(lake: Lake) -> None:
    lake.replace_frame("rejects/web", rejects("s", "before"), ORIGIN, snapshot="s")
    script = f"""
import os, signal, sys
import polars as pl
from lakehouse.lake import Lake
rows = pl.DataFrame({[reject("after", "s")]!r})
with Lake({str(lake.root)!r}).writer("rejects/web", snapshot="s") as writer:
    writer.write(rows)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", script], check=False)
    assert done.returncode == -signal.SIGKILL

    assert lake.scan("rejects/web").collect()["doc_id"].to_list() == ["before"]
    assert len(list(lake.folder("rejects/web").rglob("*.parquet"))) == 2


def test_plain_delta_readers_see_the_same_rows(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")  # Polars' own reader of Delta tables fails below a path with a space
    lake.replace_frame("rejects/web", rejects("2026-01", "a", "b"), ORIGIN, snapshot="2026-01")
    table = DeltaTable(str(lake.folder("rejects/web")))
    protocol = table.protocol()

    assert (protocol.min_reader_version, protocol.reader_features) == (1, None)
    assert sorted(table.to_pyarrow_dataset().to_table()["doc_id"].to_pylist()) == ["a", "b"]
    assert pl.read_delta(str(lake.folder("rejects/web")))["snapshot"].to_list() == ["2026-01", "2026-01"]


def test_the_views_can_be_kept_in_a_file(lake: Lake, tmp_path: Path) -> None:
    lake.replace_frame("rejects/web", rejects("s", "a"), ORIGIN, snapshot="s")
    lake.connect(database=tmp_path / "file.duckdb").close()
    with duckdb.connect(str(tmp_path / "file.duckdb"), read_only=True) as connection:
        assert connection.execute("SELECT doc_id FROM rejects.web").fetchall() == [("a",)]


def test_a_root_that_cannot_hold_a_lake_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LakeError, match="is a file"):
        Lake(tmp_path / "file")
    with pytest.raises(LakeError, match="only local folders"):
        Lake("s3://bucket/lake")
    with pytest.raises(LakeError, match="must not contain"):
        Lake(tmp_path / "a*b")


def test_a_column_that_is_added_or_left_out_later_is_null_where_it_was_not_written(lake: Lake) -> None:
    def write(snapshot: str, **values: float) -> None:
        columns = schema.annotation_schema([pa.field(name, pa.float64()) for name in values])
        frame = pl.DataFrame([{"doc_id": f"of {snapshot}", "snapshot": snapshot, **values}])
        lake.replace_frame("annotations/web/scores", frame, ORIGIN, snapshot=snapshot, columns=columns)

    write("s1", quality=0.5)
    first = lake.version("annotations/web/scores")
    write("s2", quality=0.6, education=2.0)
    write("s3", education=3.0)
    expected = [("of s1", 0.5, None), ("of s2", 0.6, 2.0), ("of s3", None, 3.0)]
    query = "SELECT doc_id, quality, education FROM annotations.web__scores ORDER BY ALL"
    assert lake.sql(query).rows() == expected
    scanned = lake.scan("annotations/web/scores").select("doc_id", "quality", "education").sort("doc_id").collect()
    assert scanned.rows() == expected
    old = lake.scan("annotations/web/scores", version=first).collect()
    assert old.columns == ["doc_id", "snapshot", "quality"]
    # No file of this snapshot has the column.
    assert lake.scan("annotations/web/scores", snapshot="s1").collect()["education"].to_list() == [None]
