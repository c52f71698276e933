"""Units: every word of a document is in one, none is longer than it may be."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recipes_of_tests import documents, recipe

from lakehouse.generate.errors import GenerationError
from lakehouse.generate.units import Unit, cut, estimated_tokens, line_chunks, passages, units_of

texts = st.text(st.sampled_from("ab .\n。é語\t"), max_size=300)


def parts(text: str, spans: list[tuple[int, int]]) -> list[str]:
    return [text[start:end] for start, end in spans]


def test_a_token_is_estimated_as_four_bytes() -> None:
    assert [estimated_tokens(text) for text in ("", "abcd", "abcde", "語語語")] == [0, 1, 2, 3]  # 9 bytes: 2.25


def test_paragraphs_stay_whole_where_they_fit_then_sentences_then_words() -> None:
    # Three tokens are 12 bytes.
    text = "One two.\n\nThree.\nA sentence. Another one.\nabcdefghijklmnop"
    assert parts(text, passages(text, 3)) == [
        "One two.",
        "Three.",
        "A sentence.",
        "Another one.",
        "abcdefghijkl",
        "mnop",
    ]


def test_paragraphs_that_fit_together_are_one_passage() -> None:
    text = "One.\nTwo.\n\nThree.\n"
    assert parts(text, passages(text, 4)) == ["One.\nTwo.", "Three."]  # 9 and 6 bytes; together 17 of 16
    assert parts(text, passages(text, 5)) == ["One.\nTwo.\n\nThree."]


def test_a_short_rest_joins_the_passage_before_it() -> None:
    text = "One two three four.\nFive."
    assert parts(text, passages(text, 5)) == ["One two three four.", "Five."]
    assert parts(text, passages(text, 5, min_tokens=3)) == [text]


@given(texts, st.integers(1, 20))
def test_passages_hold_every_word_in_order_and_none_is_too_long(text: str, most: int) -> None:
    spans = passages(text, most)
    assert "".join("".join(parts(text, spans)).split()) == "".join(text.split())
    assert all(start < end for start, end in spans)
    assert all(first[1] <= second[0] for first, second in pairwise(spans))
    assert all(estimated_tokens(part) <= most for part in parts(text, spans))


@given(texts, st.integers(1, 20))
def test_chunks_of_lines_are_whole_lines(text: str, most: int) -> None:
    lines = [line for line in text.split("\n") if line.strip()]
    chunks = parts(text, line_chunks(text, most))
    assert [line for chunk in chunks for line in chunk.split("\n") if line.strip()] == lines
    assert all(estimated_tokens(chunk) <= most or "\n" not in chunk for chunk in chunks)


@given(texts, st.integers(1, 20))
def test_the_beginning_of_a_text_is_no_longer_than_it_may_be(text: str, most: int) -> None:
    start, end = cut(text, most)
    part = text[start:end]
    assert part == part.strip()
    assert estimated_tokens(part) <= most
    assert text.strip().startswith(part)
    assert bool(part) == bool(text.strip())


def test_a_text_is_cut_at_the_end_of_a_paragraph_or_a_sentence_in_its_second_half() -> None:
    def beginning(text: str) -> str:
        return text[slice(*cut(text, 5))]  # 20 bytes

    assert beginning("A first. A second.\nA third and more.") == "A first. A second."
    assert beginning("Some words. And then no end at all") == "Some words."
    assert beginning("Some words without any end") == "Some words without"
    assert beginning("x" * 30) == "x" * 20


def test_units_say_where_they_stand() -> None:
    found = list(units_of(documents("One two.\n\nThree."), recipe(units={"passages": {"max_tokens": 2}})))
    assert [(unit.text, unit.place, unit.anchors) for unit in found] == [
        ("One two.", 0, ("a",)),
        ("Three.", 1, ("a",)),
    ]
    assert found[1].document[found[1].start : found[1].end] == "Three."


def test_a_group_shares_its_tokens_and_a_single_document_is_none() -> None:
    anchors = documents("x" * 40, "y" * 40, "z", group=["1", "1", "2"])
    (unit,) = units_of(anchors, recipe(units={"group": {"documents": 4, "max_tokens": 10}}))
    assert [document["text"] for document in unit.documents] == ["x" * 20, "y" * 20]  # 5 tokens each
    assert unit.anchors == ("a", "b")
    assert unit.text == "x" * 20 + "\n\n" + "y" * 20


def test_larger_groups_are_cut_into_groups_of_the_size_that_is_asked_for() -> None:
    anchors = documents(*"abcde", group=["1"] * 5)
    found: list[Unit] = list(units_of(anchors, recipe(units={"group": {"documents": 2, "max_tokens": 10}})))
    assert [unit.anchors for unit in found] == [("a", "b"), ("c", "d")]


def test_a_document_without_text_is_named() -> None:
    with pytest.raises(GenerationError, match="document b has no text"):
        list(units_of(documents("One.", " \n"), recipe()))
