"""Connected components, against a search that visits one neighbour after the other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.dedup.components import connected_components
from lakehouse.dedup.errors import DedupError

graphs = st.integers(1, 30).flatmap(
    lambda n: st.tuples(st.just(n), st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=40))
)


def slowly(n: int, edges: list[tuple[int, int]]) -> list[int]:
    labels = list(range(n))
    for _ in range(n):
        for a, b in edges:
            labels[a] = labels[b] = min(labels[a], labels[b])
    return labels


@given(graphs, st.integers(1, 10), st.randoms(use_true_random=False))
def test_labels_are_the_smallest_members_in_whatever_order_edges_come(graph, size, random) -> None:  # type: ignore[no-untyped-def]
    n, edges = graph
    shuffled = [edge if random.random() < 0.5 else edge[::-1] for edge in random.sample(edges, len(edges))]
    chunks = [shuffled[first : first + size] for first in range(0, len(shuffled), size)]
    arrays = [(np.array([a for a, _ in chunk]), np.array([b for _, b in chunk])) for chunk in chunks]
    found = connected_components(n, arrays)
    assert found.dtype == np.int64
    assert found.tolist() == slowly(n, edges)


def test_long_chains_and_stars_take_no_recursion() -> None:
    n = 200_000
    chain = (np.arange(n - 1), np.arange(1, n))
    assert not connected_components(n, [chain]).any()
    backwards = (chain[0][::-1].copy(), chain[1][::-1].copy())
    assert not connected_components(n, [backwards]).any()
    assert not connected_components(n, [(np.arange(n - 1), np.full(n - 1, n - 1))]).any()


def test_no_edges_leave_each_alone() -> None:
    assert connected_components(3, []).tolist() == [0, 1, 2]
    assert connected_components(0, []).tolist() == []


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        (([0], [3]), "an edge names node 3; the 3 nodes are numbered from 0."),
        (([-1], [0]), "an edge names node -1; the 3 nodes are numbered from 0."),
        (([0, 1], [2]), "edges have 2 first and 1 second nodes: give as many of both."),
    ],
)
def test_edges_between_no_nodes_are_refused(edges: tuple[list[int], list[int]], message: str) -> None:
    with pytest.raises(DedupError) as caught:
        connected_components(3, [(np.array(edges[0]), np.array(edges[1]))])
    assert str(caught.value) == message
