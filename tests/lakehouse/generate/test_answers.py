"""What models answer is read in the form that a step asks for, and whatever they answer only AnswerError comes out."""

from __future__ import annotations

import contextlib
import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.generate.answer_json import json_schema_of
from lakehouse.generate.answers import AnswerError, parse
from lakehouse.generate.errors import GenerationError
from lakehouse.generate.sections import Answer

RATING = {
    "type": "object",
    "properties": {"score": {"type": "integer", "minimum": 1, "maximum": 5}, "reason": {"type": "string"}},
    "required": ["score"],
    "additionalProperties": False,
}
NAMES = {"type": "array", "items": {"type": "string"}}


def read(response: str, form: Any = "text", text: str = "", **settings_of_answer: Any) -> Any:
    return parse(Answer(form=form, **settings_of_answer), response, text)


def refused(response: str, form: Any = "text", text: str = "", **settings_of_answer: Any) -> str:
    with pytest.raises(AnswerError) as error:
        read(response, form, text, **settings_of_answer)
    assert "\n" not in error.value.evidence
    return error.value.evidence


# What counts of an answer


def test_line_ends_nul_and_half_surrogate_pairs_are_made_storable() -> None:
    assert read("\ufeff one\r\ntwo\rthree\x00 \ud800 \n") == "one\ntwo\nthree \ufffd"


@pytest.mark.parametrize("said", ["<text>\nIt rained.\n</text>", "<text>It rained.</text>", "It rained.\n</text>"])
def test_passage_tags_that_the_model_repeats_go(said: str) -> None:
    assert read(said) == "It rained."


@pytest.mark.parametrize(
    ("said", "value"),
    [
        ("<think>It says </think> often.</think>\n\nIt rained.", "It rained."),
        ("no opening tag: the prompt had it</think>It rained.", "It rained."),
        ("It rained.", "It rained."),  # the server took the reasoning out
    ],
)
def test_what_follows_the_reasoning_counts(said: str, value: str) -> None:
    assert read(said, after="</think>") == value


@pytest.mark.parametrize("said", ["<think>It may", "<think>a</think> wait <think>b", "<think>"])
def test_reasoning_that_never_ends_is_an_error(said: str) -> None:
    assert refused(said, after="</think>") == "the reasoning never ends: there is no </think> after the last <think>"


def test_a_mark_that_is_no_tag_must_be_there() -> None:
    assert read("Plan: a.\nFinal answer: b", after="Final answer:") == "b"
    assert refused("Plan: a.", after="Final answer:") == "'Final answer:' does not stand in the answer"


@pytest.mark.parametrize(
    ("said", "value"),
    [
        ("Plan.\n<improved>\nIt rained.\n</improved>\nDone.", "It rained."),
        ("<improved>draft</improved> then <improved>final</improved>", "final"),
        ("I shall write it into <improved>.\n<improved>It rained.</improved>", "It rained."),
        ("<improved>a <improved>b</improved> c</improved>", "a b c"),
        ("</improved> <Improved>It rained.</IMPROVED>", "It rained."),
        ("<improved></improved>", ""),
    ],
)
def test_the_last_complete_tag_counts(said: str, value: str) -> None:
    assert read(said, tag="improved") == value


@pytest.mark.parametrize("said", ["It rained.", "<improved>It", "It</improved>", "<improved>…</improved>:<improved>It"])
def test_a_tag_that_is_not_closed_is_an_error(said: str) -> None:
    assert refused(said, tag="improved") == "there is no complete <improved>…</improved> at the end of the answer"


def test_evidence_shows_at_most_80_characters_of_an_answer() -> None:
    for evidence in (refused("\n" + "ab" * 500, "number"), refused("ab" * 500, "choice", of=("yes", "no"))):
        assert "ababab" in evidence
        assert evidence.count("ab") <= 40


def test_words_around_prose_and_marks_in_it_go_where_a_recipe_says_so() -> None:
    said = "Sure, here is the rewritten text:\n\nIt **rained** in snake_case.\n\nI hope this helps!"
    assert read(said) == said
    assert read(said, preface="remove") == "It **rained** in snake_case."
    assert read(said, preface="remove", markdown="remove") == "It rained in snake_case."
    assert read('["**a**"]', "json", schema=NAMES, markdown="remove") == ["**a**"]


# lines


def test_bullets_numbers_and_checkboxes_go_and_text_stays() -> None:
    said = """Here are the facts:

- It rained.
* **Bold** stays
• 3.5 million people live there
1. First
2) Second
(3) Third
- [ ] open
- [x] done
- 4. both
a) letter
１、全角
– -5 degrees
---
## A heading
- It rained.
1984 was a year."""
    assert read(said, "lines") == [
        "It rained.", "**Bold** stays", "3.5 million people live there", "First", "Second", "Third", "open", "done",
        "both", "letter", "全角", "-5 degrees", "1984 was a year.",
    ]  # fmt: skip


def test_plain_lines_are_items_too_and_indented_ones_continue_an_item() -> None:
    assert read("one\n\ntwo: a, b:\nthree", "lines") == ["one", "two: a, b:", "three"]
    assert read("- one\n  goes on\n- two", "lines") == ["one goes on", "two"]


def test_lines_are_cut_and_counted() -> None:
    assert read("- a\n- b\n- c", "lines", most=2) == ["a", "b"]
    assert refused("- a\n- a", "lines", least=2) == "1 lines, at least 2 are asked for"
    assert read("", "lines", least=0) == []
    assert refused("", "lines") == "0 lines, at least 1 are asked for"


# pairs


@pytest.mark.parametrize(
    "said",
    [
        "Question: Who came?\nAnswer: Ada.\n\nQuestion: When?\nAnswer: In May.",
        "Q: Who came?\nA: Ada.\nQ: When?\nA: In May.",
        "Q1. Who came?\nA1. Ada.".replace(". ", ": ") + "\nQ2: When?\nA2: In May.",
        "Here:\n**Question 1:** Who came?\n**Answer 1:** Ada.\n\n---\n**Question 2**: When?\n**Answer 2**: In May.",
        "1. **Question:** Who came?\n   **Answer:** Ada.\n2. **Question:** When?\n   **Answer:** In May.",
        "### Question 1: Who came?\nAnswer: Ada.\n### Question 2: When?\nAnswer: In May.",
        "Question: Who came? Answer: Ada.\nQuestion: When? Answer: In May.",
        "Question: Who came? Answer: Ada. Question: When? Answer: In May.",
        "Q: Who came? A: Ada. Q: When? A: In May.",
        "1. Who came?\nAnswer: Ada.\n\n2. When?\nAnswer: In May.",
        "**Who came?**\n\nAnswer: Ada.\n\n**When?**\n\nAnswer: In May.",
        "Frage: Who came?\nAntwort: Ada.\nFrage 2: When?\nAntwort 2: In May.",
        "Pregunta: Who came?\nRespuesta: Ada.\nPREGUNTA: When?\nRESPUESTA: In May.",
        "问：Who came?\n答：Ada.\n问题2：When?\n答案2：In May.",
        "Вопрос: Who came?\nОтвет: Ada.\nВопрос: When?\nОтвет: In May.",
        "- Q: Who came?\n- A: Ada.\n- Q: When?\n- A: In May.",
        "> **Q:** Who came?\n> **A:** Ada.\n> **Q:** When?\n> **A:** In May.",
        "**Question: Who came?**\nAnswer: Ada.\n**Question: When?**\nAnswer: In May.",
        "Question:\nWho came?\nAnswer:\nAda.\nQuestion:\nWhen?\nAnswer:\nIn May.",
    ],
)
def test_the_common_layouts_of_pairs_are_read(said: str) -> None:
    expected = [{"question": "Who came?", "answer": "Ada."}, {"question": "When?", "answer": "In May."}]
    assert read(said, "pairs") == expected


def test_answers_of_several_lines_stay_whole() -> None:
    said = "Question: Which?\nA: red\nB: blue\nAnswer: B, for\n\n- it is\n- the question: sky\n\n"
    said += "Question: Why?\nAnswer: So."
    assert read(said, "pairs") == [
        {"question": "Which?\nA: red\nB: blue", "answer": "B, for\n\n- it is\n- the question: sky"},
        {"question": "Why?", "answer": "So."},
    ]


def test_a_pair_without_an_answer_is_none() -> None:
    assert read("Q: a?\nA: b.\nQ: c?\nA:\n\nQ: d?", "pairs") == [{"question": "a?", "answer": "b."}]
    assert refused("Just prose.", "pairs", least=2) == "0 question-answer pairs, at least 2 are asked for"
    assert refused("Answer: b", "pairs") == "0 question-answer pairs, at least 1 are asked for"


# json


@pytest.mark.parametrize(
    "said",
    [
        '{"score": 4, "reason": "good"}',
        'Sure: [see below]\n```json\n{"score": 4, "reason": "good"}\n```\nI hope this helps {you}!',
        'The rating is {"score": 4, "reason": "good"}. Not {"score": 1}.',
        'Set {x | x > 0} gives {"score": 4, "reason": "good"}',
        '```\n{"score": 4,\n "reason": "good"}\n```',
    ],
)
def test_json_is_found_in_the_answer(said: str) -> None:
    assert read(said, "json", schema=RATING) == {"score": 4, "reason": "good"}


@pytest.mark.parametrize(
    ("said", "evidence"),
    [
        ('{"score": 6}', "answer.score is '6', which maximum 5 does not allow"),
        ('{"score": "4"}', 'answer.score is \'"4"\', which type "integer" does not allow'),
        ('{"score": 4, "score": 5}', "the key 'score' stands twice in one object"),
        ('{"score": NaN}', "NaN is no JSON"),
        ('{"score": -Infinity}', "-Infinity is no JSON"),
        ('{"score": 1e999}', "'1e999' is no number that can be stored"),
        ('{"score": ' + "1" * 60 + "}", f"'{'1' * 60}' has more than 40 digits"),
        ('{"score": 4', "there is no JSON in '{\"score\": 4': Expecting ',' delimiter at character 11"),
        ("", "the answer is empty: there is no JSON"),
        ("[" * 40 + "]" * 40, "the JSON has more than 32 levels"),
        ("[" + "1," * 30_000 + "1]", "the JSON has more than 20000 values"),
    ],
)
def test_json_is_read_strictly(said: str, evidence: str) -> None:
    assert refused(said, "json", schema=RATING) == evidence


def test_escapes_bring_back_nothing_that_cannot_be_stored() -> None:
    assert read('["a\\u0000b", "\\ud800", "\\ud83d\\ude00"]', "json", schema=NAMES) == ["ab", "\ufffd", "😀"]


def test_a_schema_that_is_none_is_the_recipes_error() -> None:
    with pytest.raises(ValueError, match="no JSON schema"):
        Answer(form="json", schema={"type": "objekt"})
    with pytest.raises(GenerationError, match="cannot be used"):  # nothing is fetched
        read("{}", "json", schema={"$ref": "http://127.0.0.1:9/other.json"})


def test_the_response_format_is_what_strict_servers_take() -> None:
    answer = Answer(form="json", schema=RATING)
    assert json_schema_of(answer, "rate it") == {
        "type": "json_schema",
        "json_schema": {
            "name": "rate_it",
            "strict": True,
            "schema": {
                "type": "object",
                "properties": {
                    "score": {"type": "integer", "minimum": 1, "maximum": 5},
                    "reason": {"anyOf": [{"type": "string"}, {"type": "null"}]},  # it may be left out
                },
                "required": ["score", "reason"],
                "additionalProperties": False,
            },
        },
    }
    assert read('{"score": 4, "reason": null}', "json", schema=RATING) == {"score": 4}
    assert json_schema_of(answer, "rate", "json_object") == {"type": "json_object"}
    beside = json_schema_of(answer, "rate", "json_object_schema")
    assert beside is not None
    assert (beside["type"], beside["schema"]["type"]) == ("json_object", "object")
    assert json_schema_of(answer, "rate", "off") is None
    assert json_schema_of(Answer(), "rate") is None


def test_a_list_is_asked_for_inside_an_object_and_taken_out_again() -> None:
    asked = json_schema_of(Answer(form="json", schema=NAMES), "names")
    assert asked is not None
    assert asked["json_schema"]["schema"]["properties"] == {"items": {"type": "array", "items": {"type": "string"}}}
    assert read('{"items": ["Ada"]}', "json", schema=NAMES) == ["Ada"]
    assert read('["Ada"]', "json", schema=NAMES) == ["Ada"]


def test_a_map_with_free_keys_is_sent_as_it_is() -> None:
    schema = {"type": "object", "additionalProperties": {"type": "string"}}
    asked = json_schema_of(Answer(form="json", schema=schema), "map")
    assert asked == {"type": "json_schema", "json_schema": {"name": "map", "strict": False, "schema": schema}}


# number, choice


@pytest.mark.parametrize(
    ("said", "number"),
    [
        ("4", 4.0), ("Between 1 and 5 it is a 3.", 3.0), ("Score: 7/10", 7.0), ("7 out of 10", 7.0), ("3,5", 3.5),
        ("-2", -2.0), ("−2.5", -2.5), ("1,234,567.5", 1_234_567.5), ("**4**", 4.0), ("٤", 4.0), ("85 %", 85.0),
    ],
)  # fmt: skip
def test_the_last_number_counts(said: str, number: float) -> None:
    assert read(said, "number") == number


def test_numbers_out_of_range_are_errors() -> None:
    assert read("<score>4</score> of 9", "number", tag="score", min=1, max=5) == 4.0
    assert read("0", "number", min=0, max=0) == 0.0
    assert refused("6", "number", min=1, max=5) == "6 is above 5"
    assert refused("0", "number", min=1, max=5) == "0 is below 1"
    assert refused("none", "number") == "there is no number in 'none'"
    assert refused("9" * 50, "number") == f"'{'9' * 50}' is no number"
    assert refused("1.2.3", "number") == "'1.2.3' is no number"


def test_a_choice_is_the_whole_answer() -> None:
    of = ("Science", "Health & sport", "yes")
    assert read(" **science**. ", "choice", of=of) == "Science"
    assert read("HEALTH & SPORT", "choice", of=of) == "Health & sport"
    assert refused("yes, I think", "choice", of=of) == "'yes, I think' is none of Science, Health & sport, yes"


# code


def test_the_last_block_of_code_counts() -> None:
    said = "First:\n```python\na = 1\n```\nBetter:\n~~~py\nb = '''\n```\n'''\n~~~\nIt prints\n```text\n2\n```"
    assert read(said, "code") == "b = '''\n```\n'''\n"
    assert read("a = 1", "code") == "a = 1\n"
    assert read("- so:\n  ```python\n  if a:\n      b\n  ```", "code") == "if a:\n    b\n"
    assert refused("```python\na = 1", "code") == "the last code block does not end"
    assert refused("```python\n```", "code") == "there is no code in the answer"


# hostile answers


SETTINGS: list[dict[str, Any]] = [
    {}, {"tag": "improved"}, {"after": "</think>"}, {"form": "lines"}, {"form": "pairs"},
    {"form": "json", "schema": RATING}, {"form": "json", "schema": NAMES}, {"form": "number", "min": 0, "max": 5},
    {"form": "choice", "of": ("yes", "no")}, {"form": "code"}, {"form": "program"},
    {"markdown": "remove", "preface": "remove"},
]  # fmt: skip
_PIECES = [
    "<", "</think>", "<think>", "<improved>", "</improved>", "<text>", "</text>", "\n", "- ", "1. ", "[ ] ", "*", "**",
    "Q: ", "A: ", "Question: ", "Answer: ", "?", "{", "}", "[", "]", '"', "\\", ":", ",", "1", "-", ".", "e9", "```",
    "~~~", "python", "drop_doc()", "remove_lines(", ")", "\ud800", "\0", "\u2028", "é", "问：", " ", "\t", "#",
    "NaN", "null",
]  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.text(max_size=60), st.lists(st.sampled_from(_PIECES), max_size=40).map("".join)))
def test_only_answer_errors_come_out(said: str) -> None:
    for settings_of_answer in SETTINGS:
        try:
            value = parse(Answer(**settings_of_answer), said, "a line\nanother line")
        except AnswerError:
            continue
        json.dumps(value, ensure_ascii=False, default=vars).encode()  # it can be stored


@given(
    st.lists(
        st.tuples(st.from_regex(r"[a-z]{1,9}\?", fullmatch=True), st.from_regex(r"[b-z]{2,9}\.", fullmatch=True)),
        max_size=6,
        unique=True,
    )
)
def test_pairs_written_plainly_are_read_back(pairs: list[tuple[str, str]]) -> None:
    said = "\n".join(f"Question: {question}\nAnswer: {answer}" for question, answer in pairs)
    expected = [{"question": question, "answer": answer} for question, answer in pairs]
    assert read(said, "pairs", least=0) == expected


@pytest.mark.parametrize(
    "piece",
    [
        "<",
        "**",
        "[",
        "{",
        '{"a":',
        '"\\"',
        "`",
        "```\n",
        "```json\n",
        "<improved>",
        "1.",
        "1,",
        "- ",
        "Q: ",
        " A:",
        "Answer: ",
        "a?\n",
        "\n",
    ],
)
def test_long_repetitions_take_no_time(piece: str) -> None:
    said = piece * ((1_000_000 if piece in {"<", "**", "{"} else 200_000) // len(piece))
    for settings_of_answer in SETTINGS:
        if settings_of_answer.get("form") == "program" or "markdown" in settings_of_answer:
            continue  # their limits are tested with them
        start = time.process_time()
        with contextlib.suppress(AnswerError):
            parse(Answer(**settings_of_answer), said, "")
        assert time.process_time() - start < 1.5, (piece, settings_of_answer)
