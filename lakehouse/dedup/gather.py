"""Gather what is needed of some documents only, from data files to files that are mapped into memory."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from lakehouse.dedup.columns import Places, mapped, opened
from lakehouse.dedup.errors import DedupError

_ROWS_AT_ONCE = 2_048
_IDS_AT_ONCE = 65_536
_ROWS_TO_JOIN = 1_000_000


@dataclass(frozen=True)
class Gathering:
    """A unit of work: copy the shingles of some documents of one data file to where they belong.

    Attributes:
        file: data file of a `minhash` annotation.
        first: place of its first document.
        folder: holds `sizes`, `wanted` and `starts` of all documents (see `lay_out`), and `shingles`, to be filled.
    """

    file: Path
    first: int
    folder: Path

    def __str__(self) -> str:
        return str(self.file)


def lay_out(folder: Path, wanted: npt.NDArray[np.bool_], starts: Places, total: int) -> None:
    """Write what workers must know, and make a file of `total` shingles for them to fill.

    Args:
        folder: to write to.
        wanted: for each document whether its shingles are gathered.
        starts: for each document where in the file its shingles begin; of no meaning for those not wanted.
        total: shingles of all wanted documents.

    Raises:
        OSError: the disk is full.
    """
    wanted.tofile(folder / "wanted")
    starts.tofile(folder / "starts")
    with (folder / "shingles").open("wb") as file:
        if total and hasattr(os, "posix_fallocate"):
            # A mapped file that turns out not to fit ends the process; one that is laid out does not.
            os.posix_fallocate(file.fileno(), 0, 4 * total)
        else:
            file.truncate(4 * total)


def gather(unit: Gathering) -> None:
    """Copy the shingles of the wanted documents of a file; row groups without any are not read.

    Raises:
        DedupError: a document has other shingles than it says.
    """
    with opened(unit.file) as parquet:
        end = unit.first + parquet.metadata.num_rows
        wanted = mapped(unit.folder / "wanted", np.bool_)[unit.first : end]
        if not wanted.any():
            return
        sizes = mapped(unit.folder / "sizes", np.int32)[unit.first : end]
        starts = mapped(unit.folder / "starts", np.int64)[unit.first : end]
        out = np.memmap(unit.folder / "shingles", np.uint32, "r+").view(np.ndarray)
        for rows, column in _wanted_rows(parquet, wanted, "shingles", _ROWS_AT_ONCE):
            values, bounds = _parts(column.cast(pa.large_binary()))
            wrong = np.flatnonzero(np.diff(bounds) != 4 * sizes[rows].astype(np.int64))
            if len(wrong):
                raise DedupError(
                    f"{unit.file}: row {rows[wrong[0]]} has other shingles than its n_shingles says: measure it again."
                )
            numbers = values.view("<u4").astype(np.uint32, copy=False)
            _copy_parts(numbers, bounds[:-1] // 4, bounds[1:] // 4, out, starts[rows])


class DocumentIds:
    """The doc_id of some documents, which lie in one file.

    Args:
        files: data files with a column doc_id.
        offsets: place of the first document of each file.
        wanted: for each document whether its doc_id is needed.
        folder: where the file is made.

    Raises:
        DedupError: a document has none.
    """

    def __init__(self, files: Sequence[Path], offsets: Places, wanted: npt.NDArray[np.bool_], folder: Path) -> None:
        self._places = np.flatnonzero(wanted)
        lengths = [np.zeros(1, np.int64)]
        with (folder / "ids").open("wb") as out:
            for file, first, end in zip(files, offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
                with opened(file) as parquet:
                    for rows, column in _wanted_rows(parquet, wanted[first:end], "doc_id", _IDS_AT_ONCE):
                        if column.null_count:
                            raise DedupError(f"{file}: a document among rows {rows[0]} to {rows[-1]} has no doc_id.")
                        values, bounds = _parts(column.cast(pa.large_string()))
                        values.tofile(out)
                        lengths.append(np.diff(bounds))
        self._bounds = np.cumsum(np.concatenate(lengths))
        self._bytes = mapped(folder / "ids", np.uint8)

    def of(self, places: Places) -> pl.Series:
        """The doc_id of each of these documents, which must be among those that were wanted."""
        at = np.searchsorted(self._places, places)
        starts, ends = self._bounds[at], self._bounds[at + 1]
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(ends - starts)])
        found = np.empty(offsets[-1], np.uint8)
        _copy_parts(self._bytes, starts, ends, found, offsets[:-1])
        buffers = [None, pa.py_buffer(offsets), pa.py_buffer(found)]
        return pl.Series(pa.Array.from_buffers(pa.large_string(), len(places), buffers), dtype=pl.String)


def find_documents(files: Sequence[Path], ids: pl.Series) -> Places:
    """Find documents by their doc_id.

    Args:
        files: data files with a column doc_id.
        ids: n of them, each once.

    Returns:
        The first place of each; -1 where no file has it.
    """
    wanted = pl.DataFrame({"doc_id": ids}).with_row_index("number")
    places = np.full(len(ids), -1, np.int64)
    # From the last to the first: of several with one doc_id the first counts.
    for rows in reversed(list(_in_portions(files))):
        frames = [pl.read_parquet(file, columns=["doc_id"], hive_partitioning=False) for file, _ in rows]
        rows_of = pl.concat(frames).with_row_index("row").join(wanted, on="doc_id", maintain_order="left")
        found = rows_of.unique("number", keep="first", maintain_order=True)
        places[found["number"].to_numpy()] = found["row"].to_numpy().astype(np.int64) + rows[0][1]
    return places


def _wanted_groups(parquet: pq.ParquetFile, wanted: npt.NDArray[np.bool_]) -> tuple[list[int], Places]:
    """The row groups of a file that have a wanted row, and the numbers of all their rows."""
    groups, rows, first = [], [np.empty(0, np.int64)], 0
    for group in range(parquet.metadata.num_row_groups):
        end = first + parquet.metadata.row_group(group).num_rows
        if wanted[first:end].any():
            groups.append(group)
            rows.append(np.arange(first, end))
        first = end
    return groups, np.concatenate(rows)


def _in_portions(files: Sequence[Path]) -> Iterator[list[tuple[Path, int]]]:
    """The files with the place of their first document, as many at a time as are looked through at once."""
    portion: list[tuple[Path, int]] = []
    place = 0
    for file in files:
        portion.append((file, place))
        with opened(file) as parquet:
            place += parquet.metadata.num_rows
        if place - portion[0][1] >= _ROWS_TO_JOIN:
            yield portion
            portion = []
    if portion:
        yield portion


def _wanted_rows(
    parquet: pq.ParquetFile, wanted: npt.NDArray[np.bool_], name: str, rows_at_once: int
) -> Iterator[tuple[Places, pa.Array]]:
    """The wanted rows of a column and their numbers, some at a time, from the row groups that have any."""
    groups, numbers = _wanted_groups(parquet, wanted)
    done = 0
    if not groups:
        return
    for batch in parquet.iter_batches(rows_at_once, row_groups=groups, columns=[name]):
        of_batch = numbers[done : done + batch.num_rows]
        done += batch.num_rows
        mask = wanted[of_batch]
        if mask.any():
            yield of_batch[mask], batch.column(0).filter(pa.array(mask))


def _parts(column: pa.Array) -> tuple[npt.NDArray[np.uint8], Places]:
    """The bytes of a column of texts or bytes, and where each value begins and ends."""
    _, offsets, data = column.buffers()
    bounds = np.frombuffer(offsets, np.int64)[column.offset : column.offset + len(column) + 1]
    values: npt.NDArray[Any] = np.frombuffer(data, np.uint8) if data else np.empty(0, np.uint8)
    return values[bounds[0] : bounds[-1]], bounds - bounds[0]


@numba.njit(cache=True, nogil=True)
def _copy_parts(source, starts, ends, target, places):  # type: ignore[no-untyped-def]  # numba infers
    for part in range(len(starts)):
        to = places[part]
        for place in range(starts[part], ends[part]):
            target[to] = source[place]
            to += 1
