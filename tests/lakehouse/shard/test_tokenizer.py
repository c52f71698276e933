"""Tokenizers: reproducible, lossless, as the reference library encodes, and deaf to special tokens in documents."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from lakehouse import schema
from lakehouse.shard import (
    Encoder,
    TokenizerError,
    encoder_for,
    load_definition,
    tokenize,
    tokenizer_id,
    train_tokenizer,
)

TEXTS = [
    "The quick brown fox jumps over the lazy dog, and the other foxes don't mind: it's 12345 times the same.",
    "Der schnelle braune Fuchs springt über den faulen Hund; die anderen Füchse stört das nicht.",
    "Быстрая лиса прыгает через ленивую собаку. सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता प्राप्त है।",
    "人人生而自由，在尊严和权利上一律平等。 すべての人間は自由である。 모든 인간은 자유롭다. มนุษย์ทั้งหลายเกิดมามีอิสระ",
    "Markup <|system|> such as this <|user|> teaches the tokenizer <|system|> to merge a space <|user|> with a mark.",
    "def pack(lengths):\n    return [x for x in lengths if x > 0]\n\n\n",
] * 3

HOSTILE = [
    "",
    " ",
    "\x00\x01\ufeff\u200b\u200d",
    "a\u0301" * 300,
    "👨‍👩‍👧‍👦🏳️‍🌈",
    "\ufffd\uffff\U0010ffff",
    "İıſK'S 'ſ it'S we'Re don’t",
    "१२३४५६①②½",
    "\u2028\u2029\x85\x0b\x0c a \r\n\r\n\t x",
    "<|endoftext|>",
    "a <|endoftext|>b<|endoftext|><|endoftext",
    "<<|endoftext|>|endoftext|>",
]


@pytest.fixture(scope="module")
def definition() -> str:
    return train_tokenizer(TEXTS, vocabulary_size=700)


@pytest.fixture(scope="module")
def encoder(definition: str) -> Encoder:
    return Encoder(definition)


def reference(definition: str) -> Tokenizer:
    """The tokenizers library, told to take special tokens for ordinary text."""
    tokenizer = Tokenizer.from_str(definition)
    tokenizer.encode_special_tokens = True
    return tokenizer


def test_training_twice_in_other_circumstances_gives_the_same_bytes(definition):
    program = (
        "import json, sys; from lakehouse.shard import train_tokenizer;"
        "sys.stdout.write(train_tokenizer(json.load(sys.stdin), vocabulary_size=700))"
    )
    environment = os.environ | {"RAYON_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "PYTHONHASHSEED": "5"}
    run = subprocess.run(
        [sys.executable, "-c", program],
        input=json.dumps(TEXTS),
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    assert run.stdout == definition


def test_the_vocabulary_holds_all_bytes_and_one_special_token(encoder, definition):
    vocabulary = json.loads(definition)["model"]["vocab"]
    assert vocabulary["<|endoftext|>"] == encoder.end_of_document == 0
    assert set(pre_tokenizers.ByteLevel.alphabet()) <= set(vocabulary)
    assert len(vocabulary) == encoder.vocabulary_size <= 700
    assert len(vocabulary) > 257
    assert encoder.tokenizer_id == tokenizer_id(definition)
    assert encoder.decode([0]) == "<|endoftext|>"


def test_training_learns_the_words_of_the_texts(encoder):
    assert len(encoder.encode([" the"])[0]) == 1
    assert len(encoder.encode(["12345"])[0]) >= 2  # no number of more than three digits is one token


def test_one_page_without_a_space_does_not_stall_training():
    # Quadratic time would need hours for these two million letters.
    definition = train_tokenizer(["ab" * 1_000_000, "the fox and the fox"], vocabulary_size=300)
    assert max(len(token) for token in json.loads(definition)["model"]["vocab"]) <= 48


@settings(max_examples=150, deadline=None)
@given(st.text())
def test_decoding_gives_the_text_back(encoder, text):
    ids = encoder.encode([text])[0]
    assert encoder.decode(ids) == text
    assert encoder.end_of_document not in ids


@settings(max_examples=150, deadline=None)
@given(st.text() | st.lists(st.sampled_from([*TEXTS[:5], *HOSTILE])).map("".join))
def test_ids_are_those_of_the_tokenizers_library(encoder, definition, text):
    assert encoder.encode([text])[0].tolist() == reference(definition).encode(text).ids


def test_ids_are_those_of_the_tokenizers_library_in_thirty_languages(shared: Path, tmp_path: Path):
    packed = shared / "langid" / "sib-200" / "sib-200-train30.tar.zst"
    archive = tmp_path / "sentences.tar"
    archive.write_bytes(pa.input_stream(str(packed), compression="zstd").read())
    sentences = []
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.isfile():
                lines = tar.extractfile(member).read().decode().splitlines()  # type: ignore[union-attr]
                sentences += [line.split("\t")[2] for line in lines[1:150]]
    assert len(sentences) > 4_000
    definition = train_tokenizer(sentences, vocabulary_size=8_000)
    texts = [*sentences, "\n\n  ".join(sentences), *HOSTILE]
    expected = [encoding.ids for encoding in reference(definition).encode_batch(texts)]
    assert [ids.tolist() for ids in Encoder(definition).encode(texts)] == expected


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_never_becomes_the_end_of_a_document(encoder, text):
    ids = encoder.encode([text])[0]
    assert encoder.end_of_document not in ids
    assert encoder.decode(ids) == text


def test_a_run_of_spaces_that_would_abort_the_fast_encoder_is_encoded(encoder):
    text = "word" + " " * 1_200_000 + "word"
    assert encoder.decode(encoder.encode([text])[0]) == text


def test_a_long_text_has_the_ids_that_the_library_gives_it_whole(encoder, definition):
    text = " ".join(TEXTS[:4] * 300) + "  \n\n 1234567 <|endoftext|> " + " ".join(TEXTS[:5] * 300)
    assert len(text) > 200_000
    assert encoder.encode(["short", text])[1].tolist() == reference(definition).encode(text).ids


def documents(texts: list[str]) -> pl.DataFrame:
    rows = [(f"doc-{i}", "2026-11", "filtered/web", f"text-{i}", text) for i, text in enumerate(texts)]
    columns = dict.fromkeys(("doc_id", "snapshot", "component", "text_id", "text"), pl.String)
    return pl.DataFrame(rows, schema=columns, orient="row")


def test_tokenized_documents_end_once_and_fit_the_schema(encoder):
    tokens = tokenize(documents([*TEXTS, *HOSTILE]), encoder)
    assert schema.conform(tokens, schema.TOKENS).schema == schema.TOKENS
    for text, n_tokens, ids in zip([*TEXTS, *HOSTILE], tokens["n_tokens"], tokens["token_ids"], strict=True):
        assert len(ids) == n_tokens
        assert np.flatnonzero(ids.to_numpy() == encoder.end_of_document).tolist() == [n_tokens - 1]
        assert encoder.decode(ids[:-1]) == text
    assert tokenize(documents([]), encoder).schema == tokens.schema


def test_batches_do_not_show_in_tokens(encoder, monkeypatch):
    whole = tokenize(documents(TEXTS + HOSTILE), encoder)
    monkeypatch.setattr("lakehouse.shard.tokenizer._BATCH_CHARACTERS", 50)
    assert tokenize(documents(TEXTS + HOSTILE), encoder).equals(whole)


class Counting:
    """An encoder that remembers what it was asked to encode."""

    def __init__(self, encoder: Encoder) -> None:
        self.end_of_document = encoder.end_of_document
        self.encoded: list[str] = []
        self._encoder = encoder

    def encode(self, texts: list[str]) -> list[np.ndarray]:
        self.encoded += texts
        return self._encoder.encode(texts)


@given(known=st.sets(st.integers(0, len(TEXTS) - 1)), asked=st.lists(st.integers(0, len(TEXTS) - 1), unique=True))
def test_what_was_encoded_before_is_not_encoded_again_and_the_answer_is_the_same(encoder, known, asked):
    everything = documents(TEXTS)
    before = tokenize(everything[sorted(known)], encoder)
    counting = Counting(encoder)
    assert tokenize(everything[asked], counting, before).equals(tokenize(everything[asked], encoder))
    assert counting.encoded == [TEXTS[number] for number in asked if number not in known]


def test_a_text_that_only_looks_the_same_is_encoded_anew(encoder):
    before = tokenize(documents(["Straße"]), encoder)
    counting = Counting(encoder)
    tokenize(documents(["STRASSE"]), counting, before)  # the same doc_id and text_id
    assert counting.encoded == ["STRASSE"]


def test_an_encoder_is_built_once_a_process(definition):
    assert encoder_for(definition) is encoder_for(definition)


def sentencepiece_like(special: list[str]) -> str:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=300, special_tokens=special, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(TEXTS, trainer)
    return tokenizer.to_str()


def test_a_given_tokenizer_is_read_and_its_end_of_document_found(tmp_path):
    file = tmp_path / "tokenizer.json"
    file.write_text(sentencepiece_like(["<unk>", "<s>", "</s>"]))
    encoder = Encoder(load_definition(file))
    assert encoder.end_of_document == 2
    assert 2 not in encoder.encode(["the fox </s> jumps"])[0]


def test_a_tokenizer_without_a_known_end_asks_for_it():
    definition = sentencepiece_like(["<unk>", "<stop>"])
    with pytest.raises(TokenizerError, match="name its own with end_of_document"):
        Encoder(definition)
    with pytest.raises(TokenizerError, match="no token '<end>'"):
        Encoder(definition, end_of_document="<end>")
    assert Encoder(definition, end_of_document="<stop>").end_of_document == 1


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"\xff\xfe", b'{"model": {"type": "Unheard"}}'])
def test_a_file_that_is_no_tokenizer_is_refused(tmp_path, content):
    file = tmp_path / "tokenizer.json"
    file.write_bytes(content)
    with pytest.raises(TokenizerError, match=r"tokenizer\.json"):
        load_definition(file)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(TokenizerError, match="nowhere"):
        load_definition(tmp_path / "nowhere.json")


def test_a_kind_that_cannot_be_encoded_fast_is_refused():
    tokenizer = Tokenizer(models.WordLevel({"<unk>": 0, "</s>": 1, "the": 2}, unk_token="<unk>"))
    with pytest.raises(TokenizerError, match="cannot be encoded fast"):
        Encoder(tokenizer.to_str())


def test_training_needs_text_and_room_for_all_bytes():
    with pytest.raises(TokenizerError, match="no text"):
        train_tokenizer(["", ""], vocabulary_size=500)
    with pytest.raises(TokenizerError, match="vocabulary_size is 256"):
        train_tokenizer(TEXTS, vocabulary_size=256)
