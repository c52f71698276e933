"""How the command shows things: tables, progress and errors on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import polars as pl
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as RichProgress
from rich.table import Table

from lakehouse.compute import Progress

console = Console(highlight=False)
errors = Console(file=sys.stderr, highlight=False)  # not the standard error of the moment: runs redirect it


class ProgressBars(Progress):
    """A bar for each run of `lakehouse.compute` that is going on; it goes away when the run is over."""

    def __init__(self) -> None:
        self._bars = RichProgress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("[dim]{task.fields[note]}"),
            console=errors,
            transient=True,
            disable=not errors.is_terminal,
        )
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> ProgressBars:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def start(self, task: str, total: int) -> None:
        """Show a bar for `task`."""
        self._tasks[task] = self._bars.add_task(escape(task), total=total, note="")

    def advance(self, task: str, units: int = 1) -> None:
        """Move the bar of `task`."""
        self._bars.advance(self._tasks[task], units)

    def note(self, task: str, text: str) -> None:
        """Show a few words behind the bar of `task`."""
        self._bars.update(self._tasks[task], note=escape(text))

    def finish(self, task: str) -> None:
        """Take the bar of `task` away."""
        self._bars.remove_task(self._tasks.pop(task))


def frame_table(frame: pl.DataFrame, *, title: str | None = None, max_width: int = 60) -> Table:
    """A table of a frame's rows; numbers to the right, long texts cut."""
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for name, kind in frame.schema.items():
        table.add_column(name, justify="right" if kind.is_numeric() else "left", overflow="fold")
    for row in frame.iter_rows():
        table.add_row(*(escape(_cell(value, max_width)) for value in row))
    return table


def rows_table(rows: Sequence[dict[str, Any]], *, title: str | None = None) -> Table:
    """A table of a few records that share their keys; nothing is cut."""
    return frame_table(pl.DataFrame(rows, infer_schema_length=None), title=title, max_width=1_000)


def _cell(value: Any, max_width: int) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, Decimal):
        return f"{value:,.0f}" if value == value.to_integral_value() else f"{value:,f}"
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    text = str(value)
    return text if len(text) <= max_width else text[: max_width - 1] + "…"
