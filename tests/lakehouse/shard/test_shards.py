"""From texts to shards and back, with any number of workers."""

from __future__ import annotations

import functools
from pathlib import Path

import polars as pl
import pytest

from lakehouse import compute, identity, schema
from lakehouse.mix import Component, mix
from lakehouse.shard import (
    ShardError,
    ShardSet,
    encoder_for,
    finish_shard,
    lay_out,
    place_tokens,
    plan_shards,
    read_megatron,
    token_type,
    tokenize,
    train_tokenizer,
    verify_manifest,
    write_manifest,
)

SEQUENCE_LENGTH = 128
SENTENCE = (
    "tokens of a corpus go through filters, and what is left becomes shards; nothing is lost: ünïcödé 中文 हिन्दी 42"
)
WORDS = SENTENCE.split()


def texts(component: str, count: int) -> list[str]:
    """Texts of 1 to 400 words, some longer than a sequence, each different."""
    made = []
    for i in range(count):
        n_words = 1 + identity.order_key(i, component) % (400 if i % 10 == 0 else 60)
        made.append(" ".join([f"{component} {i}:", *(WORDS[(i * 7 + j * j) % len(WORDS)] for j in range(n_words))]))
    return made


@functools.cache
def corpus() -> pl.DataFrame:
    rows = [
        (f"doc-{component}-{i}", "2026-11", f"filtered/{component}", identity.text_id(text), text)
        for component, count in (("web", 300), ("books", 40))
        for i, text in enumerate(texts(component, count))
    ]
    return pl.DataFrame(rows, schema=["doc_id", "snapshot", "component", "text_id", "text"], orient="row")


@functools.cache
def definition() -> str:
    return train_tokenizer(corpus()["text"], vocabulary_size=600)


def write_token_files(folder: Path) -> list[str]:
    files = []
    for number in range(3):
        part = corpus().filter(pl.int_range(pl.len()) % 3 == number)
        path = folder / f"part-{number}.parquet"
        tokenize(part, encoder_for(definition())).write_parquet(path)
        files.append(str(path))
    return files


def drawn(token_files: list[str]) -> pl.DataFrame:
    candidates = pl.read_parquet(token_files).with_columns(parents=pl.concat_list("doc_id")).drop("token_ids")
    parts = [Component("filtered/web", 0.7), Component("filtered/books", 0.3, max_repeats=3)]
    return mix(candidates, parts, token_budget=None, seed=11).rows


def build(folder: Path, workers: int) -> tuple[dict, pl.DataFrame, pl.DataFrame]:
    """Every step from token files to a manifest: the manifest, the mixture and the index of the sequences."""
    folder.mkdir()
    token_files = write_token_files(folder)
    mixture = drawn(token_files)
    plan = plan_shards(mixture, sequence_length=SEQUENCE_LENGTH, sequences_per_shard=30, name="main")
    scratch, training = folder / "scratch", folder / "training"
    scratch.mkdir()
    encoder = encoder_for(definition())
    dtype = token_type(encoder.vocabulary_size)
    shard_set = ShardSet("main", str(training), SEQUENCE_LENGTH, dtype, encoder.end_of_document)
    placing, finishing = lay_out(plan, token_files, shard_set, scratch)
    placed = sum(compute.run(place_tokens, placing, task="place", workers=workers))
    assert placed == plan.sequences["n_tokens"].sum()
    shards = list(compute.run(finish_shard, finishing, task="shards", workers=workers))
    manifest = write_manifest(
        training,
        name="main",
        sequence_length=SEQUENCE_LENGTH,
        dtype=dtype,
        tokenizer_id=encoder.tokenizer_id,
        vocabulary_size=encoder.vocabulary_size,
        end_of_document=encoder.end_of_document,
        shards=shards,
    )
    return manifest, mixture, plan.sequences


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict, pl.DataFrame, pl.DataFrame]:
    folder = tmp_path_factory.mktemp("shards") / "with one"
    return folder / "training", *build(folder, workers=1)


def test_one_worker_and_two_write_the_same_bytes(built, tmp_path):
    folder, manifest, _, _ = built
    assert len(manifest["shards"]) > 2
    assert build(tmp_path / "two", workers=2)[0] == manifest
    assert (tmp_path / "two" / "training" / "manifest.json").read_bytes() == (folder / "manifest.json").read_bytes()


def test_the_tokens_of_the_shards_are_the_tokens_of_the_mixture(built):
    folder, manifest, mixture, index = built
    assert mixture["repeats"].max() > 1
    assert manifest["tokens"] == (mixture["tokens"] * mixture["repeats"]).sum() == index["n_tokens"].sum()
    assert manifest["padding"] == index["padding"].sum()
    assert manifest["sequences"] == len(index)
    assert verify_manifest(folder) == []
    conformed = schema.conform(index.with_columns(file=pl.lit("f")), schema.SHARDS)
    assert conformed.schema == schema.SHARDS


def test_every_text_stands_where_the_index_says(built):
    folder, manifest, mixture, index = built
    encoder = encoder_for(definition())
    sequences = {
        (shard["shard"], number): tokens
        for shard in manifest["shards"]
        for number, tokens in enumerate(read_megatron(folder / shard["stem"]))
    }
    pieces: dict[str, list[tuple[int, list[int]]]] = {}
    for row in index.iter_rows(named=True):
        tokens = sequences[row["shard"], row["sequence"]]
        assert len(tokens) == SEQUENCE_LENGTH
        assert (tokens[row["n_tokens"] :] == encoder.end_of_document).all()
        for place in row["documents"]:
            part = tokens[place["start"] : place["start"] + place["length"]].tolist()
            pieces.setdefault(place["doc_id"], []).append((place["document_start"], part))
    expected = mixture.join(corpus().select("doc_id", "text"), on="doc_id")
    assert set(pieces) == set(expected["doc_id"])
    for doc_id, repeats, text in expected.select("doc_id", "repeats", "text").iter_rows():
        ids: list[int] = []
        for start, part in sorted(pieces[doc_id])[::repeats]:
            assert start == len(ids)
            ids += part
        assert ids.pop() == encoder.end_of_document
        assert encoder.decode(ids) == text
        assert len(pieces[doc_id]) % repeats == 0


def test_parquet_and_megatron_files_hold_the_same_sequences(built):
    folder, manifest, _, index = built
    for shard in manifest["shards"]:
        frame = pl.read_parquet(folder / f"{shard['stem']}.parquet")
        of_shard = index.filter(pl.col("shard") == shard["shard"])
        assert frame["sequence_id"].to_list() == of_shard["sequence_id"].to_list()
        assert frame["n_tokens"].to_list() == of_shard["n_tokens"].to_list()
        assert frame["token_ids"].to_list() == [tokens.tolist() for tokens in read_megatron(folder / shard["stem"])]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], r"document doc-\S+ is missing among the tokens"),
        ([0, 1], r"document doc-\S+ is missing among the tokens"),
        ([0, 1, 2, 0], r"document doc-\S+ is among the tokens twice"),
    ],
)
def test_a_document_that_is_missing_or_there_twice_is_an_error(tmp_path, files, message):
    token_files = write_token_files(tmp_path)
    plan = plan_shards(drawn(token_files), sequence_length=SEQUENCE_LENGTH, sequences_per_shard=50, name="main")
    shards = ShardSet("main", str(tmp_path / "training"), SEQUENCE_LENGTH, "uint16", 0)
    with pytest.raises(ShardError, match=message):
        lay_out(plan, [token_files[number] for number in files], shards, tmp_path)


def test_a_token_file_that_changed_since_the_mixture_is_noticed(tmp_path):
    token_files = write_token_files(tmp_path)
    plan = plan_shards(drawn(token_files), sequence_length=SEQUENCE_LENGTH, sequences_per_shard=50, name="main")
    shards = ShardSet("main", str(tmp_path / "training"), SEQUENCE_LENGTH, "uint16", 0)
    placing, _ = lay_out(plan, token_files, shards, tmp_path)
    tokens = pl.read_parquet(token_files[0])
    for other in (pl.col("token_ids").list.head(3), pl.concat_list("token_ids", pl.lit(0, pl.Int32))):
        tokens.with_columns(token_ids=other).write_parquet(token_files[0])
        with pytest.raises(ShardError, match="another number of tokens than in the mixture"):
            place_tokens(placing[0])
