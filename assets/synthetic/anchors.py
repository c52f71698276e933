"""The documents that recipes rewrite: chosen by SQL, routed by SQL, sampled by seed, read a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import duckdb
import polars as pl

from assets.column_lineage import columns_of
from lakehouse.connection import connect_to, tables_named
from lakehouse.data_files import read_batches
from lakehouse.generate import RecipeError
from lakehouse.identity import order_key
from lakehouse.lake import Lake
from lakehouse.schema import sql_name

_ALWAYS = ("doc_id", "text", "language", "source")
_BATCH_DOCUMENTS = 512
_GROUPED_BATCHES = 64  # of DuckDB's rows, whose texts are long


@dataclass(frozen=True)
class Choice:
    """Which documents are rewritten, and by which of several recipes.

    Attributes:
        source: the table whose rows are chosen.
        text_from: the table that has their text; the source itself unless that is a ledger.
        where: a DuckDB condition on the source's columns; None: all rows.
        routes: conditions of the recipes, in order: a document goes the first way that is open to it. None: always.
        group_by: a DuckDB expression; documents for which it is the same may be asked about together.
        max_documents: how many of a snapshot; None: all.
        seed: of the sample.
    """

    source: str
    text_from: str
    where: str | None = None
    routes: tuple[str | None, ...] = (None,)
    group_by: str | None = None
    max_documents: int | None = None
    seed: int = 0

    @cached_property
    def tables(self) -> list[str]:
        """The tables that are read: source, texts, and what the conditions name.

        Raises:
            RecipeError: a condition is none.
        """
        try:
            named = tables_named(self._query(("doc_id",)))
        except ValueError as error:
            raise RecipeError(f"where, routes or group_by of {self.source} is no SQL expression: {error}") from None
        return list(dict.fromkeys([self.source, self.text_from, *named]))

    def read(
        self, lake: Lake, inputs: Mapping[str, int], snapshot: str, *, route: int = 0, columns: Sequence[str] = ()
    ) -> Iterator[pl.DataFrame]:
        """Batches of one route's documents: doc_id, snapshot, text, language, source, depth, and the columns given.

        With `group_by` there is a column `group`, and the documents of a group follow each other.

        Args:
            lake: that has the tables.
            inputs: the version of each.
            snapshot: whose documents are read.
            route: which of the routes.
            columns: further ones, of the texts' table or of the source.

        Raises:
            RecipeError: a condition is none that DuckDB understands, or there is no such column.
        """
        beside = self._beside(columns)
        chosen = self._chosen(lake, inputs, snapshot, beside).filter(pl.col("route") == route).drop("route")
        wanted = [*_ALWAYS, *(name for name in columns if name not in beside and name not in _ALWAYS)]
        if "depth" in columns_of(self.text_from):
            wanted.append("depth")
        if self.group_by is not None:
            batches = self._grouped(lake, inputs, snapshot, chosen, wanted)
        else:
            batches = self._in_order(lake, inputs, snapshot, chosen.drop("group"), wanted)
        for documents in batches:
            # Files that were written before there were depths have none.
            depth = pl.col("depth").fill_null(0) if "depth" in documents.columns else pl.lit(0, pl.Int64)
            yield documents.with_columns(snapshot=pl.lit(snapshot), depth=depth)

    def _in_order(
        self, lake: Lake, inputs: Mapping[str, int], snapshot: str, chosen: pl.DataFrame, wanted: Sequence[str]
    ) -> Iterator[pl.DataFrame]:
        for file in lake.files(self.text_from, version=inputs[self.text_from], snapshot=snapshot):
            for batch in read_batches(file, wanted, rows=_BATCH_DOCUMENTS):
                documents = batch.join(chosen, on="doc_id", how="inner", maintain_order="left")
                if documents.height:
                    yield documents

    def _grouped(
        self, lake: Lake, inputs: Mapping[str, int], snapshot: str, chosen: pl.DataFrame, wanted: Sequence[str]
    ) -> Iterator[pl.DataFrame]:
        """Documents by group; DuckDB sorts them, on disk where they are many. A batch ends where a group ends."""
        texts = sql_name(self.text_from)
        names = ", ".join(f'texts."{name}"' for name in wanted)
        further = ", ".join(f'chosen."{name}"' for name in chosen.columns if name != "doc_id")
        query = (
            f"SELECT {names}, {further} FROM {texts} AS texts JOIN chosen USING (doc_id) "
            'WHERE texts.snapshot = $snapshot AND chosen."group" IS NOT NULL ORDER BY chosen."group", doc_id'
        )
        with connect_to(lake, {self.text_from: inputs[self.text_from]}) as connection:
            connection.register("chosen", chosen.to_arrow())
            held: list[pl.DataFrame] = []
            for batch in connection.execute(query, {"snapshot": snapshot}).to_arrow_reader(_GROUPED_BATCHES):
                documents = pl.DataFrame(batch)
                last = documents["group"][-1]
                ended = documents.filter(pl.col("group") != last)
                if ended.height:
                    yield pl.concat([*held, ended])
                    held = []
                held.append(documents.filter(pl.col("group") == last))
            if held:
                yield pl.concat(held)

    def _chosen(self, lake: Lake, inputs: Mapping[str, int], snapshot: str, beside: Sequence[str]) -> pl.DataFrame:
        """The chosen documents: doc_id, route, group, and the columns that only the source has.

        The sample depends on the texts, not on where they stood in a crawl; that of groups takes whole groups.
        """
        texts = lake.scan(self.text_from, version=inputs[self.text_from], snapshot=snapshot)
        wanted = self._wanted(lake, inputs, snapshot, ("doc_id", *beside))
        candidates = texts.select("doc_id", "text_id").join(wanted.lazy(), on="doc_id", how="inner").collect()
        if self.max_documents is not None:
            drawn = candidates["group"].fill_null("") if self.group_by is not None else candidates["text_id"]
            keys = [order_key(self.seed, one) for one in drawn]
            ordered = candidates.with_columns(order_key=pl.Series(keys, dtype=pl.Int64)).sort("order_key", "doc_id")
            candidates = ordered.head(self.max_documents)
        return candidates.select("doc_id", "route", "group", *beside)

    def _wanted(self, lake: Lake, inputs: Mapping[str, int], snapshot: str, columns: Sequence[str]) -> pl.DataFrame:
        """The source's rows that meet the conditions, each document once."""
        try:
            with connect_to(lake, {table: inputs[table] for table in self.tables}) as connection:
                found = connection.execute(self._query(columns), {"snapshot": snapshot}).pl()
        except duckdb.Error as error:
            raise RecipeError(f"the conditions on {self.source} cannot be answered: {error}") from error
        return found.unique("doc_id", keep="first", maintain_order=True).with_columns(
            pl.col("route").cast(pl.Int64), pl.col("group").cast(pl.String)
        )

    def _query(self, columns: Sequence[str]) -> str:
        ways = [f"WHEN ({where or 'true'}) THEN {place}" for place, where in enumerate(self.routes)]
        names = ", ".join(f'"{name}"' for name in columns)
        return (
            f'SELECT {names}, CASE {" ".join(ways)} END AS route, ({self.group_by or "NULL"}) AS "group" '
            f"FROM {sql_name(self.source)} "
            f"WHERE snapshot = $snapshot AND ({self.where or 'true'}) AND route IS NOT NULL"
        )

    def _beside(self, columns: Sequence[str]) -> list[str]:
        """The columns that only the source has.

        Raises:
            RecipeError: neither table has one.
        """
        texts, source = columns_of(self.text_from), columns_of(self.source)
        for name in columns:
            if name not in texts and name not in source:
                raise RecipeError(
                    f"the recipe shows the column {name!r}, which neither {self.text_from} nor {self.source} has."
                )
        return [name for name in columns if name not in texts]
