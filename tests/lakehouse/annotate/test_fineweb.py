"""FineWeb's statistics: by hand, and against the obvious counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse import annotate
from lakehouse.annotate import languages
from lakehouse.annotate.words import Batch

FINEWEB = annotate.annotator("fineweb")


def documents(texts: list[str], language: str | None = "en") -> pl.DataFrame:
    ids = [str(place) for place in range(len(texts))]
    return pl.DataFrame(
        {"doc_id": ids, "text": texts, "language": [language] * len(texts)}, schema_overrides={"language": pl.String}
    )


def measure(text: str, language: str | None = "en", kind: annotate.Annotator = FINEWEB) -> dict[str, Any]:
    (table,) = annotate.measure_all(documents([text], language), [kind])
    return table.row(0, named=True)


def obvious(text: str) -> dict[str, float | None]:
    """The same, a line at a time."""
    lines = [line for line in text.split("\n") if line.strip()]
    if not lines:
        return dict.fromkeys(field.name for field in FINEWEB.columns)
    copied = sum(len(line) for place, line in enumerate(lines) if line in lines[:place])
    ends = pl.Series([line[-1] for line in lines]).str.contains(r"\p{Sentence_Terminal}")
    n_segments = len(Batch(documents([text])).segments(languages.load()).hashes)
    return {
        "punctuated_lines": sum(ends) / len(lines),
        "short_lines": sum(len(line) <= 30 for line in lines) / len(lines),
        "duplicate_characters": copied / len(text.replace("\n", "")),
        "newlines_per_segment": text.count("\n") / n_segments,
    }


PIECES = ["a.", "b?\n", "\n", " \n", "\r\n", "。\n", "’\n", "x" * 30, "y" * 31 + "\n", "same line\n", "\x1c", "！"]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=30).map("".join)


@settings(max_examples=100, deadline=None)
@given(st.lists(TEXTS, max_size=4))
def test_the_fast_way_agrees_with_the_obvious_one(texts: list[str]) -> None:
    (table,) = annotate.measure_all(documents(texts), [FINEWEB])
    assert table.to_dicts() == [obvious(text) for text in texts]


def test_a_small_document_by_hand() -> None:
    measured = measure("A title\nIt ends here.\n\nIt ends here.\nIt is so long that it is not short\nDone。\n")
    # Lines A title | It ends here. | It ends here. | It is … short | Done。: three end in punctuation, four are short.
    assert (measured["punctuated_lines"], measured["short_lines"]) == (3 / 5, 4 / 5)
    # 13 of 7 + 13 + 13 + 34 + 5 characters stood before.
    assert measured["duplicate_characters"] == 13 / 72
    # Six newlines; A title, It ends here . twice, It is … short (nine), Done 。: 2 + 4 + 4 + 9 + 2 segments.
    assert measured["newlines_per_segment"] == 6 / 21


@pytest.mark.parametrize("text", ["", "\n\n", " \n\t"])
def test_a_text_without_lines_has_no_shares(text: str) -> None:
    assert set(measure(text).values()) == {None}


def test_terminal_punctuation_is_unicodes_and_the_languages(tmp_path: Path) -> None:
    ends = {"ok.": 1, "ok!": 1, "ठीक है।": 1, "是的。": 1, "ok:": 0, "ok ": 0, 'ok."': 0, "ok…": 0}
    assert {text: measure(text)["punctuated_lines"] for text in ends} == ends
    assert (measure("ναι;", "el")["punctuated_lines"], measure("yes;")["punctuated_lines"]) == (1, 0)
    assert measure("បាន៖", "km")["punctuated_lines"] == 1
    own = tmp_path / "own.yaml"
    own.write_text("en: {terminal: '…:'}")
    assert measure("ok:", kind=annotate.annotator({"fineweb": {"languages": str(own)}}))["punctuated_lines"] == 1


@pytest.mark.parametrize(
    "text", ["a" * 5_000_000, "\n" * 1_000_000, "a\n" * 300_000, "".join(map("{}\n".format, range(200_000)))]
)
def test_long_texts_are_measured(text: str) -> None:
    measured = measure(text)
    assert measured["punctuated_lines"] in (None, 0)
