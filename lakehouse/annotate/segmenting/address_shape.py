"""Whether a run of characters has the shape of a web or e-mail address: where a word tokenizer leaves it whole.

The shape is spaCy's: an optional scheme and user, a host's name or number, an optional port and path.
"""

from __future__ import annotations

import numba
import numpy as np

from lakehouse.annotate.characters import ALPHA, DIGIT, HOST, LOWER

_COLON, _SLASH, _UNDERSCORE, _PLUS, _HYPHEN, _DOT, _AT, _QUESTION, _HASH = (ord(mark) for mark in ":/_+-.@?#")


@numba.njit(cache=True, nogil=True)
def is_address(codes, kinds, start, end):  # type: ignore[no-untyped-def]  # numba infers
    """Whether the run is a web or e-mail address."""
    stop = start  # the first colon may end a scheme
    while stop < end and codes[stop] != _COLON:
        stop += 1
    if _is_scheme(codes, kinds, start, stop, end) and _is_host(codes, kinds, stop + 3, end):
        return True
    if _is_host(codes, kinds, start, end):
        return True
    host = start + 2  # after a user's name, with or without a password
    while host < end and not (codes[host - 1] == _AT and _is_host(codes, kinds, host, end)):
        host += 1
    return host < end


@numba.njit(cache=True, nogil=True)
def _is_scheme(codes, kinds, start, stop, end):  # type: ignore[no-untyped-def]  # numba infers
    if stop - start < 2 or stop + 3 >= end or codes[stop + 1] != _SLASH or codes[stop + 2] != _SLASH:
        return False
    for place in range(start, stop):
        code = codes[place]
        named = code in (_UNDERSCORE, _PLUS, _HYPHEN, _DOT)
        if not (kinds[place] & (ALPHA | DIGIT) or named):
            return False
    return True


@numba.njit(cache=True, nogil=True)
def _is_host(codes, kinds, start, end):  # type: ignore[no-untyped-def]  # numba infers
    """Whether a host's name or number begins at `start`, and nothing but a port and a path comes after it."""
    place = label = start
    labels = 0
    address = np.int64(0)  # the four numbers of an address of digits; negative where it is none
    while place <= end:
        code = codes[place] if place < end else np.uint32(0)
        in_label = place < end and (kinds[place] & HOST or code in (_HYPHEN, _UNDERSCORE))
        if not in_label:
            width = place - label
            if width < 1 or not kinds[label] & HOST or not kinds[place - 1] & HOST:
                return False
            if code != _DOT:
                break
            if width > 64:
                return False
            address = address << 8 | _byte(codes, kinds, label, place)
            labels += 1
            label = place + 1
        place += 1
    if not _ends_host(codes, kinds, place, end):
        return False
    if labels == 3 and _is_public(address << 8 | _byte(codes, kinds, label, place)):
        return True
    for letter in range(label, place):
        if not kinds[letter] & LOWER:
            return False
    return labels > 0 and 2 <= place - label <= 63


@numba.njit(cache=True, nogil=True)
def _byte(codes, kinds, start, end):  # type: ignore[no-untyped-def]  # numba infers
    """The number from 0 to 255 that stands there, or -1."""
    value = np.int64(0)
    for place in range(start, end):
        if not kinds[place] & DIGIT or place - start > 2:
            return np.int64(-1)
        value = 10 * value + np.int64(codes[place]) - 48
    return value if end > start and value < 256 else np.int64(-1)


@numba.njit(cache=True, nogil=True)
def _is_public(address):  # type: ignore[no-untyped-def]  # numba infers
    """Whether an IPv4 address is one of a host on the open internet."""
    first, second, last = address >> 24, address >> 16 & 0xFF, address & 0xFF
    if address < 0 or not 1 <= first <= 223 or first == 10 or first == 127 or not 1 <= last <= 254:
        return False
    if (first == 169 and second == 254) or (first == 192 and second == 168):
        return False
    return not (first == 172 and 16 <= second <= 31)


@numba.njit(cache=True, nogil=True)
def _ends_host(codes, kinds, place, end):  # type: ignore[no-untyped-def]  # numba infers
    """Whether only a port and a path come after a host's name."""
    if place < end and codes[place] == _COLON:
        port = place + 1
        while port < end and kinds[port] & DIGIT:
            port += 1
        if not 2 <= port - place - 1 <= 5:
            return False
        place = port
    return place >= end or codes[place] == _SLASH or codes[place] == _QUESTION or codes[place] == _HASH
