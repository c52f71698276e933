"""Candidates: pairs of documents that share the key of a band, as similar ones very likely do.

A key is read as a whole column, so what is held grows with the number of documents and not with their text, and one
band is dealt with after the other. Documents are named by their place: the number of the row, over all files.

Source: Indyk and Motwani, Approximate Nearest Neighbors: Towards Removing the Curse of Dimensionality (banding).
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt

from lakehouse.dedup.columns import Places, Signatures, gather_column, read_column

_NEIGHBOURS = 3
_NEXT_BANDS = 3
_SCATTER = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Thinned:
    """What was too much alike in one band to compare all with all.

    Attributes:
        band: the column of keys.
        groups: how many keys had too many documents.
        documents: how many documents had these keys.
        largest: the documents of the most frequent key.
    """

    band: str
    groups: int
    documents: int
    largest: int


def find_copies(signatures: Signatures, parts: int) -> tuple[Places, Places]:
    """Find the new documents whose shingles are just those of a document at a lower place.

    Args:
        parts: in how many parts the documents are dealt with; with more, fewer are held at a time.

    Returns:
        The places of the copies, ascending, and for each the lowest place with its shingles.
    """
    found = []
    for part in range(parts):
        keys, places = _rows(signatures, "shingle_set", part, parts, None)
        order = np.argsort(keys)
        keys, places = keys[order], places[order]
        starts = _starts(keys)
        if len(starts):
            lowest = np.repeat(np.minimum.reduceat(places, starts), np.diff(starts, append=len(keys)))
            copies = (places != lowest) & (places >= signatures.first_place)
            found.append((places[copies], lowest[copies]))
    if not found:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    places, lowest = (np.concatenate(column) for column in zip(*found, strict=True))
    order = np.argsort(places)
    return places[order], lowest[order]


def find_candidates(
    signatures: Signatures,
    band: str,
    copies: npt.NDArray[np.bool_],
    thinned: list[Thinned],
    *,
    max_group: int,
    parts: int,
    codes_at_once: int,
) -> Iterator[npt.NDArray[np.int64]]:
    """Find the pairs of documents that share a key of one band, at least one of the two new.

    Documents with the same shingles share all keys: only the one at the lowest place takes part. Where more than
    `max_group` others share a key, they are put into an order in which similar ones are close (their keys of the next
    bands, then their set), and each is paired with the next three and with the first.

    Args:
        band: the column of keys.
        copies: for each new document whether it takes no part.
        thinned: takes up what was thinned, if anything was.
        max_group: documents that share a key and are all compared with each other.
        parts: as in `find_copies`.
        codes_at_once: about how many pairs are held at a time.

    Yields:
        Codes of pairs, later place · documents + earlier place, ascending in each array.
    """
    too_large: list[Places] = []
    for part in range(parts):
        keys, places = _rows(signatures, band, part, parts, copies)
        keys, places = _without_earlier_copies(signatures, keys, places)
        order = np.argsort(keys)
        keys, places = keys[order], places[order]
        del order
        starts = _starts(keys)
        sizes = np.diff(starts, append=len(keys))
        small = (sizes > 1) & (sizes <= max_group)
        yield from _complete(signatures, places, starts[small], sizes[small], codes_at_once)
        large = sizes > max_group
        if large.any():
            too_large.append(sizes[large])
            yield _thin(signatures, band, places[np.repeat(large, sizes)], sizes[large])
    if too_large:
        sizes = np.concatenate(too_large)
        thinned.append(Thinned(band, len(sizes), int(sizes.sum()), int(sizes.max())))


def merge(runs: Sequence[npt.NDArray[np.int64]], documents: int, codes_at_once: int) -> Iterator[npt.NDArray[np.int64]]:
    """Merge ascending runs of codes, each code once; about `codes_at_once` are held at a time."""
    done = [0] * len(runs)

    def ends(place: int) -> list[int]:
        return [int(np.searchsorted(run, place * documents)) for run in runs]

    while any(start < len(run) for run, start in zip(runs, done, strict=True)):
        least = min(int(run[start]) for run, start in zip(runs, done, strict=True) if start < len(run)) // documents
        allowed = sum(done) + codes_at_once
        upto = bisect.bisect_right(range(documents + 1), allowed, lo=least + 1, key=lambda place: sum(ends(place)))
        stops = ends(max(upto - 1, least + 1))
        codes = np.concatenate([run[start:stop] for run, start, stop in zip(runs, done, stops, strict=True)])
        codes.sort()
        yield codes[_starts(codes)]
        done = stops


def _complete(
    signatures: Signatures, places: Places, starts: Places, sizes: Places, codes_at_once: int
) -> Iterator[npt.NDArray[np.int64]]:
    """All pairs of the groups, some groups at a time."""
    most = np.cumsum(sizes * (sizes - 1) // 2)
    first = 0
    while first < len(starts):
        before = most[first - 1] if first else 0
        last = max(first + 1, int(np.searchsorted(most, before + codes_at_once, side="right")))
        codes = np.empty(most[last - 1] - before, np.int64)
        chosen = slice(first, last)
        filled = _pair_all(
            places, starts[chosen], sizes[chosen], signatures.first_place, signatures.documents, codes
        )  # fmt: skip
        codes = codes[:filled]
        codes.sort()
        yield codes
        first = last


def _thin(signatures: Signatures, band: str, places: Places, sizes: Places) -> npt.NDArray[np.int64]:
    """A few pairs of each document of the groups; `places` are those of one group after the other."""
    groups = np.repeat(np.arange(len(sizes)), sizes)
    at = signatures.bands.index(band)
    following = [signatures.bands[(at + step) % len(signatures.bands)] for step in range(1, _NEXT_BANDS + 1)]
    keys = [signatures.sets[places], *(gather_column(signatures, name, places) for name in reversed(following))]
    ordered = places[np.lexsort([*keys, groups])]
    codes = np.empty(len(places) * (_NEIGHBOURS + 1), np.int64)
    filled = _pair_neighbours(
        ordered, np.cumsum(sizes) - sizes, sizes, _NEIGHBOURS, signatures.first_place, signatures.documents, codes
    )  # fmt: skip
    return np.unique(codes[:filled])


def _rows(
    signatures: Signatures, column: str, part: int, parts: int, copies: npt.NDArray[np.bool_] | None
) -> tuple[npt.NDArray[np.int64], Places]:
    """The keys and places of a part of the new documents, and of the earlier ones whose key a new one has."""
    fresh = [
        _part(signatures, file, column, part, parts, copies)
        for file in range(signatures.first_new, len(signatures.files))
    ]
    keys = np.concatenate([np.empty(0, np.int64), *(keys for keys, _ in fresh)])
    places = np.concatenate([np.empty(0, np.int64), *(places for _, places in fresh)])
    if not signatures.first_new or not len(keys):
        return keys, places
    table = np.zeros(1 << max(4, (2 * len(keys)).bit_length()), np.int64)
    taken = np.zeros(len(table), np.bool_)
    _insert(table, taken, keys)
    found = [(keys, places)]
    for file in range(signatures.first_new):
        earlier, at = _part(signatures, file, column, part, parts, None)
        known = np.empty(len(earlier), np.bool_)
        _look_up(table, taken, earlier, known)
        found.append((earlier[known], at[known]))
    return np.concatenate([keys for keys, _ in found]), np.concatenate([places for _, places in found])


def _part(
    signatures: Signatures, file: int, column: str, part: int, parts: int, copies: npt.NDArray[np.bool_] | None
) -> tuple[npt.NDArray[np.int64], Places]:
    """The keys of one file that are there and belong to a part, and their places."""
    first, end = int(signatures.offsets[file]), int(signatures.offsets[file + 1])
    if column == "shingle_set":
        keys, wanted = signatures.sets[first:end], signatures.sizes[first:end] > 0
    else:
        keys, wanted = read_column(signatures.files[file], column)
    if copies is not None:
        wanted &= ~copies[first - signatures.first_place : end - signatures.first_place]
    if parts > 1:
        wanted &= (keys.view(np.uint64) * _SCATTER >> np.uint64(33)) % np.uint64(parts) == np.uint64(part)
    return keys[wanted], np.flatnonzero(wanted) + first


def _without_earlier_copies(
    signatures: Signatures, keys: npt.NDArray[np.int64], places: Places
) -> tuple[npt.NDArray[np.int64], Places]:
    """Leave of earlier documents with the same shingles the one at the lowest place. New copies are gone already."""
    earlier = places < signatures.first_place
    if not earlier.any():
        return keys, places
    rows = np.flatnonzero(earlier)
    sets = signatures.sets[places[rows]]
    rows = rows[np.lexsort((places[rows], sets))]
    sets = signatures.sets[places[rows]]
    kept = ~earlier
    kept[rows[_starts(sets)]] = True
    return keys[kept], places[kept]


def _starts(ordered: npt.NDArray[np.int64]) -> Places:
    """Where a new value begins."""
    if not len(ordered):
        return np.empty(0, np.int64)
    return np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))


@numba.njit(cache=True, nogil=True)
def _slot(table, taken, key):  # type: ignore[no-untyped-def]  # numba infers
    """Where a key stands in a table of a power of two slots, or would."""
    last = np.uint64(len(table) - 1)
    slot = (np.uint64(key) * _SCATTER >> np.uint64(20)) & last
    while taken[slot] and table[slot] != key:
        slot = (slot + np.uint64(1)) & last
    return slot


@numba.njit(cache=True, nogil=True)
def _insert(table, taken, keys):  # type: ignore[no-untyped-def]  # numba infers
    for key in keys:
        slot = _slot(table, taken, key)
        table[slot] = key
        taken[slot] = True


@numba.njit(cache=True, nogil=True)
def _look_up(table, taken, keys, known):  # type: ignore[no-untyped-def]  # numba infers
    for row in range(len(keys)):
        known[row] = taken[_slot(table, taken, keys[row])]


@numba.njit(cache=True, nogil=True)
def _pair_all(places, starts, sizes, first_new, documents, codes):  # type: ignore[no-untyped-def]  # numba infers
    filled = 0
    for group in range(len(starts)):
        members = places[starts[group] : starts[group] + sizes[group]]
        for later in members:
            if later >= first_new:
                for earlier in members:
                    if earlier < later:
                        codes[filled] = later * documents + earlier
                        filled += 1
    return filled


@numba.njit(cache=True, nogil=True)
def _pair_neighbours(  # type: ignore[no-untyped-def]  # numba infers
    places, starts, sizes, neighbours, first_new, documents, codes
):
    filled = 0
    for group in range(len(starts)):
        members = places[starts[group] : starts[group] + sizes[group]]
        for row in range(1, len(members)):
            for step in range(neighbours + 1):
                other = members[max(0, row - step) if step else 0]
                later, earlier = max(members[row], other), min(members[row], other)
                if later >= first_new:
                    codes[filled] = later * documents + earlier
                    filled += 1
    return filled
