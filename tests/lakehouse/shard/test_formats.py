"""Shard files: read back with a reader written from the format's description, checked by the manifest."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

from lakehouse.shard import (
    FileDigest,
    ShardError,
    ShardFiles,
    read_megatron,
    token_type,
    verify_manifest,
    write_index,
    write_manifest,
    write_parquet,
)
from lakehouse.shard.formats import TokenType


def independent_reader(prefix: Path) -> tuple[type, list[list[int]], list[int]]:
    """Token type, sequences and document bounds of a Megatron index, read field by field."""
    index, tokens = Path(f"{prefix}.idx").read_bytes(), Path(f"{prefix}.bin").read_bytes()
    assert index[:9] == b"MMIDIDX\x00\x00"
    assert int.from_bytes(index[9:17], "little") == 1
    dtype = {4: np.int32, 8: np.uint16}[index[17]]
    count, bounds = int.from_bytes(index[18:26], "little"), int.from_bytes(index[26:34], "little")
    numbers = index[34:]
    lengths = np.frombuffer(numbers[: 4 * count], "<i4")
    pointers = np.frombuffer(numbers[4 * count : 12 * count], "<i8")
    documents = np.frombuffer(numbers[12 * count :], "<i8")
    assert len(documents) == bounds
    width = np.dtype(dtype).itemsize
    read = [
        np.frombuffer(tokens[pointer : pointer + length * width], dtype).tolist()
        for pointer, length in zip(pointers.tolist(), lengths.tolist(), strict=True)
    ]
    assert len(tokens) == sum(len(sequence) for sequence in read) * width
    return dtype, read, documents.tolist()


def write_megatron(prefix: Path, sequences: list[list[int]], dtype: TokenType) -> dict[str, FileDigest]:
    """The sequences one behind the other, and their index."""
    tokens = [token for sequence in sequences for token in sequence]
    prefix.with_name(f"{prefix.name}.bin").write_bytes(np.array(tokens, dtype=dtype).tobytes())
    return write_index(prefix, [len(sequence) for sequence in sequences], dtype)


SEQUENCES = [[1, 2, 3, 65_499], [7], [], [0, 0]]


@pytest.mark.parametrize("dtype", ["uint16", "int32"])
def test_megatron_files_are_read_by_another_reader_and_by_ours(tmp_path, dtype):
    write_megatron(tmp_path / "a", SEQUENCES, dtype)
    assert independent_reader(tmp_path / "a") == (np.dtype(dtype).type, SEQUENCES, [0, 1, 2, 3, 4])
    assert [sequence.tolist() for sequence in read_megatron(tmp_path / "a")] == SEQUENCES


def test_a_shard_without_sequences_can_be_read(tmp_path):
    write_megatron(tmp_path / "a", [], "uint16")
    assert independent_reader(tmp_path / "a")[1] == []
    assert read_megatron(tmp_path / "a") == []


def test_the_token_type_changes_where_megatron_changes_it():
    assert [token_type(size) for size in (257, 65_499, 65_500, 200_000)] == ["uint16", "uint16", "int32", "int32"]


def test_a_damaged_shard_is_refused(tmp_path):
    write_megatron(tmp_path / "a", [list(range(10))], "uint16")
    index, tokens = tmp_path / "a.idx", tmp_path / "a.bin"
    whole = index.read_bytes()
    for content in (b"", whole[:20], whole[:40]):
        index.write_bytes(content)
        with pytest.raises(ShardError, match="cut off"):
            read_megatron(tmp_path / "a")
    index.write_bytes(b"NOTANIDX\x00" + whole[9:])
    with pytest.raises(ShardError, match="no Megatron index"):
        read_megatron(tmp_path / "a")
    index.write_bytes(whole)
    tokens.write_bytes(tokens.read_bytes()[:-1])
    with pytest.raises(ShardError, match=r"a\.bin has 19 bytes"):
        read_megatron(tmp_path / "a")


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    tokens, n_tokens = np.arange(4, dtype=np.uint16).reshape(1, 4), np.array([4])
    write_parquet(tmp_path / "a.parquet", ["x"], tokens, n_tokens)
    before = (tmp_path / "a.parquet").read_bytes()

    def broken(rows: object, path: Path, **_: object) -> None:
        path.write_bytes(b"PAR1")
        raise OSError("No space left on device")

    monkeypatch.setattr(pq, "write_table", broken)
    with pytest.raises(OSError, match="No space"):
        write_parquet(tmp_path / "a.parquet", ["y"], tokens, n_tokens)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a.parquet": before}


@pytest.mark.parametrize(("dtype", "column"), [("uint16", pl.UInt16), ("int32", pl.Int32)])
def test_parquet_holds_one_row_a_sequence_and_the_same_bytes_each_time(tmp_path, dtype, column):
    tokens = np.arange(12, dtype=dtype).reshape(3, 4)
    first = write_parquet(tmp_path / "a.parquet", ["x", "y", "z"], tokens, np.array([4, 4, 2]))
    second = write_parquet(tmp_path / "b.parquet", ["x", "y", "z"], tokens, np.array([4, 4, 2]))
    assert first["a.parquet"] == second["b.parquet"]
    frame = pl.read_parquet(tmp_path / "a.parquet")
    assert frame.schema == {"sequence_id": pl.String, "token_ids": pl.List(column), "n_tokens": pl.Int64}
    assert frame.rows() == [("x", [0, 1, 2, 3], 4), ("y", [4, 5, 6, 7], 4), ("z", [8, 9, 10, 11], 2)]


@pytest.fixture
def shard_set(tmp_path: Path) -> Path:
    shards = []
    for shard in (1, 0):
        stem = f"main-{shard:05d}"
        files = write_megatron(tmp_path / stem, [[0, 1, 2, 3], [0, 1, 2, 3]], "uint16")
        shards.append(ShardFiles(shard, stem, sequences=2, tokens=7, padding=1, files=files))
    write_manifest(
        tmp_path,
        name="main",
        sequence_length=4,
        dtype="uint16",
        tokenizer_id="0" * 64,
        vocabulary_size=300,
        end_of_document=0,
        shards=shards,
    )
    return tmp_path


def test_a_manifest_lists_shards_in_order_with_totals_and_checksums(shard_set):
    manifest = json.loads((shard_set / "manifest.json").read_text())
    assert [shard["stem"] for shard in manifest["shards"]] == ["main-00000", "main-00001"]
    assert (manifest["sequences"], manifest["tokens"], manifest["padding"]) == (4, 14, 2)
    # 2 × 4 tokens of 2 bytes; printf '\0\0\1\0\2\0\3\0\0\0\1\0\2\0\3\0' | sha256sum
    assert manifest["shards"][0]["files"]["main-00000.bin"] == {
        "bytes": 16,
        "sha256": "5266434b6aed423823d81b5055a4d9f1598e56c2fbdc56f0e0cecd1769fda99e",
    }
    assert verify_manifest(shard_set) == []


def test_a_manifest_finds_what_is_wrong(shard_set):
    (shard_set / "main-00000.idx").unlink()
    (shard_set / "main-00001.bin").write_bytes(b"\x01" * 16)
    (shard_set / "main-00002.bin").write_bytes(b"")
    missing, extra, changed = verify_manifest(shard_set)
    assert missing == "main-00000.idx is missing."
    assert extra == "main-00002.bin is not in the manifest."
    assert changed.startswith("main-00001.bin: sha256 is ")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format_version": 99}'])
def test_a_manifest_that_cannot_be_read_is_a_problem(tmp_path, content):
    (tmp_path / "manifest.json").write_text(content)
    assert len(verify_manifest(tmp_path)) == 1
    (tmp_path / "manifest.json").unlink()
    assert "cannot be read" in verify_manifest(tmp_path)[0]
