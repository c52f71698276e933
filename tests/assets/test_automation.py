"""The sensor and the schedule, evaluated on a lake on disk, and the runs that they ask for."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from archives import article_page, small_web, write_archive
from dagster._core.definitions.freshness_evaluator import TimeWindowFreshnessPolicyEvaluator
from dagster._core.loader import LoadingContextForTest
from dagster._core.test_utils import freeze_time
from lakes import build, environment
from webhooks import receiver

from assets.automation import ONE_AT_A_TIME, REFRESH, RUN_TAGS, failed_runs, landing_folder, nightly
from assets.materialization import asset_key, table_name
from assets.shards.component import Shards
from assets.unchanged import ONLY_CHANGED
from lakehouse.cli.instance import open_instance
from lakehouse.cli.runs import load_definitions
from lakehouse.lake import Lake

UP_TO_SHARDS = {"raw/web", "filtered/web_clean", "tokens/main", "mixtures/main", "shards/main"}


@dataclass
class Automated:
    """A lake as the daemon sees it."""

    lake: Lake
    instance: dg.DagsterInstance
    definitions: dg.Definitions

    def land(self, name: str, first: int, *, seconds_ago: float = 3_600) -> Path:
        """Put an archive into the landing folder, as if it had been there for a while."""
        path = self.lake.landing / "web" / name
        write_archive(path, small_web(first))
        changed = time.time() - seconds_ago
        os.utime(path, (changed, changed))
        return path

    def sensed(self) -> list[dg.RunRequest]:
        """What the sensor asks for."""
        repository = self.definitions.get_repository_def()
        with dg.build_sensor_context(
            instance=self.instance, repository_def=repository, resources=self.definitions.resources
        ) as context:
            return _requests(landing_folder(context))

    def scheduled(self) -> list[dg.RunRequest]:
        """What the schedule asks for."""
        repository = self.definitions.get_repository_def()
        with dg.build_schedule_context(
            instance=self.instance, repository_def=repository, resources=self.definitions.resources
        ) as context:
            return _requests(nightly(context))

    def run(self, request: dg.RunRequest) -> set[str]:
        """Do what is asked for, in this process; return the tables that were built."""
        result = self.definitions.resolve_job_def(REFRESH).execute_in_process(
            instance=self.instance, partition_key=request.partition_key, asset_selection=request.asset_selection
        )
        return {table_name(event.asset_key) for event in result.get_asset_materialization_events() if event.asset_key}


def _requests(answer: object) -> list[dg.RunRequest]:
    if isinstance(answer, dg.SkipReason):
        assert answer.skip_message
        return []
    found = answer.run_requests if isinstance(answer, dg.SensorResult) else answer
    assert isinstance(found, list)
    assert found, "who asks for nothing says why"
    return found


def tables(request: dg.RunRequest) -> set[str]:
    return {table_name(key) for key in request.asset_selection or []}


@pytest.fixture
def automated(tmp_path: Path) -> Iterator[Automated]:
    root = tmp_path / "the lake"
    root.mkdir()
    with environment(root), open_instance(Lake(root)) as instance:
        yield Automated(Lake(root), instance, load_definitions())


def test_new_files_become_a_snapshot_and_a_run_up_to_the_shards(automated: Automated) -> None:
    automated.land("s1/a.warc.gz", 0)
    (request,) = automated.sensed()

    assert request.partition_key == "s1"
    assert request.tags.items() >= {ONE_AT_A_TIME: "true", ONLY_CHANGED: "true", "dagster/max_retries": "2"}.items()
    assert request.run_key
    assert request.run_key.startswith("s1:")
    assert automated.instance.get_dynamic_partitions("snapshot") == ["s1"]
    assert tables(request) >= UP_TO_SHARDS

    assert automated.run(request) >= UP_TO_SHARDS
    assert automated.lake.sql("SELECT count(*) > 0 FROM shards.main").row(0) == (True,)
    assert automated.sensed() == []


def test_one_state_of_a_folder_is_asked_for_once(automated: Automated) -> None:
    automated.land("s1/a.warc.gz", 0)
    (first,) = automated.sensed()
    (again,) = automated.sensed()
    assert first.run_key == again.run_key
    automated.land("s1/b.warc.gz", 100)
    (changed,) = automated.sensed()
    assert changed.run_key != first.run_key


def test_a_folder_that_is_still_being_filled_is_left_alone(automated: Automated) -> None:
    automated.land("s1/a.warc.gz", 0)
    automated.land("s1/b.warc.gz", 100, seconds_ago=30)
    assert automated.sensed() == []
    automated.land("s1/b.warc.gz", 100, seconds_ago=61)
    assert len(automated.sensed()) == 1


def test_an_empty_lake_asks_for_nothing(automated: Automated) -> None:
    assert automated.sensed() == []
    assert automated.scheduled() == []


def test_snapshots_that_arrive_together_share_one_tokenizer_and_are_mixed_once(automated: Automated) -> None:
    automated.land("s2/b.warc.gz", 100)
    automated.land("s1/a.warc.gz", 0)
    first, second = automated.sensed()
    assert (first.partition_key, second.partition_key) == ("s1", "s2")
    assert [{"tokenizers/main", "tokens/main"} & tables(one) for one in (first, second)] == [
        {"tokenizers/main", "tokens/main"},
        {"tokens/main"},
    ]
    assert [{"mixtures/main", "shards/main"} & tables(one) for one in (first, second)] == [
        set(),
        {"mixtures/main", "shards/main"},
    ]
    automated.run(first)
    automated.run(second)
    assert automated.scheduled() == []


def test_the_schedule_asks_only_for_what_is_stale(automated: Automated) -> None:
    automated.land("s1/a.warc.gz", 0)
    automated.land("s2/b.warc.gz", 100)
    build(automated.lake.root)
    assert automated.scheduled() == []

    write_archive(automated.lake.landing / "web/s2/c.warc.gz", [article_page(500)])
    (request,) = automated.scheduled()
    assert request.partition_key == "s2"
    assert tables(request) >= UP_TO_SHARDS
    assert "tokenizers/main" not in tables(request)
    assert "stats/waterfall" in tables(request)


def test_what_has_no_snapshot_is_asked_for_alone_when_nothing_else_is_stale(automated: Automated) -> None:
    automated.land("s1/a.warc.gz", 0)
    build(automated.lake.root, "+tokens/main or +synthetic/web_recycled")
    (request,) = automated.scheduled()
    assert request.tags.items() >= RUN_TAGS.items()
    assert request.partition_key is None
    assert {table.split("/")[0] for table in tables(request)} == {"mixtures", "shards", "stats"}


def test_every_asset_writes_in_a_pool_named_after_its_table(automated: Automated) -> None:
    dg.Definitions.validate_loadable(automated.definitions)
    graph = automated.definitions.resolve_asset_graph()
    pools = {}
    for assets in graph.assets_defs:
        (pool,) = assets.op.pools
        assert pool not in pools
        pools[pool] = {table_name(key) for key in assets.keys}
        assert any(table == pool or table.startswith(f"{pool}/") for table in pools[pool]), pool
    assert pools["raw/web"] == {"raw/web", "files/web", "rejects/web"}
    assert set().union(*pools.values()) == {table_name(key) for key in graph.materializable_asset_keys}


def test_the_runs_of_the_schedule_and_the_sensor_wait_for_each_other(automated: Automated) -> None:
    assert automated.definitions.resolve_job_def(REFRESH).tags[ONE_AT_A_TIME]
    limits = automated.instance.get_concurrency_config().run_queue_config
    assert limits is not None
    assert limits.tag_concurrency_limits == [{"key": ONE_AT_A_TIME, "limit": 1}]


def test_the_schedule_and_the_sensors_that_start_runs_are_off_and_the_report_is_on(automated: Automated) -> None:
    repository = automated.definitions.get_repository_def()
    assert {one.name: one.default_status.value for one in repository.schedule_defs} == {"nightly": "STOPPED"}
    assert {one.name: one.default_status.value for one in repository.sensor_defs} == {
        "landing_folder": "STOPPED",
        "out_of_date": "STOPPED",
        "failed_runs": "RUNNING",
    }


# --- what failed


@dataclass
class Failing:
    """Runs that fail, as a source without files does, and what the sensor makes of them."""

    automated: Automated

    def run(self, **tags: str) -> dg.DagsterRun:
        """A run of the source for a snapshot whose files are gone."""
        self.automated.instance.add_dynamic_partitions("snapshot", ["s1"])
        result = self.automated.definitions.resolve_job_def(REFRESH).execute_in_process(
            instance=self.automated.instance,
            partition_key="s1",
            asset_selection=[asset_key(f"{layer}/web") for layer in ("raw", "rejects", "files")],
            tags={name.replace("__", "/"): value for name, value in tags.items()},
            raise_on_error=False,
        )
        assert not result.success
        run = self.automated.instance.get_run_by_id(result.run_id)
        assert run is not None
        return run

    def report(self, run: dg.DagsterRun) -> str:
        """What the sensor logs of a run, or why it says nothing."""
        records = self.automated.instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.RUN_FAILURE)
        (record,) = records.records
        event = record.event_log_entry.dagster_event
        assert event is not None
        with dg.build_run_status_sensor_context(
            sensor_name=failed_runs.name,
            dagster_event=event,
            dagster_instance=self.automated.instance,
            dagster_run=run,
            resources=self.automated.definitions.resources,
            repository_def=self.automated.definitions.get_repository_def(),
        ) as context:
            answer = failed_runs(context.for_run_failure())
        assert answer is None or isinstance(answer, dg.SkipReason)
        return (answer.skip_message or "") if answer else ""


def test_a_failed_run_is_reported_when_its_retries_are_used_up(
    automated: Automated, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    failing = Failing(automated)
    with receiver() as received:
        monkeypatch.setenv("LAKEHOUSE_WEBHOOK", received.address)
        assert "is tried again" in failing.report(failing.run(dagster__max_retries="2"))
        assert "reports it" in failing.report(failing.run(lakehouse__build="true", dagster__max_retries="0"))
        assert received.messages == []
        run = failing.run(dagster__max_retries="0")
        assert failing.report(run) == ""
    (sent,) = received.messages
    (failure,) = sent["failures"]
    assert sent["lake"] == str(automated.lake.root)
    assert (failure["table"], failure["snapshot"], failure["run_id"]) == ("raw/web", "s1", run.run_id)
    assert failure["cause"].startswith("There are no files in ")
    assert failure["command"] == "lakehouse build raw/web --snapshot s1"
    assert "Traceback" not in sent["text"]


# --- freshness


def test_shards_that_are_late_warn_and_then_fail(automated: Automated) -> None:
    graph = automated.definitions.resolve_asset_graph()
    assert [table_name(key) for key in graph.get_all_asset_keys() if graph.get(key).freshness_policy] == ["shards/main"]
    node = graph.get(asset_key("shards/main"))
    automated.instance.report_runless_asset_event(dg.AssetMaterialization(node.key))
    built = datetime.now(UTC)

    def state(hours: float) -> str:
        with freeze_time(built + timedelta(hours=hours)):
            context = LoadingContextForTest(automated.instance)
            return asyncio.run(TimeWindowFreshnessPolicyEvaluator().evaluate_freshness(context, node)).value

    # 36 hours; the warning comes after two thirds of them.
    assert [state(hours) for hours in (1, 23.9, 24.1, 35.9, 36.1)] == ["PASS", "PASS", "WARN", "WARN", "FAIL"]
    assert automated.instance.get_settings("freshness")["enabled"] is True


def test_freshness_is_not_part_of_what_the_shards_are_made_with() -> None:
    context: Any = None  # the component does not look at it

    def spec(**attributes: Any) -> dg.AssetSpec:
        (asset,) = Shards(name="main", mixture="main", **attributes).build_defs(context).assets or ()
        assert isinstance(asset, dg.AssetsDefinition)
        (found,) = asset.specs
        return found

    late, never = spec(fresh_within_hours=6), spec(fresh_within_hours=None)
    assert never.freshness_policy is None
    assert late.freshness_policy is not None
    assert late.code_version == never.code_version == spec().code_version
