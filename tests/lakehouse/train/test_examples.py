"""Labelled examples: duplicates, contradictions, and the split."""

from __future__ import annotations

import random

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.models import WORDS
from lakehouse.train import Examples, Split, TrainingError, collect


def frame(texts: list[str], source: str = "file") -> pl.DataFrame:
    return pl.DataFrame(
        {"text": texts, "source": [source] * len(texts)}, schema={"text": pl.String, "source": pl.String}
    )


def numbered(word: str, n: int) -> list[str]:
    return [f"{word} number {place}" for place in range(n)]


def gather(positive: list[str], negative: list[str], split: Split | None = None) -> Examples:
    return collect([frame(positive, "p")], [frame(negative, "n")], form=WORDS, split=split or Split())


def test_duplicates_contradictions_and_empty_texts_are_counted_and_left_out() -> None:
    good, poor = numbered("good", 100), numbered("poor", 100)
    examples = gather([*good, "GOOD  number\n7", "both of them", "", " \n"], [*poor, "Both of them", poor[3], poor[3]])
    assert examples.counts == {
        # "GOOD  number\n7" is what the model sees of "good number 7".
        "positive": {"rows": 104, "empty": 2, "duplicates": 1, "contradictions": 1, "examples": 100},
        "negative": {"rows": 103, "empty": 0, "duplicates": 2, "contradictions": 1, "examples": 100},
    }
    assert examples.rows["text"].n_unique() == 200
    assert not examples.rows["text"].str.contains("(?i)both").any()


def test_the_split_is_by_what_the_model_sees() -> None:
    texts = numbered("word", 2_000)
    one = gather(texts[:1_000], texts[1_000:])
    other = gather([text.upper() for text in texts[:1_000]], [f"  {text} " for text in texts[1_000:]])
    assert other.rows["split"].to_list() == one.rows["split"].to_list()
    shares = one.rows["split"].value_counts(normalize=True)
    # 2,000 draws with a chance of 0.1: the standard deviation of the share is sqrt(0.09 / 2000) = 0.0067.
    for name in ("test", "validation"):
        assert shares.filter(pl.col("split") == name)["proportion"].item() == pytest.approx(0.1, abs=0.03)


def test_another_seed_gives_another_split() -> None:
    texts = numbered("a", 400), numbered("b", 400)
    first, second = (gather(*texts, Split(seed=seed)).part("test")["text"] for seed in (1, 2))
    assert set(first) != set(second)


@settings(max_examples=20, deadline=None)
@given(st.randoms(use_true_random=False), st.sampled_from([None, 60]))
def test_the_order_of_texts_and_files_does_not_matter(shuffle: random.Random, most: int | None) -> None:
    good = [*numbered("good", 150), *numbered("Good", 30)]
    poor = numbered("poor", 150)
    split = Split(seed=3, max_examples=most)
    straight = collect([frame(good, "a"), frame(good[:9], "b")], [frame(poor)], form=WORDS, split=split)
    shuffled = collect(
        [frame(good[:9], "b"), *(frame([text], "a") for text in shuffle.sample(good, len(good)))],
        [frame(shuffle.sample(poor, len(poor)))],
        form=WORDS,
        split=split,
    )
    assert shuffled.rows.equals(straight.rows)
    assert shuffled.counts == straight.counts
    assert straight.rows.filter(pl.col("label") == "positive").height == (most or 150)


def test_a_sample_of_many_rows_is_the_same_as_of_all_at_once() -> None:
    # More rows than are held at once for 50 examples (2 * 50 + 10,000).
    good, poor = numbered("good", 25_000), numbered("poor", 200)
    parts = collect(
        [frame(good[start : start + 1_000]) for start in range(0, 25_000, 1_000)],
        [frame(poor)],
        form=WORDS,
        split=Split(max_examples=50, test_share=0.2, validation_share=0.2),
    )
    whole = collect(
        [frame(good)], [frame(poor)], form=WORDS, split=Split(max_examples=50, test_share=0.2, validation_share=0.2)
    )
    assert parts.rows.equals(whole.rows)
    assert parts.counts["positive"]["rows"] == 25_000
    assert parts.counts["positive"]["examples"] == 50


def test_what_cannot_be_trained_on_is_said() -> None:
    good = numbered("good", 100)
    with pytest.raises(TrainingError, match="no examples of the class 'negative'"):
        gather(good, [])
    with pytest.raises(TrainingError, match=r"too few examples of the class 'negative': 2 of 4 rows are left"):
        gather(good, ["a", "A", "b", ""])
    with pytest.raises(TrainingError, match=r"0 of 100 rows are left .* 100 also of the other class"):
        gather(good, good)
    with pytest.raises(TrainingError, match="both labels are 'x'"):
        collect([frame(good)], [frame(good)], form=WORDS, split=Split(), labels=("x", "x"))
    with pytest.raises(TrainingError, match="label 'a b' is not allowed"):
        collect([frame(good)], [frame(good)], form=WORDS, split=Split(), labels=("a b", "x"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"seed": -1},
        {"test_share": 0},
        {"validation_share": 1.0},
        {"max_examples": 3},
        {"test_share": 0.5, "validation_share": 0.4},
    ],
)
def test_a_split_that_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(TrainingError):
        Split(**wrong)  # type: ignore[arg-type]
