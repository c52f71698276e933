"""The statistics that Gopher's quality rules look at.

Source: Rae et al., Scaling Language Models: Methods, Analysis & Insights from Training Gopher, appendix A1.1.
"""

from __future__ import annotations

import numba
import numpy as np
import polars as pl
import pyarrow as pa

from lakehouse.annotate.words import Batch, Words, tokenise

QUALITY_COLUMNS = (
    pa.field("n_words", pa.int64()),
    pa.field("mean_word_length", pa.float64()),
    pa.field("hash_ratio", pa.float64()),
    pa.field("ellipsis_ratio", pa.float64()),
    pa.field("bullet_lines", pa.float64()),
    pa.field("ellipsis_lines", pa.float64()),
    pa.field("alpha_words", pa.float64()),
    pa.field("stop_words", pa.int64()),
)

# Eight function words a language. The English ones are Gopher's; the others are among the most frequent of theirs.
STOP_WORDS = {
    "en": "the be to of and that have with",
    "de": "der die das und in den von zu",
    "es": "de la que el en y los un",
    "fr": "de la le et les des en un",
    "it": "di e che la il un per in",
    "nl": "de van het een en in is dat",
    "pt": "de a que o e do da em",
}

_BREAK = r"\n\r\x0b\x0c\u{85}\u{2028}\u{2029}"  # what ends a line: Unicode's mandatory breaks
_LINE = rf"\S[^{_BREAK}]*"
_BULLET_LINE = rf"(?:^|[{_BREAK}])\s*[-*•‣◦⁃∙·●○■□▪▫▶►]"
_ELLIPSIS = r"\.\.\.|…"
_ELLIPSIS_LINE = rf"(?:{_ELLIPSIS})\s*(?:$|[{_BREAK}])"


def gopher_quality(batch: Batch) -> pl.DataFrame:
    """Measure the Gopher quality statistics of n documents.

    A line is one with more than white space on it. A measurement is null where there is nothing to measure: without
    words or lines, and what needs words in texts of scripts without spaces (see `words`).

    Returns:
        n rows: n_words (without symbol words), mean_word_length (characters of a word's core, symbol words left out),
        hash_ratio and ellipsis_ratio (`#`, and `...` or `…`, per word), bullet_lines and ellipsis_lines (share of lines
        that start with a bullet, end in an ellipsis), alpha_words (share of words with a letter), stop_words (how
        many of its language's eight words occur, whatever their case; null for a language without a list).
    """
    words = batch.words
    text = pl.col("text").str
    counted = batch.documents.select(
        hashes=text.count_matches("#", literal=True),
        ellipses=text.count_matches(_ELLIPSIS),
        lines=text.count_matches(_LINE),
        bullet_lines=text.count_matches(_BULLET_LINE),
        ellipsis_lines=text.count_matches(_ELLIPSIS_LINE),
        words=pl.Series(np.diff(words.offsets)),
        core_words=pl.Series(words.total(words.lengths > 0)),
        alpha_words=pl.Series(words.total(words.has_letter)),
        core_length=pl.Series(words.total(words.lengths)),
        stop_words=_distinct_stop_words(words, batch.documents["language"]),
        spaced=pl.Series(~words.unspaced),
    )
    of_words = {
        "n_words": pl.col("core_words"),
        "mean_word_length": _ratio("core_length", "core_words"),
        "hash_ratio": _ratio("hashes", "words"),
        "ellipsis_ratio": _ratio("ellipses", "words"),
        "alpha_words": _ratio("alpha_words", "words"),
        "stop_words": pl.col("stop_words"),
    }
    return counted.select(
        bullet_lines=_ratio("bullet_lines", "lines"),
        ellipsis_lines=_ratio("ellipsis_lines", "lines"),
        **{name: pl.when("spaced").then(value) for name, value in of_words.items()},
    ).select(field.name for field in QUALITY_COLUMNS)


def _ratio(part: str, whole: str) -> pl.Expr:
    return pl.when(pl.col(whole) > 0).then(pl.col(part) / pl.col(whole))


def _distinct_stop_words(words: Words, language: pl.Series) -> pl.Series:
    """How many words of its language's list each document has; null for a language without a list."""
    codes = list(STOP_WORDS)
    lists = np.stack([tokenise(pl.Series(listed.split())).hashes for listed in STOP_WORDS.values()])
    row = language.replace_strict(codes, list(range(len(codes))), default=None, return_dtype=pl.Int64)
    found = _count_distinct(words.hashes, words.offsets, lists, row.fill_null(-1).to_numpy(writable=True))
    return pl.select(pl.when(row.is_not_null()).then(pl.Series(found))).to_series()


@numba.njit(cache=True, nogil=True)
def _count_distinct(hashes, offsets, lists, row):  # type: ignore[no-untyped-def]  # numba infers
    """How many of the hashes lists[row[d]] are among the words of each document d."""
    counts = np.zeros(len(row), np.int64)
    for document in range(len(row)):
        if row[document] < 0:
            continue
        wanted = lists[row[document]]
        missing = np.ones(len(wanted), np.bool_)
        for word in range(offsets[document], offsets[document + 1]):
            for place in range(len(wanted)):
                if hashes[word] == wanted[place] and missing[place]:
                    missing[place] = False
                    counts[document] += 1
    return counts
