"""Training models of text: classifiers, and n-gram models of what is not wanted."""

from lakehouse.train.classifier import Parameters, Trained, check_folder, evaluation_plot, train_classifier
from lakehouse.train.distributions import Distributions, compare, perplexities, valley
from lakehouse.train.errors import TrainingError
from lakehouse.train.examples import Examples, Split, collect
from lakehouse.train.ngram import NgramSettings, TrainedNgrams, train_ngrams
from lakehouse.train.texts import files_of, read_texts

__all__ = [
    "Distributions",
    "Examples",
    "NgramSettings",
    "Parameters",
    "Split",
    "Trained",
    "TrainedNgrams",
    "TrainingError",
    "check_folder",
    "collect",
    "compare",
    "evaluation_plot",
    "files_of",
    "perplexities",
    "read_texts",
    "train_classifier",
    "train_ngrams",
    "valley",
]
