"""The documents that a recipe rewrites: chosen by SQL, sampled by seed, read a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import duckdb
import polars as pl

from lakehouse.connection import connect_to
from lakehouse.data_files import read_batches
from lakehouse.generate import RecipeError
from lakehouse.identity import order_key
from lakehouse.lake import Lake
from lakehouse.schema import sql_name

_COLUMNS = ["doc_id", "text", "language", "source"]


@dataclass(frozen=True)
class Choice:
    """Which documents are rewritten.

    Attributes:
        source: the table whose rows are chosen.
        text_from: the table that has their text; the source itself unless that is a ledger.
        where: a DuckDB condition on the source's columns; None: all rows.
        max_documents: how many of a snapshot; None: all.
        seed: of the sample.
    """

    source: str
    text_from: str
    where: str | None
    max_documents: int | None
    seed: int

    def read(self, lake: Lake, inputs: Mapping[str, int], snapshot: str) -> Iterator[pl.DataFrame]:
        """Batches of the chosen documents: doc_id, snapshot, text, language, source, depth.

        Raises:
            RecipeError: `where` is no condition that DuckDB understands.
        """
        chosen = self._chosen(lake, inputs, snapshot)
        for file in lake.files(self.text_from, version=inputs[self.text_from], snapshot=snapshot):
            has_depth = self.text_from.startswith("synthetic/")
            for batch in read_batches(file, [*_COLUMNS, "depth"] if has_depth else _COLUMNS):
                documents = batch.join(chosen, on="doc_id", how="semi", maintain_order="left")
                if documents.height:
                    depth = pl.col("depth") if has_depth else pl.lit(0, pl.Int64)
                    yield documents.with_columns(snapshot=pl.lit(snapshot), depth=depth)

    def _chosen(self, lake: Lake, inputs: Mapping[str, int], snapshot: str) -> pl.DataFrame:
        """The ids of the chosen documents. The sample depends on their texts, not on where they stood in a crawl."""
        texts = lake.scan(self.text_from, version=inputs[self.text_from], snapshot=snapshot)
        wanted = self._wanted(lake, inputs, snapshot)
        candidates = texts.select("doc_id", "text_id").join(wanted, on="doc_id", how="semi").collect()
        keys = [order_key(self.seed, text_id) for text_id in candidates["text_id"]]
        ordered = candidates.with_columns(order_key=pl.Series(keys, dtype=pl.Int64)).sort("order_key", "doc_id")
        return ordered.head(self.max_documents or ordered.height).select("doc_id")

    def _wanted(self, lake: Lake, inputs: Mapping[str, int], snapshot: str) -> pl.LazyFrame:
        """The ids of the source's rows that meet the condition."""
        if self.where is None:
            return lake.scan(self.source, version=inputs[self.source], snapshot=snapshot).select("doc_id")
        try:
            with connect_to(lake, {self.source: inputs[self.source]}) as connection:
                query = f"SELECT doc_id FROM {sql_name(self.source)} WHERE snapshot = $snapshot AND ({self.where})"
                return connection.execute(query, {"snapshot": snapshot}).pl().lazy()
        except duckdb.Error as error:
            raise RecipeError(f"where: {self.where!r} is no condition on {self.source}: {error}") from error
