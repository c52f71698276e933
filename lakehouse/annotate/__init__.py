from lakehouse.annotate.annotator import Annotator, AnnotatorError, Survey
from lakehouse.annotate.language import LanguageModelError, identify
from lakehouse.annotate.plugin import measures
from lakehouse.annotate.registry import KINDS, Declaration, annotate, annotator, measure_all
from lakehouse.annotate.words import Batch, Words

__all__ = [
    "KINDS",
    "Annotator",
    "AnnotatorError",
    "Batch",
    "Declaration",
    "LanguageModelError",
    "Survey",
    "Words",
    "annotate",
    "annotator",
    "identify",
    "measure_all",
    "measures",
]
