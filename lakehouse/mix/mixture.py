"""Draw a mixture: named components with weights, a token budget and a seed in, documents in training order out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from lakehouse import identity, schema
from lakehouse.mix.rebalancing import draw_rebalanced, supply

STAGE = 1
"""Every document is of the one stage that there is."""

_SLICE = 250_000


class MixtureError(ValueError):
    """A mixture is declared in a way that cannot be drawn, or its candidates contradict it."""


@dataclass(frozen=True)
class Component:
    """One source of a mixture.

    Attributes:
        table: the table that it is drawn from, such as ``filtered/web_clean``.
        weight: its share of the tokens, relative to the other weights.
        max_repeats: how many times its documents may be read, on average: 1.5 is once all, then a half again. Where it
            is rebalanced, how many times each of them may be: a whole number.
        rebalanced: whether its documents are drawn in proportion to their `relative_repeats`, instead of all alike.
    """

    table: str
    weight: float
    max_repeats: float = 1.0
    rebalanced: bool = False


@dataclass(frozen=True)
class MixtureOutcome:
    """A mixture that was drawn.

    Attributes:
        rows: the columns of `schema.MIXTURES`, in training order.
        summary: one row a component, as declared: component, weight (share 0..1), target_tokens, available_tokens,
            tokens, documents, share (of the mixture's tokens), repeats (tokens per available token), short (the target
            needs more repeats than are allowed).
        by_repeats: for each component, as declared, one row a number of repeats, 0 included: component, repeats,
            documents, tokens (of one repeat each), tokens_read.
    """

    rows: pl.DataFrame
    summary: pl.DataFrame
    by_repeats: pl.DataFrame


def mix(
    candidates: pl.DataFrame, components: Sequence[Component], *, token_budget: int | None, seed: int
) -> MixtureOutcome:
    """Draw documents from each component until its share of the budget is reached.

    A component's documents are put in an order that depends on the seed and their texts alone, so two crawls of the
    same texts give the same mixture. Whole epochs are taken first, then documents in that order for as long as each
    brings the total nearer to the target; where the last one would miss it by as much as it was missed before, it
    stays out. A component never exceeds its max_repeats. One that cannot reach its target is `short`: the mixture is
    smaller, and the others keep their targets. The training order is a second shuffle, independent of the first.
    Takes about 400 bytes of memory a candidate, the candidates included.

    The documents of a rebalanced component are drawn in proportion to their `relative_repeats` instead; see
    `rebalancing.draw_rebalanced`.

    Args:
        candidates: doc_id (unique), snapshot, component (a table), text_id, n_tokens, parents; where a component is
            rebalanced also relative_repeats (0 and above; null for documents of the other components).
        token_budget: tokens of the whole mixture, repeats included; None for the most that keeps the weights and every
            max_repeats, components without documents left aside. Of a rebalanced component the most is then each
            document as often as its relative_repeats say, so that 2 means twice.

    Raises:
        MixtureError: the declaration is not valid; a candidate is of no component, has no tokens, is there twice, or
            has no relative repeats where it needs them.
    """
    _check_declaration(components, token_budget)
    _check_candidates(candidates, components)
    relative = pl.col("relative_repeats") if "relative_repeats" in candidates.columns else pl.lit(None, pl.Float64)
    rows = candidates.select("component", "doc_id", "n_tokens", relative=relative, key=_keys(seed, "draw", candidates))
    rows = rows.with_row_index("row")
    parts = {part.table: rows.filter(pl.col("component") == part.table) for part in components}
    limits = {part.table: _limit(part, parts[part.table]) for part in components}
    total_weight = math.fsum(part.weight for part in components)
    budget = _most(components, limits, total_weight) if token_budget is None else token_budget
    drawn, summary = [], []
    for component in components:
        part, limit = parts[component.table], limits[component.table]
        target = round(budget * component.weight / total_weight)
        if token_budget is None and limit.offered:
            target = min(target, math.floor(limit.offered))  # they differ by the rounding
        wanted = min(target, limit.capacity)
        taken = draw_rebalanced(part, wanted, limit.cap) if component.rebalanced else _draw(part, wanted, limit)
        tokens = int((taken["n_tokens"] * taken["repeats"]).sum())
        drawn.append(taken.select("component", "row", "n_tokens", "repeats"))
        summary.append(
            {
                "component": component.table,
                "weight": component.weight / total_weight,
                "target_tokens": target,
                "available_tokens": limit.available,
                "tokens": tokens,
                "documents": len(taken),
                "repeats": tokens / limit.available if tokens else 0.0,
                "short": target > limit.capacity,
            }
        )
    read = pl.concat(drawn)
    return MixtureOutcome(_ordered(candidates, read, seed), _with_shares(summary), _by_repeats(rows, read, components))


@dataclass(frozen=True)
class _Limit:
    """What a component has: its tokens, the most that may be drawn, and what it offers where no budget says how many.

    `cap` is how many times one document may be read; it counts where the component is rebalanced.
    """

    available: int
    capacity: int
    offered: float
    cap: int


def _limit(component: Component, part: pl.DataFrame) -> _Limit:
    available, most = int(part["n_tokens"].sum()), component.max_repeats
    if not component.rebalanced:
        return _Limit(available, math.floor(available * most), available * most, 0)
    drawable = int(part.filter(pl.col("relative") > 0)["n_tokens"].sum())
    return _Limit(available, drawable * int(most), supply(part, int(most)), int(most))


def _check_declaration(components: Sequence[Component], token_budget: int | None) -> None:
    if not components:
        raise MixtureError("a mixture needs at least one component.")
    for component in components:
        for what, value in (("weight", component.weight), ("max_repeats", component.max_repeats)):
            if not (math.isfinite(value) and value > 0):
                raise MixtureError(
                    f"component {component.table!r}: {what} is {value}, it must be above 0. "
                    "To leave a component out, delete its line."
                )
        if component.rebalanced and component.max_repeats != int(component.max_repeats):
            raise MixtureError(
                f"component {component.table!r} has repeats of its documents, and none can be read "
                f"{component.max_repeats:g} times: give max_repeats a whole number."
            )
    tables = [component.table for component in components]
    twice = sorted({table for table in tables if tables.count(table) > 1})
    if twice:
        raise MixtureError(f"component {twice[0]!r} is declared {tables.count(twice[0])} times: give it one weight.")
    if token_budget is not None and token_budget <= 0:
        raise MixtureError(
            f"token_budget is {token_budget}, it must be above 0; leave it out to use all tokens there are."
        )


def _check_candidates(candidates: pl.DataFrame, components: Sequence[Component]) -> None:
    unknown = set(candidates["component"].unique()) - {component.table for component in components}
    if unknown:
        raise MixtureError(f"there are candidates of {sorted(unknown)[0]!r}, which is no component of the mixture.")
    empty = candidates.filter(pl.col("n_tokens") < 1)
    if len(empty):
        raise MixtureError(f"document {empty['doc_id'][0]} has {empty['n_tokens'][0]} tokens: tokenize it first.")
    _check_relative(candidates, [component.table for component in components if component.rebalanced])
    if candidates["doc_id"].n_unique() < len(candidates):
        doc_id = str(candidates.filter(pl.col("doc_id").is_duplicated())["doc_id"].min())
        tables = sorted(candidates.filter(pl.col("doc_id") == doc_id)["component"].unique())
        raise MixtureError(
            f"document {doc_id} is a candidate more than once, in {' and '.join(tables)}: components must not overlap. "
            "Narrow one of them with a `where`."
        )


def _check_relative(candidates: pl.DataFrame, rebalanced: Sequence[str]) -> None:
    if not rebalanced:
        return
    if "relative_repeats" not in candidates.columns:
        raise MixtureError(f"component {rebalanced[0]!r} is rebalanced: its candidates need relative_repeats.")
    number = pl.col("relative_repeats")
    allowed = (number.is_finite() & (number >= 0)).fill_null(False)
    wrong = candidates.filter(pl.col("component").is_in(rebalanced) & ~allowed)
    if len(wrong):
        row = wrong.sort("doc_id").row(0, named=True)
        value = "null" if row["relative_repeats"] is None else f"{row['relative_repeats']:g}"
        raise MixtureError(
            f"component {row['component']!r}: the repeats of document {row['doc_id']} are {value} "
            f"({len(wrong):,} such documents): they must be a number of 0 or more. Where something was not measured, "
            "coalesce(…, 1) gives a number."
        )


def _most(components: Sequence[Component], limits: Mapping[str, _Limit], total_weight: float) -> float:
    """The largest total at which every component that offers something keeps its weight and what it offers."""
    return min(
        (
            limits[component.table].offered / component.weight * total_weight
            for component in components
            if limits[component.table].offered
        ),
        default=0.0,
    )


def _draw(part: pl.DataFrame, target: int, limit: _Limit) -> pl.DataFrame:
    """Rows of one component with their `repeats` (1 or more), whose tokens come as near to `target` as rows can."""
    part = part.sort("key", "doc_id")
    sums = np.concatenate([[0], np.cumsum(part["n_tokens"].to_numpy())])
    epochs, rest = divmod(target, int(sums[-1]) or 1)
    more = int(np.searchsorted(sums, rest, side="right")) - 1
    if more + 1 < len(sums):
        nearer = sums[more + 1] - rest < rest - sums[more]
        more += int(nearer and epochs * sums[-1] + sums[more + 1] <= limit.capacity)
    repeats = epochs + (pl.int_range(pl.len()) < more).cast(pl.Int64)
    return part.with_columns(repeats=repeats).filter(pl.col("repeats") > 0)


def _keys(seed: int, purpose: str, rows: pl.DataFrame) -> pl.Series:
    """A seeded place for the text of each row; each purpose is a shuffle of its own."""
    keys = np.empty(len(rows), dtype=np.int64)
    for start in range(0, len(rows), _SLICE):
        some = rows.slice(start, _SLICE)
        pairs = zip(some["component"].to_list(), some["text_id"].to_list(), strict=True)
        keys[start : start + len(some)] = [identity.order_key(seed, purpose, *pair) for pair in pairs]
    return pl.Series(keys)


def _ordered(candidates: pl.DataFrame, drawn: pl.DataFrame, seed: int) -> pl.DataFrame:
    rows = candidates[drawn["row"]]
    rows = rows.with_columns(
        drawn["repeats"], order_key=_keys(seed, "order", rows), stage=pl.lit(STAGE, pl.Int64), tokens="n_tokens"
    )
    return rows.select(schema.MIXTURES.names).sort("order_key", "doc_id")


def _by_repeats(rows: pl.DataFrame, read: pl.DataFrame, components: Sequence[Component]) -> pl.DataFrame:
    """How many documents and tokens of each component are read how often."""
    places = pl.DataFrame({"component": [part.table for part in components]}).with_row_index("place")
    repeats = rows.select("component", "row", "n_tokens").join(read.select("row", "repeats"), on="row", how="left")
    counted = repeats.group_by("component", repeats=pl.col("repeats").fill_null(0)).agg(
        documents=pl.len().cast(pl.Int64), tokens=pl.col("n_tokens").sum()
    )
    counted = counted.join(places, on="component").sort("place", "repeats").drop("place")
    return counted.with_columns(tokens_read=pl.col("tokens") * pl.col("repeats"))


def _with_shares(summary: list[dict[str, object]]) -> pl.DataFrame:
    frame = pl.DataFrame(summary)
    total = int(frame["tokens"].sum())
    return frame.select(
        "component",
        "weight",
        "target_tokens",
        "available_tokens",
        "tokens",
        "documents",
        share=pl.col("tokens") / max(total, 1),
        repeats="repeats",
        short="short",
    )
