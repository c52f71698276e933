"""An annotator of one's own: a function on a frame of documents, and a line that says what it measures."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import polars as pl
import pyarrow as pa

from lakehouse.annotate.annotator import Annotator, AnnotatorError
from lakehouse.annotate.words import Batch


def measures(
    columns: Mapping[str, str | pa.DataType], *, version: int = 1, needs: Sequence[str] = ()
) -> Callable[[Callable[..., pl.DataFrame]], Callable[..., Annotator]]:
    """Make an annotator of a function that takes documents and returns one row each.

        @measures({"n_questions": "int64"})
        def questions(documents: pl.DataFrame, *, mark: str = "?") -> pl.DataFrame:
            "How many questions a text asks."
            return documents.select(n_questions=pl.col("text").str.count_matches(mark, literal=True))

    Its keyword arguments are the annotator's settings, its first line of documentation is the description.

    Args:
        columns: what is measured: names and Arrow types, as objects or by name (int64, double, string, bool).
        version: to be raised whenever the same text may measure differently.
        needs: columns of the documents that the function looks at beside doc_id, text and language.

    Raises:
        AnnotatorError: a type is unknown.
    """
    fields = tuple(pa.field(name, _type(name, kind)) for name, kind in columns.items())

    def decorate(function: Callable[..., pl.DataFrame]) -> Callable[..., Annotator]:
        def made(**settings: Any) -> Annotator:
            def measure(batch: Batch) -> pl.DataFrame:
                return function(batch.documents, **settings)

            description = (inspect.getdoc(function) or f"Measured by {function.__qualname__}.").splitlines()[0]
            return Annotator(function.__name__, version, fields, measure, description, needs=tuple(needs))

        functools.update_wrapper(made, function)
        _, *settings = inspect.signature(function).parameters.values()
        made.__signature__ = inspect.Signature(settings)  # type: ignore[attr-defined]
        return made

    return decorate


def _type(name: str, kind: str | pa.DataType) -> pa.DataType:
    if isinstance(kind, pa.DataType):
        return kind
    try:
        return pa.type_for_alias(kind)
    except ValueError as error:
        raise AnnotatorError(
            f"column {name!r}: {kind!r} is no Arrow type; use int64, double, string or bool."
        ) from error
