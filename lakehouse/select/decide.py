"""From measured documents and rules to verdicts: kept, or which rules failed."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from lakehouse.identity import order_key
from lakehouse.select import expressions
from lakehouse.select.conditions import Column, Condition, Expression, Rule, RuleError, Top, Verdict

_AT_ONCE = 16_384


def decide(measured: pl.DataFrame, rules: Sequence[Rule]) -> pl.DataFrame:
    """Decide which documents are kept.

    Args:
        measured: n rows with doc_id and the columns of each rule; text_id too where a share is kept.
        rules: in the order in which they take the blame. Shares (`Top`) are taken of what passes all others.

    Returns:
        n rows in the same order: doc_id; kept; stage, rule, value, threshold and evidence of the first rule that
        failed (null for kept documents); failed, the names of all that did.

    Raises:
        RuleError: a column is missing.
    """
    _check_columns(measured, rules)
    for rule in rules:
        if isinstance(rule, Expression | Top):
            measured = expressions.evaluated(measured, rule.evaluated, _sql_columns(rule))
    judging = [rule for rule in rules if not isinstance(rule, Top)]
    found = [rule.verdict(measured.schema) for rule in judging]
    # Which rules failed takes much memory while it is put together: a part of the documents at a time.
    parts = [_blamed(part, judging, found) for part in measured.iter_slices(_AT_ONCE)]
    verdicts = pl.concat(parts) if parts else _blamed(measured, judging, found)
    for rule in rules:
        if isinstance(rule, Top):
            verdicts = _share_kept(measured, verdicts, rule)
    return verdicts


def _sql_columns(rule: Expression | Top) -> list[Column]:
    return [column for column in rule.columns if not isinstance(rule, Top) or column.name not in rule.per]


def _check_columns(measured: pl.DataFrame, rules: Sequence[Rule]) -> None:
    for rule in rules:
        for column in rule.columns:
            try:
                column.found_in(measured.columns)
            except KeyError as error:
                raise RuleError(
                    f"rule {rule.rule!r} looks at the column {column.name!r}, which these documents don't have."
                ) from error


def _blamed(
    measured: pl.DataFrame, rules: Sequence[Condition | Expression], verdicts: Sequence[Verdict]
) -> pl.DataFrame:
    fails = [f"fails {place}" for place in range(len(rules))]  # no column of a document has a space in its name
    marked = measured.with_columns(
        verdict.fails.fill_null(False).alias(mark) for mark, verdict in zip(fails, verdicts, strict=True)
    )

    def of_first_failure(values: list[pl.Expr], data_type: type[pl.DataType]) -> pl.Expr:
        found = pl.lit(None, data_type)
        for mark, value in zip(reversed(fails), reversed(values), strict=True):
            found = pl.when(mark).then(value.cast(data_type)).otherwise(found)
        return found

    return marked.select(
        "doc_id",
        kept=~pl.any_horizontal(pl.lit(False), *fails),
        stage=of_first_failure([pl.lit(rule.stage) for rule in rules], pl.String),
        rule=of_first_failure([pl.lit(rule.rule) for rule in rules], pl.String),
        value=of_first_failure([verdict.value for verdict in verdicts], pl.Float64),
        threshold=of_first_failure([verdict.threshold for verdict in verdicts], pl.Float64),
        evidence=of_first_failure([verdict.evidence for verdict in verdicts], pl.String),
        failed=pl.concat_list(
            pl.lit(None, pl.String),
            *(pl.when(mark).then(pl.lit(rule.rule)) for mark, rule in zip(fails, rules, strict=True)),
        ).list.drop_nulls(),
    )


def _share_kept(measured: pl.DataFrame, verdicts: pl.DataFrame, rule: Top) -> pl.DataFrame:
    """Drop, of the documents that are still kept, all but the best share of each group."""
    groups = [column.found_in(measured.columns) for column in rule.columns if column.name in rule.per]
    score = f"{rule.rule} score"
    candidates = measured.with_row_index("place").filter(verdicts["kept"]).select("place", *groups, "text_id", score)
    ties = pl.Series("tie", [order_key(rule.seed, text) for text in candidates["text_id"]], dtype=pl.Int64)
    # The place settles what no score and no text can: two copies of one text with one score.
    ranked = candidates.with_columns(ties).sort(
        score, "tie", "place", descending=[True, False, False], nulls_last=True, maintain_order=True
    )
    size = pl.len().over(groups) if groups else pl.len()
    rank = pl.int_range(pl.len()).over(groups) if groups else pl.int_range(pl.len())
    wanted = (size * rule.share + 0.5).floor()
    last_kept = pl.col(score).filter(pl.col("kept")).last()
    ranked = ranked.with_columns(kept=rank < wanted)
    dropped = ranked.with_columns(threshold=last_kept.over(groups) if groups else last_kept).filter(~pl.col("kept"))
    marks = dropped.select(pl.col("place").cast(pl.UInt32), pl.col(score).alias("score"), bound="threshold")
    joined = verdicts.with_row_index("place").join(
        marks.with_columns(missed=pl.lit(True)), on="place", how="left", maintain_order="left"
    )
    missed = pl.col("missed").fill_null(False)
    return joined.select(
        "doc_id",
        kept=pl.col("kept") & ~missed,
        stage=pl.when(missed).then(pl.lit(rule.stage)).otherwise("stage"),
        rule=pl.when(missed).then(pl.lit(rule.rule)).otherwise("rule"),
        value=pl.when(missed).then("score").otherwise("value"),
        threshold=pl.when(missed).then("bound").otherwise("threshold"),
        evidence="evidence",
        failed=pl.when(missed).then(pl.lit([rule.rule])).otherwise("failed"),
    )
