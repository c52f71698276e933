"""Which columns a column is made from, as the Dagster UI shows it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import dagster as dg
import pyarrow as pa

from lakehouse import schema

KEY = "dagster/column_lineage"
"""Where Dagster's UI looks for it: in the metadata of a materialisation."""

Computed = Mapping[str, Sequence[tuple[str, str]]]
"""For a column, the tables and columns that it is computed from."""


def column_lineage(columns: pa.Schema, copied_from: Iterable[str], computed: Computed) -> dg.TableColumnLineage:
    """Where the columns of a table come from.

    Args:
        columns: of the table.
        copied_from: tables whose rows become its rows: a column that one of them has too is taken from there.
        computed: the other columns, and those that are not taken as they are.
    """
    sources = {table: set(columns_of(table)) for table in copied_from}
    found = {}
    for name in columns.names:
        made_from = computed.get(name)
        if made_from is None:
            made_from = [(table, name) for table, names in sources.items() if name in names]
        if made_from:
            found[name] = [dg.TableColumnDep(dg.AssetKey(table.split("/")), column) for table, column in made_from]
    return dg.TableColumnLineage(found)


def columns_of(table: str) -> list[str]:
    """The names of a table's columns, where its layer says them."""
    declared = schema.layer_of(table).schema
    return [] if declared is None else list(declared.names)


def each(columns: Iterable[str], made_from: Sequence[tuple[str, str]]) -> dict[str, Sequence[tuple[str, str]]]:
    """The same origin for several columns."""
    return dict.fromkeys(columns, made_from)
