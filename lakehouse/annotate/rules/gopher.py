"""The statistics that Gopher's quality rules look at, as its paper, DataTrove and Dolma count them.

Source: Rae et al., Scaling Language Models: Methods, Analysis & Insights from Training Gopher, appendix A1.1.
"""

from __future__ import annotations

from functools import cache

import numba
import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from lakehouse.annotate.characters import BREAK, BULLET, SEPARATOR, SPACE, WIDE_BREAK, kinds
from lakehouse.annotate.languages import Languages
from lakehouse.annotate.segmenting.boundaries import hash_of
from lakehouse.annotate.segmenting.segments import HAS_LETTER, IS_SYMBOL, Segments
from lakehouse.annotate.words import Batch, Words
from lakehouse.unicode import decode

QUALITY_COLUMNS = (
    pa.field("n_words", pa.int64()),
    pa.field("mean_word_length", pa.float64()),
    pa.field("hash_ratio", pa.float64()),
    pa.field("ellipsis_ratio", pa.float64()),
    pa.field("bullet_lines", pa.float64()),
    pa.field("ellipsis_lines", pa.float64()),
    pa.field("alpha_words", pa.float64()),
    pa.field("stop_words", pa.int64()),
    pa.field("median_word_length", pa.float64()),
    pa.field("stop_words_total", pa.int64()),
    pa.field("symbol_words", pa.float64()),
    pa.field("symbol_ratio", pa.float64()),
    pa.field("n_segments", pa.int64()),
    pa.field("segment_words", pa.int64()),
    pa.field("mean_segment_length", pa.float64()),
    pa.field("segment_hash_ratio", pa.float64()),
    pa.field("segment_ellipsis_ratio", pa.float64()),
    pa.field("bullet_lines_of_all", pa.float64()),
    pa.field("ellipsis_lines_of_all", pa.float64()),
    pa.field("alpha_segments", pa.float64()),
    pa.field("segment_stop_words", pa.int64()),
)

_HASH, _DOT, _ELLIPSIS, _NEW_LINE, _RETURN, _DASH, _DISC = (ord(mark) for mark in "#.…\n\r-•")
_LONGEST_MEDIAN = 255


def measure_quality(batch: Batch, languages: Languages) -> pl.DataFrame:
    """Measure the Gopher quality statistics of n documents.

    A measurement is null where there is nothing to measure: a ratio without words, segments or lines, a count of stop
    words in a language without a list.

    Returns:
        n rows. Of words: n_words (without symbol words), mean_word_length (characters of a word's core, symbol words
        left out), median_word_length (characters of all words as they are written; those over 255 count as 255),
        hash_ratio and ellipsis_ratio (`#`, and `...` or `…`, per word), symbol_ratio (both together), symbol_words
        (share of words with a `#` or `…`), alpha_words (share of words with a letter), stop_words and stop_words_total
        (how many of the language's words occur, whatever their case, and how often). Of segments: n_segments,
        segment_words (those that are not only marks), mean_segment_length (of those), segment_hash_ratio,
        segment_ellipsis_ratio, alpha_segments and segment_stop_words (distinct, in lower case only). Of lines:
        bullet_lines and ellipsis_lines (share of lines with more than white space that start with a bullet, end in an
        ellipsis), bullet_lines_of_all and ellipsis_lines_of_all (share of all lines; the only bullets are `•`, `-`).
    """
    words, segments = batch.words, batch.segments(languages)
    hashes, ellipses, lines, bullets, trailing, all_lines, dashes, all_trailing = _count(*batch.utf8, kinds()).T
    numbers = languages.numbers(batch.documents["language"], len(hashes))
    has_list, stop_words, stop_words_total, segment_stop_words = _stop_words(words, segments, languages, numbers)
    n_words, n_segments = np.diff(words.offsets), np.diff(segments.offsets)
    cores, is_word = words.total(words.lengths > 0), segments.flags & IS_SYMBOL == 0
    segment_words = segments.total(is_word)
    median = _median(np.minimum(words.whole_lengths, _LONGEST_MEDIAN), words.offsets)
    columns = {
        "n_words": cores,
        "mean_word_length": _ratio(words.total(words.lengths), cores),
        "hash_ratio": _ratio(hashes, n_words),
        "ellipsis_ratio": _ratio(ellipses, n_words),
        "bullet_lines": _ratio(bullets, lines),
        "ellipsis_lines": _ratio(trailing, lines),
        "alpha_words": _ratio(words.total(words.has_letter), n_words),
        "stop_words": stop_words,
        "median_word_length": np.where(n_words > 0, median, np.nan),
        "stop_words_total": stop_words_total,
        "symbol_words": _ratio(words.total(words.has_symbol), n_words),
        "symbol_ratio": _ratio(hashes + ellipses, n_words),
        "n_segments": n_segments,
        "segment_words": segment_words,
        "mean_segment_length": _ratio(segments.total(segments.lengths * is_word), segment_words),
        "segment_hash_ratio": _ratio(hashes, n_segments),
        "segment_ellipsis_ratio": _ratio(ellipses, n_segments),
        "bullet_lines_of_all": _ratio(dashes, all_lines),
        "ellipsis_lines_of_all": _ratio(all_trailing, all_lines),
        "alpha_segments": _ratio(segments.total(segments.flags & HAS_LETTER), n_segments),  # its bit is the lowest
        "segment_stop_words": segment_stop_words,
    }
    listed = pl.Series(has_list)
    return pl.DataFrame(columns, nan_to_null=True).with_columns(
        pl.when(listed).then(name).alias(name) for name in ("stop_words", "stop_words_total", "segment_stop_words")
    )


def _ratio(part: npt.NDArray[np.int64], whole: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Part by whole; not a number where there is no whole."""
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)


@numba.njit(cache=True, nogil=True)
def _count(data, bounds, kinds):  # type: ignore[no-untyped-def]  # numba infers
    """Count `#`, ellipses, lines, those with a bullet, with a trailing ellipsis; and the same of all lines."""
    counts = np.zeros((len(bounds) - 1, 8), np.int64)
    for text in range(len(bounds) - 1):
        place = bounds[text]
        hashes = ellipses = dots = 0
        blank = wide_blank = True  # the line so far; the line that also ends at a file, group or record separator
        started = False  # such a line has begun
        bullet = dash = trails = wide_trails = False
        previous = np.uint32(0)
        while place < bounds[text + 1]:
            code, size = decode(data, place)
            place += size
            kind = kinds[code]
            dots = dots + 1 if code == _DOT else 0
            ellipses += code == _ELLIPSIS or (dots > 0 and dots % 3 == 0)
            hashes += code == _HASH
            ends_ellipsis = code == _ELLIPSIS or dots >= 3
            if kind & BREAK:
                _close(counts[text], blank, bullet, trails)
                blank, bullet, trails = True, False, False
            elif not kind & SPACE:
                if blank:
                    bullet = kind & BULLET != 0
                blank = False
                trails = ends_ellipsis
            if kind & WIDE_BREAK:
                if not (code == _NEW_LINE and previous == _RETURN):
                    _close_wide(counts[text], dash, wide_trails)
                wide_blank, dash, wide_trails, started = True, False, False, False
            else:
                started = True
                if not kind & SEPARATOR:
                    if wide_blank:
                        dash = code in (_DASH, _DISC)
                    wide_blank = False
                    wide_trails = ends_ellipsis
            previous = code
        _close(counts[text], blank, bullet, trails)
        if started:
            _close_wide(counts[text], dash, wide_trails)
        counts[text, 0], counts[text, 1] = hashes, ellipses
    return counts


@numba.njit(cache=True, nogil=True, inline="always")
def _close(counts, blank, bullet, trails):  # type: ignore[no-untyped-def]  # numba infers
    counts[2] += not blank
    counts[3] += bullet
    counts[4] += trails


@numba.njit(cache=True, nogil=True, inline="always")
def _close_wide(counts, dash, trails):  # type: ignore[no-untyped-def]  # numba infers
    counts[5] += 1
    counts[6] += dash
    counts[7] += trails


@numba.njit(cache=True, nogil=True)
def _median(lengths, offsets):  # type: ignore[no-untyped-def]  # numba infers
    """The median of lengths[offsets[d] : offsets[d + 1]], which are at most _LONGEST_MEDIAN, for each d."""
    medians = np.zeros(len(offsets) - 1, np.float64)
    tally = np.zeros(_LONGEST_MEDIAN + 1, np.int64)
    for document in range(len(offsets) - 1):
        number = offsets[document + 1] - offsets[document]
        if not number:
            continue
        tally[:] = 0
        for place in range(offsets[document], offsets[document + 1]):
            tally[lengths[place]] += 1
        lower = seen = 0
        while seen + tally[lower] <= (number - 1) // 2:
            seen += tally[lower]
            lower += 1
        upper = lower
        while seen + tally[upper] <= number // 2:
            seen += tally[upper]
            upper += 1
        medians[document] = (lower + upper) / 2
    return medians


def _stop_words(
    words: Words, segments: Segments, languages: Languages, numbers: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """For each document whether its language has a list, distinct words of it, their occurrences, distinct segments."""
    keys, bounds = _stop_word_lists(languages)
    distinct, occurring = _count_listed(words.hashes, words.offsets, keys, bounds, numbers)
    segmented, _ = _count_listed(segments.hashes, segments.offsets, keys, bounds, numbers)
    return np.diff(bounds)[numbers] > 0, distinct, occurring, segmented


@cache
def _stop_word_lists(languages: Languages) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
    """The hashes of the stop words of each language, one language after the other, and where each begins."""
    lists = [one.stop_words for one in languages.entries.values()]
    codes = [np.array([ord(character) for character in word], np.uint32) for listed in lists for word in listed]
    return np.array([hash_of(word, 0, len(word)) for word in codes], np.uint64), np.cumsum([0, *map(len, lists)])


@numba.njit(cache=True, nogil=True)
def _count_listed(hashes, offsets, keys, bounds, numbers):  # type: ignore[no-untyped-def]  # numba infers
    """How many different hashes of its language's list are among those of each document, and how often they are."""
    distinct, occurring = np.zeros(len(numbers), np.int64), np.zeros(len(numbers), np.int64)
    last_seen = np.full(len(keys), -1, np.int64)
    wanted = np.zeros(256, np.int64)  # by the lowest byte of the hash, whether a key has it
    ready = -1
    for document in range(len(numbers)):
        first, end = bounds[numbers[document]], bounds[numbers[document] + 1]
        if first == end:
            continue
        if ready != numbers[document]:
            ready = numbers[document]
            wanted[:] = 0
            for place in range(first, end):
                wanted[keys[place] & np.uint64(255)] = 1
        for word in range(offsets[document], offsets[document + 1]):
            value = hashes[word]
            if not wanted[value & np.uint64(255)]:
                continue
            for place in range(first, end):
                if value == keys[place]:
                    occurring[document] += 1
                    distinct[document] += last_seen[place] != document
                    last_seen[place] = document
    return distinct, occurring
