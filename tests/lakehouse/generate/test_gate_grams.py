"""What words two texts share, what a text repeats, and which names it keeps."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.generate.gates.grams import agreement, copied_share, names_kept, repetition, shared_grams
from lakehouse.generate.gates.words import Words, find_words, normal_form

WORDS = st.lists(st.sampled_from(["a", "b", "C", "d1", "É", "我", "们", "ไ", ",", "."]), max_size=25).map(" ".join)
PAIRS = st.lists(st.tuples(WORDS, WORDS), max_size=5)


# Letters and digits in lower case; Chinese, Japanese and Thai characters stand alone: the slow, obvious version.
def slow_words(text: str) -> list[str]:
    return re.findall(r"[\u4e00-\u9fff\u3040-\u30ff\u0e00-\u0e7f]|[a-z0-9é]+", text.lower())


def slow_grams(text: str, n: int) -> list[tuple[str, ...]]:
    words = slow_words(text)
    return [tuple(words[place : place + n]) for place in range(len(words) - n + 1)]


def words_of(*texts: str) -> Words:
    return find_words(normal_form(pl.Series(texts, dtype=pl.String)))


def test_copied_share_of_a_sentence_worked_out_by_hand() -> None:
    # 7 words, so 3 grams: "the old mill by the" and "old mill by the river" stand in the passage, the third does not
    text, passage = "The old mill by the river stands", "In spring the old mill, by the River, turned."
    assert copied_share(pl.Series([text]), pl.Series([passage])).to_list() == [pytest.approx(2 / 3)]


def test_copied_share_counts_characters_where_words_have_no_spaces() -> None:
    # 8 characters, 4 grams: 我们今天去, 们今天去公, 今天去公园, 天去公园玩; the passage holds the first three
    assert copied_share(pl.Series(["我们今天去公园玩"]), pl.Series(["我们今天去公园吗"])).to_list() == [0.75]


def test_composed_and_decomposed_letters_are_the_same() -> None:
    composed, decomposed = "élan vital à la française", "e\u0301lan vital a\u0300 la franc\u0327aise"
    assert copied_share(pl.Series([composed]), pl.Series([decomposed])).to_list() == [1]


@given(PAIRS)
def test_shared_grams_agree_with_the_slow_version(pairs: list[tuple[str, str]]) -> None:
    shared = shared_grams(words_of(*(text for text, _ in pairs)), words_of(*(other for _, other in pairs)), 2)
    for row, (text, other) in enumerate(pairs):
        grams, standing = slow_grams(text, 2), set(slow_grams(other, 2))
        assert shared.grams[row] == len(grams)
        assert shared.copied[row] == sum(gram in standing for gram in grams)
        assert shared.different[row] == len(set(grams))
        assert shared.different_others[row] == len(standing)
        assert shared.common[row] == len(set(grams) & standing)


def test_similarity_may_be_per_union_answer_or_passage() -> None:
    # "a b c d" and "c d e f g h": 2 words in both, 8 in either, 4 and 6 in each
    shared = shared_grams(words_of("a b c d", "a", ""), words_of("c d e f g h", "", ""), 1)
    assert shared.similarity("union")[0] == 2 / 8
    assert shared.similarity("answer")[0] == 2 / 4
    assert shared.similarity("passage")[0] == pytest.approx(2 / 6)
    assert np.isnan(shared.similarity("union")[1:]).all()  # there is nothing to compare


def slow_repetition(text: str, n: int) -> float | None:
    """Mark every word of an n-gram that is there twice."""
    grams = slow_grams(text, n)
    number, words = Counter(grams), slow_words(text)
    inside = {place + step for place, gram in enumerate(grams) if number[gram] > 1 for step in range(n)}
    return len(inside) / len(words) if words else None


@given(st.lists(WORDS, max_size=5))
def test_repetition_agrees_with_the_slow_version(texts: list[str]) -> None:
    series = pl.Series(texts, dtype=pl.String).str.strip_chars()
    found = pl.Series(repetition(series, words_of(*series), 2), nan_to_null=True).to_list()
    # Short texts: no tail of them is long enough to be a loop.
    assert found == pytest.approx([slow_repetition(text, 2) for text in texts])


def test_a_phrase_that_is_there_twice_is_repeated() -> None:
    # 14 words; "it was the best of" twice: 10 words
    text = "It was the best of times, it was the best of, well, other things."
    assert repetition(pl.Series([text]), words_of(text), 5).tolist() == [pytest.approx(10 / 14)]


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("Nothing is like that here. " + "ha" * 200, 400 / 427),  # one long word: no n-gram sees it
        ("x" * 100 + "=-" * 100 + "\n\n", 200 / 300),  # signs are no words
        ("ab" * 20, 0),  # 40 bytes are no loop yet
        ("Pieces:" + "→ ☃ " * 20, 159 / 166),  # 8 bytes a piece; the last space is trimmed
    ],
)
def test_a_tail_that_loops_counts_by_its_bytes(text: str, share: float) -> None:
    assert repetition(pl.Series([text]), words_of(text), 5)[0] == pytest.approx(share)


def test_a_hostile_loop_takes_no_time() -> None:
    text = "b" + "a" * 3_000_000
    assert repetition(pl.Series([text]), words_of(text), 5)[0] > 0.99


@given(PAIRS)
def test_agreement_is_the_f1_of_words(pairs: list[tuple[str, str]]) -> None:
    found = agreement(words_of(*(text for text, _ in pairs)), words_of(*(other for _, other in pairs)))
    for value, (text, other) in zip(found, pairs, strict=True):
        words, others = Counter(slow_words(text)), Counter(slow_words(other))
        if not words and not others:
            assert np.isnan(value)
        else:
            assert value == pytest.approx(2 * (words & others).total() / (words.total() + others.total()))


def kept(text: str, passage: str, german: bool = False) -> float | None:
    share = names_kept(words_of(text), words_of(passage), np.array([german]))[0]
    return None if np.isnan(share) else float(share)


@pytest.mark.parametrize(
    ("passage", "text", "share"),
    [
        # Turing, Manchester; Later begins a sentence
        ("In 1948 Turing went to Manchester. Later he built it.", "Turing moved north.", 1 / 2),
        # NASA, COVID, B2B, iPhone
        ("Then NASA and COVID met a B2B iPhone.", "nasa met covid.", 2 / 4),
        # a name that begins a sentence too; "the" of "The" is seen in small letters
        ("The Hague is calm. Many love The Hague and the sea.", "Hague", 1),
        # a full stop that ends an abbreviation ends no sentence: Dr, Hopper, Cobol
        ("We met Dr. Hopper, who made Cobol.", "Hopper", 1 / 3),
        # more than two words in capitals are a heading
        ("BUY NOW AND SAVE MONEY. It says IBM.", "ibm", 1),
        # inflected: Москве, Москвы
        ("Он жил в Москве долго.", "Жизнь Москвы была долгой.", 1),
        # Frenchman shares only two letters with Franklin
        ("He met Franklin there.", "A Frenchman was there.", 0),
        ("nothing has capitals here.", "x", None),
        ("北京是中国的首都。", "北京", None),
        ("", "", None),
    ],
)
def test_names_are_found_by_how_they_are_written(passage: str, text: str, share: float | None) -> None:
    assert kept(text, passage) == (None if share is None else pytest.approx(share))


def test_german_nouns_are_no_names_but_two_capitals_in_a_row_are() -> None:
    passage = "Dort hat der Hund von Ada Lovelace einen Baum, einen Stein und Wasser."
    assert kept("Ada Lovelace besitzt ein Tier.", passage, german=True) == 1
    # Hund, Ada, Lovelace, Baum, Stein, Wasser
    assert kept("Ada Lovelace besitzt ein Tier.", passage) == pytest.approx(2 / 6)
