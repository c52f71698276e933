"""Connected components of a graph whose edges come in chunks: a union-find in one array."""

from __future__ import annotations

from collections.abc import Iterable

import numba
import numpy as np
import numpy.typing as npt

from lakehouse.dedup.errors import DedupError

Edges = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]


def connected_components(n: int, edges: Iterable[Edges]) -> npt.NDArray[np.int64]:
    """Find what hangs together. The answer does not depend on the order of the edges, nor on how they are cut.

    Memory: 8 bytes a node, and one chunk of edges.

    Args:
        n: nodes, numbered 0 to n - 1.
        edges: pairs of arrays of equal length: an edge connects the nodes at the same place of both.

    Returns:
        n labels: the smallest node of the component that a node is in.

    Raises:
        DedupError: an edge names a node that there is not.

    Source: Tarjan and van Leeuwen, Worst-case Analysis of Set Union Algorithms (linking by index, path halving).
    """
    parents = np.arange(n, dtype=np.int64)
    for a, b in edges:
        left, right = np.ascontiguousarray(a, np.int64), np.ascontiguousarray(b, np.int64)
        check_nodes(n, left, right)
        _unite(parents, left, right)
    _flatten(parents)
    return parents


def check_nodes(n: int, a: npt.NDArray[np.int64], b: npt.NDArray[np.int64]) -> None:
    """Refuse edges that are no edges between n nodes.

    Raises:
        DedupError: the arrays differ in length, or hold a number that is not in 0 to n - 1.
    """
    if len(a) != len(b):
        raise DedupError(f"edges have {len(a):,} first and {len(b):,} second nodes: give as many of both.")
    for nodes in (a, b):
        if len(nodes) and not (nodes.min() >= 0 and nodes.max() < n):
            wrong = nodes.min() if nodes.min() < 0 else nodes.max()
            raise DedupError(f"an edge names node {wrong}; the {n:,} nodes are numbered from 0.")


@numba.njit(cache=True, nogil=True)
def _root(parents, node):  # type: ignore[no-untyped-def]  # numba infers
    while parents[node] != node:
        parents[node] = parents[parents[node]]
        node = parents[node]
    return node


@numba.njit(cache=True, nogil=True)
def _unite(parents, left, right):  # type: ignore[no-untyped-def]  # numba infers
    for edge in range(len(left)):
        a, b = _root(parents, left[edge]), _root(parents, right[edge])
        if a < b:
            parents[b] = a
        elif b < a:
            parents[a] = b


@numba.njit(cache=True, nogil=True)
def _flatten(parents):  # type: ignore[no-untyped-def]  # numba infers
    # A parent is never greater than its node, so it has its final label already.
    for node in range(len(parents)):
        parents[node] = parents[parents[node]]
