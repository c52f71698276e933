"""Characters as the symbols of an n-gram model: small numbers, with what the model does not tell apart made equal."""

from __future__ import annotations

from functools import cache

import numba
import numpy as np
import numpy.typing as npt
import polars as pl

from lakehouse.unicode import decode, every_character, lower_case, utf8

OUTSIDE = 0
"""What stands before a text's beginning."""
OTHER = 1
"""Any character that the model does not list."""
FIRST = 2
"""The first symbol of a listed character."""
SPACE_CHARACTER = 0x20


@cache
def folded() -> npt.NDArray[np.uint32]:
    """For each code point the one that it counts as: its lower case, 0 for digits, a space for spaces and controls."""
    code_points, characters = every_character()
    table = lower_case().copy()
    table[code_points[characters.str.contains(r"\p{Nd}").arg_true()]] = ord("0")
    table[code_points[characters.str.contains(r"[\s\p{Cc}]").arg_true()]] = SPACE_CHARACTER
    return table


def count_characters(texts: pl.Series, counts: npt.NDArray[np.int64]) -> None:
    """Add to `counts` how often each code point stands in n texts."""
    data, bounds = utf8(texts)
    _count(data, bounds, counts)


def encode(
    texts: pl.Series, symbol_of: npt.NDArray[np.uint16], space: int
) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.int64]]:
    """The symbols of n texts, one after the other, without spaces at both ends and with single ones between words.

    Args:
        texts: n texts.
        symbol_of: for each code point its symbol.
        space: the symbol of the space.

    Returns:
        The symbols, and n + 1 places: text t has those from place t to place t + 1.
    """
    data, bounds = utf8(texts)
    symbols = np.empty(max(1, int(bounds[-1] - bounds[0])), np.uint16)
    offsets = np.zeros(len(bounds), np.int64)
    _encode(data, bounds, symbol_of, space, symbols, offsets)
    return symbols[: offsets[-1]], offsets


@numba.njit(cache=True, nogil=True)
def _count(data, bounds, counts):  # type: ignore[no-untyped-def]  # numba infers
    place = bounds[0]
    while place < bounds[-1]:
        code, size = decode(data, place)
        place += size
        counts[code] += 1


@numba.njit(cache=True, nogil=True)
def _encode(data, bounds, symbol_of, space, symbols, offsets):  # type: ignore[no-untyped-def]  # numba infers
    found = 0
    for text in range(len(bounds) - 1):
        place = bounds[text]
        begun = pending = False  # a space is written when something follows it
        while place < bounds[text + 1]:
            code, size = decode(data, place)
            place += size
            symbol = symbol_of[code]
            if symbol == space:
                pending = begun
                continue
            if pending:
                symbols[found] = space
                found += 1
                pending = False
            begun = True
            symbols[found] = symbol
            found += 1
        offsets[text + 1] = found
