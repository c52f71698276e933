"""Best-fit packing against its slow, obvious version, and the plan that is made of it."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse import identity
from lakehouse.shard import ShardError, pack, plan_shards


def slow_best_fit(lengths: list[int], sequence_length: int) -> list[list[tuple[int, int, int]]]:
    """Sequences as lists of (document, start, length): longest piece first, into the fullest sequence that has room."""
    pieces = [
        (document, start, min(sequence_length, length - start))
        for document, length in enumerate(lengths)
        for start in range(0, length, sequence_length)
    ]
    sequences: list[list[tuple[int, int, int]]] = []
    last_filled: list[int] = []
    for clock, piece in enumerate(sorted(pieces, key=lambda piece: -piece[2])):
        free = [sequence_length - sum(length for _, _, length in sequence) for sequence in sequences]
        fitting = [i for i in range(len(sequences)) if free[i] >= piece[2]]
        if fitting:
            best = min(fitting, key=lambda i: (free[i], -last_filled[i]))
        else:
            best = len(sequences)
            sequences.append([])
            last_filled.append(0)
        sequences[best].append(piece)
        last_filled[best] = clock
    return [sorted(sequence) for sequence in sequences]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(1, 70), max_size=60), st.integers(1, 33))
def test_packing_equals_the_slow_version(lengths, sequence_length):
    packing = pack(np.array(lengths, dtype=np.int64), sequence_length)
    expected = slow_best_fit(lengths, sequence_length)
    assert packing.sequences == len(expected)
    assert packing.padding == len(expected) * sequence_length - sum(lengths)
    rows = list(
        zip(
            packing.piece_sequence.tolist(),
            packing.piece_document.tolist(),
            packing.piece_start.tolist(),
            packing.piece_length.tolist(),
            strict=True,
        )
    )
    assert rows == [(number, *piece) for number, sequence in enumerate(expected) for piece in sequence]
    offsets = [sum(length for _, _, length in sequence[:i]) for sequence in expected for i in range(len(sequence))]
    assert packing.piece_offset.tolist() == offsets


def test_only_documents_longer_than_a_sequence_are_cut():
    # 25 tokens are 10 + 10 + 5; the 5 and the 5 of the last document share a sequence; 9 stays alone: 4 × 10 − 39 = 1.
    packing = pack(np.array([25, 9, 5]), 10)
    assert packing.piece_document.tolist() == [0, 0, 1, 0, 2]
    assert packing.piece_start.tolist() == [0, 10, 0, 20, 0]
    assert packing.piece_sequence.tolist() == [0, 1, 2, 3, 3]
    assert packing.piece_offset.tolist() == [0, 0, 0, 0, 5]
    assert packing.padding == 1


def test_a_document_without_tokens_cannot_be_packed():
    with pytest.raises(ShardError, match="document 1 has 0 tokens"):
        pack(np.array([3, 0]), 10)
    with pytest.raises(ShardError, match="sequence_length is 0"):
        pack(np.array([3]), 0)


def mixture(tokens: list[int], repeats: list[int] | None = None, snapshot: str = "s1") -> pl.DataFrame:
    prefix = "doc" if snapshot == "s1" else f"{snapshot}-doc"
    ids = [f"{prefix}-{i}" for i in range(len(tokens))]
    return pl.DataFrame(
        {
            "doc_id": ids,
            "snapshot": [snapshot] * len(tokens),
            "text_id": [f"text-{i}" for i in range(len(tokens))],
            "order_key": [identity.order_key(5, doc_id) for doc_id in ids],
            "tokens": tokens,
            "repeats": repeats or [1] * len(tokens),
        },
        schema_overrides={"tokens": pl.Int64, "repeats": pl.Int64, "order_key": pl.Int64},
    )


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 50), st.integers(1, 3)), min_size=1, max_size=40),
    st.integers(1, 20),
    st.integers(1, 5),
)
def test_a_plan_places_every_token_of_every_repeat_once(documents, sequence_length, sequences_per_shard):
    table = mixture([tokens for tokens, _ in documents], [repeats for _, repeats in documents])
    plan = plan_shards(table, sequence_length=sequence_length, sequences_per_shard=sequences_per_shard, name="main")

    places = plan.pieces.with_columns(place=pl.int_ranges("start", pl.col("start") + pl.col("length"))).explode("place")
    assert places.select("shard", "sequence", "place").is_unique().all()
    assert places["place"].max() < sequence_length

    read = plan.pieces.with_columns(token=pl.int_ranges("document_start", pl.col("document_start") + pl.col("length")))
    read = read.explode("token").select("doc_id", "repeat", "token")
    expected = {
        (f"doc-{i}", repeat, token)
        for i, (tokens, repeats) in enumerate(documents)
        for repeat in range(repeats)
        for token in range(tokens)
    }
    assert len(read) == len(expected)
    assert set(read.rows()) == expected

    index = plan.sequences
    assert (index["n_tokens"] + index["padding"] == sequence_length).all()
    assert index["n_tokens"].sum() == len(expected)
    number = index["shard"] * sequences_per_shard + index["sequence"]
    assert number.to_list() == list(range(len(index)))
    from_index = index.explode("documents").select("shard", "sequence", pl.col("documents").struct.unnest())
    assert from_index.equals(plan.pieces.select(from_index.columns))


def test_the_plan_does_not_depend_on_the_order_of_the_rows():
    table = mixture([(i * 37) % 150 + 1 for i in range(500)], [i % 3 + 1 for i in range(500)])
    settings = {"sequence_length": 64, "sequences_per_shard": 16, "name": "main"}
    plan = plan_shards(table, **settings)
    again = plan_shards(table.sample(fraction=1.0, shuffle=True, seed=2), **settings)
    assert plan.pieces.equals(again.pieces)
    assert plan.sequences.equals(again.sequences)


def test_pieces_of_a_sequence_stand_in_the_order_of_the_mixture():
    table = mixture([3] * 40)
    plan = plan_shards(table, sequence_length=12, sequences_per_shard=100, name="main")
    keys = (
        plan.pieces.join(table, on="doc_id", maintain_order="left").group_by("sequence").agg("order_key")["order_key"]
    )
    assert all(sequence.is_sorted() for sequence in keys)


def test_sequences_are_shuffled_whatever_they_are_packed_from():
    # 100 sequences of one document each, then 100 of ten documents each: were the order that of packing, or of the
    # smallest keys, one kind would come first. The standard error of the mean place is 0.29 / sqrt(100) = 0.03.
    table = mixture([100] * 100 + [10] * 1_000)
    plan = plan_shards(table, sequence_length=100, sequences_per_shard=1_000, name="main")
    crowded = plan.sequences.filter(pl.col("documents").list.len() == 10)["sequence"] / 200
    assert len(crowded) == 100
    assert 0.35 < crowded.mean() < 0.65


def test_the_sequences_of_one_book_do_not_follow_each_other():
    plan = plan_shards(mixture([1_000] + [10] * 100), sequence_length=10, sequences_per_shard=1_000, name="main")
    book = plan.pieces.filter(pl.col("doc_id") == "doc-0")["sequence"].to_list()
    assert len(book) == 100
    assert book[-1] - book[0] > 150


def test_sequences_are_named_after_set_shard_and_place():
    plan = plan_shards(mixture([10, 10, 10]), sequence_length=10, sequences_per_shard=2, name="main")
    assert plan.sequences["sequence_id"].to_list() == ["main-00000-000000", "main-00000-000001", "main-00001-000000"]


def test_shards_hold_one_snapshot_each_and_a_new_one_leaves_those_before_as_they_are():
    sizes = {"sequence_length": 64, "sequences_per_shard": 4, "name": "main"}
    first = mixture([(i * 37) % 150 + 1 for i in range(60)])
    second = mixture([(i * 31) % 90 + 1 for i in range(50)], snapshot="s2")
    alone, both = plan_shards(first, **sizes), plan_shards(pl.concat([second, first]), **sizes)
    assert set(alone.snapshots.values()) == {"s1"}
    assert list(both.snapshots) == list(range(len(both.snapshots)))
    assert sorted(set(both.snapshots.values())) == ["s1", "s2"]
    assert both.only(alone.snapshots).pieces.equals(alone.pieces)
    assert both.only(alone.snapshots).sequences.equals(alone.sequences)
    of_second = both.only(both.snapshots.keys() - alone.snapshots.keys())
    assert set(of_second.pieces["doc_id"]) == set(second["doc_id"])
    assert of_second.sequences["n_tokens"].sum() == second["tokens"].sum()
    assert both.fingerprints() == alone.fingerprints() | of_second.fingerprints()
    assert len(set(both.fingerprints().values())) == len(both.snapshots)


def test_a_mixture_without_documents_has_no_shards():
    plan = plan_shards(mixture([]), sequence_length=10, sequences_per_shard=2, name="main")
    assert (len(plan.pieces), len(plan.sequences), plan.snapshots, plan.fingerprints()) == (0, 0, {}, {})


def test_a_document_that_is_in_the_mixture_twice_is_refused():
    table = mixture([10, 10])
    with pytest.raises(ShardError, match="document doc-0 is in the mixture more than once"):
        plan_shards(pl.concat([table, table.head(1)]), sequence_length=10, sequences_per_shard=2, name="main")
