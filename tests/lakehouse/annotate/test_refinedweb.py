"""Lines that RefinedWeb corrects."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from lakehouse import annotate

REFINEDWEB = annotate.annotator("refinedweb")


def measure(*texts: str) -> list[dict[str, Any]]:
    documents = pl.DataFrame({"doc_id": [str(n) for n in range(len(texts))], "text": texts, "language": "en"})
    (table,) = annotate.measure_all(documents, [REFINEDWEB])
    return table.to_dicts()


@pytest.mark.parametrize(
    ("line", "removed"),
    [
        ("SIGN UP NOW and go", None),  # 9 capitals of 18 characters are not more than half
        ("SIGN UP NOW and", ("SIGN UP NOW and", "uppercase")),  # 9 of 15
        ("12345", ("12345", "numeric")),
        ("1.2k Views!", ("1.2k Views!", "counter")),
        ("3 likes to read", None),
        ("Home", ("Home", "one_word")),
        ("Sign-in to see", ("Sign-in ", "phrase")),
        ("See it and read more...", (" read more...", "phrase")),
        ("Read more...", ("Read more...", "phrase")),
        ("one two three four five six seven eight nine read more...", None),  # eleven words
    ],
)
def test_what_is_removed_of_a_line(line: str, removed: tuple[str, str] | None) -> None:
    (measured,) = measure(line)
    found = [(line[edit["start"] : edit["end"]], edit["rule"]) for edit in measured["refinedweb_edits"]]
    assert found == ([removed] if removed else [])


def test_a_page_by_hand() -> None:
    text = "Home\nIt is a good day.\n\n3 likes\nThe end"
    measured, nothing, empty = measure(text, "Nothing is removed.", "")
    # Words: Home, It is a good day., 3 likes, The end: one and two of ten go, with their newlines.
    assert [text[edit["start"] : edit["end"]] for edit in measured["refinedweb_edits"]] == ["Home\n", "3 likes\n"]
    assert measured["removed_words"] == 3 / 10
    assert (nothing["refinedweb_edits"], nothing["removed_words"]) == ([], 0)
    assert (empty["refinedweb_edits"], empty["removed_words"]) == ([], None)


def test_headings_in_scripts_without_spaces_stay() -> None:
    (measured,) = measure("目录\n今天天气很好。")
    assert measured == {"refinedweb_edits": [], "removed_words": 0}


@pytest.mark.parametrize("text", ["\n" * 300_000, "A\n" * 100_000, "x" * 3_000_000, "\0\n🙂"])
def test_odd_texts_are_measured(text: str) -> None:
    (measured,) = measure(text)
    assert measured["removed_words"] in (None, 0, 1)
