"""Exact substrings that occur more than once in a snapshot.

A token is a word as it is written: what stands between white space, or what ICU's dictionaries cut in scripts without
spaces. Two substrings are equal where their words are; white space between them may differ.

Source: Lee et al., Deduplicating Training Data Makes Language Models Better.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from lakehouse import schema
from lakehouse.annotate.annotator import Annotator, Survey
from lakehouse.annotate.repeats.snapshot import (
    check_across,
    check_flag,
    check_least,
    edits_column,
    lists_column,
    mixed,
    order_of,
    places_of,
    seeds_of,
)
from lakehouse.annotate.repeats.windows import find_pairs, hash_runs, minimizers, spans, stretches
from lakehouse.annotate.words import Batch, total

COLUMNS = (
    pa.field("repeated_substring_edits", schema.EDITS),
    pa.field("repeated_substring_counts", pa.list_(pa.int64())),
    pa.field("repeated_characters", pa.float64()),
    pa.field("longest_repeat", pa.int64()),
)
_RULE = "repeated_substring"


@dataclass(frozen=True)
class _Settings:
    size: int  # words of a window
    keep_first: bool
    across: str

    @property
    def part(self) -> int:
        """Words of a minimizer: more are rarer by chance, fewer make fewer minimizers of a text."""
        return max(1, self.size // 3)


@dataclass(frozen=True)
class _Windows:
    """Windows of a batch that may occur elsewhere: their first words, documents, minimizers and hashes."""

    places: npt.NDArray[np.int64]
    documents: npt.NDArray[np.int64]
    minimizers: npt.NDArray[np.uint64]
    hashes: npt.NDArray[np.uint64]


def repeated_substrings(*, min_tokens: int = 50, keep_first: bool = True, across: str = "corpus") -> Annotator:
    """Find the substrings of a document that occur once more in its snapshot, be it in the same document.

    Args:
        min_tokens: words that such a substring has at least.
        keep_first: whether the first occurrence of every `min_tokens` words stays: that of the document with the
            smallest doc_id, and in it the one that begins first. Otherwise all occurrences are removed.
        across: corpus compares all documents; host those of one host, and those without a host with none, not even with
            themselves.

    Columns: repeated_substring_edits (spans that remove them), repeated_substring_counts (for each edit, how often the
    most frequent `min_tokens` words in it occur), repeated_characters (the share of the characters of words that the
    edits remove; null without words) and longest_repeat (words of the longest stretch of which every `min_tokens` words
    in a row are such a repeat; 0 without one).

    Raises:
        AnnotatorError: a setting is none of these, or min_tokens is below 2.
    """
    size = check_least("min_tokens", min_tokens, 2)
    settings = _Settings(size, check_flag("keep_first", keep_first), check_across(across))
    bind = functools.partial
    survey = Survey(bind(_count_minimizers, settings), 2, bind(_measure, settings), bind(_count_windows, settings))
    where = "its host" if across == "host" else "the snapshot"
    return Annotator(
        "repeated_substrings",
        1,
        COLUMNS,
        survey.alone,
        f"Substrings of {size} or more words that occur more than once in {where} (Lee et al.).",
        needs=("host",) if across == "host" else (),
        edit_rules=(_RULE,),
        survey=survey,
    )


def _count_minimizers(settings: _Settings, batch: Batch) -> pl.DataFrame:
    """How often each minimizer is there."""
    found = minimizers(batch.words, settings.size, settings.part)
    places = np.flatnonzero(found.chosen)
    documents, seeds, compared = _documents(settings, batch, places)
    keys = mixed(found.runs[places] ^ seeds[documents])[compared[documents]]
    return pl.DataFrame({"minimizer": keys}).group_by("minimizer").agg(documents=pl.len().cast(pl.Int64))


def _count_windows(settings: _Settings, batch: Batch, counts: pl.DataFrame) -> pl.DataFrame:
    """How often each window with a repeated minimizer is there, and the first document that has it."""
    windows = _suspicious(settings, batch, counts)
    order = order_of(batch.documents)
    rows = pl.DataFrame({"minimizer": windows.minimizers, "window": windows.hashes, "first": order[windows.documents]})
    return rows.group_by("minimizer", "window").agg(documents=pl.len().cast(pl.Int64), first=pl.col("first").min())


def _suspicious(settings: _Settings, batch: Batch, counts: pl.DataFrame) -> _Windows:
    """The windows of which the minimizer is among those that were counted."""
    words = batch.words
    found = minimizers(words, settings.size, settings.part)
    places = np.flatnonzero(found.is_window)
    documents, seeds, compared = _documents(settings, batch, places)
    keys = mixed(found.of_windows[places] ^ seeds[documents])
    # Neighbours mostly have the same minimizer, so few are looked up.
    changes = np.flatnonzero(np.diff(keys, prepend=keys[:1] ^ np.uint64(1)))
    known = places_of(keys[changes], counts["minimizer"].to_numpy()) >= 0
    suspicious = np.repeat(known, np.diff(changes, append=len(keys))) & compared[documents]
    places = places[suspicious]
    hashes = hash_runs(words, settings.size)[places]
    return _Windows(places, documents[suspicious], keys[suspicious], hashes)


def _documents(
    settings: _Settings, batch: Batch, places: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint64], npt.NDArray[np.bool_]]:
    """The document of each word; for each document its seed, and whether it is compared."""
    documents = np.searchsorted(batch.words.offsets, places, side="right") - 1
    return documents, *seeds_of(batch.documents, settings.across)


def _measure(settings: _Settings, batch: Batch, counts: pl.DataFrame) -> pl.DataFrame:
    words = batch.words
    windows = _suspicious(settings, batch, counts)
    found = find_pairs(windows.minimizers, windows.hashes, counts["minimizer"].to_numpy(), counts["window"].to_numpy())
    repeated = found >= 0
    places, documents, found = windows.places[repeated], windows.documents[repeated], found[repeated]
    times = counts["documents"].to_numpy()[found]
    begins = places
    if settings.keep_first:
        # A first occurrence stays, also where the next one overlaps it: what is removed begins after it.
        own = np.flatnonzero(counts["first"].to_numpy()[found] == order_of(batch.documents)[documents])
        _, first, which = np.unique(found[own], return_index=True, return_inverse=True)
        begins = places.copy()
        begins[own] = np.maximum(begins[own], places[own[first]][which] + settings.size)
        goes = np.ones(len(places), np.bool_)
        goes[own[first]] = False
        places, begins, times = places[goes], begins[goes], times[goes]
    covered = stretches(words, settings.size, places, begins, times)
    starts, ends = spans(batch, covered)
    lengths = np.concatenate([np.zeros(1, np.int64), np.cumsum(words.whole_lengths, dtype=np.int64)])
    removed = total(lengths[covered.lasts + 1] - lengths[covered.firsts], covered.offsets)
    characters = pl.Series(total(words.whole_lengths, words.offsets))
    columns = (
        edits_column("", _RULE, starts, ends, covered.offsets),
        lists_column("", covered.times, covered.offsets),
        pl.select(pl.when(characters > 0).then(pl.Series(removed) / characters)).to_series(),
        pl.Series(covered.longest),
    )
    return pl.DataFrame({field.name: column for field, column in zip(COLUMNS, columns, strict=True)})
