"""A condition is a named rule on one column; deciding applies conditions to measured documents.

Nothing here reads text: what another threshold would drop can be asked of the stored columns.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl


class RuleError(ValueError):
    """A rule that does not exist, a threshold that makes no sense, or documents that lack what a rule looks at."""


@dataclass(frozen=True)
class Condition:
    """What a document must satisfy: its value in `column` is at least, at most, or one of something.

    Attributes:
        rule: name in the reject ledger.
        stage: stage in the reject ledger.
        at_least, at_most, one_of: exactly one is given; bounds are allowed values themselves.
        annotator: who measures `column`; None where it comes with the document.
    """

    rule: str
    stage: str
    column: str
    at_least: float | None = None
    at_most: float | None = None
    one_of: tuple[str, ...] | None = None
    annotator: str | None = None

    def __post_init__(self) -> None:
        if sum(test is not None for test in (self.at_least, self.at_most, self.one_of)) != 1:
            raise RuleError(f"rule {self.rule!r} needs exactly one of at_least, at_most and one_of.")

    @property
    def threshold(self) -> float | None:
        """The bound; None where membership is asked."""
        return self.at_most if self.at_least is None else self.at_least

    def fails(self) -> pl.Expr:
        """Whether a document fails. One whose value is null (or not a number) does not: there is nothing to judge."""
        if self.one_of is not None:
            holds = pl.col(self.column).is_in(self.one_of)
        elif self.at_least is not None:
            holds = self._number() >= self.at_least
        else:
            holds = self._number() <= self.at_most
        return (~holds).fill_null(False)

    def value(self) -> pl.Expr:
        """The measured number; null where membership is asked."""
        return self._number() if self.one_of is None else pl.lit(None, pl.Float64)

    def evidence(self) -> pl.Expr:
        """What was found where membership is asked; null otherwise."""
        return pl.lit(None, pl.String) if self.one_of is None else pl.col(self.column)

    def _number(self) -> pl.Expr:
        return pl.col(self.column).cast(pl.Float64).fill_nan(None)


def required_annotators(conditions: Sequence[Condition]) -> set[str]:
    """Names of the annotators that must have measured the documents before a decision."""
    return {condition.annotator for condition in conditions if condition.annotator is not None}


def parameters(conditions: Sequence[Condition]) -> list[dict[str, Any]]:
    """The conditions as plain JSON values, in order, for a configuration hash."""
    return [
        {name: list(value) if isinstance(value, tuple) else value for name, value in given.items() if value is not None}
        for given in map(dataclasses.asdict, conditions)
    ]


def decide(measured: pl.DataFrame, conditions: Sequence[Condition]) -> pl.DataFrame:
    """Decide which documents are kept.

    Args:
        measured: n rows with doc_id and the column of each condition.
        conditions: in the order in which they take the blame.

    Returns:
        n rows in the same order: doc_id; kept; stage, rule, value, threshold and evidence of the first condition that
        failed (null for kept documents); failed, the rules of all that did.

    Raises:
        RuleError: a column is missing.
    """
    for condition in conditions:
        if condition.column not in measured.columns:
            raise RuleError(
                f"rule {condition.rule!r} looks at the column {condition.column!r}, which these documents don't have."
            )
    fails = [f"fails {place}" for place in range(len(conditions))]  # no column of a document has a space in its name
    marked = measured.with_columns(
        condition.fails().alias(mark) for mark, condition in zip(fails, conditions, strict=True)
    )

    def of_first_failure(values: list[pl.Expr], data_type: type[pl.DataType]) -> pl.Expr:
        found = pl.lit(None, data_type)
        for mark, value in zip(reversed(fails), reversed(values), strict=True):
            found = pl.when(mark).then(value.cast(data_type)).otherwise(found)
        return found

    return marked.select(
        "doc_id",
        kept=~pl.any_horizontal(pl.lit(False), *fails),
        stage=of_first_failure([pl.lit(condition.stage) for condition in conditions], pl.String),
        rule=of_first_failure([pl.lit(condition.rule) for condition in conditions], pl.String),
        value=of_first_failure([condition.value() for condition in conditions], pl.Float64),
        threshold=of_first_failure([pl.lit(condition.threshold) for condition in conditions], pl.Float64),
        evidence=of_first_failure([condition.evidence() for condition in conditions], pl.String),
        failed=pl.concat_list(
            pl.lit(None, pl.String),
            *(pl.when(mark).then(pl.lit(one.rule)) for mark, one in zip(fails, conditions, strict=True)),
        ).list.drop_nulls(),
    )
