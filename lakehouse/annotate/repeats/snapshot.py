"""What kinds that compare the documents of a snapshot share: their order, how far they look, and their edits."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from lakehouse import schema
from lakehouse.annotate.annotator import AnnotatorError
from lakehouse.unicode import utf8

ACROSS = ("host", "corpus")
_IDENTIFIER = 32  # hexadecimal digits


def check_across(across: str) -> str:
    """Return `across`.

    Raises:
        AnnotatorError: it is neither host nor corpus.
    """
    if across not in ACROSS:
        raise AnnotatorError(f"across is {across!r}; it must be host (documents of one host) or corpus (all).")
    return across


def check_least(name: str, value: Any, least: int) -> int:
    """Return a setting that is a whole number of at least so much.

    Raises:
        AnnotatorError: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise AnnotatorError(f"{name} is {value!r}; it must be a whole number of {least} or more.")
    return value


def check_flag(name: str, value: Any) -> bool:
    """Return a setting that is true or false.

    Raises:
        AnnotatorError: it is not.
    """
    if not isinstance(value, bool):
        raise AnnotatorError(f"{name} is {value!r}; it must be true or false.")
    return value


def order_of(documents: pl.DataFrame) -> npt.NDArray[np.uint64]:
    """A number for each of n documents: the smallest one is the document that comes first.

    It is of the doc_id alone, so that neither the files that documents lie in nor other documents change the order: the
    first 64 bits of an identifier of the lake, and a hash of any other one.
    """
    ids = documents["doc_id"]
    digits = ids.str.slice(0, 16).str.to_integer(base=16, dtype=pl.UInt64, strict=False)
    hashed = pl.Series(hash_texts(ids), dtype=pl.UInt64)
    own = (ids.str.len_bytes() == _IDENTIFIER) & digits.is_not_null()
    return digits.zip_with(own, hashed).to_numpy()


def seeds_of(documents: pl.DataFrame, across: str) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.bool_]]:
    """What is mixed into the keys of each of n documents, and whether it is compared with others at all.

    Documents share keys where their seeds are equal; across hosts, one without a host shares nothing.
    """
    if across == "corpus":
        return np.zeros(documents.height, np.uint64), np.ones(documents.height, np.bool_)
    hosts = documents["host"]
    return hash_texts(hosts.fill_null("")), hosts.is_not_null().to_numpy()


def hash_texts(texts: pl.Series) -> npt.NDArray[np.uint64]:
    """A 64-bit hash of each of n texts."""
    hashes: npt.NDArray[np.uint64] = _hash(*utf8(texts))
    return mixed(hashes)


def mixed(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Each value spread over all 64 bits (the finalizer of MurmurHash3); no two values become one."""
    spread = np.empty(len(values), np.uint64)
    _mix(values, spread)
    return spread


def places_of(keys: npt.NDArray[np.uint64], sorted_keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """The place of each key among the sorted ones, -1 where it is not there."""
    if not len(sorted_keys):
        return np.full(len(keys), -1, np.int64)
    places = np.minimum(np.searchsorted(sorted_keys, keys), len(sorted_keys) - 1)
    return np.where(sorted_keys[places] == keys, places, -1)


def edits_column(
    name: str,
    rule: str,
    starts: npt.NDArray[np.int64],
    ends: npt.NDArray[np.int64],
    offsets: npt.NDArray[np.int64],
) -> pl.Series:
    """Lists of edits that remove: those of document d have the places offsets[d] to offsets[d + 1]."""
    constants = [pa.repeat(pa.scalar(value, pa.string()), len(starts)) for value in (rule, "")]
    structs = pa.StructArray.from_arrays(
        [pa.array(starts), pa.array(ends), *constants], fields=list(schema.EDITS.value_type)
    )
    return pl.Series(name, pl.from_arrow(pa.LargeListArray.from_arrays(pa.array(offsets), structs)))


def lists_column(name: str, values: npt.NDArray[np.int64], offsets: npt.NDArray[np.int64]) -> pl.Series:
    """Lists of numbers: those of document d have the places offsets[d] to offsets[d + 1]."""
    return pl.Series(name, pl.from_arrow(pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(values))))


@numba.njit(cache=True, nogil=True)
def _hash(data, bounds):  # type: ignore[no-untyped-def]  # numba infers
    """FNV-1a of the bytes of each text."""
    hashes = np.empty(len(bounds) - 1, np.uint64)
    for text in range(len(hashes)):
        value = np.uint64(0xCBF29CE484222325)
        for place in range(bounds[text], bounds[text + 1]):
            value = (value ^ np.uint64(data[place])) * np.uint64(0x100000001B3)
        hashes[text] = value
    return hashes


@numba.njit(cache=True, nogil=True)
def _mix(values, spread):  # type: ignore[no-untyped-def]  # numba infers
    """See `mixed`."""
    for place in range(len(values)):
        value = values[place]
        value = (value ^ value >> np.uint64(33)) * np.uint64(0xFF51AFD7ED558CCD)
        value = (value ^ value >> np.uint64(33)) * np.uint64(0xC4CEB9FE1A85EC53)
        spread[place] = value ^ value >> np.uint64(33)
