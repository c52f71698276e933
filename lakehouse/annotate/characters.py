"""What kind of character each code point is: one table, and texts as the bytes that the compiled loops walk over.

Kinds are Unicode's, in the version that Polars knows, whatever the version of Python; where a rule names marks of its
own, the marks stand here.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

CODE_POINTS = 0x110000

SPACE = 1 << 0  # white space
CORE = 1 << 1  # letter, mark or digit
LETTER = 1 << 2
UNSPACED = 1 << 3  # letter of a script written without spaces
SEPARATOR = 1 << 4  # white space, or one of the four separators among the control characters
BREAK = 1 << 5  # ends a line
WIDE_BREAK = 1 << 6  # the same, or a file, group or record separator
PUNCTUATION = 1 << 7
SYMBOL = 1 << 8  # what makes no word: the marks of DataTrove's rules, control characters, terminal punctuation
TERMINAL = 1 << 9  # ends a sentence
BULLET = 1 << 10
PREFIX = 1 << 11  # cut from a word's beginning
SUFFIX = 1 << 12  # cut from a word's end
ICON = 1 << 13  # cut from anywhere
CURRENCY = 1 << 14
QUOTE = 1 << 15
DIGIT = 1 << 16  # ASCII's
LOWER = 1 << 17  # a letter that is not a capital, or a mark
UPPER = 1 << 18  # a letter that is not small, or a mark
HOST = 1 << 19  # may stand in the name of a host
DOT_FOLLOWS = 1 << 20  # a full stop after it is cut from a word's end
PLAIN = 1 << 21  # in a word of nothing else there is no place to cut
DECIMAL = 1 << 22  # a decimal digit of any script
ALPHA = LOWER | UPPER

_BREAKS = r"\n\r\x0b\x0c\u{85}\u{2028}\u{2029}"  # Unicode's mandatory breaks
_CUT = r"…,:;!?¿؟¡()\[\]{}<>_\#*\&。？！，、；：\u{ff5e}·।،۔؛٪"
_QUOTES = r"'\"”“`‘´’‚,„»«「」『』（）〔〕【】《》〈〉〈〉⟦⟧"
_MONEY = r"\$£¥฿﷼\u{20a0}-\u{20bf}"
_NO_WORD = r"!-/:-@\[-`{-~«´»–—’“”„…∶━►、〈〉《》「」【】％（），１：；\u{ff5e}\x00-\x08\x0b-\x1f\x7f-\x9f"
_KINDS = {
    SPACE: r"\s",
    CORE: r"[\p{L}\p{M}\p{N}]",
    LETTER: r"\p{L}",
    UNSPACED: r"[[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}]&&\p{L}]",
    SEPARATOR: r"[\s\x1c-\x1f]",
    BREAK: f"[{_BREAKS}]",
    WIDE_BREAK: rf"[{_BREAKS}\x1c-\x1e]",
    PUNCTUATION: r"\p{P}",
    SYMBOL: rf"[{_NO_WORD}\p{{Sentence_Terminal}}]",
    TERMINAL: r"\p{Sentence_Terminal}",
    BULLET: r"[-*•‣◦⁃∙·●○■□▪▫▶►]",
    PREFIX: rf"[§%=—–{_CUT}{_QUOTES}{_MONEY}\p{{So}}]",
    SUFFIX: rf"[—–{_CUT}{_QUOTES}\p{{So}}]",
    ICON: r"\p{So}",
    CURRENCY: f"[{_MONEY}]",
    QUOTE: f"[{_QUOTES}]",
    DIGIT: "[0-9]",
    LOWER: r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]",
    UPPER: r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]",
    HOST: r"[A-Za-z0-9\u{a1}-\u{ffff}]",
    DOT_FOLLOWS: rf"[0-9\p{{Ll}}\p{{Lm}}\p{{Lo}}\p{{M}}%²\-+|{_CUT}{_QUOTES}]",
    DECIMAL: r"\p{Nd}",
    PLAIN: r"[\p{L}\p{M}]",
}


class Utf8(NamedTuple):
    """n texts in UTF-8: text t is data[bounds[t] : bounds[t + 1]]."""

    data: npt.NDArray[np.uint8]
    bounds: npt.NDArray[np.int64]


def utf8(texts: pl.Series) -> Utf8:
    """The bytes of n texts, without a copy where Arrow has them in one piece."""
    array = texts.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(pa.large_string())
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    _, bounds_buffer, data_buffer = array.buffers()
    bounds = np.frombuffer(bounds_buffer if len(array) else bytes(8), np.int64)
    return Utf8(np.frombuffer(data_buffer or b"", np.uint8), bounds[array.offset : array.offset + len(array) + 1])


@cache
def kinds() -> npt.NDArray[np.uint32]:
    """For each code point the sum of the kinds that it is of."""
    table = np.zeros(CODE_POINTS, np.uint32)
    code_points, characters = _characters()
    for kind, pattern in _KINDS.items():
        table[code_points[characters.str.contains(pattern).arg_true()]] |= np.uint32(kind)
    return table


@cache
def lower_case() -> npt.NDArray[np.uint32]:
    """For each code point its lower-case form, where that is one code point."""
    code_points, characters = _characters()
    lower = np.arange(CODE_POINTS, dtype=np.uint32)
    lowered = characters.str.to_lowercase()
    changed = ((lowered != characters) & (lowered.str.len_chars() == 1)).arg_true()
    lower[code_points[changed]] = [ord(character) for character in lowered[changed]]
    return lower


@cache
def _characters() -> tuple[npt.NDArray[np.int64], pl.Series]:
    """Every character but the surrogates."""
    code_points = np.concatenate([np.arange(0xD800), np.arange(0xE000, CODE_POINTS)])
    return code_points, pl.Series(list(code_points.astype("<u4").tobytes().decode("utf-32-le")))


@numba.njit(cache=True, nogil=True, inline="always")
def decode(data, place):  # type: ignore[no-untyped-def]  # numba infers
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
