"""A rule is a named condition on columns; deciding applies rules to measured documents.

Nothing here reads text: what another threshold would drop can be asked of the stored columns.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl


class RuleError(ValueError):
    """A rule that does not exist, a threshold that makes no sense, or documents that lack what a rule looks at."""


@dataclass(frozen=True)
class Column:
    """A column that a rule looks at. `annotator` is who measures it; None where it comes with the document."""

    name: str
    annotator: str | None = None

    @property
    def qualified(self) -> str:
        """Its name among the measured documents of a set: `gopher_quality.n_words`."""
        return f"{self.annotator}.{self.name}" if self.annotator else self.name

    def found_in(self, names: Collection[str]) -> str:
        """Its name in a frame that may have it with or without the annotator.

        Raises:
            KeyError: the frame has neither.
        """
        for name in (self.qualified, self.name):
            if name in names:
                return name
        raise KeyError(self.name)


@dataclass(frozen=True)
class Condition:
    """What a document must satisfy: its value in `column` is at least, at most, or one of something, or is not there.

    Attributes:
        rule: name in the reject ledger.
        stage: stage in the reject ledger.
        at_least, at_most, one_of, absent: exactly one is given; bounds are allowed values themselves.
        annotator: who measures `column`; None where it comes with the document.
        by_language: another bound for documents of some languages.
        evidence_column: what the ledger shows as evidence, of the same annotator, where it is not `column`.
    """

    rule: str
    stage: str
    column: str
    at_least: float | None = None
    at_most: float | None = None
    one_of: tuple[str, ...] | None = None
    absent: bool = False
    annotator: str | None = None
    by_language: tuple[tuple[str, float], ...] = ()
    evidence_column: str | None = None

    def __post_init__(self) -> None:
        if sum(test is not None for test in (self.at_least, self.at_most, self.one_of, self.absent or None)) != 1:
            raise RuleError(f"rule {self.rule!r} needs exactly one of at_least, at_most, one_of and absent.")

    @property
    def columns(self) -> tuple[Column, ...]:
        """What it looks at."""
        looked_at = {self.column: None, **({self.evidence_column: None} if self.evidence_column else {})}
        language = (Column("language"),) if self.by_language else ()
        return (*(Column(name, self.annotator) for name in looked_at), *language)

    def verdict(self, columns: Mapping[str, pl.DataType]) -> Verdict:
        """How documents with these columns are judged. One whose value is null (or not a number) passes."""
        name = Column(self.column, self.annotator).found_in(columns)
        found, evidence = pl.col(name), pl.lit(None, pl.String)
        shown = Column(self.evidence_column or self.column, self.annotator).found_in(columns)
        if self.evidence_column or self.absent or self.one_of is not None:
            is_list = columns[shown].base_type() == pl.List
            evidence = pl.col(shown).list.join(", ") if is_list else pl.col(shown).cast(pl.String)
        if self.one_of is not None:
            return Verdict(~found.is_in(self.one_of), evidence=evidence)
        if self.absent:
            return Verdict(found.is_not_null(), evidence=evidence)
        number, bound = found.cast(pl.Float64).fill_nan(None), self._bound()
        holds = number >= bound if self.at_least is not None else number <= bound
        return Verdict(~holds, value=number, threshold=bound, evidence=evidence)

    def _bound(self) -> pl.Expr:
        usual = pl.lit(self.at_most if self.at_least is None else self.at_least, pl.Float64)
        if not self.by_language:
            return usual
        languages, bounds = zip(*self.by_language, strict=True)
        return pl.col("language").replace_strict(languages, bounds, default=usual, return_dtype=pl.Float64)


@dataclass(frozen=True)
class Expression:
    """A rule of one's own: a document stays where an SQL expression over its columns is true, or null.

    Attributes:
        where: an expression of DuckDB.
        value: an expression for the number that the ledger shows; null without it.
        columns: what both look at.
    """

    rule: str
    where: str
    value: str | None
    columns: tuple[Column, ...]
    stage: str = "own"

    def verdict(self, columns: Mapping[str, pl.DataType]) -> Verdict:
        """How documents are judged that the expressions were evaluated for."""
        value = pl.col(f"{self.rule} value") if self.value else pl.lit(None, pl.Float64)
        return Verdict(~pl.col(f"{self.rule} holds"), value=value)

    @property
    def evaluated(self) -> Mapping[str, str]:
        """The expressions that must be evaluated before a verdict, by the name of their column."""
        return {f"{self.rule} holds": self.where} | ({f"{self.rule} value": self.value} if self.value else {})


@dataclass(frozen=True)
class Top:
    """Keep the best share of the documents that pass all rules, exactly; ties fall by a seeded hash of the text.

    Attributes:
        share: of the documents of each group; half a document counts as one.
        by: an expression of DuckDB: the score. Documents without one come last.
        per: columns whose values make the groups; all documents of a snapshot are one group without them.
        columns: what `by` and `per` look at.
    """

    rule: str
    share: float
    by: str
    per: tuple[str, ...]
    seed: int
    columns: tuple[Column, ...]
    stage: str = "percentile"

    @property
    def evaluated(self) -> Mapping[str, str]:
        """The score, by the name of its column."""
        return {f"{self.rule} score": self.by}


Rule = Condition | Expression | Top


@dataclass(frozen=True)
class Verdict:
    """Expressions over measured documents: whether one fails, and what the ledger says of it.

    A document of which `fails` is null passes: there is nothing to judge.
    """

    fails: pl.Expr
    value: pl.Expr = field(default_factory=lambda: pl.lit(None, pl.Float64))
    threshold: pl.Expr = field(default_factory=lambda: pl.lit(None, pl.Float64))
    evidence: pl.Expr = field(default_factory=lambda: pl.lit(None, pl.String))


def required_annotators(rules: Sequence[Rule]) -> set[str]:
    """Names of the annotators that must have measured the documents before a decision."""
    return {column.annotator for rule in rules for column in rule.columns if column.annotator is not None}


def parameters(rules: Sequence[Rule]) -> list[dict[str, Any]]:
    """The rules as plain JSON values, in order, for a configuration hash."""
    return [
        {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in given.items()
            if value is not None and value is not False and value != ()
        }
        for given in map(dataclasses.asdict, rules)
    ]
