"""How much of a mixture models wrote, by recipe, generator and generation depth, and the limits that are set on it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import polars as pl

from lakehouse.mix.mixture import MixtureError

ORIGIN = {"doc_id": pl.String, "recipe": pl.String, "model": pl.String, "depth": pl.Int64}
"""What is known of a synthetic document: who wrote it by which recipe, and how many models lie behind it."""


@dataclass(frozen=True)
class SyntheticLimits:
    """How much of a mixture may be synthetic.

    Attributes:
        max_share: the most tokens, repeats included, as a share (0..1) of all; None: any.
        max_depth: the deepest generation: 1 allows rewrites of natural text, and no rewrites of rewrites; None: any.

    Raises:
        MixtureError: a limit that cannot be one.
    """

    max_share: float | None = None
    max_depth: int | None = None

    def __post_init__(self) -> None:
        if self.max_share is not None and not (math.isfinite(self.max_share) and 0 <= self.max_share <= 1):
            raise MixtureError(f"synthetic: max_share is {self.max_share:g}: give a share from 0 to 1.")
        if self.max_depth is not None and self.max_depth < 0:
            raise MixtureError(f"synthetic: max_depth is {self.max_depth}: give 0 or more.")

    def broken_by(self, shares: pl.DataFrame) -> list[str]:
        """What exceeds a limit: for each limit that is exceeded a sentence that says by how much and what does most.

        Args:
            shares: what `synthetic_shares` returns.
        """
        found = []
        share = share_of_synthetic(shares)
        if self.max_share is not None and share > self.max_share:
            found.append(
                f"synthetic tokens are {_number(share, self.max_share)} of the mixture, max_share is "
                f"{self.max_share:g}, and {_most(shares.filter(pl.col('depth') > 0))}. Give synthetic components less "
                "weight, or raise max_share."
            )
        if self.max_depth is not None:
            deeper = shares.filter(pl.col("depth") > self.max_depth)
            if len(deeper):
                found.append(
                    f"{deeper['documents'].sum():,} documents are of depth {max(deeper['depth'])}, max_depth is "
                    f"{self.max_depth}, and {_most(deeper)}. Leave that set out of the components, or raise max_depth."
                )
        return found


def synthetic_shares(rows: pl.DataFrame, origins: pl.DataFrame) -> pl.DataFrame:
    """Count the documents and the tokens of a mixture by who wrote them.

    Args:
        rows: of the mixture: doc_id, tokens (of one repeat) and repeats.
        origins: the columns of `ORIGIN`, at most one row a document; a document without one is natural.

    Returns:
        One row each recipe, model and depth, sorted by depth, recipe and model: recipe, model, depth, documents (each
        once), tokens (with repeats), share (0..1, of the mixture's tokens). Natural text is of depth 0: a row with
        neither recipe nor model, and one for each recipe that left some of it as it was. The shares sum to 1.
    """
    known = rows.select("doc_id", read=pl.col("tokens") * pl.col("repeats")).join(
        origins.select(*ORIGIN), on="doc_id", how="left", validate="m:1"
    )
    by_writer = known.group_by("recipe", "model", pl.col("depth").fill_null(0)).agg(
        documents=pl.col("doc_id").n_unique().cast(pl.Int64), tokens=pl.col("read").sum()
    )
    total = max(int(by_writer["tokens"].sum()), 1)
    return by_writer.with_columns(share=pl.col("tokens") / total).sort("depth", "recipe", "model")


def share_of_synthetic(shares: pl.DataFrame) -> float:
    """The share (0..1) of a mixture's tokens that models wrote.

    Args:
        shares: what `synthetic_shares` returns.
    """
    # Of whole numbers, and not a sum of shares: 0.1 and 0.2 would exceed a limit of 0.3.
    total = int(shares["tokens"].sum())
    return int(shares.filter(pl.col("depth") > 0)["tokens"].sum()) / total if total else 0.0


def _most(shares: pl.DataFrame) -> str:
    """Which recipe has most tokens of these; the first by name where two have as many."""
    by_recipe = shares.group_by("recipe").agg(pl.col("tokens").sum(), pl.col("share").sum(), pl.col("model").unique())
    first = by_recipe.sort(["tokens", "recipe"], descending=[True, False]).row(0, named=True)
    models = ", ".join(sorted(first["model"]))
    return f"recipe {first['recipe']} (model {models}) has most of them, {first['share']:.4g} of the mixture"


def _number(share: float, limit: float) -> str:
    """A share with as many digits as tell it from the limit."""
    return next(
        (text for digits in (4, 8, 12) if (text := f"{share:.{digits}g}") != f"{limit:.{digits}g}"), repr(share)
    )
