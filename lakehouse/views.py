"""Tables as DuckDB views: the route that was measured best, a list of Parquet files of one version."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import duckdb
import pyarrow as pa

from lakehouse import schema


def create_view(
    connection: duckdb.DuckDBPyConnection, table: str, files: Sequence[Path], table_schema: pa.Schema
) -> None:
    """Make a table's view, named as `schema.sql_name` says, over its data files."""
    name = schema.sql_name(table)
    if not files:
        copy_rows(connection, name, table_schema.empty_table())
        return
    paths = ", ".join(literal(str(file)) for file in files)
    rows = f"read_parquet([{paths}], hive_partitioning=true, hive_types_autocast=false, union_by_name=true)"
    try:
        columns = ", ".join(f'"{column}"' for column in table_schema.names)
        connection.execute(f"CREATE VIEW {name} AS SELECT {columns} FROM {rows}")
    except duckdb.BinderException:
        # Files that were written before the layer had all its columns.
        there = {column for column, *_ in connection.execute(f"DESCRIBE FROM {rows}").fetchall()}
        empty = duckdb_types(connection, table_schema)
        columns = ", ".join(
            f'"{column}"' if column in there else f'NULL::{kind} AS "{column}"' for column, kind in empty.items()
        )
        connection.execute(f"CREATE VIEW {name} AS SELECT {columns} FROM {rows}")


def duckdb_types(connection: duckdb.DuckDBPyConnection, table_schema: pa.Schema) -> dict[str, str]:
    """DuckDB's name of each column's type."""
    relation = connection.from_arrow(table_schema.empty_table())
    return dict(zip(relation.columns, map(str, relation.types), strict=True))


def create_layer_view(
    connection: duckdb.DuckDBPyConnection, layer: str, layer_schema: pa.Schema, tables: Sequence[str]
) -> None:
    """Make the view `lake.<layer>`: the rows of all tables of a layer, each with its table's name as first column."""
    if tables:
        parts = [f'SELECT {literal(table)} AS "table", * FROM {schema.sql_name(table)}' for table in tables]
        connection.execute(f"CREATE VIEW lake.{layer} AS {' UNION ALL BY NAME '.join(parts)}")
    else:
        named = pa.schema([pa.field("table", pa.string()), *layer_schema])
        copy_rows(connection, f"lake.{layer}", named.empty_table())


def copy_rows(connection: duckdb.DuckDBPyConnection, name: str, rows: pa.Table) -> None:
    """Copy rows into a DuckDB table: it stays when they are gone."""
    connection.register("rows_to_copy", rows)
    connection.execute(f"CREATE TABLE {name} AS SELECT * FROM rows_to_copy")
    connection.unregister("rows_to_copy")


def literal(text: str) -> str:
    """A text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"
