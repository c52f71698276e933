"""Windows of words: a hash of each, which few of their parts stand for them, and what words windows cover.

Each window of `size` words has the hashes of the runs of `part` words in it. The least of them is its minimizer: equal
windows have equal ones, and a text has few (Schleimer et al., Winnowing: Local Algorithms for Document Fingerprinting).
So a window whose minimizer stands only once stands only once itself, and need not be looked at.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from lakehouse.annotate.characters import SPACE, kinds
from lakehouse.annotate.repeats.snapshot import mixed
from lakehouse.annotate.words import Batch, Words
from lakehouse.unicode import decode


class Minimizers(NamedTuple):
    """The least runs of words of n documents.

    Attributes:
        runs: hash of the run of words that begins at each word; 0 where its document ends before it.
        chosen: whether the run is the least of a window. Of equal ones in a window all are chosen, so that a minimizer
            that is chosen only once is that of one place.
        of_windows: the least hash of each window, by its first word; 0 where its document ends before it.
        is_window: whether a window begins at the word.
    """

    runs: npt.NDArray[np.uint64]
    chosen: npt.NDArray[np.bool_]
    of_windows: npt.NDArray[np.uint64]
    is_window: npt.NDArray[np.bool_]


def minimizers(words: Words, size: int, part: int) -> Minimizers:
    """The minimizers of windows of `size` words, among runs of `part` words."""
    runs = hash_runs(words, part)
    chosen, of_windows = np.zeros(len(runs), np.bool_), np.zeros(len(runs), np.uint64)
    _choose(runs, words.offsets, size, size - part + 1, chosen, of_windows)
    ends = np.repeat(words.offsets[1:], np.diff(words.offsets))
    return Minimizers(runs, chosen, of_windows, np.arange(len(runs)) + size <= ends)


def hash_runs(words: Words, size: int) -> npt.NDArray[np.uint64]:
    """The hash of the `size` words from each word on, as they are written; 0 where the document ends before."""
    hashes = np.zeros(len(words.whole_hashes), np.uint64)
    _roll(mixed(words.whole_hashes), words.offsets, size, hashes)
    return mixed(hashes)


class Stretches(NamedTuple):
    """What windows cover of n documents: those of document d have the places offsets[d] to offsets[d + 1].

    Attributes:
        offsets: n + 1 places.
        firsts, lasts: the first and the last word of each.
        times: how often the most frequent of its windows occurs.
        longest: for each document the words of the longest run of windows of which each begins a word after another.
    """

    offsets: npt.NDArray[np.int64]
    firsts: npt.NDArray[np.int64]
    lasts: npt.NDArray[np.int64]
    times: npt.NDArray[np.int64]
    longest: npt.NDArray[np.int64]


def stretches(
    words: Words,
    size: int,
    windows: npt.NDArray[np.int64],
    begins: npt.NDArray[np.int64],
    times: npt.NDArray[np.int64],
) -> Stretches:
    """The stretches of words that windows cover.

    Args:
        size: words of a window.
        windows: the words with which they begin, sorted.
        begins: from which of its words on each of them covers.
        times: how often it occurs.
    """
    offsets, longest = np.zeros(len(words.offsets), np.int64), np.zeros(len(words.offsets) - 1, np.int64)
    found = np.empty((len(windows), 3), np.int64)
    _cover(words.offsets, size, windows, begins, times, offsets, found, longest)
    found = found[: offsets[-1]]
    return Stretches(offsets, found[:, 0], found[:, 1], found[:, 2], longest)


def spans(batch: Batch, covered: Stretches) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The characters to remove with each stretch of words.

    The white space after it goes too, or that before it where the stretch ends a line that it does not begin.
    """
    found = np.empty((len(covered.firsts), 2), np.int64)
    words = batch.words
    _span(*batch.utf8, kinds(), words.offsets, words.whole_lengths, *covered[:3], found)
    return found[:, 0], found[:, 1]


@numba.njit(cache=True, nogil=True)
def _roll(values, offsets, size, hashes):  # type: ignore[no-untyped-def]  # numba infers
    """Fill `hashes` with polynomials of `size` values."""
    base = np.uint64(0x9E3779B97F4A7C15)
    power = np.uint64(1)
    for _ in range(size):
        power *= base
    for text in range(len(offsets) - 1):
        value = np.uint64(0)
        for place in range(offsets[text], offsets[text + 1]):
            value = value * base + values[place]
            first = place - size + 1
            if first > offsets[text]:
                value -= values[first - 1] * power
            if first >= offsets[text]:
                hashes[first] = value


@numba.njit(cache=True, nogil=True)
def _choose(runs, offsets, size, width, chosen, of_windows):  # type: ignore[no-untyped-def]  # numba infers
    """Fill `chosen` and `of_windows`: a window of `size` words has `width` runs."""
    for text in range(len(offsets) - 1):
        first, last = offsets[text], offsets[text + 1] - size  # windows begin here
        if last < first:
            continue
        least = runs[first]
        at = -1  # the last run that is the least
        for window in range(first, last + 1):
            end = window + width - 1
            if at < window:
                least = runs[window]
                for run in range(window + 1, end + 1):
                    least = min(least, runs[run])
                for run in range(window, end + 1):
                    if runs[run] == least:
                        chosen[run] = True
                        at = run
            elif runs[end] <= least:
                least, at = runs[end], end
                chosen[end] = True
            of_windows[window] = least


@numba.njit(cache=True, nogil=True)
def find_pairs(minimizers, windows, sorted_minimizers, sorted_windows):  # type: ignore[no-untyped-def]
    """The place of each pair among sorted ones, -1 where it is not there."""
    places = np.full(len(windows), -1, np.int64)
    low = high = np.int64(0)  # those with the last minimizer
    for pair in range(len(windows)):
        if pair == 0 or minimizers[pair] != minimizers[pair - 1]:
            low = np.searchsorted(sorted_minimizers, minimizers[pair])
            step = 1
            while low + step < len(sorted_minimizers) and sorted_minimizers[low + step] == minimizers[pair]:
                step *= 2
            stop = min(low + step, len(sorted_minimizers))
            high = low + np.searchsorted(sorted_minimizers[low:stop], minimizers[pair], side="right")
        place = low + np.searchsorted(sorted_windows[low:high], windows[pair])
        if place < high and sorted_windows[place] == windows[pair]:
            places[pair] = place
    return places


@numba.njit(cache=True, nogil=True)
def _cover(word_offsets, size, windows, begins, times, offsets, found, longest):  # type: ignore[no-untyped-def]
    """Fill `offsets`, `found` (first and last word, times) and `longest`; see `stretches`."""
    number = window = 0
    # How many windows cover a word more than the one before it.
    change = np.zeros(word_offsets[-1] + 1, np.int32)
    for text in range(len(word_offsets) - 1):
        end = word_offsets[text + 1]
        next_window = window
        run = 0
        while next_window < len(windows) and windows[next_window] < end:
            change[begins[next_window]] += 1
            change[windows[next_window] + size] -= 1
            follows = next_window > window and windows[next_window] == windows[next_window - 1] + 1
            run = run + 1 if follows else size
            longest[text] = max(longest[text], run)
            next_window += 1
        depth = 0
        if next_window > window:
            for word in range(word_offsets[text], end):
                before = depth
                depth += change[word]
                if depth and not before:
                    found[number, 0] = word
                    found[number, 2] = 0
                if before and not depth:
                    found[number, 1] = word - 1
                    number += 1
            if depth:
                found[number, 1] = end - 1
                number += 1
            change[end] = 0
            stretch = offsets[text]
            for place in range(window, next_window):
                last = windows[place] + size - 1
                while found[stretch, 1] < last:
                    stretch += 1
                found[stretch, 2] = max(found[stretch, 2], times[place])
        window = next_window
        offsets[text + 1] = number


@numba.njit(cache=True, nogil=True)
def _span(data, bounds, kinds, word_offsets, lengths, offsets, firsts, lasts, found):  # type: ignore[no-untyped-def]
    """Fill `found` with the first character of each stretch and the one after its last; see `spans`."""
    for text in range(len(bounds) - 1):
        stretch = offsets[text]
        if stretch == offsets[text + 1]:
            continue
        place, end = bounds[text], bounds[text + 1]
        character = word_end = np.int64(0)
        start = before = np.int64(0)
        word = word_offsets[text] - 1
        begins_line = starts_line = True  # the word; the stretch
        while True:
            gap_line = False  # a newline is between this word and the next
            while place < end:
                code, size = decode(data, place)
                if not kinds[code] & SPACE:
                    break
                gap_line |= code == 10
                place += size
                character += 1
            if word >= word_offsets[text] and word == lasts[stretch]:
                if not starts_line and (gap_line or place >= end):
                    found[stretch, 0], found[stretch, 1] = before, word_end
                else:
                    found[stretch, 0], found[stretch, 1] = start, character
                stretch += 1
                if stretch == offsets[text + 1]:
                    break
            begins_line = gap_line or word < word_offsets[text]
            word += 1
            if word == firsts[stretch]:
                start, before, starts_line = character, word_end, begins_line
            for _ in range(lengths[word]):
                place += decode(data, place)[1]
                character += 1
            word_end = character
