"""From a model's score to the share of texts with that score that have the label."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from lakehouse.models.errors import ModelFileError

# A score of 0 or 1 would be infinitely far away from all others.
_LEAST = 1e-6


@dataclass(frozen=True)
class Calibration:
    """A rising function from scores (0..1) to probabilities (0..1).

    Attributes:
        method: `platt` is a line through the scores' log odds, `isotonic` a rising line through fitted points, `none`
            leaves the scores as they are.
        slope: of the line, for `platt`.
        intercept: of the line, for `platt`.
        scores: of the points, rising, for `isotonic`.
        probabilities: of the points, for `isotonic`.
    """

    method: Literal["none", "platt", "isotonic"] = "none"
    slope: float = 1.0
    intercept: float = 0.0
    scores: tuple[float, ...] = ()
    probabilities: tuple[float, ...] = ()

    def apply(self, scores: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """The probability of each of n scores."""
        if self.method == "platt":
            return 1 / (1 + np.exp(-(self.slope * log_odds(scores) + self.intercept)))
        if self.method == "isotonic":
            return np.interp(scores, self.scores, self.probabilities)
        return scores

    def as_json(self) -> dict[str, Any]:
        """The function as it stands in a model's card."""
        if self.method == "platt":
            return {"method": "platt", "slope": self.slope, "intercept": self.intercept}
        if self.method == "isotonic":
            return {"method": "isotonic", "scores": list(self.scores), "probabilities": list(self.probabilities)}
        return {"method": "none"}

    @staticmethod
    def from_json(content: Mapping[str, Any], where: str) -> Calibration:
        """Read the function from a model's card.

        Raises:
            ModelFileError: it is none.
        """
        try:
            method = content["method"]
            if method == "none":
                return Calibration()
            if method == "platt":
                line = Calibration("platt", float(content["slope"]), float(content["intercept"]))
                if np.isfinite([line.slope, line.intercept]).all():
                    return line
            if method == "isotonic":
                points = np.array([content["scores"], content["probabilities"]], np.float64)
                if points.shape[1] and np.isfinite(points).all() and (np.diff(points, axis=1) >= 0).all():
                    scores, probabilities = points.tolist()
                    return Calibration("isotonic", scores=tuple(scores), probabilities=tuple(probabilities))
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise ModelFileError(f"{where}: the calibration cannot be read: {error!r}.") from error
        raise ModelFileError(f"{where}: the calibration cannot be read: {str(dict(content))[:200]}.")


def log_odds(scores: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """log(p / (1 - p)) of each score; scores next to 0 and 1 are moved away from there."""
    inside = np.clip(scores, _LEAST, 1 - _LEAST)
    return np.log(inside) - np.log1p(-inside)
