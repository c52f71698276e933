"""What runs by itself: the nightly refresh, the watch over the landing folder, and the report of what failed."""

import time
from collections.abc import Iterable, Sequence

import dagster as dg
from dagster._core.storage.tags import MAX_RETRIES_TAG, PARTITION_NAME_TAG, WILL_RETRY_TAG

from assets.failed_runs import BUILD_TAG, failures_of
from assets.materialization import SNAPSHOTS, asset_key
from assets.plan import Planner, Step, landed_snapshots
from assets.raw.ingest import landed_files, landing_fingerprint
from assets.unchanged import ONLY_CHANGED
from lakehouse.identity import hash_of
from lakehouse.lake import Lake
from resources import LakeResource, LanguageModelResource, notify

REFRESH = "refresh"
# Runs with this tag wait for each other, so that a snapshot finds those before it finished.
ONE_AT_A_TIME = "lakehouse/refresh"
RUN_TAGS = {MAX_RETRIES_TAG: "2", ONE_AT_A_TIME: "true", ONLY_CHANGED: "true"}
"""Tags of every run that is asked for here. A run that fails is tried again; those that wait go on meanwhile."""

DAILY = "0 3 * * *"
# A crawler or a copy may still be adding to a folder: it is left alone until nothing has changed for this long.
_SETTLED_SECONDS = 60


def automation() -> dg.Definitions:
    """The job that refreshes the lake, its schedule and its sensor; these are off until switched on in the UI."""
    job = dg.define_asset_job(
        REFRESH,
        selection=dg.AssetSelection.all(),
        description="Builds what is not up to date, from the landing folder to the shards.",
        tags={MAX_RETRIES_TAG: "2", ONE_AT_A_TIME: "true"},
    )
    continuous = dg.AutomationConditionSensorDefinition(
        "out_of_date",
        target=dg.AssetSelection.all(),
        description="Builds whatever is out of date, within minutes: new files, changed settings, changed code. "
        "Use it instead of the schedule and the other sensor, which build what is new once a night and when files "
        "have arrived; with both, the same work is asked for twice.",
        use_user_code_server=True,  # the conditions are ours
        emit_backfills=False,
        minimum_interval_seconds=120,
        run_tags=RUN_TAGS,
    )
    return dg.Definitions(jobs=[job], schedules=[nightly], sensors=[landing_folder, continuous, failed_runs])


@dg.run_failure_sensor(
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=30,
    description="Says what failed, why, and what to do: in its log and, with LAKEHOUSE_WEBHOOK, to a chat.",
)
def failed_runs(context: dg.RunFailureSensorContext, lake: LakeResource) -> dg.SkipReason | None:
    """Report a run whose retries are used up; `lakehouse build` reports its own."""
    run = context.instance.get_run_by_id(context.dagster_run.run_id) or context.dagster_run
    if BUILD_TAG in run.tags:
        return dg.SkipReason(f"The build that made run {run.run_id} reports it.")
    if run.tags.get(WILL_RETRY_TAG) == "true":
        return dg.SkipReason(f"Run {run.run_id} is tried again.")
    assert context.repository_def is not None
    failures = failures_of(
        [*context.get_step_failure_events(), context.failure_event],
        context.repository_def.asset_graph,
        sorted(run.asset_selection or ()),
        run.tags.get(PARTITION_NAME_TAG),
        run.run_id,
    )
    for failure in failures:
        context.log.error(failure.line)
    problem = notify.send(failures, lake.root)
    if problem:
        context.log.warning(problem)
    return None


@dg.schedule(
    cron_schedule=DAILY,
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
    settled = [name for name in landed_snapshots(store, sources) if is_settled(store, sources, name)]
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
    return Planner(graph, context.instance, lake, models=language_model.models())


def _requests(planner: Planner, snapshots: Sequence[str]) -> list[dg.RunRequest]:
    """A run for each snapshot that has something to build, in order; what has no snapshot joins the first or the last.

    The first, where something is to be made from it for a snapshot, as token ids are with a tokenizer.
    """
    steps = planner.steps(planner.states(planner.assets(), snapshots)) if snapshots else []
    named = sorted({step.snapshot for step in steps if step.snapshot})
    if not named:
        return [dg.RunRequest(asset_selection=_keys(steps), tags=RUN_TAGS)] if steps else []
    last = max(place for place, step in enumerate(steps) if step.snapshot)
    runs: dict[str, list[Step]] = {name: [] for name in named}
    for place, step in enumerate(steps):
        runs[step.snapshot or named[0 if place < last else -1]].append(step)
    return [dg.RunRequest(partition_key=name, asset_selection=_keys(runs[name]), tags=RUN_TAGS) for name in named]


def _keys(steps: Iterable[Step]) -> list[dg.AssetKey]:
    return sorted({key for step in steps for key in step.keys})


def is_settled(lake: Lake, sources: Sequence[str], snapshot: str) -> bool:
    """Whether nobody has changed the files of a snapshot for a while."""
    files = [lake.landing / file.name for source in sources for file in landed_files(lake, source, snapshot)]
    return all(time.time() - file.stat().st_mtime > _SETTLED_SECONDS for file in files)


def _fingerprint(lake: Lake, sources: Sequence[str], snapshot: str) -> str:
    return f"{snapshot}:{hash_of(*(landing_fingerprint(lake, source, snapshot) for source in sources))}"
