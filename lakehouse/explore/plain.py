"""Text and tables from the web, shown as text whatever they say.

The tables of the page's framework make links and pictures of addresses, and fetch them.
"""

from __future__ import annotations

import html
from typing import Any

import polars as pl

_CELL_CHARACTERS = 2_000
_TEXT_STYLE = "white-space: pre-wrap; overflow: auto; font-size: 0.8rem; margin: 0; max-height: "
_TABLE_STYLE = "border-collapse: collapse; font-size: 0.8rem"
_HEAD_STYLE = "position: sticky; top: 0; background: var(--background, white); text-align: left; padding: 0.2rem 0.6rem"
_CELL_STYLE = "border-top: 1px solid #8884; vertical-align: top; padding: 0.2rem 0.6rem"
_VALUE_STYLE = "white-space: pre-wrap; overflow: auto; max-height: 8rem; max-width: 40rem"


def text(value: str, height: str = "28rem") -> str:
    """A text as HTML that shows nothing but its characters, in a box of at most a CSS height."""
    return f'<pre style="{_TEXT_STYLE}{height}">{html.escape(value)}</pre>'


def table(rows: pl.DataFrame, height: str = "36rem") -> str:
    """Rows as an HTML table that shows nothing but characters; long values are cut, numbers are on the right."""
    numeric = [dtype.is_numeric() for dtype in rows.dtypes]
    head = "".join(f'<th style="{_HEAD_STYLE}">{html.escape(name)}</th>' for name in rows.columns)
    body = "".join(
        f"<tr>{''.join(map(_cell, row, numeric))}</tr>"
        for row in rows.iter_rows()  # as many as a page shows
    )
    return (
        f'<div style="overflow: auto; max-height: {height}"><table style="{_TABLE_STYLE}">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _cell(value: Any, numeric: bool) -> str:
    align = "; text-align: right" if numeric else ""
    return f'<td style="{_CELL_STYLE}{align}"><div style="{_VALUE_STYLE}">{_shown(value, numeric)}</div></td>'


def _shown(value: Any, numeric: bool) -> str:
    if value is None:
        return '<span style="opacity: 0.5">NULL</span>'
    if numeric:
        return f"{value:,}"
    whole = str(value)
    cut = f"{whole[:_CELL_CHARACTERS]} … {len(whole):,} characters" if len(whole) > _CELL_CHARACTERS else whole
    return html.escape(cut)
