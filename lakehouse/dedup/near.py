"""Near duplicates: which documents of a new snapshot are similar to which, and how similar exactly.

Candidates are found by the keys of MinHash bands and then all compared by their shingles, so no pair is a guess. What
was compared before is not compared again: pairs have at least one new document, and the pairs of one snapshot after the
other are those of all snapshots at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from lakehouse.compute import progress
from lakehouse.dedup import room
from lakehouse.dedup.bands import Thinned, find_candidates, find_copies, merge
from lakehouse.dedup.columns import Places, Signatures, mapped, read_signatures
from lakehouse.dedup.errors import DedupError
from lakehouse.dedup.gather import DocumentIds, Gathering, gather, lay_out
from lakehouse.dedup.jaccard import could_reach, similarities
from lakehouse.dedup.scratch import own_folder

PAIRS: dict[str, type[pl.DataType]] = {
    "file": pl.Int64,
    "doc_id": pl.String,
    "other_file": pl.Int64,
    "other_id": pl.String,
    "similarity": pl.Float64,
}
"""The columns of pairs."""

MAX_GROUP = 64
"""So many documents that share a key are all compared with each other."""

_CODES_AT_ONCE = 1 << 24
_CODES_AT_LEAST = 1 << 20
_PAIRS_AT_ONCE = 1 << 16
_ROWS_AT_LEAST = 1 << 20
_BYTES_A_DOCUMENT = 25  # what tells which shingles are needed, and where they lie
_BYTES_A_ROW = 96  # key, place, order and slot of a document while a band is sorted
_BYTES_A_CODE = 24  # a pair, its sorted copy, and its two places
_BYTES_AN_ID = 64


class Run(Protocol):
    """Applies a function to units of work and yields the results in their order, like `lakehouse.compute.run`."""

    def __call__(self, function: Callable[[Any], Any], units: Sequence[Any], *, task: str) -> Iterator[Any]:
        """Do the work."""


@dataclass
class Report:
    """What was done; complete when all pairs were yielded.

    Attributes:
        documents: new documents.
        earlier: documents of the files before.
        candidates: pairs that share a key, each once.
        verified: pairs that are at least as similar as was asked for, copies not counted.
        copies: new documents with the very shingles of another one.
        thinned: the bands in which too many documents shared a key to be all compared.
    """

    documents: int = 0
    earlier: int = 0
    candidates: int = 0
    verified: int = 0
    copies: int = 0
    thinned: list[Thinned] = field(default_factory=list)


@dataclass(frozen=True)
class Block:
    """A unit of work: compare some candidates.

    Attributes:
        folder: holds `sizes`, `starts`, `shingles` and `candidates`.
        first: of the candidates.
        end: of the candidates.
        floor: the least similarity of interest.
    """

    folder: Path
    first: int
    end: int
    floor: float

    def __str__(self) -> str:
        return f"pairs {self.first:,} to {self.end:,}"


@dataclass
class Pairs:
    """Similar documents, found while this is iterated over, once; see `find_pairs`.

    Attributes:
        report: what was done.
    """

    files: Sequence[Path]
    first_new: int
    floor: float
    scratch: Path
    run: Run
    max_group: int
    measure_room: Callable[[Path], room.Room]
    report: Report = field(default_factory=Report)

    def __iter__(self) -> Iterator[pl.DataFrame]:
        with own_folder(self.scratch) as folder:
            yield from _Search(self, folder).frames()


def find_pairs(
    files: Sequence[Path],
    *,
    first_new: int = 0,
    floor: float = 0.5,
    scratch: Path,
    run: Run,
    max_group: int = MAX_GROUP,
    measure_room: Callable[[Path], room.Room] = room.measure,
) -> Pairs:
    """Find the pairs of similar documents of which at least one is new.

    Of documents with the same shingles only the first is compared with others; each other one has one pair, with the
    first and of similarity 1.0. The pairs do not depend on how the documents are spread over files, on the order in
    which they stand there (which of them is named first does), nor on the number of workers. Where more than
    `max_group` documents share a key, each is compared with a few of them only (see `bands.find_candidates`); the
    report tells.

    Memory grows by some 100 bytes a document, by 25 where there is little; shingles lie in a file.

    Args:
        files: Parquet data files of a `minhash` annotation, in the order of their snapshots.
        first_new: the place in `files` of the first one that is new; those before were compared with each other.
        floor: the least similarity of a pair, above 0 and at most 1.
        scratch: folder for intermediate files, about 4 bytes a shingle of the candidates. What is in it is never looked
            at, and what is made in it is removed, also after an error.
        run: runs the work, as `lakehouse.compute.run` does.
        max_group: documents that share a key and are all compared with each other, 2 or more.
        measure_room: what is free on the disk and of the memory.

    Returns:
        Frames of pairs, to be iterated over: file and other_file (places in `files`), doc_id and other_id, similarity.
        doc_id is the new one, of two new ones the one that stands later. Rows are in the order of their documents,
        those of one document in the order of the others.

    Raises:
        DedupError: an argument is out of bounds; while iterating: a file is no annotation of this kind, or there is no
            room.
        OSError: while iterating: a file cannot be read or written.
    """
    if not 0 < floor <= 1:
        raise DedupError(f"floor is {floor}; it must be above 0 and at most 1.")
    if not 0 <= first_new <= len(files):
        raise DedupError(f"first_new is {first_new}; there are {len(files)} files.")
    if max_group < 2:
        raise DedupError(f"max_group is {max_group}; it must be 2 or more.")
    return Pairs(files, first_new, floor, scratch, run, max_group, measure_room)


def verify(block: Block) -> tuple[Places, Places, npt.NDArray[np.float64]]:
    """Compare a block of candidates.

    Returns:
        Of the pairs that are similar enough, in their order: later place, earlier place, similarity.
    """
    sizes, starts = mapped(block.folder / "sizes", np.int32), mapped(block.folder / "starts", np.int64)
    codes = mapped(block.folder / "candidates", np.int64)[block.first : block.end]
    later, earlier = codes // len(sizes), codes % len(sizes)
    a, b = starts[later], starts[earlier]
    data = mapped(block.folder / "shingles", np.uint32)
    found = similarities(data, (a, a + sizes[later]), (b, b + sizes[earlier]), block.floor)
    similar = found >= block.floor
    return later[similar], earlier[similar], found[similar]


class _Search:
    """One search, whose intermediate files lie in a folder of its own."""

    def __init__(self, asked: Pairs, folder: Path) -> None:
        self.asked = asked
        self.folder = folder
        self.report = asked.report

    def frames(self) -> Iterator[pl.DataFrame]:
        asked, report = self.asked, self.report
        signatures = read_signatures(asked.files, asked.first_new, self.folder)
        n = signatures.documents
        report.documents, report.earlier = n - signatures.first_place, signatures.first_place
        if not report.documents:
            return
        parts, codes_at_once = self._portions(n)
        copies, originals = find_copies(signatures, parts)
        report.copies = len(copies)
        self._find_candidates(signatures, copies, parts, codes_at_once)
        wanted = self._gather(signatures)
        wanted[copies] = wanted[originals] = True
        ids = DocumentIds(asked.files, signatures.offsets, wanted, self.folder)
        done = 0
        blocks = self._blocks(n)
        compared = asked.run(verify, blocks, task="Comparing documents")
        for block, (later, earlier, similarity) in zip(blocks, compared, strict=True):
            report.verified += len(later)
            upto = int(np.searchsorted(copies, self._place(block.end - 1, n), side="right"))
            own = slice(done, upto)
            done = upto
            later, earlier = np.concatenate([later, copies[own]]), np.concatenate([earlier, originals[own]])
            similarity = np.concatenate([similarity, np.ones(len(later) - len(similarity))])
            order = np.lexsort((earlier, later))
            yield from self._framed(signatures, ids, later[order], earlier[order], similarity[order])
        yield from self._framed(signatures, ids, copies[done:], originals[done:], np.ones(len(copies) - done))

    def _portions(self, n: int) -> tuple[int, int]:
        """In how many parts bands are dealt with, and how many codes at a time, for memory to suffice."""
        free = self.asked.measure_room(self.folder)
        fixed = _BYTES_A_DOCUMENT * n
        most = min(n * self.asked.max_group, _CODES_AT_ONCE)
        least = fixed + _BYTES_A_ROW * min(n, _ROWS_AT_LEAST) + _BYTES_A_CODE * min(most, _CODES_AT_LEAST)
        free.require(self.folder, f"to look for pairs among {n:,} documents", memory=least)
        if free.memory is None:
            return 1, most
        # Half of what is there is left to others.
        codes = min(most, max(_CODES_AT_LEAST, (free.memory - fixed) // 8 // _BYTES_A_CODE))
        rows = max(_ROWS_AT_LEAST, ((free.memory - fixed) // 2 - _BYTES_A_CODE * codes) // _BYTES_A_ROW)
        return -(-n // rows), codes

    def _find_candidates(self, signatures: Signatures, copies: Places, parts: int, codes_at_once: int) -> None:
        """Write the codes of all pairs that share a key, ascending and each once, to the file `candidates`."""
        is_copy = np.zeros(self.report.documents, np.bool_)
        is_copy[copies - signatures.first_place] = True
        runs: list[Path] = []
        progress().start(task := "Finding candidates", len(signatures.bands))
        try:
            for band in signatures.bands:
                for codes in find_candidates(
                    signatures, band, is_copy, self.report.thinned,
                    max_group=self.asked.max_group, parts=parts, codes_at_once=codes_at_once,
                ):  # fmt: skip
                    # The pairs of all bands are merged into a file as large as all runs, at most.
                    self._require_disk(2 * codes.nbytes, "for candidates")
                    runs.append(self.folder / f"run-{len(runs)}")
                    codes.tofile(runs[-1])
                progress().advance(task)
        finally:
            progress().finish(task)
        with (self.folder / "candidates").open("wb") as out:
            for codes in merge([mapped(run, np.int64) for run in runs], signatures.documents, codes_at_once):
                self.report.candidates += len(codes)
                later, earlier = codes // signatures.documents, codes % signatures.documents
                possible = could_reach(signatures.sizes[later], signatures.sizes[earlier], self.asked.floor)
                codes[possible].tofile(out)
        for run in runs:
            run.unlink()

    def _gather(self, signatures: Signatures) -> npt.NDArray[np.bool_]:
        """Bring the shingles of all documents that are to be compared into the file `shingles`; tell which they are."""
        n = signatures.documents
        wanted = np.zeros(n, np.bool_)
        candidates = mapped(self.folder / "candidates", np.int64)
        for first in range(0, len(candidates), _CODES_AT_LEAST):
            codes = candidates[first : first + _CODES_AT_LEAST]
            wanted[codes // n] = wanted[codes % n] = True
        lengths = np.where(wanted, signatures.sizes, 0).astype(np.int64)
        ends = np.cumsum(lengths)
        total, documents = int(ends[-1]), int(np.count_nonzero(wanted))
        needed = 4 * total + 9 * n + _BYTES_AN_ID * (documents + 2 * self.report.copies)
        self._require_disk(needed, f"for the shingles of {documents:,} documents")
        lay_out(self.folder, wanted, ends - lengths, total)
        places = zip(self.asked.files, signatures.offsets[:-1].tolist(), signatures.offsets[1:].tolist(), strict=True)
        units = [Gathering(file, first, self.folder) for file, first, end in places if wanted[first:end].any()]
        for _ in self.asked.run(gather, units, task="Gathering shingles"):
            pass
        return wanted

    def _blocks(self, n: int) -> list[Block]:
        """The candidates in blocks; those of one document are in one."""
        candidates = mapped(self.folder / "candidates", np.int64)
        blocks, first = [], 0
        while first < len(candidates):
            last = min(first + _PAIRS_AT_ONCE, len(candidates)) - 1
            end = int(np.searchsorted(candidates, (self._place(last, n) + 1) * n))
            blocks.append(Block(self.folder, first, end, self.asked.floor))
            first = end
        return blocks

    def _place(self, candidate: int, n: int) -> int:
        """The later place of a candidate."""
        return int(mapped(self.folder / "candidates", np.int64)[candidate]) // n

    def _framed(
        self,
        signatures: Signatures,
        ids: DocumentIds,
        later: Places,
        earlier: Places,
        similarity: npt.NDArray[np.float64],
    ) -> Iterator[pl.DataFrame]:
        for first in range(0, len(later), _PAIRS_AT_ONCE):
            rows = slice(first, first + _PAIRS_AT_ONCE)
            columns = {
                "file": np.searchsorted(signatures.offsets, later[rows], side="right") - 1,
                "doc_id": ids.of(later[rows]),
                "other_file": np.searchsorted(signatures.offsets, earlier[rows], side="right") - 1,
                "other_id": ids.of(earlier[rows]),
                "similarity": similarity[rows],
            }
            yield pl.DataFrame(columns, schema=PAIRS)

    def _require_disk(self, needed: int, purpose: str) -> None:
        self.asked.measure_room(self.folder).require(self.folder, purpose, disk=needed)
