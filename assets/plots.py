"""Plots that materialisations carry as metadata: pictures in Markdown, which the Dagster UI shows as they are."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import dagster as dg
from matplotlib.figure import Figure

_BAR = "#4a6fa5"
_LOSS = "#c8553d"


def waterfall(title: str, steps: Sequence[tuple[str, int]], *, unit: str = "documents") -> dg.MarkdownMetadataValue:
    """What came in, what each rule took away, and what is left, as bars from top to bottom.

    Args:
        title: shown above.
        steps: the first is what came in; each that follows is what one rule dropped, in the order of the rules.
        unit: what is counted.
    """
    figure = Figure(figsize=(8, 0.9 + 0.36 * (len(steps) + 1)), layout="constrained")
    axes = figure.subplots()
    remaining = steps[0][1]
    labels, lefts, widths, colours = [steps[0][0]], [0], [remaining], [_BAR]
    for label, dropped in steps[1:]:
        remaining -= dropped
        labels.append(label)
        lefts.append(remaining)
        widths.append(dropped)
        colours.append(_LOSS)
    bars = axes.barh([*labels, "kept"], [*widths, remaining], left=[*lefts, 0], color=[*colours, _BAR])
    axes.bar_label(bars, labels=[f"{width:,}" for width in (*widths, remaining)], padding=3)
    axes.invert_yaxis()
    axes.set_xlabel(unit)
    axes.set_title(title, loc="left")
    axes.margins(x=0.15)
    return _picture(figure)


def bars(title: str, values: Sequence[tuple[str, float]], *, unit: str) -> dg.MarkdownMetadataValue:
    """One bar a value, from top to bottom in the order given."""
    figure = Figure(figsize=(8, 0.9 + 0.36 * max(len(values), 1)), layout="constrained")
    axes = figure.subplots()
    drawn = axes.barh([label for label, _ in values], [value for _, value in values], color=_BAR)
    axes.bar_label(drawn, labels=[f"{value:,.4g}" for _, value in values], padding=3)
    axes.invert_yaxis()
    axes.set_xlabel(unit)
    axes.set_title(title, loc="left")
    axes.margins(x=0.15)
    return _picture(figure)


def _picture(figure: Figure) -> dg.MarkdownMetadataValue:
    for side in ("top", "right"):
        figure.axes[0].spines[side].set_visible(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=80)
    data = base64.b64encode(buffer.getvalue()).decode()
    return dg.MetadataValue.md(f"![plot](data:image/png;base64,{data})")
