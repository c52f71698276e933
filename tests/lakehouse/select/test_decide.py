"""Which documents are kept, and what the others are told."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse import annotate, select
from lakehouse.select import Condition, Languages, RuleError

PROSE = "The old bridge of the town was built with stones that people have carried to the river and up the hill. "


def one(conditions: tuple[Condition, ...], **columns: Any) -> dict[str, Any]:
    return select.decide(pl.DataFrame({"doc_id": "d", **columns}), conditions).row(0, named=True)


def test_filtering_plain_texts_takes_five_lines() -> None:
    texts = {
        "prose": PROSE * 4,
        "short": PROSE,
        "list": "- buy apples and the bread of the day\n" * 30,
        "noise": "12 34 " * 60,
    }
    documents = pl.DataFrame({"doc_id": list(texts), "text": list(texts.values())})

    conditions = select.resolve(["gopher_quality"])
    annotators = [annotate.annotator(name) for name in select.required_annotators(conditions)]
    documents = documents.hstack(annotate.identify(documents["text"].to_list()))
    measured = annotate.annotate(documents, annotators)
    verdicts = select.decide(measured, conditions)

    # `short` has 21 words; all 30 lines of the list start with a bullet; no word of the noise has a letter.
    assert verdicts.select("doc_id", "kept", "rule", "value", "threshold").rows() == [
        ("prose", True, None, None, None),
        ("short", False, "gopher_min_words", 21.0, 50.0),
        ("list", False, "gopher_max_bullet_lines", 1.0, 0.9),
        ("noise", False, "gopher_min_mean_word_length", 2.0, 3.0),
    ]
    assert verdicts["failed"].to_list()[-1] == ["gopher_min_mean_word_length", "gopher_min_alpha_words"]


def test_a_bound_itself_is_allowed() -> None:
    conditions = (Condition("low", "s", "x", at_least=2), Condition("high", "s", "x", at_most=3))
    kept = select.decide(pl.DataFrame({"doc_id": list("abcd"), "x": [1.999, 2.0, 3.0, 3.001]}), conditions)["kept"]
    assert kept.to_list() == [False, True, True, False]


def test_the_first_rule_that_fails_takes_the_blame_even_where_it_has_no_value() -> None:
    conditions = select.resolve(["consent"], Languages(("en", "de"), 0.65))
    verdict = one(conditions, language="fr", language_score=0.3, consent="noai")
    assert verdict == {
        "doc_id": "d",
        "kept": False,
        "stage": "language",
        "rule": "language",
        "value": None,
        "threshold": None,
        "evidence": "fr",
        "failed": ["language", "language_score", "consent"],
    }
    verdict = one(conditions, language="de", language_score=0.3, consent="noai")
    assert [verdict[name] for name in ("rule", "value", "threshold", "evidence")] == ["language_score", 0.3, 0.65, None]
    verdict = one(conditions, language="de", language_score=0.65, consent="noai")
    assert [verdict[name] for name in ("stage", "rule", "value", "evidence")] == ["consent", "consent", None, "noai"]
    assert one(conditions, language="de", language_score=0.65, consent="allowed")["kept"]


@pytest.mark.parametrize("nothing", [None, float("nan")])
def test_what_was_not_measured_is_not_judged(nothing: float | None) -> None:
    conditions = (Condition("low", "s", "x", at_least=2), Condition("high", "s", "x", at_most=3))
    measured = pl.DataFrame({"doc_id": ["d"], "x": pl.Series([nothing], dtype=pl.Float64)})
    assert select.decide(measured, conditions)["kept"].to_list() == [True]
    consent = pl.DataFrame({"doc_id": ["d"], "consent": pl.Series([None], dtype=pl.String)})
    assert select.decide(consent, select.resolve(["consent"]))["kept"].to_list() == [True]


def test_a_missing_column_is_an_error_not_a_pass() -> None:
    with pytest.raises(RuleError, match="'consent' looks at the column 'consent', which these documents don't have"):
        one(select.resolve(["consent"]), language="en")


@pytest.mark.parametrize("tests", [{}, {"at_least": 1, "at_most": 2}, {"at_most": 1, "one_of": ("a",)}])
def test_a_condition_asks_exactly_one_thing(tests: dict[str, Any]) -> None:
    with pytest.raises(RuleError, match="exactly one of"):
        Condition("r", "s", "c", **tests)


def test_no_documents_and_no_conditions_give_the_columns_of_any_decision() -> None:
    conditions = select.resolve(["consent"], Languages(("en",)))
    documents = pl.DataFrame({"doc_id": ["d"], "language": ["en"], "language_score": [1.0], "consent": ["allowed"]})
    usual = select.decide(documents, conditions)
    assert select.decide(documents.clear(), conditions).equals(usual.clear())
    assert select.decide(documents, ()).equals(usual)


NUMBERS = st.one_of(st.none(), st.floats(0, 10))
ROWS = st.lists(st.tuples(NUMBERS, NUMBERS, st.sampled_from(["en", "fr", None])), max_size=8)


@settings(max_examples=100, deadline=None)
@given(ROWS, st.floats(0, 10), st.floats(0, 10))
def test_decisions_agree_with_asking_one_rule_of_one_document_at_a_time(
    rows: list[tuple[float | None, float | None, str | None]], low: float, high: float
) -> None:
    conditions = (
        Condition("x_low", "first", "x", at_least=low),
        Condition("language", "second", "language", one_of=("en",)),
        Condition("y_high", "third", "y", at_most=high),
    )
    frame = pl.DataFrame(rows, schema={"x": pl.Float64, "y": pl.Float64, "language": pl.String}, orient="row")
    frame = frame.with_columns(doc_id=pl.int_range(pl.len()).cast(pl.String))
    expected = []
    for place, (x, y, language) in enumerate(rows):
        failed: list[tuple[Any, ...]] = []
        if x is not None and x < low:
            failed.append(("first", "x_low", x, low, None))
        if language is not None and language != "en":
            failed.append(("second", "language", None, None, language))
        if y is not None and y > high:
            failed.append(("third", "y_high", y, high, None))
        blame = failed[0] if failed else (None,) * 5
        expected.append((str(place), not failed, *blame, [failure[1] for failure in failed]))
    assert select.decide(frame, conditions).rows() == expected


def test_another_threshold_can_be_asked_of_the_stored_columns_alone() -> None:
    annotators = [annotate.annotator("gopher_quality")]
    documents = pl.DataFrame({"doc_id": ["long", "short"], "text": [PROSE * 4, PROSE * 2], "language": ["en", "en"]})
    stored = annotate.annotate(documents, annotators).drop("text")

    def dropped(min_words: int) -> list[str]:
        verdicts = select.decide(stored, select.resolve([{"gopher_quality": {"min_words": min_words}}]))
        return verdicts.filter(~pl.col("kept"))["doc_id"].to_list()

    assert dropped(42) == []  # 2 * 21 words
    assert dropped(43) == ["short"]
    assert dropped(85) == ["long", "short"]  # 4 * 21 = 84
