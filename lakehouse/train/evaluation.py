"""How good a classifier is on examples that it was not trained on, and how its scores become probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from lakehouse.models import Calibration
from lakehouse.models.calibration import log_odds

Scores = npt.NDArray[np.float64]
Truth = npt.NDArray[np.bool_]
BINS = 10
_THRESHOLD = 0.5
_MOST_STEPS = 100


def roc_auc(scores: Scores, truth: Truth) -> float:
    """The chance that a positive example has a higher score than a negative one; equal scores count half.

    Args:
        scores: n scores.
        truth: n answers, some of either kind.
    """
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    mean_rank = np.cumsum(counts) - (counts - 1) / 2
    positive, negative = truth.sum(), (~truth).sum()
    return float((mean_rank[place][truth].sum() - positive * (positive + 1) / 2) / (positive * negative))


def roc_curve(scores: Scores, truth: Truth) -> tuple[Scores, Scores]:
    """The false positive rate and the true positive rate at each threshold, from none to all."""
    order = np.argsort(-scores, kind="stable")
    last_of_equal = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)
    hits = np.cumsum(truth[order])[last_of_equal]
    misses = last_of_equal + 1 - hits
    return np.append(0, misses / misses[-1]), np.append(0, hits / hits[-1])


def calibration_table(scores: Scores, truth: Truth) -> list[dict[str, Any]]:
    """Ten bins of equal width: from, to, n, mean_score, positive_share; the last two None in an empty bin."""
    bins = np.minimum((scores * BINS).astype(np.int64), BINS - 1)
    rows = []
    for number in range(BINS):
        inside = bins == number
        n = int(inside.sum())
        rows.append(
            {
                "from": number / BINS,
                "to": (number + 1) / BINS,
                "n": n,
                "mean_score": float(scores[inside].mean()) if n else None,
                "positive_share": float(truth[inside].mean()) if n else None,
            }
        )
    return rows


def expected_calibration_error(table: list[dict[str, Any]]) -> float:
    """The mean distance of score and share over the examples, as the bins of a calibration table show it.

    Source: Guo et al., On Calibration of Modern Neural Networks.
    """
    total = sum(row["n"] for row in table)
    return sum(row["n"] * abs(row["mean_score"] - row["positive_share"]) for row in table if row["n"]) / total


def fit_calibration(
    scores: Scores, truth: Truth, method: Literal["none", "platt", "isotonic"] = "platt"
) -> Calibration:
    """Fit the function from scores to probabilities.

    Platt's line keeps the order of the scores, and two numbers need few examples. Isotonic regression fits any rising
    function and gives the same probability to many scores, which rankings cannot use.

    Args:
        scores: n scores (0..1) of examples that the model was not trained on.
        truth: n answers, some of either kind.
        method: which function.
    """
    if method == "platt":
        return _platt(scores, truth)
    if method == "isotonic":
        return _isotonic(scores, truth)
    return Calibration()


@dataclass(frozen=True)
class Confusion:
    """How many examples of which kind were taken for which kind."""

    true_positive: int
    false_positive: int
    false_negative: int
    true_negative: int

    @property
    def precision(self) -> float | None:
        """The share of the examples called positive that are; None where none was."""
        called = self.true_positive + self.false_positive
        return self.true_positive / called if called else None

    @property
    def recall(self) -> float:
        """The share of the positive examples that were called so."""
        return self.true_positive / (self.true_positive + self.false_negative)

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall."""
        return 2 * self.true_positive / (2 * self.true_positive + self.false_positive + self.false_negative)


def confusion(scores: Scores, truth: Truth, threshold: float = _THRESHOLD) -> Confusion:
    """Compare n answers with what the scores say at a threshold."""
    called = scores >= threshold
    pairs = ((called & truth), (called & ~truth), (~called & truth), (~called & ~truth))
    return Confusion(*(int(pair.sum()) for pair in pairs))


def evaluate(scores: Scores, truth: Truth, calibration: Calibration) -> dict[str, Any]:
    """All figures of a classifier as JSON-able values.

    Args:
        scores: n scores as the model gives them.
        truth: n answers, some of either kind.
        calibration: fitted on other examples; the figures are of calibrated scores, except the error before it.
    """
    calibrated = calibration.apply(scores)
    found = confusion(calibrated, truth)
    table = calibration_table(calibrated, truth)
    return {
        "n": len(truth),
        "positive_share": float(truth.mean()),
        "roc_auc": roc_auc(scores, truth),
        "threshold": _THRESHOLD,
        "confusion": vars(found),
        "precision": found.precision,
        "recall": found.recall,
        "f1": found.f1,
        "expected_calibration_error": expected_calibration_error(table),
        "expected_calibration_error_before": expected_calibration_error(calibration_table(scores, truth)),
        "calibration_table": table,
    }


def _platt(scores: Scores, truth: Truth) -> Calibration:
    """Newton's method on the logistic loss, with targets that are never quite 0 or 1.

    Source: Platt, Probabilistic Outputs for Support Vector Machines; Lin et al., A Note on Platt's Probabilistic
    Outputs for Support Vector Machines.
    """
    positive, negative = truth.sum(), (~truth).sum()
    target = np.where(truth, (positive + 1) / (positive + 2), 1 / (negative + 2))
    inputs = np.stack([log_odds(scores), np.ones(len(scores))])
    line = np.array([0.0, np.log((positive + 1) / (negative + 1))])
    loss = _logistic_loss(line @ inputs, target)
    for _ in range(_MOST_STEPS):
        found = 1 / (1 + np.exp(-(line @ inputs)))
        slope = inputs @ (found - target)
        curvature = (inputs * (found * (1 - found))) @ inputs.T + 1e-9 * np.eye(2)
        step = np.linalg.solve(curvature, slope)
        size = 1.0
        while (reached := _logistic_loss((line - size * step) @ inputs, target)) > loss and size > 1e-9:
            size /= 2
        line, gained, loss = line - size * step, loss - reached, reached
        if gained < 1e-9:
            break
    if line[0] <= 0:
        # Scores that say nothing: a falling line would turn their order around.
        return Calibration("platt", 0.0, float(np.log((positive + 1) / (negative + 1))))
    return Calibration("platt", float(line[0]), float(line[1]))


def _logistic_loss(odds: Scores, target: Scores) -> float:
    return float((np.logaddexp(0, odds) - target * odds).sum())


def _isotonic(scores: Scores, truth: Truth) -> Calibration:
    """Pool neighbours until the shares rise; between two pools the line goes straight.

    Source: Zadrozny and Elkan, Transforming Classifier Scores into Accurate Multiclass Probability Estimates.
    """
    distinct, place = np.unique(scores, return_inverse=True)
    counts, hits = np.bincount(place).astype(float), np.bincount(place, truth)
    pools: list[list[float]] = []  # hits, examples, first score, last score
    for score, count, hit in zip(distinct.tolist(), counts.tolist(), hits.tolist(), strict=True):
        pools.append([hit, count, score, score])
        while len(pools) > 1 and pools[-2][0] * pools[-1][1] >= pools[-1][0] * pools[-2][1]:
            hit, count, _, last = pools.pop()
            pools[-1] = [pools[-1][0] + hit, pools[-1][1] + count, pools[-1][2], last]
    points = [(score, hit / count) for hit, count, first, last in pools for score in dict.fromkeys((first, last))]
    return Calibration("isotonic", scores=tuple(p for p, _ in points), probabilities=tuple(p for _, p in points))
