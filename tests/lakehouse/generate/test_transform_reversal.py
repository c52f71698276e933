"""Texts in other orders."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from lakehouse.generate.transforms import Reversal, reversal

TEXTS = st.text("ab Z.é我, \n3", max_size=40)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The quick fox", "fox quick The"),
        # Marks are units of their own, and white space turns around with them.
        ("Hello, world!", "!world ,Hello"),
        ("  One.\n\nTwo  ", "Two\n\n.One"),
        ("It costs 3.14 dollars", "dollars 3.14 costs It"),
        ("नमस्ते दुनिया", "दुनिया नमस्ते"),  # marks stay with their letters
        ("我们在学习", "学习在我们"),  # words of a script without spaces
    ],
)
def test_words_stand_in_the_opposite_order(text: str, expected: str) -> None:
    assert reversal(text, Reversal(), 1) == [expected]


def test_half_a_character_is_one_line() -> None:
    with pytest.raises(ValueError, match=r"half a character \(a lone surrogate\) at character 3\.$"):
        reversal("abc\ud800", Reversal(), 1)


@pytest.mark.parametrize("text", ["", " \n\t"])
def test_of_nothing_comes_nothing(text: str) -> None:
    assert reversal(text, Reversal(), 1) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("the book by J. R. R. Tolkien sold", "sold J. R. R. Tolkien by book the"),
        ("visit Rio de Janeiro now", "now Rio de Janeiro visit"),
        ("ask Dr. Anna-Lena Weiß today", "today Dr. Anna-Lena Weiß ask"),
        # A sentence ends a name; so does a line break.
        ("by Tolkien. He wrote", "wrote He .Tolkien by"),
        ("in Paris\nThe end", "end The\nParis in"),
        ("made of steel", "steel of made"),
    ],
)
def test_names_stay_whole(text: str, expected: str) -> None:
    assert reversal(text, Reversal(unit="entity"), 1) == [expected]


def test_listed_names_stay_whole(tmp_path: Path) -> None:
    names = tmp_path / "names.txt"
    names.write_text("machine learning\nsea salt\n\nword\n", "utf-8")
    assert reversal("we use machine learning on Sea salt", Reversal(unit="entity", entities=names), 1) == [
        "salt Sea on machine learning use we"  # a name is as it is written
    ]


def test_a_list_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"names\.txt: the list of names cannot be read"):
        reversal("a b", Reversal(unit="entity", entities=tmp_path / "names.txt"), 1)


def test_segments_of_a_fixed_length() -> None:
    # 7 words in segments of 3: "a b c", "d e f", "g".
    fixed = Reversal(unit="segment", segment_words=(3, 3), separator=" [REV] ")
    assert reversal("a b c d\ne f g", fixed, 1) == ["g [REV] d\ne f [REV] a b c"]
    assert reversal("a b c d\ne f g", fixed.model_copy(update={"separator": None}), 1) == ["g d\ne f a b c"]


def test_segments_have_every_length_of_the_range_by_the_seed() -> None:
    words = [str(number) for number in range(2000)]
    drawn = Reversal(unit="segment", segment_words=(2, 4), separator="|")
    (output,) = reversal(" ".join(words), drawn, 5)
    segments = [segment.split() for segment in reversed(output.split("|"))]
    assert [word for segment in segments for word in segment] == words
    lengths = [len(segment) for segment in segments[:-1]]
    # About 667 segments, a third of each length; six standard deviations are 6 × √(667 × 1/3 × 2/3) = 73.
    assert {length: abs(lengths.count(length) - len(lengths) / 3) < 73 for length in set(lengths)} == dict.fromkeys(
        (2, 3, 4), True
    )
    assert reversal(" ".join(words), drawn, 5) == [output]
    assert reversal(" ".join(words), drawn, 6) != [output]


def test_tokens_of_a_tokenizer(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    # Bytes are tokens, and "lo" is one: é, two bytes, is not torn apart.
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: number for number, letter in enumerate([*letters, "lo"])}
    tokenizer = Tokenizer(models.BPE(vocabulary, [("l", "o")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    assert reversal("hello é", Reversal(unit="token", tokenizer=tmp_path / "tokenizer.json"), 1) == ["é loleh"]
    with pytest.raises(ValueError, match=r"none\.json: the tokenizer cannot be read"):
        reversal("hello", Reversal(unit="token", tokenizer=tmp_path / "none.json"), 1)


def test_variants_come_in_the_order_asked_for() -> None:
    text = " ".join("abcdefghijklmnop")
    forward, shuffled, backward = reversal(text, Reversal(variants=("forward", "shuffled", "reversed")), 3)
    assert forward == text
    assert backward == text[::-1]
    assert shuffled not in (text, backward)
    assert sorted(shuffled) == sorted(text)
    assert shuffled == reversal(text, Reversal(variants=("shuffled",)), 3)[0]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"unit": "token"}, "tokenizer goes with the unit 'token'"),
        ({"tokenizer": "t.json"}, "tokenizer goes with the unit 'token'"),
        ({"entities": "e.txt"}, "entities goes with the unit 'entity'"),
        ({"segment_words": (3, 2)}, "no range of lengths"),
        ({"variants": ()}, "variants"),
        ({"units": "word"}, "Extra inputs"),
    ],
)
def test_settings_that_make_no_sense_are_refused(keys: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Reversal.model_validate(keys)


@given(TEXTS, st.sampled_from(["word", "entity", "segment"]), st.integers(0, 9))
@settings(max_examples=200, deadline=None)
def test_nothing_is_lost_or_added(text: str, unit: str, seed: int) -> None:
    every = Reversal.model_validate(
        {"unit": unit, "variants": ("reversed", "shuffled", "forward"), "segment_words": (1, 3)}
    )
    outputs = reversal(text, every, seed)
    assert outputs == reversal(text, every, seed)
    for output in outputs:
        assert sorted(output) == sorted(text.strip())
    if outputs:
        assert outputs[2] == text.strip()
