"""A control for a filtered set: as many documents, drawn at random from what the set was made from.

Training on both tells whether the filter helps, or whether any set of that size would do.
"""

from collections.abc import Iterator
from typing import Literal

import dagster as dg
import polars as pl
from pydantic import Field

from assets.checks import Audit, audited, balance_audit, check_specs, text_audits
from assets.filtered import selection
from assets.filtered.work import Outcome
from assets.materialization import Attributes, asset_spec, materialized, origin_of, pinned_version
from assets.unchanged import already_made
from lakehouse import select
from lakehouse.lake import Lake
from resources import ComputeResource, LakeResource

_CODE = "1"
CHECKS = ("no_empty_text", "unique_ids", "no_lost_rows")


def outcome_audits(lake: Lake, table: str, outcome: Outcome) -> list[Audit]:
    """Audit what a selection wrote: no text is empty or there twice, and no document was lost or made up."""
    kept, rejected = sum(file.rows for file in outcome.kept), outcome.dropped.height
    balance = balance_audit(came_in=outcome.measured.height, kept=kept, rejected=rejected)
    return [*text_audits(lake, table, outcome.kept), balance]


class Control(Attributes):
    """How the control `filtered/<name>_control` is drawn."""

    size: Literal["documents", "characters"] = Field(
        default="characters", description="What it has as much of as the set, for each snapshot."
    )
    seed: int = Field(default=0, ge=0, description="Another seed draws other documents.")


def control_asset(name: str, source: str, settings: Control) -> dg.AssetsDefinition:
    """The asset of the control of `filtered/<name>`, with a ledger of what was not drawn."""
    filtered, control, rejects = f"filtered/{name}", f"filtered/{name}_control", f"rejects/{name}_control"
    deps = [source, filtered]
    configuration = settings.model_dump() | {"source": source}

    @dg.multi_asset(
        name=f"filtered_{name}_control",
        specs=[
            asset_spec(
                table,
                deps=deps,
                code=_CODE,
                configuration=configuration,
                description=description,
                copied_from=[source],
            )
            for table, description in (
                (control, f"As much of {source} as {filtered} keeps, drawn at random."),
                (rejects, f"What {control} did not draw."),
            )
        ],
        check_specs=check_specs(control, CHECKS),
        pool=control,
    )
    def filtered_control(
        context: dg.AssetExecutionContext, lake: LakeResource, compute: ComputeResource
    ) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
        store, snapshot = lake.open(), context.partition_key
        inputs = {table: pinned_version(context, store, table, snapshot) for table in deps}
        if made := already_made(context, store, (control, rejects), inputs):
            yield from made
            return
        files = store.files(source, version=inputs[source], snapshot=snapshot)
        measured = selection.measured_documents(files, store.schema(source), {}, [])
        wanted = store.scan(filtered, version=inputs[filtered], snapshot=snapshot).select(
            documents=pl.len(), characters=pl.col("n_chars").sum()
        )
        drawn = select.draw(measured, int(wanted.collect()[settings.size][0]), size=settings.size, seed=settings.seed)
        decisions = selection.drawn(measured, drawn, snapshot)
        units = selection.copy_units(store.root, control, snapshot, files, decisions.kept)
        copied = list(compute.run(selection.copy_kept, units, task=f"Drawing {control} {snapshot}"))
        outcome = Outcome(measured, [file for one in copied for file in one.files], decisions.rejects)
        yield from audited(control, outcome_audits(store, control, outcome))
        ledger = store.replace_frame(
            rejects, outcome.dropped, origin_of(context, rejects, inputs=inputs), snapshot=snapshot
        )
        yield materialized(context, ledger)
        origin = origin_of(context, control, inputs=inputs, details={"with": {rejects: ledger.version}})
        yield materialized(context, store.replace(control, outcome.kept, origin, snapshot=snapshot))

    return filtered_control
