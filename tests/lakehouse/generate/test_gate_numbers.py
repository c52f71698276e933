"""The numbers of a text, however they are written."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.generate.gates.numbers import kept_and_added, numbers
from lakehouse.generate.gates.words import find_words, normal_form


def found(*texts: str) -> pl.DataFrame:
    series = normal_form(pl.Series(texts, dtype=pl.String))
    return numbers(series, find_words(series))


def values(text: str) -> list[str]:
    return sorted(found(text).filter(pl.col("kind") == "number")["value"].unique())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1,234,567 people", ["1234567"]),
        ("1.234.567 Leute, 1'234 Fr.", ["1234", "1234567"]),
        ("12,34,567 rupees", ["1234567"]),
        ("1,234.50 and 1.234,5", ["1234.5"]),
        ("1,50 or 1.5", ["1.5"]),
        ("3.14159", ["3.14159"]),
        ("0.125 and 0,125", ["0.125"]),
        ("12.05.2024", ["12", "2024", "5"]),
        ("version 1.2.3", ["1", "2", "3"]),
        ("at 09:30, 2020-2021", ["2020", "2021", "30", "9"]),
        ("15 %, 15% and −15.", ["15"]),
        ("10km, 3rd, 1990s", ["10", "1990", "3"]),
        ("H2O, B2B and x_2", []),
        ("在2024年有3个", ["2024", "3"]),
        ("١٢٣ و ٣٫٥ و ١٬٢٣٤", ["123", "1234", "3.5"]),
        ("५०० और １２", ["12", "500"]),
        ("007", ["7"]),
        ("0 and 0.0", ["0"]),
        ("one two", []),
        ("", []),
    ],
)
def test_a_number_has_one_value_however_it_is_written(text: str, expected: list[str]) -> None:
    assert values(text) == sorted(expected)


def shares(text: str, passage: str) -> tuple[float | None, float | None]:
    measured = kept_and_added(found(text), found(passage), 1)
    first, second = (None if np.isnan(share[0]) else float(share[0]) for share in measured)
    return first, second


@pytest.mark.parametrize(
    ("passage", "text", "kept", "added"),
    [
        ("In 1899 and 1907 there were 26 states.", "26 states met in 1899.", 2 / 3, 0),
        ("Sales rose by 12 percent.", "Sales rose by 12% to 5,000 in 1999.", 1, 2 / 3),
        ("about 12 300 men", "about 12,300 men", 1, 0),  # a space that separates thousands
        ("about 12,300 men", "about 12 300 men", 1, 0),
        ("rows 100 200 300", "100, 200, 300", 1, 0),  # or one that does not
        ("There were 3 ships.", "There were three ships.", 1, None),  # spelled
        ("There were three ships.", "There were 3 ships.", None, 0),
        ("Drei Schiffe und 12 Boote", "3 Schiffe, zwölf Boote", 1, 0),
        ("It has 4 parts.", "1. One\n2. Two\n3. Three\n4. Four\n", 1, None),  # items of a list add no numbers
        ("No numbers.", "None here.", None, None),
        ("1.5 million", "15 million", 0, 1),
    ],
)
def test_kept_and_added(passage: str, text: str, kept: float | None, added: float | None) -> None:
    expected = [None if share is None else pytest.approx(share) for share in (kept, added)]
    assert list(shares(text, passage)) == expected


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=8))
def test_numbers_are_kept_whatever_separates_their_thousands(given_numbers: list[int]) -> None:
    passage = " and ".join(f"{number:,}" for number in given_numbers)
    for separator in (".", "'", "\u202f", ""):
        text = " or ".join(f"{number:,}".replace(",", separator) for number in given_numbers)
        assert shares(text, passage) == (1, 0)


@given(st.text(alphabet="0123456789.,' \u00a0٣५x-\n)", max_size=60))
def test_every_text_keeps_its_own_numbers(text: str) -> None:
    kept, added = shares(text, text)
    assert kept in (1, None)
    assert added in (0, None)


def test_rows_do_not_mix() -> None:
    texts, passages = found("7 and 8", "", "9 and 10"), found("8", "7", "9")
    kept, added = kept_and_added(texts, passages, 3)
    assert kept.tolist() == [1, 0, 1]
    assert added[[0, 2]].tolist() == [0.5, 0.5]
    assert np.isnan(added[1])
