"""How surprising two sets of texts are to a model, and the threshold between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from lakehouse.models import NgramModel
from lakehouse.train import plots
from lakehouse.train.evaluation import roc_auc

Values = npt.NDArray[np.float64]
_GRID = 512
_PERCENTILES = (1, 5, 25, 50, 75, 95, 99)


@dataclass(frozen=True)
class Distributions:
    """What is known of the perplexities of held-out texts of the kind trained on, and of others.

    Attributes:
        figures: percentiles of each set, and where there are other texts: the area under the ROC curve, the suggested
            threshold and the share of each set below it.
        plot: a PNG.
    """

    figures: dict[str, Any]
    plot: bytes


def perplexities(model: NgramModel, texts: pl.Series) -> Values:
    """The perplexity per character of each text that has characters."""
    logs, characters = model.score(texts)
    return np.exp(-logs[characters > 0] / characters[characters > 0])


def compare(title: str, harmful: Values, other: Values | None) -> Distributions:
    """Compare perplexities of texts like those trained on with perplexities of others.

    Args:
        title: of the plot.
        harmful: of held-out texts, at least one.
        other: of texts to keep, at least one; None: there are none to compare with.
    """
    figures: dict[str, Any] = {"harmful": _percentiles(harmful)}
    parts = {"harmful, held out": harmful}
    threshold = None
    if other is not None:
        threshold = valley(harmful, other)
        scores = np.concatenate([other, harmful])
        figures |= {
            "other": _percentiles(other),
            "roc_auc": roc_auc(scores, np.arange(len(scores)) < len(other)),
            "threshold": threshold,
            "harmful_below": float((harmful < threshold).mean()),
            "other_below": float((other < threshold).mean()),
        }
        parts["other"] = other
    return Distributions(figures, plots.distributions(title, parts, threshold))


def valley(low: Values, high: Values) -> float:
    """The value between the medians of two sets where both together are rarest; each set weighs the same.

    The densities are smoothed in logarithms. Where there is no valley between the medians, it is where the two
    densities cross, or halfway.

    Args:
        low: n positive values.
        high: m positive values.
    """
    sides = np.log(low), np.log(high)
    start, end = sorted(float(np.median(side)) for side in sides)
    if start == end:
        return float(np.exp(start))
    grid = np.linspace(start, end, _GRID)
    density = np.sum([_density(side, grid) for side in sides], axis=0)
    return float(np.exp(grid[int(np.argmin(density))]))


def _density(values: Values, grid: Values) -> Values:
    """A Gaussian kernel density with Silverman's width, over a histogram so that many values take no time."""
    spread = min(float(values.std()), float(np.subtract(*np.percentile(values, [75, 25]))) / 1.34)
    width = max(0.9 * spread * len(values) ** -0.2, float(np.ptp(grid)) / 50)
    counts, edges = np.histogram(values, 2_048)
    centres = (edges[1:] + edges[:-1]) / 2
    kernel = np.exp(-0.5 * ((grid[:, None] - centres[None, :]) / width) ** 2)
    return kernel @ counts / (len(values) * width)


def _percentiles(values: Values) -> dict[str, Any]:
    found = np.percentile(values, _PERCENTILES).tolist()
    return {"n": len(values), **{f"p{share}": value for share, value in zip(_PERCENTILES, found, strict=True)}}
