"""Shingles: which runs of words a text has, as a set of 32-bit hashes.

Two texts are as similar as their sets are: the Jaccard similarity of their shingles, the share of those in either that
are in both (Broder, On the Resemblance and Containment of Documents). Case, white space and the punctuation around
words make no difference, since a shingle is made of the cores of words (see `annotate.words`); punctuation inside a
word, as in `well-known`, does.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from lakehouse.annotate.characters import CORE, kinds
from lakehouse.annotate.words import Batch, Cuts, Words, find_words
from lakehouse.unicode import decode, lower_case

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


class Shingles(NamedTuple):
    """The distinct shingles of n texts, ascending: those of text t are values[bounds[t] : bounds[t + 1]]."""

    values: npt.NDArray[np.uint32]
    bounds: npt.NDArray[np.int64]


def find_shingles(batch: Batch, words: int, characters: int) -> Shingles:
    """Find the distinct shingles of the n texts of a batch.

    A shingle is `words` words in a row; where most letters are of a script written without spaces, `characters`
    letters, marks and digits in a row, in lower case. A text with fewer has one shingle, of all it has; a text without
    any has none.

    The hash of a shingle of the units u(1) … u(k) is the upper half of mix(Σ mix(u(i)) · M^(k - i)), modulo 2^64. The
    units are the 64-bit hashes of the words' cores in lower case, or the code points; mix is the 64-bit finaliser of
    MurmurHash3, and M is 0x9E3779B97F4A7C15. The sum is carried on from one shingle to the next, so long shingles cost
    no more than short ones.

    Args:
        batch: n documents.
        words: words of a shingle, 1 or more.
        characters: characters of a shingle, 1 or more.
    """
    data, bounds = batch.utf8
    unspaced = batch.unspaced
    of_words = _spaced_words(batch)
    # No more units than words, or bytes. Memory beyond the shingles found is never touched.
    most = np.where(unspaced, np.diff(bounds), np.diff(of_words.offsets))
    values = np.empty(int(most.sum()), np.uint32)
    units = np.empty(int(most.max(initial=0)), np.uint64)
    spare = np.empty(len(units), np.uint32)
    found = np.zeros(len(bounds), np.int64)
    _shingle(
        data, bounds, unspaced, kinds(), lower_case(), of_words.hashes, of_words.lengths, of_words.offsets,
        words, characters, units, spare, values, found,
    )  # fmt: skip
    return Shingles(values[: found[-1]], found)


def _spaced_words(batch: Batch) -> Words:
    """The words of the texts that are written with spaces."""
    if not batch.unspaced.any():
        return batch.words
    # ICU's dictionaries are slow, and what they find in the others is not needed.
    none = Cuts(np.zeros(0, np.int64), np.zeros(len(batch.unspaced) + 1, np.int64))
    return find_words(batch.utf8, none, batch.unspaced)


@numba.njit(cache=True, nogil=True, inline="always")
def mix(value):  # type: ignore[no-untyped-def]  # numba infers
    """The 64-bit finaliser of MurmurHash3: each bit of the value changes half of the result's."""
    value = (value ^ (value >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    value = (value ^ (value >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    return value ^ (value >> np.uint64(33))


@numba.njit(cache=True, nogil=True)
def _shingle(  # type: ignore[no-untyped-def]  # numba infers
    data, bounds, unspaced, kinds, lower, hashes, lengths, offsets, words, characters, units, spare, values, found
):
    """Fill `values` and `found` from texts in UTF-8 and the hashes of their words; `units` and `spare` are scratch."""
    counts = np.empty((4, 256), np.int64)
    end = 0
    for text in range(len(bounds) - 1):
        n_units = 0
        if unspaced[text]:
            size = characters
            place = bounds[text]
            while place < bounds[text + 1]:
                code, width = decode(data, place)
                place += width
                if kinds[code] & CORE:
                    units[n_units] = mix(np.uint64(lower[code]))
                    n_units += 1
        else:
            size = words
            for word in range(offsets[text], offsets[text + 1]):
                if lengths[word]:
                    units[n_units] = mix(hashes[word])
                    n_units += 1
        n_found = _roll(units[:n_units], size, values[end:])
        end += _sort_distinct(values[end : end + n_found], spare, counts)
        found[text + 1] = end


@numba.njit(cache=True, nogil=True)
def _roll(units, size, values):  # type: ignore[no-untyped-def]  # numba infers
    """Hash every `size` units in a row, or all where there are fewer; return how many values were filled."""
    if not len(units):
        return 0
    size = min(size, len(units))
    leaves = np.uint64(1)  # what the unit that leaves was multiplied with
    rolling = np.uint64(0)
    for unit in range(size):
        rolling = rolling * _MULTIPLIER + units[unit]
        leaves *= _MULTIPLIER
    values[0] = mix(rolling) >> np.uint64(32)
    for unit in range(size, len(units)):
        rolling = rolling * _MULTIPLIER + units[unit] - units[unit - size] * leaves
        values[unit - size + 1] = mix(rolling) >> np.uint64(32)
    return len(units) - size + 1


@numba.njit(cache=True, nogil=True)
def _sort_distinct(values, spare, counts):  # type: ignore[no-untyped-def]  # numba infers
    """Sort by bytes, the lowest first, and drop repeated values; return how many are left.

    Its time grows with the number of values and with nothing else, such as how often one is repeated.
    """
    byte, low = np.uint32(8), np.uint32(0xFF)
    counts[:] = 0
    for value in values:
        for digit in range(4):
            counts[digit, (value >> np.uint32(digit * byte)) & low] += 1
    for digit in range(4):
        before = 0
        for key in range(256):
            before, counts[digit, key] = before + counts[digit, key], before
    source, target = values, spare[: len(values)]
    for digit in range(4):
        shift = np.uint32(digit * byte)
        places = counts[digit]
        for value in source:
            key = (value >> shift) & low
            target[places[key]] = value
            places[key] += 1
        source, target = target, source
    distinct = 0
    for place in range(len(values)):
        if not place or values[place] != values[distinct - 1]:
            values[distinct] = values[place]
            distinct += 1
    return distinct
