"""A corpus of documents of about 2 KB with near duplicates whose similarity is known.

    python benchmarks/duplicate_corpus.py FOLDER [--documents 100000] [--format parquet]
    python benchmarks/duplicate_corpus.py FOLDER --one-text 0.5
    python benchmarks/duplicate_corpus.py FOLDER --shared-band 100000
    python benchmarks/duplicate_corpus.py FOLDER --shelf 50000

The texts are made up: English function words among invented ones, as frequent as words are in English. Each document
follows from the seed and its number, so none is held and any can be made again.

A share of the documents (`--planted`) stands in groups of two to four: a source, and copies of it in which words were
replaced; commas, capitals and paragraphs differ too. `pairs.parquet` has every pair of a group with its similarity: the
Jaccard similarity of the sets of five words in a row, counted with Python's sets. Whatever else is asked for:

* `--one-text`: this share of the documents is one text, word by word.
* `--shared-band`: so many otherwise unrelated documents share 40 words that decide the first band of the default
  signature: nearly all have the same key there, at a similarity of about 0.06.
* `--shelf`: so many long documents (18 KB) with nothing in common but 1,400 words of boilerplate: a similarity of 0.3.
"""

from __future__ import annotations

import argparse
import json
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from lakehouse.annotate import Batch
from lakehouse.annotate.minhash.shingles import find_shingles
from lakehouse.annotate.minhash.signatures import signatures

Ids = npt.NDArray[np.int64]

SHINGLE = 5
ROWS, HASHES = 8, 112  # of the default signature
SHORT = (270, 480)
SHELF_WORDS, SHELF_SHARED = 3_000, 1_400
BATCH = 5_000
FILE = 20_000
PHRASES = 100_000
GROUP_SIZES = (2, 3, 4)
LEAST_SIMILAR = 0.45
COMMON = """
the of and to in a is that for it was on with as be by at this from have or had not are but which one you were all her
she there would their we him been has when who will no more if out so up said what its about than into them can only
other time new some could these two may first then do any like my now over such our man me even most made after
"""
ONSETS = "b bl br c ch cl cr d dr f fl fr g gl gr h j k l m n p pl pr qu r s sc sh sl sp st str t th tr v w wh"
VOWELS = "a e i o u ai ea ee oa ou"
CODAS = " b ck d g l ll m n nd ng nt p r rd rn rt s ss st t th x"


@cache
def vocabulary() -> tuple[list[str], list[str], Ids]:
    """Words, the same with a capital, and a table in which each stands as often as it is frequent."""
    letters = random.Random(0)
    onsets, vowels, codas = ONSETS.split(), VOWELS.split(), CODAS.split(" ")
    invented: dict[str, None] = {}
    while len(invented) < 30_000:
        syllables = letters.choices((1, 2, 3), (1, 4, 2))[0]
        sounds = (letters.choice(onsets) + letters.choice(vowels) for _ in range(syllables))
        invented.setdefault("".join(sounds) + letters.choice(codas))
    # Frequent words are short ones.
    words = list(dict.fromkeys([*COMMON.split(), *sorted(invented, key=len)]))
    shares = 1 / (np.arange(len(words)) + 2.7)
    counts = np.maximum(1, np.round(shares / shares.sum() * 2**20)).astype(np.int64)
    return words, [word.capitalize() for word in words], np.repeat(np.arange(len(words)), counts)


def jaccard(one: Ids, other: Ids) -> float:
    """The slow, obvious similarity of two documents' words."""
    sets = [
        {tuple(row) for row in np.lib.stride_tricks.sliding_window_view(words, SHINGLE).tolist()}
        for words in (one, other)
    ]
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])


@dataclass(frozen=True)
class Corpus:
    """n documents, each of which can be made from its number.

    Attributes:
        documents: n.
        planted: share of the documents that stand in groups of near duplicates, of those of no other kind.
        one_text: share of the documents that are one text.
        shared_band: documents that share the passage.
        shelf: long documents that share boilerplate.
    """

    documents: int
    seed: int = 1
    planted: float = 0.3
    one_text: float = 0.0
    shared_band: int = 0
    shelf: int = 0

    def __post_init__(self) -> None:
        if self._ordinary < 0 or not 0 <= self.planted <= 1:
            raise ValueError(f"{self.documents:,} documents cannot be of these kinds: ask for fewer of one.")

    @property
    def _same(self) -> int:
        return round(self.documents * self.one_text)

    @property
    def _ordinary(self) -> int:
        return self.documents - self._same - self.shared_band - self.shelf

    @property
    def groups(self) -> int:
        """How many groups of near duplicates there are."""
        return len(GROUP_SIZES) * int(self._ordinary * self.planted / sum(GROUP_SIZES))

    def words(self, number: int) -> Ids:
        """The words of a document, as places in the vocabulary."""
        role = self._role(number)
        if role < self._same:
            return self._drawn("one text", 0)
        role -= self._same
        if role < self.shared_band:
            words = self._drawn("band", role)
            return np.insert(words, len(words) // 2, _passage())
        role -= self.shared_band
        if role < self.shelf:
            own = self._drawn("shelf", role, SHELF_WORDS - SHELF_SHARED)
            return np.concatenate([self._drawn("boilerplate", 0, SHELF_SHARED), own])
        role -= self.shelf
        if role < sum(GROUP_SIZES) * self.groups // len(GROUP_SIZES):
            return self._member(*_group(role))
        return self._drawn("single", role)

    def batches(self, first: int = 0, last: int | None = None) -> Iterator[pl.DataFrame]:
        """The documents from `first` to before `last`: doc_id, text and language."""
        last = self.documents if last is None else last
        for start in range(first, last, BATCH):
            numbers = range(start, min(start + BATCH, last))
            texts = [self._written(number) for number in numbers]
            ids = [doc_id(number) for number in numbers]
            yield pl.DataFrame({"doc_id": ids, "text": texts}).with_columns(language=pl.lit("en"))

    def pairs(self) -> pl.DataFrame:
        """Every pair of a group: doc_id and other_id (the smaller one first), similarity."""
        found = []
        place = self._same + self.shared_band + self.shelf
        for group in range(self.groups):
            members = [self._member(group, member) for member in range(GROUP_SIZES[group % len(GROUP_SIZES)])]
            ids = [doc_id(self._number(place + member)) for member in range(len(members))]
            place += len(members)
            for one, other in combinations(range(len(members)), 2):
                found.append((*sorted((ids[one], ids[other])), jaccard(members[one], members[other])))
        return pl.DataFrame(found, schema=["doc_id", "other_id", "similarity"], orient="row")

    def _numbers(self, kind: str, number: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, number, *kind.encode()])

    def _drawn(self, kind: str, number: int, size: int | None = None) -> Ids:
        numbers, frequent = self._numbers(kind, number), vocabulary()[2]
        return frequent[numbers.integers(0, len(frequent), size or numbers.integers(*SHORT))]

    def _member(self, group: int, member: int) -> Ids:
        """A group's source, or a copy with so many words replaced as its similarity asks for."""
        words = self._drawn("source", group)
        if not member:
            return words
        numbers = self._numbers("copy", group * max(GROUP_SIZES) + member)
        similarity, shingles = numbers.uniform(LEAST_SIMILAR, 1), len(words) - SHINGLE + 1
        # A replaced word changes five shingles: k of them leave (N - 5k) / (N + 5k).
        replaced = round(shingles * (1 - similarity) / (1 + similarity) / SHINGLE)
        places = numbers.choice(len(words), replaced, replace=False)
        words[places] = (words[places] + numbers.integers(1, 20_000, replaced)) % len(vocabulary()[0])
        return words

    def _written(self, number: int) -> str:
        """The document's words with capitals, stops, commas and paragraphs; one text is written in one way."""
        ids, (small, capital, _) = self.words(number), vocabulary()
        numbers = self._numbers("written", -1 % 2**32 if self._role(number) < self._same else number)
        words = [small[place] for place in ids.tolist()]
        ends = np.cumsum(numbers.integers(6, 20, len(words) // 6 + 1)).tolist()
        marks = numbers.random(len(ends)).tolist()
        start = 0
        for end, mark in zip(ends, marks, strict=True):
            if start >= len(words):
                break
            end = min(end, len(words))
            words[start] = capital[ids[start]]
            if mark > 0.4:
                words[(start + end) // 2] += ","
            words[end - 1] += ".\n\n" if mark < 0.15 else "?" if mark > 0.95 else "."
            start = end
        return " ".join(words).replace("\n ", "\n")

    def _role(self, number: int) -> int:
        """What a document is: kinds are mixed, members of a group are far apart."""
        step, shift = _shuffle(self.documents)
        return (number * step + shift) % self.documents

    def _number(self, role: int) -> int:
        step, shift = _shuffle(self.documents)
        return (role - shift) * pow(step, -1, self.documents) % self.documents


def doc_id(number: int) -> str:
    """The doc_id of a document."""
    return f"document-{number:08d}"


def _group(place: int) -> tuple[int, int]:
    """The group, and the place in it, of a document among those in groups."""
    rounds, rest = divmod(place, sum(GROUP_SIZES))
    for turn, size in enumerate(GROUP_SIZES):
        if rest < size:
            return rounds * len(GROUP_SIZES) + turn, rest
        rest -= size
    raise AssertionError


@cache
def _shuffle(documents: int) -> tuple[int, int]:
    step = int(documents * 0.381966) | 1
    while math.gcd(step, documents) > 1:
        step += 2
    return step, documents // 3


@cache
def _passage() -> Ids:
    """Forty words: for each value of the first band, of many phrases the one for which it is smallest."""
    numbers, (words, _, frequent) = np.random.default_rng(2), vocabulary()
    phrases = frequent[numbers.integers(0, len(frequent), (PHRASES, SHINGLE))]
    texts = [" ".join(words[place] for place in phrase) for phrase in phrases.tolist()]
    values = signatures(*find_shingles(Batch(pl.DataFrame({"text": texts})), SHINGLE, SHINGLE), 1, HASHES)
    return phrases[values[:, :ROWS].argmin(axis=0)].ravel()


def write(corpus: Corpus, folder: Path, form: str = "parquet") -> list[Path]:
    """Write the documents in files of 20,000, a batch at a time, and `pairs.parquet`; return the documents' files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for first in range(0, corpus.documents, FILE):
        file = folder / f"documents-{first // FILE:05d}.{form}"
        batches = corpus.batches(first, min(first + FILE, corpus.documents))
        if form == "parquet":
            _write_parquet(batches, file)
        else:
            with file.open("w", encoding="utf-8") as lines:
                for batch in batches:
                    lines.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in batch.iter_rows(named=True))
        files.append(file)
    corpus.pairs().write_parquet(folder / "pairs.parquet")
    return files


def _write_parquet(batches: Iterator[pl.DataFrame], file: Path) -> None:
    schema = pa.schema([(name, pa.large_string()) for name in ("doc_id", "text", "language")])
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for batch in batches:
            writer.write_table(batch.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(schema))


def add_options(parser: argparse.ArgumentParser) -> None:
    """Give a parser the options that say what a corpus is made of."""
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--planted", type=float, default=0.3, help="share of the documents in groups")
    parser.add_argument("--one-text", type=float, default=0.0, help="share of the documents that are one text")
    parser.add_argument("--shared-band", type=int, default=0, help="documents that share a passage")
    parser.add_argument("--shelf", type=int, default=0, help="long documents that share boilerplate")


def from_options(arguments: argparse.Namespace) -> Corpus:
    """The corpus that the options ask for."""
    return Corpus(
        arguments.documents,
        arguments.seed,
        arguments.planted,
        arguments.one_text,
        arguments.shared_band,
        arguments.shelf,
    )


def main() -> None:
    """Write a corpus into a folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--format", choices=("parquet", "jsonl"), default="parquet")
    add_options(parser)
    arguments = parser.parse_args()
    files = write(from_options(arguments), arguments.folder, arguments.format)
    print(f"{arguments.documents:,} documents in {len(files)} files in {arguments.folder}")


if __name__ == "__main__":
    main()
