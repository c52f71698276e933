"""How a filtered set is built: the documents of a source that pass every rule, and the ledger of those that do not."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pydantic
import yaml
from pydantic import Field

from assets.annotations import annotations_of, check_declarations
from assets.checks import audited, check_specs
from assets.column_lineage import each
from assets.filtered.alarms import Alarms, alarm_specs, alarms, check_alarms, numeric_columns, thresholds_of
from assets.filtered.clusters import cluster_metadata
from assets.filtered.control import CHECKS, Control, control_asset, outcome_audits
from assets.filtered.duplicates import CopyRule, Duplicates, copy_rule
from assets.filtered.pairs import pairs_asset
from assets.filtered.work import Outcome, Plan, Work
from assets.materialization import (
    Attributes,
    asset_spec,
    materialized,
    origin_of,
    pinned_version,
    recorded,
    table_metadata,
)
from assets.plots import histograms, waterfall
from assets.raw.component import RawSource
from assets.synthetic.component import SyntheticSet
from assets.unchanged import already_made
from lakehouse import annotate, schema, select
from lakehouse.annotate import Annotator
from lakehouse.commits import Commit
from lakehouse.lake import Lake
from lakehouse.select import Edits, Measured, Rule
from resources import ComputeResource, LakeResource

_CODE = "3"
_SOURCES = ("raw", "filtered", "synthetic")


class Languages(Attributes):
    """Which languages stay."""

    keep: list[str] = Field(description="Language codes, such as en or de.")
    min_score: float = Field(default=0.65, ge=0, le=1, description="Lowest score of the identified language.")


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
    duplicates: dict[str, Any] | list[dict[str, Any]] | None = Field(
        default=None,
        description="How copies are dropped, in one way or in several that follow each other; see docs/duplicates.md.",
    )
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
        if self.source.split("/")[0] not in _SOURCES:
            known = ", ".join(f"{layer}/…" for layer in _SOURCES)
            raise select.RuleError(f"filtered/{self.name}: source {self.source!r} is none of {known}.")
        check_alarms(self.alarms)
        annotators = _annotators(self.source, context)
        measured = _measured(self.source, annotators)
        control = [control_asset(self.name, self.source, self.control)] if self.control else []
        plan = Plan(
            self.name,
            self.source,
            self._rules(measured),
            [Edits.declared(one, measured) for one in self.edits],
            self._copy_rules(measured),
        )
        settings = {one.name: one.settings for one in annotators}
        pairs = [
            pairs_asset(plan.name, plan.source, rule, settings.get(rule.annotator, {}))
            for rule in plan.duplicates
            if rule.annotator
        ]
        annotations = annotations_of(plan.filtered, self.annotators)
        return dg.Definitions(assets=[*pairs, _asset(plan, self.alarms), *control, *annotations])

    def _copy_rules(self, measured: Measured) -> list[CopyRule]:
        declared = [self.duplicates] if isinstance(self.duplicates, dict) else self.duplicates or []
        rules = [copy_rule(Duplicates.declared(one), self.source, measured) for one in declared]
        compared = [rule.annotator for rule in rules if rule.annotator]
        if len(set(compared)) < len(compared):
            raise select.RuleError(f"filtered/{self.name}: two of its duplicates compare by the same annotator.")
        return rules

    def _rules(self, measured: Measured) -> tuple[Rule, ...]:
        languages = select.Languages(tuple(self.languages.keep), self.languages.min_score) if self.languages else None
        own = [{"where": {"where": self.where}}] if self.where else []
        by_language = _thresholds(Path(self.thresholds)) if self.thresholds else None
        rules = select.resolve([*self.rules, *own], languages, by_language=by_language, measured=measured)
        for rule in rules:
            _check_columns(rule, measured, self.source)
        return rules


def _annotators(source: str, context: dg.ComponentLoadContext | None) -> list[Annotator]:
    """The annotators of `source`, as its block declares them."""
    if context is None:
        return []
    kinds = {"raw": RawSource, "filtered": FilteredSet, "synthetic": SyntheticSet}
    blocks: Sequence[Any] = context.component_tree.get_all_components(kinds[source.split("/")[0]])
    declared = [one for block in blocks if block.name == source.split("/")[1] for one in block.annotators]
    return [annotate.annotator(one) for one in declared]


def _measured(source: str, annotators: Sequence[Annotator]) -> Measured:
    """What rules on `source` can look at: its columns, and those of its annotators."""
    layer = schema.layer_of(source).schema
    assert layer is not None
    return Measured(
        layer, {one.name: one.columns for one in annotators}, {one.name: one.edit_rules for one in annotators}
    )


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


def _asset(plan: Plan, alarm_settings: Alarms) -> dg.AssetsDefinition:
    verdicts = ("stage", "rule", "value", "threshold", "evidence", "failed")
    text = ("text", "text_id", "n_chars", "n_words", "n_edits", "edits")
    copies = [(plan.source, "text_id"), *((table, "similarity") for table in plan.pairs)]

    @dg.multi_asset(
        name=f"filtered_{plan.name}",
        specs=[
            asset_spec(
                plan.filtered,
                deps=plan.deps,
                code=_CODE,
                configuration=plan.configuration,
                description=f"Documents of {plan.source} that pass every rule.",
                copied_from=[plan.source],
                computed=each(("duplicates", "hosts"), copies) | (each(text, plan.edited()) if plan.edits else {}),
                reads=plan.reads,
                rewrites=plan.competing,
            ),
            asset_spec(
                plan.rejects,
                deps=plan.deps,
                code=_CODE,
                configuration=plan.configuration,
                description=f"What {plan.filtered} dropped: the first rule that failed, its value and its threshold.",
                copied_from=[plan.source],
                computed=each(verdicts, plan.judged()) | each(("kept_id", "cluster_id", "similarity"), copies),
                reads=plan.reads,
                rewrites=plan.competing,
            ),
        ],
        check_specs=[*check_specs(plan.filtered, CHECKS), *alarm_specs(plan.filtered)],
        pool=plan.filtered,
    )
    def filtered_set(
        context: dg.AssetExecutionContext, lake: LakeResource, compute: ComputeResource
    ) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
        store, snapshot = lake.open(), context.partition_key
        # Of tables that are read beyond this snapshot, the newest version has what Dagster recorded for each.
        inputs = {
            table: pinned_version(context, store, table, None if table in plan.reads else snapshot)
            for table in plan.deps
        }
        if plan.looks_before:
            # Also where there is nothing yet: what is built later for an earlier snapshot makes this one stale.
            inputs[plan.filtered] = store.version(plan.filtered) if store.exists(plan.filtered) else 0
        if made := already_made(context, store, (plan.filtered, plan.rejects), inputs):
            yield from made
            return
        work = Work(plan, store, snapshot, inputs)
        decided = work.decide()
        outcome = work.write(decided.pop(snapshot), snapshot, compute)
        yield from audited(plan.filtered, outcome_audits(store, plan.filtered, outcome))
        for other in [other for other in decided if work.differs(decided[other], other)]:
            again = work.write(decided[other], other, compute)
            # Its checks are those of another snapshot: they are not reported here, but they must hold.
            list(audited(plan.filtered, outcome_audits(store, plan.filtered, again)))
            for commit in _committed(context, store, plan, again, other, inputs):
                context.instance.report_runless_asset_event(recorded(commit))
        ledger, commit = _committed(context, store, plan, outcome, snapshot, inputs)
        yield materialized(context, ledger)
        yield materialized(context, commit, _pictures(plan, store, snapshot, outcome, inputs))
        yield from alarms(plan.filtered, alarm_settings, plan.rules, outcome, work.values_before)

    return filtered_set


def _committed(
    context: dg.AssetExecutionContext, store: Lake, plan: Plan, outcome: Outcome, snapshot: str, inputs: dict[str, int]
) -> tuple[Commit, Commit]:
    """Make what became of a snapshot a version: its ledger, then what is kept."""
    origin = origin_of(context, plan.rejects, inputs=inputs)
    ledger = store.replace_frame(plan.rejects, outcome.dropped, origin, snapshot=snapshot)
    origin = origin_of(context, plan.filtered, inputs=inputs, details={"with": {plan.rejects: ledger.version}})
    return ledger, store.replace(plan.filtered, outcome.kept, origin, snapshot=snapshot)


def _pictures(plan: Plan, store: Lake, snapshot: str, outcome: Outcome, inputs: dict[str, int]) -> dict[str, Any]:
    """What the UI shows of a filter: what each rule took away, and the distributions that it looked at."""
    title = f"{plan.filtered} {snapshot}"
    counts = outcome.dropped.group_by("stage", "rule").agg(documents=pl.len(), threshold=pl.col("threshold").first())
    dropped = counts.sort("documents", "rule", descending=[True, False]).to_dicts()
    steps = [(plan.source, outcome.measured.height), *((row["rule"], row["documents"]) for row in dropped)]
    numbers = numeric_columns(plan.rules, outcome.measured)
    bounds = {name: thresholds_of(plan.rules, name) for name in numbers}
    return {
        "waterfall": waterfall(title, steps),
        "dropped": table_metadata(dropped),
        "scores": histograms(title, outcome.measured.select(numbers), bounds),
        **(
            cluster_metadata(title, store, plan.source, snapshot, inputs[plan.source], outcome)
            if plan.duplicates
            else {}
        ),
    }
