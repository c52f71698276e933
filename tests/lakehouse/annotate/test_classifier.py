"""Scores of text classifiers, and files that are no classifiers."""

from __future__ import annotations

import gzip
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import fasttext
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.annotate.annotator import Annotator, AnnotatorError
from lakehouse.annotate.classifier import fasttext_classifier
from lakehouse.annotate.words import Batch
from lakehouse.models import WORDS
from lakehouse.train import Parameters, Split, collect, train_classifier

GOOD = "a careful method explains the measured result"
POOR = "click now and subscribe to this free offer"
ODD = "verse and rhyme sing of the silver moon"


def batch(*texts: str) -> Batch:
    return Batch(
        pl.DataFrame(
            {"doc_id": [str(n) for n in range(len(texts))], "text": list(texts), "language": ["en"] * len(texts)},
            schema={"doc_id": pl.String, "text": pl.String, "language": pl.String},
        )
    )


def measured(annotator: Annotator, *texts: str) -> pl.DataFrame:
    found = annotator.measure(batch(*texts))
    assert found.columns == [column.name for column in annotator.columns]
    frame = pl.from_arrow(found.to_arrow().cast(pa.schema(annotator.columns)))
    assert isinstance(frame, pl.DataFrame)
    return frame


def train(folder: Path, name: str, prefix: str = "__label__", **wanted: object) -> Path:
    lines = [f"{prefix}{label} {text}" for label, text in (("good", GOOD), ("poor", POOR), ("odd", ODD))]
    (folder / "train.txt").write_text("\n".join(lines * 40) + "\n")
    model = fasttext.train_supervised(
        str(folder / "train.txt"), dim=4, epoch=30, lr=0.5, thread=1, seed=1, verbose=0, label=prefix, **wanted
    )
    model.save_model(str(folder / name))
    return folder / name


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models of three labels, as others make them."""
    folder = tmp_path_factory.mktemp("models")
    train(folder, "plain.bin", wordNgrams=2, bucket=300)
    train(folder, "parts.bin", minn=2, maxn=3, bucket=300, loss="hs")
    model = fasttext.load_model(str(train(folder, "whole.bin", wordNgrams=2, bucket=300)))
    model.quantize()
    model.save_model(str(folder / "small.ftz"))
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that train-classifier wrote."""
    folder = tmp_path_factory.mktemp("trained") / "quality"
    frames = [
        pl.DataFrame({"text": [f"{text} {number}" for number in range(300)], "source": "x"}) for text in (GOOD, POOR)
    ]
    examples = collect(frames[:1], frames[1:], form=WORDS, split=Split(), labels=("good", "poor"))
    parameters = Parameters(dimensions=4, buckets=100)
    train_classifier(examples, name="quality", form=WORDS, parameters=parameters).write(folder)
    return folder


@pytest.mark.parametrize("name", ["plain.bin", "parts.bin", "small.ftz"])
def test_a_label_of_any_model_is_a_column_of_probabilities(folder: Path, name: str) -> None:
    one = fasttext_classifier(model=str(folder / name), label="good", column="quality")
    assert [(column.name, column.type) for column in one.columns] == [("quality", pa.float64())]
    found = measured(one, GOOD, POOR, "", " \n\t", GOOD.replace(" ", "\n"))["quality"]
    assert found[0] > 0.8 > 0.2 > found[1]
    assert found[2:4].to_list() == [None, None]
    assert found[4] == found[0]
    # The library's own answer is the oracle.
    labels, scores = fasttext.load_model(str(folder / name)).predict(POOR, k=3)
    assert found[1] == pytest.approx(dict(zip(labels, scores, strict=True))["__label__good"], abs=1e-6)
    prefixed = fasttext_classifier(model=str(folder / name), label="__label__good")
    assert measured(prefixed, GOOD)["score"][0] == found[0]


def test_without_a_label_the_most_probable_is_named(folder: Path) -> None:
    one = fasttext_classifier(model=str(folder / "plain.bin"))
    found = measured(one, ODD, GOOD, POOR, "")
    assert found["label"].to_list() == ["odd", "good", "poor", None]
    assert found["score"].to_list()[:3] == pytest.approx([1, 1, 1], abs=0.2)
    assert found["score"][3] is None


def test_labels_that_were_written_in_another_way_are_found(tmp_path: Path) -> None:
    model = train(tmp_path, "prefix.bin", prefix="class=")
    found = measured(fasttext_classifier(model=str(model), label="class=good"), GOOD, POOR)["score"]
    assert found[0] > 0.8 > 0.2 > found[1]


def test_a_trained_folder_is_read_by_its_card(trained: Path) -> None:
    whole = measured(fasttext_classifier(model=str(trained)), GOOD, POOR, "")
    assert whole["label"].to_list() == ["good", "poor", None]
    texts = (GOOD, POOR, "something else entirely", GOOD.upper(), f"{GOOD[:20]} </s> {GOOD[20:]}")
    scores = {
        (label, calibrated): measured(
            fasttext_classifier(model=str(trained), label=label, calibrated=calibrated), *texts
        )["score"]
        for label in ("good", "poor")
        for calibrated in (True, False)
    }
    assert (scores["good", True] + scores["poor", True]).to_list() == pytest.approx([1] * 5, abs=1e-4)
    assert scores["good", True].to_list() != scores["good", False].to_list()
    assert scores["good", True][3] == scores["good", True][0]
    assert scores["good", True][4] > 0.5


def test_the_files_of_a_model_are_named_and_a_table_is_a_table(trained: Path, folder: Path) -> None:
    assert [file.name for file in fasttext_classifier(model=str(trained)).files] == ["card.json", "model.bin"]
    assert fasttext_classifier(model=str(folder / "plain.bin")).files == (folder / "plain.bin",)
    table = fasttext_classifier(model="classifiers/quality")
    assert (table.tables, table.files) == (("classifiers/quality",), ())
    with pytest.raises(AnnotatorError, match="classifiers/quality is a table of the lake"):
        measured(table, GOOD)


@pytest.mark.parametrize(
    "wrong",
    [{"model": ""}, {"model": 3}, {"model": "x", "label": ""}, {"model": "x", "column": "label"},
     {"model": "x", "column": "a b"}, {"model": "x", "calibrated": "yes"}],
)  # fmt: skip
def test_settings_that_cannot_be_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(AnnotatorError):
        fasttext_classifier(**wrong)  # type: ignore[arg-type]


def test_a_label_that_the_model_lacks_is_named(folder: Path) -> None:
    one = fasttext_classifier(model=str(folder / "plain.bin"), label="fine")
    with pytest.raises(AnnotatorError, match=r"plain\.bin has no label 'fine': it has (good|poor|odd), "):
        measured(one, GOOD)


def test_files_of_other_kinds_are_named(folder: Path, tmp_path: Path) -> None:
    content = (folder / "plain.bin").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip.bin", "w") as archive:
        archive.writestr("model.bin", content)
    (tmp_path / "b.gz.bin").write_bytes(gzip.compress(content))
    (tmp_path / "c.vec").write_text("2 3\nword 0.1 0.2 0.3\nother 0.1 0.2 0.3\n")
    (tmp_path / "d.bin").write_bytes(b"")
    (tmp_path / "e.bin").write_bytes(b"anything else")
    (tmp_path / "text.txt").write_text("some words of text that are here often enough\n" * 20)
    words = fasttext.train_unsupervised(str(tmp_path / "text.txt"), dim=4, bucket=10, minCount=1, thread=1, verbose=0)
    words.save_model(str(tmp_path / "f.bin"))
    (tmp_path / "g.bin").write_bytes(content + b"\0")
    (tmp_path / "h").mkdir()
    for name, message in {
        "a.zip.bin": "it is a zip archive",
        "b.gz.bin": "it is a gzip file",
        "c.vec": "it holds word vectors as text",
        "d.bin": "is empty",
        "e.bin": "is no fastText model",
        "f.bin": "trained without labels",
        "g.bin": "is damaged: the model ends at byte",
        "h": r"has no card\.json",
        "absent.bin": "is not there",
    }.items():
        with pytest.raises(AnnotatorError, match=f"{name}.* ?{message}"):
            measured(fasttext_classifier(model=str(tmp_path / name)), GOOD)


DAMAGE = """
import random, sys
from pathlib import Path
import polars as pl
from lakehouse.models import ModelFileError, load_fasttext

draw, folder, refused, used = random.Random(7), Path(sys.argv[1]), 0, 0
texts = pl.Series(["a careful method", "", "word " * 500])
for name in sys.argv[2:]:
    content = (folder / name).read_bytes()
    cuts = {0, 3, 4, 8, 63, 64, 91, 92, *range(0, len(content), max(1, len(content) // 120)), len(content) - 1}
    damaged = [content[:cut] for cut in sorted(cuts)]
    for _ in range(400):
        changed = bytearray(content)
        for _ in range(draw.choice([1, 2, 6])):
            place = draw.randrange(draw.choice([64, 500, len(content)]))
            new = draw.choice([b"\\xff" * 4, bytes(4), draw.randbytes(4), b"\\xff\\xff\\xff\\x7f"])
            changed[place : place + 4] = new
        damaged.append(bytes(changed[: len(content)]))
    for number, attempt in enumerate(damaged):
        file = folder / "damaged.bin"
        file.write_bytes(attempt)
        try:
            model = load_fasttext(file)
            model.probabilities(texts, model.labels[0])
            model.most_probable(texts)
            assert number >= len(cuts), f"cut at {len(attempt)} of {len(content)} was not seen"
            used += 1
        except ModelFileError as error:
            assert str(file) in str(error)
            refused += 1
print(refused, used)
"""


def test_a_cut_or_damaged_model_never_ends_the_process(folder: Path) -> None:
    """In a process of its own: fastText itself dies of such files, or takes all memory."""
    command = [sys.executable, "-c", DAMAGE, str(folder), "plain.bin", "parts.bin", "small.ftz"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2_000:]
    refused, used = map(int, done.stdout.split())
    assert refused > 3 * 120
    assert used > 0  # a changed weight is nothing that can be seen


HOSTILE = ["x" * 2_000_000, "\n" * 1_000_000, "🙂" * 1_000, "\u202e\u202d\u200f", "\0\0\0", "语言" * 500, "word"]


def test_texts_of_any_kind_get_a_score_or_none(folder: Path, trained: Path) -> None:
    for model in (folder / "parts.bin", folder / "plain.bin", trained):
        found = measured(fasttext_classifier(model=str(model)), *HOSTILE)
        nothing = found["score"].is_null()
        assert nothing.to_list() == [False, True, False, False, True, False, False]
        assert found["score"].drop_nulls().is_between(0, 1).all()
        assert found["label"].is_null().to_list() == nothing.to_list()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=200), max_size=4))
def test_a_text_alone_has_the_score_that_it_has_among_others(trained: Path, texts: list[str]) -> None:
    one = fasttext_classifier(model=str(trained), label="good")
    together = measured(one, *texts)
    assert together.height == len(texts)
    for text, score in zip(texts, together["score"], strict=True):
        assert measured(one, text)["score"][0] == score


def test_time_grows_with_length_and_no_faster(trained: Path) -> None:
    one = fasttext_classifier(model=str(trained), label="good")
    measured(one, GOOD)

    def seconds(n: int) -> float:
        started = time.process_time()
        measured(one, "x" * n, "word " * (n // 5), "\n" * n)
        return time.process_time() - started

    assert seconds(4_000_000) < 16 * max(seconds(1_000_000), 0.05)
