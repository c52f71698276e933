"""When an asset is built by itself: its condition in Dagster's declarative automation.

It asks the plan, as `lakehouse build` and `lakehouse status` do. Dagster's own conditions cannot know what the plan
knows: that files in the landing folder changed, that a rerun wrote the rows that were there, that a set drops copies of
its own earlier snapshots, or that not every source has every snapshot.
"""

from __future__ import annotations

import functools
import json
from abc import abstractmethod
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import dagster as dg
from dagster._core.asset_graph_view.asset_graph_view import AssetGraphView
from dagster._core.asset_graph_view.entity_subset import EntitySubset
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES
from dagster._core.storage.tags import PARTITION_NAME_TAG, WILL_RETRY_TAG

from assets.automation import DAILY, is_settled
from assets.materialization import SNAPSHOTS, table_name
from assets.plan import Planner, landed_snapshots
from resources import LakeResource, LanguageModelResource

_Parts = set[str | None]  # snapshots; None stands for all, where an asset has none
_RETRY_STARTS_WITHIN = timedelta(minutes=10)


def build_when_out_of_date(lake: LakeResource, language_model: LanguageModelResource) -> dg.AutomationCondition:
    """The condition of every asset: it is out of date, and what it is made from is there and not being built.

    A reason asks once. What failed then, in spite of the retries of its run, is asked for again when something that it
    is made from changes, and otherwise once a day: something broken costs no more than that.
    """
    plan = functools.lru_cache(maxsize=1)(functools.partial(Plan, lake, language_model))
    reason = NewReason(plan) | dg.AutomationCondition.cron_tick_passed(DAILY)
    own = OutOfDate(plan) & reason.since(dg.AutomationCondition.newly_requested())
    follows = dg.AutomationCondition.any_deps_match(dg.AutomationCondition.will_be_requested())
    return (own | follows) & ~MustWait(plan)


class Plan:
    """What the conditions of one evaluation share: what is out of date, and what is being built."""

    def __init__(self, lake: LakeResource, language_model: LanguageModelResource, view: AssetGraphView) -> None:
        self._lake = lake.open()
        self._graph = view.asset_graph
        self._planner = Planner(self._graph, view.instance, self._lake, models=language_model.models())
        self._levels = self._planner.levels()
        self._snapshots = self._add_snapshots(view.instance)
        self._under_way = self._being_built(view.instance)
        self._stale: dict[dg.AssetKey, _Parts] = {}

    def out_of_date(self, key: dg.AssetKey) -> _Parts:
        """For which snapshots an asset is out of date for a reason of its own, not because of what it follows."""
        if key not in self._stale:
            states = self._planner.states([key], self._snapshots)
            self._stale[key] = {state.snapshot for state in states if state.reason}
        return self._stale[key]

    def target(self, key: dg.AssetKey, snapshot: str | None) -> str:
        """What an asset would be made by and from now."""
        return self._planner.target(key, snapshot)

    def must_wait(self, key: dg.AssetKey, snapshot: str | None, requested: Callable[[dg.AssetKey], _Parts]) -> bool:
        """Whether an asset has to wait for something that it is made from, directly or not.

        What is made from all snapshots does not wait for one that cannot be built: it is made from the others.

        Args:
            key: the asset.
            snapshot: for which snapshot; None: for all.
            requested: for which snapshots an asset is asked for in this evaluation.
        """
        whole, every = not self._graph.get(key).is_partitioned, list[str | None](self._snapshots)
        if snapshot in self._under_way[key]:
            return True
        for ancestor in self._graph.get_ancestor_asset_keys(key):
            of_snapshots = self._graph.get(ancestor).is_partitioned
            for part in (every if whole else [snapshot]) if of_snapshots else [None]:
                if part in self._under_way[ancestor]:
                    return True
                if part in requested(ancestor):
                    # One run builds both, unless something that other runs build comes between them.
                    if whole == of_snapshots or (whole and self._levels[ancestor] < self._levels[key]):
                        return True
                elif part in self.out_of_date(ancestor) and not (whole and of_snapshots):
                    return True
        parents = self._graph.get(key).parent_keys
        return whole and any(not requested(one) and not self._lake.exists(table_name(one)) for one in parents)

    def _add_snapshots(self, instance: dg.DagsterInstance) -> list[str]:
        """The snapshots whose files have landed; Dagster is told of those that are new."""
        sources = self._planner.sources()
        settled = [name for name in landed_snapshots(self._lake, sources) if is_settled(self._lake, sources, name)]
        instance.add_dynamic_partitions(SNAPSHOTS.name or "", settled)
        return settled

    def _being_built(self, instance: dg.DagsterInstance) -> dict[dg.AssetKey, _Parts]:
        """What runs build, are waiting to build or will try again."""
        runs = [*instance.get_runs(dg.RunsFilter(statuses=NOT_FINISHED_STATUSES))]
        recent = dg.RunsFilter(tags={WILL_RETRY_TAG: "true"}, updated_after=datetime.now(UTC) - _RETRY_STARTS_WITHIN)
        runs += [run for run in instance.get_runs(recent) if run.is_complete_and_waiting_to_retry]
        found: dict[dg.AssetKey, _Parts] = defaultdict(set)
        for run in runs:
            snapshot = run.tags.get(PARTITION_NAME_TAG)
            for key in run.asset_selection or self._graph.materializable_asset_keys:
                if not self._graph.has(key) or not self._graph.get(key).is_partitioned:
                    found[key].add(None)
                else:
                    found[key] |= {snapshot} if snapshot else set(self._snapshots)
        return found


class _PlanCondition(dg.AutomationCondition[dg.AssetKey]):
    """A condition that looks at the plan of the evaluation."""

    def __init__(self, plan: Callable[[AssetGraphView], Plan]) -> None:
        self._plan = plan

    def evaluate(self, context: dg.AutomationContext[dg.AssetKey]) -> dg.AutomationResult[dg.AssetKey]:
        """Find the snapshots for which it is true, among those that are asked about."""
        chosen, cursor = self._choose(self._plan(context.asset_graph_view), context)
        true = context.candidate_subset
        if true.is_partitioned:
            true = true.compute_intersection_with_partition_keys({part for part in chosen if part})
        elif None not in chosen:
            true = context.get_empty_subset()
        return dg.AutomationResult(context, true, cursor=cursor)

    @abstractmethod
    def _choose(self, plan: Plan, context: dg.AutomationContext[dg.AssetKey]) -> tuple[_Parts, str | None]:
        """The snapshots, and what the next evaluation is to know."""


class OutOfDate(_PlanCondition):
    """The asset is out of date for a reason of its own."""

    @property
    def description(self) -> str:
        """Shown in the UI."""
        return "Out of date, as `lakehouse status` says"

    def _choose(self, plan: Plan, context: dg.AutomationContext[dg.AssetKey]) -> tuple[_Parts, str | None]:
        return plan.out_of_date(context.key), None


class NewReason(_PlanCondition):
    """What the asset would be made by or from is not what it was when it last was out of date."""

    @property
    def description(self) -> str:
        """Shown in the UI."""
        return "The code, the settings or what it is made from changed since the last look"

    def _choose(self, plan: Plan, context: dg.AutomationContext[dg.AssetKey]) -> tuple[_Parts, str | None]:
        before = json.loads(context.cursor or "{}")
        now = {part: plan.target(context.key, part) for part in sorted(plan.out_of_date(context.key), key=str)}
        new = {part for part, target in now.items() if before.get(part or "") != target}
        return new, json.dumps({part or "": target for part, target in now.items()})


class MustWait(_PlanCondition):
    """It, or something that it is made from, is being built or has to be built first."""

    @property
    def description(self) -> str:
        """Shown in the UI."""
        return "It, or something that it is made from, is being built or has to be built first"

    def _choose(self, plan: Plan, context: dg.AutomationContext[dg.AssetKey]) -> tuple[_Parts, str | None]:
        @functools.cache
        def requested(key: dg.AssetKey) -> _Parts:
            subset = context.request_subsets_by_key.get(key)
            return _parts(subset) if subset else set()

        candidates = _parts(context.candidate_subset)
        return {part for part in candidates if plan.must_wait(context.key, part, requested)}, None


def _parts(subset: EntitySubset[dg.AssetKey]) -> _Parts:
    if subset.is_partitioned:
        return {*subset.expensively_compute_partition_keys()}
    return set() if subset.is_empty else {None}
