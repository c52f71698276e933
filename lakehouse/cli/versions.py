"""Versions of tables: history."""

from __future__ import annotations

from typing import Annotated

import typer

from lakehouse.cli.look import existing_lake
from lakehouse.cli.show import console, rows_table


def add_to(app: typer.Typer) -> None:
    """Add the commands to the application."""
    for command in (history,):
        app.command(rich_help_panel="Versions")(command)


def history(table: Annotated[str, typer.Argument(help="A table, such as filtered/web_clean.")]) -> None:
    """Show every version of a table: when it was written, by which run, from which versions."""
    lake = existing_lake()
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
