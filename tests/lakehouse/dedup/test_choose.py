"""Which documents stay: the promises of the choice, checked by comparing all with all."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from minhash_files import jaccard

from lakehouse.dedup.choose import Choice, ShinglesOf, choose
from lakehouse.dedup.errors import DedupError
from lakehouse.dedup.jaccard import Shingles

Edge = tuple[int, int, float]


def chosen(n: int, edges: list[Edge], **asked: Any) -> Choice:
    a, b, similarity = (np.array(column) for column in (zip(*edges, strict=True) if edges else ([], [], [])))
    return choose(n, a.astype(np.int64), b.astype(np.int64), similarity.astype(np.float64), **asked)


def packed(sets: list[frozenset[int]]) -> ShinglesOf:
    def shingles_of(nodes: np.ndarray) -> Shingles:
        found = [sorted(sets[node]) for node in nodes]
        data = np.array([value for one in found for value in one], np.uint32)
        return Shingles(data, np.cumsum([0, *map(len, found)]))

    return shingles_of


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[frozenset[int]], list[Edge], float, int]:
    """Sets, edges between some of them (a few of unknown similarity), a threshold, and how many are fixed."""
    roots = draw(st.lists(st.frozensets(st.integers(0, 20), min_size=3, max_size=8), min_size=1, max_size=3))
    changes = st.tuples(st.sampled_from(roots), st.frozensets(st.integers(0, 20), max_size=3))
    sets = [root ^ change or root for root, change in draw(st.lists(changes, min_size=1, max_size=12))]
    pairs = [(a, b) for a in range(len(sets)) for b in range(a)]
    edges = []
    for a, b in pairs:
        fate = draw(st.sampled_from(["known", "known", "unknown", "missing"]))
        if fate != "missing":
            edges.append((a, b, jaccard(sets[a], sets[b]) if fate == "known" else math.nan))
    return sets, edges, draw(st.sampled_from([0.3, 0.5, 0.7, 1.0])), draw(st.integers(0, len(sets)))


@given(cases(), st.booleans(), st.integers(0, 5))
def test_what_is_dropped_is_similar_to_what_stays_for_it(case, verify, tries) -> None:  # type: ignore[no-untyped-def]
    sets, edges, threshold, fixed = case
    choice = chosen(
        len(sets), edges, threshold=threshold, fixed=fixed, shingles_of=packed(sets) if verify else None, tries=tries
    )
    kept = [keeper == node for node, keeper in enumerate(choice.keeper)]
    for node, keeper in enumerate(choice.keeper):
        assert kept[keeper]
        assert keeper <= node
        if kept[node]:
            assert math.isnan(choice.similarity[node])
        else:
            assert node >= fixed
            assert choice.similarity[node] == jaccard(sets[node], sets[keeper]) >= threshold
            assert choice.component[node] == choice.component[keeper]
        assert kept[choice.component[node]]
    for a, b, similarity in edges:
        assert not (similarity >= threshold and kept[a] and kept[b]) or max(a, b) < fixed
        if not similarity < threshold:
            assert choice.component[a] == choice.component[b]


@given(cases(), st.booleans(), st.randoms(use_true_random=False))
def test_the_order_of_edges_makes_no_difference(case, verify, random) -> None:  # type: ignore[no-untyped-def]
    sets, edges, threshold, fixed = case
    asked = {"threshold": threshold, "fixed": fixed, "shingles_of": packed(sets) if verify else None}
    shuffled = [
        (b, a, similarity) if random.random() < 0.5 else (a, b, similarity)
        for a, b, similarity in random.sample(edges, len(edges))
    ]
    for one, other in zip(chosen(len(sets), edges, **asked), chosen(len(sets), shuffled, **asked), strict=True):
        np.testing.assert_array_equal(one, other)


@given(cases())
def test_with_all_edges_or_enough_tries_no_two_that_stay_are_similar(case) -> None:  # type: ignore[no-untyped-def]
    sets, edges, threshold, fixed = case
    for shingles, known in (
        (None, [(a, b, jaccard(sets[a], sets[b])) for a in range(len(sets)) for b in range(a)]),
        (packed(sets), edges),
    ):
        choice = chosen(len(sets), known, threshold=threshold, fixed=fixed, shingles_of=shingles, tries=100)
        stay = [node for node, keeper in enumerate(choice.keeper) if keeper == node]
        for node in stay:
            for other in stay:
                same_component = choice.component[node] == choice.component[other]
                if other < node and node >= fixed and same_component:
                    assert jaccard(sets[node], sets[other]) < threshold


def test_the_most_similar_keeper_wins_then_the_best() -> None:
    edges = [(3, 0, 0.8), (3, 1, 0.9), (3, 2, 0.9)]
    choice = chosen(4, edges, threshold=0.7)
    assert choice.keeper.tolist() == [0, 1, 2, 1]
    assert choice.similarity[3] == 0.9
    assert choice.component.tolist() == [0, 0, 0, 0]


def test_drift_does_not_carry_a_document_away() -> None:
    # Each is like its neighbours alone: 1 is dropped for 0; 2 is like 1, which is gone, so it stays, and so on.
    chain = [(node, node + 1, 0.9) for node in range(5)]
    assert chosen(6, chain, threshold=0.7).keeper.tolist() == [0, 0, 2, 2, 4, 4]


def test_edges_below_the_threshold_connect_nothing() -> None:
    choice = chosen(2, [(0, 1, 0.69)], threshold=0.7)
    assert choice.keeper.tolist() == choice.component.tolist() == [0, 1]


def test_fixed_documents_stay_and_win() -> None:
    edges = [(0, 1, 1.0), (2, 1, 0.8), (3, 2, 1.0), (4, 0, 0.9)]
    choice = chosen(5, edges, threshold=0.7, fixed=2)
    # 2 is like 1, which is the same as 0, and 3 is the same as 2.
    assert choice.keeper.tolist() == [0, 1, 0, 0, 0]
    assert choice.similarity[2:].tolist() == [0.8, 0.8, 0.9]


def test_a_missing_edge_is_made_up_for_by_comparing() -> None:
    sets = [frozenset(range(10)), frozenset(range(1, 11)), frozenset(range(10)) | {99}]
    # 2 is like 0 (10 of 11), and only its edge with 1, which is dropped for 0, was found: 9 of 12 shingles.
    edges = [(1, 0, 9 / 11), (2, 1, 9 / 12)]
    assert chosen(3, edges, threshold=0.7).keeper.tolist() == [0, 0, 2]
    compared = chosen(3, edges, threshold=0.7, shingles_of=packed(sets))
    assert compared.keeper.tolist() == [0, 0, 0]
    assert compared.similarity[2] == 10 / 11
    assert chosen(3, edges, threshold=0.7, shingles_of=packed(sets), tries=0).keeper.tolist() == [0, 0, 2]


def test_what_one_document_was_compared_with_in_vain_others_are_compared_with_too() -> None:
    sets = [frozenset(range(10)), frozenset(range(50, 60)), frozenset(range(11))]
    edges = [(0, 1, math.nan), (1, 2, math.nan)]
    assert chosen(3, edges, threshold=0.7, shingles_of=packed(sets)).keeper.tolist() == [0, 1, 0]
    assert chosen(3, edges, threshold=0.7).keeper.tolist() == [0, 1, 2]


def test_what_was_found_similar_among_those_that_stay_is_not_counted_as_compared() -> None:
    # 0, 1 and 2 stay; 3 belongs to them, and with which it shares what is not known: 3 of 4 shingles with 2.
    sets = [frozenset({1, 2, 3}), frozenset({1, 2, 4}), frozenset({1, 5, 6}), frozenset({1, 5, 6, 7})]
    edges = [(0, 1, 0.5), (0, 2, 0.5), (1, 2, 0.5), (2, 3, math.nan)]
    choice = chosen(4, edges, threshold=0.5, fixed=3, shingles_of=packed(sets))
    assert choice.keeper.tolist() == [0, 1, 2, 2]
    assert choice.similarity[3] == 0.75


def test_stars_and_chains_of_many_documents_take_seconds() -> None:
    began = time.process_time()
    n = 500_000
    star = choose(n, np.arange(n - 1), np.full(n - 1, n - 1), np.full(n - 1, 0.9), threshold=0.7)
    # The hub comes last, and nothing else is connected to anything that stays.
    assert (star.keeper[:-1] == np.arange(n - 1)).all()
    assert star.keeper[-1] == 0
    chain = 100_000
    sets = np.arange(chain, dtype=np.uint32)[:, None] * np.uint32(10) + np.arange(50, dtype=np.uint32)

    def shingles_of(nodes: np.ndarray) -> Shingles:
        return Shingles(sets[nodes].ravel(), np.arange(0, 50 * len(nodes) + 1, 50))

    ends = np.arange(chain - 1), np.arange(1, chain)
    drift = choose(chain, *ends, np.full(chain - 1, 40 / 60), threshold=0.6, shingles_of=shingles_of)
    assert drift.keeper[:6].tolist() == [0, 0, 2, 2, 4, 4]
    assert time.process_time() - began < 20


@pytest.mark.parametrize(
    ("threshold", "other", "message"),
    [
        (0.0, 1, "threshold is 0.0; it must be above 0 and at most 1."),
        (1.1, 1, "threshold is 1.1; it must be above 0 and at most 1."),
        (0.7, 2, "an edge names node 2; the 2 nodes are numbered from 0."),
    ],
)
def test_nonsense_is_refused(threshold: float, other: int, message: str) -> None:
    with pytest.raises(DedupError) as caught:
        chosen(2, [(0, other, 0.9)], threshold=threshold)
    assert str(caught.value) == message
