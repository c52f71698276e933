"""Rules of one's own: SQL expressions over columns, and the best share of what is left."""

from __future__ import annotations

from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse import select
from lakehouse.select import Column, Measured, RuleError, Top

NUMBER = pa.float64()
MEASURED = Measured(
    annotators={
        "quality": (pa.field("score", NUMBER), pa.field("label", pa.string())),
        "education": (pa.field("score", NUMBER),),
        "gopher_quality": (pa.field("n_words", pa.int64()),),
    }
)


def documents(**columns: Any) -> pl.DataFrame:
    rows = len(next(iter(columns.values())))
    names = [f"d{place}" for place in range(rows)]
    return pl.DataFrame({"doc_id": names, "text_id": names, "language": ["en"] * rows, **columns})


def resolved(rules: list[Any]) -> tuple[select.Rule, ...]:
    return select.resolve(rules, measured=MEASURED)


def test_a_document_stays_where_the_expression_is_true_or_has_nothing_to_judge() -> None:
    rules = resolved([{"good": {"where": "quality.score >= 0.5 AND language = 'en'", "value": "quality.score"}}])
    verdicts = select.decide(documents(**{"quality.score": [0.5, 0.4, None]}), rules)
    assert verdicts["kept"].to_list() == [True, False, True]
    assert verdicts.row(1, named=True) | {"doc_id": ""} == {
        "doc_id": "",
        "kept": False,
        "stage": "own",
        "rule": "good",
        "value": 0.4,
        "threshold": None,
        "evidence": None,
        "failed": ["good"],
    }


def test_scores_of_several_classifiers_combine() -> None:
    # Nemotron-CC's way: each score is ranked into buckets, and the greatest bucket counts.
    where = "greatest(ntile(4) OVER (ORDER BY quality.score), ntile(4) OVER (ORDER BY education.score)) = 4"
    frame = documents(**{"quality.score": [0.1, 0.2, 0.3, 0.4], "education.score": [0.9, 0.1, 0.2, 0.3]})
    verdicts = select.decide(frame, resolved([{"best_bucket": {"where": where}}]))
    assert verdicts["kept"].to_list() == [True, False, False, True]


def test_a_column_may_be_written_without_its_annotator_where_only_one_measures_it() -> None:
    (rule,) = resolved([{"long": {"where": "n_words > 3 and label != 'spam'"}}])
    # Raw documents have n_words, too: the annotator's counts.
    assert rule.columns == (Column("n_words", "gopher_quality"), Column("label", "quality"))
    assert select.required_annotators([rule]) == {"gopher_quality", "quality"}
    frame = documents(n_words=[9, 1], **{"gopher_quality.n_words": [1, 9], "quality.label": ["x", "x"]})
    assert select.decide(frame, [rule])["kept"].to_list() == [False, True]


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (
            {"where": "score > 1"},
            "'score' is measured by quality and education: write quality.score or education.score",
        ),
        ({"where": "quality.scor > 1"}, "annotator 'quality' has no column 'scor'. Did you mean 'score'"),
        ({"where": "n_wrods > 1"}, "no column 'n_wrods'. Did you mean 'n_words'"),
        ({"where": "n_words"}, "'n_words' gives BIGINT, not true or false"),
        ({"where": "n_words > 1", "value": "language"}, "'language' gives VARCHAR, not a number"),
        ({"where": "n_words >"}, "is no SQL expression"),
        ({"where": "true); SELECT (1"}, "is more than one expression"),
        ({"where": "nosuch(n_words) > 1"}, "nosuch does not exist"),
        ({"where": "n_words > 1", "valeu": "n_words"}, "has the key 'valeu'; it can have where, value"),
        ({"top": 0.1}, "top needs by"),
        ({"top": 10, "by": "n_words"}, "top is 10; it must be a number from 0 to 1"),
        ({"top": 0.1, "by": "language"}, "gives VARCHAR, not a number"),
    ],
)
def test_an_expression_that_makes_no_sense_is_refused(rule: dict[str, Any], message: str) -> None:
    with pytest.raises(RuleError, match=r"rule 'mine'.*" + message.replace("(", r"\(").replace(")", r"\)")):
        resolved([{"mine": rule}])


def test_a_rule_of_ones_own_needs_a_name_of_its_own() -> None:
    with pytest.raises(RuleError, match="'gopher_quality': a rule of your own needs a name of its own"):
        resolved([{"gopher_quality": {"where": "n_words > 1"}}])


def test_an_expression_cannot_read_files() -> None:
    with pytest.raises(RuleError, match=r"leak.*disabled by configuration"):
        resolved([{"leak": {"where": "n_words > (SELECT count(*) FROM read_text('/etc/passwd'))"}}])


def top(share: float, per: tuple[str, ...] = (), seed: int = 0) -> Top:
    (rule,) = resolved([{"best": {"top": share, "by": "quality.score", "per": list(per), "seed": seed}}])
    assert isinstance(rule, Top)
    return rule


def test_the_best_share_is_exact_and_says_what_was_needed() -> None:
    # A quarter of 10 is 2.5: half a document counts as one.
    scores = [0.1 * place for place in range(10)]
    verdicts = select.decide(documents(**{"quality.score": scores}), [top(0.25)])
    assert verdicts["kept"].to_list() == [False] * 7 + [True] * 3
    assert verdicts["threshold"].to_list()[0] == pytest.approx(0.7)
    assert verdicts["value"].to_list()[:2] == pytest.approx([0.0, 0.1])


def test_the_best_share_is_taken_of_what_passes_the_other_rules_in_each_group() -> None:
    frame = documents(**{"quality.score": [9.0, 8, 7, 6, 5, 4], "n_chars": [1, 9, 9, 9, 9, 9]}).with_columns(
        language=pl.Series(["en", "en", "en", "de", "de", "de"])
    )
    rules = resolved(
        [{"best": {"top": 0.5, "by": "quality.score", "per": "language"}}, {"long": {"where": "n_chars > 5"}}]
    )
    # en has 2 left: one stays. de has 3: 1.5 counts as 2.
    verdicts = select.decide(frame, rules)
    assert verdicts["rule"].to_list() == ["long", None, "best", None, None, "best"]


@settings(deadline=None, max_examples=30)
@given(
    scores=st.lists(st.one_of(st.none(), st.integers(0, 3)), min_size=1, max_size=40),
    share=st.floats(0, 1),
    seed=st.integers(0, 5),
)
def test_a_share_of_tied_scores_is_exact_whatever_the_order_of_rows(
    scores: list[int | None], share: float, seed: int
) -> None:
    frame = documents(**{"quality.score": pl.Series(scores, dtype=pl.Float64)})
    rule = top(share, seed=seed)
    kept = select.decide(frame, [rule])
    assert kept["kept"].sum() == int(len(scores) * share + 0.5)
    backwards = select.decide(frame.reverse(), [rule]).reverse()
    assert backwards["kept"].to_list() == kept["kept"].to_list()
    worst_kept = [score for score, stays in zip(scores, kept["kept"], strict=True) if stays]
    best_dropped = [score for score, stays in zip(scores, kept["kept"], strict=True) if not stays]
    if worst_kept and best_dropped:
        assert min(-1 if score is None else score for score in worst_kept) >= max(
            -1 if score is None else score for score in best_dropped
        )


def test_ties_fall_otherwise_with_another_seed() -> None:
    frame = documents(**{"quality.score": [1.0] * 40})
    chosen = {tuple(select.decide(frame, [top(0.5, seed=seed)])["kept"]) for seed in range(3)}
    assert len(chosen) == 3


def test_a_threshold_can_differ_by_language() -> None:
    rules = select.resolve(
        [{"gopher_quality": {"min_words": 50}}], by_language={"de": {"gopher_quality": {"min_words": 10}}}
    )
    words = next(rule for rule in rules if rule.rule == "gopher_min_words")
    frame = documents(n_words=[20, 20, 5]).with_columns(language=pl.Series(["en", "de", "de"]))
    verdicts = select.decide(frame, [words])
    assert verdicts.select("kept", "value", "threshold").rows() == [
        (False, 20.0, 50.0),
        (True, None, None),
        (False, 5.0, 10.0),
    ]


@pytest.mark.parametrize(
    ("by_language", "message"),
    [
        ({"de": {"gopher_qualty": {}}}, "language de: rule 'gopher_qualty' is unknown. Did you mean"),
        ({"de": {"gopher_quality": {"min_wrods": 1}}}, "has no threshold 'min_wrods'. Did you mean 'min_words'"),
        ({"de": {"gopher_quality": {"min_alpha_words": 7}}}, "min_alpha_words of de is 7"),
        ({"de": {"gopher_quality": {"min_words": 200_000}}}, "above the greatest value allowed for de"),
        ({False: {}}, "Write 'no' in quotes"),
        ({"de": {"gopher_quality": 3}}, "is not {rule set: {threshold: value}}"),
    ],
)
def test_thresholds_of_a_language_that_make_no_sense_are_refused(by_language: Any, message: str) -> None:
    with pytest.raises(RuleError, match=message):
        select.resolve(["gopher_quality"], by_language=by_language)


def test_words_of_an_address_are_shown_as_evidence() -> None:
    rules = [rule for rule in select.resolve(["url"]) if rule.rule == "url_max_strict_words"]
    frame = documents(url_strict_words=[2, 0], url_words=[["bad", "worse"], []])
    verdict = select.decide(frame, rules).row(0, named=True)
    assert (verdict["rule"], verdict["value"], verdict["evidence"]) == ("url_max_strict_words", 2.0, "bad, worse")


def test_a_blocked_address_shows_the_entry_that_matched() -> None:
    rules = [rule for rule in select.resolve(["url"]) if rule.rule == "url_category"]
    frame = documents(url_category=["adult", None], url_entry=["bad.test", None])
    verdict = select.decide(frame, rules).row(0, named=True)
    assert (verdict["rule"], verdict["evidence"]) == ("url_category", "bad.test")
    assert select.decide(frame, rules)["kept"].to_list() == [False, True]
