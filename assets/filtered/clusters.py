"""What the UI shows of copies: how large their clusters are, and the largest with samples of their texts."""

from __future__ import annotations

from typing import Any

import polars as pl

from assets.column_lineage import columns_of
from assets.filtered.work import Outcome
from assets.materialization import table_metadata
from assets.plots import bars
from lakehouse.lake import Lake

_SHOWN = 10
_SAMPLE = 160  # characters


def cluster_sizes(dropped: pl.DataFrame) -> pl.DataFrame:
    """How many documents each kept one stands for, by what was dropped for it.

    Args:
        dropped: ledger rows.

    Returns:
        kept_id, documents (itself included), similarity (the least to it), sample (one that was dropped for it, the
        least alike), largest first.
    """
    copies = dropped.filter(pl.col("stage") == "duplicates")
    return (
        copies.sort("similarity", "doc_id", nulls_last=True)
        .group_by("kept_id", maintain_order=True)
        .agg(documents=pl.len() + 1, similarity=pl.col("similarity").first(), sample=pl.col("doc_id").first())
        .sort("documents", "kept_id", descending=[True, False])
    )


def cluster_metadata(
    title: str, lake: Lake, source: str, snapshot: str, version: int, outcome: Outcome
) -> dict[str, Any]:
    """A plot of the sizes of clusters and a table of the largest, for the Dagster UI."""
    sizes = cluster_sizes(outcome.dropped)
    steps = sizes.group_by(least=(pl.col("documents").log(2) + 1e-9).floor().cast(pl.Int64)).len().sort("least")
    counted = [(f"{2**least:,} to {2 ** (least + 1) - 1:,}", clusters) for least, clusters in steps.iter_rows()]
    largest = sizes.head(_SHOWN)
    wanted = pl.concat([largest["kept_id"], largest["sample"]])
    found = lake.scan(source, version=version, snapshot=snapshot).filter(pl.col("doc_id").is_in(wanted.implode()))
    # What a model wrote has no address.
    url = pl.col("url") if "url" in columns_of(source) else pl.lit(None, pl.String).alias("url")
    texts = found.select("doc_id", url, text=pl.col("text").str.slice(0, _SAMPLE)).collect()
    by_id = {doc_id: (url, text) for doc_id, url, text in texts.iter_rows()}
    rows = [
        {
            "documents": documents,
            "kept": by_id.get(kept_id, (None, None))[0] or kept_id,
            # What was kept in an earlier snapshot is not looked up: its copy has much the same text.
            "text": by_id.get(kept_id, by_id.get(sample, (None, "")))[1],
            "least_alike": by_id.get(sample, (None, None))[0] or sample,
            "similarity": similarity,
            "its_text": by_id.get(sample, (None, ""))[1],
        }
        for kept_id, documents, similarity, sample in largest.iter_rows()
    ]
    return {
        "clusters": bars(f"{title}: documents in a cluster", counted, unit="clusters"),
        "largest": table_metadata(rows),
    }
