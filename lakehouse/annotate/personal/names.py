"""Names of people, as a spaCy model and presidio find them. Both are optional and are imported when they are used."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lakehouse.annotate.annotator import AnnotatorError
from lakehouse.annotate.personal.spans import Span

_ENTITIES = {"PERSON": "person_name", "LOCATION": "place_name"}


def names(text: str, model: str, language: str) -> Iterator[Span]:
    """Names of people and places in a text.

    Args:
        text: the text of a document, in the model's language.
        model: name of an installed spaCy model, or its folder.
        language: ISO 639-1 code of the model's language.

    Raises:
        AnnotatorError: presidio or the model is not installed.
    """
    analyzer, recognizer = _analyzer(model, language)
    artifacts = analyzer.process_text(text, language)
    for result in recognizer.analyze(text, list(_ENTITIES), artifacts):
        yield Span(result.start, result.end, _ENTITIES[result.entity_type])


@functools.cache
def _analyzer(model: str, language: str) -> tuple[Any, Any]:
    try:
        import spacy.util
        from presidio_analyzer.nlp_engine import NlpEngineProvider
        from presidio_analyzer.predefined_recognizers import SpacyRecognizer
    except ImportError as error:
        raise AnnotatorError(
            f"names need presidio-analyzer and spaCy, and {error.name} is not installed. "
            "Install lakehouse[names], or leave names out."
        ) from error
    # Presidio would fetch a model that is missing.
    if not spacy.util.is_package(model) and not Path(model).is_dir():
        raise AnnotatorError(f"spaCy model {model!r} is not installed. Install it, or set names_model to a folder.")
    models = [{"lang_code": language, "model_name": model}]
    engine = NlpEngineProvider(nlp_configuration={"nlp_engine_name": "spacy", "models": models}).create_engine()
    return engine, SpacyRecognizer(supported_language=language)
