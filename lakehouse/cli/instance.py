"""Dagster's own storage inside the lake, and the lock that lets one build run at a time."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
from dagster._core.instance.ref import InstanceRef
from dagster._core.storage.dagster_run import IN_PROGRESS_RUN_STATUSES

from lakehouse.lake import Lake, LakeError

BUILD_TAG = "lakehouse/build"

# Pools are named after the table that an asset writes: a limit of one keeps two runs from writing a table at once.
# The runs that the schedule and the sensor ask for go one after the other (see assets.automation.ONE_AT_A_TIME).
_SETTINGS = """\
# Settings of the lake's own Dagster instance. Written once: changes made here stay.
telemetry: {enabled: false}
nux: {enabled: false}
concurrency:
  pools: {default_limit: 1, granularity: op}
  runs: {max_concurrent_runs: 4, tag_concurrency_limits: [{key: lakehouse/refresh, limit: 1}]}
run_retries: {enabled: true, max_retries: 2}
run_monitoring: {enabled: true, free_slots_after_run_end_seconds: 300}
freshness: {enabled: true}
"""


def dagster_home(lake: Lake) -> Path:
    """The folder of Dagster's storage; made on first use."""
    home = lake.root / ".dagster"
    home.mkdir(parents=True, exist_ok=True)
    settings = home / "dagster.yaml"
    if not settings.exists():
        settings.write_text(_SETTINGS)
    os.environ["DAGSTER_HOME"] = str(home)
    return home


def open_instance(lake: Lake) -> dg.DagsterInstance:
    """Dagster's instance of this lake, where every run of it can be seen."""
    # What a run prints is on the terminal already; catching it takes two more processes a step.
    no_logs = {"module": "dagster._core.storage.noop_compute_log_manager", "class": "NoOpComputeLogManager"}
    return dg.DagsterInstance.from_ref(
        InstanceRef.from_dir(str(dagster_home(lake)), overrides={"compute_logs": no_logs})
    )


@contextlib.contextmanager
def only_build(lake: Lake, instance: dg.DagsterInstance) -> Iterator[None]:
    """Hold the lake's build lock, and clean up after a build that was killed.

    Raises:
        LakeError: another build holds it.
    """
    with (lake.root / ".build.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise LakeError(
                f"Another build of {lake.root} is running (process {lock.read().strip() or 'unknown'}): "
                "wait for it to end."
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        _end_dead_builds(instance)
        _remove_leftovers(lake)
        yield


def _end_dead_builds(instance: dg.DagsterInstance) -> None:
    """Mark builds that never ended as failed and free their pools: whoever holds the lock knows that they died."""
    unfinished = dg.RunsFilter(statuses=IN_PROGRESS_RUN_STATUSES, tags={BUILD_TAG: "true"})
    for run in instance.get_runs(unfinished):
        instance.report_run_failed(run, "The process of this build died.")
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)


def _remove_leftovers(lake: Lake) -> None:
    """Remove what killed runs left outside the tables; a day old, as runs from the UI don't hold the lock."""
    yesterday = time.time() - 24 * 3600
    for leftover in [*lake.scratch.glob("*"), *lake.training.glob("*/.partial-*")]:
        if leftover.is_dir() and leftover.stat().st_mtime < yesterday:
            shutil.rmtree(leftover)
