"""Texts as UTF-8 bytes and code points, for kernels that read every character once.

What a character is, is Unicode's word in the version that Polars knows, whatever the version of Python.
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
def lower_case() -> npt.NDArray[np.uint32]:
    """For each code point its lower-case form, where that is one code point."""
    code_points, characters = every_character()
    lower = np.arange(CODE_POINTS, dtype=np.uint32)
    lowered = characters.str.to_lowercase()
    changed = ((lowered != characters) & (lowered.str.len_chars() == 1)).arg_true()
    lower[code_points[changed]] = [ord(character) for character in lowered[changed]]
    return lower


@cache
def every_character() -> tuple[npt.NDArray[np.int64], pl.Series]:
    """The code point of every character but the surrogates, and the characters."""
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
