"""Plots that materialisations carry as metadata: pictures in Markdown, which the Dagster UI shows as they are."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import dagster as dg
import numpy as np
import polars as pl

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LEFT = "#4a6fa5"
_LOST = "#c8553d"


@dataclass(frozen=True)
class _Bar:
    label: str
    start: float
    length: float
    text: str
    colour: str = _LEFT


def waterfall(title: str, steps: Sequence[tuple[str, int]], *, unit: str = "documents") -> dg.MarkdownMetadataValue:
    """What came in, what each rule took away, and what is left, as bars from top to bottom.

    Args:
        title: shown above.
        steps: the first is what came in; each that follows is what one rule dropped, in the order of the rules.
        unit: what is counted.
    """
    came_in, remaining = steps[0]
    drawn = [_Bar(came_in, 0, remaining, f"{remaining:,}")]
    for rule, dropped in steps[1:]:
        remaining -= dropped
        drawn.append(_Bar(rule, remaining, dropped, f"{dropped:,}", _LOST))
    return _picture(title, unit, [*drawn, _Bar("kept", 0, remaining, f"{remaining:,}")])


def bars(title: str, values: Sequence[tuple[str, float]], *, unit: str) -> dg.MarkdownMetadataValue:
    """One bar a value, from top to bottom in the order given."""
    return _picture(title, unit, [_Bar(label, 0, value, f"{value:,.10g}") for label, value in values])


def _picture(title: str, unit: str, drawn: Sequence[_Bar]) -> dg.MarkdownMetadataValue:
    # Importing it takes most of a second, which commands that draw nothing need not wait for.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 0.9 + 0.36 * max(len(drawn), 1)), layout="constrained")
    axes = figure.subplots()
    boxes = axes.barh(
        range(len(drawn)),
        [bar.length for bar in drawn],
        left=[bar.start for bar in drawn],
        color=[bar.colour for bar in drawn],
    )
    axes.set_yticks(range(len(drawn)), [bar.label for bar in drawn])
    axes.bar_label(boxes, labels=[bar.text for bar in drawn], padding=3)
    axes.invert_yaxis()
    axes.set_xlabel(unit)
    axes.set_title(title, loc="left")
    axes.margins(x=0.15)
    axes.spines[["top", "right"]].set_visible(False)
    return _markdown(figure)


def histograms(
    title: str, values: pl.DataFrame, bounds: Mapping[str, Sequence[float]] | None = None
) -> dg.MarkdownMetadataValue:
    """How the numbers of each column are distributed, with the bounds that are set on them as lines.

    A column's lowest and highest percent are drawn at its ends, so that one huge value leaves the others visible.
    """
    from matplotlib.figure import Figure

    numbers = [name for name, kind in values.schema.items() if kind.is_numeric()]
    rows = max((len(numbers) + 2) // 3, 1)
    height = 0.4 + 1.3 * rows
    figure = Figure(figsize=(9, height))
    figure.text(0.01, 1 - 0.15 / height, title, va="top", fontsize=10)
    for place, name in enumerate(numbers):
        # Inches from the top left, as fractions: matplotlib's own layouts take longer than the drawing.
        left, top = 0.02 + (place % 3) / 3, 0.6 + 1.3 * (place // 3)
        axes = figure.add_axes((left, 1 - (top + 0.85) / height, 0.3, 0.8 / height))
        found = values[name].drop_nulls().cast(pl.Float64).drop_nans()
        lines = list((bounds or {}).get(name, ()))
        if len(found):
            low, high = (float(found.quantile(share) or 0) for share in (0.01, 0.99))
            low, high = (low, high) if low < high else (low - 0.5, high + 0.5)
            counts, edges = np.histogram(found.clip(low, high).to_numpy(), bins=40, range=(low, high))
            axes.stairs(counts, edges, fill=True, color=_LEFT)
            lines = [line for line in lines if low <= line <= high]
        for line in lines:
            axes.axvline(line, color=_LOST, linewidth=1)
        axes.set_title(name.rpartition(".")[2], fontsize=8, loc="left", pad=2)
        axes.locator_params(axis="x", nbins=5)
        axes.tick_params(labelsize=6)
        axes.set_yticks([])
        axes.spines[["top", "right", "left"]].set_visible(False)
    return _markdown(figure)


def _markdown(figure: Figure) -> dg.MarkdownMetadataValue:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=80)
    data = base64.b64encode(buffer.getvalue()).decode()
    return dg.MetadataValue.md(f"![plot](data:image/png;base64,{data})")
