"""What the published rules measure, family by family and all together: documents and MB a second of processor.

    python benchmarks/rules.py [--zips ../shared/data/quality/nltk-corpora] [--documents 20000] [--datatrove PYTHON]

The texts are those of zip archives, cut to 2,000 characters.
With `--datatrove`, the Python of an environment with DataTrove and spaCy, its four filters run on a share of the texts.
Language identification is not timed here: raw documents have it already.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from lakehouse import annotate

CHARACTERS = 2_000
BATCH_DOCUMENTS = 1_000
FAMILIES = ("gopher_quality", "gopher_repetition", "c4", "fineweb")
WORKER = Path(__file__).with_name("datatrove_filters.py")


def texts(folder: Path) -> Iterator[str]:
    """The texts in the zip archives of a folder, in pieces."""
    for archive in sorted(folder.glob("*.zip")):
        with zipfile.ZipFile(archive) as files:
            for name in sorted(files.namelist()):
                text = files.read(name).decode("utf-8", "replace")
                yield from (text[start : start + CHARACTERS] for start in range(0, len(text), CHARACTERS))


def seconds(documents: pl.DataFrame, names: tuple[str, ...]) -> float:
    """How long it takes to measure the documents, in batches, once the loops are compiled."""
    annotators = [annotate.annotator(name) for name in names]
    annotate.measure_all(documents.head(10), annotators)
    start = time.process_time()
    for batch in documents.iter_slices(BATCH_DOCUMENTS):
        annotate.measure_all(batch, annotators)
    return time.process_time() - start


def peer(python: str, some: list[str]) -> dict[str, float]:
    """Seconds that each of DataTrove's filters takes for the texts."""
    lines = "\n".join(map(json.dumps, some))
    done = subprocess.run([python, str(WORKER), "time"], input=lines, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> None:
    """Measure each family alone, and all of them together."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--zips", type=Path, default=Path("../shared/data/quality/nltk-corpora"))
    parser.add_argument("--documents", type=int, default=20_000)
    parser.add_argument("--datatrove", metavar="PYTHON")
    parser.add_argument("--share", type=float, default=0.05, help="of the texts that DataTrove gets")
    arguments = parser.parse_args()

    pieces = list(texts(arguments.zips))
    if not pieces:
        parser.error(f"there are no texts in {arguments.zips}/*.zip")
    text = pl.Series("text", itertools.islice(itertools.cycle(pieces), arguments.documents), dtype=pl.String)
    documents = text.to_frame().with_columns(doc_id=pl.int_range(pl.len()).cast(pl.String), language=pl.lit("en"))
    sets = {name: (name,) for name in FAMILIES} | {"all together": FAMILIES, "refinedweb": ("refinedweb",)}
    report("ours", {name: seconds(documents, family) for name, family in sets.items()}, text)
    if arguments.datatrove:
        some = text.gather_every(max(1, round(1 / arguments.share)))
        theirs = peer(arguments.datatrove, some.to_list())
        report("DataTrove", theirs | {"all together": sum(theirs.values())}, some)


def report(who: str, taken: dict[str, float], text: pl.Series) -> None:
    """Print a table of speeds."""
    megabytes = int(text.str.len_bytes().sum()) / 1e6
    print(f"{who}: {len(text):,} texts, {megabytes:.1f} MB")
    for name, time_taken in taken.items():
        speed = f"{len(text) / time_taken:10,.0f} documents/s  {megabytes / time_taken:7.2f} MB/s"
        print(f"  {name:18} {time_taken:7.2f} s  {speed}")


if __name__ == "__main__":
    main()
