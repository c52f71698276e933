"""Repeated lines, paragraphs and n-grams, in two ways that peers count them.

*Duplicate* is what stood before: the first occurrence is not counted (DataTrove). *Repeated* is what occurs more than
once: the first occurrence is counted too (the paper, Dolma, DCLM).

Source: Rae et al., Scaling Language Models: Methods, Analysis & Insights from Training Gopher, appendix A1.1.
"""

from __future__ import annotations

import numba
import numpy as np
import polars as pl
import pyarrow as pa

from lakehouse.annotate.characters import SEPARATOR, kinds
from lakehouse.annotate.languages import Languages
from lakehouse.annotate.words import Batch
from lakehouse.unicode import decode

TOP, ALL = (2, 3, 4), (5, 6, 7, 8, 9, 10)
"""Lengths of the n-grams of which the most frequent one is measured, and of those of which all repeated ones are."""

_PIECES = ("paragraphs", "paragraph_characters", "lines", "line_characters")
_NAMES = (
    *(f"duplicate_{piece}" for piece in _PIECES),
    *(f"top_{n}_gram" for n in TOP),
    *(f"duplicate_{n}_grams" for n in ALL),
    *(f"repeated_{piece}" for piece in _PIECES),
    *(f"most_common_{n}_gram" for n in TOP),
    *(f"repeated_{n}_grams" for n in ALL),
)
REPETITION_COLUMNS = tuple(pa.field(name, pa.float64()) for name in _NAMES)

_NEW_LINE = ord("\n")


def measure_repetition(batch: Batch, languages: Languages) -> pl.DataFrame:
    """Measure how much of n documents repeats itself.

    Lines end at newlines, paragraphs at two or more; those of white space are none, and white space around the text is
    in no paragraph. n-grams are of segments as they are written where they are duplicate, of words as they are written
    where they are repeated.

    Returns:
        n rows of shares, null where there is nothing to measure.
        duplicate_paragraphs, duplicate_lines: paragraphs and lines that stood before, per paragraph and line; their
        characters (…_characters) per character of the text.
        top_2_gram to top_4_gram: characters of the most frequent n-gram (of the first of several), with a space between
        its segments, times its number, per character of the text.
        duplicate_5_grams to duplicate_10_grams: characters of the n-grams that stood before, taken from the beginning
        without overlap, per character of the text.
        repeated_paragraphs, repeated_lines: paragraphs and lines that occur more than once; their characters
        (…_characters) per character of all paragraphs and lines.
        most_common_2_gram to most_common_4_gram: characters of the most frequent n-gram (of the longest of several),
        times its number, per character of the words; 0 where every n-gram occurs once. More than 1 where it overlaps
        itself.
        repeated_5_grams to repeated_10_grams: characters of words in n-grams that occur more than once, each counted
        once, per character of the words.
    """
    words, segments = batch.words, batch.segments(languages)
    shares = np.full((len(batch.unspaced), len(_NAMES)), np.nan)
    _measure_pieces(*batch.utf8, kinds(), shares[:, 0:4], shares[:, 13:17])
    characters = batch.documents["text"].str.len_chars().cast(pl.Int64).to_numpy()
    most = max(int(np.diff(words.offsets).max(initial=0)), int(np.diff(segments.offsets).max(initial=0)))
    table = _new_table(most)
    _measure_segments(segments.hashes, segments.lengths, segments.offsets, characters, table, shares[:, 4:13])
    _measure_words(words.whole_hashes, words.whole_lengths, words.offsets, table, shares[:, 17:26])
    return pl.DataFrame(shares, schema=list(_NAMES), orient="row", nan_to_null=True)


@numba.njit(cache=True, nogil=True)
def _new_table(most):  # type: ignore[no-untyped-def]  # numba infers
    """A hash table for up to `most` different keys: keys, round in which each slot was filled, count, first and sum."""
    size = 64
    while size < 2 * most:
        size *= 2
    return (
        np.zeros(size, np.uint64),
        np.zeros(size, np.int64),
        np.zeros(size, np.int32),
        np.zeros(size, np.int32),
        np.zeros(1, np.int64),
    )


@numba.njit(cache=True, nogil=True, inline="always")
def _slot(value, keys, rounds, now, mask):  # type: ignore[no-untyped-def]  # numba infers
    """Where `value` is, or is to be put."""
    slot = (value ^ value >> np.uint64(29)) & mask
    while rounds[slot] == now and keys[slot] != value:
        slot = (slot + np.uint64(1)) & mask
    return slot


@numba.njit(cache=True, nogil=True, inline="always")
def _mask(number, size):  # type: ignore[no-untyped-def]  # numba infers
    """The least table that holds `number` keys well: short texts stay in the fastest memory."""
    mask = 63
    while mask < 2 * number and mask < size - 1:
        mask = 2 * mask + 1
    return np.uint64(mask)


@numba.njit(cache=True, nogil=True)
def _mixed(hashes, first, end, grams):  # type: ignore[no-untyped-def]  # numba infers
    """Fill `grams` with the hashes of 1-grams, spread over all bits so that sums of them tell n-grams apart."""
    for place in range(first, end):
        value = hashes[place]
        value = (value ^ value >> np.uint64(33)) * np.uint64(0xFF51AFD7ED558CCD)
        value = (value ^ value >> np.uint64(33)) * np.uint64(0xC4CEB9FE1A85EC53)
        grams[place - first] = value ^ value >> np.uint64(33)


@numba.njit(cache=True, nogil=True)
def _measure_segments(hashes, lengths, offsets, characters, table, shares):  # type: ignore[no-untyped-def]
    """Fill shares with top_2_gram … duplicate_10_grams."""
    keys, rounds, counts, firsts, clock = table
    most = len(keys) // 2
    ones, grams, ends = np.empty(most, np.uint64), np.empty(most, np.uint64), np.zeros(most + 1, np.int64)
    for document in range(len(offsets) - 1):
        if not characters[document]:
            continue
        shares[document] = 0
        first, end = offsets[document], offsets[document + 1]
        number = end - first
        _mixed(hashes, first, end, ones)
        grams[:number] = ones[:number]
        for place in range(number):
            ends[place + 1] = ends[place] + lengths[first + place]
        mask = _mask(number, len(keys))
        unique = False  # every shorter n-gram occurs once, so every longer one does
        for n in range(2, 11):
            if number < n:
                break
            for place in range(number - n + 1):
                grams[place] = grams[place] * np.uint64(0x9E3779B97F4A7C15) + ones[place + n - 1]
            clock[0] += 1
            if n <= 4:
                count, place = (
                    (1, 0)
                    if unique
                    else _most_frequent(grams, number - n + 1, keys, rounds, counts, firsts, clock, mask)
                )
                unique = count == 1
                taken = count * (ends[place + n] - ends[place] + n - 1)
            else:
                taken = 0 if unique else _duplicate(grams, number, n, ends, keys, rounds, clock, mask)
                unique = taken == 0
                if unique:
                    break
            shares[document, n - 2] = taken / characters[document]


@numba.njit(cache=True, nogil=True)
def _most_frequent(grams, number, keys, rounds, counts, firsts, clock, mask):  # type: ignore[no-untyped-def]
    """How often the most frequent of the n-grams is there, and where it is first; of several the first one."""
    now = clock[0]
    most = best = 0
    for place in range(number):
        slot = _slot(grams[place], keys, rounds, now, mask)
        if rounds[slot] != now:
            rounds[slot], keys[slot], counts[slot], firsts[slot] = now, grams[place], 0, place
        counts[slot] += 1
        if counts[slot] > most or (counts[slot] == most and firsts[slot] < best):
            most, best = counts[slot], firsts[slot]
    return most, best


@numba.njit(cache=True, nogil=True)
def _duplicate(grams, number, n, ends, keys, rounds, clock, mask):  # type: ignore[no-untyped-def]
    """Characters of the n-grams that stood before, taken from the beginning without overlap."""
    now = clock[0]
    taken = place = 0
    while place <= number - n:
        slot = _slot(grams[place], keys, rounds, now, mask)
        if rounds[slot] == now:
            taken += ends[place + n] - ends[place]
            place += n
        else:
            rounds[slot], keys[slot] = now, grams[place]
            place += 1
    return taken


@numba.njit(cache=True, nogil=True)
def _measure_words(hashes, lengths, offsets, table, shares):  # type: ignore[no-untyped-def]
    """Fill shares with most_common_2_gram … repeated_10_grams."""
    keys, rounds, counts, _, clock = table
    most = len(keys) // 2
    ones, grams, ends = np.empty(most, np.uint64), np.empty(most, np.uint64), np.zeros(most + 1, np.int64)
    slots = np.empty(most, np.int64)
    for document in range(len(offsets) - 1):
        first, end = offsets[document], offsets[document + 1]
        number = end - first
        if not number:
            continue
        shares[document] = 0
        _mixed(hashes, first, end, ones)
        grams[:number] = ones[:number]
        for place in range(number):
            ends[place + 1] = ends[place] + lengths[first + place]
        mask = _mask(number, len(keys))
        for n in range(2, 11):
            if number < n:
                break
            for place in range(number - n + 1):
                grams[place] = grams[place] * np.uint64(0x9E3779B97F4A7C15) + ones[place + n - 1]
            clock[0] += 1
            highest, longest = _count(grams, number, n, ends, keys, rounds, counts, slots, clock, mask)
            if highest == 1:
                break
            if n <= 4:
                taken = highest * longest
            else:
                taken = done = 0  # characters; segments up to which they are taken
                for place in range(number - n + 1):
                    if counts[slots[place]] > 1:
                        taken += ends[place + n] - ends[max(place, done)]
                        done = place + n
            shares[document, n - 2] = taken / ends[number]


@numba.njit(cache=True, nogil=True)
def _count(grams, number, n, ends, keys, rounds, counts, slots, clock, mask):  # type: ignore[no-untyped-def]
    """Count the n-grams; return how often the most frequent is there, and the characters of the longest of those."""
    now = clock[0]
    highest = longest = 0
    for place in range(number - n + 1):
        slot = _slot(grams[place], keys, rounds, now, mask)
        if rounds[slot] != now:
            rounds[slot], keys[slot], counts[slot] = now, grams[place], 0
        counts[slot] += 1
        slots[place] = slot
        length = ends[place + n] - ends[place]
        if counts[slot] > highest:
            highest, longest = counts[slot], length
        elif counts[slot] == highest:
            longest = max(longest, length)
    return highest, longest


@numba.njit(cache=True, nogil=True)
def _measure_pieces(data, bounds, kinds, duplicate, repeated):  # type: ignore[no-untyped-def]
    """Fill duplicate and repeated with the shares of paragraphs and lines, as _PIECES names them."""
    room = (np.empty(256, np.uint64), np.empty(256, np.int64), np.empty(256, np.uint64), np.empty(256, np.int64))
    table = _new_table(256)
    for text in range(len(bounds) - 1):
        paragraphs, lines, characters, room = _pieces(data, bounds[text], bounds[text + 1], kinds, room)
        if 2 * max(paragraphs, lines) > len(table[0]):
            table = _new_table(max(paragraphs, lines))
        if lines:
            hashes, lengths, line_hashes, line_lengths = room
            _shares(hashes, lengths, paragraphs, characters, table, duplicate[text], repeated[text], 0)
            _shares(line_hashes, line_lengths, lines, characters, table, duplicate[text], repeated[text], 2)


@numba.njit(cache=True, nogil=True)
def _shares(hashes, lengths, number, characters, table, duplicate, repeated, column):  # type: ignore[no-untyped-def]
    """Count equal pieces, and divide them and their characters by all."""
    keys, rounds, counts, _, clock = table
    mask = _mask(number, len(keys))
    clock[0] += 1
    now = clock[0]
    copies = copied = total = again = again_characters = 0
    for place in range(number):
        value = hashes[place] * np.uint64(0x9E3779B97F4A7C15)
        slot = _slot(value, keys, rounds, now, mask)
        if rounds[slot] != now:
            rounds[slot], keys[slot], counts[slot] = now, value, 0
        elif counts[slot] >= 1:
            copies += 1
            copied += lengths[place]
            first = counts[slot] == 1  # equal pieces are of equal length
            again += 2 if first else 1
            again_characters += (2 if first else 1) * lengths[place]
        counts[slot] += 1
        total += lengths[place]
    duplicate[column], duplicate[column + 1] = copies / number, copied / characters
    repeated[column], repeated[column + 1] = again / number, again_characters / total


@numba.njit(cache=True, nogil=True)
def _pieces(data, place, end, kinds, room):  # type: ignore[no-untyped-def]
    """Find the paragraphs and lines of one text: their numbers, its characters, and room with hashes and lengths."""
    paragraphs = lines = characters = 0
    hashes, lengths, line_hashes, line_lengths = room
    basis = np.uint64(0xCBF29CE484222325)
    # Of a paragraph: its hash and length, those up to its last visible character, newlines since the last line.
    hash_, length, seen_hash, seen_length, breaks = basis, 0, basis, 0, 0
    last_hash, last_length = basis, 0
    line_hash, line_length, blank = basis, 0, True
    begun = False  # a visible character was seen in the text
    while True:
        at_end = place >= end
        code, size = (np.uint32(_NEW_LINE), 0) if at_end else decode(data, place)
        place += size
        characters += not at_end
        if code == _NEW_LINE:
            if not blank:
                if lines == len(line_hashes):
                    room = _grown(room)
                    hashes, lengths, line_hashes, line_lengths = room
                line_hashes[lines], line_lengths[lines] = line_hash, line_length
                lines += 1
            line_hash, line_length, blank = basis, 0, True
            breaks += 1
            if at_end:
                if not seen_length:  # white space ends the text: what it follows is the last paragraph
                    paragraphs = max(paragraphs - 1, 0)
                    seen_hash, seen_length = last_hash, last_length
                hashes[paragraphs], lengths[paragraphs] = seen_hash, seen_length
                return paragraphs + begun, lines, characters, room
            continue
        visible = not kinds[code] & SEPARATOR
        value = np.uint64(code)
        line_hash = (line_hash ^ value) * np.uint64(0x100000001B3)
        line_length += 1
        blank &= not visible
        if breaks > 1 and begun:
            if seen_length:
                hashes[paragraphs], lengths[paragraphs] = hash_, length
                last_hash, last_length = seen_hash, seen_length
                paragraphs += 1
            hash_, length, seen_length = basis, 0, 0
        elif breaks == 1 and begun:
            hash_ = (hash_ ^ np.uint64(_NEW_LINE)) * np.uint64(0x100000001B3)
            length += 1
        breaks = 0
        begun |= visible
        if begun:
            hash_ = (hash_ ^ value) * np.uint64(0x100000001B3)
            length += 1
            if visible:
                seen_hash, seen_length = hash_, length


@numba.njit(cache=True, nogil=True)
def _grown(room):  # type: ignore[no-untyped-def]
    """The same in arrays of twice the size."""
    hashes, lengths, line_hashes, line_lengths = room
    size = 2 * len(hashes)
    larger = (np.empty(size, np.uint64), np.empty(size, np.int64), np.empty(size, np.uint64), np.empty(size, np.int64))
    larger[0][: len(hashes)] = hashes
    larger[1][: len(hashes)] = lengths
    larger[2][: len(hashes)] = line_hashes
    larger[3][: len(hashes)] = line_lengths
    return larger
