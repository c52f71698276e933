"""Figures of a classifier, and the calibration of its scores."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.models import Calibration, ModelFileError
from lakehouse.train.evaluation import (
    calibration_table,
    confusion,
    evaluate,
    expected_calibration_error,
    fit_calibration,
    roc_auc,
    roc_curve,
)

judged = st.lists(st.tuples(st.sampled_from(np.linspace(0, 1, 21).tolist()), st.booleans()), min_size=2, max_size=60)


def arrays(rows: list[tuple[float, bool]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([score for score, _ in rows]), np.array([truth for _, truth in rows])


def test_figures_worked_out_by_hand() -> None:
    scores, truth = np.array([0.9, 0.8, 0.6, 0.4, 0.3]), np.array([True, False, True, True, False])
    # Pairs (positive, negative) with the positive above: 0.9 beats both, 0.6 beats 0.3, 0.4 beats 0.3: 4 of 6.
    assert roc_auc(scores, truth) == pytest.approx(4 / 6)
    found = confusion(scores, truth)
    assert (found.true_positive, found.false_positive, found.false_negative, found.true_negative) == (2, 1, 1, 1)
    assert (found.precision, found.recall, found.f1) == pytest.approx((2 / 3, 2 / 3, 2 / 3))
    # Each score is alone in its bin: |0.9-1|, |0.8-0|, |0.6-1|, |0.4-1|, |0.3-0| add up to 2.2.
    assert expected_calibration_error(calibration_table(scores, truth)) == pytest.approx(2.2 / 5)
    false_rate, true_rate = roc_curve(scores, truth)
    assert false_rate.tolist() == pytest.approx([0, 0, 1 / 2, 1 / 2, 1 / 2, 1])
    assert true_rate.tolist() == pytest.approx([0, 1 / 3, 1 / 3, 2 / 3, 1, 1])


def test_a_classifier_that_calls_nothing_positive_has_no_precision() -> None:
    found = confusion(np.array([0.1, 0.2]), np.array([True, False]))
    assert (found.precision, found.recall, found.f1) == (None, 0, 0)


def test_the_calibration_table_puts_the_ends_into_the_outer_bins() -> None:
    table = calibration_table(np.array([0.0, 0.1, 1.0]), np.array([False, True, True]))
    assert [row["n"] for row in table] == [1, 1, 0, 0, 0, 0, 0, 0, 0, 1]
    assert table[2]["mean_score"] is None


@settings(max_examples=200, deadline=None)
@given(judged)
def test_the_area_is_the_share_of_pairs_in_the_right_order(rows: list[tuple[float, bool]]) -> None:
    scores, truth = arrays(rows)
    pairs = [(p, n) for p in scores[truth] for n in scores[~truth]]
    if pairs:
        expected = sum(1.0 if p > n else 0.5 if p == n else 0.0 for p, n in pairs) / len(pairs)
        assert roc_auc(scores, truth) == pytest.approx(expected)
        assert np.trapezoid(*roc_curve(scores, truth)[::-1]) == pytest.approx(expected)


@settings(max_examples=200, deadline=None)
@given(judged, st.sampled_from(["platt", "isotonic", "none"]))
def test_calibrated_scores_are_probabilities_in_the_same_order(rows: list[tuple[float, bool]], method: str) -> None:
    scores, truth = arrays(rows)
    if truth.all() or not truth.any():
        return
    calibration = fit_calibration(scores, truth, method)  # type: ignore[arg-type]
    grid = np.linspace(0, 1, 101)
    found = calibration.apply(grid)
    assert ((found >= 0) & (found <= 1)).all()
    assert (np.diff(found) >= 0).all()
    assert Calibration.from_json(calibration.as_json(), "card") == calibration


@settings(max_examples=100, deadline=None)
@given(judged)
def test_isotonic_regression_is_the_best_rising_fit(rows: list[tuple[float, bool]]) -> None:
    """The slow, obvious way: the highest mean of a stretch that ends here over all beginnings, the lowest over ends."""
    scores, truth = arrays(rows)
    calibration = fit_calibration(scores, truth, "isotonic")
    distinct = np.unique(scores)
    for score, found in zip(distinct, calibration.apply(distinct), strict=True):
        expected = max(
            min(truth[(scores >= low) & (scores <= high)].mean() for high in distinct[distinct >= score])
            for low in distinct[distinct <= score]
        )
        assert found == pytest.approx(expected)


def test_platt_finds_the_line_that_made_the_answers() -> None:
    draw = np.random.default_rng(1)
    odds = draw.uniform(-4, 4, 20_000)
    truth = draw.uniform(size=20_000) < 1 / (1 + np.exp(-(0.5 * odds - 1)))
    calibration = fit_calibration(1 / (1 + np.exp(-odds)), truth, "platt")
    assert (calibration.slope, calibration.intercept) == pytest.approx((0.5, -1), abs=0.05)
    figures = evaluate(1 / (1 + np.exp(-odds)), truth, calibration)
    assert figures["expected_calibration_error"] < 0.02 < figures["expected_calibration_error_before"]


def test_scores_that_say_the_opposite_are_not_turned_around() -> None:
    scores, truth = np.linspace(0.01, 0.99, 100), np.arange(100) < 50
    calibration = fit_calibration(scores, truth, "platt")
    assert calibration.slope == 0
    assert calibration.apply(scores).tolist() == pytest.approx([0.5] * 100)


def test_perfectly_separated_scores_give_finite_numbers() -> None:
    scores, truth = np.repeat([0.0, 1.0], 500), np.repeat([False, True], 500)
    calibration = fit_calibration(scores, truth, "platt")
    # Platt's targets: 501 / 502 and 1 / 502.
    assert calibration.apply(np.array([0.0, 1.0])).tolist() == pytest.approx([1 / 502, 501 / 502], rel=1e-3)


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"method": "magic"},
        {"method": "platt", "slope": "steep", "intercept": 0},
        {"method": "platt", "slope": float("nan"), "intercept": 0},
        {"method": "isotonic", "scores": []},
        {"method": "isotonic", "scores": [0.1, 0.2], "probabilities": [0.9, 0.1]},
    ],
)
def test_a_calibration_that_cannot_be_read_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ModelFileError, match=r"card\.json: the calibration cannot be read"):
        Calibration.from_json(wrong, "card.json")
