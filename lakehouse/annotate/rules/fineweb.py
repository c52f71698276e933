"""The statistics that FineWeb's quality rules look at.

Source: Penedo et al., The FineWeb Datasets: Decanting the Web for the Finest Text Data at Scale.
"""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from lakehouse.annotate.characters import SEPARATOR, TERMINAL, kinds
from lakehouse.annotate.languages import Languages
from lakehouse.annotate.words import Batch
from lakehouse.unicode import decode

FINEWEB_COLUMNS = (
    pa.field("punctuated_lines", pa.float64()),
    pa.field("short_lines", pa.float64()),
    pa.field("duplicate_characters", pa.float64()),
    pa.field("newlines_per_segment", pa.float64()),
)

_NEW_LINE = ord("\n")
_SHORT = 30


def measure_fineweb(batch: Batch, languages: Languages) -> pl.DataFrame:
    """Measure FineWeb's statistics of n documents.

    Lines end at newlines; those of white space are none. Terminal punctuation is Unicode's, and what the table of
    languages names beside it.

    Returns:
        n rows, null without lines: punctuated_lines (share of lines whose last character is terminal punctuation),
        short_lines (share of lines of 30 characters or fewer), duplicate_characters (characters of lines that stood
        before, per character that is no newline), newlines_per_segment.
    """
    segments = batch.segments(languages)
    numbers = languages.numbers(batch.documents["language"], len(batch.unspaced))
    shares = np.full((len(numbers), len(FINEWEB_COLUMNS)), np.nan)
    _measure(*batch.utf8, kinds(), numbers, *marks(languages), np.diff(segments.offsets), shares)
    return pl.DataFrame(shares, schema=[field.name for field in FINEWEB_COLUMNS], orient="row", nan_to_null=True)


def marks(languages: Languages) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64]]:
    """The terminal punctuation of each language beside Unicode's, one after the other, and where each begins."""
    listed = [one.terminal for one in languages.entries.values()]
    return np.array([ord(mark) for mark in "".join(listed)], np.uint32), np.cumsum([0, *map(len, listed)])


@numba.njit(cache=True, nogil=True)
def _measure(data, bounds, kinds, numbers, marks, mark_bounds, n_segments, shares):  # type: ignore[no-untyped-def]
    keys, rounds = np.zeros(256, np.uint64), np.zeros(256, np.int64)
    for text in range(len(numbers)):
        own = marks[mark_bounds[numbers[text]] : mark_bounds[numbers[text] + 1]]
        lines = punctuated = short = newlines = characters = copied = 0
        place, end = bounds[text], bounds[text + 1]
        value, length, blank, ends = np.uint64(0xCBF29CE484222325), 0, True, False
        filled = 0
        while True:
            at_end = place >= end
            code, size = (np.uint32(_NEW_LINE), 0) if at_end else decode(data, place)
            place += size
            if code != _NEW_LINE:
                kind = kinds[code]
                value = (value ^ np.uint64(code)) * np.uint64(0x100000001B3)
                length += 1
                blank = blank and kind & SEPARATOR != 0
                ends = kind & TERMINAL != 0
                for mark in own:
                    ends |= code == mark
                continue
            characters += length
            newlines += not at_end
            if not blank:
                lines += 1
                punctuated += ends
                short += length <= _SHORT
                if 2 * filled >= len(keys):
                    keys, rounds = _grown(keys, rounds, text + 1)
                if _seen(value, keys, rounds, text + 1):
                    copied += length
                else:
                    filled += 1
            value, length, blank, ends = np.uint64(0xCBF29CE484222325), 0, True, False
            if at_end:
                break
        if lines:
            shares[text, 0], shares[text, 1] = punctuated / lines, short / lines
            shares[text, 2], shares[text, 3] = copied / characters, newlines / n_segments[text]


@numba.njit(cache=True, nogil=True)
def _seen(value, keys, rounds, now):  # type: ignore[no-untyped-def]
    """Whether the value is in the table of this round; if not, put it there."""
    mask = np.uint64(len(keys) - 1)
    slot = (value ^ value >> np.uint64(32)) & mask
    while rounds[slot] == now:
        if keys[slot] == value:
            return True
        slot = (slot + np.uint64(1)) & mask
    keys[slot], rounds[slot] = value, now
    return False


@numba.njit(cache=True, nogil=True)
def _grown(keys, rounds, now):  # type: ignore[no-untyped-def]
    """The table of this round in arrays of four times the size."""
    larger, larger_rounds = np.zeros(4 * len(keys), np.uint64), np.zeros(4 * len(keys), np.int64)
    for slot in range(len(keys)):
        if rounds[slot] == now:
            _seen(keys[slot], larger, larger_rounds, now)
    return larger, larger_rounds
