"""Which token of which document goes where: the plan of a set of shards, made before a single token is read."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import polars as pl
import xxhash

from lakehouse import identity
from lakehouse.shard.errors import ShardError
from lakehouse.shard.packing import Numbers, Packing, pack


@dataclass(frozen=True)
class ShardPlan:
    """Where each piece goes, and the index of the sequences.

    Attributes:
        pieces: a row a piece, in training order: shard, sequence (place in the shard), doc_id, repeat (from 0), start
            (first token's place in the sequence), length, document_start (first token's place in the document).
        sequences: a row a sequence, in training order: `schema.SHARDS` without `file`.
        snapshots: the snapshot whose documents each shard holds, by the shard's number.
    """

    pieces: pl.DataFrame
    sequences: pl.DataFrame
    snapshots: dict[int, str]

    def only(self, shards: Collection[int]) -> ShardPlan:
        """The plan of some of the shards."""
        of_shards = pl.col("shard").is_in(list(shards))
        snapshots = {shard: snapshot for shard, snapshot in self.snapshots.items() if shard in shards}
        return ShardPlan(self.pieces.filter(of_shards), self.sequences.filter(of_shards), snapshots)

    def fingerprints(self) -> dict[int, str]:
        """A hash of what is planned for each shard, by its number."""
        numbers = ("sequence", "repeat", "start", "length", "document_start")
        found = {}
        for (shard,), pieces in self.pieces.group_by("shard", maintain_order=True):
            hashed = xxhash.xxh3_128("\n".join(pieces["doc_id"]).encode())
            for name in numbers:
                hashed.update(pieces[name].cast(pl.Int64).to_numpy().tobytes())
            found[int(str(shard))] = hashed.hexdigest()
        return found


def plan_shards(mixture: pl.DataFrame, *, sequence_length: int, sequences_per_shard: int, name: str) -> ShardPlan:
    """Pack a mixture into sequences, shuffle them and cut them into shards, each snapshot for itself.

    So the shards of a snapshot stay as they are when another one comes. Readers shuffle over all shards, as Megatron's
    do by themselves.

    Each repeat of a document is packed for itself, at a place of its own in the order; two repeats may meet in one
    sequence. The order of the sequences is a hash of the order key and the start of each one's longest piece, so it
    says nothing about how full or long-winded a sequence is, and the pieces of one book do not follow each other. The
    plan depends on the rows of the mixture, not on their order. Takes about 270 bytes of memory a piece.

    Args:
        mixture: doc_id (unique), snapshot, order_key, tokens, repeats (1 or more); other columns are not read.
        sequences_per_shard: of every shard but the last of its snapshot.
        name: of the shard set; sequences are called <name>-<shard>-<sequence>.

    Raises:
        ShardError: a size is below 1, or a document is in the mixture twice.
    """
    if sequences_per_shard < 1:
        raise ShardError(f"sequences_per_shard is {sequences_per_shard}: a shard holds at least one sequence.")
    twice = mixture["doc_id"].is_duplicated()
    if twice.any():
        raise ShardError(f"document {mixture.filter(twice)['doc_id'][0]} is in the mixture more than once.")
    parts, snapshots = [_pieces(mixture.clear(), sequence_length, sequences_per_shard)], dict[int, str]()
    for snapshot in mixture["snapshot"].unique().sort():
        first = len(snapshots)
        pieces = _pieces(mixture.filter(pl.col("snapshot") == snapshot), sequence_length, sequences_per_shard)
        parts.append(pieces.with_columns(pl.col("shard") + first))
        snapshots |= dict.fromkeys(parts[-1]["shard"].unique(maintain_order=True), snapshot)
    pieces = pl.concat(parts)
    return ShardPlan(pieces, _index(pieces, sequence_length, name), snapshots)


def _pieces(mixture: pl.DataFrame, sequence_length: int, sequences_per_shard: int) -> pl.DataFrame:
    items = _items(mixture)
    packing = pack(items["tokens"].to_numpy(), sequence_length)
    place = _shuffled(packing, items["key"].to_numpy())[packing.piece_sequence]
    order = np.lexsort((packing.piece_offset, place))
    place = place[order]
    return items[packing.piece_document[order]].select(
        shard=pl.Series(place // sequences_per_shard),
        sequence=pl.Series(place % sequences_per_shard),
        doc_id="doc_id",
        repeat="repeat",
        start=pl.Series(packing.piece_offset[order]),
        length=pl.Series(packing.piece_length[order]),
        document_start=pl.Series(packing.piece_start[order]),
    )


def shard_stem(name: str, shard: int) -> str:
    """File name of a shard, without suffix."""
    return f"{name}-{shard:05d}"


def _items(mixture: pl.DataFrame) -> pl.DataFrame:
    """One row a repeat: doc_id, repeat, tokens, key (its place in training order), in that order."""
    repeat = pl.int_ranges(0, pl.col("repeats"))
    items = mixture.select("doc_id", "order_key", "tokens", repeat=repeat).explode("repeat")
    keys = items["order_key"].to_numpy().copy()
    again = np.flatnonzero(items["repeat"].to_numpy() > 0)
    for item, repeat in zip(again.tolist(), items["repeat"].gather(again).to_list(), strict=True):
        keys[item] = identity.order_key(repeat, str(keys[item]))
    return items.select("doc_id", "repeat", "tokens", key=pl.Series(keys)).sort("key", "doc_id", "repeat")


def _shuffled(packing: Packing, keys: Numbers) -> Numbers:
    """The place of each sequence in training order."""
    longest_first = np.lexsort((packing.piece_document, -packing.piece_length, packing.piece_sequence))
    _, first = np.unique(packing.piece_sequence[longest_first], return_index=True)
    longest = longest_first[first]
    key_of, start_of = keys[packing.piece_document[longest]].tolist(), packing.piece_start[longest].tolist()
    hashes = (identity.order_key(0, str(key), str(start)) for key, start in zip(key_of, start_of, strict=True))
    shuffle = np.fromiter(hashes, dtype=np.int64, count=packing.sequences)
    place = np.empty(packing.sequences, dtype=np.int64)
    place[np.argsort(shuffle, kind="stable")] = np.arange(packing.sequences)
    return place


def _index(pieces: pl.DataFrame, sequence_length: int, name: str) -> pl.DataFrame:
    sequences = pieces.group_by("shard", "sequence", maintain_order=True).agg(
        n_tokens=pl.col("length").sum(), documents=pl.struct("doc_id", "start", "length", "document_start")
    )
    shard, sequence = pl.col("shard").cast(pl.String), pl.col("sequence").cast(pl.String)
    return sequences.select(
        pl.format("{}-{}-{}", pl.lit(name), shard.str.zfill(5), sequence.str.zfill(6)).alias("sequence_id"),
        "shard",
        "sequence",
        "n_tokens",
        (sequence_length - pl.col("n_tokens")).alias("padding"),
        "documents",
    )
