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

    Attributes:
        count: n documents to rows of keys and `documents`, in how many of the n the keys occur.
        least: keys that occur in fewer documents of the snapshot are left out.
        measure: n documents, and the keys with their counts over the snapshot, to n rows of the annotator's columns.
    """

    count: Callable[[Batch], pl.DataFrame]
    least: int
    measure: Callable[[Batch, pl.DataFrame], pl.DataFrame]


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
