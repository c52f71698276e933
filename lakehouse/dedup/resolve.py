"""Which copies stay: from documents in the order of a policy, and what is alike, to what is dropped for what.

Documents go by in the order of the policy, the best first. Each is kept unless it is alike enough to one that was kept
before it. So whatever is dropped is measurably alike to the very document that stands for it: a chain of small changes
does not carry a document away that is unlike all that is kept.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl

from lakehouse.dedup.choose import choose
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
    ids, fixed, standing = nodes["doc_id"], int(nodes["fixed"].sum()), int(nodes["stands"].sum())
    places = ids.to_frame().with_row_index("place").cast({"place": pl.Int64})
    edges = edges.join(places, on="doc_id").join(places.rename({"doc_id": "other_id", "place": "other"}), on="other_id")
    choice = choose(
        nodes.height,
        *(edges[name].to_numpy() for name in ("place", "other", "similarity")),
        threshold=threshold,
        fixed=fixed,
        standing=standing,
        shingles_of=None if shingles_of is None else lambda asked: shingles_of(ids.gather(asked)),
    )
    own = np.arange(fixed, standing)
    lost = own[choice.keeper[own] != own]
    return pl.DataFrame(
        {
            "doc_id": ids.gather(lost),
            "kept_id": ids.gather(choice.keeper[lost]),
            "cluster_id": nodes["text_id"].gather(choice.component[lost]),
            "similarity": choice.similarity[lost],
        },
        schema=DROPPED,
    )


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
