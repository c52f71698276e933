"""Which documents stay, when some are alike: the best of them, and each that is unlike all better ones that stay."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from lakehouse.dedup.components import check_nodes, connected_components
from lakehouse.dedup.errors import DedupError
from lakehouse.dedup.jaccard import Shingles, read_only
from lakehouse.dedup.jaccard import similarity as jaccard

Nodes = npt.NDArray[np.int64]

ShinglesOf = Callable[[Nodes], Shingles]

_NONE = -1


class Choice(NamedTuple):
    """What becomes of n documents.

    Attributes:
        keeper: n documents that stand for them: themselves where they stay.
        similarity: to the keeper; not a number where they stay.
        component: the best document of what they hang together with, which always stays.
    """

    keeper: npt.NDArray[np.int64]
    similarity: npt.NDArray[np.float64]
    component: npt.NDArray[np.int64]


def choose(
    n: int,
    a: npt.NDArray[np.int64],
    b: npt.NDArray[np.int64],
    similarity: npt.NDArray[np.float64],
    *,
    threshold: float,
    fixed: int = 0,
    standing: int | None = None,
    shingles_of: ShinglesOf | None = None,
    tries: int = 32,
) -> Choice:
    """Decide, document by document and the best first, which stay.

    A document is dropped for the most similar one of those that stay already and are connected to it by an edge of at
    least `threshold` (of equally similar ones, for the best). Where there is none, and shingles can be had, it is
    compared with what its neighbours were dropped for, then with what stays of its component, best first; it is dropped
    for the first that is similar enough. Else it stays. So each dropped document is at least `threshold` similar to its
    keeper, and no edge connects two that stay, other than fixed ones.

    Documents of similarity 1.0 have the same shingles: what is similar to one of them is as similar to the others. So
    they stay or go as one, and of those that stay as one only the best does.

    The answer does not depend on the order of the edges, nor on which end of one is named first. Time grows with their
    number, with `tries` comparisons a document at most.

    Args:
        n: documents, numbered in the order of the policy, best first.
        a: one end of each edge.
        b: the other end.
        similarity: of each edge; not a number where it is unknown, and the two are in one component all the same. Edges
            below the threshold are ignored.
        threshold: the least similarity at which a document is dropped, above 0 and at most 1.
        fixed: the first so many documents stay, whatever they are similar to.
        standing: the documents from this number on are not decided on, nor is anything dropped for them: they only
            make those equal that are equal to them. Without it there are none.
        shingles_of: gives the shingles of documents, by their numbers. It is asked once, for those in components in
            which not all were compared with each other.
        tries: comparisons for one document at most.

    Raises:
        DedupError: an edge names a document that there is not, or the threshold is out of bounds.
    """
    if not 0 < threshold <= 1:
        raise DedupError(f"threshold is {threshold}; it must be above 0 and at most 1.")
    a, b = np.ascontiguousarray(a, np.int64), np.ascontiguousarray(b, np.int64)
    similarity = np.ascontiguousarray(similarity, np.float64)
    check_nodes(n, a, b)
    same = similarity >= 1.0
    twins = connected_components(n, [(a[same], b[same])])
    a, b = twins[a], twins[b]
    # What is not decided on comes last, so a class that it stands for has nothing else.
    linked = (np.isnan(similarity) | (similarity >= threshold)) & (a != b) & (np.maximum(a, b) < (standing or n))
    worse, better, similarity = np.maximum(a, b)[linked], np.minimum(a, b)[linked], similarity[linked]
    component = connected_components(n, [(worse, better)])[twins]
    bounds, neighbours, edges = _better_neighbours(n, worse, better, similarity)
    shingles = Shingles(np.empty(0, np.uint32), np.zeros(n + 1, np.int64))
    asked = _not_compared(twins, component, bounds, neighbours, fixed) if shingles_of else np.empty(0, np.int64)
    if shingles_of and len(asked):
        shingles = _spread(shingles_of(asked), asked, n)
    keeper, found = np.empty(n, np.int64), np.full(n, np.nan)
    _choose(
        twins, component, bounds, neighbours, edges, threshold, fixed,
        read_only(shingles.data), shingles.bounds, tries if len(asked) else 0, keeper, found,
    )  # fmt: skip
    return Choice(keeper, found, component)


def _not_compared(twins: Nodes, component: Nodes, bounds: Nodes, neighbours: Nodes, fixed: int) -> Nodes:
    """The documents in components in which not all were found similar; of equal ones the best."""
    n = len(twins)
    different = np.flatnonzero(twins == np.arange(n))
    worse = np.repeat(np.arange(n), np.diff(bounds))
    found = np.unique(worse * n + neighbours) // n
    found = found[found >= fixed]
    size, stay = (np.bincount(component[some], minlength=n) for some in (different, different[different < fixed]))
    # Those that stay are not compared with each other.
    pairs = (size * (size - 1) - stay * (stay - 1)) // 2
    missing = np.bincount(component[found], minlength=n) < pairs
    return different[missing[component[different]]]


def _spread(shingles: Shingles, nodes: Nodes, n: int) -> Shingles:
    """The same as shingles of n documents, of which the others have none."""
    lengths = np.zeros(n, np.int64)
    lengths[nodes] = np.diff(shingles.bounds)
    return Shingles(shingles.data, np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)]))


def _better_neighbours(
    n: int, worse: Nodes, better: Nodes, similarity: npt.NDArray[np.float64]
) -> tuple[Nodes, Nodes, npt.NDArray[np.float64]]:
    """The better neighbours of each node: their bounds, the neighbours in ascending order, the similarities."""
    known = ~np.isnan(similarity)
    worse, better, similarity = worse[known], better[known], similarity[known]
    # Edges are fewer than 2^31 squared, so a pair of nodes is one number.
    order = np.argsort(worse * n + better)
    bounds = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.bincount(worse, minlength=n))])
    return bounds, better[order], similarity[order]


@numba.njit(cache=True, nogil=True)
def _choose(  # type: ignore[no-untyped-def]  # numba infers
    twins, component, bounds, better, similarity, threshold, fixed, data, shingles, tries, keeper, found
):
    n = len(twins)
    # What stays of a component, best first: a chain from the component's best node on.
    following, last = np.full(n, _NONE), np.arange(n)
    tried = np.full(n if tries else 0, _NONE)
    for node in range(n):
        keeper[node] = node
        twin = twins[node]
        if twin != node:
            if node >= fixed:
                keeper[node] = keeper[twin]
                found[node] = 1.0 if keeper[twin] == twin else found[twin]
            continue
        first = component[node]
        if node >= fixed and first != node:
            best = _most_similar(node, bounds, better, similarity, keeper)
            if best != _NONE:
                keeper[node] = better[best]
                found[node] = similarity[best]
            elif tries:
                keeper[node], found[node] = _compare(
                    node, first, bounds, better, keeper, following, tried, threshold, data, shingles, tries
                )
        if keeper[node] == node and first != node:
            following[last[first]] = node
            last[first] = node


@numba.njit(cache=True, nogil=True)
def _most_similar(node, bounds, better, similarity, keeper):  # type: ignore[no-untyped-def]  # numba infers
    best = _NONE
    for edge in range(bounds[node], bounds[node + 1]):
        # Better nodes come first, so of equally similar ones the first is the best.
        if keeper[better[edge]] == better[edge] and (best == _NONE or similarity[edge] > similarity[best]):
            best = edge
    return best


@numba.njit(cache=True, nogil=True)
def _compare(  # type: ignore[no-untyped-def]  # numba infers
    node, first, bounds, better, keeper, following, tried, threshold, data, shingles, tries
):
    """What is similar enough of what stays: first what neighbours were dropped for, then the best of the component."""
    edge, candidate = bounds[node], first
    while tries > 0:
        if edge < bounds[node + 1]:
            other = keeper[better[edge]]
            edge += 1
        elif candidate != _NONE:
            other = candidate
            candidate = following[candidate]
        else:
            break
        if tried[other] == node:
            continue
        tried[other] = node
        tries -= 1
        alike = jaccard(data, shingles[node], shingles[node + 1], shingles[other], shingles[other + 1], threshold)
        if alike >= threshold:
            return other, alike
    return node, np.nan
