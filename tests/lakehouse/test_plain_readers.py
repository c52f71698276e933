"""Tables that any reader of Delta tables can open: no feature is on that a plain one lacks, and all see the same rows.

Spark is not asked here, but the log is checked for what it needs: its protocol, its types, its names.
"""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from archives import small_web, write_archive
from deltalake import DeltaTable
from lakes import build

from lakehouse.generate.mock.server import MODEL, MockModel
from lakehouse.lake import Lake
from lakehouse.views import literal

# The types of the Delta protocol before table features: timestamp_ntz and variant came with those.
PLAIN_TYPES = {
    "string",
    "long",
    "integer",
    "short",
    "byte",
    "float",
    "double",
    "boolean",
    "binary",
    "date",
    "timestamp",
}
PLAIN_CONFIGURATION = {"delta.logRetentionDuration", "delta.deletedFileRetentionDuration", "delta.checkpointInterval"}
PLAIN_NAME = re.compile(r"[^ ,;{}()\n\t=]+")  # others need column mapping
Rows = Callable[[Path], pl.DataFrame]


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A whole lake: every layer, statistics too, two snapshots, and a log that has a checkpoint."""
    # Polars' own reader of Delta tables fails below a path with a space.
    root = tmp_path_factory.mktemp("plain") / "lake"
    write_archive(root / "landing/web/2026-01/a.warc.gz", small_web(0))
    write_archive(root / "landing/web/2026-02/b.warc.gz", small_web(100))
    with MockModel() as model:
        build(root, LAKEHOUSE_MODEL_URL=model.base_url, LAKEHOUSE_MODEL=MODEL)
    lake = Lake(root)
    commit = lake.last_commit("raw/web", "2026-01")
    assert commit is not None
    while lake.version("raw/web") < 12:
        rows = lake.scan("raw/web", snapshot="2026-01").collect()
        lake.replace_frame("raw/web", rows, origin_like(commit), snapshot="2026-01")
    return lake


def origin_like(commit: Any) -> Any:
    from lakehouse.commits import Origin

    return Origin(commit.run_id, commit.asset, commit.code_version, commit.config_hash, commit.inputs, commit.details)


def with_deltalake(folder: Path) -> pl.DataFrame:
    return _frame(DeltaTable(str(folder)).to_pyarrow_table())


def with_pyarrow(folder: Path) -> pl.DataFrame:
    return _frame(DeltaTable(str(folder)).to_pyarrow_dataset().to_table())


def with_polars(folder: Path) -> pl.DataFrame:
    return pl.read_delta(str(folder))


def with_polars_lazily(folder: Path) -> pl.DataFrame:
    return pl.scan_delta(str(folder)).collect()


def with_duckdb(folder: Path) -> pl.DataFrame:
    if importlib.util.find_spec("duckdb_extension_delta") is None:
        pytest.skip("the package duckdb_extension_delta is not installed")
    extensions = importlib.resources.files("duckdb_extension_delta") / "extensions"
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.load_extension(str(extensions / f"v{duckdb.__version__}" / "delta.duckdb_extension"))
        return connection.sql(f"FROM delta_scan({literal(str(folder))})").pl()


@pytest.mark.parametrize("rows", [with_deltalake, with_pyarrow, with_polars, with_polars_lazily, with_duckdb])
def test_every_table_can_be_read_by_others(lake: Lake, rows: Rows) -> None:
    tables = lake.tables()
    assert {table.split("/")[0] for table in tables} >= {"raw", "annotations", "generations", "shards", "stats"}
    for table in tables:
        expected, found = lake.scan(table).collect(), rows(lake.folder(table))
        assert set(found.columns) == set(expected.columns), table
        assert _sorted(found, expected.columns) == _sorted(expected, expected.columns), table


def test_snapshots_stay_text_for_others(lake: Lake) -> None:
    # 2026-01 could be taken for a number or a month by those that guess types from the names of folders.
    snapshots = with_polars(lake.folder("raw/web"))["snapshot"].unique().sort().to_list()
    assert snapshots == ["2026-01", "2026-02"]


def test_the_log_asks_for_the_oldest_protocol(lake: Lake) -> None:
    for table in lake.tables():
        protocol = DeltaTable(str(lake.folder(table))).protocol()
        assert protocol.min_reader_version == 1, table
        assert protocol.min_writer_version == 2, table
        assert not protocol.reader_features, table
        assert not protocol.writer_features, table


def test_no_feature_is_on_that_a_plain_reader_lacks(lake: Lake) -> None:
    for table in lake.tables():
        for action in _actions(lake, table):
            if "metaData" in action:
                metadata = action["metaData"]
                # No delta.columnMapping.mode, delta.enableDeletionVectors, delta.constraints.…
                assert set(metadata["configuration"]) <= PLAIN_CONFIGURATION, table
                assert metadata["format"] == {"provider": "parquet", "options": {}}, table
                _assert_plain_struct(json.loads(metadata["schemaString"]), table)
            for file in (action[name] for name in ("add", "remove") if name in action):
                assert not file.get("deletionVector"), table
                assert file.get("baseRowId") is None, table
                # A path that an absolute or an encoded name would make hard to read for some.
                assert re.fullmatch(r"(snapshot=[A-Za-z0-9._-]+/)?\d{6}-[0-9a-f]{32}\.parquet", file["path"]), table


def test_the_files_hold_what_the_log_says_in_types_that_all_read(lake: Lake) -> None:
    for table in lake.tables():
        delta = DeltaTable(str(lake.folder(table)))
        declared = {field.name for field in delta.schema().fields} - set(delta.metadata().partition_columns)
        for file in lake.files(table):
            parquet = pq.ParquetFile(file)
            assert set(parquet.schema_arrow.names) <= declared, "a partition column is in the path, not in the file"
            kinds = {parquet.schema.column(number).physical_type for number in range(len(parquet.schema.names))}
            assert kinds <= {"BYTE_ARRAY", "INT64", "INT32", "DOUBLE", "FLOAT", "BOOLEAN", "FIXED_LEN_BYTE_ARRAY"}
            assert not any(_is_odd(field.type) for field in parquet.schema_arrow), file


def test_the_log_has_a_checkpoint_that_others_read(lake: Lake) -> None:
    log = lake.folder("raw/web") / "_delta_log"
    assert list(log.glob("*.checkpoint.parquet"))
    for file in sorted(log.glob("*.json"))[:10]:
        file.rename(file.with_suffix(".gone"))  # only the checkpoint has these commits now
    try:
        expected = lake.scan("raw/web").select("doc_id").collect()["doc_id"].sort().to_list()
        assert with_polars(lake.folder("raw/web"))["doc_id"].sort().to_list() == expected
        assert len(expected) == 28
    finally:
        for file in log.glob("*.gone"):
            file.rename(file.with_suffix(".json"))


def _frame(table: pa.Table) -> pl.DataFrame:
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame


def _sorted(frame: pl.DataFrame, columns: list[str]) -> list[str]:
    return sorted(repr(row) for row in frame.select(columns).iter_rows())


def _actions(lake: Lake, table: str) -> Iterator[dict[str, Any]]:
    for file in sorted((lake.folder(table) / "_delta_log").glob("*.json")):
        for line in file.read_text().splitlines():
            yield json.loads(line)


def _assert_plain_struct(struct: dict[str, Any], table: str) -> None:
    for field in struct["fields"]:
        assert PLAIN_NAME.fullmatch(field["name"]), f"{table}: {field['name']!r}"
        # Generated columns, identity columns, invariants and column mapping are all written here.
        assert field["metadata"] == {}, f"{table}: {field['name']!r}"
        _assert_plain_type(field["type"], table)


def _assert_plain_type(kind: Any, table: str) -> None:
    if isinstance(kind, str):
        assert kind in PLAIN_TYPES or re.fullmatch(r"decimal\(\d+,\d+\)", kind), f"{table}: {kind}"
    elif kind["type"] == "struct":
        _assert_plain_struct(kind, table)
    else:
        assert kind["type"] in ("array", "map"), f"{table}: {kind}"
        for part in ("elementType", "keyType", "valueType"):
            if part in kind:
                _assert_plain_type(kind[part], table)


def _is_odd(kind: pa.DataType) -> bool:
    """Whether Spark may not read a Parquet type: unsigned numbers, nanoseconds, times without a zone, dictionaries."""
    if pa.types.is_nested(kind):
        return any(_is_odd(kind.field(number).type) for number in range(kind.num_fields))
    unsigned = pa.types.is_unsigned_integer(kind)
    return (
        unsigned
        or pa.types.is_dictionary(kind)
        or (pa.types.is_timestamp(kind) and (kind.unit, kind.tz) != ("us", "UTC"))
    )
