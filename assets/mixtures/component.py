"""How a mixture is built: a tokenizer, the token ids of every candidate document, and the choice among them."""

from collections.abc import Iterator, Mapping, Sequence
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
    materialized,
    origin_of,
    pinned_version,
    table_metadata,
)
from assets.mixtures.repeats import Rebalancing, Steps, part_of_mixture, rebalancing, with_relative_repeats
from assets.mixtures.synthetic import SyntheticText, check_spec, origins_of, synthetic_metadata, within_limits
from assets.mixtures.tokens import TrainingText, encode_file, encode_units, encoded_before, made_by_newest
from assets.plots import bars
from assets.unchanged import already_made
from lakehouse import mix, schema, shard
from lakehouse.commits import in_effect
from lakehouse.lake import Lake, LakeError
from resources import ComputeResource, LakeResource

_CODE = "1"
_CHECKS = ("unique_ids",)


class ComponentOf(Attributes):
    """One part of a mixture."""

    source: str = Field(description="The table that the documents are in: `filtered/<name>` or `synthetic/<name>`.")
    weight: float = Field(gt=0, description="Share of the mixture's tokens; weights need not add up to 1.")
    max_repeats: float | None = Field(
        default=None, gt=0, description="How often a document may be read: its epochs; 1 without it."
    )
    repeats: str | Steps | None = Field(
        default=None,
        description="How often each document is read, relative to the others: an expression of DuckDB for a number, or "
        "{by: expression, steps: {from this number on: so many times}}.",
    )

    @property
    def declared(self) -> dict[str, Any]:
        """What decides which documents are drawn, as JSON-able data."""
        repeats = self.repeats.model_dump() if isinstance(self.repeats, Steps) else self.repeats
        most = self.as_part.max_repeats
        return {"source": self.source, "weight": self.weight, "max_repeats": most} | (
            {"repeats": repeats} if repeats else {}
        )

    @property
    def as_part(self) -> mix.Component:
        """The component as `mix` knows it."""
        return part_of_mixture(self.source, self.weight, self.max_repeats, self.repeats)


class Training(Attributes):
    """How a tokenizer is trained when none is given."""

    vocabulary_size: int = Field(default=16_384, ge=260, description="Tokens in the vocabulary.")
    max_bytes: int = Field(default=1_000_000_000, gt=0, description="Bytes of text that it is trained on.")


class Tokenizer(Attributes):
    """A tokenizer that is given, or trained once on the components and kept."""

    file: str | None = Field(default=None, description="A tokenizer.json; none: one is trained.")
    end_of_document: str | None = Field(default=None, description="The given one's token between documents.")
    train: Training = Field(default_factory=Training, description="How it is trained when no file is given.")


class Mixture(Attributes, dg.Component):
    """A mixture `mixtures/<name>`, with `tokenizers/<name>` and `tokens/<name>`."""

    name: str = Field(description="Name of the mixture.")
    components: list[ComponentOf] = Field(min_length=1, description="What it is mixed from.")
    token_budget: int | None = Field(default=None, gt=0, description="Tokens in all; none: all that the weights allow.")
    seed: int = Field(default=0, description="Seed of the sample and of the order.")
    tokenizer: Tokenizer = Field(default_factory=Tokenizer, description="What the tokens are counted with.")
    synthetic: SyntheticText = Field(
        default_factory=SyntheticText, description="How much of it models may have written; any without it."
    )

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The mixture's assets."""
        schema.check_name(self.name, "mixture")
        for component in self.components:
            schema.layer_of(component.source)
        rebalanced = [rebalancing(one.source, one.repeats, context) for one in self.components if one.repeats]
        assets = [self._tokenizer_asset(), self._tokens_asset(), self._mixture_asset(rebalanced)]
        return dg.Definitions(assets=assets)

    @property
    def _configuration(self) -> dict[str, Any]:
        """What decides which documents are drawn, as JSON-able data."""
        limits = self.synthetic.limits
        return {
            "components": [component.declared for component in self.components],
            "token_budget": self.token_budget,
            "seed": self.seed,
            **({"synthetic": vars(limits)} if limits else {}),
        }

    @property
    def _sources(self) -> list[str]:
        return [component.source for component in self.components]

    def _tokenizer_asset(self) -> dg.AssetsDefinition:
        table = f"tokenizers/{self.name}"
        spec = asset_spec(
            table,
            deps=[] if self.tokenizer.file else self._sources,
            code=_CODE,
            configuration=self.tokenizer.model_dump(),
            description="The tokenizer: given, or trained once on the components and kept until its settings change.",
            computed={}
            if self.tokenizer.file
            else each(schema.TOKENIZERS.names, [(source, "text") for source in self._sources]),
        )

        @dg.multi_asset(name=f"tokenizers_{self.name}", specs=[spec], pool=table)
        def tokenizer(context: dg.AssetExecutionContext, lake: LakeResource) -> dg.MaterializeResult:
            store = lake.open()
            before = store.last_commit(table)
            if before is not None and before.code_version == spec.code_version:
                context.log.info("Kept, so that token ids of earlier snapshots stay valid.")
                return materialized(context, before)
            inputs = {} if self.tokenizer.file else _existing(store, self._sources)
            row = self._tokenizer_row(store, inputs)
            commit = store.replace_frame(table, pl.DataFrame([row]), origin_of(context, table, inputs=inputs))
            return materialized(context, commit, {name: row[name] for name in ("vocabulary_size", "tokenizer_id")})

        return tokenizer

    def _tokenizer_row(self, lake: Lake, inputs: Mapping[str, int]) -> dict[str, Any]:
        texts = TrainingText(lake, inputs, self.tokenizer.train.max_bytes)
        if self.tokenizer.file:
            definition = shard.load_definition(Path(self.tokenizer.file))
        else:
            definition = shard.train_tokenizer(texts, vocabulary_size=self.tokenizer.train.vocabulary_size)
        encoder = shard.encoder_for(definition, self.tokenizer.end_of_document)
        return {
            "tokenizer_id": encoder.tokenizer_id,
            "vocabulary_size": encoder.vocabulary_size,
            "trained_documents": texts.documents,
            "trained_bytes": texts.bytes,
            "end_of_document": encoder.end_of_document,
            "definition": definition,
        }

    def _tokens_asset(self) -> dg.AssetsDefinition:
        table, tokenizer = f"tokens/{self.name}", f"tokenizers/{self.name}"
        texts = [(source, "text") for source in self._sources]
        spec = asset_spec(
            table,
            deps=[tokenizer, *self._sources],
            code=_CODE,
            configuration=[self._sources, self.tokenizer.model_dump()],
            description="Token ids of every document that the mixture may take.",
            copied_from=self._sources,
            computed=each(("token_ids", "n_tokens"), [*texts, (tokenizer, "definition")]) | {"text_hash": texts},
        )

        @dg.multi_asset(name=f"tokens_{self.name}", specs=[spec], pool=table)
        def tokens(
            context: dg.AssetExecutionContext, lake: LakeResource, compute: ComputeResource
        ) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
            store, snapshot = lake.open(), context.partition_key
            inputs = {
                source: pinned_version(context, store, source, snapshot) for source in _existing(store, self._sources)
            }
            inputs[tokenizer] = store.version(tokenizer)
            if made := already_made(context, store, (table,), inputs):
                yield from made
                return
            definition = store.scan(tokenizer, version=inputs[tokenizer]).collect()["definition"][0]
            units = encode_units(
                store,
                table,
                snapshot,
                inputs,
                self._sources,
                definition,
                self.tokenizer.end_of_document,
                encoded_before(store, table, snapshot, tokenizer),
            )
            files = [
                file
                for files in compute.run(
                    encode_file, units, task=f"Encoding {table} {snapshot}", name=lambda unit: unit.file.name
                )
                for file in files
            ]
            commit = store.replace(table, files, origin_of(context, table, inputs=inputs), snapshot=snapshot)
            yield materialized(context, commit)

        return tokens

    def _mixture_asset(self, rebalanced: Sequence[Rebalancing]) -> dg.AssetsDefinition:
        table, tokens = f"mixtures/{self.name}", f"tokens/{self.name}"
        looked_at = list(dict.fromkeys(read for one in rebalanced for read in one.tables))
        counted = [(tokens, "n_tokens"), *(read for one in rebalanced for read in one.read)]
        spec = asset_spec(
            table,
            deps=[tokens, *looked_at],
            code=_CODE,
            configuration=self._configuration,
            description="Which documents are trained on, how often and in which order.",
            copied_from=[tokens],
            computed=each(("stage", "repeats", "tokens"), counted)
            | {"order_key": [(tokens, "text_id")], "parents": [(tokens, "doc_id")]},
        )
        parts, limits = [part.as_part for part in self.components], self.synthetic.limits
        checks = [*check_specs(table, _CHECKS), *([check_spec(table)] if limits else [])]

        @dg.multi_asset(name=f"mixtures_{self.name}", specs=[spec], check_specs=checks, pool=table)
        def mixture(
            context: dg.AssetExecutionContext, lake: LakeResource
        ) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
            store = lake.open()
            inputs = {tokens: store.version(tokens)} | _existing(store, looked_at)
            if made := already_made(context, store, (table,), inputs):
                yield from made
                return
            _refuse_mixed_tokenizers(store, tokens, f"tokenizers/{self.name}")
            columns = ["doc_id", "snapshot", "component", "text_id", "n_tokens"]
            candidates = (
                store.scan(tokens, version=inputs[tokens]).select(*columns, parents=pl.concat_list("doc_id")).collect()
            )
            if rebalanced:
                candidates = with_relative_repeats(candidates, rebalanced, store, inputs)
            outcome = mix.mix(candidates, parts, token_budget=self.token_budget, seed=self.seed)
            distinct = outcome.rows.select("component", "doc_id").n_unique()
            facts = {"rows": outcome.rows.height, "distinct_ids": distinct}
            yield from audited(table, [Audit("unique_ids", distinct == outcome.rows.height, facts)])
            shares = mix.synthetic_shares(outcome.rows, origins_of(store, tokens, inputs[tokens], outcome.rows))
            if limits:
                yield from within_limits(table, shares, limits)
            summary = outcome.summary.to_dicts()
            origin = origin_of(context, table, inputs=inputs, details={"summary": summary})
            commit = store.replace_frame(table, outcome.rows, origin)
            yield materialized(context, commit, _shown(table, outcome) | synthetic_metadata(table, shares))

        return mixture


def _shown(table: str, outcome: mix.MixtureOutcome) -> dict[str, Any]:
    """What the UI shows of a draw: tokens by component and by number of repeats."""
    summary = outcome.summary.to_dicts()
    tokens = [(row["component"], row["tokens"]) for row in summary]
    return {
        "components": table_metadata(summary),
        "repeats": table_metadata(outcome.by_repeats.to_dicts()),
        "plot": bars(f"{table}: tokens by component", tokens, unit="tokens"),
    }


def _existing(lake: Lake, tables: Sequence[str]) -> dict[str, int]:
    """The newest version of each table that has been built; a component that has not yet is an empty one."""
    return {table: lake.version(table) for table in tables if lake.exists(table)}


def _refuse_mixed_tokenizers(lake: Lake, tokens: str, tokenizer: str) -> None:
    used = in_effect(lake.history(tokens))
    stale = [snapshot or "" for snapshot, commit in used.items() if not made_by_newest(lake, tokenizer, commit)]
    if stale:
        raise LakeError(
            f"{tokens}: snapshots {', '.join(sorted(stale))} were encoded with another tokenizer than the "
            f"newest of {tokenizer}: build {tokens} for them first."
        )
