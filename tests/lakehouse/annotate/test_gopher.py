"""Gopher's quality statistics: what they say of given texts, and that the fast way agrees with the obvious one."""

from __future__ import annotations

import functools
import re
import unicodedata
import zipfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse import annotate
from lakehouse.annotate.gopher import STOP_WORDS
from lakehouse.annotate.words import tokenise

GOPHER = annotate.annotator("gopher_quality")
LINE_BREAK = "[\n\r\x0b\x0c\x85\u2028\u2029]"
SPACE = r"[^\S\x1c-\x1f]+"  # Python's white space has four control characters more than Unicode's


def documents(texts: list[str], languages: list[str | None] | None = None) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "doc_id": [str(place) for place in range(len(texts))],
            "text": texts,
            "language": languages or ["en"] * len(texts),
        },
        schema={"doc_id": pl.String, "text": pl.String, "language": pl.String},
    )


def measure(text: str, language: str | None = "en") -> dict[str, Any]:
    (table,) = annotate.measure_all(documents([text], [language]), [GOPHER])
    return table.row(0, named=True)


@functools.cache
def is_unspaced(character: str) -> bool:
    scripts = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}]"
    return bool(pl.Series([character]).str.contains(scripts)[0])


def obvious(text: str, language: str | None) -> dict[str, Any]:
    """The same statistics, a word at a time."""

    def category(character: str) -> str:
        return unicodedata.category(character)[0]

    def core(word: str) -> str:
        places = [place for place, character in enumerate(word) if category(character) in "LMN"]
        return word[places[0] : places[-1] + 1] if places else ""

    words = [word for word in re.split(SPACE, text) if word]
    cores = [found for found in map(core, words) if found]
    lines = [line for line in re.split(LINE_BREAK, text) if re.sub(SPACE, "", line)]
    bullets = [line for line in lines if re.sub(f"^{SPACE}", "", line).startswith(tuple("-*•‣◦⁃∙·●○■□▪▫▶►"))]
    ellipses = [line for line in lines if re.sub(f"{SPACE}$", "", line).endswith(("...", "…"))]
    letters = [character for character in text if category(character) == "L"]
    lower = {"".join(c.lower() if len(c.lower()) == 1 else c for c in found) for found in cores}
    measured: dict[str, Any] = {
        "n_words": len(cores),
        "mean_word_length": sum(map(len, cores)) / len(cores) if cores else None,
        "hash_ratio": text.count("#") / len(words) if words else None,
        "ellipsis_ratio": (text.count("...") + text.count("…")) / len(words) if words else None,
        "bullet_lines": len(bullets) / len(lines) if lines else None,
        "ellipsis_lines": len(ellipses) / len(lines) if lines else None,
        "alpha_words": sum(any(category(c) == "L" for c in word) for word in words) / len(words) if words else None,
        "stop_words": len(lower & set(STOP_WORDS[language].split())) if language in STOP_WORDS else None,
    }
    if 2 * sum(map(is_unspaced, letters)) > len(letters):
        measured |= dict.fromkeys(name for name in measured if name not in ("bullet_lines", "ellipsis_lines"))
    return measured


PIECES = [" ", "\n", "\r\n", "\u2028", "\x1c", "\u00a0", "...", "…", "#", "- ", "• ", "*", "the", "The", "of,", "die"]
CHARACTERS = st.characters(exclude_categories=["Cs", "Cn"])
TEXTS = st.lists(st.one_of(st.sampled_from(PIECES), st.text(CHARACTERS, max_size=6)), max_size=30).map("".join)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(TEXTS, st.sampled_from(["en", "de", "xx", None])), max_size=5))
def test_the_fast_way_agrees_with_the_obvious_one_on_any_text(batch: list[tuple[str, str | None]]) -> None:
    (table,) = annotate.measure_all(documents([text for text, _ in batch], [code for _, code in batch]), [GOPHER])
    assert table.to_dicts() == [obvious(text, language) for text, language in batch]


@settings(max_examples=30, deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=6), st.integers(0, 6))
def test_the_batch_that_a_document_comes_in_changes_nothing(texts: list[str], cut: int) -> None:
    whole = documents(texts)
    (together,) = annotate.measure_all(whole, [GOPHER])
    parts = [annotate.measure_all(part, [GOPHER])[0] for part in (whole[:cut], whole[cut:])]
    assert together.equals(pl.concat(parts))


def test_a_small_document_by_hand() -> None:
    measured = measure('The cat -- "sat" of #1…\n\n- it\'s 9...')
    # Words: The cat -- "sat" of #1… - it's 9...   nine; -- and - have no core, so seven count.
    assert measured["n_words"] == 7
    # Cores: The 3, cat 3, sat 3, of 2, 1 1, it's 4, 9 1: 17 characters.
    assert measured["mean_word_length"] == 17 / 7
    assert measured["hash_ratio"] == 1 / 9
    assert measured["ellipsis_ratio"] == 2 / 9
    # Two lines, as the blank one is none; the second starts with a bullet; both end in an ellipsis.
    assert (measured["bullet_lines"], measured["ellipsis_lines"]) == (1 / 2, 1.0)
    assert measured["alpha_words"] == 5 / 9  # The cat "sat" of it's
    assert measured["stop_words"] == 2  # The, of


def test_a_stop_word_counts_once_whatever_its_case_and_punctuation() -> None:
    assert measure("The the THE, (the) the.")["stop_words"] == 1
    assert measure("the be to of and that have with")["stop_words"] == 8
    assert measure("thee other ofthe")["stop_words"] == 0


def test_stop_words_are_those_of_the_language() -> None:
    german = "Der Hund und die Katze"
    assert measure(german, "de")["stop_words"] == 3  # der, und, die
    assert measure(german, "en")["stop_words"] == 0


@pytest.mark.parametrize("language", ["fi", "und", None])
def test_a_language_without_a_list_has_no_count_of_stop_words(language: str | None) -> None:
    measured = measure("the be to", language)
    assert measured["stop_words"] is None
    assert measured["n_words"] == 3


def test_every_list_has_eight_different_words_that_are_found_as_they_are_written() -> None:
    for language, listed in STOP_WORDS.items():
        assert len(set(listed.split())) == 8, language
        assert measure(listed, language)["stop_words"] == 8, language


@pytest.mark.parametrize(
    "text", ["欢迎来到北京。今天天气很好。", "ラーメンとすしを食べました", "สวัสดีครับ ผมชื่อสมชาย", "- 我们 like 北京吃饭"]
)
def test_words_of_scripts_without_spaces_are_not_measured_but_lines_are(text: str) -> None:
    measured = measure(text)
    assert [measured[name] for name in ("n_words", "mean_word_length", "alpha_words", "stop_words")] == [None] * 4
    assert measured["bullet_lines"] == (1.0 if text.startswith("-") else 0.0)


def test_a_few_chinese_names_do_not_make_an_english_text_unmeasurable() -> None:
    assert measure("The city of 北京 (Beijing) is the capital")["n_words"] == 8
    assert measure("한국어는 띄어쓰기를 한다")["n_words"] == 3  # Korean has spaces


@pytest.mark.parametrize("text", ["", " \n\t\u3000"])
def test_a_text_without_words_has_no_ratios(text: str) -> None:
    assert measure(text) == dict.fromkeys((field.name for field in GOPHER.columns), None) | {
        "n_words": 0,
        "stop_words": 0,
    }


def test_symbol_words_alone_are_no_words() -> None:
    measured = measure("### --- *** 🙂")
    assert (measured["n_words"], measured["mean_word_length"], measured["alpha_words"]) == (0, None, 0.0)
    assert measured["hash_ratio"] == 3 / 4


def test_line_endings_of_every_system_count_the_same() -> None:
    lines = ["- one", "two...", "• three", "four"]
    found = [measure(end.join(lines)) for end in ("\n", "\r\n", "\r", "\n\n", "\u2029")]
    assert all(one == found[0] for one in found)
    assert (found[0]["bullet_lines"], found[0]["ellipsis_lines"]) == (1 / 2, 1 / 4)


def test_equal_words_have_equal_hashes_and_others_have_not() -> None:
    words = tokenise(pl.Series(["Straße, ÉCOLE", "(straße) école strasse"]))
    first, second, third, fourth, fifth = words.hashes.tolist()
    assert (first, second) == (third, fourth)
    assert len({first, second, fifth}) == 3
    # FNV-1a over code points: the same on every machine. Of "a": (0xcbf29ce484222325 ^ 0x61) * 0x100000001b3 mod 2^64.
    assert tokenise(pl.Series(["A"])).hashes[0] == (0xCBF29CE484222325 ^ 0x61) * 0x100000001B3 % 2**64


def test_speeches_look_like_prose(shared: Path) -> None:
    def of(corpus: str) -> pl.DataFrame:
        with zipfile.ZipFile(shared / "quality" / "nltk-corpora" / f"{corpus}.zip") as files:
            texts = [files.read(name).decode("utf-8", "replace") for name in files.namelist() if name.endswith(".txt")]
        (table,) = annotate.measure_all(documents([text[:2_000] for text in texts if len(text) > 500]), [GOPHER])
        return table

    speeches = of("inaugural")
    assert speeches.height > 50
    assert speeches["mean_word_length"].is_between(4, 6).all()
    assert (speeches["stop_words"] >= 5).all()
    assert (speeches["alpha_words"] > 0.9).all()
    assert (speeches["hash_ratio"] == 0).all()
