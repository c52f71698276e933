"""How often each document of a component is to be read: what a mixture declares, and its value for every document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg
import polars as pl
import pydantic
from pydantic import Field, field_validator

from assets.filtered.component import FilteredSet
from assets.measure import annotation_table
from assets.raw.component import RawSource
from lakehouse import annotate, mix, schema, select
from lakehouse.lake import Lake, LakeError
from lakehouse.select import Column, Measured

_COLUMN = "relative_repeats"
_PREFIX = "rule 'repeats': "
_BLOCKS: Mapping[str, type[dg.Component]] = {"raw": RawSource, "filtered": FilteredSet}


class Steps(dg.Model):
    """Repeats that go by steps of a number: from so many copies on, so many times."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    by: str = Field(description="The number, an expression of DuckDB, such as duplicates.")
    steps: dict[float, float] = Field(description="{from this number on: so many repeats}.")

    @field_validator("steps")
    @classmethod
    def _checked(cls, steps: dict[float, float]) -> dict[float, float]:
        if not steps:
            raise mix.MixtureError("steps: there is none: give {1: 1, 2: 2}, for example.")
        for least, repeats in steps.items():
            if repeats < 0:
                raise mix.MixtureError(f"steps: from {least:g} on {repeats:g} repeats: give 0 or more.")
        return steps

    @property
    def expression(self) -> str:
        """The same as an SQL expression; null below the first step."""
        falling = sorted(self.steps.items(), reverse=True)
        return f"CASE {' '.join(f'WHEN ({self.by}) >= {least!r} THEN {repeats!r}' for least, repeats in falling)} END"


@dataclass(frozen=True)
class Rebalancing:
    """The repeats of one component's documents, checked.

    Attributes:
        source: the table of the documents.
        expression: gives a number for each of them.
        columns: what it looks at.
    """

    source: str
    expression: str
    columns: tuple[Column, ...]

    @property
    def tables(self) -> list[str]:
        """The tables that it reads."""
        annotators = sorted({column.annotator for column in self.columns if column.annotator})
        return [self.source, *(annotation_table(self.source, annotator) for annotator in annotators)]

    @property
    def read(self) -> list[tuple[str, str]]:
        """The tables and columns that it is computed from."""
        return [
            (annotation_table(self.source, one.annotator) if one.annotator else self.source, one.name)
            for one in self.columns
        ]

    def values(self, lake: Lake, inputs: Mapping[str, int]) -> pl.DataFrame:
        """doc_id, component and relative_repeats of every document of the source; of all snapshots at once.

        Args:
            lake: where the tables are.
            inputs: the version of each of `tables`.
        """
        keys = ["doc_id", "snapshot"]
        own = [column.name for column in self.columns if column.annotator is None and column.name not in keys]
        rows = lake.scan(self.source, version=inputs[self.source]).select(*keys, *own)
        for annotator in sorted({column.annotator for column in self.columns if column.annotator}):
            table = annotation_table(self.source, annotator)
            wanted = [pl.col(one.name).alias(one.qualified) for one in self.columns if one.annotator == annotator]
            measured = lake.scan(table, version=inputs[table]).select(*keys, *wanted)
            rows = rows.join(measured, on=keys, how="left", maintain_order="left")
        found = select.evaluated(rows.collect(), {_COLUMN: self.expression}, list(self.columns))
        return found.select("doc_id", _COLUMN, component=pl.lit(self.source))


def rebalancing(source: str, repeats: str | Steps, context: dg.ComponentLoadContext | None) -> Rebalancing:
    """Resolve what a component declares.

    Raises:
        MixtureError: it is no SQL expression for a number, or looks at a column that is not there.
    """
    expression = repeats if isinstance(repeats, str) else repeats.expression
    written = repeats if isinstance(repeats, str) else repeats.by
    measured = _measured(source, context)
    try:
        # As it is written, not as steps: an error quotes what stands in the file.
        columns = measured.columns(written, "repeats")
        types = {column: measured.type_of(column) for column in columns}
        select.check_type(written, types, rule="repeats", expected="a number")
    except select.RuleError as error:
        raise mix.MixtureError(f"repeats of {source}: {str(error).removeprefix(_PREFIX)}") from error
    return Rebalancing(source, expression, columns)


def _measured(source: str, context: dg.ComponentLoadContext | None) -> Measured:
    """The columns of a table, and those of the annotators that its block declares."""
    layer, name = source.split("/")
    columns = schema.layer_of(source).schema
    assert columns is not None
    blocks: Sequence[Any] = ()
    if context is not None and layer in _BLOCKS:
        blocks = context.component_tree.get_all_components(_BLOCKS[layer])
    declared = [one for block in blocks if block.name == name for one in block.annotators]
    annotators = [annotate.annotator(one) for one in declared]
    return Measured(columns, {one.name: one.columns for one in annotators})


def with_relative_repeats(
    candidates: pl.DataFrame, parts: Sequence[Rebalancing], lake: Lake, inputs: Mapping[str, int]
) -> pl.DataFrame:
    """Add relative_repeats to the candidates of a mixture: null in components that are not rebalanced.

    Raises:
        LakeError: a candidate is no row of its component any more.
    """
    found = [part.values(lake, inputs).with_columns(there=pl.lit(True)) for part in parts if part.source in inputs]
    if not found:
        return candidates.with_columns(pl.lit(None, pl.Float64).alias(_COLUMN))
    joined = candidates.join(pl.concat(found), on=["doc_id", "component"], how="left", maintain_order="left")
    rebalanced = [part.source for part in parts]
    lost = joined.filter(pl.col("component").is_in(rebalanced) & pl.col("there").is_null())
    if len(lost):
        doc_id, table = lost.sort("doc_id").select("doc_id", "component").row(0)
        raise LakeError(f"document {doc_id} has token ids and is not in {table} any more: build the tokens first.")
    return joined.drop("there")


def part_of_mixture(
    source: str, weight: float, max_repeats: float | None, repeats: str | Steps | None
) -> mix.Component:
    """The component as `mix` knows it.

    Raises:
        MixtureError: its max_repeats and its repeats do not go together.
    """
    if repeats is None:
        return mix.Component(source, weight, 1.0 if max_repeats is None else max_repeats)
    steps = repeats.steps.values() if isinstance(repeats, Steps) else ()
    if max_repeats is None and not steps:
        raise mix.MixtureError(f"repeats of {source}: add max_repeats, the most that any document may be read.")
    most = max(1.0, *steps) if max_repeats is None else max_repeats
    if most < 1 or most != int(most):
        raise mix.MixtureError(
            f"repeats of {source}: no document is read {most:g} times: give max_repeats a whole number above 0."
        )
    if steps and most < max(steps):
        raise mix.MixtureError(f"repeats of {source}: steps go up to {max(steps):g}, and max_repeats is {most:g}.")
    return mix.Component(source, weight, most, rebalanced=True)
