"""A seeded draw: documents at random until there is enough."""

from __future__ import annotations

from typing import Literal

import polars as pl

from lakehouse.identity import order_key


def draw(documents: pl.DataFrame, amount: int, *, size: Literal["documents", "characters"], seed: int) -> pl.Series:
    """Draw documents at random until they have the amount that is wanted, or there are no more.

    The order hashes the text and then the document's id, so it is the same wherever the documents lie.

    Args:
        documents: n rows with doc_id, text_id and n_chars.
        amount: how many documents or characters. The last document drawn is the one that comes closest to it.
        seed: another seed draws others.

    Returns:
        n truth values: whether a document is drawn.
    """
    keys = [order_key(seed, *row) for row in documents.select("text_id", "doc_id").iter_rows()]
    counted = pl.lit(1, pl.Int64) if size == "documents" else pl.col("n_chars").cast(pl.Int64)
    ordered = (
        documents.select(counted.alias("amount"), key=pl.Series(keys, dtype=pl.Int64))
        .with_row_index("place")
        .sort("key", "place")
        .with_columns(total=pl.col("amount").cum_sum())
    )
    # Half of a document or more inside the amount: it is drawn.
    drawn = ordered.with_columns(drawn=pl.col("total") - pl.col("amount") / 2 <= amount - (amount == 0))
    return drawn.sort("place")["drawn"]
