"""Repeated lines, sentences and substrings of a snapshot: MB/s, greatest memory, and what their edits take.

    python benchmarks/repeats.py [--warc FILE] [--megabytes 100] [--suffix-array]

Two snapshots: the pages of a WARC file, and made-up documents of about 2 KB, of which every eighth holds a passage of
40 to 400 words that others hold too. Each kind runs in a process of its own, one worker, through all its passes.
With `--suffix-array`, which needs pydivsufsort 0.0.20, the substrings are also found with a suffix array of the words
and its longest common prefixes; both ways should remove the same.
"""

from __future__ import annotations

import argparse
import dataclasses
import multiprocessing
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from assets.measure import AnnotationUnit, annotation_table, measure_file, merge_surveys, survey_file
from assets.raw.ingest import ingest_file, landed_files
from lakehouse import annotate, identity, schema
from lakehouse.annotate import Batch
from lakehouse.annotate.words import total
from lakehouse.commits import Origin
from lakehouse.data_files import read_batches
from lakehouse.lake import Lake

A_FILE = 10_000
SIZE = 50
ORIGIN = Origin(run_id="benchmark", asset="", code_version="1", config_hash="", inputs={})
KINDS: dict[str, Any] = {
    "lines": {"kind": "shared_lines"},
    "lines_of_all": {"kind": "shared_lines", "across": "corpus"},
    "paragraphs": {"kind": "shared_lines", "unit": "paragraph", "across": "corpus"},
    "sentences": {"kind": "shared_lines", "unit": "sentences", "across": "corpus"},
    "substrings": {"kind": "repeated_substrings"},
    "substrings_all": {"kind": "repeated_substrings", "keep_first": False},
}


def made_up(megabytes: int) -> Iterator[pl.DataFrame]:
    """Documents of words that are as frequent as words are, in lines of sentences."""
    draw = np.random.default_rng(1)
    letters = draw.choice(list("abcdefghijklmnopqrstuvwxyz"), (50_000, 9))
    words = np.array(["".join(row[:length]) for row, length in zip(letters, draw.integers(2, 10, 50_000), strict=True)])
    passages = [_text(draw, words, draw.integers(40, 400)) for _ in range(500)]
    for ordinal in range(0, megabytes * 500, A_FILE):
        texts = [_text(draw, words, 330) for _ in range(min(A_FILE, megabytes * 500 - ordinal))]
        for place in range(0, len(texts), 8):
            texts[place] += "\n" + passages[draw.integers(len(passages))]
        yield pl.DataFrame({"text": texts}).with_columns(
            doc_id=pl.Series([identity.hash_of(ordinal + place) for place in range(len(texts))]),
            text_id=pl.lit("t"),
            snapshot=pl.lit("s1"),
            source=pl.lit("web"),
            n_chars=pl.col("text").str.len_chars().cast(pl.Int64),
            n_words=pl.lit(1, pl.Int64),
            parents=pl.lit([], pl.List(pl.String)),
            host=pl.Series([f"{(ordinal + place) % 1_000}.test" for place in range(len(texts))]),
            language=pl.lit("en"),
        )


def _text(draw: np.random.Generator, words: np.ndarray, length: int) -> str:
    chosen = words[np.minimum(draw.zipf(1.2, length), len(words)) - 1].astype(object)
    chosen[11::12] += ". "
    chosen[59::60] += "\n"
    return " ".join(chosen)


def write_made_up(root: Path, megabytes: int) -> None:
    """Write made-up documents to `raw/web`."""
    lake, written = Lake(root), []
    for ordinal, documents in enumerate(made_up(megabytes)):
        with lake.writer("raw/web", snapshot="s1", ordinal=ordinal) as writer:
            writer.write(documents)
        written += writer.finished()
    lake.replace("raw/web", written, ORIGIN, snapshot="s1")


def write_pages(root: Path, warc: Path) -> None:
    """Write the pages of a WARC file to `raw/web`."""
    lake = Lake(root)
    landed = lake.landing / "web/s1" / warc.name
    landed.parent.mkdir(parents=True)
    landed.symlink_to(warc.resolve())
    written = [data for file in landed_files(lake, "web", "s1") for data in ingest_file(file).documents]
    lake.replace("raw/web", written, ORIGIN, snapshot="s1")


def measure(root: Path, name: str) -> None:
    """Survey and measure the documents with one kind."""
    lake, declared = Lake(root), {name: KINDS[name]}
    one = annotate.annotator(declared)
    work = AnnotationUnit(root, "raw/web", "s1", root, 0, (declared,))
    units = [dataclasses.replace(work, file=file, ordinal=place) for place, file in enumerate(lake.files("raw/web"))]
    assert one.survey is not None
    for _ in range(2 if one.survey.count_again else 1):
        found = merge_surveys(root, one, [survey_file(unit)[name] for unit in units])
        units = [dataclasses.replace(unit, surveys={name: found}) for unit in units]
    files = [file for unit in units for file in measure_file(unit)[name]]
    columns = schema.annotation_schema(one.columns)
    lake.replace(annotation_table("raw/web", name), files, ORIGIN, snapshot="s1", columns=columns)


def timed(root: Path, name: str, answer: Any) -> None:
    """Tell the seconds and the greatest memory (bytes) of a kind, its kernels compiled, beyond that of its start."""
    one = annotate.annotator({name: KINDS[name]})
    documents = next(read_batches(Lake(root).files("raw/web")[0], ["doc_id", "text", "language", "host"], rows=20))
    annotate.measure_all(documents, [one])
    before = _peak()
    start, processor = time.perf_counter(), time.process_time()
    measure(root, name)
    spent = time.perf_counter() - start, time.process_time() - processor
    answer.send((*spent, before, _peak()))


def _peak() -> int:
    """The greatest memory of this process in bytes; what getrusage says of it is that of its parent too."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))


def report(root: Path) -> None:
    """Print what each kind costs and takes."""
    lake = Lake(root)
    texts = lake.scan("raw/web").select(bytes=pl.col("text").str.len_bytes(), characters=pl.col("n_chars"))
    size, characters, documents = texts.select(pl.col("bytes", "characters").sum(), rows=pl.len()).collect().row(0)
    print(f"{documents:,} documents, {size / 1e6:.1f} MB, {len(lake.files('raw/web'))} data files")
    context = multiprocessing.get_context("spawn")
    for name in KINDS:
        here, there = context.Pipe()
        process = context.Process(target=timed, args=(root, name, there))
        process.start()
        seconds, processor, before, most = here.recv()
        process.join()
        measured = lake.scan(annotation_table("raw/web", name)).select(pl.col("^.*_edits$").explode().drop_nulls())
        spans = measured.collect().to_series().struct.unnest()
        share = (spans["end"] - spans["start"]).sum() / characters
        print(
            f"{name}: {size / 1e6 / seconds:.1f} MB/s ({size / 1e6 / processor:.1f} a second of processor), "
            f"peak {most / 1e6:.0f} MB ({before / 1e6:.0f} before); {spans.height:,} edits take {share:.2%}"
        )


def compare(root: Path) -> None:
    """Find the substrings with a suffix array too, all documents in memory."""
    import pydivsufsort  # type: ignore[import-not-found]

    batch = Batch(Lake(root).scan("raw/web").select("doc_id", "text", "language", "host").collect())
    one = annotate.annotator({"substrings_all": KINDS["substrings_all"]})
    words, separators = batch.words, np.arange(batch.documents.height)
    start = time.perf_counter()
    measured = one.measure(batch)["repeated_characters"].fill_null(0)
    measuring = time.perf_counter() - start

    _, numbers = np.unique(words.whole_hashes, return_inverse=True)
    start = time.perf_counter()
    # A number of its own ends each document.
    texts = np.insert(numbers, words.offsets[1:], numbers.max() + 1 + separators).astype(np.uint32)
    suffixes = pydivsufsort.divsufsort(texts)
    common = pydivsufsort.kasai(texts, suffixes)
    repeats = suffixes[np.maximum(common, np.roll(common, 1)) >= SIZE]
    depth = np.zeros(len(texts) + SIZE + 1, np.int64)
    np.add.at(depth, repeats, 1)
    np.add.at(depth, repeats + SIZE, -1)
    covered = np.delete(np.cumsum(depth)[: len(texts)] > 0, words.offsets[1:] + separators)
    sorting = time.perf_counter() - start

    removed = total(words.whole_lengths * covered, words.offsets)
    shares = removed / np.maximum(total(words.whole_lengths, words.offsets), 1)
    size = batch.documents["text"].str.len_bytes().sum() / 1e6
    print(
        f"in memory, words found before: annotator {size / measuring:.1f} MB/s; suffix array, words numbered before, "
        f"{size / sorting:.1f} MB/s; of {len(shares):,} documents {np.isclose(shares, measured).sum():,} lose the same"
    )


def main() -> None:
    """Measure both snapshots."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--warc", type=Path, default=Path("../shared/data/warc/miniweb-crawl/miniweb-crawl-00000.warc.gz")
    )
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--suffix-array", action="store_true")
    arguments = parser.parse_args()
    for write, what in ((write_pages, arguments.warc), (write_made_up, arguments.megabytes)):
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder), what)  # type: ignore[operator]
            report(Path(folder))
            if arguments.suffix_array:
                compare(Path(folder))


if __name__ == "__main__":
    main()
