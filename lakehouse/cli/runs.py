"""Building assets through Dagster's instance, so that every run, check and plot can be seen in the UI."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import dagster as dg

from assets.materialization import SNAPSHOTS, asset_key, table_name
from assets.plan import Planner, State, Step, landed_snapshots
from lakehouse.cli import failures
from lakehouse.cli.instance import BUILD_TAG, only_build, open_instance
from lakehouse.cli.show import ProgressBars, console
from lakehouse.compute import reporting_to
from lakehouse.lake import Lake

_SPARE_BYTES = 16_000_000
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


class BuildError(RuntimeError):
    """A build could not be done. The message is one line that says why."""


@dataclass
class Built:
    """What a build did. `materialized` counts assets, one for each snapshot."""

    runs: int = 0
    materialized: int = 0
    seconds: float = 0.0


class Builder:
    """Plans and runs builds of one lake. Use as a context manager: it holds the lake's build lock.

    Raises:
        BuildError: the asset graph cannot be loaded.
        LakeError: another build is running.
    """

    def __init__(self, lake: Lake) -> None:
        self.lake = lake
        self._definitions = load_definitions()
        self._graph = self._definitions.resolve_asset_graph()

    @contextmanager
    def opened(self) -> Iterator[Builder]:
        """Open Dagster's instance while the `with` block runs, for looking only."""
        with open_instance(self.lake) as self._instance:
            yield self

    @contextmanager
    def locked(self) -> Iterator[Builder]:
        """Hold the build lock while the `with` block runs."""
        self.lake.root.mkdir(parents=True, exist_ok=True)
        with open_instance(self.lake) as self._instance, only_build(self.lake, self._instance):
            yield self

    def sources(self) -> list[str]:
        """Names of the raw sources."""
        return self._planner().sources()

    def select(self, selection: str | None) -> list[dg.AssetKey]:
        """The assets that a selection names: a table, or Dagster's selection syntax (`+shards/main`, `group:raw`).

        Raises:
            BuildError: it names none.
        """
        everything = self._planner().assets()
        if selection is None:
            return everything
        if asset_key(selection) in everything:
            return [asset_key(selection)]
        try:
            chosen = dg.AssetSelection.from_string(_with_key_prefix(selection)).resolve(self._graph)
        except Exception as error:
            raise BuildError(f"{selection!r} is no selection of assets: {error}") from error
        found = sorted(set(chosen) & set(everything))
        if not found:
            tables = ", ".join(table_name(key) for key in everything)
            raise BuildError(f"{selection!r} names no asset. There are {tables}.")
        return found

    def snapshots(self, wanted: str | None) -> list[str]:
        """The snapshots to build: the one that is wanted, or all that have landed.

        Raises:
            BuildError: the wanted one has no files.
        """
        landed = landed_snapshots(self.lake, self.sources())
        if not landed and wanted is None:
            raise BuildError(
                f"There are no files in {self.lake.landing} yet: `lakehouse crawl URL` or `lakehouse ingest PATH` "
                "brings some."
            )
        if wanted is not None and wanted not in landed:
            there = f"There are {', '.join(landed)}" if landed else "There are none yet: crawl or ingest something"
            raise BuildError(f"Snapshot {wanted!r} has no files in {self.lake.landing}. {there}.")
        self._instance.add_dynamic_partitions(SNAPSHOTS.name or "", landed)
        return landed if wanted is None else [wanted]

    def build(self, selection: str | None = None, snapshot: str | None = None, *, force: bool = False) -> Built:
        """Build what is not up to date (with `force`: everything selected).

        Raises:
            BuildError: a run failed; what was built before it stays.
        """
        started = time.monotonic()
        keys, snapshots = self.select(selection), self.snapshots(snapshot)
        states = self._planner().states(keys, snapshots)
        if force:
            states = [state if state.reason else replace(state, reason="forced") for state in states]
        built = Built()
        for step in self._planner().steps(states):
            self._refuse_full_disk()
            self._run(step, built)
        built.seconds = time.monotonic() - started
        return built

    def states(self, snapshot: str | None = None) -> list[State]:
        """The state of every asset, for one snapshot or for all."""
        return self._planner().states(self.select(None), self.snapshots(snapshot))

    def _planner(self) -> Planner:
        model = os.environ.get("LAKEHOUSE_MODEL") if os.environ.get("LAKEHOUSE_MODEL_URL") else None
        return Planner(self._graph, self._instance, self.lake, model=model)

    def _refuse_full_disk(self) -> None:
        if self._free_bytes() < _SPARE_BYTES:
            raise BuildError(failures.FULL_DISK)

    def _run(self, step: Step, built: Built) -> None:
        job = self._definitions.resolve_implicit_global_asset_job_def()
        try:
            with ProgressBars() as bars, reporting_to(bars), _quiet_logs():
                result = job.execute_in_process(
                    instance=self._instance,
                    asset_selection=list(step.keys),
                    partition_key=step.snapshot,
                    tags={BUILD_TAG: "true"},
                    run_config=_QUIET,
                    raise_on_error=False,
                )
        except Exception as error:
            # A full disk shows in many ways: SQLite, where Dagster writes its events, has two of its own.
            if self._free_bytes() < _SPARE_BYTES:
                raise BuildError(failures.FULL_DISK) from error
            raise
        built.runs += 1
        for event in result.all_events:
            if event.is_step_materialization:
                built.materialized += 1
                _show_materialization(event, step.snapshot)
        if failures.was_interrupted(result):
            raise KeyboardInterrupt
        if not result.success:
            raise BuildError(failures.FULL_DISK if self._free_bytes() < _SPARE_BYTES else failures.of_run(result))

    def _free_bytes(self) -> int:
        return shutil.disk_usage(self.lake.root).free


def load_definitions() -> dg.Definitions:
    """The asset graph that `assets/*/defs.yaml` declares.

    Raises:
        BuildError: a `defs.yaml` is wrong; the message names the file and the line.
    """
    try:
        from lakehouse import definitions

        return definitions.defs()
    except Exception as error:
        raise BuildError(failures.of_definitions(error)) from error


@contextmanager
def _quiet_logs() -> Iterator[None]:
    """Keep Dagster's log off the terminal: it is in the instance, and the summary says what counts."""
    logger = logging.getLogger("dagster")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        # What Dagster cannot write to its log it writes to standard error, a page for every event.
        with contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)


def _show_materialization(event: dg.DagsterEvent, snapshot: str | None) -> None:
    data = event.step_materialization_data.materialization
    rows = data.metadata.get("dagster/row_count")
    version = data.metadata.get("delta_version")
    counted = f"{rows.value:>10,} rows" if rows is not None else ""
    place = f"[dim]version {version.value}[/]" if version is not None else ""
    name = f"{table_name(data.asset_key)} [dim]{snapshot or ''}[/]"
    padding = " " * max(48 - len(table_name(data.asset_key)) - len(snapshot or ""), 0)
    console.print(f"  [green]✓[/] {name}{padding}{counted}  {place}", soft_wrap=True)
    pending = data.metadata.get("pending")
    if pending is not None and pending.value:
        has_endpoint = os.environ.get("LAKEHOUSE_MODEL_URL")
        why = "Calls failed" if has_endpoint else "No model endpoint is set (LAKEHOUSE_MODEL_URL, LAKEHOUSE_MODEL)"
        console.print(f"    [yellow]{why}: documents that wait: {pending.value}; the rest goes on.[/]", soft_wrap=True)


def _with_key_prefix(selection: str) -> str:
    """Let tables be named as they are: `+shards/main` is Dagster's `+key:"shards/main"`."""
    return re.sub(r"(?<![\w:\"/*])([a-z_]+/[\w/*]+)", r'key:"\1"', selection)
