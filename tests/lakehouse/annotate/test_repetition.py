"""Repetition: by hand, and against the obvious counts with sets and counters."""

from __future__ import annotations

import re
import time
from collections import Counter
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse import annotate
from lakehouse.annotate import languages
from lakehouse.annotate.words import Batch

REPETITION = annotate.annotator("gopher_repetition")
LANGUAGES = languages.load()


def documents(texts: list[str]) -> pl.DataFrame:
    ids = [str(place) for place in range(len(texts))]
    return pl.DataFrame({"doc_id": ids, "text": texts, "language": ["en"] * len(texts)})


def measure(text: str) -> dict[str, Any]:
    (table,) = annotate.measure_all(documents([text]), [REPETITION])
    return table.row(0, named=True)


def segments(text: str) -> list[str]:
    found = Batch(documents([text])).segments(LANGUAGES)
    encoded = text.encode()
    return [encoded[start:].decode()[:n] for start, n in zip(found.starts, found.lengths.tolist(), strict=True)]


def duplicates(pieces: list[str]) -> tuple[int, int]:
    seen: set[str] = set()
    again = [piece for piece in pieces if piece in seen or seen.add(piece)]  # type: ignore[func-returns-value]
    return len(again), sum(map(len, again))


def repeated(pieces: list[str]) -> tuple[float | None, float | None]:
    counts = Counter(pieces)
    again = [piece for piece in pieces if counts[piece] > 1]
    if not pieces:
        return None, None
    return len(again) / len(pieces), sum(map(len, again)) / sum(map(len, pieces))


def greedy(parts: list[str], n: int) -> int:
    seen: set[tuple[str, ...]] = set()
    place = taken = 0
    while place + n <= len(parts):
        gram = tuple(parts[place : place + n])
        taken += len("".join(gram)) if gram in seen else 0
        place += n if gram in seen else 1
        seen.add(gram)
    return taken


def grams(parts: list[str], n: int) -> list[tuple[str, ...]]:
    return [tuple(parts[place : place + n]) for place in range(len(parts) - n + 1)]


def obvious(text: str) -> dict[str, float | None]:
    """The same shares with sets and counters."""
    lines = [line for line in re.split("\n+", text) if line.strip()]
    paragraphs = [paragraph for paragraph in re.split("\n{2,}", text.strip()) if paragraph.strip()]
    measured: dict[str, float | None] = {}
    for name, pieces in (("paragraph", paragraphs), ("line", lines)):
        copies, characters = duplicates(pieces)
        measured[f"duplicate_{name}s"] = copies / len(pieces) if pieces else None
        measured[f"duplicate_{name}_characters"] = characters / len(text) if pieces else None
        measured[f"repeated_{name}s"], measured[f"repeated_{name}_characters"] = repeated(pieces)
    cut = segments(text)
    words = re.split(r"[^\S\x1c-\x1f]+", text)
    words = [word for word in words if word]
    for n in (2, 3, 4):
        top = Counter(" ".join(gram) for gram in grams(cut, n)).most_common(1)
        measured[f"top_{n}_gram"] = (len(top[0][0]) * top[0][1] if top else 0) / len(text) if text else None
        counts = Counter(grams(words, n))
        most = max(counts.values(), default=0)
        longest = max((len("".join(gram)) for gram, count in counts.items() if count == most), default=0)
        taken = most * longest if most > 1 else 0
        measured[f"most_common_{n}_gram"] = taken / len("".join(words)) if words else None
    for n in range(5, 11):
        measured[f"duplicate_{n}_grams"] = greedy(cut, n) / len(text) if text else None
        counts = Counter(grams(words, n))
        inside = {place + k for place, gram in enumerate(grams(words, n)) if counts[gram] > 1 for k in range(n)}
        covered = sum(len(words[place]) for place in inside)
        measured[f"repeated_{n}_grams"] = covered / len("".join(words)) if words else None
    return measured


PIECES = [
    "a",
    "b b",
    "cc.",
    "a a a a a a a a a a a a",
    "\n",
    "\n\n",
    " ",
    "\n \n",
    "\t\n",
    "don't",
    "…",
    "1 2 3 4 5 6 ",
]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=40).map("".join)


@settings(max_examples=100, deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=4))
def test_the_fast_way_agrees_with_the_obvious_one(texts: list[str]) -> None:
    (table,) = annotate.measure_all(documents(texts), [REPETITION])
    for text, row in zip(texts, table.to_dicts(), strict=True):
        assert row == pytest.approx(obvious(text), nan_ok=True), text


def test_lines_and_paragraphs_by_hand() -> None:
    measured = measure("ab\ncd\n\n\nab\ncd\n\nx\n \nx")
    # Lines ab cd ab cd x x: three of six stood before, 2 + 2 + 1 of 20 characters; all occur twice.
    assert (measured["duplicate_lines"], measured["duplicate_line_characters"]) == (3 / 6, 5 / 20)
    assert (measured["repeated_lines"], measured["repeated_line_characters"]) == (1.0, 1.0)
    # Paragraphs "ab\ncd" twice and "x\n \nx": 5 of 20 characters stood before; 10 of 5 + 5 + 5 occur twice.
    assert (measured["duplicate_paragraphs"], measured["duplicate_paragraph_characters"]) == (1 / 3, 5 / 20)
    assert (measured["repeated_paragraphs"], measured["repeated_paragraph_characters"]) == (2 / 3, 10 / 15)


def test_blank_lines_are_no_duplicates() -> None:
    measured = measure("one\n\n  \n\n\t\n  \ntwo\n\n\n")
    assert measured["duplicate_lines"] == measured["duplicate_paragraphs"] == measured["repeated_lines"] == 0


def test_n_grams_by_hand() -> None:
    measured = measure("a b a b, c")
    # Segments a b a b , c: "a b" is there twice, 3 characters each, of 10.
    assert measured["top_2_gram"] == 6 / 10
    assert measured["top_3_gram"] == 5 / 10  # all once: the first, "a b a"
    # Words a b a b, c of 1 1 1 2 1 characters: no two neighbours are there twice, as "b," is not b.
    assert measured["most_common_2_gram"] == 0
    measured = measure("a b c d e a b c d e a b c d e")
    # Five letters three times: of 29 characters the second and third time 5 each.
    assert measured["duplicate_5_grams"] == 10 / 29
    assert measured["repeated_5_grams"] == 1.0
    assert measured["most_common_2_gram"] == 6 / 15
    # A second 10-gram a b … would need twenty letters without overlap; the windows at 0 and 5 are equal.
    assert (measured["duplicate_10_grams"], measured["repeated_10_grams"]) == (10 / 29, 1.0)


def test_no_words_have_no_shares_and_few_have_none_repeated() -> None:
    assert set(measure("").values()) == {None}
    assert measure(" \n")["duplicate_lines"] is None
    assert measure("one")["top_2_gram"] == measure("one")["repeated_5_grams"] == 0


def test_scripts_without_spaces_are_measured_too() -> None:
    measured = measure("我们今天去北京吃饭。" * 3)  # 我们 今天 去 北京 吃饭 。: 10 characters
    assert measured["duplicate_6_grams"] == 20 / 30
    assert measured["repeated_6_grams"] == 1.0


@pytest.mark.parametrize("unit", ["word ", "\n", "a\n", "a b c d e f g h i j\n\n", "🙂", "x"])
def test_a_million_repetitions_take_linear_time(unit: str) -> None:
    measure(unit)
    taken = []
    for size in (50_000, 200_000):
        start = time.perf_counter()
        measure(unit * (size // len(unit)))
        taken.append(time.perf_counter() - start)
    assert taken[1] < 12 * taken[0] + 0.1


def test_a_million_words_and_a_million_newlines() -> None:
    assert measure("word " * 1_000_000)["duplicate_10_grams"] == pytest.approx(0.8, abs=1e-4)
    assert measure("\n" * 1_000_000)["duplicate_lines"] is None
