"""How a filtered set is built: the documents of a source that pass every rule, and the ledger of those that do not."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import dagster as dg
import polars as pl
import pydantic
import yaml
from pydantic import Field

from assets.annotations import annotations_of, check_declarations
from assets.checks import audited, balance_audit, check_specs, text_audits
from assets.column_lineage import each
from assets.filtered import selection
from assets.filtered.alarms import Alarms, alarm_specs, alarms, numeric_columns, thresholds_of
from assets.filtered.control import Control, control_asset
from assets.materialization import (
    Attributes,
    asset_spec,
    materialized,
    origin_of,
    pinned_version,
    table_metadata,
)
from assets.measure import annotation_table
from assets.plots import histograms, waterfall
from assets.raw.component import RawSource
from assets.unchanged import already_made
from lakehouse import annotate, schema, select
from lakehouse.annotate import Declaration
from lakehouse.lake import Lake
from lakehouse.select import Column, Edits, Measured, Rule
from resources import ComputeResource, LakeResource

_CODE = "2"
_CHECKS = ("no_empty_text", "unique_ids", "no_lost_rows")


class Languages(Attributes):
    """Which languages stay."""

    keep: list[str] = Field(description="Language codes, such as en or de.")
    min_score: float = Field(default=0.65, ge=0, le=1, description="Lowest score of the identified language.")


class Duplicates(Attributes):
    """How copies of one text are found and dropped."""

    method: Literal["exact"] = Field(default="exact", description="exact: the same normalised text.")
    scope: Literal["snapshot", "all_snapshots"] = Field(
        default="all_snapshots", description="Where copies are looked for: all_snapshots also in those before."
    )


class FilteredSet(Attributes, dg.Component):
    """A filtered set `filtered/<name>` and its ledger `rejects/<name>`."""

    name: str = Field(description="Name of the set: `filtered/<name>` and `rejects/<name>`.")
    source: str = Field(description="The table that it selects from: `raw/<name>` or `filtered/<name>`.")
    languages: Languages | None = Field(default=None, description="Which languages stay; all without it.")
    rules: list[str | dict[str, dict[str, Any]]] = Field(
        default_factory=list,
        description="Rule sets by name, {name: {threshold: value}} to change thresholds, and rules of your own: "
        "{name: {where: expression}} or {name: {top: share, by: expression}}.",
    )
    where: str | None = Field(
        default=None, description="A rule of your own, named where: documents stay for which the expression is true."
    )
    thresholds: str | None = Field(
        default=None, description="YAML file of other thresholds by language, such as fit-thresholds writes."
    )
    edits: list[str | dict[str, dict[str, Any]]] = Field(
        default_factory=list,
        description="Edits of the text, as annotators find them: c4.line_edits, or {personal_data.personal: "
        "{only: [email_address]}}.",
    )
    duplicates: Duplicates | None = Field(default=None, description="How copies are dropped; none are without it.")
    annotators: list[str | dict[str, dict[str, Any]]] = Field(
        default_factory=list, description="Annotators that measure what was kept."
    )
    alarms: Alarms = Field(default_factory=Alarms, description="When the set warns.")
    control: Control | None = Field(
        default=None, description="Also draw `filtered/<name>_control`, as much of the source at random."
    )

    _declared = pydantic.field_validator("annotators")(check_declarations)

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The set's asset, that of its control, and those of its annotations."""
        schema.check_name(self.name, "filtered set")
        if self.source.split("/")[0] not in ("raw", "filtered"):
            raise select.RuleError(f"filtered/{self.name}: source {self.source!r} is neither raw/… nor filtered/….")
        measured = _measured(self.source, context)
        control = [control_asset(self.name, self.source, self.control)] if self.control else []
        asset = _asset(self, self._rules(measured), [Edits.declared(one, measured) for one in self.edits])
        return dg.Definitions(assets=[asset, *control, *annotations_of(f"filtered/{self.name}", self.annotators)])

    def _rules(self, measured: Measured) -> tuple[Rule, ...]:
        languages = select.Languages(tuple(self.languages.keep), self.languages.min_score) if self.languages else None
        own = [{"where": {"where": self.where}}] if self.where else []
        by_language = _thresholds(Path(self.thresholds)) if self.thresholds else None
        rules = select.resolve([*self.rules, *own], languages, by_language=by_language, measured=measured)
        for rule in rules:
            _check_columns(rule, measured, self.source)
        return rules


def _measured(source: str, context: dg.ComponentLoadContext | None) -> Measured:
    """What rules on `source` can look at: its columns, and those of the annotators that its block declares."""
    layer = schema.layer_of(source).schema
    assert layer is not None
    declared: list[Declaration] = []
    if context is not None:
        kind = RawSource if source.startswith("raw/") else FilteredSet
        blocks: Sequence[Any] = context.component_tree.get_all_components(kind)
        declared = [one for block in blocks if block.name == source.split("/")[1] for one in block.annotators]
    annotators = [annotate.annotator(one) for one in declared]
    return Measured(layer, {one.name: one.columns for one in annotators})


def _check_columns(rule: Rule, measured: Measured, source: str) -> None:
    for column in rule.columns:
        known = measured.annotators.get(column.annotator or "")
        if known is not None and column.name not in [one.name for one in known]:
            raise select.RuleError(
                f"rule {rule.rule!r} looks at {column.qualified}, which that annotator of {source} does not measure: "
                f"it measures {', '.join(one.name for one in known)}."
            )


def _thresholds(file: Path) -> select.ByLanguage:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise select.RuleError(f"thresholds: {file} cannot be read: {error.strerror}.") from error
    except yaml.YAMLError as error:
        raise select.RuleError(f"thresholds: {file} is no YAML: {str(error).replace(chr(10), ' ')}") from error
    if not isinstance(content, dict):
        raise select.RuleError(f"thresholds: {file} must be {{language: {{rule set: {{threshold: value}}}}}}.")
    return content


def _asset(declared: FilteredSet, rules: Sequence[Rule], edits: Sequence[Edits]) -> dg.AssetsDefinition:
    source, filtered, rejects = declared.source, f"filtered/{declared.name}", f"rejects/{declared.name}"
    judging = {name: annotation_table(source, name) for name in sorted(select.required_annotators(rules))}
    editing = {name: annotation_table(source, name) for name in sorted({one.annotator for one in edits})}
    configuration = {
        "source": source,
        "conditions": select.parameters(rules),
        "duplicates": declared.duplicates.model_dump() if declared.duplicates else None,
        **({"edits": [[one.annotator, one.column, *one.only] for one in edits]} if edits else {}),
    }
    deps = list(dict.fromkeys([source, *judging.values(), *editing.values()]))
    edited = [(source, "text"), *((editing[one.annotator], one.column) for one in edits)]
    judged = sorted(
        {(judging[one.annotator] if one.annotator else source, one.name) for rule in rules for one in rule.columns}
        | ({(source, "text_id")} if declared.duplicates else set())
    )
    verdicts = ("stage", "rule", "value", "threshold", "evidence", "failed")

    @dg.multi_asset(
        name=f"filtered_{declared.name}",
        specs=[
            asset_spec(
                filtered,
                deps=deps,
                code=_CODE,
                configuration=configuration,
                description=f"Documents of {source} that pass every rule.",
                copied_from=[source],
                computed={"duplicates": [(source, "text_id")]}
                | (each(("text", "text_id", "n_chars", "n_words", "n_edits", "edits"), edited) if edits else {}),
            ),
            asset_spec(
                rejects,
                deps=deps,
                code=_CODE,
                configuration=configuration,
                description=f"What {filtered} dropped: the first rule that failed, its value and its threshold.",
                copied_from=[source],
                computed=each(verdicts, judged) | each(("kept_id", "cluster_id", "similarity"), [(source, "text_id")]),
            ),
        ],
        check_specs=[*check_specs(filtered, _CHECKS), *alarm_specs(filtered)],
        pool=filtered,
    )
    def filtered_set(
        context: dg.AssetExecutionContext, lake: LakeResource, compute: ComputeResource
    ) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
        store, snapshot = lake.open(), context.partition_key
        inputs = {table: pinned_version(context, store, table, snapshot) for table in deps}
        earlier = _earlier(store, declared, inputs, snapshot)
        if earlier is not None:
            # Also where there is nothing yet: what is built later for an earlier snapshot makes this one stale.
            inputs[filtered] = store.version(filtered) if store.exists(filtered) else 0
        if made := already_made(context, store, (filtered, rejects), inputs):
            yield from made
            return
        read = _Read(store, source, judging, rules, inputs)
        files = store.files(source, version=inputs[source], snapshot=snapshot)
        measured = read.measured(snapshot)
        decisions = selection.decide(
            measured, rules, duplicates=declared.duplicates is not None, earlier=earlier, snapshot=snapshot
        )
        found = [
            selection.FoundEdits(one, tuple(store.files(table, version=inputs[table], snapshot=snapshot)))
            for one in edits
            for table in [editing[one.annotator]]
        ]
        units = selection.copy_units(store.root, filtered, snapshot, files, decisions.kept, found)
        copied = list(compute.run(selection.copy_kept, units, task=f"Filtering {filtered} {snapshot}"))
        kept = [file for one in copied for file in one.files]
        emptied = [doc_id for one in copied for doc_id in one.emptied]
        dropped = decisions.rejects
        if emptied:
            dropped = pl.concat(
                [dropped, selection.ledger_of_emptied(measured, emptied, snapshot)], how="diagonal_relaxed"
            )
        balance = balance_audit(came_in=measured.height, kept=sum(file.rows for file in kept), rejected=dropped.height)
        yield from audited(filtered, [*text_audits(store, filtered, kept), balance])

        ledger = store.replace_frame(rejects, dropped, origin_of(context, rejects, inputs=inputs), snapshot=snapshot)
        yield materialized(context, ledger)
        origin = origin_of(context, filtered, inputs=inputs, details={"with": {rejects: ledger.version}})
        commit = store.replace(filtered, kept, origin, snapshot=snapshot)
        yield materialized(context, commit, _pictures(f"{filtered} {snapshot}", source, rules, measured, dropped))
        yield from alarms(filtered, declared.alarms, rules, measured, dropped, read.before(snapshot))

    return filtered_set


@dataclass(frozen=True)
class _Read:
    """What a filtered set reads to decide."""

    lake: Lake
    source: str
    annotations: dict[str, str]
    rules: Sequence[Rule]
    inputs: dict[str, int]

    def measured(self, snapshot: str) -> pl.DataFrame:
        """The narrow columns of one snapshot's documents, and what rules look at."""
        columns: list[Column] = list(dict.fromkeys(column for rule in self.rules for column in rule.columns))
        files = self.lake.files(self.source, version=self.inputs[self.source], snapshot=snapshot)
        annotations = {
            name: self.lake.scan(table, version=self.inputs[table], snapshot=snapshot)
            for name, table in self.annotations.items()
        }
        return selection.measured_documents(files, self.lake.schema(self.source), annotations, columns)

    def before(self, snapshot: str) -> dict[str, pl.Series]:
        """The values of each column that rules look at in the snapshot before; none without one."""
        whole = self.lake.scan(self.source, version=self.inputs[self.source])
        parts = whole.select("snapshot").unique().collect()["snapshot"]
        earlier = [part for part in sorted(parts) if part < snapshot]
        if not earlier:
            return {}
        values: dict[str, pl.Series] = {}
        for table, names in self._columns().items():
            rows = self.lake.scan(table, version=self.inputs[table], snapshot=earlier[-1])
            values |= rows.select(**{qualified: pl.col(name) for name, qualified in names.items()}).collect().to_dict()
        return values

    def _columns(self) -> dict[str, dict[str, str]]:
        """By table, the columns that rules look at and their names among the measured documents."""
        columns: dict[str, dict[str, str]] = {}
        for rule in self.rules:
            for one in rule.columns:
                table = self.annotations[one.annotator] if one.annotator else self.source
                columns.setdefault(table, {})[one.name] = one.qualified
        return columns


def _earlier(lake: Lake, declared: FilteredSet, inputs: dict[str, int], snapshot: str) -> pl.DataFrame | None:
    """What the snapshots before this one kept; None where copies are looked for in one snapshot only."""
    if declared.duplicates is None or declared.duplicates.scope == "snapshot":
        return None
    table = f"filtered/{declared.name}"
    before = pl.col("snapshot") < snapshot
    kept = lake.scan(table) if lake.exists(table) else schema.empty(schema.FILTERED).lazy()
    if declared.edits:
        # Copies are found by the text that came in, which edits changed.
        came_in = lake.scan(declared.source, version=inputs[declared.source]).filter(before)
        kept = came_in.join(kept.filter(before).select("doc_id"), on="doc_id", how="semi")
    return kept.filter(before).select("doc_id", "text_id").collect()


def _pictures(
    title: str, source: str, rules: Sequence[Rule], measured: pl.DataFrame, rejects: pl.DataFrame
) -> dict[str, Any]:
    """What the UI shows of a filter: what each rule took away, and the distributions that it looked at."""
    counts = rejects.group_by("stage", "rule").agg(documents=pl.len(), threshold=pl.col("threshold").first())
    dropped = counts.sort("documents", "rule", descending=[True, False]).to_dicts()
    steps = [(source, measured.height), *((row["rule"], row["documents"]) for row in dropped)]
    numbers = numeric_columns(rules, measured)
    bounds = {name: thresholds_of(rules, name) for name in numbers}
    return {
        "waterfall": waterfall(title, steps),
        "dropped": table_metadata(dropped),
        "scores": histograms(title, measured.select(numbers), bounds),
    }
