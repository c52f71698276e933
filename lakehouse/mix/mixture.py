"""Draw a mixture: named components with weights, a token budget and a seed in, documents in training order out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from lakehouse import identity, schema

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
        max_repeats: how many times its documents may be read, on average: 1.5 is once all, then a half again.
    """

    table: str
    weight: float
    max_repeats: float = 1.0


@dataclass(frozen=True)
class MixtureOutcome:
    """A mixture that was drawn.

    Attributes:
        rows: the columns of `schema.MIXTURES`, in training order.
        summary: one row a component, as declared: component, weight (share 0..1), target_tokens, available_tokens,
            tokens, documents, share (of the mixture's tokens), repeats (tokens per available token), short (the target
            needs more repeats than are allowed).
    """

    rows: pl.DataFrame
    summary: pl.DataFrame


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

    Args:
        candidates: doc_id (unique), snapshot, component (a table), text_id, n_tokens, parents.
        token_budget: tokens of the whole mixture, repeats included; None for the most that keeps the weights and every
            max_repeats, components without documents left aside.

    Raises:
        MixtureError: the declaration is not valid, a candidate is of no component, has no tokens, or is there twice.
    """
    _check_declaration(components, token_budget)
    _check_candidates(candidates, components)
    rows = candidates.select("component", "doc_id", "n_tokens", key=_keys(seed, "draw", candidates))
    rows = rows.with_row_index("row")
    tokens_of = dict(rows.group_by("component").agg(pl.col("n_tokens").sum()).iter_rows())
    available = {component.table: tokens_of.get(component.table, 0) for component in components}
    total_weight = math.fsum(part.weight for part in components)
    budget = _most(components, available, total_weight) if token_budget is None else token_budget
    drawn, summary = [], []
    for component in components:
        capacity = math.floor(available[component.table] * component.max_repeats)
        target = round(budget * component.weight / total_weight)
        if token_budget is None and available[component.table]:
            target = min(target, capacity)  # they differ by the rounding
        taken = _draw(rows.filter(pl.col("component") == component.table), min(target, capacity), capacity)
        tokens = int((taken["n_tokens"] * taken["repeats"]).sum())
        drawn.append(taken.select("row", "repeats"))
        summary.append(
            {
                "component": component.table,
                "weight": component.weight / total_weight,
                "target_tokens": target,
                "available_tokens": available[component.table],
                "tokens": tokens,
                "documents": len(taken),
                "repeats": tokens / available[component.table] if tokens else 0.0,
                "short": target > capacity,
            }
        )
    return MixtureOutcome(_ordered(candidates, pl.concat(drawn), seed), _with_shares(summary))


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
    if candidates["doc_id"].n_unique() < len(candidates):
        doc_id = str(candidates.filter(pl.col("doc_id").is_duplicated())["doc_id"].min())
        tables = sorted(candidates.filter(pl.col("doc_id") == doc_id)["component"].unique())
        raise MixtureError(
            f"document {doc_id} is a candidate more than once, in {' and '.join(tables)}: components must not overlap. "
            "Narrow one of them with a `where`."
        )


def _most(components: Sequence[Component], available: dict[str, int], total_weight: float) -> float:
    """The largest total at which every component that has documents keeps its weight and its max_repeats."""
    return min(
        (
            available[component.table] * component.max_repeats / component.weight * total_weight
            for component in components
            if available[component.table]
        ),
        default=0.0,
    )


def _draw(part: pl.DataFrame, target: int, capacity: int) -> pl.DataFrame:
    """Rows of one component with their `repeats` (1 or more), whose tokens come as near to `target` as rows can."""
    part = part.sort("key", "doc_id")
    sums = np.concatenate([[0], np.cumsum(part["n_tokens"].to_numpy())])
    epochs, rest = divmod(target, int(sums[-1]) or 1)
    more = int(np.searchsorted(sums, rest, side="right")) - 1
    if more + 1 < len(sums):
        nearer = sums[more + 1] - rest < rest - sums[more]
        more += int(nearer and epochs * sums[-1] + sums[more + 1] <= capacity)
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
