"""Substrings that occur more than once in a snapshot, against counting every window by hand."""

from __future__ import annotations

import time
from collections import defaultdict
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse import annotate
from lakehouse.annotate import AnnotatorError, Batch
from lakehouse.annotate.annotator import add_up, keys_of

Measured = list[tuple[set[int], list[int], int]]


def documents(texts: list[str], hosts: list[str | None] | None = None, ids: list[str] | None = None) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "doc_id": ids or [f"{place:08x}" * 4 for place in range(len(texts))],
            "text": texts,
            "language": "en",
            "host": pl.Series(hosts or ["a.test"] * len(texts), dtype=pl.String),
        }
    )


def measure(frame: pl.DataFrame, **declared: Any) -> pl.DataFrame:
    return annotate.measure_all(frame, [annotate.annotator({"repeated_substrings": declared})])[0]


def left(frame: pl.DataFrame, measured: pl.DataFrame) -> list[str]:
    texts = []
    for text, spans in zip(frame["text"], measured["repeated_substring_edits"].to_list(), strict=True):
        for span in reversed(spans):
            text = text[: span["start"]] + text[span["end"] :]
        texts.append(text)
    return texts


def by_hand(texts: list[list[str]], size: int, keep_first: bool) -> Measured:
    """Of each text the words that go, how often each stretch of them occurs at most, and the longest repeat."""
    seen = defaultdict(list)
    for number, words in enumerate(texts):
        for place in range(len(words) - size + 1):
            seen[tuple(words[place : place + size])].append((number, place))
    gone: list[set[int]] = [set() for _ in texts]
    times: list[dict[int, int]] = [{} for _ in texts]
    for places in seen.values():
        if len(places) == 1:
            continue
        first, at = places[0]
        for number, place in places[1:] if keep_first else places:
            begin = max(place, at + size) if keep_first and number == first else place
            gone[number] |= set(range(begin, place + size))
            times[number][place] = len(places)
    measured = []
    for words, removed, windows in zip(texts, gone, times, strict=True):
        stretches: list[int] = []
        longest = run = 0
        for place in range(len(words)):
            if place in removed and place - 1 not in removed:
                stretches.append(0)
            if place - size + 1 in windows:
                stretches[-1] = max(stretches[-1], windows[place - size + 1])
            run = run + 1 if place in windows else 0
            longest = max(longest, run + size - 1 if run else 0)
        measured.append((removed, stretches, longest))
    return measured


text = st.lists(st.sampled_from(["a", "b", "ü,"]), max_size=14)


@given(st.lists(text, min_size=1, max_size=5), st.integers(2, 5), st.booleans(), st.sampled_from([" ", "\n", " \n\t"]))
def test_it_agrees_with_counting_every_window(texts: list[list[str]], size: int, keep_first: bool, space: str) -> None:
    frame = documents([space.join(words) for words in texts])
    measured = measure(frame, min_tokens=size, keep_first=keep_first)
    expected = by_hand(texts, size, keep_first)
    stays = [[word for place, word in enumerate(words) if place not in gone] for words, (gone, _, _) in
             zip(texts, expected, strict=True)]  # fmt: skip
    assert [kept.split() for kept in left(frame, measured)] == stays
    assert measured["repeated_substring_counts"].to_list() == [counts for _, counts, _ in expected]
    assert measured["longest_repeat"].to_list() == [longest for _, _, longest in expected]


@given(st.lists(text, min_size=1, max_size=8), st.integers(2, 5), st.integers(1, 4))
def test_a_snapshot_in_parts_measures_as_the_whole(texts: list[list[str]], size: int, rows: int) -> None:
    frame = documents([" ".join(words) for words in texts])
    one = annotate.annotator({"repeated_substrings": {"min_tokens": size}})
    survey = one.survey
    assert survey is not None
    assert survey.count_again is not None

    def found(parts: list[pl.DataFrame]) -> pl.DataFrame:
        counts = add_up(pl.concat(parts))
        return counts.filter(pl.col("documents") >= survey.least).sort(keys_of(counts))

    batches = [Batch(part) for part in frame.iter_slices(rows)]
    first = found([survey.count(batch) for batch in batches])
    again = found([survey.count_again(batch, first) for batch in batches])
    assert pl.concat(survey.measure(batch, again) for batch in batches).equals(one.measure(Batch(frame)))


def test_the_copy_with_the_smallest_doc_id_stays_whatever_the_order_of_rows() -> None:
    frame = documents(["x one two three", "one two three y"], ids=["b" * 32, "a" * 32])
    measured = measure(frame, min_tokens=3)
    assert left(frame, measured) == ["x", "one two three y"]
    assert measure(frame.reverse(), min_tokens=3).reverse().equals(measured)
    # "onetwothree" is 11 characters of 12 in words.
    assert measured["repeated_characters"].to_list() == [11 / 12, 0.0]
    assert left(frame, measure(frame, min_tokens=3, keep_first=False)) == ["x", "y"]


@pytest.mark.parametrize(
    ("before", "after", "kept"),
    [
        ("x ", "  y", "x y"),
        ("x\n", "\ny", "x\ny"),
        ("x\n\n", "\n\ny", "x\n\ny"),
        ("x ", "\ny", "x\ny"),
        ("x\n", " y", "x\ny"),
        ("x  ", "", "x"),
        ("  ", " y", "  y"),
    ],
)
def test_white_space_goes_with_a_repeat_and_lines_stay_lines(before: str, after: str, kept: str) -> None:
    frame = documents(["one two", f"{before}one \n two{after}"])
    assert left(frame, measure(frame, min_tokens=2))[1] == kept


def test_case_and_punctuation_count() -> None:
    frame = documents(["one two", "One two", "one, two", "one\ttwo"])
    assert measure(frame, min_tokens=2)["longest_repeat"].to_list() == [0, 0, 0, 2]


def test_a_repeat_in_one_document_counts_and_its_first_place_stays() -> None:
    frame = documents(["a b c x a b c", "z " * 10])
    measured = measure(frame, min_tokens=3)
    assert left(frame, measured) == ["a b c x", "z z z "]
    # Words 1 to 9 of the second text are its first nine: a repeat of nine words.
    assert measured["longest_repeat"].to_list() == [3, 9]
    assert measured["repeated_substring_counts"].to_list() == [[2], [8]]


def test_scripts_without_spaces_have_words_too() -> None:
    shared = "暴风雨在中午越过山脊，山谷里没有人看到它的到来。"
    frame = documents([f"很少有人做好准备。{shared}", f"{shared}今天天气很好。"])
    assert left(frame, measure(frame, min_tokens=8)) == [f"很少有人做好准备。{shared}", "今天天气很好。"]


def test_hosts_are_apart_when_asked_for() -> None:
    frame = documents(["one two"] * 5, ["a.test", "b.test", "a.test", None, None])
    measured = measure(frame, min_tokens=2, across="host")
    assert measured["longest_repeat"].to_list() == [0, 0, 2, 0, 0]


def test_odd_texts_are_measured() -> None:
    page = " ".join(f"w{place}" for place in range(3_000))
    texts = ["", "\n" * 100_000, "x" * 1_000_000, "word " * 200_000, "a\n" * 100_000, *[page] * 50]
    frame = documents(texts)
    measured = measure(frame)
    assert measured["longest_repeat"].to_list() == [0, 0, 0, 199_999, 99_999, 0, *[3_000] * 49]
    assert measured["repeated_characters"].to_list()[:3] == [None, None, 0.0]
    assert [len(text) for text in left(frame, measured)[3:]] == [250, 100, len(page), *[0] * 49]


def test_time_grows_with_a_repeated_word_not_with_its_square() -> None:
    def seconds(size: int) -> float:
        frame = documents(["word " * size])
        start = time.perf_counter()
        measure(frame)
        return time.perf_counter() - start

    seconds(1_000)
    # Quadratic time would be 256 times as much.
    assert min(seconds(400_000) for _ in range(3)) < 100 * max(seconds(25_000), 0.02)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"min_tokens": 1}, "min_tokens is 1; it must be a whole number of 2 or more."),
        ({"min_tokens": True}, "min_tokens is True"),
        ({"across": "web"}, "across is 'web'; it must be host"),
        ({"keep_first": 1}, "keep_first is 1; it must be true or false."),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(AnnotatorError, match=message):
        annotate.annotator({"repeated_substrings": settings})
