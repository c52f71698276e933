"""Documents with the same key are copies: of the same normalised text, of the same address, or as one likes."""

from __future__ import annotations

import polars as pl


def key_edges(documents: pl.DataFrame, kept: pl.DataFrame | None = None) -> pl.DataFrame:
    """Connect the documents that share a key, each with one of them.

    Args:
        documents: n rows with doc_id (unique) and key; a document without a key (null) is no copy.
        kept: doc_id and key of documents that stay, such as those of earlier snapshots.

    Returns:
        doc_id, other_id and similarity (1.0): as many rows as there are copies.
    """
    columns = ["doc_id", "key"]
    everything = documents.select(columns) if kept is None else pl.concat([kept.select(columns), documents[columns]])
    keyed = everything.filter(pl.col("key").is_not_null()).unique("doc_id", keep="first", maintain_order=True)
    first = keyed.unique("key", keep="first", maintain_order=True).select("key", other_id="doc_id")
    return (
        keyed.join(first, on="key", how="inner")
        .filter(pl.col("doc_id") != pl.col("other_id"))
        .select("doc_id", "other_id", similarity=pl.lit(1.0))
    )
