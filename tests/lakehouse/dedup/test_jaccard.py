"""Exact similarity of sets, against Python's own sets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from minhash_files import jaccard, write

from lakehouse.dedup.jaccard import could_reach, shingles_of, similarities

sets = st.frozensets(st.integers(0, 300), max_size=200) | st.frozensets(st.integers(2**32 - 9, 2**32 - 1))


def compared(a: frozenset[int], b: frozenset[int], floor: float) -> float:
    data = np.array([*sorted(a), *sorted(b)], np.uint32)
    bounds = [np.array([place]) for place in (0, len(a), len(data))]
    return float(similarities(data, (bounds[0], bounds[1]), (bounds[1], bounds[2]), floor)[0])


@given(sets, sets, st.frozensets(st.integers(0, 300), max_size=5), st.floats(0, 1))
def test_similarities_are_those_of_python_sets_to_the_last_bit(a, b, change, floor) -> None:  # type: ignore[no-untyped-def]
    for other in (b, a ^ change):
        exact = jaccard(a, other) if a and other else -1.0
        assert compared(a, other, floor) == (exact if exact >= floor else -1.0)
        if exact >= 0:
            assert compared(a, other, exact) == exact  # just at the floor
            assert could_reach(np.array([len(a)]), np.array([len(other)]), exact)[0]


def test_sets_of_too_different_sizes_need_no_comparison() -> None:
    # 7 of 10 at best.
    assert could_reach(np.array([7, 10]), np.array([10, 7]), 0.7).tolist() == [True, True]
    assert could_reach(np.array([6]), np.array([10]), 0.7).tolist() == [False]


@pytest.mark.parametrize("rows_at_once", [1, 1_000])
def test_shingles_come_in_the_order_of_the_ids(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows_at_once: int
) -> None:
    monkeypatch.setattr("lakehouse.dedup.gather._ROWS_TO_JOIN", rows_at_once)
    first = {"a": frozenset({3, 1}), "b": frozenset(), "c": frozenset({2**32 - 1})}
    second = {"d": frozenset({7}), "a": frozenset({9})}
    files = [write(tmp_path / "1.parquet", first, rows_a_group=2), write(tmp_path / "2.parquet", second)]
    found = shingles_of(files, pl.Series(["d", "none", "c", "b", "a"]))
    assert found.bounds.tolist() == [0, 1, 1, 2, 2, 4]
    assert found.data.tolist() == [7, 2**32 - 1, 1, 3]
    assert shingles_of(files, pl.Series([], dtype=pl.String)).bounds.tolist() == [0]
    assert shingles_of([], pl.Series(["a"])).bounds.tolist() == [0, 0]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"gone\.parquet"):
        shingles_of([tmp_path / "gone.parquet"], pl.Series(["a"]))
