"""Plots that materialisations carry as metadata: pictures in Markdown, which the Dagster UI shows as they are."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import dagster as dg

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
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=80)
    data = base64.b64encode(buffer.getvalue()).decode()
    return dg.MetadataValue.md(f"![plot](data:image/png;base64,{data})")
