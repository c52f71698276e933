"""`lakehouse restore` and `lakehouse vacuum` on a built lake, and what the lake looked like when shards were made."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from archives import article_page, small_web, write_archive
from lakes import build, environment, rows

from lakehouse import shard
from lakehouse.cli.maintain import restore, vacuum
from lakehouse.cli.query import sql
from lakehouse.cli.results import Format
from lakehouse.cli.runs import Builder
from lakehouse.lake import Lake, LakeError

CHAIN = "+shards/main"
APART = ("rewire", "web_recycled")
DAY_MILLISECONDS = 24 * 3600 * 1000


@pytest.fixture(scope="module")
def built_twice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    lake = Lake(tmp_path_factory.mktemp("maintain") / "lake")
    write_archive(lake.landing / "web/s1/a.warc.gz", small_web(0, 8))
    write_archive(lake.landing / "web/s2/b.warc.gz", small_web(100, 8))
    build(lake.root, CHAIN)
    write_archive(lake.landing / "web/s1/late.warc.gz", [article_page(500)])
    build(lake.root, CHAIN)
    return lake.root


@pytest.fixture
def lake(built_twice: Path, tmp_path: Path) -> Lake:
    """A lake whose second build had one page more: two versions of everything up to the shards."""
    return Lake(shutil.copytree(built_twice, tmp_path / "the lake", symlinks=True))


def run(lake: Lake, command, *arguments, **options) -> None:  # type: ignore[no-untyped-def]
    with environment(lake.root):
        command(*arguments, **options)


def reasons(lake: Lake) -> dict[tuple[str, str | None], str]:
    with environment(lake.root), Builder(lake).opened() as builder:
        states = builder.states()
    # These lakes have no statistics, nor the set that no mixture has.
    built = [one for one in states if not one.table.startswith("stats/") and one.table.split("/")[1] not in APART]
    return {(one.table, one.snapshot): one.reason for one in built if one.reason}


def test_a_restored_set_is_up_to_date_and_what_follows_is_built_from_it(
    lake: Lake, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rows(lake, "SELECT count(*) FROM filtered.web_clean") == [(17,)]
    run(lake, restore, "filtered/web_clean", 2)
    assert "filtered/web_clean is at version" in capsys.readouterr().out
    assert rows(lake, "SELECT count(*) FROM filtered.web_clean") == [(16,)]

    stale = reasons(lake)
    # The restored snapshot was made from older rows than raw/web has now.
    assert stale["filtered/web_clean", "s1"] == "annotations/web/gopher_quality changed"
    assert stale["tokens/main", "s1"]
    assert not [place for place in stale if place[0].startswith(("raw/", "annotations/"))]


def test_restored_shards_are_what_training_reads(lake: Lake) -> None:
    latest = lake.training / "main/latest"
    newer = latest.resolve()
    run(lake, restore, "shards/main", 1)
    assert latest.resolve() != newer
    assert latest.resolve() == lake.training / lake.commit_at("shards/main", 1).details["folder"]
    assert shard.verify_manifest(latest) == []
    assert rows(lake, "SELECT DISTINCT split_part(file, '/', 2) FROM shards.main") == [(latest.resolve().name,)]


def test_what_cannot_be_restored_changes_nothing(lake: Lake) -> None:
    first = lake.training / lake.commit_at("shards/main", 1).details["folder"]
    first.rename(first.with_name("elsewhere"))
    with pytest.raises(LakeError, match="the files of version 1 are not in"):
        run(lake, restore, "shards/main", 1)
    with pytest.raises(LakeError, match="written together with filtered/web_clean: restore that"):
        run(lake, restore, "rejects/web_clean", 1)
    assert lake.version("shards/main") == 2
    assert reasons(lake) == {}


def test_a_lake_as_it_was_when_shards_were_made(lake: Lake) -> None:
    then = lake.as_of("shards/main", 1)
    count = """
        SELECT (SELECT count(*) FROM raw.web), (SELECT count(*) FROM filtered.web_clean), count(*)
        FROM mixtures.main
    """
    with lake.connect(then, others=False) as connection:
        assert connection.sql(count).fetchall() == [(20, 16, 16)]
    with lake.connect(lake.as_of("shards/main"), others=False) as connection:
        assert connection.sql(count).fetchall() == [(21, 17, 17)]
        found = connection.sql("SELECT count(*) FROM rejects.web_clean").fetchall()
    assert found == rows(lake, "SELECT count(*) FROM rejects.web_clean")
    with pytest.raises(LakeError, match="shards/main has no version 7"):
        lake.as_of("shards/main", 7)


def test_a_version_with_snapshots_of_different_ages_shows_each_at_its_own(lake: Lake) -> None:
    pins = lake.as_of("shards/main", 2)
    assert pins["raw/web"] == {"s1": 3, "s2": 2}
    assert lake.as_of("shards/main", 1)["raw/web"] == {"s1": 1, "s2": 2}


def test_vacuum_keeps_what_living_shards_were_made_from(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    then = lake.as_of("shards/main", 1)
    with pytest.raises(LakeError, match="less than an hour may remove what a run is writing"):
        run(lake, vacuum, "0h", force=False, drop_shards=False, dry_run=False)
    _age(lake)
    run(lake, vacuum, "1h", force=False, drop_shards=False, dry_run=False)
    said = " ".join(capsys.readouterr().out.split())
    assert "stay, because mixtures/main@" in said
    assert "shards/main@1" in said
    with lake.connect(then, others=False) as connection:
        assert connection.sql("SELECT sum(len(text)) > 0, count(*) FROM filtered.web_clean").fetchall() == [(True, 16)]


def test_vacuum_removes_old_shards_only_when_asked_and_then_what_only_they_needed(
    lake: Lake, capsys: pytest.CaptureFixture[str]
) -> None:
    first = lake.training / lake.commit_at("shards/main", 1).details["folder"]
    _age(lake)
    for dry_run in (True, False):
        assert first.is_dir()
        run(lake, vacuum, "1h", force=False, drop_shards=True, dry_run=dry_run)
        assert ("Would be removed" if dry_run else "Removed") in capsys.readouterr().out
    assert not first.exists()
    assert (lake.training / "main/latest").resolve().is_dir()
    assert rows(lake, "SELECT count(*) FROM filtered.web_clean") == [(17,)]
    assert reasons(lake) == {}


def test_what_was_removed_is_one_clear_line(lake: Lake) -> None:
    run(lake, vacuum, "0h", force=True, drop_shards=True, dry_run=False)
    with pytest.raises(LakeError, match=r"version 2 cannot be restored: vacuum removed"):
        run(lake, restore, "filtered/web_clean", 2)
    with pytest.raises(LakeError, match="is no duration: write 12h, 30d or 8w"):
        run(lake, vacuum, "a month", force=False, drop_shards=False, dry_run=False)


def _age(lake: Lake) -> None:
    """Make every commit two days old: when files were replaced is written in the log."""

    def older(found: re.Match[str]) -> str:
        return f"{found[1]}{int(found[2]) - 2 * DAY_MILLISECONDS}"

    for entry in lake.root.glob("*/**/_delta_log/*.json"):
        entry.write_text(re.sub(r'("(?:deletionTimestamp|timestamp)":)(\d+)', older, entry.read_text()))


def test_sql_as_of_a_version_shows_the_lake_as_it_was_then(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    for as_of, pages in (("shards/main@1", 20), ("shards/main", 21), (None, 21)):
        run(lake, sql, "SELECT count(*) AS pages FROM raw.web", form=Format.csv, output=None, max_rows=9, as_of=as_of)
        assert capsys.readouterr().out.split() == ["pages", str(pages)]
    for as_of, message in (("shards/main@x", "write a table, or a table and a version"), ("shards/man", "no table")):
        with pytest.raises(LakeError, match=message):
            run(lake, sql, "SELECT 1", form=Format.csv, output=None, max_rows=9, as_of=as_of)
