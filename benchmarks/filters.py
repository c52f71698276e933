"""A million documents measured, decided on and copied, one worker: documents/s and the greatest memory of each step.

    python benchmarks/filters.py [--zips ../shared/data/quality/nltk-corpora] [--documents 1000000]

The texts are those of zip archives, cut to 2,000 characters. Each step runs in a process of its own, as workers do.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import resource
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq

from assets.filtered import selection
from assets.measure import AnnotationUnit, annotation_table, measure_file
from lakehouse import annotate, dedup, identity, schema, select
from lakehouse.commits import Origin
from lakehouse.lake import Lake

CHARACTERS = 2_000
A_FILE = 20_000
ANNOTATORS = ("gopher_quality", "gopher_repetition", "c4", "fineweb")
RULES = ["gopher_quality_fineweb", "gopher_repetition", "c4_any_ending", "fineweb"]
ORIGIN = Origin(run_id="benchmark", asset="", code_version="1", config_hash="", inputs={})


def texts(folder: Path) -> Iterator[str]:
    """The texts in the zip archives of a folder, in pieces."""
    for archive in sorted(folder.glob("*.zip")):
        with zipfile.ZipFile(archive) as files:
            for name in sorted(files.namelist()):
                text = files.read(name).decode("utf-8", "replace")
                yield from (text[start : start + CHARACTERS] for start in range(0, len(text), CHARACTERS))


def write_raw(root: Path, zips: Path, documents: int) -> int:
    """Write `raw/web` and return its bytes of text."""
    lake, written, size = Lake(root), [], 0
    pieces = itertools.islice(itertools.cycle(list(texts(zips))), documents)
    for ordinal in range(0, documents, A_FILE):
        part = list(itertools.islice(pieces, A_FILE))
        size += sum(len(text.encode()) for text in part)
        frame = pl.DataFrame({"text": part}).with_columns(
            doc_id=pl.Series([identity.hash_of(ordinal + place) for place in range(len(part))]),
            text_id=pl.Series([identity.hash_of(ordinal, place) for place in range(len(part))]),
            snapshot=pl.lit("s1"),
            source=pl.lit("web"),
            n_chars=pl.col("text").str.len_chars().cast(pl.Int64),
            n_words=pl.lit(1, pl.Int64),
            parents=pl.lit([], pl.List(pl.String)),
            url=pl.lit("http://an.example.test/a/page/of/the/web.html"),
            host=pl.lit("an.example.test"),
            warc_file=pl.lit("web/s1/file.warc.gz"),
            language=pl.lit("en"),
            language_score=pl.lit(0.99),
        )
        with lake.writer("raw/web", snapshot="s1", ordinal=ordinal // A_FILE) as writer:
            for batch in frame.iter_slices(2_048):
                writer.write(batch)
        written += writer.finished()
    lake.replace("raw/web", written, ORIGIN, snapshot="s1")
    return size


def measure(root: Path) -> None:
    """Measure every document with the four annotators."""
    lake = Lake(root)
    results = [
        measure_file(AnnotationUnit(root, "raw/web", "s1", file, ordinal, ANNOTATORS))
        for ordinal, file in enumerate(lake.files("raw/web"))
    ]
    for name in ANNOTATORS:
        columns = schema.annotation_schema(annotate.annotator(name).columns)
        files = [file for result in results for file in result[name]]
        lake.replace(annotation_table("raw/web", name), files, ORIGIN, snapshot="s1", columns=columns)


def measurements(lake: Lake, annotator: str) -> selection.Measurements:
    """What an annotator measured."""
    table = annotation_table("raw/web", annotator)
    return selection.Measurements(tuple(lake.files(table)), lake.schema(table))


def decide(root: Path) -> selection.Decisions:
    """Decide on every document."""
    lake = Lake(root)
    rules = select.resolve(RULES)
    columns = list(dict.fromkeys(column for rule in rules for column in rule.columns))
    annotations = {name: measurements(lake, name) for name in ANNOTATORS}
    measured = selection.measured_documents(lake.files("raw/web"), lake.schema("raw/web"), annotations, columns)
    none = pl.DataFrame(schema={"doc_id": pl.String, "rule": pl.String, "threshold": pl.Float64, **dedup.DROPPED})
    copies = pl.DataFrame(schema={"doc_id": pl.String, "copies": pl.Int64, "hosts": pl.List(pl.String)})
    return selection.decisions(measured, select.decide(measured, rules), none, copies, "s1")


def copy(root: Path) -> None:
    """Write all documents with C4's edits: more than any filter leaves."""
    lake = Lake(root)
    files = lake.files("raw/web")
    kept = pl.DataFrame({"kept": [True] * sum(pq.read_metadata(file).num_rows for file in files)})
    edits = select.Edits("c4", "line_edits_any_ending")
    found = selection.FoundEdits(edits, measurements(lake, "c4"))
    marks = kept.with_columns(duplicates=pl.lit(1, pl.Int64), hosts=pl.lit(None, pl.List(pl.String)))
    for unit in selection.copy_units(root, "filtered/web", "s1", files, marks, [found]):
        selection.copy_kept(unit)


def timed(step: Callable[[Path], Any], root: Path, answer: Any) -> None:
    """Run a step and send its seconds and its greatest memory in bytes."""
    start = time.perf_counter()
    step(root)
    seconds = time.perf_counter() - start
    answer.send((seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024))


def main() -> None:
    """Write the documents, then time each step in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--zips", type=Path, default=Path("../shared/data/quality/nltk-corpora"))
    parser.add_argument("--documents", type=int, default=1_000_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        size = write_raw(root, arguments.zips, arguments.documents)
        print(f"{arguments.documents:,} documents, {size / 1e6:,.0f} MB of text")
        spawned = multiprocessing.get_context("spawn")
        for step in (measure, decide, copy):
            here, there = spawned.Pipe()
            process = spawned.Process(target=timed, args=(step, root, there))
            process.start()
            seconds, memory = here.recv()
            process.join()
            rate = arguments.documents / seconds
            print(f"{step.__name__:8} {seconds:7.1f} s  {rate:10,.0f} documents/s  {memory / 1e6:7,.0f} MB")


if __name__ == "__main__":
    main()
