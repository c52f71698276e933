"""What each version was made from, directly and in the end, in SQL."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from pathlib import Path

import duckdb
import polars as pl
import pytest
from archives import small_web, write_archive
from lakes import build

from lakehouse import lineage, schema
from lakehouse.commits import Origin, versions_frame
from lakehouse.lake import Lake
from lakehouse.views import copy_rows, create_layer_view

Made = tuple[str, int, str | None]
"""Table, version and snapshot of a commit."""


def connection_of(log: Iterable[tuple[str, int, str | None, dict[str, int] | str]]) -> duckdb.DuckDBPyConnection:
    """A connection with these commits (table, version, snapshot, inputs) and no rows."""
    connection = duckdb.connect()
    connection.execute("CREATE SCHEMA lake")
    rows = [
        {
            "table": table,
            "version": version,
            "partition": partition,
            "inputs": inputs if isinstance(inputs, str) else json.dumps(inputs),
        }
        for table, version, partition, inputs in log
    ]
    versions = pl.concat([versions_frame([]), pl.DataFrame(rows, infer_schema_length=None)], how="diagonal_relaxed")
    copy_rows(connection, "lake.versions", versions.to_arrow())
    for name, layer in schema.LAYERS.items():
        if layer.schema is not None:
            create_layer_view(connection, name, layer.schema, [])
    lineage.create(connection, [], {})
    return connection


def ancestors(connection: duckdb.DuckDBPyConnection, table: str, version: int) -> dict[Made, int]:
    rows = connection.execute("FROM lake.lineage_of(?, ?)", [table, version]).fetchall()
    found = {(ancestor, made, partition): distance for *_, ancestor, made, partition, distance in rows}
    assert len(found) == len(rows)
    return found


# Two nights. In the second, snapshot b arrives, and a is read again; shards are built after each.
TWO_NIGHTS = [
    ("raw/web", 1, "a", {}),
    ("filtered/clean", 1, "a", {"raw/web": 1, "filtered/clean": 0}),
    ("generations/r", 1, "a", {"filtered/clean": 1}),
    ("generations/r", 2, "a", {"filtered/clean": 1}),
    ("synthetic/s", 1, "a", {"generations/r": 2, "filtered/clean": 1}),
    ("mixtures/m", 1, None, {"filtered/clean": 1, "synthetic/s": 1}),
    ("shards/m", 1, None, {"mixtures/m": 1}),
    ("raw/web", 2, "b", {}),
    ("raw/web", 3, "a", {}),
    ("filtered/clean", 2, "a", {"raw/web": 3, "filtered/clean": 1}),
    ("filtered/clean", 3, "b", {"raw/web": 3, "filtered/clean": 2}),
    ("mixtures/m", 2, None, {"filtered/clean": 3, "synthetic/s": 1}),
    ("shards/m", 2, None, {"mixtures/m": 2}),
]


def test_inputs_are_one_row_each() -> None:
    with connection_of(TWO_NIGHTS) as connection:
        found = connection.execute("FROM lake.inputs WHERE \"table\" = 'filtered/clean' ORDER BY ALL").fetchall()
    assert found == [
        ("filtered/clean", 1, "a", "filtered/clean", 0),
        ("filtered/clean", 1, "a", "raw/web", 1),
        ("filtered/clean", 2, "a", "filtered/clean", 1),
        ("filtered/clean", 2, "a", "raw/web", 3),
        ("filtered/clean", 3, "b", "filtered/clean", 2),
        ("filtered/clean", 3, "b", "raw/web", 3),
    ]


def test_the_first_shards_come_from_the_first_night() -> None:
    with connection_of(TWO_NIGHTS) as connection:
        found = ancestors(connection, "shards/m", 1)
    assert found == {
        ("mixtures/m", 1, None): 1,
        ("filtered/clean", 1, "a"): 2,
        ("synthetic/s", 1, "a"): 2,
        ("raw/web", 1, "a"): 3,
        ("generations/r", 1, "a"): 3,  # a journal is appended to: each of its commits counts
        ("generations/r", 2, "a"): 3,
    }


def test_the_second_shards_come_from_what_was_in_effect_of_each_snapshot() -> None:
    with connection_of(TWO_NIGHTS) as connection:
        found = ancestors(connection, "shards/m", 2)
    assert found == {
        ("mixtures/m", 2, None): 1,
        ("filtered/clean", 2, "a"): 2,
        ("filtered/clean", 3, "b"): 2,
        ("synthetic/s", 1, "a"): 2,  # the rewrites are still those of the first night …
        ("raw/web", 3, "a"): 3,
        ("raw/web", 2, "b"): 3,
        ("filtered/clean", 1, "a"): 3,  # … which were made of the set of then
        ("generations/r", 1, "a"): 3,
        ("generations/r", 2, "a"): 3,
        ("raw/web", 1, "a"): 4,
    }


def test_a_snapshot_reads_itself_and_of_its_own_table_those_before() -> None:
    with connection_of(TWO_NIGHTS) as connection:
        assert ancestors(connection, "filtered/clean", 3) == {
            ("raw/web", 2, "b"): 1,
            ("filtered/clean", 2, "a"): 1,
            ("raw/web", 3, "a"): 2,
        }
        assert ancestors(connection, "filtered/clean", 2) == {("raw/web", 3, "a"): 1}


def test_the_view_is_what_the_macro_says_of_every_version() -> None:
    with connection_of(TWO_NIGHTS) as connection:
        versions = sorted({(table, version) for table, version, *_ in TWO_NIGHTS})
        one_by_one = [
            row
            for table, version in versions
            for row in connection.execute("FROM lake.lineage_of(?, ?)", [table, version]).fetchall()
        ]
        assert sorted(one_by_one, key=str) == sorted(connection.execute("FROM lake.lineage").fetchall(), key=str)


def test_a_log_that_leads_round_in_a_circle_ends() -> None:
    log = [
        ("filtered/a", 1, "s", {"filtered/b": 9}),
        ("filtered/b", 1, "s", {"filtered/a": 9, "filtered/c": 1}),
        ("filtered/c", 1, "s", {"filtered/c": 1}),
        ("mixtures/m", 1, None, {"mixtures/m": 1}),
    ]
    with connection_of(log) as connection:
        assert ancestors(connection, "filtered/a", 1) == {("filtered/b", 1, "s"): 1, ("filtered/c", 1, "s"): 2}
        assert ancestors(connection, "mixtures/m", 1) == {}


@pytest.mark.parametrize("inputs", ["", "null", "[1]", '"raw/web"', '{"raw/web": "x"}', "{", '{"raw/web": null}'])
def test_inputs_that_make_no_sense_are_none(inputs: str) -> None:
    with connection_of([("raw/web", 1, "s", {}), ("filtered/a", 1, "s", inputs)]) as connection:
        assert ancestors(connection, "filtered/a", 1) == {}
        assert connection.execute("SELECT count(*) FROM lake.lineage").fetchall() == [(0,)]


def test_the_closure_of_any_log_is_what_a_slow_walk_finds() -> None:
    for seed in range(20):
        log = _random_log(seed)
        with connection_of(log) as connection:
            found: dict[Made, dict[Made, int]] = {
                (table, version, partition): {} for table, version, partition, _ in log
            }
            for row in connection.execute("FROM lake.lineage").fetchall():
                found[row[:3]][row[3:6]] = row[6]
        for start, its_ancestors in found.items():
            assert its_ancestors == _walk(log, start), (seed, start)


def _random_log(seed: int) -> list[tuple[str, int, str | None, dict[str, int]]]:
    chance = random.Random(seed)
    tables = ["raw/a", "raw/b", "filtered/f", "filtered/g", "generations/r", "synthetic/s", "mixtures/m", "shards/m"]
    newest = dict.fromkeys(tables, 0)
    log = []
    for _ in range(40):
        place = chance.randrange(len(tables))
        table = tables[place]
        partition = None if table.endswith("/m") else chance.choice("xyz")
        possible = tables[:place] + ([table] if table.startswith("filtered/") else [])
        read = chance.sample(possible, min(len(possible), chance.randint(1, 3)))
        inputs = {name: chance.randint(max(newest[name] - 1, 0), newest[name]) for name in read}
        newest[table] += 1
        log.append((table, newest[table], partition, inputs))
    return log


def _walk(log: list[tuple[str, int, str | None, dict[str, int]]], start: Made) -> dict[Made, int]:
    """Breadth first, with the state that each commit read put together from the log each time."""
    distances: dict[Made, int] = {start: 0}
    waiting = [start]
    while waiting:
        reader = waiting.pop(0)
        inputs = next(inputs for *made, inputs in log if tuple(made) == reader)
        for name, pinned in inputs.items():
            commits = [commit[:3] for commit in log if commit[0] == name and commit[1] <= pinned]
            if not name.startswith("generations/"):
                commits = list({commit[2]: commit for commit in commits}.values())
            for commit in commits:
                if name == reader[0]:
                    is_read = (commit[2] or "") < (reader[2] or "")
                else:
                    is_read = reader[2] is None or commit[2] in (None, reader[2])
                if is_read and commit not in distances:
                    distances[commit] = distances[reader] + 1
                    waiting.append(commit)
    return {made: distance for made, distance in distances.items() if distance}


def test_a_restored_version_descends_from_what_it_was_made_from_then(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    for snapshot, reads in (("a", 1), ("b", 2), ("a", 3)):
        origin = Origin(asset="raw/web")
        lake.replace_frame("rejects/web", _ledger(f"{snapshot}{reads}", snapshot), origin, snapshot=snapshot)
        origin = Origin(asset="rejects/clean", inputs={"rejects/web": lake.version("rejects/web")})
        lake.replace_frame("rejects/clean", _ledger(f"{snapshot}{reads}", snapshot), origin, snapshot=snapshot)
    first = [commit.version for commit in lake.history("rejects/clean") if commit.asset][::-1]
    lake.restore("rejects/clean", first[1])
    restored = lake.version("rejects/clean")
    raw = [commit.version for commit in lake.history("rejects/web") if commit.asset][::-1]
    with lake.connect() as connection:
        assert ancestors(connection, "rejects/clean", restored) == {
            ("rejects/web", raw[0], "a"): 1,
            ("rejects/web", raw[1], "b"): 1,
        }


def _ledger(doc_id: str, snapshot: str) -> pl.DataFrame:
    row = {"doc_id": doc_id, "snapshot": snapshot, "source": "web", "stage": "record", "rule": "r", "failed": ["r"]}
    return pl.DataFrame([row])


def test_an_empty_lake_has_the_objects_and_no_rows(tmp_path: Path) -> None:
    with Lake(tmp_path).connect() as connection:
        for what in (
            "inputs",
            "lineage",
            "lineage_of('shards/main', 1)",
            "trace('x')",
            "trace_forward('x')",
            "why('x')",
        ):
            assert connection.execute(f"FROM lake.{what}").fetchall() == []


def test_lineage_works_in_a_file_that_is_called_lake(tmp_path: Path) -> None:
    write_archive(tmp_path / "lake/landing/web/s1/a.warc.gz", small_web())
    build(tmp_path / "lake", "+filtered/web_clean")
    Lake(tmp_path / "lake").connect(database=tmp_path / "statistics.duckdb").close()
    (tmp_path / "statistics.duckdb").rename(tmp_path / "lake.duckdb")
    url = "http://news.test/3.html"
    with duckdb.connect(str(tmp_path / "lake.duckdb"), read_only=True) as connection:
        tables = connection.execute('SELECT "table" FROM lake.lake.trace(?)', [url]).fetchall()
        assert tables == [("filtered/web_clean",), ("raw/web",)]
        assert connection.execute("SELECT DISTINCT ancestor FROM lake.lake.lineage ORDER BY ALL").fetchall() == [
            ("annotations/web/gopher_quality",),
            ("raw/web",),
        ]
        assert len(connection.execute("FROM lake.lake.why(?)", [url]).fetchall()) == 3
