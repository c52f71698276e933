"""The frame that annotators fit in."""

from __future__ import annotations

import dataclasses

import polars as pl
import pyarrow as pa
import pytest

from lakehouse import annotate, schema
from lakehouse.annotate import AnnotatorError

DOCUMENTS = pl.DataFrame(
    {
        "doc_id": ["b", "a"],
        "text": ["The river is deep and the bridge is old.", "Der Fluss ist tief und die Brücke ist sehr alt."],
        "language": ["en", "de"],
    }
)


def test_an_unknown_annotator_is_refused_with_a_suggestion() -> None:
    with pytest.raises(AnnotatorError, match=r"'gopher_qualty' is unknown\. Did you mean 'gopher_quality'"):
        annotate.annotator("gopher_qualty")
    with pytest.raises(AnnotatorError, match="There are gopher_quality, language"):
        annotate.annotator("zzz")


def test_annotators_add_their_columns_and_keep_rows_and_order() -> None:
    annotated = annotate.annotate(DOCUMENTS, [annotate.annotator("gopher_quality")])
    assert annotated.select(DOCUMENTS.columns).equals(DOCUMENTS)
    assert annotated["n_words"].to_list() == [9, 10]


def test_a_measurement_replaces_a_column_of_the_same_name() -> None:
    wrong = DOCUMENTS.with_columns(language=pl.lit("en"), n_words=pl.lit(-1))
    annotated = annotate.annotate(wrong, [annotate.annotator("language"), annotate.annotator("gopher_quality")])
    assert annotated["language"].to_list() == ["en", "de"]
    assert annotated["n_words"].to_list() == [9, 10]
    # All annotators see the documents as they came: stop words were counted in the language given.
    assert annotated["stop_words"].to_list() == [2, 0]


@pytest.mark.parametrize("name", annotate.ANNOTATORS)
def test_every_annotator_keeps_its_word_about_columns_and_types(name: str) -> None:
    one = annotate.annotator(name)
    assert one.name == name
    for documents in (DOCUMENTS, DOCUMENTS.clear()):
        (table,) = annotate.measure_all(documents, [one])
        assert table.height == documents.height
        assert table.schema == schema.empty(pa.schema(one.columns)).schema


def test_every_column_is_measured_by_one_annotator() -> None:
    names = [field.name for one in annotate.ANNOTATORS.values() for field in one.columns]
    assert len(names) == len(set(names))


def test_documents_without_language_or_text_are_refused() -> None:
    gopher = [annotate.annotator("gopher_quality")]
    with pytest.raises(AnnotatorError, match="no column 'language'"):
        annotate.annotate(DOCUMENTS.drop("language"), gopher)
    with pytest.raises(AnnotatorError, match="document 'a' has no text"):
        annotate.annotate(DOCUMENTS.with_columns(text=pl.Series(["x", None])), gopher)


def test_an_annotator_that_measures_something_else_is_caught() -> None:
    liar = dataclasses.replace(
        annotate.annotator("gopher_quality"), measure=lambda batch: pl.DataFrame({"n_wrods": [1, 2]})
    )
    with pytest.raises(
        AnnotatorError, match="'gopher_quality' measured 2 rows of n_wrods instead of 2 rows of n_words"
    ):
        annotate.annotate(DOCUMENTS, [liar])


def test_words_are_found_once_for_all_annotators(monkeypatch: pytest.MonkeyPatch) -> None:
    from lakehouse.annotate import words

    calls = []
    tokenise = words.tokenise

    def counted(texts: pl.Series) -> words.Words:
        calls.append(texts)
        return tokenise(texts)

    monkeypatch.setattr(words, "tokenise", counted)
    gopher = annotate.annotator("gopher_quality")
    annotate.measure_all(DOCUMENTS, [gopher, dataclasses.replace(gopher, name="again")])
    assert len(calls) == 1
