"""Labelled examples: those of two classes, without duplicates and contradictions, split by what they say."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from lakehouse.identity import order_key, text_id
from lakehouse.models import TextForm
from lakehouse.train.errors import TrainingError

FEWEST = 50
_KEYS = 1 << 63
_COLUMNS = {"key": pl.Int64, "text_id": pl.String, "source": pl.String, "text": pl.String}


@dataclass(frozen=True)
class Split:
    """How examples are divided.

    Attributes:
        seed: another one gives another division and another order.
        test_share: of the examples (0..1), which nothing is fitted on.
        validation_share: of the examples (0..1), which the calibration is fitted on.
        max_examples: of each class, chosen by the seed; None: all.
    """

    seed: int = 0
    test_share: float = 0.1
    validation_share: float = 0.1
    max_examples: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 1 << 31:
            raise TrainingError(f"seed {self.seed} is not allowed: use a number from 0 to 2147483647.")
        if not (0 < self.test_share < 1 and 0 < self.validation_share < 1):
            raise TrainingError("test_share and validation_share must lie between 0 and 1.")
        if self.test_share + self.validation_share > 0.8:
            raise TrainingError("test_share and validation_share leave less than a fifth to train on: lower them.")
        if self.max_examples is not None and self.max_examples < FEWEST:
            raise TrainingError(f"max_examples is {self.max_examples}: at least {FEWEST} of each class are needed.")


@dataclass(frozen=True)
class Examples:
    """What a classifier is trained and judged on.

    Attributes:
        rows: key (its place in the order), text_id, label, split (train, validation or test), source, text; in the
            order of the keys. A text is there once.
        positive: the label whose probability the classifier gives.
        negative: the other one.
        counts: of each label what came in, what was empty, a duplicate or also of the other class, and what is left.
    """

    rows: pl.DataFrame
    positive: str
    negative: str
    counts: dict[str, dict[str, int]]

    def part(self, split: str) -> pl.DataFrame:
        """The rows of one part."""
        return self.rows.filter(pl.col("split") == split)


def collect(
    positive: Iterable[pl.DataFrame],
    negative: Iterable[pl.DataFrame],
    *,
    form: TextForm,
    split: Split,
    labels: tuple[str, str] = ("positive", "negative"),
) -> Examples:
    """Gather the examples of two classes.

    The same texts give the same examples, whatever order they come in. Texts that the model would see alike count as
    duplicates: the split is by a hash of what it sees, so that they cannot stand on both sides.

    Args:
        positive: frames of text and source.
        negative: frames of text and source.
        form: what the model will see of a text.
        split: how they are divided.
        labels: of the positive and of the negative class.

    Raises:
        TrainingError: a class is empty or too small, or the labels are equal or hold spaces.
    """
    _check_labels(labels)
    classes = [_gather(frames, form, split) for frames in (positive, negative)]
    contradictions = np.intersect1d(classes[0].keys, classes[1].keys, assume_unique=True)
    parts, counts = [], {}
    for label, one in zip(labels, classes, strict=True):
        rows = one.rows.filter(~pl.col("key").is_in(pl.Series(contradictions).implode()))
        parts.append(rows.with_columns(label=pl.lit(label)))
        counts[label] = one.counts | {"contradictions": len(contradictions), "examples": rows.height}
        if rows.height < FEWEST:
            raise TrainingError(_too_few(label, counts[label]))
    together = pl.concat(parts).sort("key")
    together = together.with_columns(split=_split_of(together["key"], split))
    examples = Examples(
        together.select("key", "text_id", "label", "split", "source", "text"), labels[0], labels[1], counts
    )
    for name in ("train", "validation", "test"):
        if examples.part(name)["label"].n_unique() < len(labels):
            raise TrainingError(f"the {name} part lacks one of the classes: give more examples, or a greater share.")
    return examples


@dataclass(frozen=True)
class _Class:
    rows: pl.DataFrame
    keys: npt.NDArray[np.int64]
    counts: dict[str, int]


def _gather(frames: Iterable[pl.DataFrame], form: TextForm, split: Split) -> _Class:
    rows = pl.DataFrame(schema=_COLUMNS)
    keys, came_in = [np.zeros(0, np.int64)], 0
    for frame in frames:
        seen = form.apply(frame["text"])
        came_in += frame.height
        frame, seen = frame.filter(seen != ""), seen.filter(seen != "")
        key = [order_key(split.seed, text) for text in seen]
        keys.append(np.array(key, np.int64))
        ids = [text_id(text) for text in frame["text"]]
        new = frame.select(pl.Series("key", key, pl.Int64), pl.Series("text_id", ids, pl.String), "source", "text")
        rows = _fewer(pl.concat([rows, new]), split.max_examples)
    every = np.concatenate(keys)
    distinct = np.unique(every)
    counts = {"rows": came_in, "empty": came_in - len(every), "duplicates": len(every) - len(distinct)}
    return _Class(_distinct(rows).head(split.max_examples or rows.height), distinct, counts)


def _fewer(rows: pl.DataFrame, most: int | None) -> pl.DataFrame:
    """Those rows that may still be chosen: the first by key."""
    return rows if most is None or rows.height < 2 * most + 10_000 else _distinct(rows).head(most)


def _distinct(rows: pl.DataFrame) -> pl.DataFrame:
    # Of equal texts the one whose source and spelling come first, so that the order of the files does not matter.
    return rows.sort("key", "source", "text").unique("key", keep="first", maintain_order=True)


def _split_of(keys: pl.Series, split: Split) -> pl.Series:
    places = pl.Series([order_key(split.seed, "split", str(key)) / _KEYS for key in keys], dtype=pl.Float64)
    frame = pl.DataFrame({"place": places})
    return frame.select(
        pl.when(pl.col("place") < split.test_share)
        .then(pl.lit("test"))
        .when(pl.col("place") < split.test_share + split.validation_share)
        .then(pl.lit("validation"))
        .otherwise(pl.lit("train"))
        .alias("split")
    )["split"]


def _check_labels(labels: tuple[str, str]) -> None:
    if labels[0] == labels[1]:
        raise TrainingError(f"both labels are {labels[0]!r}: the two classes need different ones.")
    for label in labels:
        if not label or any(character.isspace() or character == "\0" for character in label):
            raise TrainingError(f"the label {label!r} is not allowed: use a word without spaces.")


def _too_few(label: str, counts: dict[str, Any]) -> str:
    if not counts["rows"]:
        return f"there are no examples of the class {label!r}: name files, tables or a query that have some."
    return (
        f"there are too few examples of the class {label!r}: {counts['examples']} of {counts['rows']} rows are left "
        f"({counts['empty']} empty, {counts['duplicates']} duplicates, {counts['contradictions']} also of the other "
        f"class); at least {FEWEST} are needed."
    )
