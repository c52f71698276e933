"""An annotator measures: a batch of documents goes in, a table of columns comes out."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import polars as pl
import pyarrow as pa

from lakehouse import schema
from lakehouse.annotate.gopher import QUALITY_COLUMNS, gopher_quality
from lakehouse.annotate.language import identify
from lakehouse.annotate.words import Batch

_NEEDED = ("doc_id", "text", "language")


class AnnotatorError(ValueError):
    """An annotator that does not exist, or that cannot measure these documents."""


@dataclass(frozen=True)
class Annotator:
    """A named measurement of documents.

    Attributes:
        version: raised whenever the same text may measure differently.
        columns: what it measures; null where there is nothing to measure.
        measure: n documents to n rows of exactly `columns`, in the same order. The words of the batch are found once,
            by the first annotator that asks for them.
        description: one sentence for the asset graph.
    """

    name: str
    version: int
    columns: tuple[pa.Field, ...]
    measure: Callable[[Batch], pl.DataFrame]
    description: str


def _language(batch: Batch) -> pl.DataFrame:
    return identify(batch.documents["text"].to_list())


ANNOTATORS: Mapping[str, Annotator] = MappingProxyType(
    {
        annotator.name: annotator
        for annotator in (
            Annotator(
                "gopher_quality",
                1,
                QUALITY_COLUMNS,
                gopher_quality,
                "Words, symbols, bullets, ellipses and stop words (Rae et al., Gopher, appendix A1.1).",
            ),
            Annotator(
                "language",
                1,
                tuple(schema.LANGUAGE_COLUMNS),
                _language,
                "The language of the text and how sure that is.",
            ),
        )
    }
)


def annotator(name: str) -> Annotator:
    """Return the annotator of that name.

    Raises:
        AnnotatorError: there is none.
    """
    if name not in ANNOTATORS:
        near = difflib.get_close_matches(name, ANNOTATORS, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else f"There are {', '.join(sorted(ANNOTATORS))}."
        raise AnnotatorError(f"annotator {name!r} is unknown. {hint}")
    return ANNOTATORS[name]


def measure_all(documents: pl.DataFrame, annotators: Sequence[Annotator]) -> list[pl.DataFrame]:
    """Measure n documents with each annotator, finding their words once.

    Args:
        documents: n rows with at least doc_id, text and language.

    Returns:
        For each annotator n rows of its columns, in the order of the documents.

    Raises:
        AnnotatorError: a needed column is missing or has no text in a row.
    """
    missing = [name for name in _NEEDED if name not in documents.columns]
    if missing:
        raise AnnotatorError(f"documents have no column {missing[0]!r}; annotators need {', '.join(_NEEDED)}.")
    if documents["text"].null_count():
        empty = documents.filter(pl.col("text").is_null())["doc_id"][0]
        raise AnnotatorError(f"document {empty!r} has no text: drop it before it is measured.")
    batch = Batch(documents)
    return [_measure(one, batch) for one in annotators]


def annotate(documents: pl.DataFrame, annotators: Sequence[Annotator]) -> pl.DataFrame:
    """Add the columns of each annotator to the documents; a column of the same name is replaced.

    Args:
        documents: n rows with at least doc_id, text and language.

    Raises:
        AnnotatorError: a needed column is missing or has no text in a row.
    """
    measured = measure_all(documents, annotators)
    return documents.with_columns(column for table in measured for column in table)


def _measure(one: Annotator, batch: Batch) -> pl.DataFrame:
    measured = one.measure(batch)
    names = [field.name for field in one.columns]
    if measured.columns != names or measured.height != batch.documents.height:
        raise AnnotatorError(
            f"annotator {one.name!r} measured {measured.height} rows of {', '.join(measured.columns)} "
            f"instead of {batch.documents.height} rows of {', '.join(names)}."
        )
    return pl.DataFrame(measured.to_arrow().cast(pa.schema(one.columns)))
