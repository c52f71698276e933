"""Compare the embeddings of documents within clusters, a block at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from threadpoolctl import threadpool_limits

from lakehouse.dedup.clustering import NEAREST, members_of
from lakehouse.dedup.columns import Places, mapped
from lakehouse.dedup.vectors import Matrix, matrix

_ROWS, _COLUMNS = 1_024, 4_096  # of a block of similarities: 16 MB
_MARGIN = 1e-4  # float32 misses a cosine by less
_EXACT_AT_ONCE = 1 << 12
_DIGITS = 6


@dataclass(frozen=True)
class Comparison:
    """A unit of work: compare some documents of one cluster with the others of it, or all of several clusters.

    Attributes:
        folder: holds `vectors`, `nearest`, and the members of the clusters: their own, and guests, of which they are
            not the nearest.
        begin, end: clusters.
        rows: which of the members of the one cluster are compared, from and to; all of them without it.
        dimensions: numbers of a vector.
        first_place: of the new documents.
        floor: the least similarity of interest.
        out: the file that pairs are written to.
    """

    folder: Path
    begin: int
    end: int
    rows: tuple[int, int] | None
    dimensions: int
    first_place: int
    floor: float
    out: Path

    def __str__(self) -> str:
        return f"clusters {self.begin:,} to {self.end:,}"


def compare(unit: Comparison) -> tuple[int, int]:
    """Write the similar pairs of some clusters: later place, earlier place, similarity.

    Returns:
        How many pairs were compared, and how many are similar enough.
    """
    vectors = matrix(unit.folder, unit.dimensions)
    nearest = mapped(unit.folder / "nearest", np.int32).reshape(-1, NEAREST)
    compared = found = 0
    with unit.out.open("wb") as out, threadpool_limits(1, user_api="blas"):
        for cluster in range(unit.begin, unit.end):
            own, guests = (members_of(unit.folder, name, cluster) for name in ("own", "guests"))
            for rows, columns, are_guests in _blocks(own, guests, unit.rows or (0, len(own)), unit.first_place):
                similar = vectors[rows] @ vectors[columns].T >= unit.floor - _MARGIN
                if not are_guests and columns[-1] >= rows[0]:
                    below = columns < rows[:, None]
                    similar &= below
                    compared += int(np.count_nonzero(below))
                else:
                    compared += similar.size
                a, b = (places[at] for places, at in zip((rows, columns), np.nonzero(similar), strict=True))
                if are_guests:  # the cluster of b finds the pair too where a is a guest there
                    home = nearest[b, :1]
                    once = (home > cluster)[:, 0] | (nearest[a] != home).all(axis=1)
                    a, b = a[once], b[once]
                found += _write(out, vectors, np.maximum(a, b), np.minimum(a, b), unit.floor)
    return compared, found


def _blocks(
    own: Places, guests: Places, wanted: tuple[int, int], first_place: int
) -> Iterator[tuple[Places, Places, bool]]:
    """Rows and columns to compare, so that at least one of each pair is new, and whether the columns are guests.

    Those of a cluster's own are compared with what stands before them: a block at the diagonal has too much.
    """
    old = int(np.searchsorted(own, first_place))
    begin, end = wanted
    parts = [
        (begin, min(end, old), [(guests[np.searchsorted(guests, first_place) :], True)]),
        (max(begin, old), end, [(own, False), (guests, True)]),
    ]
    for low, high, sides in parts:
        for start in range(low, high, _ROWS):
            stop = min(start + _ROWS, high)
            for others, are_guests in sides:
                for left in range(0, len(others) if are_guests else stop, _COLUMNS):
                    right = left + _COLUMNS if are_guests else min(left + _COLUMNS, stop)
                    yield own[start:stop], others[left:right], are_guests


def _write(out: BinaryIO, vectors: Matrix, later: Places, earlier: Places, floor: float) -> int:
    """Compute candidates again, the same wherever they stood in a block, and write those that are similar enough."""
    found = 0
    for start in range(0, len(later), _EXACT_AT_ONCE):
        a, b = later[start : start + _EXACT_AT_ONCE], earlier[start : start + _EXACT_AT_ONCE]
        cosines = np.einsum("ij,ij->i", vectors[a], vectors[b], dtype=np.float64)
        # What is 1 stands for equal vectors.
        similarity = np.minimum(np.round(cosines, _DIGITS), 1 - 10.0**-_DIGITS)
        rows = np.stack([a, b, similarity], axis=1)[cosines >= floor]
        rows.tofile(out)
        found += len(rows)
    return found
