"""A batch of documents and its words, found once and shared by every annotator of a pass.

A word is a run of characters between white space. What counts of it is its core: from its first to its last letter,
digit or mark. `"Hello,"` has the core `Hello`; `--` has none, it is a symbol word.

Scripts that are written without spaces (Chinese, Japanese, Thai, Lao, Khmer, Burmese, Tibetan) need a segmenter, which
is not here yet: documents mostly in them are marked `unspaced`, and annotators measure nothing of their words.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

_SPACE, _CORE, _LETTER, _UNSPACED = 1, 2, 4, 8
_CLASSES = {
    _SPACE: r"\s",
    _CORE: r"[\p{L}\p{M}\p{N}]",
    _LETTER: r"\p{L}",
    _UNSPACED: r"[[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}]&&\p{L}]",
}
_CODE_POINTS = 0x110000


@dataclass(frozen=True)
class Words:
    """The words of n documents as flat arrays: those of document d have the places offsets[d] to offsets[d + 1].

    Attributes:
        offsets: n + 1 places.
        lengths: characters of each word's core; 0 for a symbol word.
        has_letter: whether a word has a letter.
        hashes: 64-bit hash of each word's core in lower case; equal words have equal hashes on every machine.
        unspaced: for each document, whether most of its letters are of a script written without spaces.
    """

    offsets: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int32]
    has_letter: npt.NDArray[np.bool_]
    hashes: npt.NDArray[np.uint64]
    unspaced: npt.NDArray[np.bool_]

    def total(self, of_words: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """Add up whole numbers, one a word, to one sum a document."""
        sums = np.zeros(len(of_words) + 1, np.int64)
        np.cumsum(of_words, out=sums[1:])
        return np.diff(sums[self.offsets])


@dataclass(frozen=True)
class Batch:
    """Documents to measure: n rows with at least doc_id, text and language."""

    documents: pl.DataFrame

    @cached_property
    def words(self) -> Words:
        """The words of the documents."""
        return tokenise(self.documents["text"])


def tokenise(texts: pl.Series) -> Words:
    """Find the words of n texts.

    White space and letters are Unicode's, in the version that Polars knows, whatever the version of Python.
    """
    array = texts.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(pa.large_string())
    _, bounds_buffer, data_buffer = array.buffers()
    bounds = np.frombuffer(bounds_buffer if len(array) else bytes(8), np.int64)
    bounds = bounds[array.offset : array.offset + len(array) + 1]
    data = np.frombuffer(data_buffer or b"", np.uint8)
    # A word takes a byte and, except a text's last one, a space. Memory beyond the words found is never touched.
    most = (bounds[-1] - bounds[0]) // 2 + len(array)
    lengths, has_letter, hashes = np.empty(most, np.int32), np.empty(most, np.bool_), np.empty(most, np.uint64)
    offsets, unspaced = np.zeros(len(bounds), np.int64), np.zeros(len(array), np.bool_)
    _tokenise(data, bounds, *_character_tables(), offsets, lengths, has_letter, hashes, unspaced)
    n_words = offsets[-1]
    return Words(offsets, lengths[:n_words], has_letter[:n_words], hashes[:n_words], unspaced)


@cache
def _character_tables() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint32]]:
    """For each code point its classes, as a sum of bits, and its lower-case form."""
    code_points = np.concatenate([np.arange(0xD800), np.arange(0xE000, _CODE_POINTS)])  # all but the surrogates
    characters = pl.Series(list(code_points.astype("<u4").tobytes().decode("utf-32-le")))
    classes = np.zeros(_CODE_POINTS, np.uint8)
    for bit, pattern in _CLASSES.items():
        classes[code_points] |= bit * characters.str.contains(pattern).to_numpy().astype(np.uint8)
    lower = np.arange(_CODE_POINTS, dtype=np.uint32)
    lowered = characters.str.to_lowercase()
    changed = ((lowered != characters) & (lowered.str.len_chars() == 1)).arg_true()
    lower[code_points[changed]] = [ord(character) for character in lowered[changed]]
    return classes, lower


@numba.njit(cache=True, nogil=True)
def _tokenise(data, bounds, classes, lower, offsets, lengths, has_letter, hashes, unspaced):  # type: ignore[no-untyped-def]  # numba infers
    """Fill `offsets` and what follows it from texts in UTF-8, of which text t is data[bounds[t] : bounds[t + 1]]."""
    word = 0
    for text in range(len(unspaced)):
        place = bounds[text]
        letters = 0
        unspaced_letters = 0
        inside = False  # of a word
        length = core_length = 0  # characters since the core began; of those, up to the last that is in the core
        running = core_hash = np.uint64(0)
        letter_seen = False
        while place < bounds[text + 1]:
            code, size = _decode(data, place)
            place += size
            kind = classes[code]
            if kind & _SPACE:
                if inside:
                    lengths[word], has_letter[word], hashes[word] = core_length, letter_seen, core_hash
                    word += 1
                    inside = False
                continue
            if not inside:
                inside = True
                length = core_length = 0
                running = core_hash = np.uint64(0xCBF29CE484222325)  # FNV-1a over code points
                letter_seen = False
            if core_length or kind & _CORE:
                length += 1
                running = (running ^ np.uint64(lower[code])) * np.uint64(0x100000001B3)
                if kind & _CORE:
                    core_length, core_hash = length, running
                    if kind & _LETTER:
                        letter_seen = True
                        letters += 1
                        unspaced_letters += (kind & _UNSPACED) != 0
        if inside:
            lengths[word], has_letter[word], hashes[word] = core_length, letter_seen, core_hash
            word += 1
        offsets[text + 1] = word
        unspaced[text] = 2 * unspaced_letters > letters


@numba.njit(cache=True, nogil=True, inline="always")
def _decode(data, place):  # type: ignore[no-untyped-def]  # numba infers
    """The code point at `place` and its size in bytes; the bytes are valid UTF-8."""
    first = np.uint32(data[place])
    if first < 0x80:
        return first, 1
    if first < 0xE0:
        return (first & 0x1F) << 6 | data[place + 1] & 0x3F, 2
    if first < 0xF0:
        return (first & 0x0F) << 12 | (data[place + 1] & 0x3F) << 6 | data[place + 2] & 0x3F, 3
    high = (first & 0x07) << 18 | (data[place + 1] & 0x3F) << 12
    return high | (data[place + 2] & 0x3F) << 6 | data[place + 3] & 0x3F, 4
