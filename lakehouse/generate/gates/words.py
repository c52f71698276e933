"""The words of texts as flat arrays: what every measure of words begins with.

A word is a run of letters, marks and digits, in lower case; in scripts that put no space between words (Chinese,
Japanese, Thai, Lao, Khmer, Burmese) each character is one. Texts are in NFC.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numba
import numpy as np
import numpy.typing as npt
import polars as pl

from lakehouse.generate.gates.unspaced import UNSPACED_SCRIPTS
from lakehouse.unicode import CODE_POINTS, decode, every_character, lower_case, utf8

# Marks of a word.
CAPITAL = 1  # it begins with a capital and has two characters or more
SMALL = 2  # it begins with a small letter
SHOUTED = 4  # two letters or more, all of them capitals
MIXED = 8  # letters with digits, or a capital after a small letter
BEGINS = 16  # a sentence or a line begins with it
APART = 32  # more than a space, a hyphen or a full stop stands between it and the word before

# Kinds of a character.
_WORD, _UNSPACED, _UPPER, _LOWER, _DIGIT, _END, _JOINS = 1, 2, 4, 8, 16, 32, 64
_KINDS = {
    _WORD: r"^[\p{L}\p{M}\p{N}]$",
    _UNSPACED: rf"^[[{UNSPACED_SCRIPTS}]&&[\p{{L}}\p{{M}}\p{{N}}]]$",
    _UPPER: r"^\p{Lu}$",
    _LOWER: r"^\p{Ll}$",
    _DIGIT: r"^\p{Nd}$",
    _END: r"^[\n\r\x{85}\x{2028}\x{2029}.!?…。！？։؟۔।:;\"“„«»”|•]$",
    _JOINS: r"^[ \x{A0}\-‐.'’]$",
}
_FULL_STOP = ord(".")
_SHORT = 3  # a full stop after a capitalised word of so many characters is that of an abbreviation
_PREFIX = 5  # characters of a name that its inflected forms share

# Up to here every character is its own normal form.
_NORMAL = r"[^\x{0}-\x{2FF}]"


@dataclass(frozen=True)
class Words:
    """The words of n texts; those of text t have the places offsets[t] to offsets[t + 1].

    Attributes:
        offsets: n + 1 places.
        hashes: 64-bit hash of each word in lower case.
        prefixes: the same of its first five characters.
        marks: CAPITAL, SMALL, SHOUTED, MIXED, BEGINS, APART.
    """

    offsets: npt.NDArray[np.int64]
    hashes: npt.NDArray[np.uint64]
    prefixes: npt.NDArray[np.uint64]
    marks: npt.NDArray[np.uint8]

    @property
    def counts(self) -> npt.NDArray[np.int64]:
        """How many words each text has."""
        return np.diff(self.offsets)


def normal_form(texts: pl.Series) -> pl.Series:
    """The texts in NFC, "" where there is none."""
    texts = texts.cast(pl.String).fill_null("")
    unsure = texts.str.contains(_NORMAL)
    if not unsure.any():
        return texts
    return texts.to_frame("text").select(pl.when(unsure).then(pl.col("text").str.normalize("NFC")).otherwise("text"))[
        "text"
    ]


def find_words(texts: pl.Series) -> Words:
    """Find the words of n texts that are in NFC and not null (see `normal_form`)."""
    data, bounds = utf8(texts)
    most = int(bounds[-1] - bounds[0])  # memory beyond the words found is never touched
    hashes, prefixes = np.empty(most, np.uint64), np.empty(most, np.uint64)
    marks = np.empty(most, np.uint8)
    offsets = np.zeros(len(bounds), np.int64)
    _find(data, bounds, _kinds(), lower_case(), offsets, hashes, prefixes, marks)
    found = offsets[-1]
    return Words(offsets, hashes[:found], prefixes[:found], marks[:found])


@cache
def _kinds() -> npt.NDArray[np.uint8]:
    code_points, characters = every_character()
    kinds = np.zeros(CODE_POINTS, np.uint8)
    for kind, expression in _KINDS.items():
        kinds[code_points[characters.str.contains(expression).to_numpy()]] |= kind
    return kinds


@numba.njit(cache=True, nogil=True)
def _find(data, bounds, kinds, lower, offsets, hashes, prefixes, marks):  # type: ignore[no-untyped-def]
    """Fill `offsets` and what follows it from texts in UTF-8, of which text t is data[bounds[t] : bounds[t + 1]]."""
    basis, prime = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)  # FNV-1a over code points
    word = 0
    for text in range(len(bounds) - 1):
        place, end = bounds[text], bounds[text + 1]
        begins, apart, length = True, True, 0
        seen, mark, before = 0, 0, 0
        hash_ = prefix = basis
        while place <= end:
            if place < end:
                code, size = decode(data, place)
                kind = kinds[code]
            else:
                code, size, kind = np.uint32(0), 1, np.uint8(0)
            if length and (not kind & _WORD or kind & _UNSPACED or seen & _UNSPACED):
                shouts = length > 1 and seen & _UPPER and not seen & (_LOWER | _DIGIT)
                if shouts:
                    mark |= SHOUTED
                if seen & _DIGIT and seen & (_UPPER | _LOWER):
                    mark |= MIXED
                if length == 1:
                    mark &= ~CAPITAL
                mark |= (BEGINS if begins else 0) | (APART if apart else 0)
                hashes[word], prefixes[word], marks[word] = hash_, prefix, mark
                word += 1
                begins = apart = False
                before = length if mark & (CAPITAL | SHOUTED) or (length == 1 and seen & _UPPER) else _SHORT + 1
                length = 0
            if kind & _WORD:
                if not length:
                    seen, hash_, prefix = 0, basis, basis
                    mark = CAPITAL if kind & _UPPER else SMALL if kind & _LOWER else 0
                if kind & _UPPER and seen & _LOWER:
                    mark |= MIXED
                seen |= kind
                length += 1
                hash_ = (hash_ ^ np.uint64(lower[code])) * prime
                if length <= _PREFIX:
                    prefix = hash_
            else:
                if kind & _END and not (code == _FULL_STOP and before <= _SHORT):
                    begins = True
                apart |= not kind & _JOINS
            place += size
        offsets[text + 1] = word
