"""Duplicates in plain files: `lakehouse dedup`."""

from __future__ import annotations

import enum
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import numpy.typing as npt
import polars as pl
import typer

from lakehouse import compute
from lakehouse.cli.show import ProgressBars, errors, escape
from lakehouse.cli.texts import documents as documents_of
from lakehouse.identity import text_id
from lakehouse.lake import LakeError

if TYPE_CHECKING:
    from lakehouse.dedup.choose import Choice, ShinglesOf

_PART_DOCUMENTS = 16_384
_PART_BYTES = 32_000_000
_LINES_AT_ONCE = 65_536

Edges = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]]


class Method(enum.StrEnum):
    """What counts as a duplicate."""

    exact = "exact"
    near = "near"


class Keep(enum.StrEnum):
    """Which duplicate is the best."""

    longest = "longest"
    first = "first"


def add_to(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(rich_help_panel="Stages on plain files")(dedup)


def dedup(
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="JSON lines with id and text, also as .gz; - is standard input.", metavar="FILE.jsonl…"),
    ] = None,
    method: Annotated[Method, typer.Option(help="near finds exact copies too.")] = Method.near,
    threshold: Annotated[float, typer.Option(help="Least Jaccard similarity of duplicates.")] = 0.7,
    bands: Annotated[int, typer.Option(help="More find more pairs of little similarity.")] = 14,
    rows: Annotated[int, typer.Option(help="Hashes of a band; more compare less in vain.")] = 8,
    words: Annotated[int, typer.Option(help="Words of a shingle.")] = 5,
    seed: Annotated[int, typer.Option(help="Of the hashes.")] = 1,
    keep: Annotated[Keep, typer.Option(help="Which of several duplicates stays.")] = Keep.longest,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; one a core without it.")] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Say what bands and rows find.")] = False,
    plot: Annotated[Path | None, typer.Option(help="Draw it, as a PNG file.")] = None,
) -> None:
    """Find duplicates: one JSON line a document with id, cluster, kept, kept_id and similarity, in the same order.

    Documents are alike in the runs of words that they share (Jaccard similarity), and each pair is measured.
    kept_id is the document that stays for this one; similarity is that of the two, null where it stays itself.
    cluster is the best of the documents that hang together, one like the next. It stays, as does each of them
    that is unlike all that stay. Ids may repeat. A text without a word is a copy of the very same text only.

        lakehouse dedup texts.jsonl more.jsonl.gz > verdicts.jsonl
        lakehouse dedup --bands 20 --rows 10 --threshold 0.8 --explain
    """
    from lakehouse import annotate
    from lakehouse.dedup import DedupError

    if not 0 < threshold <= 1:
        raise DedupError(f"--threshold is {threshold:g}; it must be above 0 and at most 1.")
    declared = {"minhash": {"words": words, "bands": bands, "rows": rows, "seed": seed}}
    annotate.annotator(declared)  # it knows which settings make sense
    _show_curve(bands, rows, threshold, explain=explain, plot=plot, alone=not files)
    if not files:
        if explain or plot:
            return
        raise DedupError("No files: name files of JSON lines with id and text, or - for standard input.")
    for file in files:
        if str(file) != "-" and not file.exists():
            raise LakeError(f"{file} cannot be read: No such file or directory.")
    workers = workers or compute.available_workers()
    with tempfile.TemporaryDirectory(prefix="lakehouse-dedup-") as made, ProgressBars() as bars:
        with compute.reporting_to(bars):
            work = _Work(Path(made), declared if method == Method.near else None, workers, threshold)
            read = work.read(files)
            choice, order = work.choose(read, keep)
        _print_lines(read, choice, order)
    _summarise(read, choice, work)


@dataclass(frozen=True)
class _Part:
    """A unit of work: some documents (doc_id and text) to measure, and the file to write that to."""

    batches: Sequence[pl.DataFrame]
    declared: dict[str, Any] | None
    file: Path
    first: int

    def __str__(self) -> str:
        return f"documents from {self.first:,} on"


def _measure(part: _Part) -> pl.DataFrame:
    """Measure a part; return a row a document: id, n_chars and text_id."""
    from lakehouse import annotate

    read = pl.concat(part.batches)
    identities = pl.Series("text_id", [text_id(text) for text in read["text"]], dtype=pl.String)
    if part.declared is not None:
        minhash = annotate.annotator(part.declared)
        places = pl.int_range(part.first, part.first + read.height, eager=True).cast(pl.String)
        # Ids may repeat, so documents are named by their place.
        documents = read.select(doc_id=places, text="text", language=pl.lit("und"))
        # Some at a time: what is measured on the way is larger than the texts.
        heights = [batch.height for batch in part.batches]
        starts = np.cumsum([0, *heights[:-1]]).tolist()
        measured = [
            pl.concat([batch.select("doc_id"), *annotate.measure_all(batch, [minhash])], how="horizontal")
            for batch in (documents.slice(start, height) for start, height in zip(starts, heights, strict=True))
        ]
        pl.concat(measured).write_parquet(part.file, row_group_size=4_096)
    return read.select(id="doc_id", n_chars=pl.col("text").str.len_chars()).with_columns(identities)


@dataclass
class _Work:
    """One run: where intermediate files lie, how documents are measured (None: not), and what is similar enough."""

    folder: Path
    declared: dict[str, Any] | None
    workers: int
    threshold: float
    measured: list[Path] = field(default_factory=list)
    thinned: int = 0

    def read(self, files: Sequence[Path]) -> pl.DataFrame:
        """Read and measure all documents, as many at a time as there are workers; id, n_chars and text_id of each."""
        found = [pl.DataFrame(schema={"id": pl.String, "n_chars": pl.UInt32, "text_id": pl.String})]
        compute.progress().start(task := "Reading documents", 0)
        try:
            for parts in _in_turns(self._parts(files), 2 * self.workers if self.workers > 1 else 1):
                for frame in self._run(_measure, parts, task="Measuring documents"):
                    compute.progress().advance(task, frame.height)
                    found.append(frame)
                self.measured += [part.file for part in parts if self.declared is not None]
        finally:
            compute.progress().finish(task)
        return pl.concat(found)

    def choose(self, read: pl.DataFrame, keep: Keep) -> tuple[Choice, npt.NDArray[np.int64]]:
        """Decide what stays; also give the places of the documents, best first, by which the choice names them."""
        from lakehouse.dedup.choose import choose

        n = read.height
        order = np.arange(n)
        if keep == Keep.longest:
            order = np.lexsort((order, -read["n_chars"].to_numpy().astype(np.int64)))
        rank = np.empty(n, np.int64)
        rank[order] = np.arange(n)
        a, b, similarity = (np.concatenate(column) for column in zip(_same(read), *self._similar(), strict=True))
        return choose(
            n,
            rank[a],
            rank[b],
            similarity,
            threshold=self.threshold,
            shingles_of=self._shingles(order) if self.measured else None,
        ), order

    def _run(self, function: Callable[[Any], Any], units: Sequence[Any], *, task: str) -> Iterator[Any]:
        # To start processes takes longer than what one of them does in a second or two.
        return compute.run(function, units, task=task, workers=min(self.workers, len(units)))

    def _parts(self, files: Sequence[Path]) -> Iterator[_Part]:
        batches: list[pl.DataFrame] = []
        first = number = rows = size = 0
        for file in files:
            for batch in documents_of(file):
                batches.append(batch)
                rows, size = rows + batch.height, size + int(batch.estimated_size())
                if rows >= _PART_DOCUMENTS or size >= _PART_BYTES:
                    yield _Part(batches, self.declared, self.folder / f"{number:06d}.parquet", first)
                    batches, first, number, rows, size = [], first + rows, number + 1, 0, 0
        if batches:
            yield _Part(batches, self.declared, self.folder / f"{number:06d}.parquet", first)

    def _similar(self) -> Iterator[Edges]:
        """Pairs of places of similar documents."""
        from lakehouse.dedup.near import find_pairs

        if not self.measured:
            return
        pairs = find_pairs(self.measured, floor=self.threshold, scratch=self.folder / "pairs", run=self._run)
        for frame in pairs:
            a, b = (frame[name].cast(pl.Int64).to_numpy() for name in ("doc_id", "other_id"))
            yield a, b, frame["similarity"].to_numpy()
        self.thinned = sum(band.documents for band in pairs.report.thinned)

    def _shingles(self, order: npt.NDArray[np.int64]) -> ShinglesOf:
        """Finds the shingles of documents by their place in the order."""
        from lakehouse.dedup import shingles_of

        return lambda asked: shingles_of(self.measured, pl.Series(order[asked]).cast(pl.String), self.folder)


def _same(read: pl.DataFrame) -> Edges:
    """Each copy with the first document of the same text."""
    places = read.select("text_id").with_row_index("place").cast({"place": pl.Int64})
    firsts = places.with_columns(first=pl.col("place").first().over("text_id"))
    copies = firsts.filter(pl.col("place") != pl.col("first"))
    return copies["place"].to_numpy(), copies["first"].to_numpy(), np.ones(copies.height)


def _in_turns(parts: Iterator[_Part], at_once: int) -> Iterator[list[_Part]]:
    turn: list[_Part] = []
    for part in parts:
        turn.append(part)
        if len(turn) == at_once:
            yield turn
            turn = []
    if turn:
        yield turn


def _print_lines(read: pl.DataFrame, choice: Choice, order: npt.NDArray[np.int64]) -> None:
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    for first in range(0, len(order), _LINES_AT_ONCE):
        own = slice(first, first + _LINES_AT_ONCE)
        ranks = rank[own]
        lines = pl.DataFrame(
            {
                "id": read["id"][own],
                "cluster": read["id"].gather(order[choice.component[ranks]]),
                "kept": choice.keeper[ranks] == ranks,
                "kept_id": read["id"].gather(order[choice.keeper[ranks]]),
                "similarity": pl.Series(choice.similarity[ranks]).fill_nan(None),
            }
        )
        sys.stdout.write(lines.write_ndjson())


def _summarise(read: pl.DataFrame, choice: Choice, work: _Work) -> None:
    kept = int(np.count_nonzero(np.isnan(choice.similarity)))
    copies = int(np.count_nonzero(choice.similarity == 1.0))
    near = f", {read.height - kept - copies:,} near duplicates" if work.declared is not None else ""
    errors.print(f"{read.height:,} documents: {kept:,} stay, {copies:,} are copies of these{near}.", soft_wrap=True)
    if work.thinned:
        errors.print(
            f"{work.thinned:,} times a document shared a key with too many to be compared with all of them: it was "
            "compared with the closest, and then with what stays. More --rows make keys rarer.",
            soft_wrap=True,
        )


def _show_curve(bands: int, rows: int, threshold: float, *, explain: bool, plot: Path | None, alone: bool) -> None:
    """Say and draw how likely pairs are compared; beside the lines of documents it goes to standard error."""
    from lakehouse.dedup import curve

    if explain:
        print(curve.explain(bands, rows, threshold), file=sys.stdout if alone else sys.stderr)
    if plot is not None:
        similarities = [step / 200 for step in range(201)]
        found = [curve.probability(similarity, bands, rows) for similarity in similarities]
        # Importing it takes most of a second, which a command that draws nothing need not wait for.
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7, 4), layout="constrained")
        axes = figure.subplots()
        axes.plot(similarities, found, color="#4a6fa5")
        axes.axvline(threshold, color="#9a9a9a", linestyle="--", linewidth=0.8, label=f"threshold {threshold:g}")
        axes.set(xlabel="Jaccard similarity", ylabel="probability of being compared", xlim=(0, 1), ylim=(-0.02, 1.02))
        axes.set_title(f"{bands} bands of {rows} rows", loc="left")
        axes.legend()
        try:
            figure.savefig(plot, format="png", dpi=90)
        except OSError as error:
            raise LakeError(f"{plot} cannot be written: {error.strerror}.") from error
        errors.print(f"Wrote {escape(str(plot))}.", soft_wrap=True)
