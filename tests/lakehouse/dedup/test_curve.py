"""The S-curve: how likely two documents of a given similarity are compared."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.dedup.curve import SETTINGS, compare, curve, explain, missed, probability, threshold
from lakehouse.dedup.errors import DedupError


def test_the_probability_is_that_of_one_band_in_b_agreeing() -> None:
    # 0.8^8 = 0.16777; 1 - 0.16777 = 0.83223; 0.83223^14 = 0.07645
    assert probability(0.8, 14, 8) == pytest.approx(0.92355, abs=1e-5)
    # One band of one row agrees as often as the documents are similar; of two bands, each may.
    assert probability(0.3, 1, 1) == pytest.approx(0.3)
    assert probability(0.5, 2, 1) == pytest.approx(0.75)
    assert probability(0.5, 1, 2) == pytest.approx(0.25)
    # 0.8^13 = 0.05498; 0.94502^20 = 0.3227; 0.8^4 = 0.4096; 0.5904^50 = 3.6e-12
    assert probability(0.8, 20, 13) == pytest.approx(0.6773, abs=1e-4)
    assert 1 - probability(0.8, 50, 4) == pytest.approx(3.6e-12, rel=0.1)


def test_nothing_in_common_is_never_compared_and_everything_in_common_always() -> None:
    assert probability(0, 14, 8) == 0
    assert probability(1, 14, 8) == 1


@given(st.integers(1, 100), st.integers(1, 20), st.floats(0, 1), st.floats(0, 1))
def test_more_similar_pairs_more_bands_and_fewer_rows_are_never_less_likely(
    bands: int, rows: int, one: float, other: float
) -> None:
    low, high = sorted((one, other))
    assert 0 <= probability(low, bands, rows) <= probability(high, bands, rows) + 1e-12 <= 1 + 1e-12
    assert probability(low, bands, rows) <= probability(low, bands + 1, rows) + 1e-12
    assert probability(low, bands, rows + 1) <= probability(low, bands, rows) + 1e-12


@given(st.integers(1, 100), st.integers(1, 20))
def test_at_the_threshold_one_pair_in_two_is_compared(bands: int, rows: int) -> None:
    assert probability(threshold(bands, rows), bands, rows) == pytest.approx(0.5)


def test_the_threshold_of_the_default_settings() -> None:
    # 0.5^(1/14) = 0.95170; 0.04830^(1/8) = 0.68470
    assert threshold(14, 8) == pytest.approx(0.6847, abs=1e-4)


def test_the_curve_goes_from_0_to_1_in_steps_of_a_twentieth() -> None:
    found = curve(14, 8)
    assert found.columns == ["similarity", "probability"]
    assert found["similarity"].to_list() == [step / 20 for step in range(21)]
    assert found.row(16) == (0.8, pytest.approx(0.92355, abs=1e-5))
    assert found["probability"].is_sorted()


def test_what_is_missed_is_the_mean_over_all_similarities_from_the_threshold_on() -> None:
    # One band of one row misses 1 - s: from 0.5 to 1 a quarter on average.
    assert missed(0.5, 1, 1) == pytest.approx(0.25)
    assert missed(1, 14, 8) == 0
    assert missed(0.7, 14, 8) == pytest.approx(0.0861, abs=1e-3)


def test_settings_are_laid_side_by_side() -> None:
    found = compare({"one": (14, 8), "other": (9, 13)})
    assert found["setting"].to_list() == ["one", "other"]
    assert found["hashes"].to_list() == [112, 117]
    assert found["at_0.8"].to_list() == [pytest.approx(0.9235, abs=1e-4), pytest.approx(0.3988, abs=1e-4)]
    assert math.isclose(found["half"][0], threshold(14, 8))
    assert compare()["setting"].to_list() == list(SETTINGS)


def test_the_explanation_draws_the_curve_and_says_what_is_missed() -> None:
    said = explain(14, 8, 0.75)
    lines = said.splitlines()
    assert "14 bands of 8 rows, 112 hashes" in lines[0]
    assert "0.8: 92.35 %" in said
    # 0.75^8 = 0.10011; 0.89989^14 = 0.2284
    assert "exactly 0.75, the threshold, 22.84 % are missed" in said
    assert "14 × 8" not in said  # the table has that row by its usual name
    assert "10 × 5" in explain(10, 5, 0.75)
    assert max(map(len, lines)) <= 100
    plot = [line.partition("|")[2] for line in lines if "|" in line]
    assert len(plot) == 11
    mark = next(line for line in lines if line.endswith("^ threshold 0.75")).index("^") - 8
    assert {row[mark : mark + 1] or " " for row in plot} == {":", "*"}
    assert plot[0].endswith("*")  # certain at 1
    assert plot[-1].startswith("*")  # impossible at 0
    assert all(any(row[column : column + 1] == "*" for row in plot) for column in range(61))


@pytest.mark.parametrize(
    ("similarity", "bands", "rows", "message"),
    [
        (1.1, 14, 8, "similarity is 1.1; it must be a share from 0 to 1"),
        (float("nan"), 14, 8, "similarity is nan"),
        (0.5, 0, 8, "bands is 0; it must be a whole number of 1 or more"),
        (0.5, 14, -8, "rows is -8"),
        (0.5, 14, 8.0, "rows is 8.0"),
    ],
)
def test_what_makes_no_curve_is_refused(similarity: float, bands: int, rows: int, message: str) -> None:
    with pytest.raises(DedupError, match=message):
        probability(similarity, bands, rows)
    with pytest.raises(DedupError, match=message):
        explain(bands, rows, similarity)
