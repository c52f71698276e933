"""Near duplicates: signatures beside the peers', and pairs end to end.

    taskset -c 1 python benchmarks/duplicates.py signatures [--datatrove PYTHON] [--text-dedup PYTHON]
    python benchmarks/duplicates.py near [--documents 100000] [--floor 0.5] [--workers 2]
    python benchmarks/duplicates.py near --one-text 0.5
    python benchmarks/duplicates.py near --shared-band 100000 --planted 0
    python benchmarks/duplicates.py near --shelf 50000 --documents 50000

`signatures` takes texts of zip archives, cut to 2,000 characters, on one core. The peers' Pythons are those of
environments of their own. Dolma has no MinHash: its near duplicates are paragraphs and n-grams in a Bloom filter.

`near` makes a corpus whose pairs are known (see `duplicate_corpus.py`), measures all but its last hundredth, finds the
pairs, then adds that hundredth. Beside the share of the planted pairs that was found stands what the S-curve says of
them. Precision is counted on a sample of the found pairs, with Python's sets. Memory is that of all processes together.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import os
import random
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import polars as pl
from duplicate_corpus import Corpus, add_options, doc_id, from_options, jaccard, write
from end_to_end import PeakMemory
from rules import BATCH_DOCUMENTS, texts

from lakehouse import annotate, compute, schema
from lakehouse.data_files import DataFileWriter, read_batches
from lakehouse.dedup.curve import probability
from lakehouse.dedup.near import PAIRS, Report, find_pairs

PEERS = Path(__file__).with_name("duplicate_peers.py")
PEER_SHARE = 0.1
BANDS, ROWS = 14, 8
SNAPSHOT = "s1"
SAMPLE = 2_000
EDGES = (0.0, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0)

Result = TypeVar("Result")


# Signatures.


def signatures(arguments: argparse.Namespace) -> None:
    """Print how many documents a second ours and the peers' signatures take."""
    pieces = list(texts(arguments.zips))
    if not pieces:
        raise SystemExit(f"there are no texts in {arguments.zips}/*.zip")
    text = pl.Series("text", itertools.islice(itertools.cycle(pieces), arguments.documents), dtype=pl.String)
    documents = text.to_frame().with_columns(doc_id=pl.int_range(pl.len()).cast(pl.String), language=pl.lit("en"))
    minhash = annotate.annotator("minhash")
    annotate.measure_all(documents.head(10), [minhash])
    start = time.process_time()
    for batch in documents.iter_slices(BATCH_DOCUMENTS):
        annotate.measure_all(batch, [minhash])
    _show_speed("ours, words included", time.process_time() - start, text)
    some = text.gather_every(round(1 / PEER_SHARE))
    for peer, python in (("datatrove", arguments.datatrove), ("text_dedup", arguments.text_dedup)):
        if python:
            lines = "\n".join(map(json.dumps, some.to_list()))
            command = [python, str(PEERS), peer]
            done = subprocess.run(command, input=lines, stdout=subprocess.PIPE, text=True, check=True)
            for way, seconds in json.loads(done.stdout.splitlines()[-1]).items():
                _show_speed(f"{peer}, {way}", seconds, some)


def _show_speed(what: str, seconds: float, text: pl.Series) -> None:
    megabytes = int(text.str.len_bytes().sum()) / 1e6
    speed = f"{len(text) / seconds:10,.0f} documents/s  {megabytes / seconds:7.2f} MB/s"
    print(f"{what:28} {len(text):8,} texts  {seconds:7.2f} s  {speed}")


# Pairs, end to end.


@dataclass(frozen=True)
class Unit:
    """One file of documents to measure."""

    file: Path
    folder: Path
    ordinal: int


def measure_file(unit: Unit) -> Path:
    """Measure the documents of one file; return the file of their annotations."""
    minhash = annotate.annotator("minhash")
    columns = schema.annotation_schema(minhash.columns)
    with DataFileWriter(unit.folder, columns, snapshot=SNAPSHOT, ordinal=unit.ordinal) as writer:
        for documents in read_batches(unit.file):
            (measured,) = annotate.measure_all(documents, [minhash])
            writer.write(documents.select("doc_id", snapshot=pl.lit(SNAPSHOT)).hstack(measured))
    return unit.folder / writer.finished()[0].path


def measure(units: list[Unit], workers: int) -> list[Path]:
    """Measure the documents of several files; return the files of their annotations, in that order."""
    return list(compute.run(measure_file, units, task="minhash", workers=workers))


def near(arguments: argparse.Namespace) -> None:
    """Make a corpus, find its pairs, add a hundredth, and print what was found and what it took."""
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder, corpus = Path(name), from_options(arguments)
        files = write(corpus, folder / "documents")
        first_new = _split_last(files, corpus.documents)
        print(f"{corpus.documents:,} documents in {len(files)} files, load {os.getloadavg()[0]:.1f}")
        units = [Unit(file, folder / "minhash", ordinal) for ordinal, file in enumerate(files)]
        measured, found = [], []
        for what, first, last in (("", 0, first_new), ("1 % more ", first_new, len(files))):
            measured += _timed(f"{what}measured", functools.partial(measure, units[first:last], arguments.workers))
            found.append(_timed(f"{what}compared", functools.partial(find, measured, first, folder, arguments)))
        pairs = pl.concat(pairs for pairs, _ in found)
        for _, report in found:
            largest = max((one.largest for one in report.thinned), default=0)
            print(
                f"{report.documents:,} documents beside {report.earlier:,}: {report.candidates:,} candidates, "
                f"{report.verified:,} verified, {report.copies:,} copies, "
                f"{len(report.thinned)} bands thinned (most documents of a key: {largest:,})"
            )
        planted = pl.read_parquet(folder / "documents" / "pairs.parquet")
        _show_recall(planted, pairs, arguments.floor)
        _show_precision(corpus, pairs, arguments.floor)


def find(
    files: list[Path], first_new: int, scratch: Path, arguments: argparse.Namespace
) -> tuple[pl.DataFrame, Report]:
    """The pairs of the new files, and what was done."""
    run = functools.partial(compute.run, workers=arguments.workers)
    pairs = find_pairs(files, first_new=first_new, floor=arguments.floor, scratch=scratch / "scratch", run=run)
    return pl.concat([pl.DataFrame(schema=PAIRS), *pairs]), pairs.report


def _split_last(files: list[Path], documents: int) -> int:
    """Give the last hundredth of the documents a file of its own; return its place in the list."""
    last = pl.read_parquet(files[-1])
    new = max(1, min(documents // 100, last.height - 1))
    last.head(-new).write_parquet(files[-1])
    files.append(files[-1].with_name("documents-new.parquet"))
    last.tail(new).write_parquet(files[-1])
    return len(files) - 1


def _timed(what: str, work: Callable[[], Result]) -> Result:
    memory, start = PeakMemory(os.getpid()), time.perf_counter()
    result = work()
    seconds = time.perf_counter() - start
    peak = memory.finish()
    print(f"{what:20} {seconds:8.1f} s  " + (f"peak {peak / 1e6:8,.0f} MB" if peak else "too short for a peak"))
    return result


def _show_recall(planted: pl.DataFrame, pairs: pl.DataFrame, floor: float) -> None:
    """By similarity: planted pairs, the share of them that was found, and what the S-curve says."""
    expected = pl.col("similarity").map_elements(lambda one: probability(one, BANDS, ROWS), pl.Float64)
    # Only the first of several copies of one text is compared with others.
    copies = pairs.filter(pl.col("similarity") == 1).unique("doc_id", keep="first", maintain_order=True)
    originals = {"doc_id": copies["doc_id"].to_list(), "other_id": copies["other_id"].to_list()}
    ends = [pl.col(name).replace(*originals.values()) for name in ("doc_id", "other_id")]
    key = pl.when(ends[0] == ends[1]).then(pl.lit("")).otherwise(pl.min_horizontal(ends) + pl.max_horizontal(ends))
    found = [*pairs.select(key=key)["key"].unique(), ""]
    both = planted.select("similarity", found=key.is_in(found), expected=expected)
    print(f"{'similarity':12} {'planted':>9} {'found':>8} {'S-curve':>8}")
    for low, high in itertools.pairwise(EDGES):
        part = both.filter(pl.col("similarity") >= low, (pl.col("similarity") < high) | (high == EDGES[-1]))
        if part.height:
            note = "" if low >= floor else "  below the floor" if high <= floor else ""
            shares = f"{part['found'].mean():8.4f} {part['expected'].mean():8.4f}"
            print(f"{low:.2f} to {high:.2f} {part.height:9,} {shares}{note}")


def _show_precision(corpus: Corpus, pairs: pl.DataFrame, floor: float) -> None:
    """The share of found pairs that are as similar as they must be, and the greatest error of their similarity."""
    numbers = {doc_id(number): number for number in range(corpus.documents)}
    rows = pairs.select("doc_id", "other_id", "similarity").rows()
    sample = random.Random(1).sample(rows, min(SAMPLE, len(rows)))
    exact = [jaccard(corpus.words(numbers[one]), corpus.words(numbers[other])) for one, other, _ in sample]
    right = sum(similarity >= floor for similarity in exact)
    error = max((abs(a - row[2]) for a, row in zip(exact, sample, strict=True)), default=0.0)
    share = f"{right / len(sample):.4f}" if sample else "-"
    print(
        f"{pairs.height:,} pairs; of {len(sample):,}: precision {share}, greatest error of the similarity {error:.1e}"
    )


def main() -> None:
    """Run one of the two."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("signatures", help="signatures beside the peers'")
    one.add_argument("--zips", type=Path, default=Path("../shared/data/quality/nltk-corpora"))
    one.add_argument("--documents", type=int, default=20_000)
    one.add_argument("--datatrove", metavar="PYTHON")
    one.add_argument("--text-dedup", metavar="PYTHON")
    one.set_defaults(run=signatures)
    other = commands.add_parser("near", help="pairs end to end")
    add_options(other)
    other.add_argument("--floor", type=float, default=0.5, help="least similarity")
    other.add_argument("--workers", type=int, default=compute.available_workers())
    other.add_argument("--folder", type=Path, help="where the corpus is made; the system's folder for such files")
    other.set_defaults(run=near)
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
