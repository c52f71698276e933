"""C4: its edits make the text that the obvious loop over lines makes, and it counts what that loop counts."""

from __future__ import annotations

import itertools
import re
import time
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse import annotate
from lakehouse.annotate import languages
from lakehouse.annotate.segmenting.segments import AFTER_GAP, IS_PUNCTUATION, IS_TERMINAL
from lakehouse.annotate.words import Batch

C4 = annotate.annotator("c4")
LANGUAGES = languages.load()
CITATION = re.compile(r"\[\d*]|\[edit]|\[citation needed]")
POLICY = ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies")


def documents(texts: list[str], language: str | None = "en") -> pl.DataFrame:
    ids = [str(place) for place in range(len(texts))]
    return pl.DataFrame(
        {"doc_id": ids, "text": texts, "language": [language] * len(texts)}, schema_overrides={"language": pl.String}
    )


def measure(text: str, language: str | None = "en") -> dict[str, Any]:
    (table,) = annotate.measure_all(documents([text], language), [C4])
    return table.row(0, named=True)


def applied(text: str, edits: list[dict[str, Any]]) -> str:
    assert all(one["end"] <= other["start"] for one, other in itertools.pairwise(edits))
    assert all(one["start"] < one["end"] for one in edits)
    for edit in reversed(edits):
        text = text[: edit["start"]] + edit["replacement"] + text[edit["end"] :]
    return text


def sentences(line: str) -> int:
    """As many as there are places where something other than punctuation follows the end of a sentence."""
    batch = Batch(documents([line]))
    count, complete = 1, False
    for flag in batch.segments(LANGUAGES).flags.tolist():
        for is_mark, ends in [(False, False)] * bool(flag & AFTER_GAP) + [(flag & IS_PUNCTUATION, flag & IS_TERMINAL)]:
            if complete and not is_mark and not ends:
                count, complete = count + 1, False
            complete = complete or bool(ends)
    return count + (complete and line.endswith("  "))


def obvious(text: str, any_ending: bool) -> tuple[str, int, int, int]:
    """The text that stays, its sentences, and the lines with lorem ipsum and curly brackets."""
    kept, n_sentences, lorem, curly = [], 0, 0, 0
    for line in text.splitlines():
        line = line.strip()
        words = line.split()
        line = CITATION.sub("", line)
        low = line.lower()
        if any(len(word) > 1000 for word in words) or len(words) < 3:
            continue
        if not any_ending and (not line.endswith((".", "?", "!", '"', "'")) or line.endswith("...")):
            continue
        lorem += "lorem ipsum" in low
        if "javascript" in low:
            continue
        curly += "{" in line
        if any(phrase in low for phrase in POLICY):
            continue
        n_sentences += sentences(line)
        kept.append(line)
    return "\n".join(kept).strip(), n_sentences, lorem, curly


PIECES = [
    *(
        "One two three.",
        "Is it so? No! ",
        "short",
        " ",
        "  ",
        "\n",
        "\n",
        "\r\n",
        "\u2028",
        "\x1d",
        ". ",
        "a b c",
        "é",
        "字",
    ),
    *("[1]", "[", "]", "[edit]", "[12", "[citation needed]", "{", '"', "...", "x" * 1001),
    *("JavaScript", "Lorem IPSUM", "uses cookies", "privacy policy", "use coo\u212aies"),  # a Kelvin sign is a K
]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=40).map("".join)


@settings(max_examples=150, deadline=None)
@given(st.lists(TEXTS, max_size=4))
def test_the_edits_make_the_text_that_the_obvious_loop_makes(texts: list[str]) -> None:
    texts = [text + " some more English words" for text in texts]  # so that none is of a script without spaces
    (table,) = annotate.measure_all(documents(texts), [C4])
    for text, row in zip(texts, table.to_dicts(), strict=True):
        for ending in ("", "_any_ending"):
            left = applied(text, row[f"line_edits{ending}"])
            counted = (
                row[f"n_sentences{ending}"],
                row[f"lorem_ipsum_lines{ending}"],
                row[f"curly_bracket_lines{ending}"],
            )
            assert (left, *counted) == obvious(text, bool(ending))


def test_a_page_by_hand() -> None:
    text = "Menu\n  It rains [1] here. Really!  \r\nPlease enable JavaScript now.\nThe end of it.\n"
    measured = measure(text)
    assert [
        (text[edit["start"] : edit["end"]], edit["rule"], edit["replacement"]) for edit in measured["line_edits"]
    ] == [
        ("Menu\n", "no_terminal_punctuation", ""),
        ("  ", "spaces", ""),
        ("[1]", "citation", ""),
        ("  \r\n", "spaces", "\n"),
        ("Please enable JavaScript now.\n", "javascript", ""),
        ("\n", "spaces", ""),
    ]
    assert applied(text, measured["line_edits"]) == "It rains  here. Really!\nThe end of it."
    assert measured["n_sentences"] == 3
    assert measured["line_edits_any_ending"][0]["rule"] == "too_few_words"


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("Two words.", "too_few_words"),
        ("It goes on and on...", "no_terminal_punctuation"),
        ("It ends in a colon:", "no_terminal_punctuation"),
        ("It ends here. [1]", "no_terminal_punctuation"),  # the space that is left ends the line
        (f"One {'x' * 1001} word.", "long_word"),
        ("You must enable javascript here.", "javascript"),
        ("This site uses Cookies to work.", "policy"),
        ("Read our Terms of Use now.", "policy"),
    ],
)
def test_why_a_line_is_removed(line: str, rule: str) -> None:
    (edit,) = measure(line)["line_edits"]
    assert (edit["start"], edit["end"], edit["rule"], edit["replacement"]) == (0, len(line), rule, "")


def test_documents_that_c4_drops_are_told_by_counts() -> None:
    measured = measure("Lorem ipsum is a text.\nA { of code here.\nlorem ipsum without an end {\n")
    assert (measured["lorem_ipsum_lines"], measured["lorem_ipsum_lines_any_ending"]) == (1, 2)
    assert (measured["curly_bracket_lines"], measured["curly_bracket_lines_any_ending"]) == (1, 2)
    # A line that is removed before it is asked is not counted.
    assert measure("{ }")["curly_bracket_lines"] == measure("javascript uses { a lot.")["curly_bracket_lines"] == 0


def test_long_lines_are_counted_in_characters() -> None:
    assert measure("é" * 200 + "\n" + "a" * 199 + "\n" + "b" * 500)["long_lines"] == 2


def test_other_languages_end_their_lines_with_their_own_marks() -> None:
    assert measure("यह एक वाक्य है।", "hi")["line_edits"] == []
    assert measure("Έτσι δεν είναι;", "el")["line_edits"] == []
    assert measure("It is so, no;")["line_edits"] != []
    assert measure("Er sagte: »Ja, das stimmt.«", "de")["line_edits"][0]["rule"] == "no_terminal_punctuation"
    assert measure("„So ist es immer“ oder ”so ist es”", "de")["line_edits"] == []


def test_lines_of_scripts_without_spaces_have_words_too() -> None:
    measured = measure("我们今天去北京吃饭。天气很好。\n目录\n", "zh")
    assert [edit["rule"] for edit in measured["line_edits"]] == ["spaces", "no_terminal_punctuation"]
    assert measured["n_sentences"] == 2


@pytest.mark.parametrize("text", ["", "\n", " \n \r\n", "[1] [2] [3]", "\0 \0 \0.", "🙂 🙂 🙂!"])
def test_odd_texts_are_measured(text: str) -> None:
    measured = measure(text)
    for ending in ("", "_any_ending"):
        assert applied(text, measured[f"line_edits{ending}"]) == obvious(text, bool(ending))[0]


@pytest.mark.parametrize("unit", ["[1", "[", "[]", "\n", "a b c.\n", "use ", "{", "[1] a b c.", "x"])
def test_long_texts_take_linear_time(unit: str) -> None:
    measure(unit)
    taken = []
    for size in (100_000, 400_000):
        start = time.perf_counter()
        measure(unit * (size // len(unit)))
        taken.append(time.perf_counter() - start)
    assert taken[1] < 12 * taken[0] + 0.1
