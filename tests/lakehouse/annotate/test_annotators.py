"""The frame that annotators fit in."""

from __future__ import annotations

import dataclasses
from typing import Any

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
    with pytest.raises(AnnotatorError, match="There are bad_words, c4, "):
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


OF_THE_USER = (
    "bad_words",
    "embedding",
    "fasttext_classifier",
    "perplexity",
    "url_lists",
)  # they need a file, or a server
PLAIN = [name for name in annotate.KINDS if name not in OF_THE_USER]
NEEDED = {"url": "http://a.test/x.py", "host": "a.test"}


@pytest.mark.parametrize("name", PLAIN)
def test_every_annotator_keeps_its_word_about_columns_and_types(name: str) -> None:
    one = annotate.annotator(name)
    assert one.name == name
    documents = DOCUMENTS.with_columns(**{needed: pl.lit(NEEDED[needed]) for needed in one.needs})
    for frame in (documents, documents.clear()):
        (table,) = annotate.measure_all(frame, [one])
        assert table.height == frame.height
        assert table.schema == schema.empty(pa.schema(one.columns)).schema


def test_every_column_is_measured_by_one_annotator() -> None:
    names = [field.name for one in map(annotate.annotator, PLAIN) for field in one.columns]
    assert len(names) == len(set(names))


def test_an_annotator_can_be_pinned_to_a_version_and_have_a_name_of_its_own() -> None:
    version = annotate.annotator("language").version
    assert annotate.annotator(f"language@{version}").name == "language"
    with pytest.raises(AnnotatorError, match=f"language has version {version}, not 99"):
        annotate.annotator("language@99")
    assert annotate.annotator({"tongue": {"kind": "language"}}).name == "tongue"


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({"language": {"modle": "x"}}, "'language' has no setting 'modle'. Did you mean 'model'"),
        ({"mine": {"kind": "no.such.module:thing"}}, "'no.such.module:thing' cannot be imported: No module named"),
        ({"mine": {"kind": "lakehouse.annotate:nothing"}}, "cannot be imported"),
        ({"mine": {"kind": "lakehouse.annotate:identify", "texts": []}}, r"put @measures\(…\) before the function"),
        ({"mine": "language"}, "'language' is no mapping of settings"),
        ({"a": {}, "b": {}}, "is neither a name nor"),
        ({"My Own": {"kind": "language"}}, "'My Own' is not allowed"),
        ({"bad_words": {}}, "'bad_words' needs the setting 'lists'"),
    ],
)
def test_a_declaration_that_makes_no_sense_is_refused(declared: Any, message: str) -> None:
    with pytest.raises((AnnotatorError, schema.TableNameError), match=message):
        annotate.annotator(declared)


@annotate.measures({"n_marks": "int64"}, version=3, needs=["host"])
def marks(documents: pl.DataFrame, *, mark: str = "?") -> pl.DataFrame:
    """How many question marks a text has.

    More of it is not shown.
    """
    return documents.select(n_marks=pl.col("text").str.count_matches(mark, literal=True))


def test_an_annotator_of_ones_own_is_a_function_with_settings() -> None:
    place = f"{__name__}:marks"
    one = annotate.annotator(place)
    assert (one.name, one.version, one.needs) == ("marks", 3, ("host",))
    assert one.description == "How many question marks a text has."
    documents = DOCUMENTS.with_columns(host=pl.lit("a"))
    assert annotate.annotate(documents, [one])["n_marks"].to_list() == [0, 0]
    stops = annotate.annotator({"stops": {"kind": place, "mark": "."}})
    assert annotate.annotate(documents, [stops])["n_marks"].to_list() == [1, 1]
    with pytest.raises(AnnotatorError, match=r"has no setting 'makr'\. Did you mean 'mark'"):
        annotate.annotator({"stops": {"kind": place, "makr": "."}})
    with pytest.raises(AnnotatorError, match="documents have no column 'host'"):
        annotate.annotate(DOCUMENTS, [one])


def test_a_type_that_arrow_does_not_know_is_refused() -> None:
    with pytest.raises(AnnotatorError, match="column 'x': 'integer' is no Arrow type"):
        annotate.measures({"x": "integer"})


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
    find_words = words.find_words

    def counted(*arguments: Any) -> words.Words:
        calls.append(arguments)
        return find_words(*arguments)

    monkeypatch.setattr(words, "find_words", counted)
    gopher = annotate.annotator("gopher_quality")
    annotate.measure_all(DOCUMENTS, [gopher, dataclasses.replace(gopher, name="again")])
    assert len(calls) == 1
