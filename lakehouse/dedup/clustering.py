"""Spherical k-means: centroids from a sample, then the nearest ones of every vector."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from lakehouse.dedup.columns import Places, mapped
from lakehouse.dedup.vectors import Matrix, matrix

Clusters = npt.NDArray[np.int32]

NEAREST = 3
"""A document is compared within its nearest cluster, and with the documents that have it among so many nearest."""

_ITERATIONS = 10
_CELLS_AT_ONCE = 1 << 24  # similarities of vectors to centroids: 64 MB
_SLACK = 1e-3  # radians; float32 misses an angle by less


@dataclass(frozen=True)
class Assignment:
    """A unit of work: find the clusters of some documents.

    Attributes:
        folder: holds `vectors`, `centroids`, and `nearest`, to be filled.
        begin, end: places of the documents.
        dimensions: numbers of a vector.
        floor: the least similarity of interest.
    """

    folder: Path
    begin: int
    end: int
    dimensions: int
    floor: float

    def __str__(self) -> str:
        return f"documents {self.begin:,} to {self.end:,}"


def fit(sample: Matrix, clusters: int) -> Matrix:
    """Find centroids by Lloyd's algorithm, with the cosine in place of the distance.

    Args:
        sample: vectors of length 1 in random order; the first ones are the centroids to begin with.
        clusters: how many centroids; not more than there are vectors.

    Returns:
        One centroid a row, of length 1.

    Source: Dhillon and Modha, Concept Decompositions for Large Sparse Text Data Using Clustering.
    """
    centroids = sample[:clusters].copy()
    if clusters < 2:
        return centroids
    for _ in range(_ITERATIONS):
        sums = np.zeros(centroids.shape)
        nearest = np.empty(len(sample), np.int64)
        similarity = np.empty(len(sample), np.float32)
        step = max(1, _CELLS_AT_ONCE // clusters)
        for start in range(0, len(sample), step):
            part = sample[start : start + step]
            cells = part @ centroids.T
            found = cells.argmax(axis=1)
            nearest[start : start + step] = found
            similarity[start : start + step] = cells[np.arange(len(part)), found]
            order = np.argsort(found, kind="stable")
            begins = np.flatnonzero(np.diff(found[order], prepend=-1))
            sums[found[order][begins]] += np.add.reduceat(part[order], begins, axis=0, dtype=np.float64)
        empty = np.flatnonzero(np.bincount(nearest, minlength=clusters) == 0)
        # A cluster without members begins anew where a vector is badly served.
        sums[empty] = sample[np.argsort(similarity, kind="stable")[: len(empty)]]
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        centroids = np.where(lengths > 0, sums / np.maximum(lengths, 1e-30), centroids).astype(np.float32)
    return centroids


def assign(unit: Assignment) -> None:
    """Write the nearest clusters of each document; only those that a similar document may be in."""
    vectors = matrix(unit.folder, unit.dimensions)
    centroids = mapped(unit.folder / "centroids", np.float32).reshape(-1, unit.dimensions)
    out = np.memmap(unit.folder / "nearest", np.int32, "r+").view(np.ndarray).reshape(-1, NEAREST)
    reach = 2 * np.arccos(min(unit.floor, 1.0)) + _SLACK
    step = max(1, _CELLS_AT_ONCE // len(centroids))
    # There are as many workers as cores: threads of each one would only wait for each other.
    with threadpool_limits(1, user_api="blas"):
        for start in range(unit.begin, unit.end, step):
            rows = slice(start, min(start + step, unit.end))
            out[rows] = nearest_clusters(vectors[rows], centroids, reach)


def nearest_clusters(vectors: Matrix, centroids: Matrix, reach: float) -> Clusters:
    """For each of n vectors its `NEAREST` nearest centroids, the nearest first; -1 for those that are `reach` farther.

    Where a and b are at an angle of at most d, and b's nearest centroid is not a's, that one is at most 2 d farther
    from a than a's own: angles obey the triangle inequality. So `reach` is twice the angle of interest, in radians.

    Returns:
        n rows of `NEAREST` clusters.
    """
    rows = np.arange(len(vectors))
    found = np.full((len(vectors), NEAREST), -1, np.int32)
    cells = vectors @ centroids.T
    own = np.zeros(len(vectors))
    for rank in range(min(NEAREST, len(centroids))):
        cluster = cells.argmax(axis=1)
        angle = np.arccos(np.clip(cells[rows, cluster], -1, 1))
        cells[rows, cluster] = -np.inf
        own = angle if rank == 0 else own
        found[:, rank] = np.where(angle - own <= reach, cluster, -1)
    return found


def members(nearest: Clusters, wanted: npt.NDArray[np.bool_], clusters: int) -> tuple[Places, Places]:
    """The places of the wanted documents, cluster by cluster and ascending; and where those of each cluster begin.

    Args:
        nearest: clusters that each of n documents is a member of, -1 for none.
        wanted: n truth values.
        clusters: how many there are.

    Returns:
        All places; clusters + 1 bounds.
    """
    places, columns = np.nonzero((nearest >= 0) & wanted[:, None])
    labels = nearest[places, columns]
    order = np.argsort(labels, kind="stable")
    counts = np.bincount(labels, minlength=clusters)
    return places[order], np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])


def members_of(folder: Path, name: str, cluster: int) -> Places:
    """The places of one cluster, from what `members` gave, written to `<name>` and `<name>-bounds`."""
    bounds = mapped(folder / f"{name}-bounds", np.int64)
    places: Places = mapped(folder / name, np.int64)[bounds[cluster] : bounds[cluster + 1]]
    return places
