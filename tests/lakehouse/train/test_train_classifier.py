"""Training a classifier of texts."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from lakehouse.models import WORDS, Card, ModelFileError, TextForm, load_classifier, read_card
from lakehouse.train import Examples, Parameters, Split, Trained, TrainingError, collect, train_classifier

SMALL = Parameters(dimensions=4, buckets=1_000, epochs=20)
VOCABULARY = {
    "good": ["measured", "evidence", "chapter", "result", "therefore", "method", "careful", "explain"],
    "poor": ["click", "subscribe", "amazing", "free", "offer", "now", "buy", "wow"],
    "both": ["the", "a", "of", "and", "to", "in", "is", "it", "that", "this"],
}


def sentences(kind: str, n: int) -> list[str]:
    draw = random.Random(kind)
    words = VOCABULARY[kind] + VOCABULARY["both"]
    return [" ".join([*draw.choices(words, k=12), draw.choice(VOCABULARY[kind])]) for _ in range(n)]


def frames(texts: list[str], size: int) -> list[pl.DataFrame]:
    return [
        pl.DataFrame({"text": texts[start : start + size], "source": "a file"}) for start in range(0, len(texts), size)
    ]


def gather(good: list[str], poor: list[str], *, size: int = 100, form: TextForm = WORDS) -> Examples:
    split = Split(test_share=0.2, validation_share=0.2)
    return collect(frames(good, size), frames(poor, size), form=form, split=split, labels=("good", "poor"))


@pytest.fixture(scope="module")
def trained() -> Trained:
    return train_classifier(
        gather(sentences("good", 300), sentences("poor", 300)), name="quality", form=WORDS, parameters=SMALL
    )


def test_clear_classes_are_told_apart(trained: Trained) -> None:
    figures = trained.metrics["test"]
    assert figures["roc_auc"] > 0.99
    assert figures["f1"] > 0.95
    assert figures["n"] == trained.metrics["splits"]["test"] == sum(figures["confusion"].values())
    assert trained.plot.startswith(b"\x89PNG")
    assert trained.examples.columns == ["text_id", "label", "split", "source", "text", "score"]
    assert trained.examples.height == 600
    means = dict(trained.examples.group_by("label").agg(pl.col("score").mean()).iter_rows())
    assert means["good"] > 0.9 > 0.1 > means["poor"]


def test_training_twice_and_in_any_order_gives_the_same_bytes(trained: Trained, tmp_path: Path) -> None:
    good, poor = sentences("good", 300), sentences("poor", 300)
    shuffled = gather([*good[::-1], *good[:20]], random.Random(5).sample(poor, len(poor)), size=33)
    again = train_classifier(shuffled, name="quality", form=WORDS, parameters=SMALL)
    assert again.model == trained.model
    assert again.card.as_json() == trained.card.as_json()
    assert again.plot == trained.plot
    assert again.examples.equals(trained.examples)
    assert again.metrics["test"] == trained.metrics["test"]


def test_another_seed_gives_another_model(trained: Trained) -> None:
    examples = gather(sentences("good", 300), sentences("poor", 300))
    assert train_classifier(examples, name="quality", form=WORDS, seed=1, parameters=SMALL).model != trained.model


def test_a_folder_gives_the_scores_that_were_measured(trained: Trained, tmp_path: Path) -> None:
    trained.write(tmp_path / "quality")
    files = {file.name for file in (tmp_path / "quality").iterdir()}
    assert files == {"model.bin", "card.json", "metrics.json", "evaluation.png"}
    assert read_card(tmp_path / "quality") == trained.card
    assert json.loads((tmp_path / "quality" / "metrics.json").read_text()) == trained.metrics
    classifier = load_classifier(tmp_path / "quality")
    scores = classifier.scores(trained.examples["text"], "good")
    assert np.array_equal(scores, trained.examples["score"].to_numpy())


def test_a_folder_with_something_else_is_left_alone(trained: Trained, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(TrainingError, match="holds something else already"):
        trained.write(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["notes.txt"]


def test_a_compressed_model_replaces_another_and_is_as_reproducible(trained: Trained, tmp_path: Path) -> None:
    trained.write(tmp_path)
    examples = gather(sentences("good", 300), sentences("poor", 300))
    parameters = Parameters(dimensions=4, buckets=1_000, epochs=20, quantise=True, calibration="isotonic")
    first, second = (train_classifier(examples, name="small", form=WORDS, parameters=parameters) for _ in range(2))
    assert first.model == second.model
    assert len(first.model) < len(trained.model)
    first.write(tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {"model.ftz", "card.json", "metrics.json", "evaluation.png"}
    assert first.metrics["test"]["roc_auc"] > 0.99
    assert np.array_equal(
        load_classifier(tmp_path).scores(first.examples["text"], "good"), first.examples["score"].to_numpy()
    )


def test_texts_cannot_name_labels_or_end_the_line(trained: Trained) -> None:
    """A text with fastText's own words in it: read as they are, it would train the other class, or end early."""
    tricked = [f"__label__poor {text} </s> __label__poor more\n__label__poor" for text in sentences("good", 300)]
    examples = gather(tricked, sentences("poor", 300))
    again = train_classifier(examples, name="quality", form=WORDS, parameters=SMALL)
    assert again.metrics["test"]["roc_auc"] > 0.99


def test_only_the_first_characters_count_where_it_is_said(trained: Trained, tmp_path: Path) -> None:
    form = TextForm("words", max_characters=20)
    examples = gather(sentences("good", 300), sentences("poor", 300), form=form)
    short = train_classifier(examples, name="short", form=form, parameters=SMALL)
    short.write(tmp_path)
    text = sentences("good", 1)[0]
    found = load_classifier(tmp_path).scores(pl.Series([text, text[:20] + " click subscribe buy" * 20]), "good")
    assert found[0] == found[1]


@pytest.mark.parametrize(
    "wrong",
    [
        {"dimensions": 0},
        {"buckets": 10**9},
        {"dimensions": 1_000, "buckets": 10_000_000},
        {"learning_rate": 0},
        {"shortest": 3, "longest": 2},
        {"longest": 3},
        {"epochs": 0},
        {"calibration": "magic"},
    ],
)
def test_parameters_that_cannot_be_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(TrainingError):
        Parameters(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("format", "other", r"card\.json is no classifier's card"),
        ("format_version", 2, "has version 2"),
        ("labels", {}, "lacks something"),
        ("text_form", {"name": "words", "version": 9}, "version 9 of the text form 'words'"),
        ("text_form", {"name": "magic", "version": 1}, "is unknown"),
        ("calibration", {}, "calibration cannot be read"),
        ("model", {"file": "../model.bin", "xxh3_128": ""}, "must be a file beside the card"),
        ("model", {"file": "model.bin", "xxh3_128": "0" * 32}, "is not the model that"),
        ("labels", {"positive": "a", "negative": "b"}, "not those of its card"),
    ],
)
def test_a_card_that_does_not_fit_is_refused(
    trained: Trained, tmp_path: Path, key: str, value: object, message: str
) -> None:
    trained.write(tmp_path)
    card = json.loads((tmp_path / "card.json").read_text())
    (tmp_path / "card.json").write_text(json.dumps(card | {key: value}))
    with pytest.raises(ModelFileError, match=message):
        load_classifier(tmp_path)


def test_a_folder_without_a_card_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"has no card\.json"):
        load_classifier(tmp_path)
    (tmp_path / "card.json").write_text("{")
    with pytest.raises(ModelFileError, match=r"card\.json is no JSON"):
        load_classifier(tmp_path)


def test_cards_are_equal_where_they_say_the_same(trained: Trained) -> None:
    assert isinstance(trained.card, Card)
    assert json.loads(trained.card.as_json())["model"]["xxh3_128"] == trained.card.model_hash
