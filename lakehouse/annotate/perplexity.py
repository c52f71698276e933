"""How surprising a text is to a model of another kind of text.

A small model that has seen harmful text only is surprised by everything else: documents with a low perplexity are those
to drop. It needs no examples of what is to be kept, which is too many-sided to be sampled well.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from lakehouse.annotate.annotator import Annotator, AnnotatorError
from lakehouse.annotate.words import Batch
from lakehouse.models import ModelFileError, NgramModel, load_ngram

_VERSION = 1
_COUNT_COLUMN = "n_scored"


def perplexity(*, model: str | Mapping[str, str], column: str = "perplexity") -> Annotator:
    """Measure the perplexity of texts to an n-gram model.

    Args:
        model: a file that `lakehouse train-perplexity` wrote; or one for each language, by its code (`en`): documents
            in other languages are not measured.
        column: name of the column of perplexities.

    Returns:
        An annotator of the column of perplexities (1 and above, per character: the geometric mean of 1 divided by the
        probability of each) and of `n_scored`, the characters that were scored. Runs of spaces count as one character,
        and those at both ends of a text not at all. Perplexities are null for a text without characters; both are
        null for a language without a model.

    Raises:
        AnnotatorError: a setting is not allowed. A model that is missing, damaged or of another kind is found when
            measuring begins.

    Source: Jansen et al., Perplexed by Quality: A Perplexity-based Method for Adult and Harmful Content Detection in
    Multilingual Heterogeneous Web Data.
    """
    models: dict[str, str] | str = dict(model) if isinstance(model, Mapping) else model
    paths = list(models.values()) if isinstance(models, dict) else [models]
    if not paths or not all(isinstance(path, str) and path for path in paths):
        raise AnnotatorError("perplexity: model must name a file, or one for each language.")
    if not isinstance(column, str) or not column.isidentifier() or column == _COUNT_COLUMN:
        raise AnnotatorError(f"perplexity: column {column!r} is not allowed: use letters, digits and _.")

    def measure(batch: Batch) -> pl.DataFrame:
        texts = batch.documents["text"]
        if isinstance(models, str):
            return _measured(texts, models, column)
        parts = [_measured(texts.clear(), None, column).with_columns(row=pl.lit(0, pl.UInt32))]
        for language, path in sorted(models.items()):
            rows = (batch.documents["language"] == language).arg_true()
            if len(rows):
                parts.append(_measured(texts.gather(rows), path, column).with_columns(row=rows))
        every = pl.DataFrame({"row": pl.int_range(len(texts), dtype=pl.UInt32, eager=True)})
        return every.join(pl.concat(parts), on="row", how="left", maintain_order="left").drop("row")

    return Annotator(
        name="perplexity",
        version=_VERSION,
        columns=(pa.field(column, pa.float64()), pa.field(_COUNT_COLUMN, pa.int64())),
        measure=measure,
        description="How surprising a text is to a model of harmful text: the lower, the more like it.",
        settings={"model": models, "column": column},
        files=tuple(Path(path) for path in sorted(set(paths))),
    )


def _measured(texts: pl.Series, path: str | None, column: str) -> pl.DataFrame:
    logs, characters = np.zeros(0), np.zeros(0, np.int64)
    if path is not None:
        logs, characters = _loaded(Path(path).resolve()).score(texts)
    values = np.exp(-logs / np.maximum(characters, 1))
    values[characters == 0] = np.nan
    return pl.DataFrame(
        {
            column: pl.Series(values, dtype=pl.Float64).fill_nan(None),
            _COUNT_COLUMN: pl.Series(characters, dtype=pl.Int64),
        }
    )


@cache
def _loaded(path: Path) -> NgramModel:
    """A model is loaded once a process."""
    try:
        return load_ngram(path)
    except ModelFileError as error:
        raise AnnotatorError(str(error)) from error
