"""Where the examples of a class come from: files, folders, tables of the lake, or a query."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import polars as pl

from lakehouse import schema
from lakehouse.connection import connect_to, tables_named
from lakehouse.data_files import read_batches
from lakehouse.lake import Lake, LakeError
from lakehouse.train import TrainingError, read_texts

_TABLE = re.compile(r"([a-z]+)/[a-z][a-z0-9_]*")
_BATCH_ROWS = 1_024


@dataclass(frozen=True)
class Source:
    """What the examples of one class are.

    Attributes:
        names: tables of the lake (`filtered/web_edu`), and files and folders as `read_texts` takes them. What looks
            like a table is one: a folder of such a name is `./filtered/web_edu`.
        query: a query on the lake that gives a column `text`.
        column: of files and tables, the one that has the text.
    """

    names: Sequence[str] = ()
    query: str | None = None
    column: str = "text"

    @property
    def tables(self) -> list[str]:
        """The tables of the lake that are read.

        Raises:
            TrainingError: the query is none.
        """
        named = [name for name in self.names if _is_table(name)]
        return list(dict.fromkeys([*named, *(_tables_of(self.query) if self.query else ())]))

    @property
    def paths(self) -> list[Path]:
        """The files and folders that are read."""
        return [Path(name) for name in self.names if not _is_table(name)]

    def read(self, lake: Lake | None, versions: Mapping[str, int]) -> Iterator[pl.DataFrame]:
        """Batches of text and source.

        Args:
            lake: that has the tables; None where there are none.
            versions: of each table, the one to read.

        Raises:
            TrainingError: a file cannot be read, a table has no such column, or the query gives no texts.
        """
        yield from read_texts(self.paths, column=self.column)
        for table in filter(_is_table, self.names):
            assert lake is not None
            yield from self._of_table(lake, table, versions[table])
        if self.query:
            assert lake is not None
            yield from self._of_query(lake, {table: versions[table] for table in _tables_of(self.query)})

    def _of_table(self, lake: Lake, table: str, version: int) -> Iterator[pl.DataFrame]:
        if self.column not in lake.schema(table, version).names:
            raise TrainingError(f"{table} has no column {self.column!r}: name its column of texts, or write a query.")
        for file in lake.files(table, version=version):
            for rows in read_batches(file, [self.column]):
                yield _frame(rows[self.column], table)

    def _of_query(self, lake: Lake, versions: Mapping[str, int]) -> Iterator[pl.DataFrame]:
        assert self.query is not None
        try:
            with connect_to(lake, versions) as connection:
                for batch in connection.sql(self.query).to_arrow_reader(_BATCH_ROWS):
                    rows = pl.from_arrow(batch)
                    assert isinstance(rows, pl.DataFrame)
                    if rows.schema.get("text") != pl.String:
                        raise TrainingError(f"the query {self.query!r} gives no column `text` of texts.")
                    yield _frame(rows["text"], ", ".join(sorted(versions)) or "query")
        except duckdb.Error as error:
            raise TrainingError(f"the query {self.query!r} cannot be answered: {error}") from error


def existing_versions(lake: Lake, tables: Sequence[str]) -> dict[str, int]:
    """The newest version of each table.

    Raises:
        LakeError: one has not been built.
    """
    missing = [table for table in tables if not lake.exists(table)]
    if missing:
        raise LakeError(f"There is no {missing[0]} yet: build it first (lakehouse build {missing[0]}).")
    return {table: lake.version(table) for table in tables}


def _is_table(name: str) -> bool:
    found = _TABLE.fullmatch(name)
    return bool(found and found[1] in schema.LAYERS)


def _frame(texts: pl.Series, source: str) -> pl.DataFrame:
    return pl.DataFrame({"text": texts.fill_null(""), "source": pl.repeat(source, len(texts), eager=True)})


def _tables_of(query: str) -> list[str]:
    """The tables that a query names, in order."""
    try:
        found = tables_named(query)
    except ValueError as error:
        raise TrainingError(f"the query {query!r} is no SELECT: {error}") from None
    if not found:
        raise TrainingError(f"the query {query!r} names no table of the lake, such as filtered.web_clean.")
    return found
