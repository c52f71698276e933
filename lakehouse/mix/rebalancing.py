"""Draw documents in proportion to numbers of their own: those that many pages copied, or good ones, more often."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

_WHOLE = 1e-9
"""Repeats this near to a whole number are that number: sums of floats miss it by less."""


def supply(part: pl.DataFrame, cap: int) -> float:
    """Tokens of a component whose documents are each read as often as their relative repeats say, `cap` times at most.

    Args:
        part: n_tokens and relative, one row a document.
    """
    return float((part["n_tokens"] * part["relative"].clip(upper_bound=cap)).sum())


def draw_rebalanced(part: pl.DataFrame, target: int, cap: int) -> pl.DataFrame:
    """Draw documents in proportion to their relative repeats until their tokens reach the target.

    All relative repeats are multiplied by one number, so that the tokens reach the target; what exceeds `cap` is cut to
    it, and the others make up for it. The whole parts are taken as they are. Of the fractional parts a seeded draw
    makes whole repeats: documents take one more in the order of their key divided by their fraction, for as long as
    each brings the total nearer to the target. So a document is read as often as its share says, rounded up or down,
    and up the more probably, the greater its fraction. With equal relative repeats this is the draw of whole epochs.

    Args:
        part: row, doc_id, n_tokens (1 and above), relative (0 and above) and key (a seeded place, 0 to 2**63), one row
            a document.
        target: tokens to draw; not more than `cap` times those of the documents above 0.
        cap: how often one document may be read.

    Returns:
        The documents that are read, with `repeats` (1 to `cap`), in the order of the draw.

    Source: Messmer et al., FineWeb2: One Pipeline to Scale Them All, for the idea; Ohlsson, Sequential Poisson
    Sampling, for the draw.
    """
    part = part.filter(pl.col("relative") > 0).sort("key", "doc_id")
    if part.is_empty() or target <= 0:
        return part.head(0).with_columns(repeats=pl.lit(0, pl.Int64))
    tokens = part["n_tokens"].to_numpy()
    expected = _expected(part["relative"].to_numpy(), tokens, target, cap)
    nearest = np.rint(expected)
    expected = np.where(np.abs(expected - nearest) < _WHOLE, nearest, expected)
    repeats = np.floor(expected).astype(np.int64)
    fraction = expected - repeats
    open_ones = np.flatnonzero(fraction > 0)
    rank = (part["key"].to_numpy()[open_ones] + 0.5) / fraction[open_ones]
    order = open_ones[np.argsort(rank, kind="stable")]  # equal ranks stay in the order of the keys
    repeats[order[: _nearest(tokens[order], target - int(tokens @ repeats))]] += 1
    return part.with_columns(repeats=pl.Series(repeats)).filter(pl.col("repeats") > 0)


def _expected(
    relative: npt.NDArray[np.float64], tokens: npt.NDArray[np.int64], target: int, cap: int
) -> npt.NDArray[np.float64]:
    """Repeats, not whole yet, in proportion to `relative` up to `cap`, of `target` tokens in all."""
    falling = np.argsort(-relative, kind="stable")
    # Of the documents in this order the first `place` are cut to the cap, and the rest shares what is left.
    cut = np.concatenate([[0], np.cumsum(tokens[falling])])[:-1]
    shared = np.cumsum((tokens * relative)[falling][::-1])[::-1]
    scale = (target - cut * float(cap)) / shared
    fits = scale * relative[falling] <= cap
    place = int(np.argmax(fits)) if fits.any() else len(falling)
    if place == len(falling):
        return np.full(len(relative), float(cap))
    return np.minimum(cap, scale[place] * relative)


def _nearest(tokens: npt.NDArray[np.int64], wanted: int) -> int:
    """How many of the first documents have together about as many tokens as wanted; at the middle the fewer."""
    sums = np.concatenate([[0], np.cumsum(tokens)])
    found = max(int(np.searchsorted(sums, wanted, side="right")) - 1, 0)
    if found + 1 < len(sums) and sums[found + 1] - wanted < wanted - sums[found]:
        return found + 1
    return found
