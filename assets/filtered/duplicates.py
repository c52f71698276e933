"""What a filtered set declares of copies: which documents are copies of each other, and which of them stays."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pydantic
from pydantic import Field

from assets.materialization import Attributes
from assets.measure import annotation_table
from lakehouse import schema
from lakehouse.select import Column, Measured, RuleError, check_type

_KEYS = {
    "text": "text_id",
    # The scheme, the fragment and a last slash make no other page.
    "url": "rtrim(regexp_replace(regexp_replace(url, '#.*$', ''), '^https?://', ''), '/')",
}
_ORDERS = {"longest": "n_chars DESC", "shortest": "n_chars", "oldest": "fetched_at", "newest": "fetched_at DESC"}
_LOOKED_AT = {"minhash": "shingles", "semantic": "embedding"}
_ANNOTATORS = {"minhash": "minhash", "semantic": "embedding"}
_THRESHOLDS = {"exact": 1.0, "minhash": 0.7, "semantic": 0.95}
LEAST_SIMILARITY = {"minhash": 0.5, "semantic": 0.8}
"""Pairs below are not stored: thresholds can move above without a comparison being made again."""


class Duplicates(Attributes):
    """How copies are found and dropped, and which of them stays."""

    method: Literal["exact", "minhash", "semantic"] = Field(
        default="exact",
        description="exact: the same key; minhash: exact copies and near ones, by their shingles; "
        "semantic: by their embeddings.",
    )
    by: str = Field(
        default="text", description="The key of method exact: text (normalised), url, or an SQL expression."
    )
    scope: Literal["snapshot", "all_snapshots"] = Field(
        default="all_snapshots", description="Where copies are looked for: all_snapshots also in those before."
    )
    keep: str = Field(
        default="longest",
        description="Which copy stays: longest, shortest, oldest, newest, or what follows ORDER BY in SQL, such as "
        "quality.score DESC, n_chars DESC.",
    )
    newcomers: Literal["lose", "compete"] | None = Field(
        default=None,
        description="Whether a copy of a later snapshot may win, whereupon the snapshot of the other is written anew; "
        "compete where the newest is kept, else lose.",
    )
    against: list[str] = Field(
        default_factory=list, description="Other tables whose documents win: what they hold is dropped."
    )
    threshold: float | None = Field(
        default=None, gt=0, le=1, description="From which similarity on documents are copies: 0.7; semantic: 0.95."
    )
    annotator: str | None = Field(
        default=None, description="The source's annotator that is compared by: minhash or embedding without it."
    )

    @staticmethod
    def declared(settings: Mapping[str, Any]) -> Duplicates:
        """What stands in a `defs.yaml`.

        Raises:
            RuleError: a key or a value is not allowed.
        """
        try:
            return Duplicates(**settings)
        except pydantic.ValidationError as error:
            problem = error.errors(include_url=False)[0]
            key = str(problem["loc"][0])
            if problem["type"] != "extra_forbidden":
                raise RuleError(f"duplicates: {key!r}: {problem['msg']}.") from error
            near = difflib.get_close_matches(key, Duplicates.model_fields, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else f"There are {', '.join(Duplicates.model_fields)}."
            raise RuleError(f"duplicates: key {key!r} is unknown. {hint}") from error


@dataclass(frozen=True)
class CopyRule:
    """One way in which a set drops copies, resolved.

    Attributes:
        method: exact, minhash or semantic.
        name: of the rule in the ledger.
        key: SQL expression of what copies share; None where they are compared.
        order: what follows ORDER BY, the best copy first; ties fall to the longest, the smallest address and the
            smallest doc_id.
        key_columns: what the key looks at.
        order_columns: what the order looks at.
        all_snapshots: whether copies are looked for in earlier snapshots too.
        compete: whether copies of later snapshots may win.
        against: tables whose documents win.
        threshold: from which similarity on documents are copies.
        annotator: whose measurements are compared; None for keys.
    """

    method: str
    name: str
    key: str | None
    order: str
    key_columns: tuple[Column, ...]
    order_columns: tuple[Column, ...]
    all_snapshots: bool
    compete: bool
    against: tuple[str, ...]
    threshold: float
    annotator: str | None

    @property
    def looks_before(self) -> bool:
        """Whether what earlier snapshots kept decides."""
        return self.all_snapshots and not self.compete

    def pairs(self, name: str) -> str | None:
        """The table of the pairs that were compared for the set `name`; None for keys."""
        return None if self.annotator is None else f"pairs/{name}/{self.annotator}"

    def compared(self, source: str) -> list[str]:
        """The tables of what is compared: of the source's documents, then of those that it is compared with."""
        if self.annotator is None:
            return []
        return [annotation_table(table, self.annotator) for table in (source, *self.against)]


def copy_rule(declared: Duplicates, source: str, measured: Measured) -> CopyRule:
    """Resolve what is declared.

    Args:
        declared: how copies are dropped.
        source: the table that the set selects from.
        measured: what there is to look at.

    Raises:
        RuleError: a column, a table or an annotator does not exist, or an expression is none.
    """
    _check_method(declared)
    order = _ORDERS.get(declared.keep, declared.keep)
    if "fetched_at" in order and "fetched_at" not in measured.document.names:
        raise RuleError(f"duplicates: {source} does not say when its documents were fetched: keep another copy.")
    key = _KEYS.get(declared.by, declared.by) if declared.method == "exact" else None
    key_columns = measured.columns(key, "duplicates") if key else ()
    if any(column.annotator for column in key_columns):
        raise RuleError(f"duplicates: by looks at the columns of {source} only, not at what annotators measure.")
    for table in declared.against:
        if table.split("/")[0] not in ("raw", "filtered"):
            raise RuleError(f"duplicates: against {table!r} is neither raw/… nor filtered/….")
        schema.layer_of(table)
    annotator = None
    if declared.method != "exact":
        annotator = declared.annotator or _ANNOTATORS[declared.method]
        _check_annotator(declared.method, annotator, source, measured)
    names = {"minhash": "near_duplicate", "semantic": "semantic_duplicate"}
    by_key = {"text": "exact_duplicate", "url": "url_duplicate"}
    return CopyRule(
        method=declared.method,
        name=names.get(declared.method, by_key.get(declared.by, "key_duplicate")),
        key=key,
        order=order,
        key_columns=tuple(key_columns),
        order_columns=tuple(_order_columns(order, measured)),
        all_snapshots=declared.scope == "all_snapshots",
        compete=declared.scope == "all_snapshots"
        and (declared.newcomers or ("compete" if declared.keep == "newest" else "lose")) == "compete",
        against=tuple(declared.against),
        threshold=declared.threshold or _THRESHOLDS[declared.method],
        annotator=annotator,
    )


def rank_expression(rule: CopyRule) -> str:
    """The SQL expression of a document's rank among all: 1 is the best."""
    return f"rank() OVER (ORDER BY {rule.order})"


def _check_method(declared: Duplicates) -> None:
    method, least = declared.method, LEAST_SIMILARITY.get(declared.method, 0.0)
    if method != "exact" and declared.by != "text":
        raise RuleError(f"duplicates: by is for method exact; {method} compares by what its annotator measures.")
    if method == "exact" and (declared.threshold is not None or declared.annotator is not None):
        raise RuleError("duplicates: threshold and annotator are for the methods minhash and semantic.")
    if declared.threshold is not None and declared.threshold < least:
        raise RuleError(f"duplicates: threshold is {declared.threshold}: pairs below {least} are not stored.")
    if declared.newcomers == "compete" and declared.scope == "snapshot":
        raise RuleError("duplicates: newcomers compete with earlier snapshots: that needs scope: all_snapshots.")


def _order_columns(order: str, measured: Measured) -> Sequence[Column]:
    columns = measured.columns(f"rank() OVER (ORDER BY {order})", "duplicates")
    check_type(
        f"rank() OVER (ORDER BY {order})",
        {column: measured.type_of(column) for column in columns},
        rule="duplicates",
        expected="a number",
    )
    return columns


def _check_annotator(method: str, annotator: str, source: str, measured: Measured) -> None:
    wanted = _LOOKED_AT[method]
    there = measured.annotators.get(annotator)
    if there is None:
        near = difflib.get_close_matches(annotator, list(measured.annotators), n=1)
        hint = f"Did you mean {near[0]!r}?" if near else f"Add {_ANNOTATORS[method]} to the annotators of {source}."
        raise RuleError(f"duplicates: {source} has no annotator {annotator!r}, which {method} compares by. {hint}")
    if wanted not in [one.name for one in there]:
        raise RuleError(
            f"duplicates: annotator {annotator!r} of {source} measures no {wanted}: {method} needs one that does."
        )
