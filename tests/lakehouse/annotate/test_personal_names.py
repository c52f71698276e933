"""Names of people, where presidio and a model are installed, and a clear word where they are not."""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl
import pytest

from lakehouse.annotate.annotator import Annotator, AnnotatorError
from lakehouse.annotate.personal import personal_data
from lakehouse.annotate.words import Batch


def measure(annotator: Annotator, texts: list[str], languages: list[str]) -> pl.DataFrame:
    frame = pl.DataFrame({"text": texts, "language": languages})
    return annotator.measure(Batch(frame.with_columns(doc_id=pl.int_range(pl.len()).cast(pl.String))))


@pytest.fixture
def model(tmp_path: Path) -> str:
    """A spaCy model that knows two names."""
    pytest.importorskip("presidio_analyzer")
    spacy = pytest.importorskip("spacy")
    known = spacy.blank("en")
    known.add_pipe("entity_ruler").add_patterns(
        [{"label": "PERSON", "pattern": "Ada Lovelace"}, {"label": "GPE", "pattern": "London"}]
    )
    known.to_disk(tmp_path / "model")
    return str(tmp_path / "model")


def test_names_are_found_beside_the_rest(model: str) -> None:
    text = "Ada Lovelace of London, ada@x.org"
    measured = measure(personal_data(names=True, names_model=model), [text, text], ["en", "de"])
    first, second = measured["personal"].to_list()
    assert [(span["rule"], text[span["start"] : span["end"]], span["replacement"]) for span in first] == [
        ("person_name", "Ada Lovelace", "Person 1"),
        ("email_address", "ada@x.org", "email@example.com"),
    ]
    assert [span["rule"] for span in second] == ["email_address"]
    assert measured["n_names"].to_list() == [1, None]  # the model is of another language


def test_places_are_found_when_asked_for(model: str) -> None:
    annotator = personal_data(names=True, names_model=model, kinds=["person_name", "place_name"])
    assert measure(annotator, ["Ada Lovelace of London"], ["en"])["n_names"].to_list() == [2]


def test_names_without_presidio_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spacy", None)
    annotator = personal_data(names=True, names_model="of-nobody")
    with pytest.raises(AnnotatorError, match="names need presidio-analyzer and spaCy"):
        measure(annotator, ["Ada Lovelace"], ["en"])


def test_a_model_that_is_missing_is_named_and_not_fetched() -> None:
    pytest.importorskip("presidio_analyzer")
    annotator = personal_data(names=True, names_model="no_such_model")
    with pytest.raises(AnnotatorError, match="spaCy model 'no_such_model' is not installed"):
        measure(annotator, ["Ada Lovelace"], ["en"])
