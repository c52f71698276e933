"""How well and how fast texts are classified: `taskset -c 0 python benchmarks/classifiers.py [SHARED_DATA]`.

A classifier learns to tell the two kinds of messages of two sets apart; an n-gram model sees only the harmful kind.
Both are judged on messages that they have not seen, the n-gram model also on several messages put together, which are
as long as a short page, and against paragraphs of ordinary English. Throughput is that of the annotators, on one core.
"""

from __future__ import annotations

import csv
import io
import random
import re
import sys
import tempfile
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from lakehouse import annotate
from lakehouse.models import LINE, WORDS, TextForm, save_ngram
from lakehouse.train import NgramSettings, Parameters, Split, collect, perplexities, train_classifier, train_ngrams
from lakehouse.train.evaluation import roc_auc

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
PIECE = 4_000
PARAMETERS = {
    "as they are": Parameters(),
    "dimensions 100": Parameters(dimensions=100),
    "buckets 2,000,000": Parameters(buckets=2_000_000),
    "single words": Parameters(word_ngrams=1),
    "parts of words, 3 to 5": Parameters(shortest=3, longest=5),
    "learning rate 0.1": Parameters(learning_rate=0.1),
    "quantised": Parameters(quantise=True),
}


def unpacked(file: Path) -> str:
    """The text of a file that zstd packed."""
    with pa.input_stream(str(file), compression="zstd") as stream:
        return str(stream.read().decode())


def message_sets(shared: Path) -> dict[str, tuple[list[str], list[str]]]:
    """The harmful and the other messages of each set."""
    rows = csv.DictReader(io.StringIO(unpacked(shared / "quality/hate-offensive/data/labeled_data.csv.zst")))
    posts = [(row["tweet"], row["class"] != "2") for row in rows]
    lines = unpacked(shared / "quality/sms-spam/SMSSpamCollection.zst").split("\n")[1:]
    messages = [(line.split("\t", 1)[1], line.startswith("spam")) for line in lines if "\t" in line]
    return {
        name: tuple([text for text, harmful in found if harmful is wanted] for wanted in (True, False))  # type: ignore[misc]
        for name, found in {"offensive posts": posts, "SMS spam": messages}.items()
    }


def english(shared: Path) -> list[str]:
    """Files of ordinary English."""
    texts = []
    for name in ("abc", "state_union", "webtext"):
        with zipfile.ZipFile(shared / f"quality/nltk-corpora/{name}.zip") as files:
            texts += [files.read(one).decode("latin-1") for one in sorted(files.namelist()) if one.endswith(".txt")]
    return texts


def frame(texts: Sequence[str]) -> pl.DataFrame:
    """Texts as the training reads them."""
    return pl.DataFrame({"text": texts, "source": [""] * len(texts)}, schema={"text": pl.String, "source": pl.String})


def classify(name: str, harmful: list[str], other: list[str], form: TextForm, label: str, chosen: Parameters) -> None:
    """Print one line about a classifier."""
    examples = collect([frame(harmful)], [frame(other)], form=form, split=Split(test_share=0.2))
    started = time.perf_counter()
    trained = train_classifier(examples, name=name, form=form, parameters=chosen)
    seconds = time.perf_counter() - started
    test = trained.metrics["test"]
    print(
        f"{name:16} {form.name:6} {label:24} {test['roc_auc']:.4f}  {test['f1']:.3f} "
        f"{test['expected_calibration_error_before']:7.3f} {test['expected_calibration_error']:7.3f} "
        f"{len(trained.model) / 1e6:8.1f} MB {seconds:6.1f} s"
    )


def together(texts: Sequence[str], n: int) -> pl.Series:
    """Texts of n messages each."""
    return pl.Series([" ".join(texts[at : at + n]) for at in range(0, len(texts) - n + 1, n)])


def surprise(name: str, harmful: list[str], other: list[str], ordinary: list[str], order: int) -> None:
    """Print one line about an n-gram model."""
    random.Random(3).shuffle(harmful)
    seen, unseen = harmful[: len(harmful) * 7 // 10], harmful[len(harmful) * 7 // 10 :]
    started = time.perf_counter()
    model = train_ngrams(lambda: [frame(seen)], NgramSettings(order=order, held_out=0)).model
    seconds = time.perf_counter() - started
    areas = []
    for n in (1, 5, 10):
        low = perplexities(model, together(unseen, n))
        for texts in (other, ordinary):
            high = perplexities(model, together(texts, n if texts is other else max(1, n // 2)))
            areas.append(roc_auc(np.append(high, low), np.arange(len(high) + len(low)) < len(high)))
    shown = "  ".join(f"{areas[at]:.3f} {areas[at + 1]:.3f}" for at in range(0, len(areas), 2))
    print(f"{name:16} {order:5}  {shown}  {len(model.keys):9,} n-grams {seconds:6.2f} s")


def throughput(texts: list[str], folder: Path) -> None:
    """Print megabytes a second of each annotator."""
    pieces = [text[at : at + PIECE] for text in texts for at in range(0, len(text), PIECE)]
    rows = {"doc_id": [str(place) for place in range(len(pieces))], "text": pieces, "language": ["en"] * len(pieces)}
    batch = annotate.Batch(pl.DataFrame(rows))
    megabytes = sum(len(piece.encode()) for piece in pieces) / 1e6
    kinds = {
        f"fasttext_classifier, {name}": {
            "kind": "fasttext_classifier",
            "model": str(folder / name),
            "label": "positive",
        }
        for name in ("small", "wide", "quantised")
    }
    for name, settings in {**kinds, "perplexity": {"kind": "perplexity", "model": str(folder / "ngrams")}}.items():
        annotator = annotate.annotator({"measured": settings})
        annotator.measure(annotate.Batch(batch.documents.head(10)))  # loads and compiles
        started = time.process_time()
        annotator.measure(batch)
        print(f"{name:32} {megabytes / (time.process_time() - started):6.1f} MB/s")


def main() -> None:
    """Print the tables."""
    shared = Path(sys.argv[1]) if len(sys.argv) > 1 else SHARED
    sets, texts = message_sets(shared), english(shared)
    print("set              form   parameters               ROC area F1   error: raw, calibrated   size, time")
    for name, (harmful, other) in sets.items():
        for label, chosen in PARAMETERS.items():
            classify(name, harmful, other, WORDS, label, chosen)
        classify(name, harmful, other, LINE, "as they are", Parameters())
    paragraphs = [part for text in texts for part in re.split(r"\s*\n\s*", text) if len(part) > 60]
    random.Random(1).shuffle(paragraphs)
    print("\nset              order  1 message    5 messages   10 messages: ROC area against its others, English")
    for name, (harmful, other) in sets.items():
        for order in (1, 2, 3, 4, 5):
            surprise(name, list(harmful), other, paragraphs[:6_000], order)
    print()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        harmful, other = sets["SMS spam"]
        examples = collect([frame(harmful)], [frame(other)], form=WORDS, split=Split())
        chosen = {"small": "as they are", "wide": "dimensions 100", "quantised": "quantised"}
        for name, label in chosen.items():
            train_classifier(examples, name=name, form=WORDS, parameters=PARAMETERS[label]).write(folder / name)
        save_ngram(train_ngrams(lambda: [frame(harmful)], NgramSettings(held_out=0)).model, folder / "ngrams")
        throughput(texts, folder)


if __name__ == "__main__":
    main()
