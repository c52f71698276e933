"""Embeddings of many data files as one matrix, which lies in a file that is mapped into memory."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from lakehouse import identity
from lakehouse.dedup.columns import Places, mapped, opened
from lakehouse.dedup.errors import DedupError

Matrix = npt.NDArray[np.float32]

_ROWS_AT_ONCE = 8_192


@dataclass(frozen=True)
class Reading:
    """A unit of work: bring the vectors of one data file to where they belong.

    Attributes:
        file: data file of an `embedding` annotation.
        first: place of its first document.
        dimensions: numbers of a vector.
        sample: how many documents to propose for the sample.
        seed: of the sample.
        folder: holds `vectors` and `hashes` of all documents, to be filled.
    """

    file: Path
    first: int
    dimensions: int
    sample: int
    seed: int
    folder: Path

    def __str__(self) -> str:
        return str(self.file)


def count_rows(files: Sequence[Path]) -> tuple[Places, int]:
    """Read the number of documents from the ends of the files, and the length of a vector from the first there is.

    Returns:
        The place of the first document of each file and, last, the number of documents; the numbers of a vector, 0
        where no document has one.

    Raises:
        DedupError: a file is no data file of an `embedding` annotation.
        OSError: a file cannot be read.
    """
    offsets, dimensions = [0], 0
    for file in files:
        with opened(file) as parquet:
            kinds = parquet.schema_arrow
            for name in ("doc_id", "embedding"):
                if name not in kinds.names:
                    raise DedupError(f"{file} has no column {name!r}: give files of an embedding annotation.")
            kind = kinds.field("embedding").type
            is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
            if not (is_list and pa.types.is_floating(kind.value_type)):
                raise DedupError(f"{file}: the column 'embedding' is of {kind}: lists of numbers are needed.")
            offsets.append(offsets[-1] + parquet.metadata.num_rows)
            batches = parquet.iter_batches(batch_size=_ROWS_AT_ONCE, columns=["embedding"])
            while not dimensions and (batch := next(batches, None)) is not None:
                found = batch.column(0).drop_null()
                dimensions = len(found[0].as_py()) if len(found) else 0
    return np.array(offsets, np.int64), dimensions


def lay_out(folder: Path, documents: int, sizes: Mapping[str, int]) -> None:
    """Make files that workers fill, of so many bytes a document.

    Raises:
        OSError: the disk is full.
    """
    for name, size in sizes.items():
        with (folder / name).open("wb") as file:
            if documents * size:
                # A mapped file that turns out not to fit ends the process; one that is laid out does not.
                os.posix_fallocate(file.fileno(), 0, documents * size)


def matrix(folder: Path, dimensions: int) -> Matrix:
    """The vectors of all documents: one row each, of length 1; zeros where a document has none."""
    return mapped(folder / "vectors", np.float32).reshape(-1, max(dimensions, 1))


def read(unit: Reading) -> tuple[Places, npt.NDArray[np.int64]]:
    """Write the vectors of a file at length 1, and a hash of each: 0 for a document without.

    Returns:
        Places and keys of the documents with the smallest keys, the smallest first: those of all files together are a
        random sample that depends on the seed and on the doc_ids alone.

    Raises:
        DedupError: a vector is of another length than others, or no direction.
    """
    keys, done = [], unit.first
    vectors_file, hashes_file = (unit.folder / name for name in ("vectors", "hashes"))
    with opened(unit.file) as parquet, vectors_file.open("r+b") as vectors, hashes_file.open("r+b") as hashes:
        vectors.seek(4 * unit.dimensions * unit.first)
        hashes.seek(8 * unit.first)
        for ids, found, valid in _batches(parquet, unit):
            found.tofile(vectors)
            digests = np.zeros(len(found), np.uint64)
            digests[valid] = [xxhash.xxh3_64_intdigest(row) or 1 for row in found[valid]]
            digests.tofile(hashes)
            places = done + np.flatnonzero(valid)
            chosen = ids.filter(pa.array(valid)).to_pylist()
            own = np.array([identity.order_key(unit.seed, "sample", doc_id) for doc_id in chosen], np.int64)
            keys.append(np.stack([places, own]))
            done += len(found)
    proposed = np.concatenate([np.zeros((2, 0), np.int64), *keys], axis=1)
    proposed = proposed[:, np.argsort(proposed[1], kind="stable")[: unit.sample]]
    return proposed[0], proposed[1]


def _batches(parquet: pq.ParquetFile, unit: Reading) -> Iterator[tuple[pa.Array, Matrix, npt.NDArray[np.bool_]]]:
    """doc_id, vector at length 1 (zeros without one), and whether there is one, of some rows after the other."""
    row = 0
    for batch in parquet.iter_batches(batch_size=_ROWS_AT_ONCE, columns=["doc_id", "embedding"]):
        column = batch.column("embedding").cast(pa.large_list(pa.float32()))
        valid = column.is_valid().to_numpy(zero_copy_only=False)
        lengths = np.diff(column.offsets.to_numpy())
        wrong = np.flatnonzero(valid & (lengths != unit.dimensions))
        if len(wrong):
            raise DedupError(
                f"{unit.file}: the vector of row {row + wrong[0]:,} has {lengths[wrong[0]]:,} numbers, others have "
                f"{unit.dimensions:,}: measure all documents with the same model."
            )
        found = np.zeros((len(column), unit.dimensions), np.float32)
        values = column.drop_null().flatten().to_numpy(zero_copy_only=False).reshape(-1, unit.dimensions)
        norms = np.sqrt(np.einsum("ij,ij->i", values, values, dtype=np.float64))
        wrong = np.flatnonzero(~(np.isfinite(norms) & (norms > 0)))
        if len(wrong):
            place = row + np.flatnonzero(valid)[wrong[0]]
            raise DedupError(f"{unit.file}: the vector of row {place:,} has no direction: measure it again.")
        found[valid] = values / norms[:, None]
        row += len(column)
        yield batch.column("doc_id"), found, valid
