"""What runs by itself: the nightly refresh and the watch over the landing folder."""

import time
from collections.abc import Iterable, Sequence

import dagster as dg

from assets.materialization import SNAPSHOTS, asset_key
from assets.plan import Planner, Step, landed_snapshots
from assets.raw.ingest import landed_files, landing_fingerprint
from lakehouse.identity import hash_of
from lakehouse.lake import Lake
from resources import LakeResource, LanguageModelResource

REFRESH = "refresh"
# Runs with this tag wait for each other, so that a snapshot finds those before it finished.
ONE_AT_A_TIME = "lakehouse/refresh"
# A crawler or a copy may still be adding to a folder: it is left alone until nothing has changed for this long.
_SETTLED_SECONDS = 60


def automation() -> dg.Definitions:
    """The job that refreshes the lake, its schedule and its sensor; these are off until switched on in the UI."""
    job = dg.define_asset_job(
        REFRESH,
        selection=dg.AssetSelection.all(),
        description="Builds what is not up to date, from the landing folder to the shards.",
        tags={"dagster/max_retries": "2", ONE_AT_A_TIME: "true"},
    )
    return dg.Definitions(jobs=[job], schedules=[nightly], sensors=[landing_folder])


@dg.schedule(
    cron_schedule="0 3 * * *",
    job_name=REFRESH,
    execution_timezone="UTC",
    description="Every night at 03:00 UTC: build what is not up to date.",
)
def nightly(
    context: dg.ScheduleEvaluationContext, lake: LakeResource, language_model: LanguageModelResource
) -> list[dg.RunRequest] | dg.SkipReason:
    """Ask for a run for every snapshot that has something to build."""
    store = lake.open()
    planner = _planner(context, store, language_model)
    snapshots = landed_snapshots(store, planner.sources())
    context.instance.add_dynamic_partitions(SNAPSHOTS.name or "", snapshots)
    return _requests(planner, snapshots) or dg.SkipReason("Everything is up to date.")


@dg.sensor(
    job_name=REFRESH,
    minimum_interval_seconds=60,
    description="Adds a snapshot when files arrive in the landing folder, and builds it.",
)
def landing_folder(
    context: dg.SensorEvaluationContext, lake: LakeResource, language_model: LanguageModelResource
) -> dg.SensorResult | dg.SkipReason:
    """Ask for a run for every snapshot whose files are new or changed; each state of a folder asks once."""
    store = lake.open()
    planner = _planner(context, store, language_model)
    sources = planner.sources()
    settled = [name for name in landed_snapshots(store, sources) if _is_settled(store, sources, name)]
    raw = [asset_key(f"raw/{source}") for source in sources]
    arrived = sorted({state.snapshot for state in planner.states(raw, settled) if state.snapshot and state.reason})
    # The plan needs the partitions to be there.
    context.instance.add_dynamic_partitions(SNAPSHOTS.name or "", arrived)
    requests = [
        request.with_replaced_attrs(run_key=_fingerprint(store, sources, request.partition_key))
        for request in _requests(planner, arrived)
        if request.partition_key
    ]
    if not requests:
        return dg.SkipReason("No new files in the landing folder.")
    return dg.SensorResult(run_requests=requests)


def _planner(
    context: dg.ScheduleEvaluationContext | dg.SensorEvaluationContext,
    lake: Lake,
    language_model: LanguageModelResource,
) -> Planner:
    assert context.repository_def is not None
    graph = context.repository_def.asset_graph
    endpoint = language_model.endpoint()
    return Planner(graph, context.instance, lake, model=endpoint.model if endpoint else None)


def _requests(planner: Planner, snapshots: Sequence[str]) -> list[dg.RunRequest]:
    """A run for each snapshot that has something to build, in order; what has no snapshot joins the first or the last.

    The first, where something is to be made from it for a snapshot, as token ids are with a tokenizer.
    """
    steps = planner.steps(planner.states(planner.assets(), snapshots)) if snapshots else []
    named = sorted({step.snapshot for step in steps if step.snapshot})
    if not named:
        return [dg.RunRequest(asset_selection=_keys(steps))] if steps else []
    last = max(place for place, step in enumerate(steps) if step.snapshot)
    runs: dict[str, list[Step]] = {name: [] for name in named}
    for place, step in enumerate(steps):
        runs[step.snapshot or named[0 if place < last else -1]].append(step)
    return [dg.RunRequest(partition_key=name, asset_selection=_keys(runs[name])) for name in named]


def _keys(steps: Iterable[Step]) -> list[dg.AssetKey]:
    return sorted({key for step in steps for key in step.keys})


def _is_settled(lake: Lake, sources: Sequence[str], snapshot: str) -> bool:
    files = [lake.landing / file.name for source in sources for file in landed_files(lake, source, snapshot)]
    return all(time.time() - file.stat().st_mtime > _SETTLED_SECONDS for file in files)


def _fingerprint(lake: Lake, sources: Sequence[str], snapshot: str) -> str:
    return f"{snapshot}:{hash_of(*(landing_fingerprint(lake, source, snapshot) for source in sources))}"
