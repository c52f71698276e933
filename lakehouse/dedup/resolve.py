"""Which copies stay: from documents in the order of a policy, and what is alike, to what is dropped for what.

Documents go by in the order of the policy, the best first. Each is kept unless it is alike enough to one that was kept
before it. So whatever is dropped is measurably alike to the very document that stands for it: a chain of small changes
does not carry a document away that is unlike all that is kept.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import polars as pl

from lakehouse.dedup.choose import choose
from lakehouse.dedup.components import connected_components
from lakehouse.dedup.jaccard import Shingles

ShinglesOf = Callable[[pl.Series], Shingles]
"""Gives the shingles of documents, by their doc_id, in that order; a document of none has an empty set."""

DROPPED: dict[str, pl.DataType] = {
    "doc_id": pl.String(),
    "kept_id": pl.String(),
    "cluster_id": pl.String(),
    "similarity": pl.Float64(),
}


def resolve(
    documents: pl.DataFrame,
    edges: pl.DataFrame,
    *,
    kept: pl.DataFrame | None = None,
    threshold: float = 1.0,
    shingles_of: ShinglesOf | None = None,
) -> pl.DataFrame:
    """Decide which documents are dropped as copies, and for which others.

    Documents of similarity 1.0 are one: what is alike to one of them is alike to all. An edge may lead through
    documents that are neither in `documents` nor in `kept` (a rule dropped them), but nothing is dropped for those.

    Args:
        documents: n rows with doc_id (unique) and text_id, in the order of the policy, the best first.
        edges: doc_id, other_id and similarity of pairs that were compared; NaN where the two belong to one cluster and
            were not compared.
        kept: doc_id and text_id of documents that stay whatever comes, and win.
        threshold: from which similarity on documents are copies.
        shingles_of: where edges are missing inside a cluster, as hashing misses some, the shingles decide.

    Returns:
        One row a dropped document, in no particular order: doc_id, kept_id (the one that stays), cluster_id (text_id
        of the best document of its cluster), similarity to the one that stays. Memory grows with the documents that
        have edges.
    """
    edges = edges.filter(pl.col("similarity").is_nan() | (pl.col("similarity") >= threshold))
    if edges.is_empty():
        return pl.DataFrame(schema=DROPPED)
    nodes = _nodes(documents, edges, kept)
    places = nodes.select("doc_id", place=pl.int_range(pl.len()))
    edges = edges.join(places, on="doc_id").join(places.rename({"doc_id": "other_id", "place": "other"}), on="other_id")
    a, b = edges["place"].to_numpy(), edges["other"].to_numpy()
    similarity = edges["similarity"].to_numpy()
    # Places are in the order of the policy, so the smallest of a class is its best document.
    same = similarity == 1.0
    best = connected_components(nodes.height, [(a[same], b[same])])
    stands = nodes["stands"].to_numpy()
    of_class = np.flatnonzero(np.bincount(best, minlength=nodes.height) > 0)
    living = of_class[stands[of_class]]
    if not len(living):
        return pl.DataFrame(schema=DROPPED)
    number = np.full(nodes.height, -1)
    number[living] = np.arange(len(living))
    choice_edges = _between_classes(number[best[a]], number[best[b]], similarity, ~same)
    fixed = int(np.count_nonzero(nodes["fixed"].to_numpy()[living]))
    ids = nodes["doc_id"].gather(living)
    shingles = _shingles(ids, choice_edges, fixed, shingles_of)
    choice = choose(len(living), *choice_edges, threshold=threshold, fixed=fixed, shingles=shingles)
    return _dropped(nodes, best, number, living, choice.keeper, choice.similarity, choice.component)


def _nodes(documents: pl.DataFrame, edges: pl.DataFrame, kept: pl.DataFrame | None) -> pl.DataFrame:
    """Every document that has an edge: those that stay first, then the others in their order, then mere links."""
    touched = pl.concat([edges["doc_id"], edges["other_id"].alias("doc_id")]).unique().to_frame()
    columns = ["doc_id", "text_id"]
    fixed = (documents.clear() if kept is None else kept).select(columns).join(touched, on="doc_id", how="semi")
    fixed = fixed.unique("doc_id").sort("doc_id")
    own = documents.select(columns).join(touched, on="doc_id", how="semi", maintain_order="left")
    own = own.join(fixed, on="doc_id", how="anti", maintain_order="left")
    links = touched.join(fixed, on="doc_id", how="anti").join(own, on="doc_id", how="anti").sort("doc_id")
    return pl.concat(
        [
            fixed.with_columns(fixed=True, stands=True),
            own.with_columns(fixed=False, stands=True),
            links.with_columns(text_id=pl.lit(None, pl.String), fixed=False, stands=False),
        ]
    )


def _between_classes(
    a: npt.NDArray[np.int64],
    b: npt.NDArray[np.int64],
    similarity: npt.NDArray[np.float64],
    wanted: npt.NDArray[np.bool_],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """The edges between classes that have a document which may stay; each pair of classes once."""
    wanted = wanted & (a >= 0) & (b >= 0) & (a != b)
    low, high = np.minimum(a, b)[wanted], np.maximum(a, b)[wanted]
    found = pl.DataFrame({"a": low, "b": high, "similarity": similarity[wanted]})
    # What was compared counts, also where a link says no more than that two belong together.
    known = found.with_columns(pl.col("similarity").fill_nan(None)).group_by("a", "b").agg(pl.col("similarity").max())
    known = known.sort("a", "b").with_columns(pl.col("similarity").fill_null(float("nan")))
    return known["a"].to_numpy(), known["b"].to_numpy(), known["similarity"].to_numpy()


def _shingles(
    ids: pl.Series,
    edges: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]],
    fixed: int,
    shingles_of: ShinglesOf | None,
) -> Shingles | None:
    """The shingles of the documents in clusters in which not all pairs were compared; None without any."""
    if shingles_of is None or not len(edges[0]):
        return None
    a, b, similarity = edges
    component = connected_components(len(ids), [(a, b)])
    size = np.bincount(component, minlength=len(ids))
    # Those that stay are not compared with each other.
    stay = np.bincount(component[:fixed], minlength=len(ids))
    pairs = (size * (size - 1) - stay * (stay - 1)) // 2
    compared = np.bincount(component[a[~np.isnan(similarity)]], minlength=len(ids))
    open_ones = compared[component] < pairs[component]
    if not open_ones.any():
        return None
    found = shingles_of(ids.filter(pl.Series(open_ones)))
    lengths = np.zeros(len(ids), np.int64)
    lengths[open_ones] = np.diff(found.bounds)
    return Shingles(found.data, np.concatenate([[0], np.cumsum(lengths)]))


def _dropped(
    nodes: pl.DataFrame,
    best: npt.NDArray[np.int64],
    number: npt.NDArray[np.int64],
    living: npt.NDArray[np.int64],
    keeper: npt.NDArray[np.int64],
    similarity: npt.NDArray[np.float64],
    component: npt.NDArray[np.int64],
) -> pl.DataFrame:
    """One row a document that does not stay, from what became of its class."""
    places = np.arange(len(best))
    of = number[best]
    mine = nodes["stands"].to_numpy() & ~nodes["fixed"].to_numpy()
    kept_place = living[keeper[of]]
    lost = mine & (kept_place != places)
    of, kept_place = of[lost], kept_place[lost]
    ids, texts = nodes["doc_id"], nodes["text_id"]
    return pl.DataFrame(
        {
            "doc_id": ids.filter(pl.Series(lost)),
            "kept_id": ids.gather(kept_place),
            "cluster_id": texts.gather(living[component[of]]),
            "similarity": np.where(keeper[of] == of, 1.0, similarity[of]),
        },
        schema=DROPPED,
    )
