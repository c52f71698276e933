"""Lines, paragraphs and sentences that documents share: menus, footers, notices, and what is quoted everywhere.

Of one host, a line that stands in many documents is boilerplate. Over the whole snapshot, sentences that follow each
other in two documents are a copy (Raffel et al., Exploring the Limits of Transfer Learning with a Unified Text-to-Text
Transformer, section 2.2).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from lakehouse import schema
from lakehouse.annotate.annotator import Annotator, AnnotatorError, Survey
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
from lakehouse.annotate.repeats.units import Units, find_lines, find_paragraphs, find_sentences
from lakehouse.annotate.words import Batch, total

_UNITS = {"line": find_lines, "paragraph": find_paragraphs, "sentences": find_sentences}
_NAMES = {"line": "line", "paragraph": "paragraph", "sentences": "sentence"}
_LEAST = {"line": 10, "paragraph": 2, "sentences": 2}
_STEP = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class _Settings:
    unit: str
    across: str
    size: int  # units in a row that are compared as one
    keep_first: bool

    @property
    def name(self) -> str:
        return _NAMES[self.unit]


@dataclass(frozen=True)
class _Rows:
    """Units in a row: the place of the first, that of its document, and the key of them all."""

    places: npt.NDArray[np.int64]
    documents: npt.NDArray[np.int64]
    keys: npt.NDArray[np.uint64]


def shared_lines(
    *,
    unit: str = "line",
    across: str = "host",
    min_documents: int | None = None,
    sentences: int = 3,
    keep_first: bool | None = None,
) -> Annotator:
    """Find the lines, paragraphs or sentences that a document shares with others of its snapshot.

    Args:
        unit: line; paragraph (ends at a blank line); or sentences (so many in a row as `sentences` says).
        across: host compares the documents of one host, and those without a host with none; corpus compares all.
        min_documents: in how many documents, itself included, something must stand; 10 for a line, otherwise 2.
        sentences: how many sentences in a row are compared as one; a document of fewer shares nothing.
        keep_first: whether the document with the smallest doc_id keeps the first occurrence in it; by default it does
            of paragraphs and sentences, not of lines.

    Columns, with `line`, `paragraph` or `sentence` in their names: shared_line_edits (spans that remove those units),
    shared_line_counts (for each edit, in how many documents its unit stands; of several the most), shared_lines and
    shared_line_characters (the share of the units and of their characters that the edits remove; null without units).

    Raises:
        AnnotatorError: a setting is none of these, or min_documents is below 2.
    """
    if unit not in _UNITS:
        raise AnnotatorError(f"unit is {unit!r}; it must be one of {', '.join(_UNITS)}.")
    least = _LEAST[unit] if min_documents is None else check_least("min_documents", min_documents, 2)
    size = check_least("sentences", sentences, 1) if unit == "sentences" else 1
    keeps = unit != "line" if keep_first is None else check_flag("keep_first", keep_first)
    settings = _Settings(unit, check_across(across), size, keeps)
    survey = Survey(functools.partial(_count, settings), least, functools.partial(_measure, settings))
    what = f"{size} sentences in a row" if unit == "sentences" else f"{unit.capitalize()}s"
    where = "the same host" if across == "host" else "the snapshot"
    return Annotator(
        "shared_lines",
        2,
        _columns(settings.name),
        survey.alone,
        f"{what} that stand in {least} or more documents of {where}.",
        needs=("host",) if across == "host" else (),
        edit_rules=(f"shared_{settings.name}",),
        survey=survey,
    )


def _columns(name: str) -> tuple[pa.Field, ...]:
    return (
        pa.field(f"shared_{name}_edits", schema.EDITS),
        pa.field(f"shared_{name}_counts", pa.list_(pa.int64())),
        pa.field(f"shared_{name}s", pa.float64()),
        pa.field(f"shared_{name}_characters", pa.float64()),
    )


def _count(settings: _Settings, batch: Batch) -> pl.DataFrame:
    rows = _rows(settings, batch, _UNITS[settings.unit](batch))
    once = pl.DataFrame({"key": rows.keys, "document": rows.documents}).unique()
    documents: dict[str, Any] = {"documents": pl.len().cast(pl.Int64)}
    if settings.keep_first:
        order = pl.Series(order_of(batch.documents))
        once = once.with_columns(first=order.gather(once["document"]))
        documents["first"] = pl.col("first").min()
    return once.group_by("key").agg(**documents)


def _measure(settings: _Settings, batch: Batch, counts: pl.DataFrame) -> pl.DataFrame:
    units = _UNITS[settings.unit](batch)
    times = _times(settings, batch, units, counts)
    removed = times > 0
    starts, ends = units.cut(removed)
    numbers = total(removed, units.offsets)
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(numbers)])
    of, characters = np.diff(units.offsets), units.characters
    columns = (
        edits_column("", f"shared_{settings.name}", starts, ends, offsets),
        lists_column("", times[removed], offsets),
        _share(numbers, of),
        _share(total(characters * removed, units.offsets), total(characters, units.offsets)),
    )
    return pl.DataFrame({field.name: column for field, column in zip(_columns(settings.name), columns, strict=True)})


def _share(parts: npt.NDArray[np.int64], wholes: npt.NDArray[np.int64]) -> pl.Series:
    return pl.select(pl.when(pl.lit(pl.Series(wholes)) > 0).then(pl.Series(parts) / pl.Series(wholes))).to_series()


def _rows(settings: _Settings, batch: Batch, units: Units) -> _Rows:
    documents = np.repeat(np.arange(len(units.offsets) - 1), np.diff(units.offsets))
    seeds, compared = seeds_of(batch.documents, settings.across)
    places = np.arange(len(documents))
    whole = places + settings.size <= units.offsets[1:][documents]
    places = places[whole & compared[documents]]
    keys = np.zeros(len(places), np.uint64)
    for step in range(settings.size):
        keys = (keys + mixed(units.hashes[places + step])) * _STEP
    return _Rows(places, documents[places], mixed(keys ^ seeds[documents[places]]))


def _times(settings: _Settings, batch: Batch, units: Units, counts: pl.DataFrame) -> npt.NDArray[np.int64]:
    """For each unit in how many documents what it is removed for stands; 0 where it stays."""
    rows = _rows(settings, batch, units)
    found = places_of(rows.keys, counts["key"].to_numpy())
    shared = found >= 0
    places, documents, found = rows.places[shared], rows.documents[shared], found[shared]
    # A first occurrence stays, also where the next one overlaps it: what is removed begins after it.
    begins, stays = places.copy(), np.zeros(len(places), np.bool_)
    if settings.keep_first:
        own = np.flatnonzero(counts["first"].to_numpy()[found] == order_of(batch.documents)[documents])
        _, first, which = np.unique(found[own], return_index=True, return_inverse=True)
        stays[own[first]] = True
        begins[own] = np.maximum(begins[own], places[own[first]][which] + settings.size)
    documents_with = counts["documents"].to_numpy()[found]
    times = np.zeros(len(units.hashes), np.int64)
    for step in range(settings.size):
        here = ~stays & (places + step >= begins)
        units_here = places[here] + step
        times[units_here] = np.maximum(times[units_here], documents_with[here])
    return times
