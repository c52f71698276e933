"""Scores of a text classifier: one that train-classifier wrote, or any supervised fastText model."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from lakehouse.annotate.annotator import Annotator, AnnotatorError
from lakehouse.annotate.words import Batch
from lakehouse.models import CARD, Classifier, ModelFileError, load_classifier

_VERSION = 1
_LABEL_COLUMN = "label"
_TABLE = re.compile(r"classifiers/[a-z][a-z0-9_]*")


def fasttext_classifier(
    *, model: str, label: str | None = None, calibrated: bool = True, column: str = "score"
) -> Annotator:
    """Measure how probable a label is.

    Args:
        model: a folder that train-classifier wrote, a fastText model's file (.bin or .ftz) from anywhere, or a table of
            the lake (`classifiers/quality`), which whoever measures puts a folder in the place of.
        label: the label whose probability is measured, without `__label__`. Without one it is the most probable label,
            which the column `label` names.
        calibrated: whether a score is the probability that the calibration gives it. Models from elsewhere have none:
            their scores stay as they are.
        column: name of the column of scores.

    Returns:
        An annotator of the column of scores (0..1) and, without `label`, of the column `label`. Both are null for a
        text without words, and where the model knows nothing of a text.

    Raises:
        AnnotatorError: a setting is not allowed. A model that is missing, damaged or of another kind is found when
            measuring begins.

    Source: Joulin et al., Bag of Tricks for Efficient Text Classification.
    """
    if not isinstance(model, str) or not model:
        raise AnnotatorError("fasttext_classifier: model must name a file or a folder.")
    if label is not None and (not isinstance(label, str) or not label):
        raise AnnotatorError(f"fasttext_classifier: label is {label!r}: use the name of a label.")
    if not isinstance(column, str) or not column.isidentifier() or column == _LABEL_COLUMN:
        raise AnnotatorError(f"fasttext_classifier: column {column!r} is not allowed: use letters, digits and _.")
    if not isinstance(calibrated, bool):
        raise AnnotatorError(f"fasttext_classifier: calibrated is {calibrated!r}: use true or false.")
    label = label.removeprefix("__label__") if label else None
    columns = [pa.field(column, pa.float64())]
    if label is None:
        columns.append(pa.field(_LABEL_COLUMN, pa.string()))

    is_table = bool(_TABLE.fullmatch(model))

    def measure(batch: Batch) -> pl.DataFrame:
        if is_table:
            raise AnnotatorError(f"{model} is a table of the lake: name the folder that its model was written to.")
        classifier = _loaded(Path(model).resolve())
        texts = batch.documents["text"]
        try:
            if label is not None:
                return _frame(column, classifier.scores(texts, label, calibrated=calibrated))
            labels, scores = classifier.most_probable(texts, calibrated=calibrated)
        except ModelFileError as error:
            raise AnnotatorError(str(error)) from error
        return _frame(column, scores).with_columns(pl.Series(_LABEL_COLUMN, labels, pl.String))

    return Annotator(
        name="fasttext_classifier",
        version=_VERSION,
        columns=tuple(columns),
        measure=measure,
        description=f"Probability of {label or 'the most probable label'} by the classifier {Path(model).name}.",
        settings={"model": model, "label": label, "calibrated": calibrated, "column": column},
        files=() if is_table else _files(Path(model)),
        tables=(model,) if is_table else (),
    )


def _frame(column: str, scores: npt.NDArray[np.float64]) -> pl.DataFrame:
    return pl.DataFrame({column: pl.Series(scores, dtype=pl.Float64).fill_nan(None)})


def _files(model: Path) -> tuple[Path, ...]:
    """What is read of the model, so far as it is there."""
    if model.is_dir():
        return tuple(file for file in sorted(model.iterdir()) if file.name == CARD or file.suffix in (".bin", ".ftz"))
    return (model,)


@cache
def _loaded(model: Path) -> Classifier:
    """A model is loaded once a process."""
    try:
        return load_classifier(model)
    except ModelFileError as error:
        raise AnnotatorError(str(error)) from error
