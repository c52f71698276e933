"""What the automation asks for, on lakes on disk: what changed and what follows from it, once, and nothing else."""

from __future__ import annotations

import os
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from archives import article_page, small_web, write_archive
from dagster._core.test_utils import freeze_time
from lakes import build, environment

from assets import automation as automations
from assets.automation import RUN_TAGS
from assets.conditions import build_when_out_of_date
from assets.filtered.component import FilteredSet
from assets.materialization import asset_key, table_name
from assets.raw.component import RawSource
from assets.raw.ingest import landing_fingerprint
from lakehouse.cli.instance import open_instance
from lakehouse.cli.runs import load_definitions
from lakehouse.lake import Lake, Origin
from resources import ComputeResource, LakeResource, LanguageModelResource

BY_SNAPSHOT = {
    "raw/web",
    "rejects/web",
    "files/web",
    "annotations/web/gopher_quality",
    "filtered/web_clean",
    "rejects/web_clean",
    "generations/rewrite_clearly",
    "synthetic/web_rewritten",
    "rejects/web_rewritten",
    "judgements/web_rewritten",
    "diversity/web_rewritten",
}
REWRITTEN = {table for table in BY_SNAPSHOT if table.endswith(("web_rewritten", "rewrite_clearly"))}
SOURCE = {"raw/web", "rejects/web", "files/web"}
APART = ("rewire", "web_recycled")
NO_RETRY = {"dagster/max_retries": "0"}

Asked = dict[str | None, set[str]]
"""The tables that are asked for, by snapshot; each snapshot is one run."""


def land(lake: Lake, name: str, first: int) -> None:
    """Put an archive into the landing folder, as if it had been there for an hour."""
    file = lake.landing / "web" / name
    write_archive(file, small_web(first))
    os.utime(file, (time.time() - 3_600,) * 2)


@dataclass
class Automation:
    """The lake as the automation sees it: each evaluation remembers the one before."""

    lake: Lake
    definitions: dg.Definitions
    cursor: str | None = None
    seconds: float = 0.0
    asks_for_statistics: bool = False

    def asks(self, at: datetime | None = None) -> Asked:
        """Evaluate the sensor, as the daemon does; `at` is what the clock says then.

        The statistics, which take longest, and the set that no mixture has are left out and not built.
        """
        repository = self.definitions.get_repository_def()
        with (
            environment(self.lake.root),
            freeze_time(at) if at else nullcontext(),
            open_instance(self.lake) as instance,
            dg.build_sensor_context(instance=instance, repository_def=repository, cursor=self.cursor) as context,
        ):
            started = time.monotonic()
            answer = repository.get_sensor_def("out_of_date").evaluate_tick(context)
            self.seconds = time.monotonic() - started
        self.cursor = answer.cursor
        asked: Asked = {}
        for request in answer.run_requests or []:
            assert request.tags.items() >= RUN_TAGS.items()
            assert request.partition_key not in asked, "one run for each snapshot"
            tables = {table_name(key) for key in request.asset_selection or []}
            self.asks_for_statistics = any(table.startswith("stats/") for table in tables)
            if kept := {
                table for table in tables if not table.startswith("stats/") and table.split("/")[1] not in APART
            }:
                asked[request.partition_key] = kept
        return asked

    def run(self, asked: Asked) -> None:
        """Do what was asked for, as the daemon does, but for the retries."""
        for snapshot, names in sorted(asked.items(), key=str):
            with environment(self.lake.root), open_instance(self.lake) as instance:
                self.definitions.resolve_implicit_global_asset_job_def().execute_in_process(
                    instance=instance,
                    partition_key=snapshot,
                    asset_selection=[asset_key(name) for name in names],
                    tags={**RUN_TAGS, **NO_RETRY},
                    raise_on_error=False,
                )


@pytest.fixture
def automation(tmp_path: Path) -> Iterator[Automation]:
    lake = Lake(tmp_path / "the lake")
    with environment(lake.root):
        yield Automation(lake, load_definitions())


def test_new_snapshots_are_built_up_to_the_shards_one_layer_after_the_other(automation: Automation) -> None:
    assert automation.asks() == {}
    land(automation.lake, "s1/a.warc.gz", 0)
    land(automation.lake, "s2/b.warc.gz", 100)

    asked = automation.asks()
    assert asked == {"s1": BY_SNAPSHOT, "s2": BY_SNAPSHOT}
    assert automation.asks() == {}, "a reason asks once"
    automation.run(asked)
    asked = automation.asks()
    assert asked == {None: {"tokenizers/main"}}
    automation.run(asked)
    asked = automation.asks()
    assert asked == {"s1": {"tokens/main"}, "s2": {"tokens/main"}}
    automation.run(asked)
    asked = automation.asks()
    assert asked == {None: {"mixtures/main", "shards/main"}}
    assert automation.asks_for_statistics


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake of two snapshots in which everything but the statistics is up to date."""
    lake = Lake(tmp_path_factory.mktemp("template") / "the lake")
    for name, first in (("s1/a.warc.gz", 0), ("s2/b.warc.gz", 100)):
        land(lake, name, first)
    build(lake.root, "+shards/main")
    return lake.root


@pytest.fixture
def built(template: Path, automation: Automation) -> Automation:
    shutil.copytree(template, automation.lake.root, symlinks=True)
    assert automation.asks() == {}
    return automation


def test_only_what_changed_and_what_follows_is_asked_for(built: Automation) -> None:
    # A rerun that wrote nothing new triggers nothing.
    with environment(built.lake.root), open_instance(built.lake) as instance:
        job = built.definitions.resolve_implicit_global_asset_job_def()
        keys = [asset_key(name) for name in ("filtered/web_clean", "rejects/web_clean")]
        again = job.execute_in_process(instance=instance, partition_key="s2", asset_selection=keys)
    commit = built.lake.last_commit("filtered/web_clean", "s2")
    assert commit is not None
    assert commit.run_id == again.run_id, "it was built again"
    assert built.asks() == {}

    # A changed file: its snapshot in one run, then what is made from all snapshots in one run.
    file = built.lake.landing / "web/s2/c.warc.gz"
    write_archive(file, [article_page(500)])
    assert built.asks() == {}, "a file that is just arriving is left alone"
    os.utime(file, (time.time() - 3_600,) * 2)
    asked = built.asks()
    assert asked == {"s2": {*BY_SNAPSHOT, "tokens/main"}}
    built.run(asked)
    asked = built.asks()
    assert asked == {None: {"mixtures/main", "shards/main"}}
    built.run(asked)
    assert built.asks() == {}

    # A changed threshold, which is a changed code version: the set and what follows from it, nothing upstream.
    built.definitions = with_code_version(built.definitions, {"filtered/web_clean", "rejects/web_clean"})
    follows = {"filtered/web_clean", "rejects/web_clean", *REWRITTEN, "tokens/main"}
    assert built.asks() == {"s1": follows, "s2": follows}


def with_code_version(definitions: dg.Definitions, tables: set[str]) -> dg.Definitions:
    """The definitions as they are after a change of the settings of some tables."""

    def changed(spec: dg.AssetSpec) -> dg.AssetSpec:
        return spec.replace_attributes(code_version="1-changed") if table_name(spec.key) in tables else spec

    return definitions.map_asset_specs(func=changed)


def test_what_is_broken_is_asked_for_again_when_something_changes_or_the_next_day(built: Automation) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nowhere = {"LAKEHOUSE_MODEL_URL": f"http://127.0.0.1:{unused.getsockname()[1]}/v1", "LAKEHOUSE_MODEL": "any"}
    with environment(built.lake.root, **nowhere):
        built.definitions = load_definitions()
    follows = {*REWRITTEN, "tokens/main"}
    noon = datetime(2030, 1, 1, 12, tzinfo=UTC)

    asked = built.asks(noon)
    assert asked == {"s1": follows, "s2": follows}, "documents wait for the model"
    built.run(asked)  # fails
    for minutes in range(2, 10, 2):
        assert built.asks(noon + timedelta(minutes=minutes)) == {}
    land(built.lake, "s2/c.warc.gz", 300)
    assert built.asks(noon + timedelta(hours=1)) == {"s2": {*BY_SNAPSHOT, "tokens/main"}}
    assert built.asks(noon + timedelta(hours=15, minutes=1)).keys() >= {"s1"}, "at 03:00 UTC"
    assert built.asks(noon + timedelta(hours=16)) == {}


def test_what_is_made_from_all_snapshots_goes_on_without_one_that_failed(automation: Automation) -> None:
    land(automation.lake, "s1/a.warc.gz", 0)
    land(automation.lake, "s2/b.warc.gz", 100)
    asked = automation.asks()
    assert asked.keys() == {"s1", "s2"}
    automation.run({"s2": asked["s2"]})  # the run of s1 came to nothing
    for expected in ({None: {"tokenizers/main"}}, {"s2": {"tokens/main"}}, {None: {"mixtures/main", "shards/main"}}):
        asked = automation.asks()
        assert asked == expected
        automation.run(asked)
    land(automation.lake, "s1/b.warc.gz", 200)
    assert automation.asks() == {"s1": {*BY_SNAPSHOT, "tokens/main"}}


def test_a_run_under_way_is_waited_for(built: Automation) -> None:
    land(built.lake, "s2/c.warc.gz", 300)
    with environment(built.lake.root), open_instance(built.lake) as instance:
        job = built.definitions.resolve_implicit_global_asset_job_def()
        run = instance.create_run_for_job(
            job, asset_selection=frozenset(map(asset_key, SOURCE)), tags={"dagster/partition": "s2", **NO_RETRY}
        )
    assert built.asks() == {}
    with environment(built.lake.root), open_instance(built.lake) as instance:
        instance.report_run_failed(run)
    assert built.asks() == {"s2": {*BY_SNAPSHOT, "tokens/main"}}


@pytest.mark.thorough
def test_more_than_100_snapshots(tmp_path: Path) -> None:
    """Dagster's own staleness calls what has 100 upstream partitions fresh, whatever they do."""
    lake = Lake(tmp_path / "lake")
    definitions = of_one_set(lake)
    names = [f"s{number:03d}" for number in range(105)]
    for name in names:
        (lake.landing / "web" / name).mkdir(parents=True)
        (lake.landing / "web" / name / "a.warc.gz").touch()
        os.utime(lake.landing / "web" / name / "a.warc.gz", (1, 1))
    versions = {spec.key: spec.code_version or "" for spec in definitions.resolve_all_asset_specs()}
    for name in names:
        for table in ("rejects/web", "files/web", "raw/web", "rejects/clean", "filtered/clean"):
            pinned: dict[str, int] = {"raw/web": lake.version("raw/web")} if table.endswith("clean") else {}
            details = {"landing": landing_fingerprint(lake, "web", name)} if table == "raw/web" else {}
            origin = Origin("", table, versions[asset_key(table)], "", pinned, details)
            lake.replace(table, [], origin, snapshot=name)

    automation = Automation(lake, definitions)
    assert automation.asks() == {}
    assert automation.seconds < 5
    os.utime(lake.landing / "web/s060/a.warc.gz", (2, 2))
    assert automation.asks() == {"s060": SOURCE | {"filtered/clean", "rejects/clean"}}


def of_one_set(lake: Lake) -> dg.Definitions:
    """A source, a set of it, and the automation."""
    context: Any = None  # these components do not look at it
    parts = [
        RawSource(name="web"),
        FilteredSet(name="clean", source="raw/web", rules=["consent"], duplicates={"scope": "snapshot"}),
    ]
    resources = {"lake": LakeResource(root=str(lake.root)), "compute": ComputeResource(workers=1)}
    condition = build_when_out_of_date(resources["lake"], LanguageModelResource())
    declared = dg.Definitions.merge(*(part.build_defs(context) for part in parts))
    return dg.Definitions.merge(
        declared.map_asset_specs(func=lambda spec: spec.replace_attributes(automation_condition=condition)),
        dg.Definitions(resources=resources),
        automations.automation(),
    )
