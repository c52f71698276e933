"""The columns of a `minhash` annotation that are read again and again while pairs are looked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from lakehouse.dedup.errors import DedupError

Places = npt.NDArray[np.int64]
"""Documents, named by the number of their row over all files."""

_MOST_DOCUMENTS = 3_000_000_000  # a pair of places is one number of 63 bits


@dataclass(frozen=True)
class Signatures:
    """The documents of several data files, of which the last ones are new.

    Attributes:
        files: Parquet data files of a `minhash` annotation.
        first_new: place in `files` of the first one whose documents are new.
        offsets: the place of the first document of each file, and at the end the number of documents.
        bands: the names of the columns of keys.
        sizes: the number of shingles of each document; 0 for a text without words, which is like no other.
        sets: the hash of the set of shingles of each document.
    """

    files: Sequence[Path]
    first_new: int
    offsets: Places
    bands: tuple[str, ...]
    sizes: npt.NDArray[np.int32]
    sets: npt.NDArray[np.int64]

    @property
    def documents(self) -> int:
        """How many documents there are."""
        return int(self.offsets[-1])

    @property
    def first_place(self) -> int:
        """The place of the first new document."""
        return int(self.offsets[self.first_new])


def count_rows(files: Sequence[Path]) -> tuple[Places, tuple[str, ...]]:
    """Read the number of documents and the names of the bands, from the ends of the files alone.

    Returns:
        The place of the first document of each file and, last, the number of documents; the bands' columns in order.

    Raises:
        DedupError: a file is no data file of a `minhash` annotation, or has other bands than the first one.
        OSError: a file cannot be read.
    """
    offsets = [0]
    bands: tuple[str, ...] = ()
    for file in files:
        with opened(file) as parquet:
            names = parquet.schema_arrow.names
            offsets.append(offsets[-1] + parquet.metadata.num_rows)
        missing = {"doc_id", "n_shingles", "shingle_set", "shingles"} - set(names)
        found = tuple(sorted(name for name in names if name.startswith("band_") and name[5:].isdigit()))
        if missing or not found:
            raise DedupError(
                f"{file} has no column {min(missing or {'band_00'})!r}: give files of a minhash annotation."
            )
        if bands not in ((), found):
            raise DedupError(f"{file} has {len(found)} bands, {files[0]} has {len(bands)}: measure one of them again.")
        bands = found
    if offsets[-1] > _MOST_DOCUMENTS:
        raise DedupError(
            f"{offsets[-1]:,} documents are too many to compare at once; {_MOST_DOCUMENTS:,} are the most."
        )
    return np.array(offsets, np.int64), bands


def read_signatures(files: Sequence[Path], first_new: int, folder: Path) -> Signatures:
    """Read what is needed of every document again and again into two files of `folder`, which are mapped into memory.

    Raises:
        DedupError: as `count_rows`, or a document with shingles has no hash of them.
    """
    offsets, bands = count_rows(files)
    with (folder / "sizes").open("wb") as sizes, (folder / "sets").open("wb") as sets:
        for file in files:
            lengths, hashes = read_column(file, "n_shingles")[0], read_column(file, "shingle_set")
            if (lengths[~hashes[1]] > 0).any():
                row = np.flatnonzero((lengths > 0) & ~hashes[1])[0]
                raise DedupError(f"{file}: row {row} has shingles and no shingle_set: measure the file again.")
            lengths.astype(np.int32).tofile(sizes)
            hashes[0].tofile(sets)
    return Signatures(
        files, first_new, offsets, bands, mapped(folder / "sizes", np.int32), mapped(folder / "sets", np.int64)
    )


def mapped(file: Path, kind: Any) -> npt.NDArray[Any]:
    """The numbers of a file, of which the system holds in memory what it likes to."""
    if file.stat().st_size == 0:  # nothing cannot be mapped
        return np.empty(0, kind)
    return np.memmap(file, kind, "r").view(np.ndarray)


def read_column(file: Path, name: str) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """The numbers of one column, and which of them are there; the others are 0."""
    with opened(file) as parquet:
        column = parquet.read(columns=[name]).column(0)
    valid = np.ones(len(column), np.bool_)
    if column.null_count:
        valid = column.is_valid().to_numpy().copy()
        column = column.fill_null(0)
    return column.cast(pa.int64()).to_numpy(), valid


def opened(file: Path) -> pq.ParquetFile:
    """Open a Parquet file.

    Raises:
        DedupError: it is something else.
        OSError: it cannot be read.
    """
    try:
        return pq.ParquetFile(file)
    except pa.ArrowInvalid as error:
        raise DedupError(f"{file} is no Parquet file: {' '.join(str(error).split())}") from error


def gather_column(signatures: Signatures, column: str, places: Places) -> npt.NDArray[np.int64]:
    """The keys of some documents."""
    found = np.zeros(len(places), np.int64)
    order = np.argsort(places)
    cuts = np.searchsorted(places[order], signatures.offsets)
    for number, file in enumerate(signatures.files):
        rows = order[cuts[number] : cuts[number + 1]]
        if len(rows):
            found[rows] = read_column(file, column)[0][places[rows] - signatures.offsets[number]]
    return found
