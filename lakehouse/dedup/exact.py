"""Exact duplicates: documents with the same normalised text, and so the same `text_id`."""

from __future__ import annotations

import polars as pl


def exact_duplicates(documents: pl.DataFrame, earlier: pl.DataFrame | None = None) -> pl.DataFrame:
    """Name the copies to drop, so that one document of each text is left.

    The longest copy is kept; of equally long ones that with the smallest url (none comes last), then the smallest
    doc_id. The answer does not depend on the order of the rows. Memory grows with the number of documents, not with
    their text.

    Args:
        documents: n rows with doc_id (unique), text_id, n_chars and url.
        earlier: doc_id and text_id of documents kept before, such as in earlier snapshots; their copies all lose.
            A document that is itself in `earlier` competes as if it were not.

    Returns:
        One row a dropped copy, sorted by doc_id: doc_id, kept_id (the copy that stays), cluster_id (the text_id) and
        similarity (1.0).
    """
    order = documents.sort("n_chars", "url", "doc_id", descending=[True, False, False], nulls_last=True)
    kept = order.unique("text_id", keep="first", maintain_order=True).select("text_id", kept_id="doc_id")
    if earlier is not None:
        others = earlier.join(documents, on="doc_id", how="anti").sort("doc_id")
        winners = others.unique("text_id", keep="first", maintain_order=True).select("text_id", kept_id="doc_id")
        kept = pl.concat([winners, kept]).unique("text_id", keep="first", maintain_order=True)
    return (
        documents.join(kept, on="text_id", how="inner")
        .filter(pl.col("doc_id") != pl.col("kept_id"))
        .select("doc_id", "kept_id", cluster_id="text_id", similarity=pl.lit(1.0))
        .sort("doc_id")
    )


def copies(duplicates: pl.DataFrame) -> pl.DataFrame:
    """Count what each kept document stands for.

    Args:
        duplicates: rows with doc_id and kept_id, as `exact_duplicates` gives them.

    Returns:
        doc_id of each document with copies, and copies: how many documents it stands for, itself included.
    """
    return duplicates.group_by(doc_id="kept_id").agg(copies=pl.len().cast(pl.Int64) + 1).sort("doc_id")
