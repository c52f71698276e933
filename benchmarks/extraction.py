"""How well and how fast pages become text: `python benchmarks/extraction.py [SHARED_DATA]`.

Three questions: F1 against the articles that people marked in 181 news pages (the article extraction benchmark of
Scrapinghub, by its own method: 4-gram shingles, precision and recall averaged over pages); pages a second on one core;
and how many of 216 pages in 18 charsets are decoded to the right characters.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import sys
import tarfile
import time
from collections import Counter
from pathlib import Path

import pyarrow as pa

from lakehouse.extract import decode, extract_page

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
WORD = re.compile(r"\w+")


def shingles(text: str) -> Counter[tuple[str, ...]]:
    """How often each run of four words stands in the text."""
    words = WORD.findall(text)
    return Counter(tuple(words[first : first + 4]) for first in range(max(1, len(words) - 3)) if words)


def precision_and_recall(expected: str, found: str) -> tuple[float, float]:
    """Share of the found shingles that are expected, and of the expected ones that are found."""
    truth, prediction = shingles(expected), shingles(found)
    hits = (truth & prediction).total()
    if truth == prediction:
        return 1.0, 1.0
    return hits / max(1, prediction.total()), hits / max(1, truth.total())


def articles(folder: Path) -> None:
    """Print F1 and speed on the article extraction benchmark."""
    with pa.input_stream(folder / "ground-truth.json.zst", compression="zstd") as stream:
        truth = json.loads(stream.read())
    bodies = {name: gzip.decompress((folder / "html" / f"{name}.html.gz").read_bytes()) for name in truth}
    seconds, found = [], {}
    for _ in range(3):
        started = time.process_time()
        found = {name: extract_page(body).text for name, body in bodies.items()}
        seconds.append(time.process_time() - started)
    scores = [precision_and_recall(truth[name]["articleBody"], text) for name, text in found.items()]
    precision, recall = (sum(column) / len(scores) for column in zip(*scores, strict=True))
    megabytes = sum(map(len, bodies.values())) / 1e6
    print(f"articles    F1 {2 * precision * recall / (precision + recall):.4f}")
    print(f"            precision {precision:.4f}, recall {recall:.4f}, {len(scores)} pages")
    print(f"speed       {len(bodies) / min(seconds):.0f} pages/s, {megabytes / min(seconds):.0f} MB/s on one core")


def charsets(archive: Path) -> None:
    """Print how many pages of the mini web's legacy-charset host are decoded to the right characters."""
    host = "miniweb/legacy-charset.test/"
    with pa.input_stream(archive, compression="zstd") as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
        pages = {
            member.name.removeprefix(host): tar.extractfile(member).read()
            for member in tar
            if member.isfile() and member.name.startswith(host)
        }
    right: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    for row in csv.DictReader(io.StringIO(pages["truth.tsv"].decode()), delimiter="\t"):
        body = pages[row["path"]]
        text, charset = decode(body, None)
        if text == body.decode(row["true_charset"]):
            right[row["declaration"]] += 1
        else:
            wrong[f"{row['true_charset']} ({row['declaration']}) as {charset}"] += 1
    total = right.total() + wrong.total()
    print(f"charsets    {right.total()} of {total} pages right: " + ", ".join(f"{k} {n}" for k, n in right.items()))
    for mistake, count in wrong.items():
        print(f"            {count} x {mistake}")


if __name__ == "__main__":
    shared = Path(sys.argv[1]) if len(sys.argv) > 1 else SHARED
    articles(shared / "html-extraction" / "article-extraction-benchmark")
    charsets(shared / "miniweb" / "miniweb.tar.zst")
