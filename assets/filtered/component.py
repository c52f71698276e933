"""How a filtered set is built: the documents of a source that pass every rule, and the ledger of those that do not."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import dagster as dg
import polars as pl
from pydantic import Field

from assets.annotations import annotations_of
from assets.checks import audited, balance_audit, check_specs, text_audits
from assets.column_lineage import each
from assets.filtered import selection
from assets.materialization import (
    Attributes,
    asset_spec,
    materialized,
    origin_of,
    pinned_version,
    table_metadata,
)
from assets.measure import annotation_table
from assets.plots import waterfall
from assets.unchanged import already_made
from lakehouse import schema, select
from lakehouse.lake import Lake
from lakehouse.select import Condition
from resources import ComputeResource, LakeResource

_CODE = "1"
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
    rules: list[str | dict[str, dict[str, float]]] = Field(
        default_factory=list, description="Rule sets by name, or {name: {threshold: value}} to change thresholds."
    )
    duplicates: Duplicates | None = Field(default=None, description="How copies are dropped; none are without it.")
    annotators: list[str] = Field(default_factory=list, description="Annotators that measure what was kept.")

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The set's asset and those of its annotations."""
        schema.check_name(self.name, "filtered set")
        if self.source.split("/")[0] not in ("raw", "filtered"):
            raise select.RuleError(f"filtered/{self.name}: source {self.source!r} is neither raw/… nor filtered/….")
        return dg.Definitions(assets=[self._asset(), *annotations_of(f"filtered/{self.name}", self.annotators)])

    def _asset(self) -> dg.AssetsDefinition:
        filtered, rejects = f"filtered/{self.name}", f"rejects/{self.name}"
        conditions = self._conditions()
        annotations = [annotation_table(self.source, name) for name in sorted(select.required_annotators(conditions))]
        configuration = {
            "source": self.source,
            "conditions": select.parameters(conditions),
            "duplicates": self.duplicates.model_dump() if self.duplicates else None,
        }
        description = f"Documents of {self.source} that pass every rule."
        deps = [self.source, *annotations]

        @dg.multi_asset(
            name=f"filtered_{self.name}",
            specs=[
                asset_spec(
                    filtered,
                    deps=deps,
                    code=_CODE,
                    configuration=configuration,
                    description=description,
                    copied_from=[self.source],
                    computed={"duplicates": [(self.source, "text_id")]},
                ),
                asset_spec(
                    rejects,
                    deps=deps,
                    code=_CODE,
                    configuration=configuration,
                    description=f"What {filtered} dropped: the first rule that failed, its value and its threshold.",
                    copied_from=[self.source],
                    computed=each(
                        ("stage", "rule", "value", "threshold", "evidence", "failed"), self._judged(conditions)
                    )
                    | each(("kept_id", "cluster_id", "similarity"), [(self.source, "text_id")]),
                ),
            ],
            check_specs=check_specs(filtered, _CHECKS),
            pool=filtered,
        )
        def filtered_set(
            context: dg.AssetExecutionContext, lake: LakeResource, compute: ComputeResource
        ) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
            store, snapshot = lake.open(), context.partition_key
            inputs = {table: pinned_version(context, store, table, snapshot) for table in deps}
            earlier = self._earlier(store, snapshot)
            if earlier is not None:
                # Also where there is nothing yet: what is built later for an earlier snapshot makes this one stale.
                inputs[filtered] = store.version(filtered) if store.exists(filtered) else 0
            if made := already_made(context, store, (filtered, rejects), inputs):
                yield from made
                return
            files = store.files(self.source, version=inputs[self.source], snapshot=snapshot)
            measured = selection.measured_documents(
                files,
                store.schema(self.source).names,
                [store.scan(table, version=inputs[table], snapshot=snapshot) for table in annotations],
                {condition.column for condition in conditions},
            )
            decisions = selection.decide(
                measured, conditions, duplicates=self.duplicates is not None, earlier=earlier, snapshot=snapshot
            )
            units = selection.copy_units(store.root, filtered, snapshot, files, decisions.kept)
            task = f"Filtering {filtered} {snapshot}"
            kept = [file for files in compute.run(selection.copy_kept, units, task=task) for file in files]
            balance = balance_audit(
                came_in=measured.height, kept=sum(file.rows for file in kept), rejected=decisions.rejects.height
            )
            yield from audited(filtered, [*text_audits(store, filtered, kept), balance])

            origin = origin_of(context, rejects, inputs=inputs)
            ledger = store.replace_frame(rejects, decisions.rejects, origin, snapshot=snapshot)
            yield materialized(context, ledger)
            origin = origin_of(context, filtered, inputs=inputs, details={"with": {rejects: ledger.version}})
            commit = store.replace(filtered, kept, origin, snapshot=snapshot)
            dropped = _dropped(decisions.rejects)
            steps = [(self.source, measured.height), *((row["rule"], row["documents"]) for row in dropped)]
            yield materialized(
                context,
                commit,
                {"waterfall": waterfall(f"{filtered} {snapshot}", steps), "dropped": table_metadata(dropped)},
            )

        return filtered_set

    def _judged(self, conditions: Sequence[Condition]) -> list[tuple[str, str]]:
        """The columns that the conditions look at."""
        judged = {
            (annotation_table(self.source, one.annotator) if one.annotator else self.source, one.column)
            for one in conditions
        }
        return sorted(judged | ({(self.source, "text_id")} if self.duplicates else set()))

    def _conditions(self) -> tuple[Condition, ...]:
        languages = select.Languages(tuple(self.languages.keep), self.languages.min_score) if self.languages else None
        return select.resolve(self.rules, languages)

    def _earlier(self, lake: Lake, snapshot: str) -> pl.DataFrame | None:
        """What the snapshots before this one kept; None where copies are looked for in one snapshot only."""
        if self.duplicates is None or self.duplicates.scope == "snapshot":
            return None
        table = f"filtered/{self.name}"
        kept = lake.scan(table) if lake.exists(table) else schema.empty(schema.FILTERED).lazy()
        return kept.filter(pl.col("snapshot") < snapshot).select("doc_id", "text_id").collect()


def _dropped(rejects: pl.DataFrame) -> list[dict[str, Any]]:
    counts = rejects.group_by("stage", "rule").agg(documents=pl.len(), threshold=pl.col("threshold").first())
    return counts.sort("documents", "rule", descending=[True, False]).to_dicts()
