"""What making a filtered set takes: which tables it reads, and how one snapshot's documents become kept and dropped."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import polars as pl

from assets.filtered import selection
from assets.measure import annotation_table
from lakehouse import schema, select
from lakehouse.data_files import DataFile, snapshot_of
from lakehouse.lake import Lake
from lakehouse.select import Column, Edits, Rule
from resources import ComputeResource


@dataclass(frozen=True)
class Plan:
    """A filtered set as it is declared, resolved.

    Attributes:
        name: of the set.
        source: the table that it selects from.
        rules: in the order in which they take the blame.
        edits: of the texts that are kept.
        duplicates: how copies are dropped, as it is declared; None where they stay.
    """

    name: str
    source: str
    rules: Sequence[Rule]
    edits: Sequence[Edits]
    duplicates: Mapping[str, Any] | None

    @property
    def filtered(self) -> str:
        """The table of what is kept."""
        return f"filtered/{self.name}"

    @property
    def rejects(self) -> str:
        """The ledger of what is dropped."""
        return f"rejects/{self.name}"

    @property
    def deps(self) -> list[str]:
        """The tables that it is made from."""
        edited = [self.table_of(edits.annotator) for edits in self.edits]
        return list(dict.fromkeys([self.source, *(self.table_of(one) for one in self.annotators), *edited]))

    @property
    def annotators(self) -> list[str]:
        """The annotators whose measurements are judged."""
        return sorted(select.required_annotators(self.rules))

    @property
    def columns(self) -> list[Column]:
        """What the rules look at."""
        return list(dict.fromkeys(column for rule in self.rules for column in rule.columns))

    @property
    def looks_before(self) -> bool:
        """Whether copies are looked for in the snapshots before, too."""
        return self.duplicates is not None and self.duplicates["scope"] == "all_snapshots"

    @property
    def configuration(self) -> dict[str, Any]:
        """What decides which documents stay, as JSON-able data."""
        edits = [[one.annotator, one.column, *one.only] for one in self.edits]
        return {
            "source": self.source,
            "conditions": select.parameters(self.rules),
            "duplicates": self.duplicates,
            **({"edits": edits} if edits else {}),
        }

    def table_of(self, annotator: str) -> str:
        """The table of an annotator's measurements of the source."""
        return annotation_table(self.source, annotator)

    def judged(self) -> list[tuple[str, str]]:
        """The tables and columns that verdicts are computed from."""
        found = {
            (self.table_of(column.annotator) if column.annotator else self.source, column.name)
            for column in self.columns
        }
        return sorted(found | ({(self.source, "text_id")} if self.duplicates else set()))

    def edited(self) -> list[tuple[str, str]]:
        """The tables and columns that the text is computed from."""
        return [(self.source, "text"), *((self.table_of(one.annotator), one.column) for one in self.edits)]


@dataclass(frozen=True)
class Outcome:
    """What became of one snapshot: all documents as they were measured, the files of the kept ones, the ledger rows."""

    measured: pl.DataFrame
    kept: list[DataFile]
    dropped: pl.DataFrame


@dataclass(frozen=True)
class Work:
    """A plan for one snapshot, with the version of each table to read."""

    plan: Plan
    lake: Lake
    snapshot: str
    inputs: Mapping[str, int] = field(default_factory=dict)

    def run(self, compute: ComputeResource) -> Outcome:
        """Decide on every document, and write those that stay; nothing is committed yet."""
        plan, snapshot = self.plan, self.snapshot
        files = self.lake.files(plan.source, version=self.inputs[plan.source], snapshot=snapshot)
        annotations = {name: self._measurements(plan.table_of(name)) for name in plan.annotators}
        measured = selection.measured_documents(files, self.lake.schema(plan.source), annotations, plan.columns)
        decisions = selection.decide(
            measured,
            plan.rules,
            duplicates=plan.duplicates is not None,
            earlier=self._earlier() if plan.looks_before else None,
            snapshot=snapshot,
        )
        units = selection.copy_units(
            self.lake.root, plan.filtered, snapshot, files, decisions.kept, [self._found(one) for one in plan.edits]
        )
        copied = list(compute.run(selection.copy_kept, units, task=f"Filtering {plan.filtered} {snapshot}"))
        emptied = selection.ledger_of_emptied(measured, [doc_id for one in copied for doc_id in one.emptied], snapshot)
        dropped = pl.concat([decisions.rejects, emptied], how="diagonal_relaxed") if len(emptied) else decisions.rejects
        return Outcome(measured, [file for one in copied for file in one.files], dropped)

    @cached_property
    def values_before(self) -> dict[str, pl.Series]:
        """The values of each column that rules look at in the snapshot before; none without one."""
        files = self.lake.files(self.plan.source, version=self.inputs[self.plan.source])
        earlier = sorted({found for file in files if (found := snapshot_of(file) or "") < self.snapshot})
        values: dict[str, pl.Series] = {}
        for annotator in (None, *self.plan.annotators) if earlier else ():
            table = self.plan.table_of(annotator) if annotator else self.plan.source
            names = {one.qualified: pl.col(one.name) for one in self.plan.columns if one.annotator == annotator}
            values |= self._scan(table, earlier[-1]).select(**names).collect().to_dict() if names else {}
        return values

    def _scan(self, table: str, snapshot: str) -> pl.LazyFrame:
        return self.lake.scan(table, version=self.inputs[table], snapshot=snapshot)

    def _found(self, edits: Edits) -> selection.FoundEdits:
        return selection.FoundEdits(edits, self._measurements(self.plan.table_of(edits.annotator)))

    def _measurements(self, table: str) -> selection.Measurements:
        files = self.lake.files(table, version=self.inputs[table], snapshot=self.snapshot)
        return selection.Measurements(tuple(files), self.lake.schema(table, self.inputs[table]))

    def _earlier(self) -> pl.DataFrame:
        """doc_id and text_id of what the snapshots before this one kept."""
        filtered, before = self.plan.filtered, pl.col("snapshot") < self.snapshot
        kept = self.lake.scan(filtered) if self.lake.exists(filtered) else schema.empty(schema.FILTERED).lazy()
        if self.plan.edits:
            # Copies are found by the text that came in, which edits changed.
            came_in = self.lake.scan(self.plan.source, version=self.inputs[self.plan.source]).filter(before)
            kept = came_in.join(kept.filter(before).select("doc_id"), on="doc_id", how="semi")
        return kept.filter(before).select("doc_id", "text_id").collect()
