"""Millions of hosts and beginnings of addresses in little memory, and which of them an address falls under.

An entry is a 64-bit hash and an origin of 8 bytes, and shares an index of 2 to 4 bytes an entry. What matched is told
by its place in the address, so that the entries themselves need not be kept. With 5 million entries, two share a hash
with a probability below one in a million, and one of a billion addresses (5 look-ups each) is taken for another with
one of 1 in 700.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

# Salts keep apart what one table holds: a host with all below it, one host alone, a host that has entries with a path,
# and those entries.
_BELOW, _ALONE, _HAS_PATHS, _PATH = (np.uint64(salt) for salt in (0x0, 0xA17C9E3B, 0xC2B2AE3D, 0x27D4EB2F))
_OFFSET, _PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)
_DOT = ord(".")
NO_ORIGIN = np.iinfo(np.int64).max


@dataclass(frozen=True)
class HostTable:
    """Hosts and beginnings of addresses, as hashes.

    A host stands for itself and all below it: `example.com` for `shop.example.com`, never for `notexample.com`. One
    that begins with `www.` also stands for the host without it, alone. The beginning of an address ends where a part
    of the path or of the query does: `example.com/a` stands for `www.example.com/a/b?c`, not for `example.com/about`.

    Attributes:
        hashes: sorted.
        origins: where each comes from, as the caller numbers it; the lowest of an address is the one that counts.
        starts: where the hashes begin that start with the same bits: a power of two places and one.
        shift: how far a hash is shifted so that those bits remain.
    """

    hashes: npt.NDArray[np.uint64]
    origins: npt.NDArray[np.int64]
    starts: npt.NDArray[np.uint32]
    shift: np.uint64

    def find(self, parts: pl.DataFrame) -> tuple[npt.NDArray[np.int64], pl.Series]:
        """What each of n addresses falls under.

        Args:
            parts: n rows of host and rest, as `split_addresses` makes them.

        Returns:
            n origins, NO_ORIGIN where there is none, and for each the part of the address that the entry stands for
            (null where there is none). Of entries with the same origin the longest counts.
        """
        whole, data, bounds, host_sizes = _bytes_of(parts)
        origins, starts, ends = _find(data, bounds, host_sizes, self.hashes, self.origins, self.starts, self.shift)
        place = {"start": starts, "length": ends - starts}
        cut = pl.col("whole").cast(pl.Binary).bin.slice("start", "length").cast(pl.String)
        found = pl.DataFrame({"whole": whole, **place}).select(pl.when(pl.Series(origins != NO_ORIGIN)).then(cut))
        return origins, found.to_series()


def host_table(entries: Iterable[pl.DataFrame]) -> HostTable:
    """Make a table of entries.

    Args:
        entries: frames of host and rest, as `split_addresses` makes them (the rest is "" for a whole host), and origin.
    """
    parts = [_hashed(frame) for frame in entries]
    hashes = np.concatenate([np.empty(0, np.uint64), *(part[0] for part in parts)])
    origins = np.concatenate([np.empty(0, np.int64), *(part[1] for part in parts)])
    del parts
    order = np.lexsort((origins, hashes))
    hashes, origins = hashes[order], origins[order]
    first = np.ones(len(hashes), np.bool_)
    first[1:] = hashes[1:] != hashes[:-1]
    hashes, origins = hashes[first], origins[first]
    bits = max(1, len(hashes).bit_length() - 1)
    shift = np.uint64(64 - bits)
    starts = np.searchsorted(hashes >> shift, np.arange(2**bits + 1, dtype=np.uint64)).astype(np.uint32)
    return HostTable(hashes, origins, starts, shift)


def _hashed(entries: pl.DataFrame) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
    """The hashes and origins that entries are found by; an entry may have two."""
    host = pl.col("host")
    bare = host.str.strip_prefix("www.")
    whole, pages = entries.filter(pl.col("rest") == ""), entries.filter(pl.col("rest") != "")
    pages = pages.with_columns(bare)
    www = whole.filter(host.str.starts_with("www.")).with_columns(bare)
    salted = ((whole, _BELOW), (www, _ALONE), (pages, _PATH), (pages.with_columns(rest=pl.lit("")), _HAS_PATHS))
    hashes = [_hash(*_bytes_of(frame)[1:], salt) for frame, salt in salted]
    return np.concatenate(hashes), np.concatenate([frame["origin"].to_numpy() for frame, _ in salted])


def _bytes_of(
    parts: pl.DataFrame,
) -> tuple[pl.Series, npt.NDArray[np.uint8], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Host and rest in one series, its bytes, where each begins in them, and the size of each host; null is empty."""
    columns = parts.select(
        whole=pl.concat_str(pl.col("host").fill_null(""), pl.col("rest").fill_null("")),
        host_size=pl.col("host").str.len_bytes().fill_null(0).cast(pl.Int64),
    )
    array = columns["whole"].rechunk().to_arrow(compat_level=pl.CompatLevel.oldest()).cast(pa.large_string())
    _, bounds_buffer, data_buffer = array.buffers()
    bounds = np.frombuffer(bounds_buffer if len(array) else bytes(8), np.int64)
    data = np.frombuffer(data_buffer or b"", np.uint8)
    return columns["whole"], data, bounds[array.offset : array.offset + len(array) + 1], columns["host_size"].to_numpy()


@numba.njit(cache=True, nogil=True, inline="always")
def _mixed(hashed, salt):  # type: ignore[no-untyped-def]  # numba infers
    """Every bit of the result depends on every bit of the hash: the index looks at the first of them."""
    mixed = hashed ^ (salt * np.uint64(0x9E3779B97F4A7C15))
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


@numba.njit(cache=True, nogil=True)
def _hash(data, bounds, host_sizes, salt):  # type: ignore[no-untyped-def]  # numba infers
    """One hash an entry: of the host from its end, so that each label's end gives one, then of the rest."""
    hashes = np.empty(len(host_sizes), np.uint64)
    for entry in range(len(host_sizes)):
        host_end = bounds[entry] + host_sizes[entry]
        running = _OFFSET
        for place in range(host_end - 1, bounds[entry] - 1, -1):
            running = (running ^ np.uint64(data[place])) * _PRIME
        for place in range(host_end, bounds[entry + 1]):
            running = (running ^ np.uint64(data[place])) * _PRIME
        hashes[entry] = _mixed(running, salt)
    return hashes


@numba.njit(cache=True, nogil=True, inline="always")
def _origin(wanted, hashes, origins, starts, shift):  # type: ignore[no-untyped-def]  # numba infers
    bucket = wanted >> shift
    for place in range(starts[bucket], starts[bucket + np.uint64(1)]):
        if hashes[place] == wanted:
            return origins[place]
    return NO_ORIGIN


@numba.njit(cache=True, nogil=True)
def _find(data, bounds, host_sizes, hashes, origins, starts, shift):  # type: ignore[no-untyped-def]  # numba infers
    """For each address the lowest origin of what it falls under, and where that begins and ends in the address."""
    rows = len(host_sizes)
    found = np.full(rows, NO_ORIGIN, np.int64)
    found_start, found_end = np.zeros(rows, np.int64), np.zeros(rows, np.int64)
    for row in range(rows):
        start, end = bounds[row], bounds[row + 1]
        host_end = start + host_sizes[row]
        running = _OFFSET
        bare_start = start
        if host_end - start > 4 and data[start + 3] == _DOT and (data[start : start + 3] == ord("w")).all():
            bare_start = start + 4
        bare_hash = running
        for place in range(host_end - 1, start - 1, -1):
            running = (running ^ np.uint64(data[place])) * _PRIME
            if place == bare_start:
                bare_hash = running
            if place == start or data[place - 1] == _DOT:
                origin = _origin(_mixed(running, _BELOW), hashes, origins, starts, shift)
                if origin <= found[row] and origin != NO_ORIGIN:
                    found[row], found_start[row], found_end[row] = origin, place - start, host_end - start
        if host_end == start:
            continue
        origin = _origin(_mixed(running, _ALONE), hashes, origins, starts, shift)
        if origin < found[row]:
            found[row], found_start[row], found_end[row] = origin, 0, host_end - start
        if _origin(_mixed(bare_hash, _HAS_PATHS), hashes, origins, starts, shift) == NO_ORIGIN:
            continue
        running = bare_hash
        for place in range(host_end, end + 1):
            if place == end or data[place] in (ord("/"), ord("?"), ord("&"), ord(";")):
                origin = _origin(_mixed(running, _PATH), hashes, origins, starts, shift)
                if origin <= found[row] and origin != NO_ORIGIN:
                    found[row], found_start[row], found_end[row] = origin, bare_start - start, place - start
            if place < end:
                running = (running ^ np.uint64(data[place])) * _PRIME
    return found, found_start, found_end
