"""What has to be built, and why: on a lake on disk, after something changed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from archives import article_page, small_web, write_archive
from lakes import build, declared, environment, rows

from assets.plan import Planner
from lakehouse.cli.instance import open_instance
from lakehouse.cli.runs import load_definitions
from lakehouse.definitions import DefinitionsError, check_inputs
from lakehouse.lake import Lake, Origin

CHAIN = "+shards/main"


def land(lake: Lake, name: str, first: int, articles: int = 12) -> None:
    write_archive(lake.landing / "web" / name, small_web(first, articles))


@contextmanager
def planner(lake: Lake, definitions: dg.Definitions | None = None) -> Iterator[Planner]:
    """A planner of the definitions in the repository, or of others."""
    with environment(lake.root), open_instance(lake) as instance:
        yield Planner((definitions or load_definitions()).resolve_asset_graph(), instance, lake)


def stale(
    lake: Lake, snapshots: list[str], definitions: dg.Definitions | None = None
) -> dict[tuple[str, str | None], str]:
    """Why each table is not up to date; what is no part of the shards, and so not built, is left out."""
    with planner(lake, definitions) as plan:
        keys = [
            key for key in plan.assets() if key.path[0] != "stats" and key.path[1] not in ("rewire", "web_recycled")
        ]
        states = plan.states(keys, snapshots)
    return {(state.table, state.snapshot): state.reason for state in states if state.reason}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A lake of two snapshots in which everything up to the shards is up to date. Tests only read it."""
    lake = Lake(tmp_path_factory.mktemp("built") / "the lake")
    land(lake, "s1/a.warc.gz", 0)
    land(lake, "s2/b.warc.gz", 100)
    build(lake.root, CHAIN)
    return lake


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """A lake of two snapshots that is built up to the filtered set."""
    lake = Lake(tmp_path / "the lake")
    land(lake, "s1/a.warc.gz", 0)
    land(lake, "s2/b.warc.gz", 100)
    build(lake.root, "+filtered/web_clean")
    return lake


def test_nothing_is_stale_after_a_build(built: Lake) -> None:
    assert stale(built, ["s1", "s2"]) == {}


def test_a_lake_without_files_has_nothing_to_make_documents_from(tmp_path: Path) -> None:
    assert {table.split("/")[0] for table, _ in stale(Lake(tmp_path), ["s1"])} == {"tokenizers", "mixtures", "shards"}


def test_the_same_declaration_is_up_to_date(built: Lake) -> None:
    of_the_mixture = {
        ("tokenizers/clean", None),
        ("tokens/clean", "s1"),
        ("tokens/clean", "s2"),
        ("mixtures/clean", None),
    }
    assert stale(built, ["s1", "s2"], declared()).keys() == of_the_mixture


def test_a_changed_threshold_marks_the_set_and_what_follows_and_nothing_upstream(built: Lake) -> None:
    changed = declared(rules=["consent", {"gopher_quality": {"min_words": 60}}])
    found = stale(built, ["s1", "s2"], changed)
    reason = "its settings or its code changed"
    assert {place for place, why in found.items() if why == reason} == {
        (table, snapshot) for table in ("filtered/web_clean", "rejects/web_clean") for snapshot in ("s1", "s2")
    }
    assert ("raw/web", "s1") not in found
    assert ("annotations/web/gopher_quality", "s1") not in found


def test_what_follows_a_stale_set_says_what_it_waits_for(lake: Lake) -> None:
    build(lake.root, CHAIN)
    write_archive(lake.landing / "web/s2/c.warc.gz", [article_page(500)])
    found = stale(lake, ["s1", "s2"])
    assert found["raw/web", "s2"] == "the files in the landing folder changed"
    assert found["annotations/web/gopher_quality", "s2"] == "raw/web is built anew"
    assert found["filtered/web_clean", "s2"] == "annotations/web/gopher_quality is built anew"
    assert found["tokens/main", "s2"] == "filtered/web_clean is built anew"
    assert found["mixtures/main", None] == "tokens/main is built anew"
    assert found["shards/main", None] == "mixtures/main is built anew"
    assert not {place for place in found if place[1] == "s1"}
    assert ("tokenizers/main", None) not in found


def test_a_touched_file_is_read_again(lake: Lake) -> None:
    os.utime(lake.landing / "web/s1/a.warc.gz", (1, 1))
    assert stale(lake, ["s1"])["raw/web", "s1"] == "the files in the landing folder changed"


def test_a_commit_that_dagster_did_not_record_is_recorded(lake: Lake) -> None:
    commit = lake.last_commit("filtered/web_clean", "s2")
    assert commit is not None
    origin = Origin("a run that died", commit.asset, commit.code_version, commit.config_hash, commit.inputs)
    kept = lake.scan("filtered/web_clean", snapshot="s2").collect()
    died = lake.replace_frame("filtered/web_clean", kept.reverse(), origin, snapshot="s2")

    assert stale(lake, ["s1", "s2"])["filtered/web_clean", "s2"] == "its last run did not finish"
    assert ("filtered/web_clean", "s1") not in stale(lake, ["s1", "s2"])
    build(lake.root, "filtered/web_clean")
    assert lake.last_commit("filtered/web_clean", "s2") == died, "its rows were audited before they were committed"
    assert not {place for place in stale(lake, ["s1", "s2"]) if place[0] == "filtered/web_clean"}


def test_a_commit_that_dagster_did_not_record_is_made_again_if_its_inputs_changed(lake: Lake) -> None:
    commit = lake.last_commit("filtered/web_clean", "s2")
    assert commit is not None
    older = Origin("a run that died", commit.asset, "another", commit.config_hash, commit.inputs)
    kept = lake.scan("filtered/web_clean", snapshot="s2").head(1).collect()
    lake.replace_frame("filtered/web_clean", kept, older, snapshot="s2")
    build(lake.root, "filtered/web_clean")
    assert rows(lake, "SELECT count(*) FROM filtered.web_clean WHERE snapshot = 's2'") == [(12,)]


def test_a_rebuilt_snapshot_marks_the_later_ones_that_drop_its_copies(lake: Lake) -> None:
    write_archive(lake.landing / "web/s1/c.warc.gz", [article_page(105)])  # article 105 is in s2 too
    found = stale(lake, ["s1", "s2"])
    assert found["filtered/web_clean", "s1"] == "annotations/web/gopher_quality is built anew"
    assert found["filtered/web_clean", "s2"] == "an earlier snapshot is built anew"
    assert ("raw/web", "s2") not in found

    build(lake.root, "+filtered/web_clean")
    place = "SELECT snapshot FROM filtered.web_clean WHERE text LIKE '%year 1605%'"
    assert rows(lake, place) == [("s1",)]
    assert build(lake.root, "+filtered/web_clean").runs == 0


def test_a_rebuilt_snapshot_that_was_built_alone_marks_the_later_ones(lake: Lake) -> None:
    write_archive(lake.landing / "web/s1/c.warc.gz", [article_page(105)])
    build(lake.root, "+filtered/web_clean", snapshot="s1")
    assert stale(lake, ["s1", "s2"])["filtered/web_clean", "s2"] == "filtered/web_clean changed"
    assert ("filtered/web_clean", "s1") not in stale(lake, ["s1", "s2"])


def test_an_earlier_snapshot_that_arrives_late_marks_the_first_one(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    land(lake, "s2/b.warc.gz", 100)
    build(lake.root, "+filtered/web_clean")
    write_archive(lake.landing / "web/s1/c.warc.gz", [article_page(105)])  # article 105 is in s2 too
    build(lake.root, "+filtered/web_clean")
    assert rows(lake, "SELECT snapshot FROM filtered.web_clean WHERE text LIKE '%year 1605%'") == [("s1",)]


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        (
            {"source": "raw/wbe", "rules": ["consent"]},
            r"filtered/web_clean is made from raw/wbe, which no defs.yaml declares. Did you mean raw/web\?",
        ),
        (
            {"source": "filtered/other"},
            "is made from annotations/other/gopher_quality, .* Add gopher_quality to the annotators of its source",
        ),
    ],
)
def test_a_set_that_is_made_from_nothing_is_one_clear_error(attributes: dict[str, Any], message: str) -> None:
    check_inputs(declared())
    with pytest.raises(DefinitionsError, match=message):
        check_inputs(declared(**attributes))
