"""Dagster's own storage inside the lake, and the lock that lets one build run at a time."""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import sqlalchemy
import yaml
from dagster._core.instance.ref import InstanceRef
from dagster._core.storage.dagster_run import IN_PROGRESS_RUN_STATUSES

from assets.failed_runs import BUILD_TAG
from assets.materialization import recorded
from lakehouse.cli.show import console
from lakehouse.commits import in_effect
from lakehouse.lake import Lake, LakeError

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


POSTGRES = "LAKEHOUSE_POSTGRES"
_IN_POSTGRES = f"""\
# Runs, events and schedules are in Postgres. To have them in SQLite again, remove this and unset {POSTGRES}.
storage: {{postgres: {{postgres_url: {{env: {POSTGRES}}}}}}}
"""
_STORAGE = ("storage", "run_storage", "event_log_storage", "schedule_storage")
_CONNECT_SECONDS = 5


def dagster_home(lake: Lake) -> Path:
    """The folder of Dagster's settings and, unless `LAKEHOUSE_POSTGRES` is set, of its storage; made on first use.

    Raises:
        LakeError: the settings and `LAKEHOUSE_POSTGRES` contradict each other, or that server cannot be used.
    """
    home = lake.root / ".dagster"
    home.mkdir(parents=True, exist_ok=True)
    settings = home / "dagster.yaml"
    if not settings.exists():
        settings.write_text(_SETTINGS)
    _choose_storage(settings)
    os.environ["DAGSTER_HOME"] = str(home)
    return home


def open_instance(lake: Lake) -> dg.DagsterInstance:
    """Dagster's instance of this lake, where every run of it can be seen.

    Raises:
        LakeError: see `dagster_home`.
    """
    # What a run prints is on the terminal already; catching it takes two more processes a step.
    no_logs = {"module": "dagster._core.storage.noop_compute_log_manager", "class": "NoOpComputeLogManager"}
    instance = dg.DagsterInstance.from_ref(
        InstanceRef.from_dir(str(dagster_home(lake)), overrides={"compute_logs": no_logs})
    )
    _tell_of_versions(lake, instance)
    return instance


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


def _choose_storage(settings: Path) -> None:
    """Make the settings say that the storage is in Postgres, where `LAKEHOUSE_POSTGRES` asks for it."""
    try:
        chosen = yaml.safe_load(settings.read_text()) or {}
    except yaml.YAMLError as error:
        raise LakeError(f"{settings} is no YAML: {error}") from None
    sections = {name: chosen[name] for name in _STORAGE if name in chosen}
    named, address = POSTGRES in str(sections), os.environ.get(POSTGRES)
    if named and not address:
        raise LakeError(
            f"{settings} says that Dagster's storage is in Postgres, but {POSTGRES} is not set: set it to "
            "postgresql://user:password@host/database, or remove 'storage' from that file to use SQLite."
        )
    if address and sections and not named:
        raise LakeError(
            f"{POSTGRES} is set, but {settings} says otherwise where Dagster's storage is ({', '.join(sections)}): "
            "remove one of the two."
        )
    if address:
        _check_postgres(address)
        if not named:
            with settings.open("a") as file:
                file.write(_IN_POSTGRES)


def _check_postgres(address: str) -> None:
    """Make sure that the server answers. The address has a password: nothing that is said may quote it."""
    if importlib.util.find_spec("dagster_postgres") is None:
        raise LakeError(f"{POSTGRES} is set, but dagster-postgres is not installed: pip install 'lakehouse[postgres]'")
    if not address.startswith("postgresql://"):
        raise LakeError(f"{POSTGRES} is no address such as postgresql://user:password@host/database.")
    try:
        engine = sqlalchemy.create_engine(
            address, poolclass=sqlalchemy.pool.NullPool, connect_args={"connect_timeout": _CONNECT_SECONDS}
        )
        engine.connect().close()
    except sqlalchemy.exc.OperationalError as error:
        raise LakeError(f"The Postgres server that {POSTGRES} names cannot be used: {error.orig}") from None
    except (sqlalchemy.exc.SQLAlchemyError, ValueError):
        raise LakeError(f"{POSTGRES} is no address such as postgresql://user:password@host/database.") from None


def _tell_of_versions(lake: Lake, instance: dg.DagsterInstance) -> None:
    """Record the lake's versions in a storage that is new, so that what is there is not built again."""
    if instance.get_runs(limit=1) or instance.get_asset_keys(limit=1):
        return
    commits = [commit for table in lake.tables() for commit in in_effect(lake.history(table)).values()]
    for commit in commits:
        instance.report_runless_asset_event(recorded(commit))
    if commits:
        console.print(
            f"Dagster's storage knew nothing of this lake: its {len(commits)} newest versions are recorded there now. "
            "Runs of the past are not.",
            soft_wrap=True,
        )


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
