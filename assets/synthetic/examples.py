"""Examples from the lake that prompts show: the same ones in every prompt, so that a rerun asks nothing anew."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import duckdb

from lakehouse.connection import connect_to, tables_named
from lakehouse.generate import RecipeError
from lakehouse.identity import order_key
from lakehouse.lake import Lake

_MOST_ROWS = 10_000
"""Of a query with more rows, these are what is chosen among."""


@dataclass(frozen=True)
class Examples:
    """Some rows of a query, chosen by what they say and a seed."""

    sql: str
    count: int
    seed: int

    @cached_property
    def tables(self) -> list[str]:
        """The tables that the query reads.

        Raises:
            RecipeError: it is no query.
        """
        try:
            return tables_named(self.sql)
        except ValueError as error:
            raise RecipeError(f"examples: {self.sql!r} is no SELECT: {error}") from None

    def read(self, lake: Lake, inputs: Mapping[str, int]) -> list[dict[str, Any]]:
        """The examples, each with its columns.

        Raises:
            RecipeError: the query cannot be answered, or has no rows.
        """
        try:
            with connect_to(lake, {table: inputs[table] for table in self.tables}) as connection:
                rows = connection.sql(self.sql).limit(_MOST_ROWS).pl().to_dicts()
        except duckdb.Error as error:
            raise RecipeError(f"examples: {self.sql!r} cannot be answered: {error}") from error
        if not rows:
            raise RecipeError(f"examples: {self.sql!r} has no rows: there is nothing to show.")
        texts = {json.dumps(row, sort_keys=True, default=str): row for row in rows}
        ordered = sorted(texts, key=lambda text: (order_key(self.seed, text), text))
        return [texts[text] for text in ordered[: self.count]]
