"""Shard files: Megatron's indexed dataset (`.bin` and `.idx`) and Parquet.

A file is written beside its place and renamed when it is whole, and its bytes depend on the tokens alone.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from lakehouse.shard.errors import ShardError

Tokens = npt.NDArray[np.integer[Any]]
TokenType = Literal["uint16", "int32"]

_MAGIC = b"MMIDIDX\x00\x00"
_HEADER = struct.Struct("<9sQBQQ")  # magic, version, token type, sequences, document bounds
_VERSION = 1
_TYPE_CODES: dict[str, int] = {"int32": 4, "uint16": 8}
_TYPES = {code: np.dtype(name) for name, code in _TYPE_CODES.items()}
_UINT16_VOCABULARY = 65_500  # Megatron's own limit, not 2 ** 16
_ROW_GROUP = 1024


@dataclass(frozen=True)
class FileDigest:
    """Size and checksum of a file that was written.

    Attributes:
        bytes: its size.
        sha256: in hexadecimal digits.
    """

    bytes: int
    sha256: str


Digests = dict[str, FileDigest]


def token_type(vocabulary_size: int) -> TokenType:
    """The type in which Megatron stores tokens of a vocabulary of this size."""
    return "uint16" if vocabulary_size < _UINT16_VOCABULARY else "int32"


def digest(path: Path) -> FileDigest:
    """Size and SHA-256 of a file."""
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return FileDigest(file.tell(), sha256)


def digests(files: Iterable[Path]) -> list[FileDigest]:
    """Size and SHA-256 of each file, several at a time."""
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        return list(threads.map(digest, files))


def write_index(prefix: Path, lengths: Sequence[int] | npt.NDArray[np.integer[Any]], dtype: TokenType) -> Digests:
    """Write `<prefix>.idx` for the sequences that stand one behind the other in `<prefix>.bin`.

    Both are those of megatron-core's `IndexedDatasetBuilder` with `add_document(sequence, [len(sequence)])`.

    Args:
        lengths: tokens of each sequence.
        dtype: how tokens are stored; see `token_type`.

    Returns:
        The digest of each of the two files by its name.

    Source: megatron/core/datasets/indexed_dataset.py of NVIDIA/Megatron-LM.
    """
    tokens, index = _with_suffix(prefix, ".bin"), _with_suffix(prefix, ".idx")
    sizes = np.asarray(lengths, dtype=np.int32)
    pointers = (np.cumsum(sizes, dtype=np.int64) - sizes) * np.dtype(dtype).itemsize
    with _replacing(index) as partial, partial.open("wb") as file:
        file.write(_HEADER.pack(_MAGIC, _VERSION, _TYPE_CODES[dtype], len(sizes), len(sizes) + 1))
        file.write(sizes.tobytes())
        file.write(pointers.tobytes())
        file.write(np.arange(len(sizes) + 1, dtype=np.int64).tobytes())
    return {tokens.name: digest(tokens), index.name: digest(index)}


def read_megatron(prefix: Path) -> list[Tokens]:
    """The sequences of `<prefix>.bin`, mapped into memory, not read.

    Raises:
        ShardError: the index is of another kind, or a file is cut off.
        FileNotFoundError: there is no such shard.
    """
    tokens, index = _with_suffix(prefix, ".bin"), _with_suffix(prefix, ".idx")
    content = index.read_bytes()
    if len(content) < _HEADER.size:
        raise ShardError(f"{index} is cut off: {len(content)} bytes.")
    magic, version, code, count, _ = _HEADER.unpack_from(content)
    if magic != _MAGIC or version != _VERSION or code not in _TYPES:
        raise ShardError(f"{index} is no Megatron index of version {_VERSION} with uint16 or int32 tokens.")
    if len(content) < _HEADER.size + 12 * count:
        raise ShardError(f"{index} is cut off: {len(content)} bytes do not hold {count} sequences.")
    dtype = _TYPES[code]
    sizes = np.frombuffer(content, dtype=np.int32, count=count, offset=_HEADER.size)
    starts = np.frombuffer(content, dtype=np.int64, count=count, offset=_HEADER.size + 4 * count) // dtype.itemsize
    if tokens.stat().st_size != int(sizes.sum(dtype=np.int64)) * dtype.itemsize:
        raise ShardError(f"{tokens} has {tokens.stat().st_size} bytes; its index names another number. Write it again.")
    if not sizes.sum(dtype=np.int64):
        return [np.zeros(0, dtype=dtype) for _ in sizes]
    mapped = np.memmap(tokens, dtype=dtype, mode="r")
    return [mapped[start : start + size] for start, size in zip(starts.tolist(), sizes.tolist(), strict=True)]


def write_parquet(path: Path, sequence_ids: list[str], sequences: Tokens, n_tokens: npt.NDArray[np.int64]) -> Digests:
    """Write one row a sequence: sequence_id, token_ids (list of the array's type, padding included), n_tokens.

    Args:
        sequences: n × sequence length tokens.
        n_tokens: tokens of each sequence that are not padding.

    Returns:
        The file's digest by its name.
    """
    count, length = sequences.shape
    offsets = np.arange(count + 1, dtype=np.int64) * length
    values = pa.array(sequences.reshape(-1))
    item = pa.field("item", values.type, nullable=False)
    rows = pa.table(
        {
            "sequence_id": pa.array(sequence_ids, pa.string()),
            "token_ids": pa.LargeListArray.from_arrays(offsets, values).cast(pa.large_list(item)),
            "n_tokens": pa.array(n_tokens, pa.int64()),
        }
    )
    with _replacing(path) as partial:
        # Nearly every token is in every row group: a dictionary takes time and room.
        pq.write_table(rows, partial, compression="zstd", use_dictionary=False, row_group_size=_ROW_GROUP)
    return {path.name: digest(path)}


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    partial = path.with_name(path.name + ".partial")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _with_suffix(prefix: Path, suffix: str) -> Path:
    return prefix.with_name(prefix.name + suffix)
