"""Where in a batch of texts personal data may stand: passes over the bytes, before anything is parsed.

Ordinary text has a candidate every few hundred bytes. The passes find those and are generous; the finders judge each
one.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum

import numba
import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa


class Region(IntEnum):
    """What may stand in a candidate region."""

    EMAIL = 0  # an @ with a letter or digit before it and a dotted name after it
    NUMBER = 1  # digits in groups: six or more of them, or three dots
    CODE = 2  # a run of letters and digits
    IPV6 = 3  # hexadecimal digits with colons
    TOKEN = 4  # 20 or more characters without white space, quotes or brackets, letters among them
    KEY_BLOCK = 5  # -----BEGIN


_LETTER, _DIGIT, _TOKEN, _HEX, _SEPARATOR, _HIGH, _DOMAIN = 1, 2, 4, 8, 16, 32, 64
_DASH, _DOT, _COLON, _AT = ord("-"), ord("."), ord(":"), ord("@")
_END_OF_TEXT = np.uint8(ord("\n"))
_LONGEST_GAP = 4  # bytes between two digits of a number: `) - `, or a space and a dash of three bytes
_LONGEST_DOMAIN = 255
_SHORTEST_TOKEN = 20
_KEY_BLOCK_START = len("-----BEGIN")


def _byte_classes() -> npt.NDArray[np.uint8]:
    classes = np.zeros(256, np.uint8)
    for characters, bits in (
        ("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", _LETTER | _TOKEN | _DOMAIN),
        ("0123456789", _DIGIT | _TOKEN | _DOMAIN),
        ("0123456789ABCDEFabcdef.", _HEX),
        ("_-./+=:~%@?&#,;!$*", _TOKEN),
        ("-.", _DOMAIN),
        (" -.()/", _SEPARATOR),
    ):
        classes[[ord(character) for character in characters]] |= bits
    classes[0x80:] = _HIGH | _DOMAIN
    # The bytes of the no-break and thin spaces and of the dashes that numbers are written with.
    classes[[0xC2, 0xA0, 0xE2, 0x80, 0x89, 0x90, 0x91, 0x92, 0x93, 0xAF]] |= _SEPARATOR
    return classes


_CLASSES = _byte_classes()


def regions(texts: pl.Series) -> tuple[npt.NDArray[np.int64], ...]:
    """Find candidate regions of n texts.

    Returns:
        Four arrays, one element a region, in order of text and start: text (its place in the batch), kind (a `Region`),
        start and end (in characters of the text, end exclusive).
    """
    array = texts.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(pa.large_string())
    _, bounds_buffer, data_buffer = array.buffers()
    bounds = np.frombuffer(bounds_buffer if len(array) else bytes(8), np.int64)
    bounds = bounds[array.offset : array.offset + len(array) + 1]
    data = np.frombuffer(data_buffer or b"", np.uint8)
    scans: tuple[Callable[..., int], ...] = (_scan_numbers, _scan_codes, _scan_colons, _scan_tokens)
    scanned = []
    for scan in scans:
        # No region has less than two bytes of its own. Memory beyond the regions found is never touched.
        found = np.empty((4, (bounds[-1] - bounds[0]) // 2 + 1), np.int64)
        scanned.append(found[:, : scan(data, bounds, _CLASSES, *found)])
    together = np.concatenate(scanned, axis=1)
    of_text, kinds, starts, ends = together[:, np.lexsort((together[1], together[2], together[0]))]
    return of_text, kinds, starts, ends


# Each scan fills its last four arrays with the regions of the texts data[bounds[t] : bounds[t + 1]] and returns how
# many they are. Bytes that continue a character are counted, so that places in bytes become places in characters.


@numba.njit(cache=True, nogil=True)
def _scan_numbers(data, bounds, classes, of_text, kinds, starts, ends):  # type: ignore[no-untyped-def]  # numba infers
    n = 0
    for text in range(len(bounds) - 1):
        first, last = bounds[text], bounds[text + 1]
        continued = 0
        start = -1
        start_character = end = digits = dots = 0
        previous = np.uint8(0)
        for place in range(first, last + 1):
            byte = data[place] if place < last else _END_OF_TEXT
            kind = classes[byte]
            if kind & _DIGIT:
                if start >= 0:
                    digits += 1
                    dots += place - end == 1 and data[place - 1] == _DOT
                elif not previous & (_LETTER | _DIGIT):
                    start, start_character = place, place - first - continued
                    digits, dots = 1, 0
                end = place + 1
            elif start >= 0 and (not kind & _SEPARATOR or place - end >= _LONGEST_GAP):
                if digits >= 6 or dots >= 3:
                    of_text[n], kinds[n], starts[n] = text, Region.NUMBER, start_character
                    ends[n] = start_character + _characters(data, start, end)
                    n += 1
                start = -1
            continued += byte & 0xC0 == 0x80
            previous = kind
    return n


@numba.njit(cache=True, nogil=True)
def _scan_codes(data, bounds, classes, of_text, kinds, starts, ends):  # type: ignore[no-untyped-def]  # numba infers
    n = 0
    for text in range(len(bounds) - 1):
        first, last = bounds[text], bounds[text + 1]
        continued = 0
        start = -1
        digits = 0
        for place in range(first, last + 1):
            byte = data[place] if place < last else _END_OF_TEXT
            kind = classes[byte]
            if kind & (_LETTER | _DIGIT):
                if start < 0:
                    start, digits = place, 0
                digits += kind & _DIGIT != 0
            elif start >= 0:
                length = place - start
                code = digits >= 4 and digits < length and 8 <= length <= 34
                # The first group of an IBAN in groups of four: two letters, two digits.
                if code or (length == 4 and digits == 2 and classes[data[start]] & classes[data[start + 1]] & _LETTER):
                    of_text[n], kinds[n] = text, Region.CODE
                    ends[n] = place - first - continued
                    starts[n] = ends[n] - length
                    n += 1
                start = -1
            continued += byte & 0xC0 == 0x80
    return n


@numba.njit(cache=True, nogil=True)
def _scan_colons(data, bounds, classes, of_text, kinds, starts, ends):  # type: ignore[no-untyped-def]  # numba infers
    n = 0
    for text in range(len(bounds) - 1):
        first, last = bounds[text], bounds[text + 1]
        continued = 0
        colons = first_colon = 0
        double = False
        for place in range(first, last + 1):
            byte = data[place] if place < last else _END_OF_TEXT
            if byte == _COLON:
                if colons == 0:
                    first_colon = place
                elif data[place - 1] == _COLON:
                    double = True
                colons += 1
            elif colons and not classes[byte] & _HEX:
                if colons >= 7 or (double and colons >= 2):
                    of_text[n], kinds[n] = text, Region.IPV6
                    ends[n] = place - first - continued
                    starts[n] = max(0, ends[n] - (place - first_colon) - 4)  # four digits may stand before it
                    n += 1
                colons, double = 0, False
            continued += byte & 0xC0 == 0x80
    return n


@numba.njit(cache=True, nogil=True)
def _scan_tokens(data, bounds, classes, of_text, kinds, starts, ends):  # type: ignore[no-untyped-def]  # numba infers
    n = 0
    for text in range(len(bounds) - 1):
        first, last = bounds[text], bounds[text + 1]
        continued = 0
        start = -1
        letters = marks = 0
        for place in range(first, last + 1):
            byte = data[place] if place < last else _END_OF_TEXT
            kind = classes[byte]
            if kind & _TOKEN:
                if start < 0:
                    start, letters, marks = place, 0, 0
                letters += kind & _LETTER != 0
                marks += kind & _DIGIT != 0 or byte == _AT
                if byte == _AT and place > first and _is_address(data, place, last, classes):
                    of_text[n], kinds[n] = text, Region.EMAIL
                    starts[n] = place - first - continued
                    ends[n] = starts[n] + 1
                    n += 1
            elif start >= 0:
                length = place - start
                block = length == _KEY_BLOCK_START and letters == 5 and data[start] == data[start + 4] == _DASH
                if block or (length >= _SHORTEST_TOKEN and letters and marks):
                    of_text[n], kinds[n] = text, Region.KEY_BLOCK if block else Region.TOKEN
                    ends[n] = place - first - continued
                    starts[n] = ends[n] - length
                    n += 1
                start = -1
            continued += byte & 0xC0 == 0x80
    return n


@numba.njit(cache=True, nogil=True)
def _characters(data, start, end):  # type: ignore[no-untyped-def]  # numba infers
    count = 0
    for place in range(start, end):
        count += data[place] & 0xC0 != 0x80
    return count


@numba.njit(cache=True, nogil=True)
def _is_address(data, at, end, classes):  # type: ignore[no-untyped-def]  # numba infers
    """Whether something can be a name before an @, and has a dot and a letter not far behind it."""
    if not classes[data[at - 1]] & ~_SEPARATOR or at + 1 >= end or data[at + 1] == _DASH or data[at + 1] == _DOT:
        return False
    for place in range(at + 1, min(end - 1, at + _LONGEST_DOMAIN)):
        if not classes[data[place]] & _DOMAIN:
            return False
        if data[place] == _DOT and classes[data[place + 1]] & (_LETTER | _HIGH):
            return True
    return False
