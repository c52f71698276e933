"""Edits of texts: spans that are removed or replaced, as annotators find them.

A kept document carries the edits that were made to it, so they can be audited, and undone from its source.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from lakehouse import schema
from lakehouse.select.conditions import RuleError
from lakehouse.select.rules import Measured


@dataclass(frozen=True)
class Edits:
    """A column of edits that a filtered set makes: all of them, or those of some rules only."""

    annotator: str
    column: str
    only: tuple[str, ...] = ()

    @staticmethod
    def declared(given: str | Mapping[str, Mapping[str, Any]], measured: Measured) -> Edits:
        """The edits that are declared as `c4.line_edits`, or as {personal_data.personal: {only: [email_address]}}.

        Raises:
            RuleError: no annotator measures such a column.
        """
        name, settings = (given, {}) if isinstance(given, str) else next(iter(given.items()))
        annotator, _, column = name.partition(".")
        known = [
            f"{one}.{field.name}"
            for one, fields in measured.annotators.items()
            for field in fields
            if field.type == schema.EDITS
        ]
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            there = f"There are {', '.join(known)}." if known else "No annotator of the source finds any."
            hint = f"Did you mean {near[0]!r}?" if near else there
            raise RuleError(f"edits {name!r} are unknown. {hint}")
        if set(settings) - {"only"}:
            raise RuleError(f"edits {name!r}: the only key is only: a list of rules.")
        only = tuple(settings.get("only", ()))
        rules = measured.edit_rules.get(annotator, ())
        for rule in only if rules else ():
            if rule not in rules:
                near = difflib.get_close_matches(rule, rules, n=1)
                hint = f"Did you mean {near[0]!r}?" if near else f"There are {', '.join(rules)}."
                raise RuleError(f"edits {name!r} have no rule {rule!r}. {hint}")
        return Edits(annotator, column, only)

    def of(self, documents: pl.DataFrame) -> pl.Series:
        """The edits to make to n measured documents: n lists."""
        return documents.select(self.chosen()).to_series()

    def chosen(self) -> pl.Expr:
        """The column's edits, or those of the chosen rules."""
        found = pl.col(self.column)
        if not self.only:
            return found
        return found.list.eval(pl.element().filter(pl.element().struct.field("rule").is_in(list(self.only))))


def merge_edits(found: Sequence[pl.Series]) -> pl.Series:
    """Put the edits of n documents, which several annotators found, in one order without overlaps.

    An edit that lies inside another one goes; of two that overlap, the later one begins where the earlier one ends.

    Args:
        found: of each annotator n lists of edits; null is none.
    """
    if len(found) == 1:
        return found[0].fill_null([])
    kinds = pl.concat(
        one.alias("edit").to_frame().with_row_index("document").explode("edit").drop_nulls().unnest("edit")
        for one in found
    )
    ordered = kinds.sort("document", "start", pl.col("end"), descending=[False, False, True], maintain_order=True)
    # What has ended before: the greatest end so far within the document.
    reached = pl.col("end").cum_max().shift(1).over("document").fill_null(0)
    apart = (
        ordered.with_columns(reached=reached)
        .filter(pl.col("end") > pl.col("reached"))
        .with_columns(start=pl.max_horizontal("start", "reached"))
        .drop("reached")
    )
    merged = apart.group_by("document", maintain_order=True).agg(edits=pl.struct("start", "end", "rule", "replacement"))
    documents = pl.DataFrame({"document": range(len(found[0]))}, schema={"document": pl.UInt32})
    return documents.join(merged, on="document", how="left", maintain_order="left")["edits"].fill_null([])


def apply_edits(texts: pl.Series, edits: pl.Series) -> pl.Series:
    """Make the edits of n texts: lists of spans in order that do not overlap.

    Returns:
        n texts, without white space at their ends where they were edited.

    Raises:
        ValueError: a span lies outside its text: the edits are of another text.
    """
    changed = edits.list.len().fill_null(0) > 0
    if not changed.any():
        return texts
    edited = [
        _edited(text, spans) for text, spans in zip(texts.filter(changed), edits.filter(changed).to_list(), strict=True)
    ]
    return texts.scatter(changed.arg_true(), edited)


def _edited(text: str, spans: Sequence[Mapping[str, Any]]) -> str:
    parts, place = [], 0
    for span in spans:
        if not place <= span["start"] <= span["end"] <= len(text):
            raise ValueError(
                f"an edit from {span['start']} to {span['end']} does not fit a text of {len(text)} characters"
            )
        parts += [text[place : span["start"]], span["replacement"]]
        place = span["end"]
    return "".join([*parts, text[place:]]).strip()
