"""Exact similarity: the share of the shingles of two documents that both have (Jaccard)."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt
import polars as pl

from lakehouse.dedup.columns import count_rows, mapped, read_column
from lakehouse.dedup.gather import Gathering, find_documents, gather, lay_out

_STEPS = 64
_UNLIKE = -1.0


class Shingles(NamedTuple):
    """The shingles of n documents: those of document d are data[bounds[d] : bounds[d + 1]], distinct and ascending."""

    data: npt.NDArray[np.uint32]
    bounds: npt.NDArray[np.int64]


def shingles_of(files: Sequence[Path], ids: pl.Series, folder: Path | None = None) -> Shingles:
    """Read the shingles of some documents, into a file that is mapped into memory and ends with this process.

    Args:
        files: data files of a `minhash` annotation.
        ids: doc_id of each document, each once; of one that stands in several files the first row counts.
        folder: on whose disk the file is made; that of the system's temporary files without it.

    Returns:
        The shingles in the order of `ids`; of a document that no file has, none.

    Raises:
        DedupError: a file is no data file of a `minhash` annotation.
        OSError: a file cannot be read, or the disk is full.
    """
    offsets, _ = count_rows(files)
    places = find_documents(files, ids)
    there = places >= 0
    with tempfile.TemporaryDirectory(prefix="shingles-", dir=folder) as made:
        scratch = Path(made)
        counts = [read_column(file, "n_shingles")[0].astype(np.int32) for file in files]
        sizes = np.concatenate([np.empty(0, np.int32), *counts])
        sizes.tofile(scratch / "sizes")
        lengths = np.zeros(len(ids), np.int64)
        lengths[there] = sizes[places[there]]
        bounds = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        wanted, starts = np.zeros(len(sizes), np.bool_), np.zeros(len(sizes), np.int64)
        wanted[places[there]] = lengths[there] > 0
        starts[places[there]] = bounds[:-1][there]
        lay_out(scratch, wanted, starts, int(bounds[-1]))
        for file, first in zip(files, offsets[:-1].tolist(), strict=True):
            gather(Gathering(file, first, scratch))
        return Shingles(mapped(scratch / "shingles", np.uint32), bounds)


def similarities(
    data: npt.NDArray[np.uint32],
    a: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]],
    b: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]],
    floor: float,
) -> npt.NDArray[np.float64]:
    """Compare n pairs of sets.

    Args:
        data: all sets, each distinct and ascending.
        a: where in `data` the first set of each pair begins, and where it ends.
        b: the same of the second set.
        floor: the least similarity of interest, 0 to 1.

    Returns:
        n similarities; -1 where it is below `floor`. An empty set is like no other.
    """
    found = np.empty(len(a[0]), np.float64)
    _compare(read_only(data), *a, *b, floor, found)
    return found


def could_reach(a: npt.NDArray[np.integer], b: npt.NDArray[np.integer], floor: float) -> npt.NDArray[np.bool_]:
    """Whether sets of these sizes can be so similar: at best the smaller one is a part of the larger one."""
    return np.minimum(a, b) >= floor * np.maximum(a, b) * (1 - 1e-12)  # a rounded product must exclude nothing


def read_only(data: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    """The same numbers, which cannot be written to, like those of a mapped file: kernels are compiled for these."""
    view = np.ascontiguousarray(data, np.uint32).view()
    view.flags.writeable = False
    return view


@numba.njit(cache=True, nogil=True)
def similarity(data, a, a_end, b, b_end, floor):  # type: ignore[no-untyped-def]  # numba infers
    """The similarity of data[a:a_end] and data[b:b_end], distinct and ascending; -1 where it is below `floor`."""
    total = (a_end - a) + (b_end - b)
    if a == a_end or b == b_end:
        return _UNLIKE
    # common / (total - common) >= floor; one less, so that rounding excludes nothing.
    needed = int(floor * total / (1.0 + floor)) - 1
    common = 0
    while True:
        left = min(a_end - a, b_end - b)
        if common + left < needed:
            return _UNLIKE
        if left == 0:
            break
        # So many steps cannot leave either set, and without branches the processor never guesses wrong.
        for _ in range(min(left, _STEPS)):
            x, y = data[a], data[b]
            common += x == y
            a += x <= y
            b += y <= x
    found = common / (total - common)
    return found if found >= floor else _UNLIKE


@numba.njit(cache=True, nogil=True)
def _compare(data, a, a_ends, b, b_ends, floor, found):  # type: ignore[no-untyped-def]  # numba infers
    for pair in range(len(a)):
        found[pair] = similarity(data, a[pair], a_ends[pair], b[pair], b_ends[pair], floor)
