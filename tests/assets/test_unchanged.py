"""Cost follows the change: what a planned run leaves undone, and what it reads and writes when something changed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from archives import article_page, small_web, write_archive
from lakes import build, declared, environment, rows

from assets.materialization import asset_key
from assets.mixtures.tokens import encode_units, encoded_before
from assets.unchanged import ONLY_CHANGED
from lakehouse.cli.instance import open_instance
from lakehouse.cli.runs import Builder
from lakehouse.lake import Lake

CHAIN = "+shards/main"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    lake = Lake(tmp_path_factory.mktemp("unchanged") / "lake")
    write_archive(lake.landing / "web/s1/a.warc.gz", small_web(0, 20))
    build(lake.root, CHAIN)
    return lake.root


@pytest.fixture
def lake(built: Path, tmp_path: Path) -> Lake:
    """A lake of one snapshot that is built up to the shards."""
    return Lake(shutil.copytree(built, tmp_path / "the lake", symlinks=True))


def versions(lake: Lake) -> dict[str, int]:
    return {table: lake.version(table) for table in lake.tables()}


def materializations(lake: Lake, table: str) -> int:
    with open_instance(lake) as instance:
        return len(instance.fetch_materializations(asset_key(table), limit=100).records)


def test_files_that_were_touched_are_read_again_and_nothing_follows(lake: Lake) -> None:
    before = versions(lake)
    os.utime(lake.landing / "web/s1/a.warc.gz", (1, 1))
    build(lake.root, CHAIN)

    changed = {table for table, version in versions(lake).items() if version != before[table]}
    assert changed == {"raw/web", "files/web", "rejects/web", "generations/rewrite_clearly"}
    newest = lake.last_commit("raw/web")
    assert newest is not None
    assert newest.content_version == before["raw/web"]
    assert build(lake.root, CHAIN).runs == 0


def test_what_was_left_undone_is_reported_with_its_plot_and_its_checks(lake: Lake) -> None:
    os.utime(lake.landing / "web/s1/a.warc.gz", (1, 1))
    before = materializations(lake, "filtered/web_clean")
    build(lake.root, CHAIN)
    assert materializations(lake, "filtered/web_clean") == before + 1
    with open_instance(lake) as instance:
        event = instance.get_latest_materialization_event(asset_key("filtered/web_clean"))
        assert event is not None
        assert event.asset_materialization is not None
        assert str(event.asset_materialization.metadata["waterfall"].value).startswith("![plot]")
        check = dg.AssetCheckKey(asset_key("filtered/web_clean"), "no_lost_rows")
        records = instance.event_log_storage.get_asset_check_execution_history(check, limit=5)
        assert [record.status.value for record in records] == ["SUCCEEDED", "SUCCEEDED"]


def test_a_forced_build_does_it_all_the_same(lake: Lake) -> None:
    before = versions(lake)
    with environment(lake.root), Builder(lake).locked() as builder:
        builder.build("filtered/web_clean", force=True)
    assert lake.version("filtered/web_clean") == before["filtered/web_clean"] + 1
    assert build(lake.root, CHAIN).runs == 0, "the same rows make nothing stale"


@pytest.fixture
def instance(lake: Lake) -> Iterator[dg.DagsterInstance]:
    with environment(lake.root), open_instance(lake) as instance:
        yield instance


def run(lake: Lake, instance: dg.DagsterInstance, min_words: int, *tables: str) -> None:
    """Build tables as a planned run does, with another threshold of one rule."""
    changed = declared(lake.root, rules=["consent", {"gopher_quality": {"min_words": min_words}}])
    changed.resolve_implicit_global_asset_job_def().execute_in_process(
        instance=instance,
        asset_selection=[asset_key(table) for table in tables],
        partition_key="s1",
        tags={ONLY_CHANGED: "true"},
    )


def test_a_threshold_that_drops_nothing_else_makes_nothing_else(lake: Lake, instance: dg.DagsterInstance) -> None:
    # The thin page has 7 words, every article more than 100.
    before = lake.last_commit("filtered/web_clean")
    run(lake, instance, 60, "filtered/web_clean", "rejects/web_clean")
    after = lake.last_commit("filtered/web_clean")
    assert before is not None
    assert after is not None
    assert after.config_hash != before.config_hash
    assert after.data_version == before.data_version
    # The ledger says which threshold it was.
    assert rows(lake, "SELECT threshold FROM rejects.web_clean WHERE rule = 'gopher_min_words'") == [(60.0,)]
    assert lake.last_commit("rejects/web_clean").data_version.endswith("@2")  # type: ignore[union-attr]


def test_a_threshold_change_reads_no_html_and_measures_and_encodes_no_text_again(
    lake: Lake, instance: dg.DagsterInstance
) -> None:
    before = versions(lake)
    kept = set(lake.scan("filtered/web_clean").collect()["doc_id"])
    lengths = sorted(lake.scan("annotations/web/gopher_quality").collect()["n_words"])
    # Neither the archives nor the measured texts are there any more: whoever reads them fails.
    (lake.landing / "web/s1/a.warc.gz").unlink()
    run(lake, instance, lengths[len(lengths) // 2], "filtered/web_clean", "rejects/web_clean")

    assert versions(lake)["annotations/web/gopher_quality"] == before["annotations/web/gopher_quality"]
    still_kept = set(lake.scan("filtered/web_clean").collect()["doc_id"])
    assert still_kept < kept
    inputs = {table: lake.version(table) for table in ("filtered/web_clean", "synthetic/web_rewritten")}
    units = encode_units(
        lake,
        "tokens/main",
        "s1",
        inputs,
        list(inputs),
        "",
        None,
        encoded_before(lake, "tokens/main", "s1", "tokenizers/main"),
    )
    assert [len(unit.earlier) for unit in units] == [1], "the ids that are there are taken from their file"


def test_token_ids_that_were_taken_are_those_that_are_made(tmp_path: Path) -> None:
    pages = list(small_web(0, 20))
    for name, parts in (("at once", [pages]), ("in two nights", [pages[:12], pages])):
        root = tmp_path / name
        for night, part in enumerate(parts):
            write_archive(root / f"landing/web/s1/{night}.warc.gz", part if night == 0 else part[12:])
            build(root, "+tokens/main")
    once, twice = (Lake(tmp_path / name).scan("tokens/main").collect() for name in ("at once", "in two nights"))
    known = dict(zip(once["text_id"], once["n_tokens"], strict=True))
    assert twice.height == once.height
    # The tokenizer of the first night saw fewer texts, so its ids are others; each text has one row in both.
    assert set(known) == set(twice["text_id"])


def test_a_late_page_changes_its_snapshot_and_no_other(lake: Lake) -> None:
    write_archive(lake.landing / "web/s2/b.warc.gz", small_web(100, 5))
    build(lake.root, CHAIN)
    first = {table: lake.last_commit(table, "s1") for table in lake.tables()}
    write_archive(lake.landing / "web/s2/c.warc.gz", [article_page(900)])
    build(lake.root, CHAIN)
    partitioned = [table for table, commit in first.items() if commit and commit.partition == "s1"]
    assert len(partitioned) > 5
    assert {table: lake.last_commit(table, "s1") for table in partitioned} == {
        table: first[table] for table in partitioned
    }
