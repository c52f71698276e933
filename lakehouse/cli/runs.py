"""Building assets through Dagster's instance, so that every run, check and plot can be seen in the UI."""

from __future__ import annotations

import contextlib
import io
import logging
import re
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import dagster as dg
from dagster._core.storage.tags import MAX_RETRIES_TAG

from assets.failed_runs import BUILD_TAG, failures_of
from assets.materialization import SNAPSHOTS, asset_key, recorded, table_name
from assets.plan import Planner, State, Step, landed_snapshots
from assets.stats import project as dbt_project
from assets.unchanged import ONLY_CHANGED
from lakehouse.cli import failures
from lakehouse.cli.failures import BuildError, IncompleteBuildError
from lakehouse.cli.instance import only_build, open_instance
from lakehouse.cli.show import ProgressBars, console, errors, escape
from lakehouse.commits import Commit
from lakehouse.compute import reporting_to
from lakehouse.lake import Lake
from resources import notify
from resources.language_model import from_environment
from resources.notify import Failure

_Place = tuple[dg.AssetKey, str | None]  # an asset, for one snapshot or for all
_SPARE_BYTES = 16_000_000
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass
class Built:
    """What a build did. `materialized` counts assets, one for each snapshot."""

    runs: int = 0
    materialized: int = 0
    seconds: float = 0.0


@dataclass
class _Gaps:
    """What could not be built: what failed, each with its failure, and what follows from it in the same snapshot."""

    failed: dict[_Place, Failure] = field(default_factory=dict)
    left_out: set[_Place] = field(default_factory=set)

    def __contains__(self, place: _Place) -> bool:
        return place in self.failed or place in self.left_out

    @property
    def failures(self) -> list[Failure]:
        return list(dict.fromkeys(self.failed.values()))


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

        What fails holds up only what follows from it in the same snapshot. It is tried once more when the rest is done,
        as its cause may have passed.

        Raises:
            IncompleteBuildError: something failed twice; everything else is built.
            BuildError: the disk is full; what was built before stays.
        """
        started = time.monotonic()
        keys, snapshots = self.select(selection), self.snapshots(snapshot)
        built, gaps = Built(), _Gaps()
        self._build(keys, snapshots, built, gaps, force=force)
        if gaps.failed:
            self._try_again(keys, snapshots, built, gaps, force=force)
        built.seconds = time.monotonic() - started
        if gaps.failed:
            self._report(built, gaps)
            raise IncompleteBuildError(gaps.failures)
        return built

    def record(self, commits: Iterable[Commit]) -> None:
        """Tell Dagster of commits that no run made."""
        for commit in commits:
            if commit.partition is not None:
                self._instance.add_dynamic_partitions(SNAPSHOTS.name or "", [commit.partition])
            self._instance.report_runless_asset_event(recorded(commit))

    def states(self, snapshot: str | None = None) -> list[State]:
        """The state of every asset, for one snapshot or for all."""
        return self._planner().states(self.select(None), self.snapshots(snapshot))

    def _planner(self) -> Planner:
        return Planner(self._graph, self._instance, self.lake, models=from_environment().models())

    def _refuse_full_disk(self) -> None:
        if self._free_bytes() < _SPARE_BYTES:
            raise BuildError(failures.FULL_DISK)

    def _build(
        self,
        keys: Sequence[dg.AssetKey],
        snapshots: Sequence[str],
        built: Built,
        gaps: _Gaps,
        *,
        force: bool,
        again: _Gaps | None = None,
    ) -> None:
        """Run the steps of one plan; the second time, only what is in `again` is forced."""
        planner = self._planner()
        states = planner.states(keys, snapshots)
        if force:
            states = [
                state
                if state.reason or (again and (asset_key(state.table), state.snapshot) not in again)
                else replace(state, reason="forced")
                for state in states
            ]
        for step in planner.steps(states):
            self._refuse_full_disk()
            if gaps.failed and not force:
                step = self._still_stale(step)
            step = self._without_gaps(step, gaps)
            if step.keys:
                self._run(step, built, gaps, force=force)

    def _try_again(
        self, keys: Sequence[dg.AssetKey], snapshots: Sequence[str], built: Built, gaps: _Gaps, *, force: bool
    ) -> None:
        """Build once more what failed and what follows from it, except where it would only fail again."""
        again = replace(gaps)
        hopeless = {place: failure for place, failure in gaps.failed.items() if not failure.retry}
        if len(hopeless) < len(gaps.failed):
            console.print("Trying again what failed")
            gaps.failed, gaps.left_out = hopeless, set()
            self._build(keys, snapshots, built, gaps, force=force, again=again)

    def _still_stale(self, step: Step) -> Step:
        """What of a step is stale now: part of it may have been planned to follow something that then failed."""
        planner = self._planner()
        steps = planner.steps(planner.states(step.keys, [step.snapshot] if step.snapshot else []))
        return next(iter(steps), replace(step, keys=()))

    def _without_gaps(self, step: Step, gaps: _Gaps) -> Step:
        """`step` without what failed for good and what is made from something that is missing."""
        kept: list[dg.AssetKey] = []
        for key in (key for key in self._graph.toposorted_asset_keys if key in step.keys):
            if (key, step.snapshot) in gaps.failed:
                continue
            if self._is_held_up(key, step.snapshot, gaps, kept):
                gaps.left_out.add((key, step.snapshot))
            else:
                kept.append(key)
        return replace(step, keys=tuple(kept))

    def _is_held_up(
        self, key: dg.AssetKey, snapshot: str | None, gaps: _Gaps, before: Sequence[dg.AssetKey] = ()
    ) -> bool:
        """Whether something that an asset is made from is missing; the assets `before` it are built in the same run.

        What is made from all snapshots is made from those that there are.
        """
        for parent in self._graph.get(key).parent_keys:
            if not self._graph.get(parent).is_partitioned:
                missing = (parent, None) in gaps
            elif snapshot is None:
                missing = not self.lake.exists(table_name(parent))
            else:
                missing = (parent, snapshot) in gaps
            if missing and parent not in before:
                return True
        return False

    def _run(self, step: Step, built: Built, gaps: _Gaps, *, force: bool) -> None:
        job = self._definitions.resolve_implicit_global_asset_job_def()
        if any(key.path[0] == "stats" for key in step.keys):
            dbt_project.load_early()
        # The build tries again itself what fails.
        tags = {BUILD_TAG: "true", MAX_RETRIES_TAG: "0"} | ({} if force else {ONLY_CHANGED: "true"})
        try:
            with ProgressBars() as bars, reporting_to(bars), _quiet_logs():
                result = job.execute_in_process(
                    instance=self._instance,
                    asset_selection=list(step.keys),
                    partition_key=step.snapshot,
                    tags=tags,
                    run_config=_QUIET,
                    raise_on_error=False,
                )
        except Exception as error:
            # A full disk shows in many ways: SQLite, where Dagster writes its events, has two of its own.
            if self._free_bytes() < _SPARE_BYTES:
                raise BuildError(failures.FULL_DISK) from error
            raise
        built.runs += 1
        made = set()
        for event in result.all_events:
            if event.is_step_materialization:
                built.materialized += 1
                made.add(event.asset_key)
                _show_materialization(event, step.snapshot)
        if failures.was_interrupted(result):
            raise KeyboardInterrupt
        if not result.success:
            self._refuse_full_disk()
            failed = failures_of(result.all_events, self._graph, step.keys, step.snapshot, result.run_id)
            for failure in failed:
                gaps.failed |= {(asset_key(table), step.snapshot): failure for table in failure.tables}
                console.print(f"  [red]✗[/] {escape(failure.table)} [dim]{step.snapshot or ''}[/]", soft_wrap=True)
            gaps.left_out |= {(key, step.snapshot) for key in set(step.keys) - made} - gaps.failed.keys()

    def _report(self, built: Built, gaps: _Gaps) -> None:
        """Say what was built all the same, and send what failed to where people look."""
        console.print(f"Built {built.materialized} tables in {built.seconds:.1f} s ({built.runs} runs).")
        if gaps.left_out:
            places = sorted(f"{table_name(key)} {snapshot or ''}".rstrip() for key, snapshot in gaps.left_out)
            console.print(f"Left out, as they follow from what failed: {escape(', '.join(places))}.", soft_wrap=True)
        problem = notify.send(gaps.failures, str(self.lake.root))
        if problem:
            errors.print(escape(problem), soft_wrap=True)

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
        stopped = data.metadata.get("stopped_by")
        has_endpoint = from_environment().endpoints()
        why = "Calls failed" if has_endpoint else "No model endpoint is set (LAKEHOUSE_MODEL_URL, LAKEHOUSE_MODEL)"
        if stopped is not None:
            why = f"{stopped.value} is reached (raise it in defs.yaml to go on)"
        console.print(f"    [yellow]{why}: units that wait: {pending.value}; the rest goes on.[/]", soft_wrap=True)


def _with_key_prefix(selection: str) -> str:
    """Let tables be named as they are: `+shards/main` is Dagster's `+key:"shards/main"`."""
    return re.sub(r"(?<![\w:\"/*])([a-z_]+/[\w/*]+)", r'key:"\1"', selection)
