"""How diverse a set of texts is, beside the set that it was made from.

Every measure is of a sample of fixed size that a seed draws: sets of different size compare. Where a set is smaller
than the samples, its figures compare only with those of sets that are as small; `words` says what there was.

Sources: Li et al., A Diversity-Promoting Objective Function for Neural Conversation Models (distinct-n); Shaib et al.,
Standardizing the Measurement of Text Diversity: A Tool and a Comparative Analysis of Scores (compression ratio,
self-similarity); Guo et al., The Curious Decline of Linguistic Diversity: Training Language Models on Synthetic Text;
Heaps, Information Retrieval: Computational and Theoretical Aspects (growth of the vocabulary).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import polars as pl

from lakehouse import identity
from lakehouse.generate.gates.openings import opening_of

if TYPE_CHECKING:
    from lakehouse.generate.gates.words import Words

_SAMPLE_TEXTS = 2000
_TEXTS_AT_ONCE = 1000
_MOST_COPIES = 4_000_000  # that are drawn from: above it the numbers of copies are scaled down
_TEXT_CHARS = 20_000  # that are read of a text, so that none is the whole sample
_COMPRESSED_BYTES = 1_000_000
_PAIR_WORDS = 3
_PAIRS_AT_ONCE = 500
_LEAST_WORDS = 100  # in a quarter of the sample, for the vocabulary's growth


@dataclass(frozen=True)
class Diversity:
    """What is measured of a set; null where it has too little text.

    Attributes:
        documents: texts of the set.
        words: words of the sample that distinct_n and the vocabulary are of.
        distinct_1, distinct_2, distinct_3, distinct_4: different n-grams per n-gram of the sample, 0..1.
        compression_ratio: bytes of the sample per byte that zlib makes of them. More: more of the same.
        self_similarity: mean Jaccard similarity of the word 3-grams of two texts, 0..1. More: more alike.
        commonest_opening: share of the texts that open with the commonest six words.
        distinct_openings: different openings per text, 0..1.
        mean_length: mean length of a text in characters.
        length_spread: standard deviation of the lengths over their mean.
        vocabulary_growth: exponent b of Heaps' law, different words ~ words^b, between a quarter of the sample and all.
    """

    documents: int
    words: int
    distinct_1: float | None
    distinct_2: float | None
    distinct_3: float | None
    distinct_4: float | None
    compression_ratio: float | None
    self_similarity: float | None
    commonest_opening: float | None
    distinct_openings: float | None
    mean_length: float | None
    length_spread: float | None
    vocabulary_growth: float | None


def measure(
    texts: Iterable[str] | pl.Series, *, seed: int = 0, sample_words: int = 200_000, sample_pairs: int = 5_000
) -> Diversity:
    """Measure the diversity of a set.

    The sample has at most 2,000 texts and depends neither on the order of the texts nor on batches: first the 2,000
    different texts that come first in the order of a hash of seed and text, then as many of all their copies. (What a
    larger set has copies of is in the sample with all of them or not at all.) The first 20,000 characters of a text
    are read; lengths are of every text as it is. Memory is that of the sample.

    Args:
        texts: the set, read once; null is no text.
        seed: of the sample and of its pairs.
        sample_words: how many words of the sample n-grams and vocabulary are of.
        sample_pairs: how many pairs of its texts are compared.
    """
    from lakehouse.generate.gates.words import find_words, normal_form

    sample, lengths = _drawn(texts, seed)
    sample = normal_form(sample)
    words = find_words(sample)
    used = words.hashes[:sample_words]
    distinct = [_distinct(words, n, len(used)) for n in (1, 2, 3, 4)]
    opened = opening_of(sample).drop_nulls()
    commonest = opened.value_counts()["count"].to_list()
    return Diversity(
        documents=lengths.count,
        words=len(used),
        distinct_1=distinct[0],
        distinct_2=distinct[1],
        distinct_3=distinct[2],
        distinct_4=distinct[3],
        compression_ratio=_compression_ratio(sample),
        self_similarity=_self_similarity(words, seed, sample_pairs),
        commonest_opening=max(commonest) / len(opened) if commonest else None,
        distinct_openings=len(commonest) / len(opened) if commonest else None,
        mean_length=lengths.mean,
        length_spread=lengths.spread,
        vocabulary_growth=_growth(used),
    )


def compare(
    synthetic: Iterable[str] | pl.Series, anchors: Iterable[str] | pl.Series, *, seed: int = 0
) -> dict[str, Diversity]:
    """Measure a synthetic set and the set of its anchors in the same way: {"synthetic": …, "anchors": …}."""
    return {"synthetic": measure(synthetic, seed=seed), "anchors": measure(anchors, seed=seed)}


def table(recipe: str, sides: dict[str, Diversity]) -> pl.DataFrame:
    """The figures as rows: recipe, side, measure, value (null where it was not measured)."""
    rows = [
        (recipe, side, field.name, getattr(figures, field.name))
        for side, figures in sides.items()
        for field in fields(figures)
    ]
    columns = {"recipe": pl.String, "side": pl.String, "measure": pl.String, "value": pl.Float64}
    return pl.DataFrame(rows, schema=columns, orient="row")


@dataclass
class _Lengths:
    """Lengths of texts in characters. Whole numbers, so that their sums depend on no order."""

    count: int = 0
    total: int = 0
    squares: int = 0

    def add(self, texts: pl.Series) -> None:
        lengths = texts.str.len_chars().cast(pl.Int64)
        self.count += len(texts)
        self.total += int(lengths.sum())
        self.squares += int((lengths**2).sum())

    @property
    def mean(self) -> float | None:
        return self.total / self.count if self.count else None

    @property
    def spread(self) -> float | None:
        if not self.total:
            return None
        variance = (self.count * self.squares - self.total**2) / self.count**2
        return float(np.sqrt(variance) / (self.total / self.count))


def _drawn(texts: Iterable[str | None], seed: int) -> tuple[pl.Series, _Lengths]:
    """The texts of the sample in its order, and the lengths of all."""
    lengths, waiting = _Lengths(), iter(texts)
    sample = pl.DataFrame(schema={"key": pl.Int64, "text": pl.String, "copies": pl.Int64})
    while some := list(islice(waiting, _TEXTS_AT_ONCE)):
        batch = pl.DataFrame({"text": [text for text in some if text is not None]}, schema={"text": pl.String})
        lengths.add(batch["text"])
        key = pl.Series([identity.order_key(seed, text) for text in batch["text"]], dtype=pl.Int64)
        drawn = batch.select(key=key, text=pl.col("text").str.slice(0, _TEXT_CHARS), copies=pl.lit(1, pl.Int64))
        # What falls out of the sample never comes back, so copies are counted in full.
        every = pl.concat([sample, drawn]).group_by("key").agg(pl.col("text").first(), pl.col("copies").sum())
        sample = every.sort("key").head(_SAMPLE_TEXTS)
    return _with_copies(sample), lengths


def _with_copies(sample: pl.DataFrame) -> pl.Series:
    """Of all copies of the texts as many as the sample holds, in the order of a hash of text and copy."""
    copies = sample["copies"].to_numpy()
    if copies.sum() > _MOST_COPIES:
        copies = np.maximum(copies * (_MOST_COPIES / copies.sum()), 1).astype(np.int64)
    text = np.repeat(np.arange(len(copies)), copies)
    copy = np.arange(len(text)) - np.repeat(np.cumsum(copies) - copies, copies)
    key = sample["key"].to_numpy().astype(np.uint64)[text] + copy.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    order = np.lexsort((copy, text, _spread(key)))[:_SAMPLE_TEXTS]
    return sample["text"].gather(text[order])


def _distinct(words: Words, n: int, used: int) -> float | None:
    """Different n-grams per n-gram of the first words; an n-gram across two texts is none."""
    number = used - n + 1
    if number < 1:
        return None
    grams = np.zeros(number, np.uint64)
    for place in range(n):
        grams = grams * np.uint64(0x9E3779B97F4A7C15) + _spread(words.hashes[place : place + number])
    text_of = np.searchsorted(words.offsets, np.arange(used), side="right")
    grams = grams[text_of[:number] == text_of[n - 1 :]]
    return len(np.unique(grams)) / len(grams) if len(grams) else None


def _spread(hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The hashes spread over all bits, so that sums of their multiples tell n-grams apart."""
    mixed = (hashes ^ hashes >> np.uint64(33)) * np.uint64(0xFF51AFD7ED558CCD)
    return mixed ^ mixed >> np.uint64(33)


def _compression_ratio(texts: pl.Series) -> float | None:
    data = bytearray()
    for text in texts:
        data += text.encode() + b"\n"
        if len(data) >= _COMPRESSED_BYTES:
            break
    return min(len(data), _COMPRESSED_BYTES) / len(zlib.compress(data[:_COMPRESSED_BYTES], 6)) if data else None


def _self_similarity(words: Words, seed: int, pairs: int) -> float | None:
    """Mean similarity of two different texts of the sample; of every two where these are no more than `pairs`."""
    from lakehouse.generate.gates.grams import shared_grams

    texts = len(words.offsets) - 1
    if texts * (texts - 1) // 2 <= pairs:
        first, second = np.triu_indices(texts, 1)
    else:
        draw = np.random.default_rng(seed)
        first = draw.integers(0, texts, pairs)
        second = (first + draw.integers(1, texts, pairs)) % texts
    similarities = [
        shared_grams(_taken(words, first[start:end]), _taken(words, second[start:end]), _PAIR_WORDS).similarity("union")
        for start, end in ((start, start + _PAIRS_AT_ONCE) for start in range(0, len(first), _PAIRS_AT_ONCE))
    ]
    measured = np.concatenate(similarities) if similarities else np.zeros(0)
    measured = measured[~np.isnan(measured)]
    return float(measured.mean()) if len(measured) else None


def _taken(words: Words, texts: npt.NDArray[np.int64]) -> Words:
    """The words of some of the texts."""
    counts = words.counts[texts]
    offsets = np.concatenate([[0], np.cumsum(counts)])
    places = np.arange(offsets[-1]) + np.repeat(words.offsets[texts] - offsets[:-1], counts)
    return replace(
        words,
        offsets=offsets,
        hashes=words.hashes[places],
        prefixes=words.prefixes[places],
        marks=words.marks[places],
    )


def _growth(hashes: npt.NDArray[np.uint64]) -> float | None:
    """Heaps' exponent between the first quarter of the words and all."""
    quarter = len(hashes) // 4
    if quarter < _LEAST_WORDS:
        return None
    ratio = len(np.unique(hashes)) / len(np.unique(hashes[:quarter]))
    return float(np.log(ratio) / np.log(len(hashes) / quarter))
