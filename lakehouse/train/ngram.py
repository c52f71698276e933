"""Training a character n-gram model with modified Kneser-Ney smoothing, in bounded memory and in any order of texts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from lakehouse.compute import progress
from lakehouse.identity import order_key
from lakehouse.models import NgramModel
from lakehouse.models.ngram_file import LENGTH_SHIFT
from lakehouse.models.symbols import FIRST, OTHER, SPACE_CHARACTER, count_characters, encode, folded
from lakehouse.train.errors import TrainingError
from lakehouse.unicode import CODE_POINTS

Keys = npt.NDArray[np.uint64]
Counts = npt.NDArray[Any]
Texts = Callable[[], Iterable[pl.DataFrame]]
"""Reads the texts from the beginning, whenever it is called: frames with a column `text`."""

FEWEST_CHARACTERS = 1_000
_KEYS = 1 << 63
_BUFFERED = 4_000_000
_MOST_HELD_OUT = 10_000


@dataclass(frozen=True)
class NgramSettings:
    """How an n-gram model is trained.

    Attributes:
        order: characters of the longest n-grams, 1 to 5. Tried on harmful and ordinary texts, 5 and 6 separate alike.
        seed: of the choice of held-out texts, and of those that are read where there are too many.
        held_out: share of the texts (0..1) that the model does not see.
        max_characters: what is trained on. The memory that is needed grows with it, to about 30 bytes a character of
            text in an alphabet, and 100 where hardly an n-gram comes twice, as in Chinese. Each text that there is
            takes about 100 bytes more, by which its copies are known.
        max_ngrams: of the model: the rarest of the longest are left out where there are more.
    """

    order: int = 5
    seed: int = 0
    held_out: float = 0.1
    max_characters: int = 20_000_000
    max_ngrams: int = 20_000_000

    def __post_init__(self) -> None:
        if not 1 <= self.order <= 5:
            raise TrainingError(f"order is {self.order}: use a number from 1 to 5.")
        if not 0 <= self.held_out < 0.9:
            raise TrainingError(f"held_out is {self.held_out}: use a share from 0 to below 0.9.")
        if self.max_characters < FEWEST_CHARACTERS or self.max_ngrams < FEWEST_CHARACTERS:
            raise TrainingError(f"max_characters and max_ngrams must be at least {FEWEST_CHARACTERS:,}.")


@dataclass(frozen=True)
class TrainedNgrams:
    """A model, and at most 10,000 of the texts that were held out of its training."""

    model: NgramModel
    held_out: pl.Series


def train_ngrams(texts: Texts, settings: NgramSettings | None = None, *, task: str = "Training") -> TrainedNgrams:
    """Train a model of texts. The same texts in any order give the same model, byte for byte; copies count once.

    Args:
        texts: read twice: for the alphabet and for the n-grams.
        settings: of the training.
        task: what progress is reported for.

    Raises:
        TrainingError: there is too little text.

    Source: Chen and Goodman, An Empirical Study of Smoothing Techniques for Language Modeling.
    """
    settings = settings or NgramSettings()
    progress().start(task, 3)
    try:
        counts, n_texts = _count_alphabet(texts, settings)
        total = int(counts.sum())
        if total < FEWEST_CHARACTERS:
            raise TrainingError(
                f"there are {total:,} characters to train on, in {n_texts:,} different texts: at least "
                f"{FEWEST_CHARACTERS:,} are needed."
            )
        progress().advance(task)
        bits, code_points, symbols = _alphabet(counts, settings.order)
        share = min(1.0, settings.max_characters / total)
        reader = _Reader(texts, settings, share)
        symbol_of = np.full(CODE_POINTS, OTHER, np.uint16)
        symbol_of[code_points] = symbols
        ngrams, occurrences = _count_ngrams(reader, symbol_of, settings.order, bits)
        progress().advance(task)
        n_symbols = int(symbols.max())
        keys, probabilities, backoffs = _estimate(
            ngrams, occurrences, settings.order, bits, n_symbols, settings.max_ngrams
        )
        progress().advance(task)
    finally:
        progress().finish(task)
    facts = {
        "texts": reader.n_texts,
        "characters": int(occurrences.sum()),
        "seed": settings.seed,
        "held_out": settings.held_out,
        "smoothing": "modified Kneser-Ney, interpolated",
    }
    model = NgramModel(settings.order, bits, code_points, symbols, keys, probabilities, backoffs, facts)
    return TrainedNgrams(model, pl.Series(reader.held_out, dtype=pl.String))


class _Reader:
    """The texts to train on, each once; those to hold out are put aside."""

    def __init__(self, texts: Texts, settings: NgramSettings, share: float) -> None:
        self._texts = texts
        self._settings = settings
        self._share = share
        self._held_out: list[tuple[int, str]] = []
        self.n_texts = 0

    @property
    def held_out(self) -> list[str]:
        """The texts to judge on, in an order that is that of no file."""
        return [text for _, text in sorted(self._held_out)[:_MOST_HELD_OUT]]

    def __iter__(self) -> Iterator[pl.Series]:
        seen: set[int] = set()
        seed = self._settings.seed
        for frame in self._texts():
            chosen = []
            for text in frame["text"]:
                # By its text, not by its place: neither the order of files nor a copy changes what is chosen.
                key = order_key(seed, " ".join(text.split()))
                if key in seen or not text or text.isspace():
                    continue
                seen.add(key)
                place = order_key(seed, "held out", str(key))
                if place / _KEYS < self._settings.held_out:
                    self._hold_out(place, text)
                elif order_key(seed, "read", str(key)) / _KEYS < self._share:
                    chosen.append(text)
            self.n_texts += len(chosen)
            yield pl.Series(chosen, dtype=pl.String)

    def _hold_out(self, place: int, text: str) -> None:
        self._held_out.append((place, text))
        if len(self._held_out) > 2 * _MOST_HELD_OUT:
            self._held_out = sorted(self._held_out)[:_MOST_HELD_OUT]


def _count_alphabet(texts: Texts, settings: NgramSettings) -> tuple[Counts, int]:
    """How often each character stands in the texts to train on, after folding."""
    counts = np.zeros(CODE_POINTS, np.int64)
    reader = _Reader(texts, settings, 1.0)
    for chosen in reader:
        count_characters(chosen, counts)
    folded_counts = np.zeros(CODE_POINTS, np.int64)
    np.add.at(folded_counts, folded(), counts)
    return folded_counts, reader.n_texts


def _alphabet(counts: Counts, order: int) -> tuple[int, npt.NDArray[np.uint32], npt.NDArray[np.uint16]]:
    """Bits of a symbol, the code points that have one, and theirs: of the most frequent characters and the space."""
    most = (1 << min(16, LENGTH_SHIFT // order)) - FIRST
    counts = counts.copy()
    counts[SPACE_CHARACTER] = max(counts.max() + 1, 1)
    by_frequency = np.argsort(-counts, kind="stable")[: min(most, int((counts > 0).sum()))]
    listed = np.sort(by_frequency)
    symbol_of = np.full(CODE_POINTS, OTHER, np.uint16)
    symbol_of[listed] = np.arange(FIRST, FIRST + len(listed))
    symbols = symbol_of[folded()]
    code_points = np.flatnonzero(symbols != OTHER).astype(np.uint32)
    bits = max(2, int(len(listed) + FIRST - 1).bit_length())
    return bits, code_points, symbols[code_points]


def _count_ngrams(
    batches: Iterable[pl.Series], symbol_of: npt.NDArray[np.uint16], order: int, bits: int
) -> tuple[Keys, Counts]:
    """The distinct n-grams of the full order, rising, and how often each stands in the texts."""
    merged = np.zeros(0, np.uint64), np.zeros(0, np.int32)
    waiting: list[tuple[Keys, Counts]] = []
    n_waiting = 0
    space = int(symbol_of[SPACE_CHARACTER])
    for texts in batches:
        symbols, offsets = encode(texts, symbol_of, space)
        for start, end in _portions(offsets):
            keys, counts = np.unique(
                _packed(symbols[offsets[start] : offsets[end]], np.diff(offsets[start : end + 1]), order, bits),
                return_counts=True,
            )
            waiting.append((keys, counts.astype(np.int32)))
            n_waiting += len(keys)
            if n_waiting > max(_BUFFERED, len(merged[0])):
                merged, waiting, n_waiting = _merge([merged, *waiting]), [], 0
    return _merge([merged, *waiting])


def _portions(offsets: Counts) -> Iterator[tuple[int, int]]:
    """Runs of whole texts that have at most about `_BUFFERED` symbols together."""
    start = 0
    for end in range(1, len(offsets)):
        if end == len(offsets) - 1 or offsets[end + 1] - offsets[start] > _BUFFERED:
            yield start, end
            start = end


def _packed(symbols: npt.NDArray[np.uint16], lengths: Counts, order: int, bits: int) -> Keys:
    """The n-gram that ends at each symbol, as a key without its length; before a text's beginning stand zeros."""
    keys = symbols.astype(np.uint64)
    place = np.arange(len(symbols)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    for back in range(1, order):
        earlier = np.zeros(len(symbols), np.uint64)
        earlier[back:] = symbols[:-back]
        earlier[place < back] = 0
        keys |= earlier << np.uint64(bits * back)
    return keys


def _merge(runs: list[tuple[Keys, Counts]]) -> tuple[Keys, Counts]:
    keys, counts = (np.concatenate([run[part] for run in runs]) for part in (0, 1))
    return _summed(keys, counts)


def _summed(keys: Keys, counts: Counts) -> tuple[Keys, Counts]:
    """Distinct keys, rising, and the sums of their counts."""
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    first = _starts(keys)
    return keys[first], np.add.reduceat(counts[order], first) if len(first) else counts


def _starts(rising: Keys) -> npt.NDArray[np.int64]:
    """Where each run of equal values begins."""
    return np.flatnonzero(np.append(len(rising) > 0, rising[1:] != rising[:-1])[: len(rising)])


class _Level:
    """The n-grams of one length, rising, and their counts; those of one context stand together."""

    def __init__(self, keys: Keys, counts: Counts, bits: int) -> None:
        self.keys = keys
        self.counts = counts
        self.kept = np.ones(len(keys), np.bool_)
        self._shift = np.uint64(bits)

    def starts(self) -> npt.NDArray[np.int64]:
        """Where the n-grams of each context begin. It takes as much memory as the keys, so it is not kept."""
        return _starts(self.keys >> self._shift)

    def contexts(self, starts: npt.NDArray[np.int64]) -> Keys:
        return self.keys[starts] >> self._shift


def _estimate(
    keys: Keys, counts: Counts, order: int, bits: int, n_symbols: int, max_ngrams: int
) -> tuple[Keys, npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Keys, log probabilities and log backoffs of a model, from the counts of the longest n-grams.

    A shorter n-gram counts once for each different character before it. What is left out as too rare gives its share
    to its context's backoff, so that the probabilities after any context still add up to 1.
    """
    levels = [_Level(keys, counts, bits)]
    for length in range(order - 1, 0, -1):
        shorter = levels[-1].keys & _mask(bits, length)
        levels.append(_Level(*_summed(shorter, np.ones(len(shorter), np.int32)), bits))
    _prune(levels, max_ngrams)

    entries: list[_Entries] = []
    below_keys, below = np.zeros(1, np.uint64), np.array([1 / n_symbols])
    for length in range(1, order + 1):
        level = levels.pop()  # the shortest; it is forgotten when it is done
        starts = level.starts()
        probabilities, backoffs = _smoothed(
            level, starts, below[np.searchsorted(below_keys, level.keys & _mask(bits, length - 1))]
        )
        if length > 1:
            contexts = level.contexts(starts)
            lowered = backoffs < 1
            entries[-1].back_off(contexts[lowered], backoffs[lowered], length - 1)
            below_keys, below, kept = level.keys, probabilities, level.kept
        else:
            # Every character has a probability by itself, also the one that stands for those never seen.
            below_keys = np.arange(OTHER, OTHER + n_symbols, dtype=np.uint64)
            below, kept = np.full(n_symbols, backoffs[0] / n_symbols), np.ones(n_symbols, np.bool_)
            below[np.searchsorted(below_keys, level.keys)] = probabilities
        entries.append(_Entries(below_keys[kept], below[kept], length))
    return (
        np.concatenate([one.keys for one in entries]),
        np.concatenate([one.log_probabilities for one in entries]),
        np.concatenate([one.log_backoffs for one in entries]),
    )


def _mask(bits: int, length: int) -> np.uint64:
    return (np.uint64(1) << np.uint64(bits * length)) - np.uint64(1)


def _smoothed(
    level: _Level, starts: npt.NDArray[np.int64], below: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The probability of each n-gram, and for each context what goes to the shorter one.

    Args:
        level: the n-grams.
        starts: where the n-grams of each context begin.
        below: the probability of each n-gram's last character after the shorter context.
    """
    taken = np.where(level.kept, level.counts - _discounts(level.counts), 0.0)
    totals = np.add.reduceat(level.counts, starts, dtype=np.float64)
    backoffs = 1 - np.add.reduceat(taken, starts) / totals
    sizes = np.diff(starts, append=len(level.keys))
    return taken / np.repeat(totals, sizes) + np.repeat(backoffs, sizes) * below, backoffs


def _prune(levels: list[_Level], max_ngrams: int) -> None:
    """Leave out the rarest n-grams of three and more characters, except contexts of those that stay.

    Args:
        levels: the longest first.
        max_ngrams: how many may stay, where that many are so rare.
    """
    n_ngrams = sum(len(level.keys) for level in levels)
    most = max((int(level.counts.max()) for level in levels[:-2]), default=0)
    least = 1
    while n_ngrams > max_ngrams and least <= most:
        needed = np.zeros(0, np.uint64)
        for level in levels[:-2]:
            level.kept = level.counts > least
            level.kept[np.searchsorted(level.keys, needed)] = True
            needed = level.keys[level.kept]
            needed = needed >> level._shift
            needed = needed[_starts(needed)]
            # What stands before a text's beginning is a context and no n-gram.
            needed = needed[needed > 0]
        n_ngrams = sum(int(level.kept.sum()) for level in levels)
        least += 1


def _discounts(counts: Counts) -> npt.NDArray[np.float64]:
    """What is taken from each count: less from a count of one than from higher ones, as the counts of counts say."""
    ones, twos, threes, fours = (int((counts == number).sum()) for number in (1, 2, 3, 4))
    discounts = np.array([0.5, 1.0, 1.5])
    if ones and twos and threes and fours:
        base = ones / (ones + 2 * twos)
        fitted = np.array([1 - 2 * base * twos / ones, 2 - 3 * base * threes / twos, 3 - 4 * base * fours / threes])
        # Counts of counts that do not fall, as those of frequent single characters, fit no discounts.
        if (fitted > 0).all() and (fitted < [1, 2, 3]).all():
            discounts = fitted
    return discounts[np.minimum(counts, 3) - 1]


class _Entries:
    """What the model says of n-grams of one length, in logarithms."""

    def __init__(self, keys: Keys, probabilities: npt.NDArray[np.float64], length: int) -> None:
        self.keys = keys | np.uint64(length << LENGTH_SHIFT)
        self.log_probabilities = _logarithm(probabilities)
        self.log_backoffs = np.zeros(len(keys), np.float32)

    def back_off(self, contexts: Keys, backoffs: npt.NDArray[np.float64], length: int) -> None:
        """Note what follows from not finding a longer n-gram after each of these contexts."""
        contexts = contexts | np.uint64(length << LENGTH_SHIFT)
        if len(contexts) and contexts[0] != self.keys[0] and contexts[0] == np.uint64(length << LENGTH_SHIFT):
            # What stands before a text's beginning is no n-gram, so it has no entry yet.
            self.keys = np.insert(self.keys, 0, contexts[0])
            self.log_probabilities = np.insert(self.log_probabilities, 0, 0)
            self.log_backoffs = np.insert(self.log_backoffs, 0, 0)
        self.log_backoffs[np.searchsorted(self.keys, contexts)] = _logarithm(backoffs)


def _logarithm(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    # The logarithm of nearly nothing would be minus infinity.
    return np.log(np.clip(values, 1e-30, 1)).astype(np.float32)
