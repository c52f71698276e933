"""Semantic duplicates: documents whose embeddings point the same way, though their words may differ.

Comparing all with all grows with the square of the documents. So vectors are put into clusters, and documents are
compared within them: every pair that is reported was computed, and a pair is missed if the cluster of neither document
is among the nearest ones of the other.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from lakehouse.dedup import room
from lakehouse.dedup.clustering import NEAREST, Assignment, assign, fit, members
from lakehouse.dedup.columns import Places, mapped
from lakehouse.dedup.cosines import Comparison, compare
from lakehouse.dedup.errors import DedupError
from lakehouse.dedup.gather import DocumentIds
from lakehouse.dedup.near import PAIRS, Run
from lakehouse.dedup.scratch import own_folder
from lakehouse.dedup.vectors import Reading, count_rows, lay_out, matrix, read

DOCUMENTS_A_CLUSTER = 2_000
"""On average, up to 4 million documents; beyond, it is the square root of their number."""

SAMPLE_A_CLUSTER = 64
"""Documents of the sample for each centroid."""

_MOST_SAMPLED = 1 << 20
_ASSIGNED_AT_ONCE = 1 << 16
_CELLS_A_UNIT = 1 << 28
_BLOCK_BYTES = 1 << 27  # a block with its operands
_PAIRS_AT_ONCE = 1 << 16
_BYTES_A_DOCUMENT = 64


@dataclass
class SemanticReport:
    """What was done; complete when all pairs were yielded.

    Attributes:
        documents: new documents with an embedding.
        earlier: those of the files before.
        dimensions: numbers of a vector.
        clusters: how many there are.
        largest_cluster: documents of the largest one.
        compared: pairs of which the similarity was computed.
        verified: pairs that are at least as similar as was asked for, copies not counted.
        copies: new documents with the very vector of another one.
    """

    documents: int = 0
    earlier: int = 0
    dimensions: int = 0
    clusters: int = 0
    largest_cluster: int = 0
    compared: int = 0
    verified: int = 0
    copies: int = 0


@dataclass
class SemanticPairs:
    """Similar documents, found while this is iterated over, once; see `find_semantic_pairs`.

    Attributes:
        report: what was done.
    """

    files: Sequence[Path]
    first_new: int
    floor: float
    clusters: int | None
    seed: int
    scratch: Path
    run: Run
    measure_room: Callable[[Path], room.Room]
    report: SemanticReport = field(default_factory=SemanticReport)

    def __iter__(self) -> Iterator[pl.DataFrame]:
        with own_folder(self.scratch) as folder:
            yield from _Search(self, folder).frames()


def find_semantic_pairs(
    files: Sequence[Path],
    *,
    first_new: int = 0,
    floor: float = 0.8,
    clusters: int | None = None,
    seed: int = 0,
    scratch: Path,
    run: Run,
    measure_room: Callable[[Path], room.Room] = room.measure,
) -> SemanticPairs:
    """Find the pairs of documents of similar embeddings of which at least one is new.

    Of documents with the very same vector only the first is compared with others; each other one has one pair, with
    the first and of similarity 1.0. A document is compared with those of its nearest cluster, and with those that have
    this cluster among their `NEAREST` nearest. The pairs depend neither on how documents are spread over files (which
    of them is named first does) nor on the number of workers.

    Args:
        files: Parquet data files of an `embedding` annotation, in the order of their snapshots.
        first_new: the place in `files` of the first one that is new; those before were compared with each other.
        floor: the least cosine of a pair, above 0 and at most 1.
        clusters: how many; without it one for each `DOCUMENTS_A_CLUSTER` documents, and not more than the square root
            of their number. With 1 all are compared with all.
        seed: of the sample that the clusters are found on.
        scratch: folder for intermediate files, 4 bytes for each number of each vector. What is made in it is removed.
        run: runs the work, as `lakehouse.compute.run` does.
        measure_room: what is free on the disk and of the memory.

    Returns:
        Frames of pairs, to be iterated over: file and other_file (places in `files`), doc_id and other_id, similarity
        (the cosine, to six digits; below 1 where the vectors differ). doc_id is the new one, of two new ones the one
        that stands later.

    Raises:
        DedupError: an argument is out of bounds; while iterating: a file is no annotation of this kind, vectors have
            different lengths, or there is no room.
        OSError: while iterating: a file cannot be read or written.

    Source: Abbas et al., SemDeDup: Data-efficient Learning at Web-scale through Semantic Deduplication.
    """
    if not 0 < floor <= 1:
        raise DedupError(f"floor is {floor}; it must be above 0 and at most 1.")
    if not 0 <= first_new <= len(files):
        raise DedupError(f"first_new is {first_new}; there are {len(files)} files.")
    if clusters is not None and clusters < 1:
        raise DedupError(f"clusters is {clusters}; it must be 1 or more.")
    return SemanticPairs(files, first_new, floor, clusters, seed, scratch, run, measure_room)


def clusters_for(documents: int) -> int:
    """How many clusters so many documents are put into, where nobody says."""
    return max(1, round(min(documents / DOCUMENTS_A_CLUSTER, math.sqrt(documents))))


class _Search:
    """One search, whose intermediate files lie in a folder of its own."""

    def __init__(self, asked: SemanticPairs, folder: Path) -> None:
        self.asked = asked
        self.folder = folder
        self.report = asked.report
        self.offsets, self.dimensions = count_rows(asked.files)
        self.n = int(self.offsets[-1])
        self.first_place = int(self.offsets[asked.first_new])

    def frames(self) -> Iterator[pl.DataFrame]:
        if self.n == self.first_place or not self.dimensions:
            return
        report = self.report
        sampled = min(self.n, _MOST_SAMPLED, SAMPLE_A_CLUSTER * (self.asked.clusters or clusters_for(self.n)))
        self._require_room(sampled)
        sample = self._read(sampled)
        hashes = mapped(self.folder / "hashes", np.uint64)
        compared = hashes != 0
        report.earlier = int(np.count_nonzero(compared[: self.first_place]))
        report.documents = int(np.count_nonzero(compared)) - report.earlier
        report.dimensions = self.dimensions
        if not report.documents:
            return
        copies, originals = _find_copies(hashes)
        compared[copies] = False
        is_new = copies >= self.first_place
        copies, originals = copies[is_new], originals[is_new]
        report.copies = len(copies)
        self._cluster(sample[compared[sample]], compared)
        runs = self._compare()
        yield from self._framed(runs, copies, originals)

    def _require_room(self, sampled: int) -> None:
        size = 4 * self.dimensions
        self.asked.measure_room(self.folder).require(
            self.folder,
            f"to compare the embeddings of {self.n:,} documents",
            disk=self.n * (size + _BYTES_A_DOCUMENT),
            memory=self.n * _BYTES_A_DOCUMENT + 2 * sampled * size + _BLOCK_BYTES,
        )

    def _read(self, sampled: int) -> Places:
        """Bring all vectors into one file; tell the places of a sample, in random order."""
        lay_out(self.folder, self.n, {"vectors": 4 * self.dimensions, "hashes": 8, "nearest": 4 * NEAREST})
        units = [
            Reading(file, int(first), self.dimensions, sampled, self.asked.seed, self.folder)
            for file, first in zip(self.asked.files, self.offsets, strict=False)
        ]
        places, keys = np.zeros(0, np.int64), np.zeros(0, np.int64)
        for more, their_keys in self.asked.run(read, units, task="Reading embeddings"):
            places, keys = np.concatenate([places, more]), np.concatenate([keys, their_keys])
            order = np.argsort(keys, kind="stable")[:sampled]
            places, keys = places[order], keys[order]
        return places

    def _cluster(self, sample: Places, compared: npt.NDArray[np.bool_]) -> None:
        """Find the clusters, and write the members of each and those that have it among their nearest."""
        asked, report = self.asked, self.report
        if not len(sample):  # copies, all of it
            sample = np.flatnonzero(compared)[:1]
        report.clusters = min(asked.clusters or clusters_for(int(np.count_nonzero(compared))), len(sample))
        fit(matrix(self.folder, self.dimensions)[sample], report.clusters).tofile(self.folder / "centroids")
        units = [
            Assignment(self.folder, begin, min(begin + _ASSIGNED_AT_ONCE, self.n), self.dimensions, asked.floor)
            for begin in range(0, self.n, _ASSIGNED_AT_ONCE)
        ]
        for _ in asked.run(assign, units, task="Clustering embeddings"):
            pass
        nearest = mapped(self.folder / "nearest", np.int32).reshape(-1, NEAREST)
        for name, labels in (("own", nearest[:, :1]), ("guests", nearest[:, 1:])):
            places, bounds = members(labels, compared, report.clusters)
            places.tofile(self.folder / name)
            bounds.tofile(self.folder / f"{name}-bounds")
            if name == "own":
                report.largest_cluster = int(np.diff(bounds).max())

    def _compare(self) -> list[Path]:
        """Compare documents within clusters; return files of pairs."""
        own, guests = (mapped(self.folder / f"{name}-bounds", np.int64) for name in ("own", "guests"))
        sizes = np.diff(own)
        # Roughly: some of the own are old, which are not compared with each other.
        costs = sizes * (sizes // 2 + np.diff(guests) + 1)
        units: list[Comparison] = []

        def add(begin: int, end: int, rows: tuple[int, int] | None = None) -> None:
            out = self.folder / f"pairs-{len(units)}"
            units.append(
                Comparison(self.folder, begin, end, rows, self.dimensions, self.first_place, self.asked.floor, out)
            )

        waiting = cost = 0
        for cluster in range(len(sizes)):
            if cost + costs[cluster] > _CELLS_A_UNIT and waiting < cluster:
                add(waiting, cluster)
                waiting, cost = cluster, 0
            if costs[cluster] > _CELLS_A_UNIT:
                # A large cluster is the work of several units, each of some of its rows.
                cuts = np.linspace(0, sizes[cluster], 1 + -(-int(costs[cluster]) // _CELLS_A_UNIT)).astype(int)
                for low, high in pairwise(cuts.tolist()):
                    add(cluster, cluster + 1, (low, high))
                waiting, cost = cluster + 1, 0
            else:
                cost += int(costs[cluster])
        if waiting < len(sizes):
            add(waiting, len(sizes))
        for compared, verified in self.asked.run(compare, units, task="Comparing embeddings"):
            self.report.compared += compared
            self.report.verified += verified
        return [unit.out for unit in units]

    def _framed(self, runs: Sequence[Path], copies: Places, originals: Places) -> Iterator[pl.DataFrame]:
        wanted = np.zeros(self.n, np.bool_)
        wanted[copies] = wanted[originals] = True
        for later, earlier, _ in _pairs_of(runs):
            wanted[later] = wanted[earlier] = True
        ids = DocumentIds(self.asked.files, self.offsets, wanted, self.folder)
        for start in range(0, len(copies), _PAIRS_AT_ONCE):
            part = slice(start, start + _PAIRS_AT_ONCE)
            yield self._frame(ids, copies[part], originals[part], np.ones(len(copies[part])))
        for later, earlier, similarity in _pairs_of(runs):
            yield self._frame(ids, later, earlier, similarity)

    def _frame(
        self, ids: DocumentIds, later: Places, earlier: Places, similarity: npt.NDArray[np.float64]
    ) -> pl.DataFrame:
        columns = {
            "file": np.searchsorted(self.offsets, later, side="right") - 1,
            "doc_id": ids.of(later),
            "other_file": np.searchsorted(self.offsets, earlier, side="right") - 1,
            "other_id": ids.of(earlier),
            "similarity": similarity,
        }
        return pl.DataFrame(columns, schema=PAIRS)


def _pairs_of(runs: Sequence[Path]) -> Iterator[tuple[Places, Places, npt.NDArray[np.float64]]]:
    """What workers wrote, so many pairs at once: later places, earlier places, similarities."""
    for run in runs:
        rows = mapped(run, np.float64).reshape(-1, 3)
        for start in range(0, len(rows), _PAIRS_AT_ONCE):
            part = rows[start : start + _PAIRS_AT_ONCE]
            yield part[:, 0].astype(np.int64), part[:, 1].astype(np.int64), part[:, 2].copy()


def _find_copies(hashes: npt.NDArray[np.uint64]) -> tuple[Places, Places]:
    """The documents with the vector of another one that stands before them, ascending, and the first of those."""
    order = np.argsort(hashes, kind="stable")
    ordered = hashes[order]
    begins = np.diff(ordered, prepend=~ordered[:1]) != 0
    first = order[np.maximum.accumulate(np.where(begins, np.arange(len(order)), 0))]
    is_copy = ~begins & (ordered != 0)
    copies, originals = order[is_copy], first[is_copy]
    ascending = np.argsort(copies)
    return copies[ascending], originals[ascending]
