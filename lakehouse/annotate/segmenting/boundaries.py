"""Where a word tokenizer cuts a run of characters without white space.

The rules are spaCy's: marks are cut from both ends, as long as what is left is not a word that a language keeps or
takes apart by itself; then the rest is an address, or it is cut at marks between letters. A run is given as arrays of
code points and of their kinds; every loop is linear in its length.

Source: Honnibal et al., spaCy: Industrial-strength Natural Language Processing in Python.
"""

from __future__ import annotations

import numba
import numpy as np

from lakehouse.annotate.characters import (
    ALPHA,
    CURRENCY,
    DIGIT,
    DOT_FOLLOWS,
    ICON,
    LOWER,
    PREFIX,
    QUOTE,
    SUFFIX,
    UPPER,
)
from lakehouse.annotate.segmenting.address_shape import is_address

LONGEST_EXCEPTION = 16
"""Longer exceptions are not looked for, so that long runs take linear time."""
UNIT = -1
"""Owner of units of measurement in a table of exceptions."""
MOST_JOINED = 8

_DOT, _ELLIPSIS, _DOLLAR, _PLUS, _HYPHEN, _COLON, _SLASH = (ord(mark) for mark in ".…$+-:/")
_COMMA, _LESS, _EQUAL, _GREATER, _TIMES, _CARET, _TILDE, _EN, _EM = (ord(mark) for mark in ",<=>*^~–—")
_APOSTROPHE, _QUOTE, _DEGREE = (ord(mark) for mark in "'’°")
_SMALL_S, _LARGE_S, _LARGE_A, _LARGE_C, _LARGE_U = (ord(letter) for letter in "sSACU")
_LONGEST_UNIT = 4


@numba.njit(cache=True, nogil=True)
def hash_of(codes, start, end):  # type: ignore[no-untyped-def]  # numba infers
    """FNV-1a over code points."""
    value = np.uint64(0xCBF29CE484222325)
    for place in range(start, end):
        value = (value ^ np.uint64(codes[place])) * np.uint64(0x100000001B3)
    return value


@numba.njit(cache=True, nogil=True)
def find_hash(value, owner, keys, owners):  # type: ignore[no-untyped-def]  # numba infers
    """The place of an exception of every language (owner 0) or of one language in the table, or -1."""
    mask = np.uint64(len(keys) - 1)
    slot = (value ^ value >> np.uint64(32)) & mask
    while keys[slot] != 0:
        if keys[slot] == value and (owners[slot] == owner or (owners[slot] == 0 and owner >= 0)):
            return np.int64(slot)
        slot = (slot + np.uint64(1)) & mask
    return np.int64(-1)


@numba.njit(cache=True, nogil=True)
def _find(codes, start, end, owner, keys, owners, openings):  # type: ignore[no-untyped-def]  # numba infers
    if start >= end or end - start > LONGEST_EXCEPTION or not openings[codes[start] & 255] >> (end - start) & 1:
        return np.int64(-1)
    return find_hash(hash_of(codes, start, end), owner, keys, owners)


@numba.njit(cache=True, nogil=True)
def split(codes, kinds, length, owner, elision, keys, owners, pieces, joined, openings, ends, tail):  # type: ignore[no-untyped-def]
    """Cut codes[:length] and return how many segments it has; `ends` takes their ends, `tail` is scratch of that size.

    Args:
        owner: the language's number, whose exceptions count.
        elision: whether the language elides vowels before an apostrophe, as in l'homme.
        keys, owners, pieces, joined, openings: the table of exceptions (see `segments`).
    """
    start, end = 0, length
    count = cut_off = 0
    before = -1
    whole = -1
    while start < end and end - start != before:
        whole = _find(codes, start, end, owner, keys, owners, openings)
        if whole >= 0:
            break
        before = end - start
        front = _prefix(codes, kinds, start, end)
        if front and _find(codes, start + front, end, owner, keys, owners, openings) >= 0:
            start += front
            ends[count] = start
            count += 1
            break
        back = _suffix(codes, kinds, start + front, end, keys, owners)
        if back and _find(codes, start, end - back, owner, keys, owners, openings) >= 0:
            tail[cut_off] = end
            cut_off += 1
            end -= back
            break
        if front:
            start += front
            ends[count] = start
            count += 1
        if back and end - back >= start:
            tail[cut_off] = end
            cut_off += 1
            end -= back
    untouched = count == 0 and cut_off == 0
    if start < end:
        whole = _find(codes, start, end, owner, keys, owners, openings)
        if whole >= 0:
            count = _take_apart(start, pieces[whole], ends, count)
        elif is_address(codes, kinds, start, end):
            ends[count] = end
            count += 1
        else:
            count = _cut_inside(codes, kinds, start, end, elision, ends, count)
    for place in range(cut_off - 1, -1, -1):
        ends[count] = tail[place]
        count += 1
    if count > 2 and not (untouched and whole >= 0):
        count = _join(codes, owner, keys, owners, pieces, joined, openings, ends, tail, count)
    return count


@numba.njit(cache=True, nogil=True)
def _take_apart(start, lengths, ends, count):  # type: ignore[no-untyped-def]  # numba infers
    """Cut an exception into the pieces whose lengths are the bytes of `lengths`."""
    while lengths:
        start += lengths & 0xFF
        lengths >>= 8
        ends[count] = start
        count += 1
    return count


@numba.njit(cache=True, nogil=True)
def _prefix(codes, kinds, start, end):  # type: ignore[no-untyped-def]  # numba infers
    """How many characters to cut from the beginning."""
    code = codes[start]
    if kinds[start] & PREFIX:
        return 1
    if code == _PLUS:
        return 0 if start + 1 < end and kinds[start + 1] & DIGIT else 1
    if code == _DOT:
        run = start + 1
        while run < end and codes[run] == _DOT:
            run += 1
        return run - start if run - start > 1 else 0
    return _dollars(codes, start, end)


@numba.njit(cache=True, nogil=True)
def _dollars(codes, start, end):  # type: ignore[no-untyped-def]  # numba infers
    """Whether a US$, C$ or A$ begins at `start`: its length."""
    if start + 1 < end and codes[start + 1] == _DOLLAR and (codes[start] == _LARGE_A or codes[start] == _LARGE_C):
        return 2
    if start + 2 < end and codes[start] == _LARGE_U and codes[start + 1] == _LARGE_S and codes[start + 2] == _DOLLAR:
        return 3
    return 0


@numba.njit(cache=True, nogil=True)
def _suffix(codes, kinds, start, end, keys, owners):  # type: ignore[no-untyped-def]  # numba infers
    """How many characters to cut from the end; the longest of those that a rule cuts."""
    if start >= end:
        return 0
    last = end - 1
    code = codes[last]
    kind = kinds[last]
    before = kinds[last - 1] if last > start else np.uint32(0)
    if code == _DOT:
        return _dots(codes, kinds, start, end, before)
    if code == _ELLIPSIS and last > start and codes[last - 1] == _ELLIPSIS:
        return 2
    longest = 1 if kind & SUFFIX or (before & DIGIT and (code == _PLUS or kind & CURRENCY)) else 0
    if code in (_SMALL_S, _LARGE_S) and last > start and codes[last - 1] in (_APOSTROPHE, _QUOTE):
        longest = 2
    if code == _DOLLAR:
        for length in (3, 2):
            place = end - length
            if place > start and kinds[place - 1] & DIGIT and _dollars(codes, place, end) == length:
                return length
    for length in range(1, _LONGEST_UNIT + 1):  # a unit after a digit, such as km in 5km
        place = end - length
        if place <= start:
            break
        if kinds[place - 1] & DIGIT:
            if find_hash(hash_of(codes, place, end), UNIT, keys, owners) >= 0:
                longest = max(longest, length)
            break
    return longest


@numba.njit(cache=True, nogil=True)
def _dots(codes, kinds, start, end, before):  # type: ignore[no-untyped-def]  # numba infers
    """How many full stops to cut from the end, where there is one."""
    run = end - 1
    while run > start and codes[run - 1] == _DOT:
        run -= 1
    if end - run > 1:
        return end - run
    if before & DOT_FOLLOWS:
        return 1
    if run - start >= 2:
        if before & UPPER and kinds[run - 2] & UPPER:
            return 1
        if codes[run - 2] == _DEGREE and codes[run - 1] in (67, 70, 75):  # C, F, K
            return 1
    return 0


@numba.njit(cache=True, nogil=True)
def _cut_inside(codes, kinds, start, end, elision, ends, count):  # type: ignore[no-untyped-def]  # numba infers
    """Cut at marks between letters and digits."""
    done = start
    place = start
    while place < end:
        width = _infix(codes, kinds, place, start, end)
        if width:
            if place != start:  # a mark at the very beginning stays with what follows
                if place != done:
                    ends[count] = place
                    count += 1
                done = place + width
                ends[count] = done
                count += 1
            place += width
            continue
        if elision and _elides(codes, kinds, place, start, end):
            ends[count] = done = place
            count += 1
        place += 1
    if done < end:
        ends[count] = end
        count += 1
    return count


@numba.njit(cache=True, nogil=True)
def _elides(codes, kinds, place, start, end):  # type: ignore[no-untyped-def]  # numba infers
    """Whether the letter at `place` stands after an apostrophe that stands after a letter."""
    if place - start < 2 or not kinds[place] & ALPHA or not kinds[place - 2] & ALPHA:
        return False
    return codes[place - 1] == _APOSTROPHE or codes[place - 1] == _QUOTE


@numba.njit(cache=True, nogil=True)
def _infix(codes, kinds, place, start, end):  # type: ignore[no-untyped-def]  # numba infers
    """How many characters of a mark to cut out at `place`."""
    code = codes[place]
    kind = kinds[place]
    if kind & ICON or code == _ELLIPSIS:
        return 1
    if kind & ALPHA or kind & DIGIT or (place + 1 >= end and code != _DOT):
        return 0
    before = kinds[place - 1] if place > start else np.uint32(0)
    after = kinds[place + 1] if place + 1 < end else np.uint32(0)
    if code == _DOT:
        run = place + 1
        while run < end and codes[run] == _DOT:
            run += 1
        if run - place > 1:
            return run - place
        return 1 if before & (LOWER | QUOTE) and after & (UPPER | QUOTE) else 0
    if code == _COMMA:
        return 1 if before & ALPHA and after & ALPHA else 0
    if code in (_PLUS, _HYPHEN, _TIMES, _CARET) and before & DIGIT and (after & DIGIT or codes[place + 1] == _HYPHEN):
        return 1
    if not before & (ALPHA | DIGIT):
        return 0
    if code in (_COLON, _LESS, _GREATER, _EQUAL, _SLASH):
        return 1 if after & ALPHA else 0
    if code in (_HYPHEN, _EM, _EN, _TILDE):
        most = 3 if code == _HYPHEN else 2 if code == _EM else 1
        for width in range(1, most + 1):
            if place + width >= end:
                return 0
            if kinds[place + width] & ALPHA:
                return width
            if codes[place + width] != code:
                return 0
    return 0


@numba.njit(cache=True, nogil=True)
def _join(codes, owner, keys, owners, pieces, joined, openings, ends, places, count):  # type: ignore[no-untyped-def]
    """Put together neighbours that are an exception, such as the marks of a smiley; the longest first."""
    found = False
    places[:count] = 0  # for each segment the numbers of segments, as bits, with which an exception begins there
    for first in range(count - 1):
        start = ends[first - 1] if first else 0
        # No exception with this beginning is longer than what begins here.
        if ends[first] - start >= LONGEST_EXCEPTION or not openings[codes[start] & 255] >> (ends[first] - start + 1):
            continue
        value = hash_of(codes, start, ends[first])
        for number in range(2, MOST_JOINED + 1):
            last = first + number - 1
            if last >= count or ends[last] - start > LONGEST_EXCEPTION:
                break
            for place in range(ends[last - 1], ends[last]):
                value = (value ^ np.uint64(codes[place])) * np.uint64(0x100000001B3)
            slot = find_hash(value, owner, keys, owners)
            if slot >= 0 and joined[slot] == number:
                places[first] |= 1 << number
                found = True
    return _join_found(codes, owner, keys, owners, pieces, openings, ends, places, count) if found else count


@numba.njit(cache=True, nogil=True)
def _join_found(codes, owner, keys, owners, pieces, openings, ends, places, count):  # type: ignore[no-untyped-def]
    taken = np.zeros(count, np.uint8)
    begins = np.zeros(count, np.uint8)  # how many segments are put together here
    for number in range(MOST_JOINED, 1, -1):
        for first in range(count - number + 1):
            if places[first] & 1 << number:
                if not taken[first] and not taken[first + number - 1]:
                    begins[first] = number
                taken[first : first + number] = 1
    old = ends[:count].copy()
    new = segment = 0
    while segment < count:
        start = old[segment - 1] if segment else 0
        number = max(begins[segment], 1)
        if begins[segment]:
            slot = _find(codes, start, old[segment + number - 1], owner, keys, owners, openings)
            new = _take_apart(start, pieces[slot], ends, new)
        else:
            ends[new] = old[segment]
            new += 1
        segment += number
    return new
