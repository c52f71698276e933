"""How surprising texts are, and files that are no models."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.annotate.annotator import Annotator, AnnotatorError
from lakehouse.annotate.perplexity import perplexity
from lakehouse.annotate.words import Batch
from lakehouse.models import ModelFileError, load_ngram, save_ngram
from lakehouse.train import NgramSettings, train_ngrams

LURID = [
    "the",
    "bandit",
    "struck",
    "the",
    "miller",
    "with",
    "a",
    "rusty",
    "blade",
    "and",
    "left",
    "him",
    "bleeding",
    "in",
    "the",
    "dark",
    "cellar",
    "of",
    "the",
    "mill",
]
GREEK = [
    "ο",
    "ληστής",
    "χτύπησε",
    "τον",
    "μυλωνά",
    "με",
    "σκουριασμένη",
    "λεπίδα",
    "και",
    "τον",
    "άφησε",
    "στο",
    "σκοτεινό",
    "κελάρι",
    "του",
    "μύλου",
]
CALM = "Quarterly figures for exports rose by two per cent, says a survey of fourteen companies."


def batch(texts: list[str], languages: list[str | None] | None = None) -> Batch:
    rows = {"doc_id": [str(n) for n in range(len(texts))], "text": texts, "language": languages or ["en"] * len(texts)}
    return Batch(pl.DataFrame(rows, schema={"doc_id": pl.String, "text": pl.String, "language": pl.String}))


def measured(annotator: Annotator, texts: list[str], languages: list[str | None] | None = None) -> pl.DataFrame:
    found = annotator.measure(batch(texts, languages))
    assert found.columns == [column.name for column in annotator.columns]
    frame = pl.from_arrow(found.to_arrow().cast(pa.schema(annotator.columns)))
    assert isinstance(frame, pl.DataFrame)
    return frame


def model_of(words: list[str], path: Path) -> Path:
    draw = random.Random(1)
    texts = pl.DataFrame({"text": [" ".join(draw.choices(words, k=50)) for _ in range(40)]})
    save_ngram(train_ngrams(lambda: [texts], NgramSettings(held_out=0)).model, path)
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model_of(LURID, tmp_path_factory.mktemp("ngrams") / "lurid.ngram")


def test_what_the_model_knows_surprises_it_less(model: Path) -> None:
    one = perplexity(model=str(model))
    found = measured(one, [" ".join(LURID), CALM, "", " \n\t "])
    assert found["perplexity"][0] < 3 < 10 < found["perplexity"][1]
    assert found["perplexity"][2:].to_list() == [None, None]
    assert found["n_scored"].to_list() == [len(" ".join(LURID)), len(CALM), 0, 0]


def test_a_perplexity_worked_out_by_hand(tmp_path: Path) -> None:
    """Of single characters: 600 a, 300 b and 100 c, each seen 3 or more times."""
    text = pl.DataFrame({"text": ["a" * 600 + "b" * 300 + "c" * 100]})
    save_ngram(train_ngrams(lambda: [text], NgramSettings(order=1, held_out=0)).model, tmp_path / "abc.ngram")
    # Each of the three counts is lowered by 1.5; what that frees is shared by 5 symbols: a, b, c, the space, others.
    shared = 3 * 1.5 / 1_000 / 5
    a, b, c = (598.5 / 1_000 + shared, 298.5 / 1_000 + shared, 98.5 / 1_000 + shared)
    found = measured(perplexity(model=str(tmp_path / "abc.ngram"), column="surprise"), ["ab", "CCC", "a  b\n", "ж"])
    assert found["surprise"][0] == pytest.approx((1 / a / b) ** (1 / 2), rel=1e-5)
    assert found["surprise"][1] == pytest.approx(1 / c, rel=1e-5)
    # The run of spaces counts once, the end of the line not at all.
    assert found["surprise"][2] == pytest.approx((1 / a / b / shared) ** (1 / 3), rel=1e-5)
    # A character that the model does not list shares its probability with 131,072 others.
    assert found["surprise"][3] == pytest.approx(131_072 / shared, rel=1e-5)


def test_each_language_has_its_model(model: Path, tmp_path: Path) -> None:
    greek = model_of(GREEK, tmp_path / "greek.ngram")
    one = perplexity(model={"en": str(model), "el": str(greek)})
    texts = [" ".join(GREEK), " ".join(LURID), " ".join(LURID), CALM, " ".join(GREEK)]
    found = measured(one, texts, ["el", "en", "de", "en", None])
    assert found["perplexity"][0] < 3
    assert found["perplexity"][1] < 3
    assert found["perplexity"][3] > 10
    assert found[2].row(0) == (None, None)
    assert found[4].row(0) == (None, None)
    assert measured(one, [], []).height == 0
    assert measured(one, [CALM], ["de"]).row(0) == (None, None)
    assert one.files == (tmp_path / "greek.ngram", model) or set(one.files) == {greek, model}


def test_settings_that_cannot_be_are_refused() -> None:
    for wrong in ({"model": ""}, {"model": {}}, {"model": {"en": 3}}, {"model": "x", "column": "n_scored"}):
        with pytest.raises(AnnotatorError):
            perplexity(**wrong)  # type: ignore[arg-type]


def test_a_cut_or_damaged_file_is_named(model: Path, tmp_path: Path) -> None:
    content = model.read_bytes()
    draw = random.Random(3)
    damaged = [content[:cut] for cut in range(0, len(content), 997)] + [content[:-1], content + b"\0"]
    for _ in range(100):
        place = draw.randrange(len(content))
        damaged.append(content[:place] + bytes([content[place] ^ 1 << draw.randrange(8)]) + content[place + 1 :])
    for number, attempt in enumerate(damaged):
        file = tmp_path / f"{number}.ngram"
        file.write_bytes(attempt)
        with pytest.raises(AnnotatorError, match=rf"{number}\.ngram is (no n-gram model|damaged or cut off)"):
            measured(perplexity(model=str(file)), ["text"])
    for name, attempt in {"zip": b"PK\x03\x04" * 20, "empty": b"", "text": b"harmful words\n" * 50}.items():
        (tmp_path / name).write_bytes(attempt)
        with pytest.raises(AnnotatorError, match=f"{name} is no n-gram model"):
            measured(perplexity(model=str(tmp_path / name)), ["text"])
    with pytest.raises(AnnotatorError, match=r"absent\.ngram is not there"):
        measured(perplexity(model=str(tmp_path / "absent.ngram")), ["text"])


def forged(content: bytes, header: dict[str, object], arrays: bytes) -> bytes:
    """A file with a right checksum, as somebody who means harm would write it."""
    text = json.dumps(header).encode()
    whole = content[:8] + len(text).to_bytes(4, "little") + text + arrays
    return whole + xxhash.xxh3_128_digest(whole)


def test_a_file_that_somebody_forged_is_refused_or_harmless(model: Path, tmp_path: Path) -> None:
    content = model.read_bytes()
    length = int.from_bytes(content[8:12], "little")
    header, arrays = json.loads(content[12 : 12 + length]), content[12 + length : -16]
    lengths = header["lengths"]
    attempts = [
        {**header, "order": 9},
        {**header, "order": "x"},
        {**header, "bits": 60},
        {**header, "bits": 2},
        {**header, "lengths": {**lengths, "keys": -1}},
        {**header, "lengths": {**lengths, "keys": 10**18}},
        {**header, "lengths": {**lengths, "keys": lengths["keys"] - 1}},
        {**header, "lengths": {**lengths, "code_points": 0, "symbols": 0}},
        {},
    ]
    files = [forged(content, attempt, arrays) for attempt in attempts]
    files.append(forged(content, header, bytes(len(arrays))))
    files.append(forged(content, header, b"\xff" * len(arrays)))
    files.append(content[:8] + (2**32 - 1).to_bytes(4, "little") + content[12:-16])
    files[-1] += xxhash.xxh3_128_digest(files[-1])
    draw = random.Random(5)
    for _ in range(200):
        changed = bytearray(arrays)
        for _ in range(draw.choice([1, 8, 64])):
            changed[draw.randrange(len(changed))] = draw.randrange(256)
        files.append(forged(content, header, bytes(changed)))
    refused = 0
    for number, attempt in enumerate(files):
        file = tmp_path / "forged.ngram"
        file.write_bytes(attempt)
        try:
            logs, _ = load_ngram(file).score(pl.Series([" ".join(LURID), CALM, "語"]))
            assert (logs <= 0).all(), number
        except ModelFileError:
            refused += 1
    assert refused > 12


HOSTILE = ["x" * 10_000_000, "\n" * 1_000_000, "🙂" * 1_000, "\u202e\u202d\u200f", "\0\0\0", "语言" * 500, "a"]


def test_texts_of_any_kind_have_a_perplexity_or_none(model: Path) -> None:
    found = measured(perplexity(model=str(model)), HOSTILE)
    # Nulls and line ends are spaces to the model.
    assert found["perplexity"].is_null().to_list() == [False, True, False, False, True, False, False]
    assert found["n_scored"].to_list() == [10_000_000, 0, 1_000, 3, 0, 1_000, 1]
    assert (found["perplexity"].drop_nulls() >= 1).all()
    assert found["perplexity"].drop_nulls().is_finite().all()


@settings(max_examples=50, deadline=None)
@given(texts=st.lists(st.text(st.characters(codec="utf-8"), max_size=200), max_size=4))
def test_a_text_alone_has_the_perplexity_that_it_has_among_others(model: Path, texts: list[str]) -> None:
    one = perplexity(model=str(model))
    together = measured(one, texts)
    assert together.height == len(texts)
    for place, text in enumerate(texts):
        assert measured(one, [text]).row(0) == together.row(place)


def test_time_grows_with_length_and_no_faster(model: Path) -> None:
    one = perplexity(model=str(model))
    measured(one, [CALM])

    def seconds(n: int) -> float:
        started = time.process_time()
        measured(one, ["x" * n, "the miller " * (n // 11), "\n" * n])
        return time.process_time() - started

    assert seconds(4_000_000) < 16 * max(seconds(1_000_000), 0.05)
    assert np.isfinite(seconds(10))
