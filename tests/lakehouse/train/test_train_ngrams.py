"""Training a character n-gram model, against slow and obvious versions of it."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.models import NgramModel, load_ngram, save_ngram
from lakehouse.models.ngram_file import LENGTH_SHIFT, UNLISTED
from lakehouse.models.symbols import OTHER
from lakehouse.train import NgramSettings, TrainingError, compare, perplexities, train_ngrams, valley

STORY = "the storm came over a ridge at noon and nobody in that valley had seen it coming so few were ready"


def story(seed: int, n_words: int = 60) -> str:
    return " ".join(random.Random(seed).choices(STORY.split(), k=n_words))


def trained(texts: Iterable[str], **wanted: float) -> NgramModel:
    texts = list(texts)
    chosen = NgramSettings(**({"held_out": 0.0} | wanted))  # type: ignore[arg-type]
    return train_ngrams(lambda: [pl.DataFrame({"text": texts})], chosen).model


def history_of(model: NgramModel, text: str) -> list[int]:
    """Symbols of a lower-case text without runs of spaces, after those before its beginning."""
    return [0] * (model.order - 1) + [int(model.symbol_of[ord(character)]) for character in text]


class Oracle:
    """A model's probabilities, read from its arrays one by one."""

    def __init__(self, model: NgramModel) -> None:
        self.order = model.order
        self.known = {}
        rows = zip(model.keys.tolist(), model.log_probabilities.tolist(), model.log_backoffs.tolist(), strict=True)
        for key, log_probability, log_backoff in rows:
            length, packed = key >> LENGTH_SHIFT, key & ((1 << LENGTH_SHIFT) - 1)
            symbols = tuple(packed >> (model.bits * back) & ((1 << model.bits) - 1) for back in reversed(range(length)))
            self.known[symbols] = (log_probability, log_backoff)

    def log_probability(self, history: tuple[int, ...], symbol: int) -> float:
        if (*history, symbol) in self.known:
            return self.known[(*history, symbol)][0]
        return self.known.get(history, (0.0, 0.0))[1] + self.log_probability(history[1:], symbol)

    def score(self, symbols: list[int]) -> float:
        total = 0.0
        for place in range(self.order - 1, len(symbols)):
            total += self.log_probability(tuple(symbols[place - self.order + 1 : place]), symbols[place])
            total += math.log(1 / UNLISTED) if symbols[place] == OTHER else 0
        return total


class KneserNey:
    """Interpolated modified Kneser-Ney from counts in dictionaries."""

    def __init__(self, texts: list[list[int]], order: int, n_symbols: int) -> None:
        self.n_symbols = n_symbols
        counts = Counter(
            tuple(text[place - order + 1 : place + 1]) for text in texts for place in range(order - 1, len(text))
        )
        self.counts = {order: counts}
        for length in range(order - 1, 0, -1):
            self.counts[length] = Counter(ngram[1:] for ngram in self.counts[length + 1])
        self.discounts = {length: self.discount(list(counts.values())) for length, counts in self.counts.items()}

    @staticmethod
    def discount(counts: list[int]) -> list[float]:
        n = [counts.count(number) for number in range(5)]
        if all(n[1:]):
            y = n[1] / (n[1] + 2 * n[2])
            found = [0, 1 - 2 * y * n[2] / n[1], 2 - 3 * y * n[3] / n[2], 3 - 4 * y * n[4] / n[3]]
            if all(0 < found[number] < number for number in (1, 2, 3)):
                return found
        return [0, 0.5, 1.0, 1.5]

    def probability(self, history: tuple[int, ...], symbol: int) -> float:
        length = len(history) + 1
        below = self.probability(history[1:], symbol) if history else 1 / self.n_symbols
        after = {ngram: count for ngram, count in self.counts[length].items() if ngram[:-1] == history}
        if not after:
            return below
        discounts = self.discounts[length]
        taken = sum(discounts[min(count, 3)] for count in after.values())
        own = after.get((*history, symbol), 0)
        return (own - discounts[min(own, 3)] + taken * below) / sum(after.values())


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_probabilities_are_those_of_kneser_ney(order: int) -> None:
    texts = [story(seed, 40) for seed in range(8)]
    model = trained(texts, order=order)
    slow = KneserNey([history_of(model, text) for text in texts], order, model.n_symbols)
    for text in ("the storm", "nobody had", "zzz", "a"):
        symbols = history_of(model, text)
        expected = sum(
            math.log(slow.probability(tuple(symbols[place - order + 1 : place]), symbols[place]))
            + (math.log(1 / UNLISTED) if symbols[place] == OTHER else 0)
            for place in range(order - 1, len(symbols))
        )
        found, n_characters = model.score(pl.Series([text]))
        assert found[0] == pytest.approx(expected, rel=1e-5)
        assert n_characters[0] == len(text)


@pytest.mark.parametrize("max_ngrams", [1_000, 20_000_000])
def test_probabilities_after_any_history_add_up_to_one(max_ngrams: int) -> None:
    model = trained([story(seed, 200) for seed in range(10)], max_ngrams=max_ngrams)
    oracle = Oracle(model)
    letters = random.Random(1)
    histories = [history_of(model, story(3))[place : place + 4] for place in (0, 1, 3, 30)]
    histories += [letters.choices(range(OTHER, OTHER + model.n_symbols), k=4) for _ in range(20)]
    for history in histories:
        total = sum(
            math.exp(oracle.log_probability(tuple(history), symbol)) for symbol in range(OTHER, OTHER + model.n_symbols)
        )
        assert total == pytest.approx(1, abs=1e-5)


def test_longest_ngrams_may_all_be_too_rare() -> None:
    letters = random.Random(1)
    model = trained(["".join(letters.choices("abcdefghijklmnopqrstuvwxyz", k=3_000))], max_ngrams=1_000)
    assert (model.keys >> np.uint64(LENGTH_SHIFT)).max() < 5
    total = sum(
        math.exp(Oracle(model).log_probability((2, 3, 4, 5), symbol))
        for symbol in range(OTHER, OTHER + model.n_symbols)
    )
    assert total == pytest.approx(1, abs=1e-5)


def test_rare_ngrams_are_left_out_where_there_are_too_many() -> None:
    texts = [story(seed, 200) for seed in range(10)]
    whole, small = trained(texts), trained(texts, max_ngrams=1_000)
    assert len(small.keys) <= 1_010 < len(whole.keys)  # four contexts before a text's beginning, and unseen symbols
    assert perplexities(small, pl.Series([story(99)]))[0] < 2 * perplexities(whole, pl.Series([story(99)]))[0]


TEXT = st.text(st.sampled_from("abcdeohrst  \n\tÄж7语🙂") | st.characters(codec="utf-8"), max_size=60)
SMALL = trained([story(seed) for seed in range(5)], max_ngrams=1_000)
SLOW = Oracle(SMALL)


@settings(max_examples=200, deadline=None)
@given(st.lists(TEXT, max_size=5))
def test_the_kernel_agrees_with_reading_the_arrays(texts: list[str]) -> None:
    found, n_characters = SMALL.score(pl.Series(texts, dtype=pl.String))
    for text, log_probability, n in zip(texts, found, n_characters, strict=True):
        folded = [int(SMALL.symbol_of[ord(character)]) for character in text]
        symbols = [
            symbol
            for place, symbol in enumerate(folded)
            if symbol != SMALL.space or (place and folded[place - 1] != SMALL.space)
        ]
        while symbols and symbols[-1] == SMALL.space:
            symbols.pop()
        assert n == len(symbols)
        assert log_probability == pytest.approx(SLOW.score([0] * 4 + symbols), rel=1e-5, abs=1e-5)


def test_training_twice_and_in_any_order_gives_the_same_file(tmp_path: Path) -> None:
    texts = [story(seed) for seed in range(40)]
    files = []
    for number, order in enumerate((texts, texts, texts[::-1], [*texts, texts[0], f" {texts[1]}\n"])):
        frames = [pl.DataFrame({"text": order[start : start + 7]}) for start in range(0, len(order), 7)]
        result = train_ngrams(lambda frames=frames: frames, NgramSettings(held_out=0.2))
        save_ngram(result.model, tmp_path / str(number))
        files.append((tmp_path / str(number)).read_bytes())
        assert set(result.held_out) < set(texts)
        assert len(result.held_out) + result.model.facts["texts"] == 40
    assert len(set(files)) == 1


def test_the_texts_to_read_where_there_are_too_many_do_not_depend_on_their_order() -> None:
    texts = [story(seed) for seed in range(200)]
    total = sum(map(len, texts))
    some = trained(texts, max_characters=total // 2)
    again = trained(texts[::-1], max_characters=total // 2)
    assert np.array_equal(some.keys, again.keys)
    # A half of 200 texts: the standard deviation is sqrt(200 * 0.25) = 7.
    assert some.facts["texts"] == pytest.approx(100, abs=30)


def test_a_saved_model_is_the_same_model(tmp_path: Path) -> None:
    save_ngram(SMALL, tmp_path / "small.ngram")
    loaded = load_ngram(tmp_path / "small.ngram")
    texts = pl.Series([story(1), "something else", "", "语 🙂"])
    assert np.array_equal(loaded.score(texts)[0], SMALL.score(texts)[0])
    assert loaded.facts == SMALL.facts


def test_case_digits_and_spaces_are_not_told_apart() -> None:
    model = trained([*(story(seed) for seed in range(5)), "in 1984 or 2001"])
    logs, n = model.score(pl.Series(["in 1984", " IN\n\n 2077\t", "in ٢٠٠١"]))
    assert n.tolist() == [7, 7, 7]
    assert logs.tolist() == [logs[0]] * 3


def test_characters_beyond_the_alphabet_are_surprising_also_where_the_alphabet_is_full() -> None:
    # More than the 4,094 characters that have symbols of their own at order 5.
    letters = random.Random(1)
    chinese = [chr(0x4E00 + place) for place in range(6_000)]
    model = trained(["".join(letters.choices(chinese, k=400)) for _ in range(60)])
    assert model.bits == 12
    assert model.n_symbols == 4_095
    seen, unseen = perplexities(model, pl.Series(["".join(chinese[:50]), "สวัสดีชาวโลกทั้งหลาย"]))
    assert unseen > 10 * seen


def test_too_little_text_is_said() -> None:
    with pytest.raises(TrainingError, match="14 characters to train on, in 1 different texts"):
        trained(["too few to say", "too few to say", " ", ""])
    with pytest.raises(TrainingError, match="0 characters"):
        trained([])


@pytest.mark.parametrize(
    "wrong", [{"order": 0}, {"order": 6}, {"held_out": 1.0}, {"max_characters": 10}, {"max_ngrams": 10}]
)
def test_settings_that_cannot_be_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(TrainingError):
        NgramSettings(**wrong)  # type: ignore[arg-type]


def test_the_valley_lies_between_two_hills() -> None:
    draw = np.random.default_rng(1)
    low, high = np.exp(draw.normal(1, 0.3, 2_000)), np.exp(draw.normal(3, 0.3, 500))
    # Two equal hills at 1 and 3 on a logarithmic axis: the lowest point is at 2.
    assert math.log(valley(low, high)) == pytest.approx(2, abs=0.15)
    found = compare("title", low, high)
    assert found.figures["harmful_below"] > 0.99
    assert found.figures["other_below"] < 0.01
    assert found.figures["roc_auc"] > 0.999
    assert found.plot.startswith(b"\x89PNG")
    assert set(compare("title", low, None).figures) == {"harmful"}


def test_sets_without_spread_have_a_valley_too() -> None:
    same = np.full(10, 3.0)
    assert valley(same, same) == pytest.approx(3)
    assert 3 <= valley(same, np.full(10, 9.0)) <= 9


def test_harmful_and_ordinary_text_are_told_apart(shared: Path) -> None:
    """Five messages together make a text about as long as a paragraph."""
    with pa.input_stream(str(shared / "quality/sms-spam/SMSSpamCollection.zst"), compression="zstd") as stream:
        rows = [line.split("\t", 1) for line in stream.read().decode().split("\n")[1:] if "\t" in line]
    kinds = {kind: [text for label, text in rows if label == kind] for kind in ("spam", "ham")}
    pages = {kind: [" ".join(texts[at : at + 5]) for at in range(0, len(texts), 5)] for kind, texts in kinds.items()}
    result = train_ngrams(lambda: [pl.DataFrame({"text": pages["spam"]})], NgramSettings(held_out=0.3))
    harmful = perplexities(result.model, result.held_out)
    found = compare("spam", harmful, perplexities(result.model, pl.Series(pages["ham"]))).figures
    assert found["roc_auc"] > 0.98
    assert found["harmful_below"] > 0.9
    assert found["other_below"] < 0.05
