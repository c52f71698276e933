"""Segments: what a word tokenizer returns. Punctuation stands apart, and so do clitics: `don't!` is `do`, `n't`, `!`.

In scripts with spaces they are found by spaCy's rules (see `boundaries`) with the exceptions of `languages`; in scripts
without, by ICU's dictionaries, as words are.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from lakehouse.annotate.characters import (
    DIGIT,
    DOT_FOLLOWS,
    LETTER,
    PLAIN,
    PREFIX,
    PUNCTUATION,
    SEPARATOR,
    SUFFIX,
    SYMBOL,
    TERMINAL,
    kinds,
)
from lakehouse.annotate.segmenting.boundaries import LONGEST_EXCEPTION, MOST_JOINED, UNIT, hash_of, split
from lakehouse.annotate.words import total
from lakehouse.unicode import decode

if TYPE_CHECKING:
    from lakehouse.annotate.languages import Languages
    from lakehouse.annotate.words import Batch

LONGEST_RUN = 1 << 16
"""Characters without white space that are cut as one run; then the next begins, so that memory is bounded."""

HAS_LETTER, IS_SYMBOL, IS_PUNCTUATION, IS_TERMINAL, AFTER_GAP = 1, 2, 4, 8, 16
_UNITS = """
    km km² km³ m m² m³ dm dm² dm³ cm cm² cm³ mm mm² mm³ ha µm nm yd in ft kg g mg µg t lb oz m/s km/h kmh mph hPa Pa
    mbar mb MB kb KB gb GB tb TB T G M K % км км² км³ м м² м³ дм дм² дм³ см см² см³ мм мм² мм³ нм кг г мг м/с км/ч кПа
    Па мбар Кб КБ кб Мб МБ мб Гб ГБ гб Тб ТБ
"""

_DOT = ord(".")
_BASIS, _PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)


class Exceptions(NamedTuple):
    """An open-addressing table of words that are kept or taken apart; a key of 0 marks an empty slot.

    Attributes:
        keys: hash of each.
        owners: number of its language; 0: of every language; UNIT: a unit of measurement.
        pieces: lengths of its pieces in characters, a byte each, the first in the lowest.
        joined: into how many segments it would be cut if it were no exception.
        openings: for the lowest byte of a first character, as bits, the lengths of the exceptions that begin with it.
    """

    keys: npt.NDArray[np.uint64]
    owners: npt.NDArray[np.int16]
    pieces: npt.NDArray[np.int64]
    joined: npt.NDArray[np.int8]
    openings: npt.NDArray[np.uint32]


@dataclass(frozen=True)
class Segments:
    """The segments of n documents as flat arrays: those of document d have the places offsets[d] to offsets[d + 1].

    Attributes:
        offsets: n + 1 places.
        starts: byte where each begins, in the bytes of the batch.
        lengths: characters of each.
        hashes: 64-bit hash of each as it is written; equal segments have equal hashes on every machine.
        flags: sum of HAS_LETTER, IS_SYMBOL (only marks that make no word), IS_PUNCTUATION (only punctuation),
            IS_TERMINAL (one mark that ends a sentence) and AFTER_GAP (before it in its document is white space that is
            more than one space).
    """

    offsets: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int32]
    hashes: npt.NDArray[np.uint64]
    flags: npt.NDArray[np.uint8]

    def total(self, of_segments: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """Add up whole numbers, one a segment, to one sum a document."""
        return total(of_segments, self.offsets)


def segment(batch: Batch, languages: Languages) -> Segments:
    """Find the segments of a batch of documents."""
    data, bounds = batch.utf8
    owner = languages.numbers(batch.documents.get_column("language", default=None), len(bounds) - 1)
    # Each takes at least one byte. Memory beyond the segments found is never touched.
    most = int(bounds[-1] - bounds[0])
    found: dict[str, npt.NDArray[Any]] = {
        "starts": np.empty(most, np.int64),
        "lengths": np.empty(most, np.int32),
        "hashes": np.empty(most, np.uint64),
        "flags": np.empty(most, np.uint8),
    }
    offsets = np.zeros(len(bounds), np.int64)
    table = tuple(exceptions(languages))
    _segment(
        data, bounds, *batch.cuts, batch.unspaced, owner, languages.elides, kinds(), table, offsets, *found.values()
    )
    return Segments(offsets=offsets, **{name: array[: offsets[-1]] for name, array in found.items()})


@cache
def exceptions(languages: Languages) -> Exceptions:
    """The table of what the languages keep and take apart, and of units of measurement."""
    entries: dict[tuple[str, int], tuple[int, ...]] = {(unit, UNIT): (len(unit),) for unit in _UNITS.split()}
    for number, language in enumerate(languages.entries.values()):
        entries |= {(word, number): tuple(map(len, parts)) for word, parts in language.exceptions.items()}
    size = 1 << (4 * len(entries)).bit_length()
    table, nothing = _new_table(size), _new_table(1)
    for (word, owner), lengths in entries.items():
        codes = np.array([ord(character) for character in word], np.uint32)
        value = hash_of(codes, 0, len(codes))
        slot = int((value ^ value >> np.uint64(32)) & np.uint64(size - 1))
        while table.keys[slot]:
            slot = (slot + 1) % size
        scratch = np.zeros(len(codes), np.int64), np.zeros(len(codes), np.int64)
        cut = split(codes, kinds()[codes], len(codes), 0, False, *nothing, *scratch)
        table.keys[slot], table.owners[slot] = value, owner
        table.pieces[slot] = sum(length << 8 * place for place, length in enumerate(lengths))
        table.joined[slot] = cut if 1 < cut <= MOST_JOINED else 0
        if owner != UNIT:
            table.openings[codes[0] & 255] |= np.uint32(1 << len(codes))
    return table


def _new_table(size: int) -> Exceptions:
    return Exceptions(
        np.zeros(size, np.uint64),
        np.zeros(size, np.int16),
        np.zeros(size, np.int64),
        np.zeros(size, np.int8),
        np.zeros(256, np.uint32),
    )


@numba.njit(cache=True, nogil=True)
def _segment(  # type: ignore[no-untyped-def]  # numba infers
    data, bounds, cuts, cut_offsets, unspaced, owner, elides, kinds, table, offsets, starts, lengths, hashes, flags,
):  # fmt: skip
    """Fill `offsets` and what follows it from texts in UTF-8, of which text t is data[bounds[t] : bounds[t + 1]]."""
    scratch = new_scratch(LONGEST_RUN)
    out = (starts, lengths, hashes, flags)
    for text in range(len(bounds) - 1):
        own_cuts = cuts[cut_offsets[text] : cut_offsets[text + 1]]
        language = (owner[text], elides[owner[text]], unspaced[text])
        offsets[text + 1] = segment_text(
            data, bounds[text], bounds[text + 1], own_cuts, language, kinds, table, scratch, offsets[text], out
        )


@numba.njit(cache=True, nogil=True)
def segment_text(data, begin, end, cuts, language, kinds, table, scratch, found, out):  # type: ignore[no-untyped-def]
    """Write the segments of data[begin : end] to the arrays `out` from place `found` on.

    Args:
        cuts: the bytes where a segmenter cut an unspaced text.
        language: its number, whether it elides, whether the text is unspaced.
        table: the arrays of Exceptions.
        scratch: room for the longest run.
        out: the arrays of Segments, without offsets.

    Returns:
        The place after the last one.
    """
    owner, _, unspaced = language
    keys, owners, _, _, openings = table
    starts, lengths, hashes, flags = out
    place = begin
    next_cut = spaces = 0
    other = False
    while place < end:
        code, size = decode(data, place)
        if kinds[code] & SEPARATOR:
            other |= code != 32
            spaces += 1
            place += size
            continue
        stop = end
        if unspaced:
            while next_cut < len(cuts) and cuts[next_cut] <= place:
                next_cut += 1
            stop = cuts[next_cut] if next_cut < len(cuts) else end
        # White space is a token of its own, except one space between two others.
        gap = AFTER_GAP if other or spaces > 1 or (spaces == 1 and place - 1 == begin) else 0
        spaces = length = plain = digits = 0
        other = False
        run = second_start = last_start = place
        first = second = last = code
        first_kind = kind_before = kind = kinds[code]
        letter = np.uint32(0)
        # Hashes of the run and of what follows a mark at its beginning, and both without the last character.
        whole = inner = short_whole = short_inner = _BASIS
        while place < stop and length < LONGEST_RUN:
            code, size = decode(data, place)
            if kinds[code] & SEPARATOR:
                break
            kind_before, kind, last, last_start = kind, kinds[code], code, place
            short_whole, short_inner = whole, inner
            whole = (whole ^ np.uint64(code)) * _PRIME
            if length or kind & (PLAIN | DIGIT):
                inner = (inner ^ np.uint64(code)) * _PRIME
            if length == 1:
                second, second_start = code, place
            plain += kind & PLAIN != 0
            digits += kind & DIGIT != 0
            letter |= kind & LETTER
            length += 1
            place += size
        edges = (first, first_kind, second, second_start, last, kind, last_start, kind_before)
        values = (whole, inner, short_whole, short_inner)
        if unspaced or not _is_simple(length, max(plain, digits), edges, values, owner, keys, owners, openings):
            found = _segment_run(data, run, length, gap, language, kinds, table, scratch, found, out)
        else:
            found = _write_simple(run, length, letter, edges, values, gap, found, starts, lengths, hashes, flags)
    return found


@numba.njit(cache=True, nogil=True, inline="always")
def _is_simple(length, inside, edges, values, owner, keys, owners, openings):  # type: ignore[no-untyped-def]  # numba infers
    """Whether the run is letters or digits with at most one mark before and one after them, and no exception."""
    first, first_kind, second, _, last, kind, _, kind_before = edges
    front = 0 if first_kind & (PLAIN | DIGIT) else 1
    back = 0 if kind & (PLAIN | DIGIT) else 1
    middle = length - front - back
    simple = 0 < middle == inside and (front == 0 or first_kind & PREFIX != 0)
    ends = back == 0 or kind & SUFFIX != 0 or (last == _DOT and kind_before & DOT_FOLLOWS != 0)
    if simple and ends:
        simple = not _is_exception(first, length, values[0], owner, keys, owners, openings)
        if front and simple:
            simple = not _is_exception(second, length - 1, values[1], owner, keys, owners, openings)
        if back and simple:
            simple = not _is_exception(first, length - 1, values[2], owner, keys, owners, openings)
        if front and back and simple:
            simple = not _is_exception(second, middle, values[3], owner, keys, owners, openings)
    return simple and ends


@numba.njit(cache=True, nogil=True, inline="always")
def _is_exception(first, length, value, owner, keys, owners, openings):  # type: ignore[no-untyped-def]  # numba infers
    """Whether `length` characters that begin with `first` and have the hash `value` are in the table."""
    known = False
    if length <= LONGEST_EXCEPTION and openings[first & 255] >> length & 1:
        mask = np.uint64(len(keys) - 1)
        slot = (value ^ value >> np.uint64(32)) & mask
        while keys[slot] != 0 and not known:
            known = keys[slot] == value and (owners[slot] == owner or owners[slot] == 0)
            slot = (slot + np.uint64(1)) & mask
    return known


@numba.njit(cache=True, nogil=True, inline="always")
def _write_simple(run, length, letter, edges, values, gap, found, starts, lengths, hashes, flags):  # type: ignore[no-untyped-def]  # numba infers
    """Write a simple run's one to three segments; return the place after the last."""
    first, first_kind, _, second_start, last, kind, last_start, _ = edges
    front = 0 if first_kind & (PLAIN | DIGIT) else 1
    back = 0 if kind & (PLAIN | DIGIT) else 1
    if front:
        starts[found], lengths[found] = run, 1
        hashes[found] = (_BASIS ^ np.uint64(first)) * _PRIME
        flags[found] = _flags(first_kind, first_kind, 1) | gap
        found += 1
    starts[found], lengths[found] = second_start if front else run, length - front - back
    hashes[found] = values[3] if back else values[1]
    flags[found] = (HAS_LETTER if letter else 0) | (0 if front else gap)
    found += 1
    if back:
        starts[found], lengths[found] = last_start, 1
        hashes[found] = (_BASIS ^ np.uint64(last)) * _PRIME
        flags[found] = _flags(kind, kind, 1)
        found += 1
    return found


@numba.njit(cache=True, nogil=True)
def _segment_run(data, place, length, gap, language, kinds, table, scratch, found, out):  # type: ignore[no-untyped-def]
    """Write the segments of a run of characters without white space; return the place after the last."""
    owner, elision, unspaced = language
    keys, owners, pieces, joined, openings = table
    codes, marks, ends, tail, places = scratch
    starts, lengths, hashes, flags = out
    for character in range(length):
        code, size = decode(data, place)
        codes[character], marks[character], places[character] = code, kinds[code], place
        place += size
    if unspaced:
        ends[0], count = length, 1
    else:
        count = split(codes, marks, length, owner, elision, keys, owners, pieces, joined, openings, ends, tail)
    start = 0
    for segment in range(count):
        union, common = np.uint32(0), np.uint32(0xFFFFFFFF)
        for character in range(start, ends[segment]):
            union |= marks[character]
            common &= marks[character]
        starts[found], hashes[found] = places[start], hash_of(codes, start, ends[segment])
        lengths[found] = ends[segment] - start
        flags[found] = _flags(union, common, ends[segment] - start) | gap
        gap = 0
        start = ends[segment]
        found += 1
    return found


@numba.njit(cache=True, nogil=True)
def new_scratch(size):  # type: ignore[no-untyped-def]  # numba infers
    """Room for a run: code points, kinds, ends and tails of segments, and the byte of each character."""
    return (
        np.empty(size, np.uint32),
        np.empty(size, np.uint32),
        np.empty(size, np.int64),
        np.empty(size, np.int64),
        np.empty(size, np.int64),
    )


@numba.njit(cache=True, nogil=True)
def _flags(union, common, length):  # type: ignore[no-untyped-def]  # numba infers
    found = HAS_LETTER if union & LETTER else 0
    found |= IS_SYMBOL if common & SYMBOL else 0
    found |= IS_PUNCTUATION if common & PUNCTUATION else 0
    return found | (IS_TERMINAL if length == 1 and common & TERMINAL else 0)
