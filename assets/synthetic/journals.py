"""The journal of a recipe's calls as an asset: building it makes the calls that no answer is there for yet."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import dagster as dg

from assets.column_lineage import each
from assets.materialization import SNAPSHOTS, asset_spec, materialized, origin_of, pinned_version
from assets.synthetic.work import Plan, Reading
from lakehouse import generate
from lakehouse.generate import Endpoint, Model, Run
from lakehouse.generate.accept_rate import CallsBar, WatchedRecorder, WatchedRewriting
from lakehouse.lake import Lake
from resources import LakeResource, LanguageModelResource

_CODE = "2"


def journal_asset(plan: Plan, place: int) -> dg.AssetsDefinition:
    """The asset `generations/<recipe>` of one of a plan's routes."""
    route = plan.routes[place]
    table, recipe, anchors = route.journal, route.recipe, plan.choice.text_from
    spec = asset_spec(
        table,
        deps=plan.sources,
        code=_CODE,
        # A limit that is raised lets calls go on.
        configuration=plan.configuration(route) | {"limits": [str(plan.max_cost), plan.max_tokens]},
        description=f"Every model call of the recipe {recipe.name}: {recipe.purpose}",
        copied_from=[anchors],
        computed=each(("request_id", "prompt_hash", "response", "finish_reason"), [(anchors, "text")])
        | each(("prompt_tokens", "completion_tokens", "cost_usd"), [(anchors, "text")]),
    )

    @dg.multi_asset(name=table.replace("/", "_"), specs=[spec], partitions_def=SNAPSHOTS, pool=table)
    def generations(
        context: dg.AssetExecutionContext, lake: LakeResource, language_model: LanguageModelResource
    ) -> dg.MaterializeResult:
        store, snapshot = lake.open(), context.partition_key
        inputs = {dep: pinned_version(context, store, dep, snapshot) for dep in plan.sources}
        endpoints = endpoints_of(language_model, recipe)
        models = models_of(endpoints) or last_models(store, table, snapshot, recipe)
        origin = origin_of(context, table, inputs=inputs, details=details_of(models))
        rewriting = Reading(plan, store, snapshot, inputs).rewriting(place, models)
        watched = WatchedRewriting.of(rewriting)
        with WatchedRecorder(store, table, origin, snapshot, watched.accept_rate) as recorder:
            watched.index.refresh()  # calls that a killed run has left
            run = _called(watched, recorder, endpoints, plan.limits(store, table), f"{table} {snapshot}")
        _warn(context, table, run, endpoints)
        left = {"pending": run.waiting} | ({"stopped_by": run.stopped_by} if run.stopped_by else {})
        final = store.append(table, [], replace(origin, details={**origin.details, **left}), snapshot=snapshot)
        return materialized(context, final, _figures(run, models, len(watched.index)))

    return generations


def _called(
    rewriting: WatchedRewriting,
    recorder: WatchedRecorder,
    endpoints: Mapping[str, Endpoint],
    limits: generate.Limits,
    what: str,
) -> Run:
    """Make the calls that are still to be made; without an endpoint count them."""
    if not endpoints:
        return Run(waiting=rewriting.survey().waiting)
    generate.check_endpoints(endpoints)
    models = ", ".join(sorted({one.model for one in endpoints.values()}))
    bar = CallsBar(f"Asking {models} for {what}", rewriting.accept_rate)
    try:
        return rewriting.run(
            endpoints,
            recorder,
            generate.Others(recorder.lake, recorder.table),
            limits,
            batches=generate.spool_folder(recorder.lake, recorder.table),
            progress=bar,
        )
    finally:
        bar.finish()


def endpoints_of(language_model: LanguageModelResource, recipe: generate.Recipe) -> dict[str, Endpoint]:
    """The endpoints that a recipe calls, by name; none where no model is set.

    Raises:
        GenerationError: models are set, but not one that the recipe names.
    """
    endpoints = language_model.endpoints()
    if not endpoints:
        return {}
    for name in recipe.endpoints:
        if name not in endpoints:
            raise generate.GenerationError(
                f"recipe {recipe.name} calls the endpoint {name!r}, but there are {', '.join(endpoints)}: "
                "add it to the file that LAKEHOUSE_ENDPOINTS names."
            )
    return {name: endpoints[name] for name in recipe.endpoints}


def models_of(endpoints: Mapping[str, Endpoint]) -> dict[str, Model]:
    """What requests have to know of endpoints."""
    return {name: Model(endpoint.model, endpoint.structured_output) for name, endpoint in endpoints.items()}


def details_of(models: Mapping[str, Model]) -> dict[str, Any]:
    """How a commit names the models that were asked."""
    return {"models": {name: [model.name, model.structured_output] for name, model in sorted(models.items())}}


def last_models(
    lake: Lake, table: str, snapshot: str, recipe: generate.Recipe, version: int | None = None
) -> dict[str, Model]:
    """The models that were asked before: without an endpoint their answers still count."""
    if version is not None:
        commit = lake.commit_at(table, version)
    else:
        found = lake.last_commit(table, snapshot)
        if found is None:
            return {name: Model("") for name in recipe.endpoints}
        commit = found
    known = commit.details.get("models", {})
    return {name: Model(*known[name]) if name in known else Model("") for name in recipe.endpoints}


def _warn(context: dg.AssetExecutionContext, table: str, run: Run, endpoints: Mapping[str, Endpoint]) -> None:
    if not run.waiting:
        return
    why = "no model endpoint is set (LAKEHOUSE_MODEL_URL, LAKEHOUSE_MODEL)"
    if run.stopped_by:
        why = f"{run.stopped_by} is reached: raise it to go on"
    elif endpoints:
        why = "calls failed"
    context.log.warning(f"{table}: {run.waiting} units wait to be rewritten: {why}.")


def _figures(run: Run, models: Mapping[str, Model], requests: int) -> dict[str, Any]:
    """What Dagster shows of a run's calls."""
    report = run.report
    return {
        "dagster/row_count": requests,
        "calls": report.succeeded + report.failed,
        "failed": report.failed,
        "reused": run.reused,
        "pending": run.waiting,
        "prompt_tokens": report.prompt_tokens,
        "completion_tokens": report.completion_tokens,
        "cost_usd": float(report.cost_usd),
        "model": ", ".join(sorted({model.name for model in models.values()})),
        **({"stopped_by": run.stopped_by} if run.stopped_by else {}),
    }
