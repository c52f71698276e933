"""Near duplicates: signatures beside the peers', pairs end to end, and what stays, beside what peers leave.

    taskset -c 1 python benchmarks/duplicates.py signatures [--datatrove PYTHON] [--text-dedup PYTHON]
    python benchmarks/duplicates.py near [--documents 100000] [--floor 0.5] [--workers 2]
    python benchmarks/duplicates.py near --one-text 0.5
    python benchmarks/duplicates.py near --shared-band 100000 --planted 0
    python benchmarks/duplicates.py near --shelf 50000 --documents 50000
    python benchmarks/duplicates.py peers [--documents 20000] [--workers 2] [--datatrove PYTHON] [--text-dedup PYTHON]

`signatures` takes texts of zip archives, cut to 2,000 characters, on one core. The peers' Pythons are those of
environments of their own. Dolma has no MinHash: its near duplicates are paragraphs and n-grams in a Bloom filter.

`near` makes a corpus whose pairs are known (see `duplicate_corpus.py`), measures all but its last hundredth, finds the
pairs, then adds that hundredth. Beside the share of the planted pairs that was found stands what the S-curve says of
them. Precision is counted on a sample of the found pairs, with Python's sets. Memory is that of all processes together.

`peers` removes the near duplicates of JSON lines, as many files as workers: `lakehouse dedup`, DataTrove's four stages
with its defaults (14 bands of 8), text-dedup's command with its defaults (threshold 0.7, of 250 hashes as many bands as
it chooses); five words in a row each. Seconds are those of the clock, starting the command included. Texts are bare
words, so that all tools see the same shingles. With `--marks` copies differ in commas, stops, paragraphs and capitals
too; text-dedup has an empty word between a mark and a space, so those are other texts to it. Two corpora:

* Chains of versions, each about 0.85 alike to the one before: how many of a chain stay, how alike a removed version is
  to that which is most like it of those that stay, and the share of removed ones for which that is less than 0.7.
* The corpus whose pairs are known. *Justified* is the share of removed documents that are at least 0.7 alike to one
  that stays; *recall* the share of planted pairs of 0.8 and more of which at most one stays; *left* how many of those
  pairs stay. *Right* is the share of documents that are decided on rightly: one removed that is justified; one that
  stays, unless it is at least 0.7 alike to one before it, by id, that stays rightly. *Brute force* takes documents by
  id and removes those that are at least 0.7 alike to one that stays.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import polars as pl
from duplicate_corpus import SHINGLE, Corpus, Ids, add_options, doc_id, from_options, jaccard, vocabulary, write
from end_to_end import PeakMemory
from end_to_end import measure as measure_command
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
ALIKE, SURELY_ALIKE = 0.7, 0.8
CHAIN, STEP = 30, 0.85
LONGEST_SECONDS = 1_200
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


# What stays, beside the peers.


@dataclass(frozen=True)
class Chains(Corpus):
    """Chains of `CHAIN` versions of a document, each of which is about `STEP` alike to the one before."""

    def words(self, number: int) -> Ids:
        """The words of a version: those of the first one, so many of them replaced in each step."""
        chain, version = divmod(number, CHAIN)
        words = self._drawn("chain", chain)
        # See Corpus._member: a replaced word changes five shingles.
        replaced = round((len(words) - SHINGLE + 1) * (1 - STEP) / (1 + STEP) / SHINGLE)
        for step in range(1, version + 1):
            numbers = self._numbers("step", chain * CHAIN + step)
            places = numbers.choice(len(words), replaced, replace=False)
            words[places] = (words[places] + numbers.integers(1, 20_000, replaced)) % len(vocabulary()[0])
        return words


@dataclass(frozen=True)
class Way:
    """One way to remove near duplicates: its command, and the ids of the documents that stay after it."""

    name: str
    command: list[str]
    kept: Callable[[], pl.LazyFrame | pl.DataFrame]


def peers(arguments: argparse.Namespace) -> None:
    """Remove near duplicates with every tool, and print what stays and what it took."""
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        # The chains come first: they also load what each tool needs, so that none starts cold on the other corpus.
        _show_chains(arguments, Path(name) / "chains")
        _show_planted(arguments, Path(name) / "planted")


def _show_chains(arguments: argparse.Namespace, folder: Path) -> None:
    """Of each tool: how many versions of a chain stay, and how alike removed ones are to those."""
    corpus = Chains(arguments.chains * CHAIN, arguments.seed, planted=0)
    chains = [range(first, first + CHAIN) for first in range(0, corpus.documents, CHAIN)]
    words = [corpus.words(number) for number in range(corpus.documents)]
    similarity = functools.cache(lambda one, other: jaccard(words[one], words[other]))
    steps = [similarity(one, one + 1) for chain in chains for one in chain[:-1]]
    mean, least, most = sum(steps) / len(steps), min(steps), max(steps)
    print(f"{len(chains)} chains of {CHAIN} versions, each {mean:.3f} alike to the last ({least:.3f} to {most:.3f})")
    print(f"{'':26} {'stay of a chain':>20} {'least alike':>11} {'below ' + str(ALIKE):>10}")
    for way, kept, _, _ in _removed(arguments, corpus, folder):
        stay = [[number for number in chain if doc_id(number) in kept] for chain in chains]
        best = [
            max((similarity(number, one) for one in those), default=0.0)
            for chain, those in zip(chains, stay, strict=True)
            for number in chain
            if number not in those
        ]
        counts = [len(those) for those in stay]
        spread = f"{sum(counts) / len(counts):.1f} ({min(counts)} to {max(counts)})"
        below = sum(one < ALIKE for one in best) / max(1, len(best))
        print(f"{way:26} {spread:>20} {min(best, default=1.0):11.3f} {below:10.2%}")


def _show_planted(arguments: argparse.Namespace, folder: Path) -> None:
    """Of each tool: time, memory, and how right it decides on documents whose similarities are known."""
    corpus = Corpus(arguments.documents, arguments.seed)
    pairs = corpus.pairs()
    sure = pairs.filter(pl.col("similarity") >= SURELY_ALIKE).height
    print(
        f"\n{corpus.documents:,} documents, {pairs.height:,} planted pairs, {sure:,} of {SURELY_ALIKE} and more; "
        f"{arguments.workers} workers, load {os.getloadavg()[0]:.1f}"
    )
    print(
        f"{'':26} {'seconds':>8} {'documents/s':>11} {'peak':>8} {'removed':>8} {'justified':>9} {'recall':>7} "
        f"{'left':>5} {'right':>7}"
    )
    alike: dict[str, dict[str, float]] = defaultdict(dict)
    for one, other, similarity in pairs.rows():
        alike[one][other] = alike[other][one] = similarity
    ids = [doc_id(number) for number in range(corpus.documents)]
    print(f"{'brute force':26} {'':8} {'':11} {'':8} {_judged(ids, _unlike(ids, alike), alike)}")
    for way, kept, seconds, peak in _removed(arguments, corpus, folder):
        took = f"{seconds:8.1f} {corpus.documents / seconds:11,.0f} {peak / 1e6:5,.0f} MB"
        print(f"{way:26} {took} {_judged(ids, kept, alike)}", flush=True)


def _judged(ids: list[str], kept: Collection[str], alike: dict[str, dict[str, float]]) -> str:
    """Removed documents, justified share, recall, pairs left, right share (see the head of this file)."""
    removed = [one for one in ids if one not in kept]
    justified = sum(any(how >= ALIKE and other in kept for other, how in alike[one].items()) for one in removed)
    sure = [(one, other) for one in ids for other, how in alike[one].items() if one < other and how >= SURELY_ALIKE]
    left = sum(one in kept and other in kept for one, other in sure)
    right = (justified + len(_unlike([one for one in ids if one in kept], alike))) / len(ids)
    share, recall = justified / max(1, len(removed)), 1 - left / max(1, len(sure))
    return f"{len(removed):8,} {share:9.4f} {recall:7.4f} {left:5,} {right:7.4f}"


def _unlike(ids: list[str], alike: dict[str, dict[str, float]]) -> set[str]:
    """Of documents in this order those that are unlike all before them that are in this set."""
    unlike: set[str] = set()
    for one in ids:
        if all(how < ALIKE or other not in unlike for other, how in alike[one].items()):
            unlike.add(one)
    return unlike


def _removed(arguments: argparse.Namespace, corpus: Corpus, folder: Path) -> Iterator[tuple[str, set[str], float, int]]:
    """Write the corpus once; of each tool its name, the ids that stay, seconds, and peak memory in bytes."""
    (folder / "texts").mkdir(parents=True)
    share = -(-corpus.documents // arguments.workers)
    for first in range(0, corpus.documents, share):
        numbers = range(first, min(first + share, corpus.documents))
        if arguments.marks:
            texts = pl.concat(corpus.batches(numbers.start, numbers.stop))["text"]
        else:
            words = [[vocabulary()[0][place] for place in corpus.words(number).tolist()] for number in numbers]
            texts = pl.Series("text", map(" ".join, words), dtype=pl.String)
        ids = pl.Series("id", map(doc_id, numbers), dtype=pl.String)
        pl.DataFrame([ids, texts]).write_ndjson(folder / "texts" / f"{first:09d}.jsonl")
    environment = {**os.environ, "HF_HOME": str(folder / "datasets"), "HF_HUB_OFFLINE": "1"}
    for way in _ways(arguments, folder):
        seconds, peak = measure_command(way.command, environment, LONGEST_SECONDS)
        yield way.name, set(way.kept().lazy().select("id").collect()["id"]), seconds, peak


def _ways(arguments: argparse.Namespace, folder: Path) -> Iterator[Way]:
    texts, workers = folder / "texts", str(arguments.workers)
    verdicts = folder / "verdicts.jsonl"
    ours = [sys.executable, "-m", "lakehouse", "dedup", *map(str, sorted(texts.iterdir())), "--workers", workers]
    into_file = ["sh", "-c", 'exec "$@" > "$0"', str(verdicts)]
    yield Way("lakehouse dedup", into_file + ours, lambda: pl.read_ndjson(verdicts).filter("kept"))
    for name, options in (("as installed", []), ("white space", ["--white-space"])):
        if arguments.datatrove:
            out = folder / f"datatrove {name}"
            command = [arguments.datatrove, str(PEERS), "remove", str(texts), str(out), "--workers", workers]
            read = functools.partial(pl.scan_ndjson, out / "kept" / "*.jsonl", schema={"id": pl.String})
            yield Way(f"datatrove, {name}", command + options, read)
    for name, options in (("as installed", []), ("xxh3, 32 bits", ["--hash_func", "xxh3", "--hash_bits", "32"])):
        if arguments.text_dedup:
            out = folder / f"text_dedup {name}"
            command = [arguments.text_dedup, "-m", "text_dedup.minhash", "--path", "json", "--split", "train"]
            command += ["--data_files", f"{texts}/*.jsonl", "--cache_dir", f"{out}/cache", "--output", f"{out}/kept"]
            command += ["--column", "text", "--threshold", str(ALIKE), "--ngram", str(SHINGLE), "--num_proc", workers]
            yield Way(f"text_dedup, {name}", command + options, functools.partial(_read_arrow, out / "kept"))


def _read_arrow(folder: Path) -> pl.DataFrame:
    return pl.concat(pl.read_ipc_stream(file) for file in folder.glob("*.arrow"))


def main() -> None:
    """Run one of the three."""
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
    third = commands.add_parser("peers", help="what stays, beside what peers leave")
    third.add_argument("--documents", type=int, default=20_000)
    third.add_argument("--chains", type=int, default=100)
    third.add_argument("--seed", type=int, default=1)
    third.add_argument("--marks", action="store_true", help="marks and capitals of copies differ too")
    third.add_argument("--workers", type=int, default=compute.available_workers())
    third.add_argument("--folder", type=Path, help="where the corpora are made; the system's folder for such files")
    third.add_argument("--datatrove", metavar="PYTHON")
    third.add_argument("--text-dedup", metavar="PYTHON")
    third.set_defaults(run=peers)
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
