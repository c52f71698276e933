from lakehouse.annotate.annotator import ANNOTATORS, Annotator, AnnotatorError, annotate, annotator, measure_all
from lakehouse.annotate.language import LanguageModelError, identify
from lakehouse.annotate.words import Batch, Words

__all__ = [
    "ANNOTATORS",
    "Annotator",
    "AnnotatorError",
    "Batch",
    "LanguageModelError",
    "Words",
    "annotate",
    "annotator",
    "identify",
    "measure_all",
]
