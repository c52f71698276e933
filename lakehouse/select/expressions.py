"""SQL expressions over the columns of measured documents: which columns they look at, and their values.

In an expression an annotator's column is written `n_words`, or `gopher_quality.n_words` where two annotators measure a
column of that name. Functions over groups of documents are allowed: `ntile(20) OVER (ORDER BY score)`.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
from polars import selectors

from lakehouse.select.conditions import Column, RuleError


def columns_of(
    expression: str, document: Sequence[str], annotators: Mapping[str, Sequence[str]], *, rule: str
) -> tuple[Column, ...]:
    """The columns that an expression looks at, sorted.

    Args:
        expression: of DuckDB.
        document: names of the columns that documents come with.
        annotators: names of the columns that each annotator measures.
        rule: whose expression it is, for errors.

    Raises:
        RuleError: it is no expression, a column is unknown, or two annotators measure it.
    """
    found = {_resolved(parts, document, annotators, rule) for parts in _references(expression, rule)}
    return tuple(sorted(found, key=lambda column: column.qualified))


def check_type(expression: str, columns: Mapping[Column, pa.DataType], *, rule: str, expected: str) -> None:
    """Make sure that an expression gives truth values (`expected` is "true or false") or numbers ("a number").

    Raises:
        RuleError: it does not, or DuckDB cannot make sense of it.
    """
    empty = pl.DataFrame(
        pa.table(
            {column.qualified: pa.array([], kind) for column, kind in columns.items()} or {"nothing": pa.array([])}
        )
    )
    with _connection(empty, list(columns)) as connection:
        try:
            kind = str(connection.sql(f"SELECT ({expression}) FROM documents").types[0])
        except duckdb.Error as error:
            raise RuleError(f"rule {rule!r}: {str(error).splitlines()[0]}") from error
    is_number = (
        kind.startswith(("DECIMAL", "DOUBLE", "FLOAT", "HUGEINT", "UHUGEINT"))
        or kind.endswith("INT")
        or kind == "INTEGER"
    )
    if not {"true or false": kind == "BOOLEAN", "a number": is_number}[expected]:
        raise RuleError(f"rule {rule!r}: {expression!r} gives {kind}, not {expected}.")


def evaluated(documents: pl.DataFrame, expressions: Mapping[str, str], columns: Sequence[Column]) -> pl.DataFrame:
    """Add the values of expressions to documents, as columns of the given names; numbers come as float64.

    Args:
        columns: what the expressions look at; each is in `documents`, with or without its annotator.
    """
    if not expressions:
        return documents
    wanted = [pl.col(column.found_in(documents.columns)).alias(column.qualified) for column in columns]
    looked_at = documents.select(*wanted, pl.int_range(pl.len()).alias("place"))
    selected = ", ".join(f'({expression}) AS "{name}"' for name, expression in expressions.items())
    with _connection(looked_at, columns) as connection:
        values = connection.sql(f"SELECT place, {selected} FROM documents").pl().sort("place").drop("place")
    return documents.hstack(values.with_columns(selectors.numeric().cast(pl.Float64)))


def _connection(frame: pl.DataFrame, columns: Sequence[Column]) -> duckdb.DuckDBPyConnection:
    """A connection with the view `documents`: columns by their own names, and by those of their annotators."""
    connection = duckdb.connect()
    connection.register("frame", frame.to_arrow())
    names = [column.name for column in columns]
    plain = [f'"{one.qualified}" AS "{one.name}"' for one in columns if one.annotator and names.count(one.name) == 1]
    by_annotator: dict[str, list[str]] = {}
    for column in columns:
        if column.annotator:
            by_annotator.setdefault(column.annotator, []).append(f'"{column.name}" := "{column.qualified}"')
    packed = [f'struct_pack({", ".join(parts)}) AS "{name}"' for name, parts in by_annotator.items()]
    connection.execute(f"CREATE VIEW documents AS SELECT {', '.join(['*', *plain, *packed])} FROM frame")
    # An expression has no business with files or the network.
    connection.execute("SET enable_external_access = false; SET lock_configuration = true")
    return connection


def _references(expression: str, rule: str) -> Iterator[list[str]]:
    with duckdb.connect() as connection:
        row = connection.execute("SELECT json_serialize_sql($1)", [f"SELECT ({expression})"]).fetchone()
    assert row is not None
    parsed = json.loads(row[0])
    if parsed["error"]:
        raise RuleError(f"rule {rule!r}: {expression!r} is no SQL expression: {parsed['error_message']}.")
    if len(parsed["statements"]) != 1:
        raise RuleError(f"rule {rule!r}: {expression!r} is more than one expression.")
    yield from _column_names(parsed)


def _column_names(node: Any) -> Iterator[list[str]]:
    if isinstance(node, dict):
        if node.get("class") == "COLUMN_REF":
            yield node["column_names"]
        for value in node.values():
            yield from _column_names(value)
    elif isinstance(node, list):
        for value in node:
            yield from _column_names(value)


def _resolved(parts: list[str], document: Sequence[str], annotators: Mapping[str, Sequence[str]], rule: str) -> Column:
    first, *rest = parts
    if first in annotators and rest:
        if rest[0] not in annotators[first]:
            raise RuleError(f"rule {rule!r}: {_unknown(rest[0], annotators[first], f'annotator {first!r} has')}")
        return Column(rest[0], first)
    measured_by = [name for name, columns in annotators.items() if first in columns]
    if len(measured_by) > 1:
        choices = " or ".join(f"{name}.{first}" for name in measured_by)
        raise RuleError(f"rule {rule!r}: {first!r} is measured by {' and '.join(measured_by)}: write {choices}.")
    if measured_by:
        return Column(first, measured_by[0])
    if first not in document:
        known = [*document, *(column for columns in annotators.values() for column in columns), *annotators]
        raise RuleError(f"rule {rule!r}: {_unknown(first, known, 'documents and their annotators have')}")
    return Column(first)


def _unknown(name: str, known: Sequence[str], who: str) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"Did you mean {near[0]!r}?" if near else "See lakehouse docs for the columns of each table."
    return f"{who} no column {name!r}. {hint}"
