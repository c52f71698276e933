"""A synthetic set as an asset: answers that pass every gate, the ledger of the others, and what was measured of all."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from assets.checks import audited, balance_audit, check_specs, text_audits
from assets.column_lineage import Computed, each
from assets.materialization import asset_spec, materialized, origin_of, pinned_version
from assets.plots import bars, waterfall
from assets.synthetic.journals import last_models
from assets.synthetic.work import Plan, Reading
from assets.unchanged import already_made
from lakehouse import annotate, generate, schema
from lakehouse.data_files import DataFileWriter, read_batches
from lakehouse.generate import Model, diversity
from lakehouse.generate.documents import MEASURES
from resources import LakeResource

_CODE = "2"
_CHECKS = ("no_empty_text", "unique_ids", "no_lost_rows")


def set_asset(plan: Plan) -> dg.AssetsDefinition:
    """The asset of `synthetic/<name>` and of the three tables that are written with it."""
    tables = (plan.table, plan.rejects, plan.judgements, plan.diversity)

    @dg.multi_asset(
        name=plan.table.replace("/", "_"),
        specs=_specs(plan),
        check_specs=check_specs(plan.table, _CHECKS),
        pool=plan.table,
    )
    def synthetic_set(
        context: dg.AssetExecutionContext, lake: LakeResource
    ) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
        store, snapshot = lake.open(), context.partition_key
        inputs = {dep: pinned_version(context, store, dep, snapshot) for dep in [*plan.journals, *plan.sources]}
        if made := already_made(context, store, tables, inputs):
            yield from made
            return
        reading = Reading(plan, store, snapshot, inputs)
        with (
            store.writer(plan.table, snapshot=snapshot) as kept,
            store.writer(plan.rejects, snapshot=snapshot) as ledger,
            store.writer(plan.judgements, snapshot=snapshot) as judged,
        ):
            written = _Written(kept, ledger, judged)
            for place in range(len(plan.routes)):
                _write(reading, place, written)
        balance = balance_audit(came_in=judged.rows, kept=written.in_documents, rejected=ledger.rows)
        yield from audited(plan.table, [*text_audits(store, plan.table, kept.finished()), balance])

        commits = {}
        for table, files in ((plan.rejects, ledger.finished()), (plan.judgements, judged.finished())):
            commits[table] = store.replace(table, files, origin_of(context, table, inputs=inputs), snapshot=snapshot)
        origin = origin_of(context, plan.diversity, inputs=inputs)
        varied = _diversity(reading, [store.folder(plan.table) / file.path for file in kept.finished()])
        commits[plan.diversity] = store.replace_frame(plan.diversity, varied, origin, snapshot=snapshot)
        for table, commit in commits.items():
            yield materialized(
                context, commit, {"openings": _openings(plan, varied)} if table == plan.diversity else None
            )
        companions = {table: commit.version for table, commit in commits.items()}
        origin = origin_of(context, plan.table, inputs=inputs, details={"with": companions})
        commit = store.replace(plan.table, kept.finished(), origin, snapshot=snapshot)
        failed = store.scan(plan.rejects, snapshot=snapshot).group_by("rule").len().sort("rule").collect()
        plot = waterfall(f"{plan.table} {snapshot}", [("outputs", judged.rows), *failed.iter_rows()], unit="outputs")
        rate = written.in_documents / judged.rows if judged.rows else 0.0
        yield materialized(context, commit, {"waterfall": plot, "accept_rate": rate})

    return synthetic_set


class _Written:
    """Where the rows of a set go, and what is counted on the way."""

    def __init__(self, kept: DataFileWriter, ledger: DataFileWriter, judged: DataFileWriter) -> None:
        self.kept, self.ledger, self.judged = kept, ledger, judged
        self.in_documents = 0

    def add(self, laid: generate.Laid) -> None:
        """Write what one chunk of units gave."""
        documents = laid.documents
        self.kept.write(documents.hstack(annotate.identify(documents["text"].to_list())))
        self.ledger.write(laid.rejects)
        self.judged.write(laid.judgements)
        self.in_documents += int(documents["outputs"].sum())


def _write(reading: Reading, place: int, written: _Written) -> None:
    """Judge and write what one route's recipe gave."""
    route = reading.plan.routes[place]
    models: dict[str, Model] = {}
    version = None
    if route.recipe.asks:
        version = reading.inputs[route.journal]
        models = last_models(reading.lake, route.journal, reading.snapshot, route.recipe, version)
    for laid in reading.rewriting(place, models, version).documents():
        written.add(laid)


def _diversity(reading: Reading, files: Sequence[Path]) -> pl.DataFrame:
    """How varied the texts of each recipe are, beside those that it was asked about."""
    parts = [schema.empty(schema.DIVERSITY)]
    for place, route in enumerate(reading.plan.routes):
        of_recipe = pl.col("recipe") == route.recipe.name
        batches = (batch for file in files for batch in read_batches(file, ["recipe", "text"]))
        texts = (text for batch in batches for text in batch.filter(of_recipe)["text"])
        sides = diversity.compare(texts, reading.anchor_texts(place), seed=reading.plan.seed)
        parts.append(diversity.table(route.recipe.name, sides))
    return pl.concat(parts, how="diagonal").with_columns(snapshot=pl.lit(reading.snapshot))


def _openings(plan: Plan, varied: pl.DataFrame) -> Any:
    """The share of texts that open as most do, of each recipe beside its anchors."""
    shown = varied.filter(pl.col("measure") == "commonest_opening")
    values = [(f"{row['recipe']}, {row['side']}", row["value"] or 0.0) for row in shown.iter_rows(named=True)]
    return bars(f"{plan.table}: texts that open with the commonest words", values, unit="share of texts")


def _specs(plan: Plan) -> list[dg.AssetSpec]:
    """What Dagster shows of the four tables."""
    anchors = plan.choice.text_from
    responses = [(journal, "response") for journal in plan.journals] or [(anchors, "text")]
    measured = [*responses, (anchors, "text")]
    of_the_text = each(("text", "text_id", "n_chars", "n_words", "language", "language_score"), responses)
    ids = [(journal, "request_id") for journal in plan.journals] or [(anchors, "doc_id")]
    parents: dict[str, Sequence[tuple[str, str]]] = {"parents": [(anchors, "doc_id")], "source": [(anchors, "source")]}
    common = each(MEASURES, measured) | parents
    computed: dict[str, Computed] = {
        plan.table: common
        | of_the_text
        | each(("depth", "outputs"), [(anchors, "doc_id")])
        | each(("attributes", "programs", "edits"), measured)
        | {"doc_id": ids, "request_ids": ids},
        plan.rejects: parents
        | each(("stage", "rule", "value", "threshold", "evidence", "failed"), measured)
        | {"doc_id": ids},
        plan.judgements: common
        | each(("accepted", "gate", "value", "threshold", "evidence", "failed", "n_chars"), measured)
        | {"unit_id": ids, "doc_id": ids, "request_ids": ids},
        plan.diversity: each(("value",), measured),
    }
    purposes = "; ".join(dict.fromkeys(route.recipe.purpose for route in plan.routes))
    descriptions = {
        plan.table: purposes,
        plan.rejects: f"Outputs that failed a gate of {plan.table}.",
        plan.judgements: f"What gates measured of every output of {plan.table}.",
        plan.diversity: f"How varied the texts of {plan.table} are, beside their anchors.",
    }
    # The gates and the layout decide, and they are no part of what journals depend on.
    configuration = [
        plan.configuration(route)
        | {"decides": route.recipe.model_dump(by_alias=True, mode="json"), "of": route.journal}
        for route in plan.routes
    ]
    return [
        asset_spec(
            table,
            deps=[*plan.journals, *plan.sources],
            code=_CODE,
            configuration=[configuration, plan.embedding],
            description=descriptions[table],
            copied_from=plan.journals,
            computed=computed[table],
        )
        for table in descriptions
    ]
