"""What a filtered set may declare, and what it means."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lakehouse import select
from lakehouse.select import Languages, RuleError


def test_gopher_quality_has_the_thresholds_of_the_paper() -> None:
    # Rae et al., appendix A1.1.
    bounds = {one.rule: (one.column, one.at_least, one.at_most) for one in select.resolve(["gopher_quality"])}
    assert bounds == {
        "gopher_min_words": ("n_words", 50, None),
        "gopher_max_words": ("n_words", None, 100_000),
        "gopher_min_mean_word_length": ("mean_word_length", 3, None),
        "gopher_max_mean_word_length": ("mean_word_length", None, 10),
        "gopher_max_hash_ratio": ("hash_ratio", None, 0.1),
        "gopher_max_ellipsis_ratio": ("ellipsis_ratio", None, 0.1),
        "gopher_max_bullet_lines": ("bullet_lines", None, 0.9),
        "gopher_max_ellipsis_lines": ("ellipsis_lines", None, 0.3),
        "gopher_min_alpha_words": ("alpha_words", 0.8, None),
        "gopher_min_stop_words": ("stop_words", 2, None),
    }


def test_languages_come_first_then_rules_in_their_order() -> None:
    rules = [one.rule for one in select.resolve(["gopher_quality", "consent"], Languages(("en",)))]
    assert rules[:2] == ["language", "language_score"]
    assert rules[-1] == "consent"
    assert select.resolve([]) == ()


def test_one_threshold_can_be_changed_and_the_others_stay() -> None:
    before = select.resolve(["gopher_quality"])
    after = select.resolve([{"gopher_quality": {"min_words": 30}}])
    assert [one.rule for one in after] == [one.rule for one in before]
    assert [(one.rule, one.at_least) for one, other in zip(after, before, strict=True) if one != other] == [
        ("gopher_min_words", 30)
    ]


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        (["gopher_qualty"], "'gopher_qualty' is unknown. Did you mean 'gopher_quality'"),
        (["zzz"], "'zzz' is unknown. There are consent, url, gopher_quality"),
        ([{"gopher_quality": {"min_word": 1}}], "no threshold 'min_word'. Did you mean 'min_words'"),
        ([{"consent": {"min_words": 1}}], "'consent' has no thresholds, so 'min_words' cannot be set"),
        (["consent", {"consent": {}}], "'consent' is named twice"),
        ([{"gopher_quality": {"max_bullet_lines": 90}}], "max_bullet_lines is 90; it must be a number from 0 to 1"),
        ([{"gopher_quality": {"min_words": -1}}], "min_words is -1"),
        ([{"gopher_quality": {"min_words": "50"}}], "min_words is '50'"),
        ([{"gopher_quality": {"min_words": float("nan")}}], "min_words is nan"),
        ([{"gopher_quality": {"min_words": 100, "max_words": 50}}], "gopher_min_words.*100 is above.* 50"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(rules: list[Any], message: str) -> None:
    with pytest.raises(RuleError, match=message):
        select.resolve(rules)


@pytest.mark.parametrize(
    ("languages", "message"),
    [
        (Languages(()), "names no language"),
        (Languages(("en", "English")), "'English' is no language code"),
        (Languages((" de",)), "' de' is no language code"),
        (Languages(("en",), min_score=65), "min_score is 65"),
    ],
)
def test_languages_that_make_no_sense_are_refused(languages: Languages, message: str) -> None:
    with pytest.raises(RuleError, match=message):
        select.resolve([], languages)


def test_only_measured_columns_need_an_annotator() -> None:
    languages = Languages(("en",))
    assert select.required_annotators(select.resolve(["consent"], languages)) == set()
    assert select.required_annotators(select.resolve(["consent", "gopher_quality"], languages)) == {"gopher_quality"}


def test_parameters_are_json_and_change_when_a_decision_could() -> None:
    def written(rules: list[Any], languages: Languages | None = None) -> str:
        return json.dumps(select.parameters(select.resolve(rules, languages)))

    assert written(["gopher_quality"]) == written([{"gopher_quality": {"min_words": 50}}])
    assert written(["gopher_quality"]) != written([{"gopher_quality": {"min_words": 51}}])
    assert written(["gopher_quality", "consent"]) != written(["consent", "gopher_quality"])
    assert written([], Languages(("en", "de"))) == written([], Languages(("de", "en")))
    assert written([], Languages(("en",))) != written([], Languages(("en",), 0.5))
