"""How a raw source is built: archive files in, text documents, the ledger of the rest and a row a file out."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import polars as pl
import pydantic
from pydantic import Field

from assets.annotations import annotations_of, check_declarations
from assets.checks import Audit, audited, balance_audit, check_specs, text_audits
from assets.materialization import Attributes, asset_spec, materialized, origin_of, table_metadata
from assets.plots import waterfall
from assets.raw.ingest import Ingested, ingest_file, landed_files, landing_fingerprint
from lakehouse import schema
from lakehouse.lake import Lake, LakeError
from resources import ComputeResource, LakeResource

_CODE = "1"
_CHECKS = ("no_empty_text", "unique_ids", "no_lost_rows")


class RawSource(Attributes, dg.Component):
    """The documents of one source, from the archive files in `landing/<name>/<snapshot>/`."""

    name: str = Field(description="Name of the source: `raw/<name>`.")
    annotators: list[str | dict[str, dict[str, Any]]] = Field(
        default_factory=list,
        description="Annotators that measure every document: by name, or {name: {kind: kind, setting: value}}.",
    )

    _declared = pydantic.field_validator("annotators")(check_declarations)

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The source's asset and those of its annotations."""
        schema.check_name(self.name, "raw source")
        return dg.Definitions(assets=[self._asset(), *annotations_of(f"raw/{self.name}", self.annotators)])

    def _asset(self) -> dg.AssetsDefinition:
        raw, rejects, files = (f"{layer}/{self.name}" for layer in ("raw", "rejects", "files"))

        @dg.multi_asset(
            name=f"raw_{self.name}",
            specs=[
                asset_spec(raw, code=_CODE, configuration={}, description="Text documents as they were fetched."),
                asset_spec(
                    rejects, code=_CODE, configuration={}, description="Records that became no document, and why."
                ),
                asset_spec(files, code=_CODE, configuration={}, description="What became of each archive file."),
            ],
            check_specs=check_specs(raw, _CHECKS),
            pool=raw,
        )
        def raw_source(
            context: dg.AssetExecutionContext, lake: LakeResource, compute: ComputeResource
        ) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
            store, snapshot = lake.open(), context.partition_key
            landed = landed_files(store, self.name, snapshot)
            if not landed:
                raise LakeError(f"There are no files in {store.landing / self.name / snapshot}: ingest some first.")
            fingerprint = landing_fingerprint(store, self.name, snapshot)
            ingested = list(
                compute.run(ingest_file, landed, task=f"Reading {raw} {snapshot}", name=lambda file: file.name)
            )
            documents = [file for one in ingested for file in one.documents]
            outcomes = pl.DataFrame([one.outcome for one in ingested], schema=schema.empty(schema.FILES).schema)
            yield from audited(raw, [*text_audits(store, raw, documents), _balance(ingested)])

            origin = origin_of(context, rejects, inputs={})
            ledger = store.replace(
                rejects, [file for one in ingested for file in one.rejects], origin, snapshot=snapshot
            )
            yield materialized(context, ledger)
            origin = origin_of(context, files, inputs={})
            outcome = store.replace_frame(files, outcomes, origin, snapshot=snapshot)
            yield materialized(
                context, outcome, {"files": table_metadata(outcomes.drop("snapshot", "source").head(200).to_dicts())}
            )
            companions = {rejects: ledger.version, files: outcome.version}
            origin = origin_of(context, raw, inputs={}, details={"landing": fingerprint, "with": companions})
            commit = store.replace(raw, documents, origin, snapshot=snapshot)
            yield materialized(context, commit, {"waterfall": _waterfall(store, self.name, snapshot, outcomes)})

        return raw_source


def _balance(ingested: list[Ingested]) -> Audit:
    outcomes = [one.outcome for one in ingested]
    return balance_audit(
        came_in=sum(outcome["records"] - outcome["skipped"] for outcome in outcomes),
        kept=sum(file.rows for one in ingested for file in one.documents),
        rejected=sum(file.rows for one in ingested for file in one.rejects),
    )


def _waterfall(lake: Lake, name: str, snapshot: str, outcomes: pl.DataFrame) -> dg.MarkdownMetadataValue:
    dropped = (
        lake.scan(f"rejects/{name}", snapshot=snapshot)
        .group_by("rule")
        .len()
        .sort("len", "rule", descending=[True, False])
        .collect()
    )
    came_in = int((outcomes["records"] - outcomes["skipped"]).sum())
    return waterfall(f"raw/{name} {snapshot}", [("records", came_in), *dropped.iter_rows()], unit="records")
