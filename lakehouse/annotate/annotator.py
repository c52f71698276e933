"""An annotator measures: a batch of documents goes in, a table of columns comes out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from lakehouse.annotate.words import Batch


class AnnotatorError(ValueError):
    """An annotator that does not exist, that is set up wrongly, or that cannot measure these documents."""


@dataclass(frozen=True)
class Survey:
    """What is counted over all documents of a snapshot before one of them can be measured.

    Counts are rows of keys and `documents`, in how many documents the keys occur, or how often. They may have a column
    `first`: of equal keys the smallest one counts.

    Attributes:
        count: n documents to counts of what is in them.
        least: keys whose `documents` over the snapshot are fewer are left out.
        measure: n documents, and the keys with their counts over the snapshot, to n rows of the annotator's columns.
            The counts are sorted by their keys, and hold at least every key that occurs in the n documents.
        count_again: n documents, and what `count` found, as `measure` would get it, to counts of other keys: of those
            that are too many to be counted for every document. `measure` then gets what this one found.
    """

    count: Callable[[Batch], pl.DataFrame]
    least: int
    measure: Callable[[Batch, pl.DataFrame], pl.DataFrame]
    count_again: Callable[[Batch, pl.DataFrame], pl.DataFrame] | None = None

    def alone(self, batch: Batch) -> pl.DataFrame:
        """Measure n documents that are the whole snapshot."""
        found = self._found(self.count(batch))
        if self.count_again is not None:
            found = self._found(self.count_again(batch, found))
        return self.measure(batch, found)

    def _found(self, counts: pl.DataFrame) -> pl.DataFrame:
        return add_up(counts).filter(pl.col("documents") >= self.least).sort(keys_of(counts))


def keys_of(counts: pl.DataFrame) -> list[str]:
    """The columns of counts that are keys."""
    return [column for column in counts.columns if column not in ("documents", "first")]


def add_up(counts: pl.DataFrame) -> pl.DataFrame:
    """Counts with one row for each key."""
    sums = {"documents": pl.col("documents").sum()}
    if "first" in counts.columns:
        sums["first"] = pl.col("first").min()
    return counts.group_by(keys_of(counts)).agg(**sums)


@dataclass(frozen=True)
class Annotator:
    """A named measurement of documents.

    Attributes:
        name: also the name of its table: `annotations/<set>/<name>`.
        version: raised whenever the same text may measure differently.
        columns: what it measures; null where there is nothing to measure.
        measure: n documents to n rows of exactly `columns`, in the same order. What the batch finds of the text (its
            words) is found once, by the first annotator that asks for it.
        description: one sentence for the asset graph.
        needs: columns that it looks at beside doc_id, text and language, such as url.
        settings: what it is set up with, as JSON-able values.
        files: what it reads beside the documents: lists, models. Their content is part of what it is set up with.
        tables: tables of the lake that it reads, such as classifiers/quality.
        edit_rules: the rules that its edits can have; empty where it has none, or does not say.
        survey: what must be counted first; `measure` alone then takes its n documents for the whole snapshot.
        hashes: columns of whole numbers that are hashes, no quantities: nothing to draw.
    """

    name: str
    version: int
    columns: tuple[pa.Field, ...]
    measure: Callable[[Batch], pl.DataFrame]
    description: str
    needs: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    files: tuple[Path, ...] = ()
    tables: tuple[str, ...] = ()
    edit_rules: tuple[str, ...] = ()
    survey: Survey | None = None
    hashes: tuple[str, ...] = ()
