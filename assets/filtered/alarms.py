"""Alarms of a filtered set: asset checks that warn of a filter that does not do what was meant. They stop nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import dagster as dg
import numpy as np
import polars as pl
from pydantic import Field

from assets.filtered.work import Outcome
from assets.materialization import Attributes, asset_key, table_metadata
from lakehouse.select import Column, Condition, Rule, RuleError

_DESCRIPTIONS = {
    "rules_leave_something": "No rule drops every document.",
    "rules_drop_something": "Every rule drops a document of a large snapshot.",
    "losses_in_bounds": "No source, host or language loses more than the set share of its documents.",
    "duplicates_in_bounds": "No source loses more than a set share as copies, and nothing stands for too many.",
    "no_drift": "What the rules look at is distributed as in the snapshot before.",
}


_GROUPS = ("source", "host", "language")


class Alarms(Attributes):
    """When a filtered set warns."""

    max_loss: dict[str, float] = Field(
        default={"source": 0.99, "host": 1.0, "language": 0.95},
        description="Greatest share of its documents that a source, host or language may lose; those in no kept "
        "language aside.",
    )
    max_duplicates: float = Field(
        default=0.9,
        ge=0,
        le=1,
        description="Greatest share of what its rules let pass that a source may lose as copies.",
    )
    max_cluster: int = Field(default=10_000, ge=1, description="How many near copies one document may stand for.")
    max_drift: float = Field(
        default=0.2, gt=0, le=1, description="Greatest Kolmogorov-Smirnov distance to the snapshot before, per column."
    )
    max_idle: int = Field(
        default=10_000, ge=1, description="How many documents of a snapshot a rule may judge and drop none."
    )
    min_documents: int = Field(
        default=200, ge=1, description="Groups and snapshots with fewer documents raise no alarm."
    )


def check_alarms(settings: Alarms) -> None:
    """Make sure that losses are asked of groups that there are.

    Raises:
        RuleError: they are not, or a share is none.
    """
    for group, share in settings.max_loss.items():
        if group not in _GROUPS or not 0 <= share <= 1:
            raise RuleError(
                f"alarms: max_loss of {group!r} is {share}; it takes {', '.join(_GROUPS)} and shares up to 1."
            )


def alarm_specs(table: str) -> list[dg.AssetCheckSpec]:
    """The checks that warn of a filtered set."""
    return [dg.AssetCheckSpec(name, asset=asset_key(table), description=text) for name, text in _DESCRIPTIONS.items()]


def alarms(
    table: str,
    settings: Alarms,
    rules: Sequence[Rule],
    outcome: Outcome,
    before: Mapping[str, pl.Series],
) -> Iterator[dg.AssetCheckResult]:
    """Judge what a filter did with one snapshot.

    Args:
        outcome: the documents as they were judged, and the ledger rows of those that were dropped.
        before: the values of each column that rules look at in the snapshot before; none without one.
    """
    measured, rejects = outcome.measured, outcome.dropped
    dropped_by = rejects.select(pl.col("failed").explode()).to_series().value_counts()
    counts = dict(dropped_by.iter_rows())
    enough = measured.height >= settings.min_documents
    greedy = [rule.rule for rule in rules if enough and counts.get(rule.rule, 0) == measured.height]
    idle = [rule.rule for rule in rules if measured.height > settings.max_idle and not counts.get(rule.rule, 0)]
    losses = _losses(settings, measured, rejects)
    drifted = _drift(settings, rules, measured, before)
    found: dict[str, Sequence[Any]] = {
        "rules_leave_something": greedy,
        "rules_drop_something": idle,
        "losses_in_bounds": losses,
        "duplicates_in_bounds": _duplicates(settings, measured, rejects),
        "no_drift": drifted,
    }
    for name, complaints in found.items():
        rows = [one if isinstance(one, dict) else {"rule": one} for one in complaints]
        yield dg.AssetCheckResult(
            asset_key=asset_key(table),
            check_name=name,
            passed=not rows,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"documents": measured.height, "found": table_metadata(rows[:200])},
        )


def _losses(settings: Alarms, measured: pl.DataFrame, rejects: pl.DataFrame) -> list[dict[str, Any]]:
    """Groups that lose too much. A language that is not wanted is meant to be lost."""
    unwanted = rejects.filter(pl.col("stage") == "language").select("doc_id")
    judged = measured.join(unwanted, on="doc_id", how="anti").with_columns(
        lost=pl.col("doc_id").is_in(rejects["doc_id"].implode())
    )
    found = []
    for group, bound in sorted(settings.max_loss.items()):
        lost = judged.group_by(group).agg(documents=pl.len(), loss=pl.col("lost").mean())
        # A bound of 1 asks whether a group loses everything.
        too_much = pl.col("loss") >= 1 if bound == 1 else pl.col("loss") > bound
        bad = lost.filter((pl.col("documents") >= settings.min_documents) & too_much).sort("documents", group)
        found += [{"group": f"{group} {row[0]}", "documents": row[1], "lost": row[2]} for row in bad.iter_rows()]
    return found


def _duplicates(settings: Alarms, measured: pl.DataFrame, rejects: pl.DataFrame) -> list[dict[str, Any]]:
    """Sources that lose too much as copies, and documents that stand for too many near ones."""
    copies = rejects.filter(pl.col("stage") == "duplicates")
    ruled_out = rejects.filter(pl.col("stage") != "duplicates").select("doc_id")
    passed = measured.join(ruled_out, on="doc_id", how="anti")
    lost = passed.with_columns(lost=pl.col("doc_id").is_in(copies["doc_id"].implode()))
    by_source = lost.group_by("source").agg(documents=pl.len(), loss=pl.col("lost").mean()).sort("source")
    bad = by_source.filter((pl.col("documents") >= settings.min_documents) & (pl.col("loss") > settings.max_duplicates))
    found = [{"group": f"source {row[0]}", "documents": row[1], "lost": row[2]} for row in bad.iter_rows()]
    near = copies.filter(pl.col("rule") != "exact_duplicate").group_by("kept_id").len().sort("len", "kept_id")
    giant = near.filter(pl.col("len") > settings.max_cluster)
    return found + [{"group": f"copies of {row[0]}", "documents": row[1], "lost": 1.0} for row in giant.iter_rows()]


def _drift(
    settings: Alarms, rules: Sequence[Rule], measured: pl.DataFrame, before: Mapping[str, pl.Series]
) -> list[dict[str, Any]]:
    found = []
    for name in numeric_columns(rules, measured):
        if name in before and min(len(before[name]), measured.height) >= settings.min_documents:
            distance = _distance(measured[name], before[name])
            if distance > settings.max_drift:
                medians = float(before[name].median() or 0), float(measured[name].median() or 0)  # type: ignore[arg-type]
                found.append({"column": name, "distance": distance, "median_before": medians[0], "median": medians[1]})
    return found


def numeric_columns(rules: Sequence[Rule], measured: pl.DataFrame) -> list[str]:
    """The numbers that rules look at, by their names among the measured documents."""
    looked_at = dict.fromkeys(column.found_in(measured.columns) for rule in rules for column in rule.columns)
    return [name for name in looked_at if measured[name].dtype.is_numeric()]


def thresholds_of(rules: Sequence[Rule], column: str) -> list[float]:
    """The bounds that rules set on a column of the measured documents."""
    bounds = [
        one.at_most if one.at_least is None else one.at_least
        for one in rules
        if isinstance(one, Condition) and Column(one.column, one.annotator).qualified == column
    ]
    return sorted({bound for bound in bounds if bound is not None})


def _distance(one: pl.Series, other: pl.Series) -> float:
    """The Kolmogorov-Smirnov distance: the greatest difference of the two cumulative distributions."""
    first, second = (np.sort(values.drop_nulls().drop_nans().cast(pl.Float64).to_numpy()) for values in (one, other))
    if not len(first) or not len(second):
        return 0.0
    places = np.concatenate([first, second])
    shares = [np.searchsorted(values, places, side="right") / len(values) for values in (first, second)]
    return float(np.abs(shares[0] - shares[1]).max())
