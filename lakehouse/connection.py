"""Opening a lake in DuckDB: its tables as views, at the newest version or as they were."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

from lakehouse import lineage, schema
from lakehouse.commits import in_effect
from lakehouse.data_files import snapshot_of
from lakehouse.views import copy_rows, create_layer_view, create_view, literal

if TYPE_CHECKING:
    from lakehouse.lake import Lake

Pin = int | Mapping[str | None, int]
Pins = Mapping[str, Pin]
"""The version of each table to read: one for all its rows, or one for each snapshot."""

_MADE_FROM = """
    SELECT versions."table", versions.partition, versions.version, versions.details::JSON->'with'
    FROM lake.versions AS versions
    JOIN (
        SELECT ancestor, ancestor_version, ancestor_partition FROM lake.lineage_of($table, $version)
        UNION ALL
        SELECT "table", version, partition FROM lake.versions WHERE "table" = $table AND version = $version
    ) AS made(name, version, partition)
        ON made.name = versions."table"
        AND made.version = versions.version
        AND made.partition IS NOT DISTINCT FROM versions.partition
"""


def connect(lake: Lake, pins: Pins, *, others: bool = True, database: Path | None = None) -> duckdb.DuckDBPyConnection:
    """A DuckDB with every table as a view, the tables of a layer together, every commit, and lineage.

    A table's view is named as `schema.sql_name` says: `raw.web`. `lake.raw` holds the rows of every raw table, with the
    table's name as first column; so does `lake.<layer>` for each layer whose tables share a schema, also where there is
    no table yet. `lake.versions` has one row a commit; see `lineage` for what is made of it.

    Args:
        pins: the versions to read.
        others: show also the tables that `pins` does not name, at their newest version.
        database: a file to keep the views in; in memory without one.
    """
    tables = [table for table in lake.tables() if others or table in pins]
    connection = _with_tables(lake, tables, pins, database)
    for name, layer in schema.LAYERS.items():
        if layer.schema is not None:
            members = [table for table in tables if table.startswith(f"{name}/")]
            create_layer_view(connection, name, layer.schema, members)
    copy_rows(connection, "lake.versions", lake.versions().to_arrow())
    lineage.create(connection, tables, pins)
    return connection


def connect_to(lake: Lake, pins: Pins) -> duckdb.DuckDBPyConnection:
    """A DuckDB with the tables of `pins` as views and nothing else, which takes no time however many there are."""
    return _with_tables(lake, list(pins), pins, None)


def tables_named(query: str) -> list[str]:
    """The tables of the lake that a query names, sorted.

    Raises:
        ValueError: it is no SELECT. The message says why.
    """
    answer = duckdb.execute("SELECT json_serialize_sql($query)", {"query": query}).fetchone()
    assert answer is not None
    parsed = json.loads(answer[0])
    if parsed.get("error"):
        raise ValueError(str(parsed.get("error_message")))
    # A name without a layer is that of a subquery.
    found = (f"{layer}/{name.replace('__', '/')}" for layer, name in _named(parsed) if layer in schema.LAYERS)
    return sorted(set(found))


def as_of(lake: Lake, table: str, version: int | None = None) -> Pins:
    """The version of each table that one version of `table` was made from, and of the ledgers that belong to them.

    Raises:
        LakeError: there is no such table or version.
    """
    lake.commit_at(table, lake.version(table) if version is None else version)
    found: dict[str, dict[str | None, int]] = {}
    with connect(lake, {}) as connection:
        for commit in in_effect(lake.history(table), version).values():
            values = {"table": table, "version": commit.version}
            for name, partition, its_version, companions in connection.execute(_MADE_FROM, values).fetchall():
                for other, other_version in {name: its_version, **json.loads(companions or "{}")}.items():
                    versions = found.setdefault(other, {})
                    versions[partition] = max(versions.get(partition, 0), other_version)
    return {
        name: versions if schema.layer_of(name).partition_by else max(versions.values())
        for name, versions in found.items()
    }


def _with_tables(lake: Lake, tables: Sequence[str], pins: Pins, database: Path | None) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(str(database or ":memory:"), config={"autoinstall_known_extensions": False})
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(f"SET temp_directory = {literal(str(lake.root / '.spill'))}")
    for name in ("lake", *schema.LAYERS):
        connection.execute(f"CREATE SCHEMA {name}")
    for table in tables:
        create_view(connection, table, *_pinned(lake, table, pins.get(table)))
    return connection


def _pinned(lake: Lake, table: str, pin: Pin | None) -> tuple[list[Path], pa.Schema]:
    """The data files and the schema of a table, at one version or at one for each snapshot."""
    if pin is None or isinstance(pin, int):
        return lake.files(table, version=pin), lake.schema(table, pin)
    files: list[Path] = []
    wanted = dict(pin)
    while wanted:
        # A version shows also those older commits that are still in effect: most often all that are wanted.
        version = max(wanted.values())
        shown = in_effect(lake.history(table), version)
        here = {
            snapshot
            for snapshot, its_version in wanted.items()
            if snapshot not in shown or shown[snapshot].version <= its_version
        }
        files += [file for file in lake.files(table, version=version) if snapshot_of(file) in here]
        wanted = {snapshot: its_version for snapshot, its_version in wanted.items() if snapshot not in here}
    return sorted(files), lake.schema(table, max(pin.values(), default=None))


def _named(node: Any) -> Iterator[tuple[str, str]]:
    """Schema and name of every table in a serialised query."""
    if isinstance(node, Mapping):
        if node.get("type") == "BASE_TABLE":
            yield node["schema_name"], node["table_name"]
        node = list(node.values())
    if isinstance(node, list):
        for part in node:
            yield from _named(part)
