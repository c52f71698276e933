"""Personal data: precision and recall of each kind on labelled sentences, hits in ordinary text, and speed.

    python benchmarks/personal.py [--presidio PYTHON] [--datatrove PYTHON] [--sample 50]

PYTHON are the interpreters of environments with presidio-analyzer (its pattern recognisers run, no model) and with
datatrove. Both run in processes of their own on the same texts; each is timed on `--megabytes` of English prose, ours
also on HTML documentation. `taskset -c 0` in front gives the figures of one core.

A found span is right if a label of its type overlaps it; "exact" asks for the same start and end too. Precision is
right spans by found spans of the type, recall found labels by labels. A found span that overlaps no label of its type
is wrong, whatever else it may be. DataTrove replaces instead of listing: what it would replace is counted.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import subprocess
import sys
import tarfile
import time
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import polars as pl

from lakehouse.annotate import Batch
from lakehouse.annotate.personal import personal_data

TYPES = {
    "EMAIL_ADDRESS": ("email_address",),
    "PHONE_NUMBER": ("phone_number",),
    "IP_ADDRESS": ("ip_address", "private_ip_address", "reserved_ip_address"),
    "IBAN_CODE": ("iban",),
    "CREDIT_CARD": ("card_number",),
    "US_SSN": ("us_ssn",),
}
TYPE_OF = {kind: name for name, kinds in TYPES.items() for kind in kinds}
Spans = set[tuple[int, int, str]]

PRESIDIO = """
import json, sys, time
from presidio_analyzer import RecognizerRegistry, predefined_recognizers as known
from presidio_analyzer.nlp_engine import NlpArtifacts
recognizers = [known.EmailRecognizer(), known.PhoneRecognizer(), known.IpRecognizer(), known.IbanRecognizer(),
               known.CreditCardRecognizer(), known.UsSsnRecognizer()]
texts = json.load(sys.stdin)
start = time.perf_counter()
found = []
for text in texts:
    spans = []
    for recognizer in recognizers:
        for result in recognizer.analyze(text, recognizer.supported_entities, None):
            spans.append((result.start, result.end, result.entity_type))
    found.append(spans)
json.dump([time.perf_counter() - start, found], sys.stdout)
"""
DATATROVE = """
import json, sys, time
from datatrove.pipeline.formatters.pii import PIIFormatter
formatter = PIIFormatter(only_remove_public_ips=False)
texts = json.load(sys.stdin)
start = time.perf_counter()
for text in texts:
    formatter.format(text)
seconds = time.perf_counter() - start
found = []
for text in texts:
    spans = []
    for name, replacer in (("EMAIL_ADDRESS", formatter.emails_replacer), ("IP_ADDRESS", formatter.ip_replacer)):
        for match in replacer.regex.finditer(text):
            if replacer.validator is None or replacer.validator(match.group(0)):
                spans.append((*match.span(), name))
    found.append(spans)
json.dump([seconds, found], sys.stdout)
"""


def labelled(folder: Path) -> list[tuple[str, Spans]]:
    """The sentences of every file of generated data below a folder, with the labels of the types that we compare."""
    sentences: dict[str, Spans] = {}
    for path in sorted(folder.rglob("generated_*.json*")):
        content = _unpacked(path)
        for sample in json.loads(content):
            spans = {(span["start_position"], span["end_position"], span["entity_type"]) for span in sample["spans"]}
            sentences[sample["full_text"]] = {span for span in spans if span[2] in TYPES}
    return list(sentences.items())


def _unpacked(path: Path) -> bytes:
    if path.suffix != ".zst":
        return path.read_bytes()
    return subprocess.run(["zstd", "-dc", "--long=27", path], capture_output=True, check=True).stdout


def ours(texts: list[str]) -> tuple[float, list[list[tuple[int, int, str]]]]:
    """Seconds, and the spans of each text by our own names of kinds."""
    annotator = personal_data()
    documents = pl.DataFrame({"text": texts}, schema={"text": pl.String}).with_columns(
        doc_id=pl.int_range(pl.len()).cast(pl.String), language=pl.lit("en")
    )
    annotator.measure(Batch(documents.head(100)))  # compiles, and imports what validates
    start = time.perf_counter()
    measured = [annotator.measure(Batch(batch))["personal"] for batch in documents.iter_slices(500)]
    seconds = time.perf_counter() - start
    return seconds, [
        [(span["start"], span["end"], span["rule"]) for span in spans] for batch in measured for spans in batch
    ]


def peer(python: str, script: str, texts: list[str]) -> tuple[float, list[list[tuple[int, int, str]]]]:
    """What a peer's script, run by its own interpreter, finds in the texts."""
    run = subprocess.run([python, "-c", script], input=json.dumps(texts), capture_output=True, text=True, check=False)
    if run.returncode:
        sys.exit(f"{python}: {run.stderr.strip().splitlines()[-1]}")
    seconds, found = json.loads(run.stdout.splitlines()[-1])
    return seconds, [[(start, end, kind) for start, end, kind in spans] for spans in found]


def judge(truth: list[tuple[str, Spans]], found: Iterable[Iterable[tuple[int, int, str]]]) -> dict[str, Counter[str]]:
    """Per type: labels, found, right (overlapping), recalled (overlapped), exact."""
    judged: dict[str, Counter[str]] = defaultdict(Counter)
    for (_, labels), spans in zip(truth, found, strict=True):
        typed = {(start, end, TYPE_OF.get(kind, kind)) for start, end, kind in spans}
        for label in labels:
            judged[label[2]]["labels"] += 1
            judged[label[2]]["recalled"] += any(_overlap(label, span) for span in typed)
        for span in typed:
            judged[span[2]]["found"] += 1
            judged[span[2]]["right"] += any(_overlap(label, span) for label in labels)
            judged[span[2]]["exact"] += span in labels
    return judged


def _overlap(one: tuple[int, int, str], other: tuple[int, int, str]) -> bool:
    return one[2] == other[2] and one[0] < other[1] and other[0] < one[1]


def report(name: str, judged: dict[str, Counter[str]]) -> None:
    """Print one line a type."""
    print(f"{name:12} type            labels  found  precision  recall   exact precision  exact recall")
    for kind in [*TYPES, *sorted(set(judged) - set(TYPES))]:
        count = judged[kind]
        if not count["labels"] and not count["found"]:
            continue
        shares = [
            f"{count[part] / count[whole]:.3f}" if count[whole] else "-"
            for part, whole in (("right", "found"), ("recalled", "labels"), ("exact", "found"), ("exact", "labels"))
        ]
        print(
            f"{'':12} {kind:15} {count['labels']:6} {count['found']:6} {shares[0]:>10} {shares[1]:>7} "
            f"{shares[2]:>17} {shares[3]:>13}"
        )


def prose(folder: Path) -> Iterator[str]:
    """English texts in the zip archives of a folder, in pieces of 4,000 characters."""
    for archive in sorted(folder.glob("*.zip")):
        with zipfile.ZipFile(archive) as files:
            for name in sorted(files.namelist()):
                if name.endswith(".txt"):
                    text = files.read(name).decode("utf-8", "replace")
                    yield from (text[start : start + 4_000] for start in range(0, len(text), 4_000))


def documentation(path: Path, most: int) -> list[str]:
    """The text of the first HTML pages of a packed tree, without tags."""
    pages, size = [], 0
    command = ["zstd", "-dc", "--long=27", path]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE) as unpacking,
        tarfile.open(fileobj=unpacking.stdout, mode="r|") as tree,
    ):
        for member in tree:
            if not member.name.endswith(".html") or not member.isfile() or hash_of(member.name) % 8:
                continue
            html = tree.extractfile(member).read().decode("utf-8", "replace")  # type: ignore[union-attr]
            text = re.sub(r"(?s)<(script|style).*?</\1>|<[^>]*>", " ", html)
            pages.append(text)
            size += len(text)
            if size >= most:
                break
        unpacking.kill()
    return pages


def hash_of(name: str) -> int:
    """A number that spreads names evenly and is the same in every run."""
    return sum(ord(character) * 31**place for place, character in enumerate(name[-12:]))


def hits(name: str, texts: list[str], sample: int) -> None:
    """Print what is found in texts without labels: spans per MB, some of them with their neighbours."""
    seconds, found = ours(texts)
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    counts = Counter(kind for spans in found for _, _, kind in spans)
    print(f"\n{name}: {megabytes:.1f} MB, {megabytes / seconds:.1f} MB/s")
    for kind, count in counts.most_common():
        print(f"  {kind:24} {count:6}  {count / megabytes:8.2f} per MB")
    listed = [(kind, text, start, end) for text, spans in zip(texts, found, strict=True) for start, end, kind in spans]
    for kind, text, start, end in random.Random(1).sample(listed, min(sample, len(listed))):
        around = f"{text[max(0, start - 40) : start]}[{text[start:end]}]{text[end : end + 25]}"
        print(f"    {kind:20} {' '.join(around.split())}")


def main() -> None:
    """Judge, then look at ordinary text, then time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labelled", type=Path, default=Path("../shared/data/pii/presidio-research"))
    parser.add_argument("--zips", type=Path, default=Path("../shared/data/quality/nltk-corpora"))
    parser.add_argument("--pages", type=Path, default=Path("../shared/data/miniweb/miniweb.tar.zst"))
    parser.add_argument("--megabytes", type=float, default=8)
    parser.add_argument("--sample", type=int, default=0, help="how many hits in ordinary text to show")
    parser.add_argument("--presidio", metavar="PYTHON")
    parser.add_argument("--datatrove", metavar="PYTHON")
    arguments = parser.parse_args()

    truth = labelled(arguments.labelled)
    if not truth:
        parser.error(f"there are no generated_*.json files below {arguments.labelled}")
    sentences = [text for text, _ in truth]
    peers = {
        name: (python, script)
        for name, python, script in (
            ("presidio", arguments.presidio, PRESIDIO),
            ("datatrove", arguments.datatrove, DATATROVE),
        )
        if python
    }
    report("ours", judge(truth, ours(sentences)[1]))
    for name, (python, script) in peers.items():
        report(name, judge(truth, peer(python, script, sentences)[1]))

    most = int(arguments.megabytes * 1e6)
    english: list[str] = []
    for text in prose(arguments.zips):
        english.append(text)
        if sum(map(len, english[-1:])) and len(english) * 4_000 >= most:
            break
    hits("prose", english, arguments.sample)
    hits("documentation", documentation(arguments.pages, most), arguments.sample)
    few = english[: len(english) // 8]
    megabytes = sum(len(text.encode()) for text in few) / 1e6
    for name, (python, script) in peers.items():
        seconds, _ = peer(python, script, few)
        print(f"{name}: {megabytes / seconds:.2f} MB/s of the same prose ({megabytes:.1f} MB)")


if __name__ == "__main__":
    main()
