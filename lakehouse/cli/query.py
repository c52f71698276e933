"""The SQL command: one query, or a prompt."""

from __future__ import annotations

import enum
import json
import sys
from typing import Annotated

import duckdb
import polars as pl
import typer

from lakehouse.cli.look import existing_lake
from lakehouse.cli.show import console, escape, frame_table
from lakehouse.lake import LakeError


class Format(enum.StrEnum):
    """How rows are printed."""

    table = "table"
    csv = "csv"
    json = "json"


def add_to(app: typer.Typer) -> None:
    """Add the commands to the application."""
    for command in (sql,):
        app.command(rich_help_panel="Look into the lake")(command)


def sql(
    query: Annotated[str | None, typer.Argument(help="One query; without it, a prompt.")] = None,
    output: Annotated[Format, typer.Option("--format", help="How the rows are printed.")] = Format.table,
    max_rows: Annotated[int, typer.Option(min=1, help="Rows that a table shows at most.")] = 100,
) -> None:
    """Ask the lake in SQL (DuckDB).

    Every table is a view named <layer>.<name>; lake.<layer> holds the rows of all tables of a layer.

        lakehouse sql "SELECT stage, rule, count(*) FROM rejects.web_clean GROUP BY ALL ORDER BY 3 DESC"
        lakehouse sql "SHOW ALL TABLES"
    """
    lake = existing_lake()
    with lake.connect() as connection:
        if query is not None:
            _answer(connection, query, output, max_rows)
            return
        console.print(f"The lake at {lake.root}. One query, then Enter; an empty line or Ctrl-D ends.")
        while line := _prompt():
            try:
                _answer(connection, line, output, max_rows)
            except LakeError as error:
                console.print(f"[red]{escape(str(error))}[/]")


def _answer(connection: duckdb.DuckDBPyConnection, query: str, output: Format, max_rows: int) -> None:
    try:
        relation = connection.sql(query)
        frame = relation.pl() if relation is not None else pl.DataFrame()
    except duckdb.Error as error:
        raise LakeError(f"SQL: {error}") from error
    if output is Format.csv:
        sys.stdout.write(_without_nesting(frame).write_csv())
    elif output is Format.json:
        for row in frame.iter_rows(named=True):
            sys.stdout.write(json.dumps(row, default=str, ensure_ascii=False) + "\n")
    else:
        console.print(frame_table(frame.head(max_rows)))
        if frame.height > max_rows:
            console.print(f"{max_rows} of {frame.height:,} rows; --max-rows shows more.")


def _without_nesting(frame: pl.DataFrame) -> pl.DataFrame:
    """CSV has no lists: they become JSON text."""
    nested = [name for name, kind in frame.schema.items() if kind.is_nested()]
    return frame.with_columns(
        pl.Series(name, [json.dumps(value, default=str) for value in frame[name].to_list()]) for name in nested
    )


def _prompt() -> str:
    try:
        return input("lake> ").strip()
    except EOFError:
        return ""
