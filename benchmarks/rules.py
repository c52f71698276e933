"""Gopher quality and the decision on it: documents/s and MB/s.

    python benchmarks/rules.py [--zips ../shared/data/quality/nltk-corpora] [--documents 20000]

`taskset -c 0` in front gives the figure of one core. The texts are those of zip archives, cut to 2,000 characters.
Language identification is not timed here: raw documents have it already.
"""

from __future__ import annotations

import argparse
import itertools
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from lakehouse import annotate, select

CHARACTERS = 2_000
BATCH_DOCUMENTS = 1_000


def texts(folder: Path) -> Iterator[str]:
    """The texts in the zip archives of a folder, in pieces."""
    for archive in sorted(folder.glob("*.zip")):
        with zipfile.ZipFile(archive) as files:
            for name in sorted(files.namelist()):
                text = files.read(name).decode("utf-8", "replace")
                yield from (text[start : start + CHARACTERS] for start in range(0, len(text), CHARACTERS))


def main() -> None:
    """Measure once, after a first batch that compiles."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--zips", type=Path, default=Path("../shared/data/quality/nltk-corpora"))
    parser.add_argument("--documents", type=int, default=20_000)
    arguments = parser.parse_args()

    pieces = list(texts(arguments.zips))
    if not pieces:
        parser.error(f"there are no texts in {arguments.zips}/*.zip")
    text = pl.Series("text", itertools.islice(itertools.cycle(pieces), arguments.documents), dtype=pl.String)
    documents = text.to_frame().with_columns(doc_id=pl.int_range(pl.len()).cast(pl.String))
    documents = documents.hstack(annotate.identify(text.to_list()))
    conditions = select.resolve(["gopher_quality"])
    annotators = [annotate.annotator(name) for name in sorted(select.required_annotators(conditions))]
    select.decide(annotate.annotate(documents.head(10), annotators), conditions)

    start = time.perf_counter()
    measured = [annotate.annotate(batch, annotators) for batch in documents.iter_slices(BATCH_DOCUMENTS)]
    measuring = time.perf_counter() - start
    verdicts = pl.concat([select.decide(batch, conditions) for batch in measured])
    seconds = time.perf_counter() - start
    megabytes = int(text.str.len_bytes().sum()) / 1e6
    for step, taken in (("measure", measuring), ("decide", seconds - measuring), ("both", seconds)):
        print(f"{step:8} {taken:6.2f} s  {len(text) / taken:10,.0f} documents/s  {megabytes / taken:7.1f} MB/s")
    print(f"kept {verdicts['kept'].sum() / verdicts.height:.1%}; dropped:")
    for row in verdicts["rule"].drop_nulls().value_counts(sort=True).iter_rows():
        print(f"  {row[0]:28} {row[1]:7,}")


if __name__ == "__main__":
    main()
