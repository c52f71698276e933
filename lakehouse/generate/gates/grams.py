"""Measures of words and their n-grams: what two texts share, and what one text repeats."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt
import polars as pl

from lakehouse.generate.gates.words import (
    APART,
    BEGINS,
    CAPITAL,
    MIXED,
    SHOUTED,
    SMALL,
    Words,
    find_words,
    normal_form,
)
from lakehouse.unicode import utf8

Shares = npt.NDArray[np.float64]

COPIED_WORDS = 5
"""Length of the n-grams of which `copied_share` is the share."""

LONGEST_LOOP = 512  # bytes of a piece that a tail may repeat
_LOOPS = 3  # so often a tail repeats its piece at least
_SHORTEST_TAIL = 48  # bytes; a row of dashes is no loop
_LONGEST_SHOUT = 2  # more words in a row all in capitals are a heading or a shout, no acronyms


@dataclass(frozen=True)
class Shared:
    """What n pairs of texts share: numbers of word n-grams.

    Attributes:
        grams: all of the text; `copied` of them stand in the other.
        different: different ones of the text, of the other; `common` are in both.
    """

    grams: npt.NDArray[np.int64]
    copied: npt.NDArray[np.int64]
    different: npt.NDArray[np.int64]
    different_others: npt.NDArray[np.int64]
    common: npt.NDArray[np.int64]

    @property
    def copied_share(self) -> Shares:
        """Share of the text's n-grams that stand in the other; NaN where it has none."""
        return _share(self.copied, self.grams)

    def similarity(self, per: str) -> Shares:
        """Different n-grams in both, per those in either ("union"), in the text ("answer") or the other ("passage").

        NaN where one of the two has none.
        """
        every = self.different + self.different_others - self.common
        whole = {"union": every, "answer": self.different, "passage": self.different_others}[per]
        return _share(self.common, np.where((self.different > 0) & (self.different_others > 0), whole, 0))


def copied_share(texts: pl.Series, passages: pl.Series) -> pl.Series:
    """Share of each text's word 5-grams that stand in its passage, 0..1; null for a text of fewer than five words."""
    words, others = (find_words(normal_form(side)) for side in (texts, passages))
    measured = shared_grams(words, others, COPIED_WORDS).copied_share
    return pl.Series("copied_share", measured, nan_to_null=True)


def shared_grams(words: Words, others: Words, n: int) -> Shared:
    """Count the word n-grams of n pairs of texts and what they have in common."""
    counts = np.zeros((5, len(words.offsets) - 1), np.int64)
    most = int(words.counts.max(initial=0) + others.counts.max(initial=0))
    _share_grams(words.hashes, words.offsets, others.hashes, others.offsets, n, new_table(most), counts)
    return Shared(*counts)


def repetition(texts: pl.Series, words: Words, n: int) -> Shares:
    """Share of each text that repeats itself, 0..1; NaN for a text without words.

    The larger one of two shares: words in word n-grams that occur more than once, per word; and bytes of a tail that is
    one piece of up to 512 bytes over and over (three times at least), per byte, as models loop that find no end.

    Source: for n-grams Rae et al., Scaling Language Models: Methods, Analysis & Insights from Training Gopher, A1.1.
    """
    shares = np.full(len(texts), np.nan)
    _repeat(words.hashes, words.offsets, n, new_table(int(words.counts.max(initial=0))), shares)
    tails = np.zeros(len(texts))
    _loop(*utf8(texts), tails)
    return np.fmax(shares, np.where(tails > 0, tails, np.nan))


def agreement(words: Words, others: Words) -> Shares:
    """F1 of the words of n pairs of texts, each word as often as it is there, 0..1; NaN where neither has words.

    Source: Rajpurkar et al., SQuAD: 100,000+ Questions for Machine Comprehension of Text (articles are words here).
    """
    common = np.zeros(len(words.offsets) - 1, np.int64)
    most = int(words.counts.max(initial=0))
    _common_words(words.hashes, words.offsets, others.hashes, others.offsets, new_table(most), common)
    return _share(2 * common, words.counts + others.counts)


def names_kept(words: Words, passage: Words, nouns_have_capitals: npt.NDArray[np.bool_]) -> Shares:
    """Share of the passage's different names that the text has too, 0..1; NaN where the passage has none.

    Names are words, guessed by how they are written: with a capital inside a sentence, unless the passage has them in
    small letters too; one or two words in capitals in a row; letters with digits or inner capitals. A name is kept
    where the text has the word or, for names of more than five characters, a capitalised word that begins with the same
    five, as inflected forms do. Where all nouns are written with a capital only those beside another one count.

    What it is worth: it finds a rewrite that lost its people and places, not one name among many. Names that begin
    sentences, titles in title case and names in scripts without capitals are not seen.
    """
    shares = np.full(len(words.offsets) - 1, np.nan)
    most = int(2 * words.counts.max(initial=0) + passage.counts.max(initial=0))
    _keep_names(
        (words.hashes, words.prefixes, words.marks, words.offsets),
        (passage.hashes, passage.prefixes, passage.marks, passage.offsets),
        nouns_have_capitals,
        new_table(most),
        shares,
    )
    return shares


def _share(part: npt.NDArray[np.int64], whole: npt.NDArray[np.int64]) -> Shares:
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)


@numba.njit(cache=True, nogil=True)
def new_table(most):  # type: ignore[no-untyped-def]  # numba infers
    """A hash table for `most` different keys: keys, the round in which each slot was filled, a number, the round."""
    size = 64
    while size < 2 * most:
        size *= 2
    return np.zeros(size, np.uint64), np.zeros(size, np.int64), np.zeros(size, np.int64), np.zeros(1, np.int64)


@numba.njit(cache=True, nogil=True, inline="always")
def slot_of(value, keys, rounds, now, number):  # type: ignore[no-untyped-def]  # numba infers
    """Where `value` is, or is to be put, among up to `number` keys: short texts stay in the fastest memory."""
    size = 64
    while size < 2 * number:
        size *= 2
    mask = np.uint64(size - 1)
    slot = (value ^ value >> np.uint64(29)) & mask
    while rounds[slot] == now and keys[slot] != value:
        slot = (slot + np.uint64(1)) & mask
    return slot


@numba.njit(cache=True, nogil=True)
def hash_grams(hashes, first, end, n):  # type: ignore[no-untyped-def]  # numba infers
    """A hash of each n-gram of the words from `first` to `end`."""
    number = max(end - first, 0)
    ones = np.empty(number, np.uint64)
    for place in range(number):
        value = hashes[first + place]
        value = (value ^ value >> np.uint64(33)) * np.uint64(0xFF51AFD7ED558CCD)
        value = (value ^ value >> np.uint64(33)) * np.uint64(0xC4CEB9FE1A85EC53)
        ones[place] = value ^ value >> np.uint64(33)
    grams = np.zeros(max(number - n + 1, 0), np.uint64)
    for place in range(len(grams)):
        gram = np.uint64(0)
        for next_ in range(place, place + n):
            gram = gram * np.uint64(0x9E3779B97F4A7C15) + ones[next_]
        grams[place] = gram
    return grams


@numba.njit(cache=True, nogil=True)
def _share_grams(hashes, offsets, other_hashes, other_offsets, n, table, counts):  # type: ignore[no-untyped-def]
    """Fill the five rows of `counts` (see `Shared`)."""
    keys, rounds, sides, clock = table
    for text in range(len(offsets) - 1):
        clock[0] += 1
        now = clock[0]
        own = hash_grams(hashes, offsets[text], offsets[text + 1], n)
        others = hash_grams(other_hashes, other_offsets[text], other_offsets[text + 1], n)
        number = len(own) + len(others)
        for gram in others:
            slot = slot_of(gram, keys, rounds, now, number)
            if rounds[slot] != now:
                rounds[slot], keys[slot], sides[slot] = now, gram, 1
                counts[3, text] += 1
        counts[0, text] = len(own)
        for gram in own:
            slot = slot_of(gram, keys, rounds, now, number)
            if rounds[slot] != now:
                rounds[slot], keys[slot], sides[slot] = now, gram, 0
                counts[2, text] += 1
                sides[slot] = 2
            elif sides[slot] == 1:
                counts[2, text] += 1
                counts[4, text] += 1
                sides[slot] = 3
            counts[1, text] += sides[slot] == 3


@numba.njit(cache=True, nogil=True)
def _repeat(hashes, offsets, n, table, shares):  # type: ignore[no-untyped-def]  # numba infers
    """Share of the words in n-grams that occur more than once."""
    keys, rounds, counts, clock = table
    for text in range(len(offsets) - 1):
        number = offsets[text + 1] - offsets[text]
        if not number:
            continue
        clock[0] += 1
        now = clock[0]
        grams = hash_grams(hashes, offsets[text], offsets[text + 1], n)
        for gram in grams:
            slot = slot_of(gram, keys, rounds, now, number)
            if rounds[slot] != now:
                rounds[slot], keys[slot], counts[slot] = now, gram, 0
            counts[slot] += 1
        inside = done = 0  # words; up to which they are counted
        for place in range(len(grams)):
            if counts[slot_of(grams[place], keys, rounds, now, number)] > 1:
                inside += place + n - max(place, done)
                done = place + n
        shares[text] = inside / number


@numba.njit(cache=True, nogil=True)
def _loop(data, bounds, shares):  # type: ignore[no-untyped-def]  # numba infers
    """Share of each text's bytes in a tail that repeats one piece; white space at the end does not count."""
    for text in range(len(bounds) - 1):
        first, end = bounds[text], bounds[text + 1]
        while end > first and data[end - 1] <= 32:
            end -= 1
        longest = shortest_period = 0
        for period in range(1, min(LONGEST_LOOP, (end - first) // _LOOPS) + 1):
            if shortest_period and period % shortest_period == 0:
                continue  # the same tail; a hostile text would have it read again and again
            place = end - 1 - period
            while place >= first and data[place] == data[place + period]:
                place -= 1
            tail = end - 1 - place
            if tail >= max(_LOOPS * period, _SHORTEST_TAIL):
                shortest_period = shortest_period or period
                longest = max(longest, tail)
        if longest:
            shares[text] = longest / (end - first)


@numba.njit(cache=True, nogil=True)
def _common_words(hashes, offsets, other_hashes, other_offsets, table, common):  # type: ignore[no-untyped-def]
    """Fill `common` with how many words of two texts pair up."""
    keys, rounds, counts, clock = table
    for text in range(len(offsets) - 1):
        clock[0] += 1
        now, number = clock[0], offsets[text + 1] - offsets[text]
        for place in range(offsets[text], offsets[text + 1]):
            slot = slot_of(hashes[place], keys, rounds, now, number)
            if rounds[slot] != now:
                rounds[slot], keys[slot], counts[slot] = now, hashes[place], 0
            counts[slot] += 1
        if not number:
            continue
        for place in range(other_offsets[text], other_offsets[text + 1]):
            slot = slot_of(other_hashes[place], keys, rounds, now, number)
            if rounds[slot] == now and counts[slot] > 0:
                counts[slot] -= 1
                common[text] += 1


@numba.njit(cache=True, nogil=True)
def _is_name(marks, place, first, end, nouns_have_capitals):  # type: ignore[no-untyped-def]  # numba infers
    """Whether the word at `place` of a text from `first` to `end` is written like a name."""
    mark = marks[place]
    if mark & MIXED:
        return True
    if mark & SHOUTED:
        row = 1
        before, after = place, place + 1
        while before > first and not marks[before] & BEGINS and marks[before - 1] & SHOUTED:
            before -= 1
            row += 1
        while after < end and not marks[after] & BEGINS and marks[after] & SHOUTED:
            after += 1
            row += 1
            if row > _LONGEST_SHOUT:
                break
        return row <= _LONGEST_SHOUT
    if not mark & CAPITAL or mark & BEGINS:
        return False
    if not nouns_have_capitals:
        return True
    beside = place > first and not mark & APART and marks[place - 1] & CAPITAL and not marks[place - 1] & BEGINS
    follows = place + 1 < end and marks[place + 1] & CAPITAL and not marks[place + 1] & (APART | BEGINS)
    return bool(beside or follows)


@numba.njit(cache=True, nogil=True)
def _keep_names(words, passage, nouns_have_capitals, table, shares):  # type: ignore[no-untyped-def]
    """Fill `shares` with the share of names kept."""
    hashes, prefixes, marks, offsets = words
    own_hashes, own_prefixes, own_marks, own_offsets = passage
    keys, rounds, states, clock = table
    in_text, in_small, counted = 1, 2, 4
    as_prefix = np.uint64(0x9E3779B97F4A7C15)  # sets hashes of prefixes apart from those of words
    for text in range(len(offsets) - 1):
        clock[0] += 1
        now = clock[0]
        first, end = own_offsets[text], own_offsets[text + 1]
        number = 2 * (offsets[text + 1] - offsets[text]) + end - first
        for place in range(offsets[text], offsets[text + 1]):
            for value in (hashes[place], prefixes[place] * as_prefix):
                if value == hashes[place] or marks[place] & (CAPITAL | SHOUTED):
                    slot = slot_of(value, keys, rounds, now, number)
                    rounds[slot], keys[slot], states[slot] = now, value, in_text
        for place in range(first, end):
            slot = slot_of(own_hashes[place], keys, rounds, now, number)
            if rounds[slot] != now:
                rounds[slot], keys[slot], states[slot] = now, own_hashes[place], 0
            if own_marks[place] & SMALL and not own_marks[place] & MIXED:
                states[slot] |= in_small
        names = kept = 0
        for place in range(first, end):
            slot = slot_of(own_hashes[place], keys, rounds, now, number)
            if states[slot] & (in_small | counted):
                continue
            if not _is_name(own_marks, place, first, end, nouns_have_capitals[text]):
                continue
            states[slot] |= counted
            names += 1
            if states[slot] & in_text:
                kept += 1
            elif own_hashes[place] != own_prefixes[place] and not own_marks[place] & MIXED:
                value = own_prefixes[place] * as_prefix
                slot = slot_of(value, keys, rounds, now, number)
                kept += rounds[slot] == now
        if names:
            shares[text] = kept / names
