"""Measures of diversity, worked out by hand on small sets, and what they must not depend on."""

from __future__ import annotations

import dataclasses
import math
import random
import zlib

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse import schema
from lakehouse.generate import diversity
from lakehouse.generate.diversity import Diversity, measure


def test_distinct_n_grams_of_two_texts() -> None:
    found = measure(["the old mill the old mill", "the old sea"])
    # 9 words, 4 different; 2-grams 5 + 2, different: the old, old mill, mill the, old sea
    assert found.words == 9
    assert found.distinct_1 == pytest.approx(4 / 9)
    assert found.distinct_2 == pytest.approx(4 / 7)
    # 3-grams 4 + 1: the old mill twice, old mill the, mill the old, the old sea
    assert found.distinct_3 == pytest.approx(4 / 5)
    assert found.distinct_4 == 1  # 3 of the first text


def test_lengths_and_openings() -> None:
    found = measure(["One two three four five six seven", "one, two: three four five six – eight", "Other words", "…"])
    assert found.documents == 4
    lengths = [33, 37, 11, 1]
    mean = sum(lengths) / 4
    assert found.mean_length == mean
    assert found.length_spread == pytest.approx(math.sqrt(sum((length - mean) ** 2 for length in lengths) / 4) / mean)
    # Three texts have words: two open with the same six, so there are two openings
    assert found.commonest_opening == pytest.approx(2 / 3)
    assert found.distinct_openings == pytest.approx(2 / 3)


def test_self_similarity_is_the_mean_over_pairs() -> None:
    # 3-grams {abc, bcd}, {abc, bcx}, {xyz}: Jaccard 1/3, 0, 0
    assert measure(["a b c d", "a b c x", "x y z"]).self_similarity == pytest.approx(1 / 9)


def test_a_sample_of_pairs_comes_near_the_mean_of_all() -> None:
    letters = random.Random(3)
    texts = [" ".join(letters.choices("abc", k=30)) for _ in range(150)]
    every = measure(texts, sample_pairs=150 * 149 // 2).self_similarity
    drawn = measure(texts, sample_pairs=2000).self_similarity
    assert every is not None
    assert drawn == pytest.approx(every, rel=0.05)
    assert drawn != every


def test_compression_and_vocabulary() -> None:
    same, other = ["word after word after word"] * 500, [f"{place} {place * 7919}" for place in range(500)]
    first, second = measure(same), measure(other)
    data = b"word after word after word\n" * 500
    assert first.compression_ratio == pytest.approx(len(data) / len(zlib.compress(data, 6)))
    assert second.compression_ratio is not None
    assert second.compression_ratio < 5 < first.compression_ratio  # type: ignore[operator]
    # The same two words in a quarter and in all: nothing grows. All different: as fast as the words.
    assert first.vocabulary_growth == 0
    assert second.vocabulary_growth == pytest.approx(1, abs=0.01)


def test_copies_count_as_often_as_they_are_there() -> None:
    texts = ["the same text as always is this"] * 6000 + [f"{place} is a text of its own kind" for place in range(2000)]
    found = measure(random.Random(1).sample(texts, len(texts)))
    if found.commonest_opening and found.commonest_opening > 0.01:  # drawn with all of its copies
        assert found.commonest_opening == pytest.approx(0.75, abs=0.03)
    # With every different text in the sample nothing is left to chance.
    assert measure(texts[: 8000 - 1]).commonest_opening == pytest.approx(0.75, abs=0.03)


TEXTS = st.lists(st.text(alphabet="ab c.", max_size=20), max_size=12)


@given(TEXTS, st.integers(0, 9))
def test_order_does_not_matter(texts: list[str], seed: int) -> None:
    shuffled = random.Random(seed).sample(texts, len(texts))
    assert measure(texts) == measure(iter(shuffled)) == measure(pl.Series(shuffled, dtype=pl.String))


def test_nothing_is_measured_of_nothing() -> None:
    found = measure([])
    assert (found.documents, found.words) == (0, 0)
    rest = dataclasses.asdict(found)
    assert {value for name, value in rest.items() if name not in ("documents", "words")} == {None}
    assert measure(["…"]).distinct_1 is None


def test_both_sides_as_rows_of_the_table() -> None:
    rows = diversity.table("wrap", diversity.compare(["a b c d", "a b c d"], ["e f g h", "i j k l"]))
    assert rows.columns == ["recipe", "side", "measure", "value"]
    assert rows.height == 2 * len(dataclasses.fields(Diversity))
    value = {(side, name): value for _, side, name, value in rows.iter_rows()}
    assert (value["synthetic", "self_similarity"], value["anchors", "self_similarity"]) == (1, 0)
    assert (value["synthetic", "distinct_1"], value["anchors", "distinct_1"]) == (0.5, 1)
    assert set(rows.columns) < set(schema.DIVERSITY.names)


def test_a_long_set_takes_no_more_words_than_the_sample() -> None:
    found = measure((f"text {place} of many that say little" for place in range(9000)), sample_words=700)
    assert (found.documents, found.words) == (9000, 700)
    # Always the same six words and another number: 106 different ones of 700, six of 100 texts
    assert found.distinct_1 == pytest.approx(106 / 700)
