"""A batch of documents, and what it finds of their text once for every annotator of a pass.

A word is a run of characters between white space. What counts of it is its core: from its first to its last letter,
digit or mark. `"Hello,"` has the core `Hello`; `--` has none, it is a symbol word.

Documents mostly in scripts that are written without spaces (Chinese, Japanese, Thai, Lao, Khmer, Burmese, Tibetan) are
marked `unspaced`: their words are those that ICU's dictionaries find, punctuation apart.

Segments, which have punctuation and clitics apart in every script, are in `segments`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt
import polars as pl

from lakehouse.annotate.characters import CORE, LETTER, SPACE, UNSPACED, kinds
from lakehouse.unicode import Utf8, decode, lower_case, utf8

if TYPE_CHECKING:
    from lakehouse.annotate.languages import Languages
    from lakehouse.annotate.segmenting.segments import Segments

_HASH, _ELLIPSIS = ord("#"), ord("…")


@dataclass(frozen=True)
class Words:
    """The words of n documents as flat arrays: those of document d have the places offsets[d] to offsets[d + 1].

    Attributes:
        offsets: n + 1 places.
        lengths: characters of each word's core; 0 for a symbol word.
        whole_lengths: characters of each word.
        has_letter: whether a word has a letter.
        has_symbol: whether a word has a `#` or a `…`.
        hashes: 64-bit hash of each word's core in lower case; equal words have equal hashes on every machine.
        whole_hashes: 64-bit hash of each word as it is written.
        unspaced: for each document, whether most of its letters are of a script written without spaces.
    """

    offsets: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int32]
    whole_lengths: npt.NDArray[np.int32]
    has_letter: npt.NDArray[np.bool_]
    has_symbol: npt.NDArray[np.bool_]
    hashes: npt.NDArray[np.uint64]
    whole_hashes: npt.NDArray[np.uint64]
    unspaced: npt.NDArray[np.bool_]

    def total(self, of_words: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """Add up whole numbers, one a word, to one sum a document."""
        return total(of_words, self.offsets)


def total(values: npt.NDArray[Any], offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Add up whole numbers: sum d is of values[offsets[d] : offsets[d + 1]]."""
    sums = np.zeros(len(values) + 1, np.int64)
    np.cumsum(values, out=sums[1:])
    return np.diff(sums[offsets])


class Cuts(NamedTuple):
    """Where a segmenter cut: text t into pieces that end at the bytes ends[offsets[t] : offsets[t + 1]], if any."""

    ends: npt.NDArray[np.int64]
    offsets: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Batch:
    """Documents to measure: n rows with at least doc_id, text and language."""

    documents: pl.DataFrame

    @cached_property
    def utf8(self) -> Utf8:
        """The bytes of the texts."""
        return utf8(self.documents["text"])

    @cached_property
    def words(self) -> Words:
        """The words of the documents."""
        return find_words(self.utf8, self.cuts, self.unspaced)

    @cached_property
    def unspaced(self) -> npt.NDArray[np.bool_]:
        """For each document, whether most of its letters are of a script written without spaces."""
        unspaced: npt.NDArray[np.bool_] = _find_unspaced(*self.utf8, kinds())
        return unspaced

    @cached_property
    def cuts(self) -> Cuts:
        """Where ICU cuts the documents that are written without spaces."""
        return cut(self.documents["text"], self.utf8, self.unspaced)

    def spaced(self) -> pl.Series:
        """The texts, with a space between the words of those that are written without spaces."""
        texts, (data, bounds) = self.documents["text"].to_list(), self.utf8
        for place in np.flatnonzero(self.unspaced).tolist():
            ends = self.cuts.ends[self.cuts.offsets[place] : self.cuts.offsets[place + 1]]
            pieces = np.split(data[bounds[place] : bounds[place + 1]], ends[:-1] - bounds[place])
            texts[place] = " ".join(piece.tobytes().decode() for piece in pieces)
        return pl.Series("text", texts, dtype=pl.String)

    @cached_property
    def _segments(self) -> dict[Languages, Segments]:
        return {}

    def segments(self, languages: Languages) -> Segments:
        """The segments of the documents, found once for each table of languages."""
        from lakehouse.annotate.segmenting.segments import segment

        if languages not in self._segments:
            self._segments[languages] = segment(self, languages)
        return self._segments[languages]


def tokenise(texts: pl.Series) -> Words:
    """Find the words of n texts."""
    return Batch(texts.alias("text").to_frame()).words


def cut(texts: pl.Series, encoded: Utf8, which: npt.NDArray[np.bool_]) -> Cuts:
    """Cut the texts that are marked in `which` with ICU's rules and dictionaries for words."""
    if not which.any():
        return Cuts(np.zeros(0, np.int64), np.zeros(len(texts) + 1, np.int64))
    from icu4py.breakers import WordBreaker

    units: list[int] = []  # UTF-16 code units are what ICU counts
    offsets = np.zeros(len(texts) + 1, np.int64)
    for place in np.flatnonzero(which).tolist():
        units.extend(end for _, end in WordBreaker(texts[place], "en").segments())
        offsets[place + 1] = len(units)
    offsets = np.maximum.accumulate(offsets)
    return Cuts(_bytes_of_units(*encoded, np.array(units, np.int64), offsets), offsets)


def find_words(encoded: Utf8, cuts: Cuts, unspaced: npt.NDArray[np.bool_]) -> Words:
    """Find the words of n texts; the cuts of those that are unspaced end words too."""
    data, bounds = encoded
    # A word takes a byte and, except a text's last one, a space. Memory beyond the words found is never touched.
    most = (bounds[-1] - bounds[0]) // 2 + len(bounds) + len(cuts.ends)
    found: dict[str, npt.NDArray[Any]] = {
        "lengths": np.empty(most, np.int32),
        "whole_lengths": np.empty(most, np.int32),
        "has_letter": np.empty(most, np.bool_),
        "has_symbol": np.empty(most, np.bool_),
        "hashes": np.empty(most, np.uint64),
        "whole_hashes": np.empty(most, np.uint64),
    }
    offsets = np.zeros(len(bounds), np.int64)
    _tokenise(data, bounds, *cuts, kinds(), lower_case(), offsets, *found.values())
    return Words(offsets=offsets, unspaced=unspaced, **{name: array[: offsets[-1]] for name, array in found.items()})


@numba.njit(cache=True, nogil=True)
def _tokenise(  # type: ignore[no-untyped-def]  # numba infers
    data, bounds, cuts, cut_offsets, kinds, lower, offsets, lengths, whole, has_letter, has_symbol, hashes, whole_hashes
):
    """Fill `offsets` and what follows it from texts in UTF-8, of which text t is data[bounds[t] : bounds[t + 1]]."""
    word = 0
    for text in range(len(bounds) - 1):
        place = bounds[text]
        next_cut = cut_offsets[text]
        inside = False  # of a word
        length = core_length = whole_length = (
            0  # characters since the core began; of those, up to its last; of the word
        )
        running = core_hash = written = np.uint64(0)
        seen = np.uint32(0)
        symbol = False
        while place < bounds[text + 1]:
            at_cut = next_cut < cut_offsets[text + 1] and place == cuts[next_cut]
            next_cut += at_cut
            code, size = decode(data, place)
            place += size
            kind = kinds[code]
            if inside and (at_cut or kind & SPACE):
                lengths[word], whole[word], hashes[word], whole_hashes[word] = (
                    core_length, whole_length, core_hash, written,
                )  # fmt: skip
                has_letter[word], has_symbol[word] = seen & LETTER != 0, symbol
                word += 1
                inside = False
            if kind & SPACE:
                continue
            if not inside:
                inside = True
                length = core_length = whole_length = 0
                running = core_hash = written = np.uint64(0xCBF29CE484222325)  # FNV-1a over code points
                seen = np.uint32(0)
                symbol = False
            whole_length += 1
            written = (written ^ np.uint64(code)) * np.uint64(0x100000001B3)
            seen |= kind
            symbol |= code in (_HASH, _ELLIPSIS)
            if core_length or kind & CORE:
                length += 1
                running = (running ^ np.uint64(lower[code])) * np.uint64(0x100000001B3)
                if kind & CORE:
                    core_length, core_hash = length, running
        if inside:
            lengths[word], whole[word], hashes[word], whole_hashes[word] = (
                core_length, whole_length, core_hash, written,
            )  # fmt: skip
            has_letter[word], has_symbol[word] = seen & LETTER != 0, symbol
            word += 1
        offsets[text + 1] = word


@numba.njit(cache=True, nogil=True)
def _find_unspaced(data, bounds, kinds):  # type: ignore[no-untyped-def]  # numba infers
    """Whether most letters of each text are of a script written without spaces."""
    unspaced = np.zeros(len(bounds) - 1, np.bool_)
    for text in range(len(unspaced)):
        place = bounds[text]
        surplus = 0  # of letters of such scripts over others
        while place < bounds[text + 1]:
            code, size = decode(data, place)
            place += size
            kind = kinds[code]
            if kind & LETTER:
                surplus += 1 if kind & UNSPACED else -1
        unspaced[text] = surplus > 0
    return unspaced


@numba.njit(cache=True, nogil=True)
def _bytes_of_units(data, bounds, units, offsets):  # type: ignore[no-untyped-def]  # numba infers
    """The byte of each place in UTF-16 code units from its text's beginning."""
    places = np.empty(len(units), np.int64)
    for text in range(len(bounds) - 1):
        place = bounds[text]
        unit = 0
        for found in range(offsets[text], offsets[text + 1]):
            while unit < units[found]:
                code, size = decode(data, place)
                place += size
                unit += 2 if code > 0xFFFF else 1
            places[found] = place
    return places
