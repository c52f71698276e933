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
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LEFT = "#4a6fa5"
_LOST = "#c8553d"
_PARTS = (_LEFT, "#e1a948", _LOST, "#6b4c7a", "#4f8a63", "#8c8c8c")
_COLUMNS = 3
_BINS = 40


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


def stacked_bars(title: str, values: Sequence[tuple[str, str, float]], *, unit: str) -> dg.MarkdownMetadataValue:
    """One bar a label, from top to bottom in the order given, made of parts that a legend tells apart.

    Args:
        title: shown above.
        values: label of the bar, name of its part, length of the part; each pair of label and name once.
        unit: what is counted.
    """
    from matplotlib.figure import Figure

    labels = list(dict.fromkeys(label for label, _, _ in values))
    lengths = {(label, part): length for label, part, length in values}
    figure = Figure(figsize=(8, 1.2 + 0.36 * max(len(labels), 1)), layout="constrained")
    axes = figure.subplots()
    ends = [0.0] * len(labels)
    for place, part in enumerate(dict.fromkeys(part for _, part, _ in values)):
        drawn = [lengths.get((label, part), 0) for label in labels]
        boxes = axes.barh(range(len(labels)), drawn, left=ends, color=_PARTS[place % len(_PARTS)], label=part)
        ends = [end + length for end, length in zip(ends, drawn, strict=True)]
    if labels:
        axes.bar_label(boxes, labels=[f"{end:,.10g}" for end in ends], padding=3)  # the last part ends where bars do
        figure.legend(loc="outside lower center", ncols=len(_PARTS), frameon=False, fontsize=8)
    _bar_axes(axes, title, unit, labels)
    return _markdown(figure)


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
    axes.bar_label(boxes, labels=[bar.text for bar in drawn], padding=3)
    _bar_axes(axes, title, unit, [bar.label for bar in drawn])
    return _markdown(figure)


def _bar_axes(axes: Axes, title: str, unit: str, labels: Sequence[str]) -> None:
    """Name the bars from top to bottom, and what they count."""
    axes.set_yticks(range(len(labels)), labels)
    axes.invert_yaxis()
    axes.set_xlabel(unit)
    axes.set_title(title, loc="left")
    axes.margins(x=0.15)
    axes.spines[["top", "right"]].set_visible(False)


def curve(
    title: str, values: Sequence[tuple[float, float]], *, across: str, up: str, mark: float
) -> dg.MarkdownMetadataValue:
    """A line through points from left to right, with a place across marked."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3), layout="constrained")
    axes = figure.subplots()
    axes.plot([x for x, _ in values], [y for _, y in values], color=_LEFT)
    axes.axvline(mark, color=_LOST, linewidth=1)
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.set_title(title, loc="left")
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
    rows = max(-(-len(numbers) // _COLUMNS), 1)
    figure = Figure(figsize=(9, 0.5 + 1.1 * rows))
    # All in one system of axes: one for each histogram would take matplotlib ten times as long.
    axes = figure.add_axes((0.01, 0.01, 0.98, 0.98))
    axes.set_xlim(0, _COLUMNS)
    axes.set_ylim(-rows, 0.4)
    axes.set_axis_off()
    axes.text(0, 0.2, title, fontsize=10)
    for place, name in enumerate(numbers):
        found = values[name].drop_nulls().cast(pl.Float64).drop_nans()
        _histogram(axes, place % _COLUMNS, -(place // _COLUMNS), name, found, (bounds or {}).get(name, ()))
    return _markdown(figure)


def _histogram(axes: Axes, left: float, top: float, name: str, values: pl.Series, bounds: Sequence[float]) -> None:
    """Draw one into the square below and to the right of a corner, with its least and its greatest number."""
    width, bottom, height = 0.92, top - 0.82, 0.58
    axes.text(left, top - 0.16, name.rpartition(".")[2], fontsize=8)
    axes.plot([left, left + width], [bottom, bottom], color="black", linewidth=0.5)
    if values.is_empty():
        axes.text(left, bottom + 0.1, "nothing was measured", fontsize=7, color="gray")
        return
    low, high = (float(values.quantile(share) or 0) for share in (0.01, 0.99))
    low, high = (low, high) if low < high else (low - 0.5, high + 0.5)
    counts, _ = np.histogram(values.clip(low, high).to_numpy(), bins=_BINS, range=(low, high))
    places = left + width * np.repeat(np.arange(_BINS + 1), 2) / _BINS
    heights = np.concatenate([[0], np.repeat(counts, 2), [0]]) / counts.max()
    axes.fill(places, bottom + height * heights, color=_LEFT, linewidth=0)
    axes.text(left, bottom - 0.13, f"{low:.3g}", fontsize=6)
    axes.text(left + width, bottom - 0.13, f"{high:.3g}", fontsize=6, ha="right")
    for bound in bounds:
        if low <= bound <= high:
            place = left + width * (bound - low) / (high - low)
            axes.plot([place, place], [bottom, bottom + height], color=_LOST, linewidth=1)
            axes.text(place, bottom - 0.13, f"{bound:.3g}", fontsize=6, ha="center", color=_LOST)


def _markdown(figure: Figure) -> dg.MarkdownMetadataValue:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=80)
    data = base64.b64encode(buffer.getvalue()).decode()
    return dg.MetadataValue.md(f"![plot](data:image/png;base64,{data})")
