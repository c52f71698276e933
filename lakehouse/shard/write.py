"""From token tables to shard files: a shuffle that sorts pieces of documents by shard, then a unit of work a shard."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from lakehouse.shard.errors import ShardError
from lakehouse.shard.formats import FileDigest, Tokens, TokenType, write_megatron, write_parquet
from lakehouse.shard.plan import shard_stem


@dataclass(frozen=True)
class ShuffleUnit:
    """One token file whose pieces are to be sorted by shard.

    Attributes:
        name: of the unit, different for every token file; names its files.
        token_file: Parquet with doc_id and token_ids.
        pieces_file: `ShardPlan.pieces` as Parquet.
        scratch: folder that the shuffle writes to.
    """

    name: str
    token_file: str
    pieces_file: str
    scratch: str


@dataclass(frozen=True)
class ShardUnit:
    """One shard to write.

    Attributes:
        name: of the shard set.
        shard: number of the shard.
        pieces_file: `ShardPlan.pieces` as Parquet.
        scratch: folder that the shuffle wrote to.
        folder: where the shard's files go.
        sequence_length: tokens of a sequence.
        dtype: how tokens are stored.
        end_of_document: id that fills the places that hold no token.
    """

    name: str
    shard: int
    pieces_file: str
    scratch: str
    folder: str
    sequence_length: int
    dtype: TokenType
    end_of_document: int


@dataclass(frozen=True)
class ShardFiles:
    """A shard that was written: its number, file name without suffix, counts, and the digest of each file by name."""

    shard: int
    stem: str
    sequences: int
    tokens: int
    padding: int
    files: dict[str, FileDigest]


def shuffle_tokens(unit: ShuffleUnit) -> list[str]:
    """Write the pieces that come from one token file to `<scratch>/shard=<shard>/<name>.parquet`, a file a shard.

    Columns: sequence, start, token_ids. Only what a shard holds of a document is written to it, so a book that spans
    many shards is written once. Holds one token file in memory, and the plan's rows about its documents.

    Returns:
        The files.

    Raises:
        ShardError: a document has another number of tokens than the plan expects.
    """
    plan = pl.scan_parquet(unit.pieces_file).select("shard", "sequence", "start", "length", "doc_id", "document_start")
    documents = (
        pl.scan_parquet(unit.token_file, hive_partitioning=False)
        .select("doc_id", "token_ids")
        .join(plan.select("doc_id").unique(), on="doc_id", how="semi")
        .collect()
    )
    sizes = documents.select("doc_id", n_tokens=pl.col("token_ids").list.len().cast(pl.Int64))
    places = sizes.with_columns(first=pl.col("n_tokens").cum_sum() - pl.col("n_tokens"))
    pieces = plan.join(places.lazy(), on="doc_id").sort("shard", "sequence", "start").collect()
    planned = (pl.col("document_start") + pl.col("length")).max().over("doc_id")
    changed = pieces.filter(planned != pl.col("n_tokens"))
    if len(changed):
        raise ShardError(
            f"document {changed['doc_id'][0]} in {unit.token_file} has another number of tokens than in the mixture: "
            "the token table has changed since. Build the mixture again."
        )
    tokens = documents.filter(pl.col("token_ids").list.len() > 0)["token_ids"].explode().to_numpy()
    files = []
    for (shard,), of_shard in pieces.group_by("shard", maintain_order=True):
        path = Path(unit.scratch) / f"shard={shard}" / f"{unit.name}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        of_shard.select("sequence", "start", token_ids=_cut(tokens, of_shard)).write_parquet(path, compression="lz4")
        files.append(str(path))
    return files


def _cut(tokens: Tokens, pieces: pl.DataFrame) -> pl.Series:
    """The tokens of each piece, as lists."""
    # A join would copy a whole book for each of its pieces before cutting it.
    starts = (pieces["first"] + pieces["document_start"]).to_list()
    ends = np.cumsum(pieces["length"].to_numpy())
    parts = [tokens[start : start + length] for start, length in zip(starts, pieces["length"].to_list(), strict=True)]
    return pl.Series(pa.LargeListArray.from_arrays(np.concatenate([[0], ends]), np.concatenate(parts)))


def write_shard(unit: ShardUnit) -> ShardFiles:
    """Write one shard's files: `<stem>.bin`, `<stem>.idx` and `<stem>.parquet`. Holds one shard in memory.

    Raises:
        ShardError: a piece of the plan is not among the shuffled tokens, or is there twice.
    """
    plan = pl.scan_parquet(unit.pieces_file).filter(pl.col("shard") == unit.shard).collect()
    pieces = _with_tokens(unit, plan)
    sequences, n_tokens = _place(pieces, unit)
    stem = shard_stem(unit.name, unit.shard)
    prefix = Path(unit.folder) / stem
    prefix.parent.mkdir(parents=True, exist_ok=True)
    ids = [f"{stem}-{sequence:06d}" for sequence in range(len(sequences))]
    files = write_megatron(prefix, sequences, unit.dtype)
    files |= write_parquet(prefix.with_name(f"{stem}.parquet"), ids, sequences, n_tokens)
    tokens = int(n_tokens.sum())
    return ShardFiles(unit.shard, stem, len(sequences), tokens, sequences.size - tokens, files)


def _with_tokens(unit: ShardUnit, plan: pl.DataFrame) -> pl.DataFrame:
    shuffled = sorted((Path(unit.scratch) / f"shard={unit.shard}").glob("*.parquet"))
    if shuffled:
        tokens = pl.read_parquet(shuffled, hive_partitioning=False)
    else:
        tokens = pl.DataFrame(schema={"sequence": pl.Int64, "start": pl.Int64, "token_ids": pl.List(pl.Int32)})
    twice = tokens.select("sequence", "start").is_duplicated()
    pieces = plan.join(tokens.filter(~twice), on=["sequence", "start"], how="left", maintain_order="left")
    lost = pieces.filter(pl.col("token_ids").is_null())
    if len(lost):
        raise ShardError(
            f"shard {unit.shard}: document {lost['doc_id'][0]} is missing among the shuffled tokens, or there twice "
            f"({len(lost)} of {len(plan)} pieces): every document of the mixture must be in one token file."
        )
    return pieces


def _place(pieces: pl.DataFrame, unit: ShardUnit) -> tuple[Tokens, npt.NDArray[np.int64]]:
    """Sequences × sequence_length tokens, and how many of each sequence are not padding."""
    count = pieces["sequence"].n_unique()
    sequences = np.full((count, unit.sequence_length), unit.end_of_document, dtype=unit.dtype)
    flat = sequences.reshape(-1)
    places = pieces["sequence"].to_numpy() * unit.sequence_length + pieces["start"].to_numpy()
    lengths = pieces["length"].to_numpy()
    tokens = pieces["token_ids"].explode().to_numpy()
    ends = np.cumsum(lengths)
    for place, length, end in zip(places.tolist(), lengths.tolist(), ends.tolist(), strict=True):
        flat[place : place + length] = tokens[end - length : end]
    n_tokens = np.bincount(pieces["sequence"].to_numpy(), weights=lengths, minlength=count).astype(np.int64)
    return sequences, n_tokens
