"""From token tables to shard files: each token goes straight to its place, then each shard is finished by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from lakehouse.shard.errors import ShardError
from lakehouse.shard.formats import FileDigest, Tokens, TokenType, write_index, write_parquet
from lakehouse.shard.plan import ShardPlan, shard_stem


@dataclass(frozen=True)
class ShardSet:
    """What the shards of a set have in common.

    Attributes:
        name: of the set.
        folder: where the files go; it holds nothing else.
        sequence_length: tokens of a sequence.
        dtype: how tokens are stored.
        end_of_document: id that fills the places that hold no token.
    """

    name: str
    folder: str
    sequence_length: int
    dtype: TokenType
    end_of_document: int

    def file(self, shard: int, suffix: str) -> Path:
        """A file of one shard."""
        return Path(self.folder, f"{shard_stem(self.name, shard)}{suffix}")


@dataclass(frozen=True)
class PlacingUnit:
    """One token file (Parquet with doc_id and token_ids), and `ShardPlan.pieces` of its documents as Parquet."""

    token_file: str
    pieces_file: str
    shards: ShardSet


@dataclass(frozen=True)
class ShardUnit:
    """One shard whose tokens are in place, and how many of each of its sequences are no padding, as Parquet."""

    shard: int
    sequences_file: str
    shards: ShardSet


@dataclass(frozen=True)
class ShardFiles:
    """A shard that was written: its number, file name without suffix, counts, and the digest of each file by name."""

    shard: int
    stem: str
    sequences: int
    tokens: int
    padding: int
    files: dict[str, FileDigest]


def lay_out(
    plan: ShardPlan, token_files: Sequence[str | Path], shards: ShardSet, scratch: Path
) -> tuple[list[PlacingUnit], list[ShardUnit]]:
    """Make room for every shard, and say what is to be done: first all of the one, then all of the other.

    Args:
        token_files: Parquet with doc_id and token_ids; a document is in one of them.
        scratch: an empty folder for what the units read.

    Raises:
        ShardError: a document of the plan is in no token file, or in two.
    """
    sizes = plan.sequences.group_by("shard", maintain_order=True).len().rows()
    Path(shards.folder).mkdir(parents=True, exist_ok=True)
    finishing = []
    for shard, count in sizes:
        with shards.file(shard, ".bin").open("wb") as file:
            file.truncate(count * shards.sequence_length * np.dtype(shards.dtype).itemsize)
        sequences_file = scratch / f"sequences-{shard:05d}.parquet"
        plan.sequences.filter(pl.col("shard") == shard).select("n_tokens").write_parquet(sequences_file)
        finishing.append(ShardUnit(shard, str(sequences_file), shards))
    placing = []
    for (number,), pieces in _by_file(plan.pieces, token_files).group_by("file"):
        pieces_file = scratch / f"pieces-{number:06d}.parquet"
        pieces.drop("file").write_parquet(pieces_file)
        placing.append(PlacingUnit(str(token_files[int(str(number))]), str(pieces_file), shards))
    return sorted(placing, key=lambda unit: unit.pieces_file), finishing


def _by_file(pieces: pl.DataFrame, token_files: Sequence[str | Path]) -> pl.DataFrame:
    """The pieces, with the number of the token file that each comes from."""
    wanted = pieces.lazy().select("doc_id").unique()
    ids = [
        pl.scan_parquet(file, hive_partitioning=False).select("doc_id", file=pl.lit(number, pl.Int64))
        for number, file in enumerate(token_files)
    ]
    none = pl.LazyFrame(schema={"doc_id": pl.String, "file": pl.Int64})
    found = pl.concat([none, *ids]).join(wanted, on="doc_id", how="semi").collect()
    twice = found.filter(pl.col("doc_id").is_duplicated())
    if len(twice):
        raise ShardError(f"document {twice['doc_id'][0]} is among the tokens twice: it must be in one token file.")
    placed = pieces.join(found, on="doc_id", how="left", maintain_order="left")
    lost = placed.filter(pl.col("file").is_null())
    if len(lost):
        raise ShardError(f"document {lost['doc_id'][0]} is missing among the tokens ({len(lost)} pieces are).")
    return placed


def place_tokens(unit: PlacingUnit) -> int:
    """Write the tokens of one token file to their places in the shards' `.bin` files; return how many there are.

    Holds one token file in memory, and the plan's rows about its documents.

    Raises:
        ShardError: a document has another number of tokens than the plan expects.
    """
    plan = pl.read_parquet(unit.pieces_file)
    documents = (
        pl.scan_parquet(unit.token_file, hive_partitioning=False)
        .select("doc_id", "token_ids")
        .join(plan.lazy().select("doc_id").unique(), on="doc_id", how="semi")
        .collect()
    )
    sizes = documents.select("doc_id", n_tokens=pl.col("token_ids").list.len().cast(pl.Int64))
    pieces = plan.join(sizes.with_columns(first=pl.col("n_tokens").cum_sum() - pl.col("n_tokens")), on="doc_id")
    planned = (pl.col("document_start") + pl.col("length")).max().over("doc_id")
    changed = pieces.filter(planned != pl.col("n_tokens"))
    if len(changed):
        raise ShardError(
            f"document {changed['doc_id'][0]} in {unit.token_file} has another number of tokens than in the mixture: "
            "the token table has changed since. Build the mixture again."
        )
    shards = unit.shards
    tokens = documents.filter(pl.col("token_ids").list.len() > 0)["token_ids"].explode().to_numpy()
    tokens = tokens.astype(shards.dtype)
    in_order = pieces.sort("shard", "sequence", "start").select(
        "shard",
        source=pl.col("first") + pl.col("document_start"),
        place=pl.col("sequence") * shards.sequence_length + pl.col("start"),
        length="length",
    )
    for (shard,), of_shard in in_order.group_by("shard", maintain_order=True):
        _place(tokens, of_shard.drop("shard"), shards.file(int(str(shard)), ".bin"))
    return int(pieces["length"].sum())


def _place(tokens: Tokens, pieces: pl.DataFrame, file: Path) -> None:
    # Not through a memory map: a full disk would be a signal there, and here it is an error.
    with file.open("r+b") as places:
        for source, place, length in pieces.iter_rows():
            places.seek(place * tokens.itemsize)
            places.write(tokens[source : source + length].data)


def finish_shard(unit: ShardUnit) -> ShardFiles:
    """Fill what is padding, and write the shard's `.idx` and `.parquet`. Holds one shard in memory."""
    shards, stem = unit.shards, shard_stem(unit.shards.name, unit.shard)
    n_tokens = pl.read_parquet(unit.sequences_file)["n_tokens"].to_numpy()
    tokens_file = shards.file(unit.shard, ".bin")
    sequences = np.fromfile(tokens_file, dtype=shards.dtype).reshape(len(n_tokens), shards.sequence_length)
    with tokens_file.open("r+b") as places:
        for number in np.flatnonzero(n_tokens < shards.sequence_length).tolist():
            padding = sequences[number, n_tokens[number] :]
            padding[:] = shards.end_of_document
            places.seek((number * shards.sequence_length + int(n_tokens[number])) * sequences.itemsize)
            places.write(padding.data)
    files = write_index(shards.file(unit.shard, ""), np.full(len(sequences), shards.sequence_length), shards.dtype)
    ids = [f"{stem}-{sequence:06d}" for sequence in range(len(sequences))]
    files |= write_parquet(shards.file(unit.shard, ".parquet"), ids, sequences, n_tokens)
    tokens = int(n_tokens.sum())
    return ShardFiles(unit.shard, stem, len(sequences), tokens, sequences.size - tokens, files)
