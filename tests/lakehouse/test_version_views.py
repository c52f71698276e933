"""Versions as views, and what a query reads of a table's files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from lakehouse import schema
from lakehouse.commits import Origin
from lakehouse.lake import Lake, LakeError
from lakehouse.version_views import create_version_views

WEB = "raw/web"


def pages(first: int, end: int, snapshot: str = "s1") -> pl.DataFrame:
    """Pages with texts so long, and so unlike each other, that reading them is seen in the bytes that are read."""
    numbers = pl.int_range(first, end, eager=True)
    chances = pl.Series([" ".join(str(hash((number, word))) for word in range(300)) for number in numbers])
    return pl.DataFrame(
        {
            "doc_id": [f"d{number}" for number in numbers],
            "text_id": [f"t{number}" for number in numbers],
            "snapshot": [snapshot] * len(numbers),
            "source": ["web"] * len(numbers),
            "text": chances,
            "n_chars": chances.str.len_chars().cast(pl.Int64),
            "n_words": numbers,
            "parents": pl.Series([[]] * len(numbers), dtype=pl.List(pl.String)),
            "language": ["en" if number % 2 else "de" for number in numbers],
        }
    )


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """`raw/web` has 3 pages in version 1 and 2 of them and a new one in version 2."""
    lake = Lake(tmp_path_factory.mktemp("versions") / "a 'lake'")
    for first, end in ((0, 3), (1, 4)):
        lake.replace_frame(WEB, pages(first, end), Origin(asset=WEB), snapshot="s1")
    return lake


def ask(lake: Lake, query: str) -> list[tuple[Any, ...]]:
    with lake.connect() as connection:
        create_version_views(connection, lake, query)
        return connection.sql(query).fetchall()


def views(connection: duckdb.DuckDBPyConnection) -> set[str]:
    return {
        name for (name,) in connection.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall()
    }


def test_two_versions_are_compared_in_one_query(lake: Lake) -> None:
    query = """
        SELECT doc_id, older.doc_id IS NULL AS added, newer.doc_id IS NULL AS removed
        FROM raw.web_v1 AS older FULL JOIN raw.web_v2 AS newer USING (doc_id)
        WHERE added OR removed ORDER BY doc_id
    """
    assert ask(lake, query) == [("d0", False, True), ("d3", True, False)]
    assert ask(lake, "SELECT count(*) FROM raw.web_v2 JOIN raw.web USING (doc_id)") == [(3,)]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT count(*) FROM RAW.Web_V1",
        'SELECT count(*) FROM "raw" . "web_v1"',
        "SELECT 'é', count(*) FROM memory.raw.web_v1",
        "PIVOT raw.web_v1 ON language USING count(*)",
        "DESCRIBE raw.web_v1",
        "EXPLAIN SELECT n_words FROM raw.web_v1",
        "SELECT raw.web_v1.doc_id FROM raw.web_v1 WHERE doc_id IN (SELECT doc_id FROM raw.web_v2)",
    ],
)
def test_a_version_may_be_named_wherever_a_table_may(lake: Lake, query: str) -> None:
    assert len(ask(lake, query)) > 0


def test_only_the_versions_that_a_query_names_become_views(lake: Lake) -> None:
    with lake.connect() as connection:
        before = views(connection)
        create_version_views(connection, lake, "SELECT 'raw.web_v1' /* raw.web_v2 */ AS web_v1 -- raw.web_v1")
        assert views(connection) == before
        for _ in range(2):  # the second time the view is there
            create_version_views(connection, lake, "FROM raw.web_v1")
        assert views(connection) - before == {"web_v1"}


def test_version_0_is_the_empty_table(lake: Lake) -> None:
    assert ask(lake, "SELECT count(*), count(text) FROM raw.web_v0") == [(0, 0)]


def test_a_table_whose_name_looks_like_a_version_wins(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    for table, end in ((WEB, 2), ("raw/web_v1", 5)):
        lake.replace_frame(table, pages(0, end), Origin(asset=table), snapshot="s1")
    assert ask(lake, "SELECT count(*) FROM raw.web_v1") == [(5,)]
    assert ask(lake, "SELECT count(*) FROM raw.web_v1_v1") == [(5,)]


@pytest.mark.parametrize("version", ["3", "99999999999999999"])
def test_an_unknown_version_is_named_in_one_line(lake: Lake, version: str) -> None:
    with pytest.raises(LakeError, match=f"raw/web has no version {version}: see `lakehouse history raw/web`"):
        ask(lake, f"FROM raw.web_v{version}")


def test_what_is_no_version_is_left_to_duckdb(lake: Lake) -> None:
    for name in ("raw.web_v01", "raw.web_vx", "raw.wbe_v1", "nowhere.web_v1"):
        with pytest.raises(duckdb.CatalogException, match="does not exist"):
            ask(lake, f"FROM {name}")


def test_a_version_whose_files_are_gone_says_so(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    for _ in range(2):
        lake.replace_frame(WEB, pages(0, 2), Origin(asset=WEB), snapshot="s1")
    lake.vacuum(WEB, older_than_hours=0)
    assert ask(lake, "SELECT count(*) FROM raw.web_v2") == [(2,)]
    with pytest.raises(FileNotFoundError, match="raw/web: version 1 cannot be read: vacuum removed"):
        ask(lake, "FROM raw.web_v1")


def scans(node: dict[str, Any]) -> list[dict[str, Any]]:
    """What a plan reads from files."""
    here = [node["extra_info"]] if "READ_PARQUET" in node["name"] else []
    return here + [found for child in node["children"] for found in scans(child)]


@pytest.mark.parametrize("view", ["raw.web", "raw.web_v1", "lake.raw"])
def test_a_query_of_two_columns_reads_two_columns_and_its_filter_is_pushed_down(lake: Lake, view: str) -> None:
    ((_, plan),) = ask(lake, f"EXPLAIN (FORMAT json) SELECT n_words, language FROM {view} WHERE language = 'en'")
    (scan,) = scans(json.loads(plan)[0])
    assert sorted(scan["Projections"]) == ["language", "n_words"]
    assert "language='en'" in str(scan["Filters"])


def test_a_snapshot_that_is_not_asked_for_is_not_opened(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    for snapshot in ("s1", "s2", "s3"):
        lake.replace_frame(WEB, pages(0, 2, snapshot), Origin(asset=WEB), snapshot=snapshot)
    ((_, plan),) = ask(lake, "EXPLAIN (FORMAT json) SELECT n_words FROM raw.web WHERE snapshot = 's2'")
    assert "1/3" in str(scans(json.loads(plan)[0])[0]["Scanning Files"])


def bytes_read() -> int:
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)["rchar"])


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="the kernel counts no bytes here")
def test_two_columns_are_a_small_part_of_the_bytes(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    lake.replace_frame(WEB, pages(0, 4_000), Origin(asset=WEB), snapshot="s1")
    (file,) = lake.files(WEB)
    read = []
    for query in ("SELECT sum(n_words), count(language) FROM raw.web", "SELECT sum(length(text)) FROM raw.web"):
        with lake.connect() as connection:
            before = bytes_read()
            connection.sql(query).fetchall()
            read.append(bytes_read() - before)
    # A text is 300 numbers of some 19 digits: ten megabytes in the file. A number and a language take some bytes each.
    assert read[1] > file.stat().st_size * 0.9 > 8e6
    assert read[0] < file.stat().st_size * 0.02


def test_the_schema_of_an_old_version_is_that_of_its_columns(lake: Lake) -> None:
    assert [name for name, *_ in ask(lake, "DESCRIBE raw.web_v1")] == schema.RAW.names
