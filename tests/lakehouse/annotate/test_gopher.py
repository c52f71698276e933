"""Gopher's quality statistics: what they say of given texts, and that the fast way agrees with the obvious one."""

from __future__ import annotations

import functools
import re
import statistics
import unicodedata
import zipfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from icu4py.breakers import WordBreaker

from lakehouse import annotate
from lakehouse.annotate import languages
from lakehouse.annotate.annotator import AnnotatorError
from lakehouse.annotate.words import Batch, tokenise

GOPHER = annotate.annotator("gopher_quality")
LANGUAGES = languages.load()
STOP_WORDS = {code: language.stop_words for code, language in LANGUAGES.entries.items() if language.stop_words}
WIDE_BREAK = "\r\n|[\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]"
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


def in_pieces(text: str) -> tuple[list[str], list[str]]:
    """The words and the segments of a text; how they are found is tested in test_segments."""
    batch = Batch(documents([text]))
    encoded = text.encode()
    found = batch.segments(LANGUAGES)
    segments = [
        encoded[start:].decode()[:length] for start, length in zip(found.starts, found.lengths.tolist(), strict=True)
    ]
    runs = WordBreaker(text, "en") if batch.unspaced[0] else [text]
    return [word for run in runs for word in re.split(SPACE, run) if word], segments


@functools.cache
def is_mark(character: str) -> bool:
    return bool(
        pl.Series([character]).str.contains(
            r"[\p{Sentence_Terminal}!-/:-@\[-`{-~«´»–—’“”„…∶━►、〈〉《》「」【】％（），１：；～]"
        )[0]
    )


def is_symbol(character: str) -> bool:
    return is_mark(character) or (unicodedata.category(character) == "Cc" and character not in "\t\n")


def obvious(text: str, language: str | None) -> dict[str, Any]:
    """The same statistics, a word at a time."""

    def category(character: str) -> str:
        return unicodedata.category(character)[0]

    def core(word: str) -> str:
        places = [place for place, character in enumerate(word) if category(character) in "LMN"]
        return word[places[0] : places[-1] + 1] if places else ""

    def share(part: float, whole: int) -> float | None:
        return part / whole if whole else None

    words, segments = in_pieces(text)
    cores = [found for found in map(core, words) if found]
    lines = [line for line in re.split(LINE_BREAK, text) if re.sub(SPACE, "", line)]
    bullets = [line for line in lines if re.sub(f"^{SPACE}", "", line).startswith(tuple("-*•‣◦⁃∙·●○■□▪▫▶►"))]
    ellipses = [line for line in lines if re.sub(f"{SPACE}$", "", line).endswith(("...", "…"))]
    lower = ["".join(c.lower() if len(c.lower()) == 1 else c for c in found) for found in cores]
    listed = set(STOP_WORDS.get(language or "", ()))
    segment_words = [segment for segment in segments if not all(map(is_symbol, segment))]
    every_line = text.splitlines()
    n_ellipses = text.count("...") + text.count("…")
    return {
        "n_words": len(cores),
        "mean_word_length": share(sum(map(len, cores)), len(cores)),
        "hash_ratio": share(text.count("#"), len(words)),
        "ellipsis_ratio": share(n_ellipses, len(words)),
        "bullet_lines": share(len(bullets), len(lines)),
        "ellipsis_lines": share(len(ellipses), len(lines)),
        "alpha_words": share(sum(any(category(c) == "L" for c in word) for word in words), len(words)),
        "stop_words": len(set(lower) & listed) if listed else None,
        "median_word_length": statistics.median(map(len, words)) if words else None,
        "stop_words_total": sum(word in listed for word in lower) if listed else None,
        "symbol_words": share(sum("#" in word or "…" in word for word in words), len(words)),
        "symbol_ratio": share(text.count("#") + n_ellipses, len(words)),
        "n_segments": len(segments),
        "segment_words": len(segment_words),
        "mean_segment_length": share(sum(map(len, segment_words)), len(segment_words)),
        "segment_hash_ratio": share(text.count("#"), len(segments)),
        "segment_ellipsis_ratio": share(n_ellipses, len(segments)),
        "bullet_lines_of_all": share(sum(line.lstrip().startswith(("•", "-")) for line in every_line), len(every_line)),
        "ellipsis_lines_of_all": share(
            sum(line.rstrip().endswith(("...", "…")) for line in every_line), len(every_line)
        ),
        "alpha_segments": share(sum(any(category(c) == "L" for c in one) for one in segments), len(segments)),
        "segment_stop_words": len(set(segments) & listed) if listed else None,
    }


PIECES = [" ", "\n", "\r\n", "\u2028", "\x1c", "\u00a0", "...", "…", "#", "- ", "• ", "*", "the", "The", "of,", "die"]
CHARACTERS = st.characters(exclude_categories=["Cs", "Cn"])
TEXTS = st.lists(st.one_of(st.sampled_from(PIECES), st.text(CHARACTERS, max_size=6)), max_size=30).map("".join)


@settings(max_examples=100, deadline=None)
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


@pytest.mark.parametrize("language", ["haw", "und", None])
def test_a_language_without_a_list_has_no_count_of_stop_words(language: str | None) -> None:
    measured = measure("the be to", language)
    assert measured["stop_words"] is None
    assert measured["n_words"] == 3


def test_every_list_has_eight_different_words_that_are_found_as_they_are_written() -> None:
    for language, listed in STOP_WORDS.items():
        assert len(set(listed)) == 8, language
        (table,) = annotate.measure_all(documents([f". {word} ." for word in listed], [language] * 8), [GOPHER])
        assert table["stop_words_total"].sum() == 8, language


def test_words_of_scripts_without_spaces_are_those_of_a_dictionary() -> None:
    measured = measure("- 我们今天去北京吃饭。", "zh")
    # - 我们 今天 去 北京 吃饭 。 are five words of 2, 2, 1, 2 and 2 characters, and two marks.
    assert (measured["n_words"], measured["mean_word_length"], measured["alpha_words"]) == (5, 9 / 5, 5 / 7)
    assert (measured["n_segments"], measured["segment_words"], measured["bullet_lines"]) == (7, 5, 1.0)
    assert measure("水的味道是好的", "zh")["stop_words"] == 2  # 水 的 味道 是 好的


def test_a_few_chinese_names_do_not_make_an_english_text_unmeasurable() -> None:
    assert measure("The city of 北京 (Beijing) is the capital")["n_words"] == 8
    assert measure("한국어는 띄어쓰기를 한다")["n_words"] == 3  # Korean has spaces


@pytest.mark.parametrize("text", ["", " \n\t\u3000"])
def test_a_text_without_words_has_no_ratios(text: str) -> None:
    counts = ("n_words", "stop_words", "stop_words_total", "n_segments", "segment_words", "segment_stop_words")
    measured = measure(text)
    assert {name: value for name, value in measured.items() if value is not None} == dict.fromkeys(counts, 0) | (
        {"bullet_lines_of_all": 0.0, "ellipsis_lines_of_all": 0.0} if text else {}
    )


def test_symbol_words_alone_are_no_words() -> None:
    measured = measure("### --- *** 🙂")
    assert (measured["n_words"], measured["mean_word_length"], measured["alpha_words"]) == (0, None, 0.0)
    assert measured["hash_ratio"] == 3 / 4


def test_line_endings_of_every_system_count_the_same() -> None:
    lines = ["- one", "two...", "• three", "four"]
    found = [measure(end.join(lines)) for end in ("\n", "\r\n", "\r", "\n\n", "\u2029")]
    with_blanks = ("bullet_lines_of_all", "ellipsis_lines_of_all")
    assert all({**one, **dict.fromkeys(with_blanks)} == {**found[0], **dict.fromkeys(with_blanks)} for one in found)
    assert (found[3]["bullet_lines_of_all"], found[3]["ellipsis_lines_of_all"]) == (2 / 7, 1 / 7)  # three blank lines
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


def test_what_datatrove_counts_by_hand() -> None:
    measured = measure("The cat's #1 don't!\n\n- it is...\n* so")
    # The cat 's # 1 do n't ! - it is ... * so: fourteen segments; # ! - ... * are marks only, so nine are words.
    assert (measured["n_segments"], measured["segment_words"]) == (14, 9)
    # The 3, cat 3, 's 2, 1 1, do 2, n't 3, it 2, is 2, so 2: 20 characters.
    assert measured["mean_segment_length"] == 20 / 9
    assert (measured["segment_hash_ratio"], measured["segment_ellipsis_ratio"]) == (1 / 14, 1 / 14)
    # Four lines, the blank one too; * is no bullet.
    assert (measured["bullet_lines_of_all"], measured["ellipsis_lines_of_all"]) == (1 / 4, 1 / 4)
    assert measured["alpha_segments"] == 8 / 14
    assert (measured["segment_stop_words"], measured["stop_words"]) == (0, 1)  # The is not the


def test_what_dolma_counts_by_hand() -> None:
    measured = measure("The #x… and the, to")
    # The 3, #x… 3, and 3, the, 4, to 2: the middle one of 2 3 3 3 4.
    assert measured["median_word_length"] == 3
    assert measured["symbol_words"] == 1 / 5
    assert measured["stop_words_total"] == 4  # The and the, to
    assert measure("aa bbbb")["median_word_length"] == 3  # between two


@pytest.mark.parametrize("text", ["a" * 5_000_000, "\n" * 1_000_000, "a\n" * 500_000, "🙂" * 500_000, "\u200f\0" * 9])
def test_odd_texts_are_measured(text: str) -> None:
    measured = measure(text)
    assert measured["n_words"] in (0, 1, 500_000)
    assert measured["median_word_length"] in (None, 1, 18, 255)  # longer words count as 255


def test_stop_words_of_ones_own(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("en: {stop_words: cat dog}")
    gopher = annotate.annotator({"gopher_quality": {"languages": str(own)}})
    (table,) = annotate.measure_all(documents(["the cat"]), [gopher])
    assert table["stop_words"].to_list() == [1]
    assert (gopher.settings, gopher.files) == ({"languages": str(own)}, (own,))
    with pytest.raises(AnnotatorError, match="there is no file"):
        annotate.annotator({"gopher_quality": {"languages": "nowhere"}})
