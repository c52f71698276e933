"""How shards are built: a mixture packed into sequences, written as files that training reads, and their index."""

import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
from pydantic import Field

from assets.checks import Audit, audited, check_specs
from assets.column_lineage import each
from assets.materialization import (
    Attributes,
    asset_spec,
    configuration_hash,
    materialized,
    origin_of,
    table_metadata,
)
from assets.plots import bars
from assets.unchanged import already_made
from lakehouse import schema, shard
from lakehouse.data_files import snapshot_of
from lakehouse.lake import Lake
from resources import ComputeResource, LakeResource

_CODE = "2"
_CHECKS = ("tokens_add_up", "files_intact")


class Shards(Attributes, dg.Component):
    """The shards `shards/<name>`: files in `training/<name>/` and the index of where each document is in them."""

    name: str = Field(description="Name of the shards.")
    mixture: str = Field(description="The mixture that is packed: mixtures/<mixture>.")
    sequence_length: int = Field(default=2_048, ge=2, description="Tokens in a sequence.")
    sequences_per_shard: int = Field(default=16_384, ge=1, description="Sequences in a file.")
    fresh_within_hours: float | None = Field(
        default=36, ge=0.1, description="The UI warns of shards that were not built for this long; null: it never does."
    )

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The asset of the shards."""
        schema.check_name(self.name, "shards")
        schema.check_name(self.mixture, "mixture")
        return dg.Definitions(assets=[self._asset()])

    def _asset(self) -> dg.AssetsDefinition:
        table = f"shards/{self.name}"
        mixture, tokens, tokenizer = (f"{layer}/{self.mixture}" for layer in ("mixtures", "tokens", "tokenizers"))
        spec = asset_spec(
            table,
            deps=[mixture, tokens, tokenizer],
            code=_CODE,
            configuration=self.model_dump(exclude={"fresh_within_hours"}),
            description="Training sequences, and the place of each document in them.",
            computed=each(
                ("sequence_id", "shard", "sequence", "n_tokens", "padding"),
                [(mixture, column) for column in ("tokens", "repeats", "order_key")],
            )
            | {
                "documents": [(mixture, column) for column in ("doc_id", "tokens", "repeats", "order_key")],
                "file": [(tokens, "token_ids"), (tokenizer, "tokenizer_id")],
            },
        ).replace_attributes(freshness_policy=self._freshness())

        @dg.multi_asset(name=f"shards_{self.name}", specs=[spec], check_specs=check_specs(table, _CHECKS), pool=table)
        def shards(
            context: dg.AssetExecutionContext, lake: LakeResource, compute: ComputeResource
        ) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
            store = lake.open()
            inputs = {mixture: store.version(mixture)}
            # The mixture counted these tokens: newer ones would not fit its plan.
            inputs[tokens] = store.commit_at(mixture, inputs[mixture]).inputs[tokens]
            inputs[tokenizer] = store.version(tokenizer)
            if made := already_made(context, store, (table,), inputs):
                yield from made
                return
            mixed = store.scan(mixture, version=inputs[mixture]).collect()
            plan = shard.plan_shards(
                mixed,
                sequence_length=self.sequence_length,
                sequences_per_shard=self.sequences_per_shard,
                name=self.name,
            )
            encoder = store.scan(tokenizer, version=inputs[tokenizer]).drop("definition").collect().to_dicts()[0]
            token_files = store.files(tokens, version=inputs[tokens])
            fingerprints = _fingerprints(plan, token_files, [encoder, self.sequence_length])
            folder, manifest, problems = self._write(store, compute, plan, token_files, encoder, fingerprints)
            in_mixture = int((mixed["tokens"] * mixed["repeats"]).sum())
            yield from audited(
                table,
                [
                    Audit(
                        "tokens_add_up",
                        in_mixture == manifest["tokens"],
                        {"mixture": in_mixture, "shards": manifest["tokens"]},
                    ),
                    Audit("files_intact", not problems, {"problems": "; ".join(problems) or "none"}),
                ],
            )
            relative = folder.relative_to(store.training).as_posix()
            file = pl.concat_str(pl.lit(f"{relative}/{self.name}-"), pl.col("shard").cast(pl.String).str.zfill(5))
            commit = store.replace_frame(
                table,
                plan.sequences.with_columns(file=file),
                origin_of(context, table, inputs=inputs, details={"folder": relative, "fingerprints": fingerprints}),
            )
            point_to(folder)
            totals = {key: manifest[key] for key in ("sequences", "tokens", "padding", "dtype", "tokenizer_id")}
            sizes = [(one["stem"], one["tokens"]) for one in manifest["shards"][:40]]
            yield materialized(
                context,
                commit,
                {
                    "folder": dg.MetadataValue.path(str(folder)),
                    "manifest": table_metadata([totals]),
                    "plot": bars(f"{table}: tokens by shard", sizes, unit="tokens"),
                },
            )

        return shards

    def _freshness(self) -> dg.FreshnessPolicy | None:
        """Shards that are late fail; a warning comes when two thirds of the time are over."""
        if self.fresh_within_hours is None:
            return None
        late = timedelta(hours=self.fresh_within_hours)
        return dg.FreshnessPolicy.time_window(fail_window=late, warn_window=late * 2 / 3)

    def _write(
        self,
        lake: Lake,
        compute: ComputeResource,
        plan: shard.ShardPlan,
        token_files: list[Path],
        encoder: dict[str, Any],
        fingerprints: Mapping[str, str],
    ) -> tuple[Path, dict[str, Any], list[str]]:
        """Write the shard files into a folder named after their content: the same tokens give the same folder.

        Shards that the newest version has too are linked, not written. Returns the folder, its manifest, and what is
        wrong with it.
        """
        scratch = lake.scratch / f"shards-{uuid.uuid4().hex}"
        partial = lake.training / self.name / f".partial-{uuid.uuid4().hex}"
        scratch.mkdir(parents=True)
        partial.mkdir(parents=True)
        try:
            shards = shard.ShardSet(
                name=self.name,
                folder=str(partial),
                sequence_length=self.sequence_length,
                dtype=shard.token_type(encoder["vocabulary_size"]),
                end_of_document=encoder["end_of_document"],
            )
            taken = _take_over(lake, f"shards/{self.name}", fingerprints, partial)
            new = plan.only(plan.snapshots.keys() - {one.shard for one in taken})
            read = [file for file in token_files if snapshot_of(file) in new.snapshots.values()]
            placing, finishing = shard.lay_out(new, read, shards, scratch)
            task = f"Placing the tokens of shards/{self.name}"
            for _ in compute.run(shard.place_tokens, placing, task=task, name=lambda unit: unit.token_file):
                pass
            task = f"Writing shards/{self.name}"
            written = list(
                compute.run(shard.finish_shard, finishing, task=task, name=lambda unit: f"shard {unit.shard}")
            )
            manifest = shard.write_manifest(
                partial,
                name=self.name,
                sequence_length=self.sequence_length,
                dtype=shards.dtype,
                tokenizer_id=encoder["tokenizer_id"],
                vocabulary_size=encoder["vocabulary_size"],
                end_of_document=encoder["end_of_document"],
                shards=[*taken, *written],
            )
            problems = shard.verify_manifest(partial, {one.stem for one in taken})
            folder = partial.with_name(configuration_hash(manifest))
            if folder.exists() and shard.verify_manifest(folder):
                shutil.rmtree(folder)
            # Whole files of the same tokens stay: somebody may be reading them.
            if not folder.exists():
                os.replace(partial, folder)
            return folder, manifest, problems
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
            shutil.rmtree(partial, ignore_errors=True)


def _fingerprints(plan: shard.ShardPlan, token_files: list[Path], form: object) -> dict[str, str]:
    """A hash of all that each shard is made from, by its number: its plan, the files of its tokens, and its form."""
    files: dict[str | None, list[str]] = {}
    for file in token_files:
        files.setdefault(snapshot_of(file), []).append(file.name)
    return {
        str(number): configuration_hash(_CODE, form, planned, files.get(plan.snapshots[number]))
        for number, planned in plan.fingerprints().items()
    }


def _take_over(lake: Lake, table: str, fingerprints: Mapping[str, str], folder: Path) -> list[shard.ShardFiles]:
    """Link the shards of the newest version that would be written again as they are."""
    newest = lake.last_commit(table)
    if newest is None:
        return []
    name, known = table.removeprefix("shards/"), newest.details.get("fingerprints", {})
    same = [
        shard.shard_stem(name, int(number))
        for number, fingerprint in fingerprints.items()
        if known.get(number) == fingerprint
    ]
    return shard.take_over(lake.training / newest.details["folder"], folder, same)


def point_to(folder: Path) -> None:
    """Let `latest` name the newest folder, at once for every reader."""
    link = folder.with_name(f".latest-{uuid.uuid4().hex}")
    link.symlink_to(folder.name)
    os.replace(link, folder.with_name("latest"))
