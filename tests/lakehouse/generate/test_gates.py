"""Each answer is judged in a fixed order, and what failed is named with its value, threshold or evidence."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from lakehouse.generate.errors import GenerationError
from lakehouse.generate.gates.judge import judge
from lakehouse.generate.gates.settings import INPUT_GATES, MEASURES, Gates, Requirements
from lakehouse.generate.gates.tools import Tools

PASSAGE = "The river rises in the hills, and it reaches the sea after ninety miles."
REWRITE = "From the hills the river runs for ninety miles until it comes to the sea."


def identify(texts: list[str]) -> pl.DataFrame:
    """German where there is an umlaut, not sure where there is an ellipsis, else English."""
    codes = ["de" if any(letter in text for letter in "äöü") else "en" for text in texts]
    return pl.DataFrame({"language": codes, "language_score": [0.3 if "…" in text else 0.9 for text in texts]})


TOOLS = Tools(identify=identify)


def answer(text: str | None = REWRITE, **changes: Any) -> dict[str, Any]:
    row = {"unit_id": "u", "status": "ok", "error": None, "finish_reason": "stop", "text": text, "passage": PASSAGE}
    return {**row, "language": "en", "failure": None, "failure_evidence": None, **changes}


def frame(*rows: dict[str, Any]) -> pl.DataFrame:
    numbers = {"lint_score": pl.Float64, "compiles": pl.Boolean, "n": pl.Int64, "value_mark": pl.Float64}
    kinds = {name: numbers.get(name, pl.String) for name in rows[0]}
    return pl.DataFrame(list(rows), schema=kinds)


def judged(row: dict[str, Any], tools: Tools = TOOLS, **gates: Any) -> dict[str, Any]:
    (result,) = judge(frame(row), Gates.model_validate(gates), tools).to_dicts()
    return result


def outcome(result: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(result[name] for name in ("gate", "value", "threshold", "evidence", "failed"))


def test_a_good_rewrite_is_accepted_with_its_measures() -> None:
    result = judged(answer())
    assert result["accepted"]
    assert outcome(result) == (None, None, None, None, [])
    assert result["length_ratio"] == pytest.approx(73 / 72)
    assert result["copied_share"] == 0
    assert result["language_kept"] == 1
    assert [result[name] for name in ("words", "numbers_kept", "repetition", "judge")] == [None] * 4


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (answer(None, status="error", error="HTTP 500"), ("call_failed", None, None, "HTTP 500", ["call_failed"])),
        (answer(finish_reason="length"), ("finish_reason", None, None, "length", ["finish_reason"])),
        (answer(finish_reason=None), ("finish_reason", None, None, "none given", ["finish_reason"])),
        (answer(None), ("empty", None, None, None, ["empty"])),
        (answer(" \n "), ("empty", None, None, None, ["empty"])),
        (
            answer(None, failure="answer", failure_evidence="no JSON"),
            ("answer", None, None, "no JSON", ["answer"]),
        ),
        (
            answer(None, failure="dropped_by_program", failure_evidence="drop_doc"),
            ("dropped_by_program", None, None, "drop_doc", ["dropped_by_program"]),
        ),
        (
            answer(None, finish_reason="length", failure="answer"),
            ("finish_reason", None, None, "length", ["finish_reason", "answer"]),
        ),
        (
            answer("I'm sorry, but I can't help with that request."),
            ("refusal", None, None, "I'm sorry, but I can't help with", ["refusal"]),
        ),
        (
            answer("Sure, here is the rewritten text:\nFrom the hills the river runs to the sea."),
            ("preface", None, None, "Sure, here is the rewritten text:", ["preface"]),
        ),
        (
            answer("Der Fluss fließt von den Hügeln über neunzig Meilen bis zum Meer."),
            ("language", 0.0, 1.0, "de instead of en", ["language"]),
        ),
    ],
)
def test_what_is_always_on_is_tried_in_order(row: dict[str, Any], expected: tuple[Any, ...]) -> None:
    assert outcome(judged(row)) == expected


def test_the_first_of_several_gates_is_reported_and_all_are_listed() -> None:
    # 8 characters of 72; one word of at least five
    result = judged(answer("Rivers 7"), length_ratio={"min": 0.5}, numbers_added={"max": 0.5}, min_words=5)
    assert outcome(result) == (
        "length_ratio", pytest.approx(8 / 72), 0.5, None, ["length_ratio", "numbers_added", "min_words"],
    )  # fmt: skip


@pytest.mark.parametrize(("bounds", "threshold"), [({"min": 1.1, "max": 3}, 1.1), ({"min": 0.1, "max": 1}, 1.0)])
def test_the_threshold_is_the_bound_that_was_passed(bounds: dict[str, float], threshold: float) -> None:
    assert judged(answer(), length_ratio=bounds)["threshold"] == threshold


def test_bounds_are_included() -> None:
    assert judged(answer(PASSAGE), length_ratio={"min": 1, "max": 1}, copied_share={"min": 1})["accepted"]


@pytest.mark.parametrize("gate", ["refusal", "preface", "language"])
def test_gates_that_are_on_can_be_switched_off(gate: str) -> None:
    texts = {
        "refusal": "I cannot help with this request at all.",
        "preface": f"Certainly! Here is the revised version of the text:\n{REWRITE}",
        "language": "Der Fluss fließt von den Hügeln über neunzig Meilen bis zum Meer.",
    }
    assert judged(answer(texts[gate]))["gate"] == gate
    assert judged(answer(texts[gate]), **{gate: False})["accepted"]


def test_what_the_passage_says_itself_is_no_preface_and_no_refusal() -> None:
    letter = "I'm sorry, but I cannot help with the meeting.\nLet me know if another day suits you."
    assert judged(answer(letter, passage=letter))["accepted"]
    assert judged(answer(letter))["failed"] == ["refusal", "preface"]


GERMAN = "Über den Hügeln entspringt der Fluss, und nach neunzig Meilen mündet er ins Meer."


@pytest.mark.parametrize(
    ("row", "language", "accepted"),
    [
        (answer(GERMAN), {"is": "de"}, True),
        (answer(GERMAN), {"is": "de-AT"}, True),
        (answer(REWRITE), {"is": "de"}, False),
        (answer(GERMAN, language="de-CH"), {}, True),
        (answer(GERMAN, language=None, passage=GERMAN), {}, True),  # the passage is identified
        (answer(GERMAN, language="und"), {}, False),
        (answer(GERMAN, language="und", passage="Kurz."), {}, True),  # too short to know what it should be
        (answer("Schön."), {}, True),  # too short to tell
        (answer("Schön."), {"min_letters": 5}, False),
        (answer(GERMAN + "…"), {}, True),  # not sure enough
        (answer(GERMAN + "…"), {"min_score": 0.2}, False),
        (answer("Schön."), {"required": True}, False),
    ],
)
def test_the_language_is_the_one_that_it_should_be(row: dict[str, Any], language: Any, accepted: bool) -> None:
    assert judged(row, language=language)["accepted"] is accepted


def test_what_cannot_be_measured_passes_unless_it_is_required() -> None:
    row = answer("Short one.")  # two words: no 5-gram, no number
    assert judged(row, copied_share={"max": 0.1}, numbers_kept={"min": 1})["accepted"]
    result = judged(row, copied_share={"max": 0.1, "required": True})
    assert outcome(result) == ("copied_share", None, None, "it could not be measured", ["copied_share"])
    # Nothing is measured of an answer that is not there: only that is reported.
    assert judged(answer(None), copied_share={"max": 0.1, "required": True})["failed"] == ["empty"]


def test_gates_with_tools_use_them() -> None:
    def similarity(texts: list[str], others: list[str]) -> np.ndarray:
        return np.array([float(text == other) for text, other in zip(texts, others, strict=True)])

    def quality(texts: list[str], name: str) -> np.ndarray:
        assert name == "educational"
        return np.array([len(text) / 100 for text in texts])

    tools = Tools(identify=identify, similarity=similarity, quality=quality)
    result = judged(
        answer(), tools, embedding_similarity={"min": 0.5}, quality={"classifier": "educational", "min": 0.9}
    )
    assert result["failed"] == ["embedding_similarity", "quality"]
    assert (result["embedding_similarity"], result["quality"]) == (0, pytest.approx(0.73))


@pytest.mark.parametrize(
    ("gates", "tool"),
    [
        ({}, "identify"),
        ({"language": False, "embedding_similarity": {"min": 0.5}}, "similarity"),
        ({"language": False, "quality": {"classifier": "c", "min": 0.5}}, "quality"),
    ],
)
def test_a_gate_without_its_tool_says_what_to_set(gates: dict[str, Any], tool: str) -> None:
    with pytest.raises(GenerationError, match=rf"set Tools\({tool}=…\), or turn the gate off"):
        judged(answer(), Tools(), **gates)


def test_a_tool_that_answers_too_little_is_found_out() -> None:
    tools = Tools(identify=identify, quality=lambda texts, name: np.zeros(7))
    with pytest.raises(GenerationError, match=r"quality gave an array of shape \(7,\) for 1 texts"):
        judged(answer(), tools, quality={"classifier": "c", "min": 0.5})


def test_gates_read_the_values_of_other_steps() -> None:
    row = answer(value_first="The Hague, 1899", value_check="in the hague in 1899!", value_mark=3)
    # the hague 1899 / in the hague in 1899: 3 words of 3 and of 5 in common, F1 = 2·3/8
    result = judged(row, round_trip={"of": "first", "against": "check", "min": 0.9}, judge={"step": "mark", "min": 4})
    assert (result["round_trip"], result["judge"]) == (0.75, 3)
    assert result["failed"] == ["round_trip", "judge"]


def test_a_mark_may_be_a_string_and_anything_else_is_no_number() -> None:
    assert judged(answer(value_mark=" 4.5\n") | {"value_mark": 4.5}, judge={"step": "mark", "min": 4})["accepted"]
    words = frame(answer(value_said="4.5 "), answer(value_said="good"))
    result = judge(words, Gates.model_validate({"judge": {"step": "said", "min": 4, "required": True}}), TOOLS)
    assert result["judge"].to_list() == [4.5, None]
    assert result["accepted"].to_list() == [True, False]


def test_code_must_compile_and_be_clean() -> None:
    row = answer(compiles=False, lint_score=6.5)
    result = judged(row, compiles=True, lint={"min": 7})
    assert outcome(result) == ("compiles", 0.0, 1.0, None, ["compiles", "lint"])
    assert judged(answer(compiles=True, lint_score=7.0), compiles=True, lint={"min": 7})["accepted"]
    assert judged(answer(compiles=None, lint_score=7.0), compiles=True)["accepted"]
    assert not judged(answer(compiles=None, lint_score=7.0), compiles={"required": True})["accepted"]


@pytest.mark.parametrize(
    ("column", "gates"),
    [
        ("passage", {}),
        ("language", {}),
        ("value_mark", {"judge": {"step": "mark", "min": 1}}),
        ("value_b", {"round_trip": {"of": "a", "against": "b", "min": 1}}),
        ("compiles", {"compiles": True}),
        ("lint_score", {"lint": {"min": 1}}),
    ],
)
def test_a_missing_column_is_named(column: str, gates: dict[str, Any]) -> None:
    row = {name: value for name, value in answer(value_a="x").items() if name != column}
    with pytest.raises(GenerationError, match=f"no column '{column}'"):
        judged(row, **gates)


def test_columns_that_no_gate_needs_may_be_missing() -> None:
    row = {name: answer()[name] for name in ("unit_id", "status", "finish_reason", "text", "passage")}
    assert judged(row, Tools(), language=False)["accepted"]


def test_rows_come_back_in_order_with_every_column_whatever_the_batches() -> None:
    rows = [answer(f"word {place} " * (place % 5 + 1), unit_id=str(place), n=place) for place in range(2300)]
    result = judge(frame(*rows), Gates.model_validate({"repetition": {"max": 0.1}, "max_words": 8}), TOOLS)
    assert result["n"].to_list() == list(range(2300))
    assert [name for name in result.columns if name in MEASURES] == list(MEASURES)
    assert {result.schema[name] for name in MEASURES} == {pl.Float64}
    alone = pl.concat(
        [judge(frame(row), Gates.model_validate({"repetition": {"max": 0.1}}), TOOLS) for row in rows[:9]]
    )
    assert result["repetition"][:9].to_list() == alone["repetition"].to_list()
    # 2 words, 4, 6, 8, 10: those of ten are too many
    assert result["failed"][4].to_list() == ["repetition", "max_words"]


def test_no_answers_give_no_verdicts() -> None:
    result = judge(frame(answer()).clear(), Gates(), TOOLS)
    assert result.height == 0
    assert {"accepted", "gate", "copied_share"} <= set(result.columns)


def test_hostile_texts_are_judged_like_others() -> None:
    texts = [
        "\x00" * 50,
        "\ufdd0*\ufdd1",
        "a" * 300_000,
        "**" * 20_000,
        "💥" * 1000,
        "1," * 20_000,
        "|" * 5000,
        "[(" * 999,
    ]
    every = {name: {"min": 0} for name in ("numbers_kept", "names_kept", "structure_kept", "copied_share")}
    gates = Gates.model_validate({**every, "repetition": {"max": 1}, "numbers_added": {"max": 1}, "min_words": 0})
    result = judge(frame(*(answer(text, passage=text) for text in texts)), gates, TOOLS)
    assert result["accepted"].all()


def test_an_input_is_judged_by_itself() -> None:
    required = {"language": {"is": "en"}, "min_words": 5, "repetition": {"max": 0.5}, "compiles": True}
    requirements = Requirements.model_validate(required)
    texts = [PASSAGE, GERMAN, "Too short.", "again and again it says so. " * 5, "", None]
    inputs = pl.DataFrame({"text": texts, "compiles": [True] * 6}, schema_overrides={"text": pl.String})
    result = judge(inputs, requirements, TOOLS)
    assert result["gate"].to_list() == [None, "language", "min_words", "repetition", "empty", "empty"]
    assert result["length_ratio"].null_count() == 6


def test_gates_that_compare_are_no_requirements() -> None:
    assert set(INPUT_GATES) == {"language", "repetition", "quality", "compiles", "lint", "min_words", "max_words"}
    for gates in ({"copied_share": {"max": 0.5}}, {"language": {}}, {"language": True}):
        with pytest.raises(ValidationError):
            Requirements.model_validate(gates)


@pytest.mark.parametrize(
    ("gates", "message"),
    [
        ({"length_ratio": {}}, "give min, max or both"),
        ({"length_ratio": {"min": 2, "max": 1}}, "min 2 is above max 1"),
        ({"length_ratio": {"min": float("nan")}}, "finite number"),
        ({"copied_share": {"max": 80}}, "max is 80, but a share lies between 0 and 1"),
        ({"min_words": 9, "max_words": 3}, "min_words 9 is above max_words 3"),
        ({"ngram_similarity": {"min": 0.1, "n": 0}}, "greater than or equal to 1"),
        ({"judge": {"step": "No Name", "min": 1}}, "should match pattern"),
        ({"langauge": {}}, "Extra inputs"),
        ({"quality": {"min": 1}}, "Field required"),
    ],
)
def test_settings_that_make_no_sense_are_refused(gates: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Gates.model_validate(gates)
