"""How a synthetic set is built: calls to a model, kept in a journal, and the answers that pass every gate."""

import functools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import dagster as dg
import polars as pl
from pydantic import Field

from assets.checks import audited, balance_audit, check_specs, text_audits
from assets.column_lineage import each
from assets.materialization import SNAPSHOTS, Attributes, asset_spec, materialized, origin_of, pinned_version
from assets.plots import waterfall
from assets.synthetic.anchors import Choice
from assets.unchanged import already_made
from lakehouse import annotate, compute, generate, schema
from lakehouse.commits import Origin
from lakehouse.lake import Lake
from resources import LakeResource, LanguageModelResource

_CODE = "1"
_CHECKS = ("no_empty_text", "unique_ids", "no_lost_rows")


class SyntheticSet(Attributes, dg.Component):
    """A synthetic set `synthetic/<name>`, its ledger `rejects/<name>` and its journal `generations/<recipe>`."""

    name: str = Field(description="Name of the set.")
    source: str = Field(description="The table whose documents are rewritten: kept ones or a ledger's.")
    text_from: str | None = Field(
        default=None, description="The table that has the texts, where the source is a ledger."
    )
    where: str | None = Field(default=None, description="A DuckDB condition on the source's columns.")
    max_documents: int | None = Field(default=None, gt=0, description="How many of a snapshot are rewritten.")
    seed: int = Field(default=0, description="Seed of the sample, where max_documents makes one.")
    recipe: str = Field(description="A recipe of the package by name, or the path of a YAML file.")

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The journal's asset and the set's."""
        schema.check_name(self.name, "synthetic set")
        if self.source.startswith("rejects/") and self.text_from is None:
            raise generate.RecipeError(
                f"synthetic/{self.name}: {self.source} is a ledger without texts: name the table that has them "
                "(text_from: raw/…)."
            )
        recipe = generate.load_recipe(self.recipe)
        return dg.Definitions(assets=[self._journal_asset(recipe), self._set_asset(recipe)])

    @property
    def _choice(self) -> Choice:
        return Choice(self.source, self.text_from or self.source, self.where, self.max_documents, self.seed)

    @property
    def _deps(self) -> list[str]:
        return list(dict.fromkeys([self.source, self.text_from or self.source]))

    def _configuration(self, recipe: generate.Recipe) -> dict[str, Any]:
        return self.model_dump(exclude={"name", "recipe"}) | {"recipe": recipe.model_dump(exclude={"gates"})}

    def _journal_asset(self, recipe: generate.Recipe) -> dg.AssetsDefinition:
        table, anchors = f"generations/{recipe.name}", self.text_from or self.source
        spec = asset_spec(
            table,
            deps=self._deps,
            code=_CODE,
            configuration=self._configuration(recipe),
            description=f"Every model call of the recipe {recipe.name}: {recipe.purpose}",
            copied_from=[anchors],
            computed=each(("request_id", "prompt_hash", "response", "finish_reason"), [(anchors, "text")])
            | each(("prompt_tokens", "completion_tokens", "cost_usd"), [(anchors, "text")]),
        )

        @dg.multi_asset(name=f"generations_{recipe.name}", specs=[spec], partitions_def=SNAPSHOTS, pool=table)
        def generations(
            context: dg.AssetExecutionContext, lake: LakeResource, language_model: LanguageModelResource
        ) -> dg.MaterializeResult:
            store, snapshot = lake.open(), context.partition_key
            inputs = {dep: pinned_version(context, store, dep, snapshot) for dep in self._deps}
            journal = _journal(store, table)
            endpoint = language_model.endpoint()
            model = endpoint.model if endpoint else _last_model(store, table, snapshot)
            origin = origin_of(context, table, inputs=inputs, details={"model": model})
            if endpoint:
                generate.check_endpoint(endpoint)
            called, pending, task = 0, 0, f"Asking {model} for {table} {snapshot}"
            for anchors in self._choice.read(store, inputs, snapshot):
                requests = generate.missing(generate.requests_for(anchors, recipe, model), journal)
                if not endpoint:
                    pending += len(requests)
                elif requests:
                    called += len(requests)
                    record = functools.partial(_record, store, table, snapshot, origin)
                    answered = _call(requests, endpoint, task, record)
                    pending += answered.filter(pl.col("status") != "ok").height
                    journal = pl.concat([journal, answered])
            if pending:
                why = "calls failed" if endpoint else "no model endpoint is set (LAKEHOUSE_MODEL_URL, LAKEHOUSE_MODEL)"
                context.log.warning(f"{table}: {pending} documents wait to be rewritten: {why}.")
            origin = replace(origin, details={"model": model, "pending": pending})
            final = store.append(table, [], origin, snapshot=snapshot)
            counts = {"dagster/row_count": journal.height, "calls": called, "pending": pending}
            return materialized(context, final, {**counts, "model": model})

        return generations

    def _set_asset(self, recipe: generate.Recipe) -> dg.AssetsDefinition:
        table, rejects, journal = f"synthetic/{self.name}", f"rejects/{self.name}", f"generations/{recipe.name}"
        configuration = self._configuration(recipe) | {"gates": recipe.gates.model_dump()}
        deps, anchors = [journal, *self._deps], self.text_from or self.source
        languages = ("language", "language_score")
        judged = [(journal, "response"), (journal, "finish_reason"), (anchors, "text")]

        @dg.multi_asset(
            name=f"synthetic_{self.name}",
            specs=[
                asset_spec(
                    table,
                    deps=deps,
                    code=_CODE,
                    configuration=configuration,
                    description=recipe.purpose,
                    copied_from=[journal],
                    computed=each(("text", "text_id", "n_chars", "n_words", *languages), [(journal, "response")])
                    | each(("length_ratio", "copied_share"), [(journal, "response"), (anchors, "text")])
                    | each(("parents", "depth"), [(anchors, "doc_id")])
                    | {"doc_id": [(journal, "request_id")], "source": [(anchors, "source")]},
                ),
                asset_spec(
                    rejects,
                    deps=deps,
                    code=_CODE,
                    configuration=configuration,
                    description=f"Answers that failed a gate of {table}.",
                    copied_from=[journal],
                    computed=each(("stage", "rule", "value", "threshold", "evidence", "failed"), judged)
                    | {
                        "doc_id": [(journal, "request_id")],
                        "source": [(anchors, "source")],
                        "parents": [(anchors, "doc_id")],
                    },
                ),
            ],
            check_specs=check_specs(table, _CHECKS),
            pool=table,
        )
        def synthetic_set(
            context: dg.AssetExecutionContext, lake: LakeResource
        ) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
            store, snapshot = lake.open(), context.partition_key
            inputs = {dep: pinned_version(context, store, dep, snapshot) for dep in deps}
            if made := already_made(context, store, (table, rejects), inputs):
                yield from made
                return
            model = store.commit_at(journal, inputs[journal]).details.get("model", "")
            asked = 0
            with store.writer(table, snapshot=snapshot) as kept, store.writer(rejects, snapshot=snapshot) as ledger:
                for anchors in self._choice.read(store, inputs, snapshot):
                    judged = _judge(anchors, recipe, model, store.scan(journal, version=inputs[journal]))
                    asked += judged.height
                    documents = generate.accepted_documents(judged)
                    kept.write(documents.hstack(annotate.identify(documents["text"].to_list())))
                    ledger.write(generate.rejected_rows(judged))
            balance = balance_audit(came_in=asked, kept=kept.rows, rejected=ledger.rows)
            yield from audited(table, [*text_audits(store, table, kept.finished()), balance])

            origin = origin_of(context, rejects, inputs=inputs)
            dropped = store.replace(rejects, ledger.finished(), origin, snapshot=snapshot)
            yield materialized(context, dropped)
            origin = origin_of(context, table, inputs=inputs, details={"with": {rejects: dropped.version}})
            commit = store.replace(table, kept.finished(), origin, snapshot=snapshot)
            failed = store.scan(rejects, snapshot=snapshot).group_by("rule").len().sort("rule").collect()
            plot = waterfall(f"{table} {snapshot}", [("answers", asked), *failed.iter_rows()], unit="answers")
            yield materialized(context, commit, {"waterfall": plot})

        return synthetic_set


def _journal(lake: Lake, table: str) -> pl.DataFrame:
    columns = ["request_id", "status"]
    if not lake.exists(table):
        return schema.empty(schema.GENERATIONS).select(columns)
    return lake.scan(table).select(columns).collect()


def _last_model(lake: Lake, table: str, snapshot: str) -> str:
    """The model that was asked before: without an endpoint its answers still count."""
    commit = lake.last_commit(table, snapshot)
    return str(commit.details.get("model", "")) if commit else ""


def _record(lake: Lake, table: str, snapshot: str, origin: Origin, rows: list[dict[str, Any]]) -> None:
    frame = pl.DataFrame(rows, schema=schema.empty(schema.GENERATIONS).schema)
    lake.append_frame(table, frame, origin, snapshot=snapshot)


def _call(
    requests: list[generate.Request],
    endpoint: generate.Endpoint,
    task: str,
    record: Callable[[list[dict[str, Any]]], None],
) -> pl.DataFrame:
    """Make the calls; return request_id and status of each, once it is in the journal."""
    answered: list[dict[str, Any]] = []
    progress = compute.progress()

    def durable(rows: list[dict[str, Any]]) -> None:
        record(rows)
        answered.extend({"request_id": row["request_id"], "status": row["status"]} for row in rows)
        progress.advance(task, len(rows))

    progress.start(task, len(requests))
    try:
        generate.generate(requests, endpoint, record=durable)
    finally:
        progress.finish(task)
    return pl.DataFrame(answered, schema={"request_id": pl.String, "status": pl.String})


def _judge(anchors: pl.DataFrame, recipe: generate.Recipe, model: str, journal: pl.LazyFrame) -> pl.DataFrame:
    """Judge what the journal has of these documents; the others wait for an endpoint."""
    requests = list(generate.requests_for(anchors, recipe, model))
    ids = pl.LazyFrame({"request_id": [request.request_id for request in requests]}, schema={"request_id": pl.String})
    found = journal.join(ids.unique(), on="request_id", how="semi").collect()
    known = set(found["request_id"])
    answered = [request for request in requests if request.request_id in known]
    return generate.judge(generate.generations_for(answered, found), anchors, recipe)
