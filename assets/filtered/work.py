"""What making a filtered set takes: which tables it reads, and how one snapshot's documents become kept and dropped."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import polars as pl

from assets.filtered import selection
from assets.filtered.copies import CopySearch
from assets.filtered.duplicates import CopyRule
from assets.materialization import ALL, UNTIL
from assets.measure import annotation_table
from lakehouse import select
from lakehouse.commits import in_effect
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
        duplicates: how copies are dropped, in order; none where they stay.
    """

    name: str
    source: str
    rules: Sequence[Rule]
    edits: Sequence[Edits]
    duplicates: Sequence[CopyRule]

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
        compared = [table for rule in self.duplicates for table in (*rule.compared(self.source), *rule.against)]
        measured = [self.table_of(one) for one in self.annotators]
        return list(dict.fromkeys([self.source, *measured, *edited, *self.pairs, *compared]))

    @property
    def pairs(self) -> list[str]:
        """The tables of compared pairs that decide on copies."""
        return [table for rule in self.duplicates if (table := rule.pairs(self.name))]

    @property
    def reads(self) -> dict[str, str]:
        """The tables of which more is read than the snapshot that is made."""
        judged = [self.source, *(self.table_of(one) for one in self.annotators)] if self.competing else []
        compared = [table for rule in self.duplicates for table in rule.compared(self.source)[:1]]
        until = [*judged, *self.pairs, *compared]
        elsewhere = [table for rule in self.duplicates for table in (*rule.compared(self.source)[1:], *rule.against)]
        return dict.fromkeys(until, UNTIL) | dict.fromkeys(elsewhere, ALL)

    @property
    def annotators(self) -> list[str]:
        """The annotators whose measurements are judged."""
        return sorted({column.annotator for column in self.columns if column.annotator})

    @property
    def columns(self) -> list[Column]:
        """What the rules look at, those that drop copies too."""
        judged = [column for rule in self.rules for column in rule.columns]
        copied = [column for rule in self.duplicates for column in (*rule.key_columns, *rule.order_columns)]
        return list(dict.fromkeys([*judged, *copied]))

    @property
    def looks_before(self) -> bool:
        """Whether it reads what earlier snapshots of itself kept."""
        return not self.competing and any(rule.looks_before for rule in self.duplicates)

    @property
    def competing(self) -> bool:
        """Whether copies of later snapshots may win: then all snapshots are decided on at once."""
        return any(rule.compete for rule in self.duplicates)

    @property
    def configuration(self) -> dict[str, Any]:
        """What decides which documents stay, as JSON-able data."""
        edits = [[one.annotator, one.column, *one.only] for one in self.edits]
        return {
            "source": self.source,
            "conditions": select.parameters(self.rules),
            "duplicates": [dataclasses.asdict(rule) for rule in self.duplicates],
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
        compared = {(table, "similarity") for table in self.pairs}
        return sorted(found | compared | ({(self.source, "text_id")} if self.duplicates else set()))

    def edited(self) -> list[tuple[str, str]]:
        """The tables and columns that the text is computed from."""
        return [(self.source, "text"), *((self.table_of(one.annotator), one.column) for one in self.edits)]


@dataclass(frozen=True)
class Decided:
    """What is decided on the documents of one snapshot, as they were measured."""

    measured: pl.DataFrame
    decisions: selection.Decisions


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

    def decide(self) -> dict[str, Decided]:
        """Decide on every document of the snapshot, and where newcomers compete on those of all that were built."""
        snapshots = sorted({self.snapshot, *self._built()}) if self.plan.competing else [self.snapshot]
        measured = {snapshot: self._measured(snapshot) for snapshot in snapshots}
        verdicts = {snapshot: select.decide(measured[snapshot], self.plan.rules) for snapshot in snapshots}
        passing = pl.concat(
            [
                measured[snapshot].with_columns(snapshot=pl.lit(snapshot)).filter(verdicts[snapshot]["kept"])
                for snapshot in snapshots
            ]
        )
        search = CopySearch(
            self.lake,
            self.plan.name,
            self.plan.source,
            self.plan.duplicates,
            self.inputs,
            snapshots,
            edited=bool(self.plan.edits),
        )
        copies = search.dropped(passing)
        hosts = selection.stands_for(passing, copies)
        return {
            snapshot: Decided(
                measured[snapshot],
                selection.decisions(measured[snapshot], verdicts[snapshot], copies, hosts, snapshot),
            )
            for snapshot in snapshots
        }

    def write(self, decided: Decided, snapshot: str, compute: ComputeResource) -> Outcome:
        """Write the documents of a snapshot that stay; nothing is committed yet."""
        plan, decisions = self.plan, decided.decisions
        files = self.lake.files(plan.source, version=self.inputs[plan.source], snapshot=snapshot)
        found = [
            selection.FoundEdits(one, self._measurements(plan.table_of(one.annotator), snapshot)) for one in plan.edits
        ]
        units = selection.copy_units(self.lake.root, plan.filtered, snapshot, files, decisions.kept, found)
        copied = list(compute.run(selection.copy_kept, units, task=f"Filtering {plan.filtered} {snapshot}"))
        lost = [doc_id for one in copied for doc_id in one.emptied]
        emptied = selection.ledger_of_emptied(decided.measured, lost, snapshot)
        dropped = pl.concat([decisions.rejects, emptied], how="diagonal_relaxed") if len(emptied) else decisions.rejects
        return Outcome(decided.measured, [file for one in copied for file in one.files], dropped)

    def differs(self, decided: Decided, snapshot: str) -> bool:
        """Whether a snapshot has other documents now than are decided on, or for other copies."""
        columns = ["doc_id", "duplicates"]
        now = self.lake.scan(self.plan.filtered, snapshot=snapshot).select(columns).collect().sort("doc_id")
        then = decided.decisions.kept.filter("kept").select(columns).sort("doc_id")
        if self.plan.edits:
            rejects = self.lake.scan(self.plan.rejects, snapshot=snapshot).filter(pl.col("stage") == "edits")
            then = then.join(rejects.select("doc_id").collect(), on="doc_id", how="anti", maintain_order="left")
        return not now.equals(then)

    def _built(self) -> list[str]:
        """The snapshots that the set has."""
        if not self.lake.exists(self.plan.filtered):
            return []
        return [partition for partition in in_effect(self.lake.history(self.plan.filtered)) if partition]

    def _measured(self, snapshot: str) -> pl.DataFrame:
        plan = self.plan
        files = self.lake.files(plan.source, version=self.inputs[plan.source], snapshot=snapshot)
        annotations = {name: self._measurements(plan.table_of(name), snapshot) for name in plan.annotators}
        return selection.measured_documents(files, self.lake.schema(plan.source), annotations, plan.columns)

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

    def _measurements(self, table: str, snapshot: str) -> selection.Measurements:
        files = self.lake.files(table, version=self.inputs[table], snapshot=snapshot)
        return selection.Measurements(tuple(files), self.lake.schema(table, self.inputs[table]))
