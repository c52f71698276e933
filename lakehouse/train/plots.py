"""Pictures of how good a model is, as the bytes of PNG files."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LINE = "#4a6fa5"
_OTHER = "#c8553d"
_AID = "#9a9a9a"


def roc_and_calibration(
    title: str, rates: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]], area: float, table: list[dict[str, Any]]
) -> bytes:
    """The ROC curve, and how often examples of each bin of scores are positive.

    Args:
        title: shown above.
        rates: false and true positive rate at each threshold.
        area: under the curve.
        table: see `evaluation.calibration_table`.
    """
    figure = _figure(10, 4.4)
    curve, bins = figure.subplots(1, 2)
    curve.plot(*rates, color=_LINE)
    curve.plot([0, 1], [0, 1], color=_AID, linewidth=0.8, linestyle="--")
    curve.set(xlabel="false positive rate", ylabel="true positive rate", title=f"ROC: area {area:.4f}")
    filled = [row for row in table if row["n"]]
    bins.bar([row["from"] + 0.05 for row in table], [row["n"] for row in table], 0.09, color=_AID, alpha=0.35)
    bins.set(xlabel="calibrated score", ylabel="examples", title="Calibration on held-out examples")
    shares = bins.twinx()
    shares.plot([row["mean_score"] for row in filled], [row["positive_share"] for row in filled], "o-", color=_OTHER)
    shares.plot([0, 1], [0, 1], color=_AID, linewidth=0.8, linestyle="--")
    shares.set(ylim=(-0.02, 1.02), ylabel="share of positive examples")
    figure.suptitle(title, x=0.01, ha="left")
    return _png(figure)


def distributions(
    title: str, parts: dict[str, npt.NDArray[np.float64]], valley: float | None, unit: str = "perplexity per character"
) -> bytes:
    """How values of one or two sets are distributed, on a logarithmic axis, and the threshold between them."""
    figure = _figure(8, 4)
    axes = figure.subplots()
    values = np.concatenate(list(parts.values()))
    edges = np.geomspace(values.min(), values.max() * 1.0001, 60)
    for (name, part), colour in zip(parts.items(), (_OTHER, _LINE), strict=False):
        axes.hist(
            part.tolist(),
            edges.tolist(),
            weights=np.full(len(part), 1 / len(part)),
            color=colour,
            alpha=0.6,
            label=name,
        )
    if valley is not None:
        axes.axvline(valley, color="black", linestyle="--", linewidth=1, label=f"threshold {valley:.4g}")
    axes.set_xscale("log")
    axes.set(xlabel=unit, ylabel="share of texts")
    axes.set_title(title, loc="left")
    axes.legend()
    return _png(figure)


def _figure(width: float, height: float) -> Figure:
    # Importing it takes most of a second, which commands that draw nothing need not wait for.
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=90)
    return buffer.getvalue()
