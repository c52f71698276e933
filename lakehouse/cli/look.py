"""Commands that look at the lake as a whole: status and doctor."""

from __future__ import annotations

import sys

import typer

from lakehouse.cli.show import console, escape, rows_table
from lakehouse.lake import Lake, LakeError, default_root


def add_to(app: typer.Typer) -> None:
    """Add the commands to the application."""
    for command in (status, doctor):
        app.command(rich_help_panel="Look into the lake")(command)


def status() -> None:
    """Show what is in the lake, and what a build would do."""
    from lakehouse.cli.runs import Builder

    lake = existing_lake()
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


def doctor() -> None:
    """Check that everything the lake needs is there: packages, disk, definitions, tables, endpoint."""
    from lakehouse.cli.doctor import findings

    found = list(findings(Lake(default_root())))
    for finding in found:
        mark = "[green]✓[/]" if finding.ok else "[red]✗[/]"
        console.print(f"{mark} {finding.what}: {escape(finding.detail)}")
    if not all(finding.ok for finding in found):
        sys.exit(1)


def existing_lake() -> Lake:
    """The lake that `LAKEHOUSE_ROOT` names.

    Raises:
        LakeError: there is nothing in it yet.
    """
    lake = Lake(default_root())
    if not lake.tables():
        raise LakeError(
            f"There is no lake at {lake.root} yet: run `lakehouse demo`, or `lakehouse ingest` and `lakehouse build` "
            "(LAKEHOUSE_ROOT says where it is)."
        )
    return lake
