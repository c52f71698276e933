"""Units of text that documents may share: lines, paragraphs and sentences, as flat arrays with a hash each.

A line ends at a newline, a paragraph at a line without anything visible. Sentences are those that `c4` counts: after a
segment that ends sentences, one ends before the first segment that is no punctuation, or before white space that is
more than a space; and it ends where its line does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt

from lakehouse.annotate.characters import SEPARATOR, SPACE, kinds
from lakehouse.annotate.languages import load
from lakehouse.annotate.segmenting.segments import AFTER_GAP, IS_PUNCTUATION, IS_TERMINAL
from lakehouse.annotate.words import Batch
from lakehouse.unicode import decode

_NEW_LINE = ord("\n")


@dataclass(frozen=True)
class Units:
    """The units of n documents: those of document d have the places offsets[d] to offsets[d + 1].

    Attributes:
        offsets: n + 1 places.
        hashes: 64-bit hash of what is visible of each, with the white space inside.
        spans: m rows of four characters of the text: where the unit begins and ends, and where what goes with it does,
            if nothing else is left of its lines: from the beginning of the first one to that of what follows.
        lines: the number of each unit's line in the batch; units of one line share it.
    """

    offsets: npt.NDArray[np.int64]
    hashes: npt.NDArray[np.uint64]
    spans: npt.NDArray[np.int64]
    lines: npt.NDArray[np.int64]

    @property
    def characters(self) -> npt.NDArray[np.int64]:
        """How long each unit is."""
        lengths: npt.NDArray[np.int64] = self.spans[:, 1] - self.spans[:, 0]
        return lengths

    def cut(self, removed: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Where the characters begin and end that go with each removed unit.

        A line of which nothing stays goes with its line feed; otherwise the white space after the unit goes, or that
        before it where the line ends with it.
        """
        edits: npt.NDArray[np.int64] = _cut(removed, self.spans, self.lines)
        return edits[:, 0], edits[:, 1]


def find_lines(batch: Batch) -> Units:
    """The lines with something visible."""
    return _find(batch, False)


def find_paragraphs(batch: Batch) -> Units:
    """The paragraphs; runs of white space inside count as one space."""
    return _find(batch, True)


def _find(batch: Batch, paragraphs: bool) -> Units:
    data, bounds = batch.utf8
    most = _count_lines(data, bounds)
    units = Units(
        np.zeros(len(bounds), np.int64), np.empty(most, np.uint64), np.empty((most, 4), np.int64), np.arange(most)
    )
    _find_lines(data, bounds, kinds(), paragraphs, units.offsets, units.hashes, units.spans)
    return _trimmed(units)


def find_sentences(batch: Batch) -> Units:
    """The sentences; runs of white space inside count as one space."""
    data, bounds = batch.utf8
    segments = batch.segments(load())
    # One that is not the first of its line comes after a segment that ends sentences.
    most = _count_lines(data, bounds) + np.count_nonzero(segments.flags & IS_TERMINAL)
    units = Units(
        np.zeros(len(bounds), np.int64),
        np.empty(most, np.uint64),
        np.empty((most, 4), np.int64),
        np.empty(most, np.int64),
    )
    _find_sentences(
        data, bounds, kinds(), segments.starts, segments.flags, segments.offsets,
        units.offsets, units.hashes, units.spans, units.lines,
    )  # fmt: skip
    return _trimmed(units)


def _count_lines(data: npt.NDArray[np.uint8], bounds: npt.NDArray[np.int64]) -> int:
    return int(np.count_nonzero(data[bounds[0] : bounds[-1]] == _NEW_LINE)) + len(bounds)


def _trimmed(units: Units) -> Units:
    size = int(units.offsets[-1])
    return Units(units.offsets, units.hashes[:size], units.spans[:size], units.lines[:size])


@numba.njit(cache=True, nogil=True)
def _find_lines(data, bounds, kinds, paragraphs, offsets, hashes, spans):  # type: ignore[no-untyped-def]
    """Fill `offsets` and what follows it with lines or paragraphs."""
    basis, prime = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)
    found = 0
    for text in range(len(bounds) - 1):
        place, character = bounds[text], np.int64(0)
        line = np.int64(0)  # where the line begins
        visible = within = gap = False  # in the line; in a paragraph; white space since the last visible character
        value = running = basis
        begin = end = np.int64(0)
        first = found
        while place < bounds[text + 1]:
            code, size = decode(data, place)
            if code == _NEW_LINE:
                if within and visible != paragraphs:  # the line ends, or the paragraph did before it
                    hashes[found], spans[found, 0], spans[found, 1] = value, begin, end
                    spans[found, 3] = character + 1
                    found += 1
                    within = False
                line = character + 1
                visible, gap = False, True
            elif kinds[code] & SPACE:
                gap = True
                if not paragraphs:
                    for byte in range(place, place + size):
                        running = (running ^ np.uint64(data[byte])) * prime
            else:
                if not within:
                    within = True
                    begin = character
                    running = basis
                    spans[found, 2] = line
                    if paragraphs and found > first:
                        spans[found - 1, 3] = line
                elif paragraphs and gap:
                    running = (running ^ np.uint64(32)) * prime
                gap = False
                visible = True
                for byte in range(place, place + size):
                    running = (running ^ np.uint64(data[byte])) * prime
                value = running
                end = character + 1
            place += size
            character += 1
        if within:
            hashes[found], spans[found, 0], spans[found, 1] = value, begin, end
            found += 1
        if found > first and (within or paragraphs):
            spans[found - 1, 3] = character
        offsets[text + 1] = found


@numba.njit(cache=True, nogil=True)
def _find_sentences(  # type: ignore[no-untyped-def]  # numba infers
    data, bounds, kinds, starts, flags, segment_offsets, offsets, hashes, spans, lines
):
    """Fill `offsets` and what follows it with sentences."""
    basis, prime = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)
    found = 0  # sentences that have begun
    number = np.int64(0)
    for text in range(len(bounds) - 1):
        place, character = bounds[text], np.int64(0)
        segment, last_segment = segment_offsets[text], segment_offsets[text + 1]
        line = np.int64(0)  # where the line begins
        line_first = found  # its first sentence
        gap = complete = False
        number += 1
        while place < bounds[text + 1]:
            code, size = decode(data, place)
            if segment < last_segment and starts[segment] == place:
                flag = flags[segment]
                segment += 1
                begins = found == line_first or (complete and flag & AFTER_GAP != 0)
                complete = complete and not begins
                if flag & IS_TERMINAL:
                    complete = True
                elif complete and not flag & IS_PUNCTUATION:
                    begins, complete = True, False
                if begins:
                    hashes[found], lines[found], spans[found, 0], spans[found, 2] = basis, number, character, line
                    found += 1
                    gap = False
            if not kinds[code] & SEPARATOR:
                value = hashes[found - 1]
                if gap:
                    value = (value ^ np.uint64(32)) * prime
                for byte in range(place, place + size):
                    value = (value ^ np.uint64(data[byte])) * prime
                hashes[found - 1] = value
                spans[found - 1, 1] = character + 1
                gap = False
            else:
                gap = True
            place += size
            character += 1
            if code == _NEW_LINE or place == bounds[text + 1]:
                for sentence in range(line_first, found):
                    spans[sentence, 3] = character
                line_first, line = found, character
                number += 1
                complete = False
        offsets[text + 1] = found


@numba.njit(cache=True, nogil=True)
def _cut(removed, spans, lines):  # type: ignore[no-untyped-def]  # numba infers
    """See `Units.cut`."""
    edits = np.empty((np.count_nonzero(removed), 2), np.int64)
    number = first = 0
    while first < len(lines):
        after = first
        while after < len(lines) and lines[after] == lines[first]:
            after += 1
        tail = after  # from here on every unit of the line goes
        while tail > first and removed[tail - 1]:
            tail -= 1
        for unit in range(first, after):
            if not removed[unit]:
                continue
            if unit >= tail > first:  # what ends the line goes, and something stays before it
                edits[number, 0], edits[number, 1] = spans[unit - 1, 1], spans[unit, 1]
            else:
                edits[number, 0] = spans[unit, 2] if unit == first and tail == first else spans[unit, 0]
                edits[number, 1] = spans[unit + 1, 0] if unit + 1 < after else spans[unit, 3]
            number += 1
        first = after
    return edits
