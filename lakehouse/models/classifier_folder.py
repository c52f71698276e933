"""A classifier as a folder: the fastText model, and a card that says how its scores are to be read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from lakehouse.identity import hash_of_file
from lakehouse.models.calibration import Calibration
from lakehouse.models.errors import ModelFileError
from lakehouse.models.fasttext_file import FastTextModel, load_fasttext
from lakehouse.models.text_form import LINE, TextForm

CARD = "card.json"
_FORMAT = "lakehouse-classifier"
_FORMAT_VERSION = 1


@dataclass(frozen=True)
class Card:
    """What belongs to a model beside its weights.

    Attributes:
        name: of the classifier.
        positive: the label whose probability is the score.
        negative: the other label.
        form: how texts are prepared.
        calibration: from the model's score to a probability.
        model_file: the model's file in the card's folder.
        model_hash: 32 hexadecimal digits (XXH3, 128 bits) of that file.
        seed: of the split and of the training.
        parameters: of the training.
    """

    name: str
    positive: str
    negative: str
    form: TextForm
    calibration: Calibration
    model_file: str
    model_hash: str
    seed: int
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> str:
        """The text of the card's file; equal cards have equal texts."""
        content = {
            "format": _FORMAT,
            "format_version": _FORMAT_VERSION,
            "name": self.name,
            "labels": {"positive": self.positive, "negative": self.negative},
            "text_form": self.form.as_json(),
            "calibration": self.calibration.as_json(),
            "model": {"file": self.model_file, "xxh3_128": self.model_hash},
            "seed": self.seed,
            "parameters": dict(self.parameters),
        }
        return json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def read_card(folder: Path) -> Card:
    """Read the card of a classifier's folder.

    Raises:
        ModelFileError: there is none, or it cannot be read.
    """
    file = folder / CARD
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelFileError(f"{folder} has no {CARD}: it is no folder that train-classifier wrote.") from error
    except OSError as error:
        raise ModelFileError(f"{file} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise ModelFileError(f"{file} is no JSON: {error}.") from error
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise ModelFileError(f"{file} is no classifier's card: its format is not {_FORMAT!r}.")
    if content.get("format_version") != _FORMAT_VERSION:
        raise ModelFileError(f"{file} has version {content.get('format_version')!r}; version 1 can be read.")
    try:
        card = Card(
            name=str(content["name"]),
            positive=str(content["labels"]["positive"]),
            negative=str(content["labels"]["negative"]),
            form=TextForm.from_json(content["text_form"], str(file)),
            calibration=Calibration.from_json(content["calibration"], str(file)),
            model_file=str(content["model"]["file"]),
            model_hash=str(content["model"]["xxh3_128"]),
            seed=int(content["seed"]),
            parameters=dict(content["parameters"]),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ModelFileError(f"{file} lacks something: {error!r}.") from error
    if Path(card.model_file).name != card.model_file or card.model_file in ("", ".", ".."):
        raise ModelFileError(f"{file}: the model {card.model_file!r} must be a file beside the card.")
    return card


@dataclass(frozen=True)
class Classifier:
    """A loaded model and how to read it. Without a card, `positive` is None and scores are as the model gives them."""

    model: FastTextModel
    form: TextForm
    calibration: Calibration
    positive: str | None = None

    def scores(self, texts: pl.Series, label: str, *, calibrated: bool = True) -> npt.NDArray[np.float64]:
        """The probability of `label` (0..1) for each of n texts; NaN for a text without a word that the model knows.

        Raises:
            ModelFileError: the model has no such label.
        """
        if not calibrated or self.positive is None or label not in self.model.labels:
            return self._known(texts, self.model.probabilities(self.form.apply(texts), label))
        # What is calibrated is the positive label; the other one has what is left.
        scores = self.calibration.apply(self.model.probabilities(self.form.apply(texts), self.positive))
        return self._known(texts, scores if label == self.positive else 1 - scores)

    def most_probable(
        self, texts: pl.Series, *, calibrated: bool = True
    ) -> tuple[list[str | None], npt.NDArray[np.float64]]:
        """The most probable label of each of n texts and its probability; None and NaN where there is none.

        Raises:
            ModelFileError: the model cannot be used.
        """
        if self.positive is None or not calibrated:
            labels, scores = self.model.most_probable(self.form.apply(texts))
            scores = self._known(texts, scores)
            unknown = np.isnan(scores)
            return [None if none else label for label, none in zip(labels, unknown, strict=True)], scores
        (negative,) = (label for label in self.model.labels if label != self.positive)
        scores = self.scores(texts, self.positive)
        chosen = [None if np.isnan(score) else self.positive if score >= 0.5 else negative for score in scores]
        return chosen, np.where(scores >= 0.5, scores, 1 - scores)

    def _known(self, texts: pl.Series, scores: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        # The model answers for an empty text too: with what it thinks of the end of a line.
        return np.where(texts.str.contains(r"[^\s\x00]").to_numpy(), scores, np.nan)


def load_classifier(path: Path) -> Classifier:
    """Load a classifier: a folder that train-classifier wrote, or the file of any supervised fastText model.

    Raises:
        ModelFileError: it is missing, damaged, or something else.
    """
    if not path.is_dir():
        return Classifier(load_fasttext(path), LINE, Calibration())
    card = read_card(path)
    file = path / card.model_file
    model = load_fasttext(file)
    if set(model.labels) != {card.positive, card.negative}:
        raise ModelFileError(f"{file} has the labels {', '.join(model.labels)}, not those of its card.")
    if hash_of_file(file) != card.model_hash:
        raise ModelFileError(f"{file} is not the model that {CARD} was written for: its content is another.")
    return Classifier(model, card.form, card.calibration, card.positive)
