"""The SQL command: a query, a script on standard input, or a prompt."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from lakehouse.cli.look import existing_lake
from lakehouse.cli.results import SUFFIXES, Format, Session, save, show, write
from lakehouse.cli.show import console, errors, escape
from lakehouse.connection import Pins
from lakehouse.lake import Lake, LakeError


def add_to(app: typer.Typer) -> None:
    """Add the commands to the application."""
    for command in (sql,):
        app.command(rich_help_panel="Look into the lake")(command)


def sql(
    query: Annotated[
        str | None, typer.Argument(help="One or more queries; without any, standard input, or a prompt.")
    ] = None,
    form: Annotated[
        Format | None,
        typer.Option("--format", help="How the rows are written; json is one object a line.", show_default="table"),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="A file to write to: its name ends in .csv, .json, .jsonl or .parquet.")
    ] = None,
    max_rows: Annotated[int, typer.Option(min=1, help="Rows that a table shows at most.")] = 100,
    as_of: Annotated[
        str | None,
        typer.Option(help="Show only what a version was made from: shards/main@3.", metavar="TABLE[@V]"),
    ] = None,
) -> None:
    """Ask the lake in SQL (DuckDB).

    Every table is a view named <layer>.<name>, and so is each of its versions: filtered.web_clean_v3 is version 3.
    lake.<layer> holds the rows of all tables of a layer. Without a query it is a prompt, with history and completion.

        lakehouse sql "SELECT stage, rule, count(*) FROM rejects.web_clean GROUP BY ALL ORDER BY 3 DESC"
        lakehouse sql "FROM raw.web" --output web.parquet
        lakehouse sql "SHOW ALL TABLES"
    """
    form = _format(form, output)
    at_terminal = sys.stdin.isatty() and query is None
    if at_terminal and (output is not None or not sys.stdout.isatty()):
        raise LakeError(
            "A prompt needs a terminal, and writes to no file: give a query, or a script on standard input."
        )
    if form is Format.parquet and output is None and sys.stdout.isatty():
        raise LakeError("Parquet is no text: give --output FILE, or send standard output to a file or a program.")
    lake = existing_lake()
    with lake.connect(_pins(lake, as_of), others=as_of is None) as connection:
        session = Session(lake, connection, spin_while_writing=not sys.stdout.isatty() or output is not None)
        if at_terminal:
            from lakehouse.cli.prompt import run_prompt

            run_prompt(session, form, max_rows)
            return
        script = sys.stdin.read() if query is None else query
        if output is not None:
            _save(session, script, form, output)
        else:
            _print(session, script, form, max_rows)


def _pins(lake: Lake, as_of: str | None) -> Pins | None:
    if as_of is None:
        return None
    table, _, version = as_of.partition("@")
    if version and not version.isdecimal():
        raise LakeError(f"--as-of {as_of!r}: write a table, or a table and a version: shards/main@3.")
    return lake.as_of(table, int(version) if version else None)


def _format(form: Format | None, output: Path | None) -> Format:
    if output is None:
        return form or Format.table
    named = SUFFIXES.get(output.suffix.lower())
    if named is None:
        raise LakeError(f"{output}: the name of a file must end in one of {', '.join(SUFFIXES)}.")
    if form not in (None, named):
        raise LakeError(f"{output}: its name says {named}, --format says {form}. Leave --format out.")
    if not output.absolute().parent.is_dir():
        raise LakeError(f"{output}: there is no folder {output.absolute().parent}.")
    return named


def _print(session: Session, script: str, form: Format, max_rows: int) -> None:
    for answer in session.answers(script):
        if form is not Format.table:
            write(answer, form, sys.stdout.buffer)
            sys.stdout.flush()
            continue
        shown = show(answer, max_rows)
        if shown.of is None:
            console.print(f"The first {shown.rows:,} rows; --max-rows shows more.")
        elif shown.of > shown.rows:
            console.print(f"{shown.rows:,} of {shown.of:,} rows; --max-rows shows more.")


def _save(session: Session, script: str, form: Format, output: Path) -> None:
    answers = list(session.answers(script))
    if len(answers) != 1:
        raise LakeError(f"{output} was not written: a file holds one answer, and there are {len(answers)} with rows.")
    rows = save(answers[0], form, output)
    errors.print(f"{rows:,} rows in {escape(str(output))}", soft_wrap=True)
