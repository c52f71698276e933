"""Commands that look into the lake: sql, status, trace, history and doctor."""

from __future__ import annotations

import enum
import json
import sys
from typing import Annotated

import duckdb
import polars as pl
import typer

from lakehouse.cli.show import console, escape, frame_table, rows_table
from lakehouse.lake import Lake, LakeError, default_root


class Format(enum.StrEnum):
    """How rows are printed."""

    table = "table"
    csv = "csv"
    json = "json"


def add_to(app: typer.Typer) -> None:
    """Add the commands to the application."""
    for command in (sql, status, trace, history, doctor):
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
    lake = _existing_lake()
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


def status() -> None:
    """Show what is in the lake, and what a build would do."""
    from lakehouse.cli.runs import Builder

    lake = _existing_lake()
    with Builder(lake).opened() as builder:
        states = builder.states()
    rows = [
        {
            "table": state.table,
            "snapshot": state.snapshot or "",
            "version": state.commit.version if state.commit else None,
            "rows written": state.commit.rows if state.commit else None,
            "committed": f"{state.commit.committed_at:%m-%d %H:%M}" if state.commit else "",
            "state": state.reason or "up to date",
        }
        for state in states
    ]
    console.print(rows_table(rows, title=f"The lake at {lake.root}"))
    stale = sum(state.reason is not None for state in states)
    console.print(f"{stale} to build: [bold]lakehouse build[/]" if stale else "Everything is up to date.")


def trace(
    identifier: Annotated[str, typer.Argument(help="A sequence_id of a shard, a doc_id, or a URL.", metavar="ID")],
) -> None:
    """Follow a sequence, a document or an address back to its WARC record.

    lakehouse trace main-00000-000000
    """
    from lakehouse import govern
    from lakehouse.crawl import FetchedPage, read_record

    lake = _existing_lake()
    for link in govern.trace(lake, identifier):
        indent = "  " * link.depth
        facts = ", ".join(f"{name} {value}" for name, value in link.facts.items())
        console.print(f"{indent}[bold]{link.table}[/] {link.identifier}  [dim]{escape(facts)}[/]", soft_wrap=True)
        if link.table.startswith("raw/"):
            file, offset = link.facts["warc_file"], link.facts["warc_offset"]
            record = read_record(lake.landing / file, offset)
            what = f"{len(record.body):,} bytes" if isinstance(record, FetchedPage) else record.rule
            found = f"record at {file}:{offset}[/] {escape(record.url or '')} ({what})"
            console.print(f"{indent}  [green]{found}", soft_wrap=True)


def history(table: Annotated[str, typer.Argument(help="A table, such as filtered/web_clean.")]) -> None:
    """Show every version of a table: when it was written, by which run, from which versions."""
    lake = _existing_lake()
    rows = [
        {
            "version": commit.version,
            "committed (UTC)": f"{commit.committed_at:%Y-%m-%d %H:%M}",
            "snapshot": commit.partition or "",
            "rows written": commit.rows,
            "run": commit.run_id[:8],
            "made from": ", ".join(f"{name}@{version}" for name, version in commit.inputs.items()),
        }
        for commit in lake.history(table)
        if commit.asset
    ]
    console.print(rows_table(rows, title=table))


def doctor() -> None:
    """Check that everything the lake needs is there: packages, disk, definitions, tables, endpoint."""
    from lakehouse.cli.doctor import findings

    found = list(findings(Lake(default_root())))
    for finding in found:
        mark = "[green]✓[/]" if finding.ok else "[red]✗[/]"
        console.print(f"{mark} {finding.what}: {escape(finding.detail)}")
    if not all(finding.ok for finding in found):
        sys.exit(1)


def _existing_lake() -> Lake:
    lake = Lake(default_root())
    if not lake.tables():
        raise LakeError(
            f"There is no lake at {lake.root} yet: run `lakehouse demo`, or `lakehouse ingest` and `lakehouse build` "
            "(LAKEHOUSE_ROOT says where it is)."
        )
    return lake


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
