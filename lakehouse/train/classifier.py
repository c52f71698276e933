"""Training a text classifier: fastText on one thread, so that the same examples give the same model, byte for byte."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from lakehouse.compute import progress
from lakehouse.identity import hash_of_file
from lakehouse.models import CARD, Card, TextForm, load_fasttext
from lakehouse.train import plots
from lakehouse.train.errors import TrainingError
from lakehouse.train.evaluation import evaluate, fit_calibration, roc_curve
from lakehouse.train.examples import Examples

METRICS, PLOT = "metrics.json", "evaluation.png"
_WRITTEN = {CARD, METRICS, PLOT, "model.bin", "model.ftz"}
_AT_ONCE = 1_000
# A row of a table, where models are kept, cannot hold two gigabytes.
_MOST_WEIGHTS = 250_000_000


@dataclass(frozen=True)
class Parameters:
    """How fastText is trained. The defaults are what benchmarks/classifiers.py chose.

    Attributes:
        dimensions: of a word's vector.
        word_ngrams: longest run of words that has a vector.
        shortest, longest: characters of the parts of words that have vectors; 0: parts have none. Languages written
            without spaces need them: 1 and 3, say.
        buckets: vectors that runs and parts share by hash; the model takes 4 bytes a bucket and dimension.
        epochs: how often the examples are read.
        learning_rate: at the beginning.
        min_count: how often a word must stand in the examples to have a vector of its own.
        quantise: whether vectors are compressed: a tenth of the size, slightly other scores.
        calibration: how scores become probabilities; see `evaluation.fit_calibration`.
    """

    dimensions: int = 16
    word_ngrams: int = 2
    shortest: int = 0
    longest: int = 0
    buckets: int = 500_000
    epochs: int = 5
    learning_rate: float = 0.5
    min_count: int = 1
    quantise: bool = False
    calibration: Literal["platt", "isotonic", "none"] = "platt"

    def __post_init__(self) -> None:
        limits = {"dimensions": 1_000, "word_ngrams": 10, "buckets": 10_000_000, "epochs": 1_000, "min_count": 10_000}
        for name, most in limits.items():
            if not 1 <= getattr(self, name) <= most:
                raise TrainingError(f"{name} is {getattr(self, name)}: use a number from 1 to {most:,}.")
        if self.dimensions * self.buckets > _MOST_WEIGHTS:
            raise TrainingError(
                f"{self.buckets:,} buckets of {self.dimensions} dimensions are more than a gigabyte: use fewer."
            )
        if not 0 < self.learning_rate <= 10:
            raise TrainingError(f"learning_rate is {self.learning_rate}: use a number above 0, up to 10.")
        if not (self.shortest == self.longest == 0 or 1 <= self.shortest <= self.longest <= 20):
            raise TrainingError("shortest and longest must be 0, or 1 to 20 with shortest not above longest.")
        if self.calibration not in ("platt", "isotonic", "none"):
            raise TrainingError(f"calibration {self.calibration!r} is unknown: use platt, isotonic or none.")


@dataclass(frozen=True)
class Trained:
    """A trained classifier.

    Attributes:
        model: the fastText model's file, as bytes.
        card: how it is read.
        metrics: figures on the test part, and what became of the rows, as JSON-able values.
        plot: ROC curve and calibration on the test part, a PNG.
        examples: the rows with their calibrated `score`.
    """

    model: bytes
    card: Card
    metrics: dict[str, Any]
    plot: bytes
    examples: pl.DataFrame

    def write(self, folder: Path) -> None:
        """Write model, card, figures and picture to a folder.

        Raises:
            TrainingError: the folder holds something else.
        """
        check_folder(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for name in _WRITTEN:
            (folder / name).unlink(missing_ok=True)
        (folder / self.card.model_file).write_bytes(self.model)
        (folder / METRICS).write_text(json.dumps(self.metrics, indent=2) + "\n", encoding="utf-8")
        (folder / PLOT).write_bytes(self.plot)
        (folder / CARD).write_text(self.card.as_json(), encoding="utf-8")


def check_folder(folder: Path) -> None:
    """Make sure that a classifier can be written to a folder: it is new, empty, or holds another one.

    Raises:
        TrainingError: it holds something else.
    """
    if folder.is_file() or (folder.is_dir() and {file.name for file in folder.iterdir()} - _WRITTEN):
        raise TrainingError(f"{folder} holds something else already: name a new folder.")


def train_classifier(
    examples: Examples, *, name: str, form: TextForm, seed: int = 0, parameters: Parameters | None = None
) -> Trained:
    """Train a classifier on the part `train`, calibrate it on `validation` and judge it on `test`.

    Args:
        examples: see `examples.collect`.
        name: of the classifier.
        form: what the model sees of a text, the same as in `collect`.
        seed: of fastText's first weights.
        parameters: of the training.

    Raises:
        TrainingError: fastText could not be trained.
    """
    parameters = parameters or Parameters()
    task = f"Training {name}"
    progress().start(task, 3)
    try:
        with tempfile.TemporaryDirectory(prefix="train-") as scratch:
            file = _fit(examples, form, seed, parameters, Path(scratch))
            progress().advance(task)
            model = load_fasttext(file)
            scores = np.concatenate(
                [model.probabilities(form.apply(rows["text"]), examples.positive) for rows in _slices(examples.rows)]
            )
            # A text of which the model knows nothing may as well be the one as the other.
            scores = np.nan_to_num(scores, nan=0.5)
            progress().advance(task)
            content, model_hash = file.read_bytes(), hash_of_file(file)
        scored = examples.rows.with_columns(score=scores, positive=pl.col("label") == examples.positive)
        parts = {part: scored.filter(pl.col("split") == part) for part in ("validation", "test")}
        calibration = fit_calibration(*_arrays(parts["validation"]), parameters.calibration)
        held_out, truth = _arrays(parts["test"])
        figures = evaluate(held_out, truth, calibration)
        plot = evaluation_plot(name, held_out, truth, figures)
        progress().advance(task)
    finally:
        progress().finish(task)
    card = Card(
        name=name,
        positive=examples.positive,
        negative=examples.negative,
        form=form,
        calibration=calibration,
        model_file=file.name,
        model_hash=model_hash,
        seed=seed,
        parameters=asdict(parameters),
    )
    sizes = dict(examples.rows.group_by("split").len().sort("split").iter_rows())
    metrics = {"test": figures, "splits": sizes, "classes": examples.counts}
    rows = scored.with_columns(score=calibration.apply(scores)).drop("key", "positive")
    return Trained(content, card, metrics, plot, rows)


def evaluation_plot(
    name: str, scores: npt.NDArray[np.float64], truth: npt.NDArray[np.bool_], figures: Mapping[str, Any]
) -> bytes:
    """The ROC curve and the calibration of a classifier, a PNG.

    Args:
        name: of the classifier.
        scores: of n examples.
        truth: n answers.
        figures: see `evaluation.evaluate`.
    """
    rates = roc_curve(scores, truth)
    return plots.roc_and_calibration(name, rates, figures["roc_auc"], figures["calibration_table"])


def _fit(examples: Examples, form: TextForm, seed: int, parameters: Parameters, folder: Path) -> Path:
    import fasttext

    source = folder / "train.txt"
    with source.open("w", encoding="utf-8", newline="\n") as lines:
        for rows in _slices(examples.part("train")):
            for label, text in zip(rows["label"], form.apply(rows["text"]), strict=True):
                lines.write(f"__label__{label} {text}\n")
    try:
        model = fasttext.train_supervised(
            str(source),
            dim=parameters.dimensions,
            wordNgrams=parameters.word_ngrams,
            minn=parameters.shortest,
            maxn=parameters.longest,
            bucket=parameters.buckets,
            epoch=parameters.epochs,
            lr=parameters.learning_rate,
            minCount=parameters.min_count,
            thread=1,
            seed=seed,
            verbose=0,
        )
        if parameters.quantise:
            model.quantize()
    except (ValueError, RuntimeError, MemoryError) as error:
        raise TrainingError(f"fastText could not be trained: {error}") from error
    file = folder / ("model.ftz" if parameters.quantise else "model.bin")
    model.save_model(str(file))
    return file


def _slices(rows: pl.DataFrame) -> Iterator[pl.DataFrame]:
    return rows.iter_slices(_AT_ONCE)


def _arrays(rows: pl.DataFrame) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    return rows["score"].to_numpy(), rows["positive"].to_numpy()
