"""Models of text that one stage trains and another measures with: their files, and how a text is prepared for them."""

from lakehouse.models.calibration import Calibration
from lakehouse.models.classifier_folder import CARD, Card, Classifier, load_classifier, read_card
from lakehouse.models.errors import ModelFileError
from lakehouse.models.fasttext_file import FastTextModel, Header, check_fasttext, load_fasttext
from lakehouse.models.ngram_file import NgramModel, load_ngram, save_ngram
from lakehouse.models.text_form import LINE, WORDS, TextForm

__all__ = [
    "CARD",
    "LINE",
    "WORDS",
    "Calibration",
    "Card",
    "Classifier",
    "FastTextModel",
    "Header",
    "ModelFileError",
    "NgramModel",
    "TextForm",
    "check_fasttext",
    "load_classifier",
    "load_fasttext",
    "load_ngram",
    "read_card",
    "save_ngram",
]
