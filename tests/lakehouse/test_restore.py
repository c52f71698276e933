"""Rows that are written again, and versions that are restored."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from lakehouse.commits import Commit, Origin, in_effect, rows_changed
from lakehouse.lake import Lake, LakeError

KEPT, LEDGER = "filtered/web_clean", "rejects/web_clean"


def kept(snapshot: str, *ids: str) -> pl.DataFrame:
    common = {"source": "web", "text": "a text", "n_chars": 6, "n_words": 2, "parents": [], "n_edits": 0}
    return pl.DataFrame(
        [{"doc_id": name, "text_id": name, "snapshot": snapshot, "duplicates": 1, **common} for name in ids],
        schema_overrides={"parents": pl.List(pl.String)},
    )


def dropped(snapshot: str, *ids: str) -> pl.DataFrame:
    row = {"source": "web", "stage": "quality", "rule": "gopher_min_words", "failed": ["gopher_min_words"]}
    return pl.DataFrame([{"doc_id": name, "snapshot": snapshot, **row} for name in ids])


def write(lake: Lake, snapshot: str, keep: str, drop: str, code_version: str = "1-abc") -> Commit:
    """Write one letter a document: those that are kept, and those in the ledger."""
    origin = Origin("run", LEDGER, code_version, "abc", {"raw/web": 1})
    ledger = lake.replace_frame(LEDGER, dropped(snapshot, *drop), origin, snapshot=snapshot)
    origin = Origin("run", KEPT, code_version, "abc", {"raw/web": 1}, {"with": {LEDGER: ledger.version}})
    return lake.replace_frame(KEPT, kept(snapshot, *keep), origin, snapshot=snapshot)


def ids(lake: Lake, table: str) -> list[tuple[str, str]]:
    return sorted(lake.scan(table).select("snapshot", "doc_id").collect().rows())


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Two snapshots; the second was written twice: (a b | c) and (d e | f), then (d | e f)."""
    lake = Lake(tmp_path / "a lake")
    write(lake, "s1", "ab", "c")
    write(lake, "s2", "de", "f")
    write(lake, "s2", "d", "ef", "1-other")
    return lake


def test_the_same_rows_keep_their_data_version_and_others_get_a_new_one(lake: Lake) -> None:
    first = lake.last_commit(KEPT, "s1")
    assert first is not None
    again = write(lake, "s1", "ab", "c", "2-abc")
    assert again.version > first.version
    assert (again.content_version, again.data_version) == (first.version, first.data_version)
    assert again.code_version == "2-abc"
    assert again.rows == 2
    assert write(lake, "s1", "abc", "").data_version.endswith(f"@{again.version + 1}")
    # What was there once and is there again is new to those who read what was between.
    assert write(lake, "s1", "ab", "c").content_version == again.version + 2


def test_the_same_rows_in_another_snapshot_or_order_are_other_rows(lake: Lake) -> None:
    assert write(lake, "s3", "ab", "c").content_version == lake.version(KEPT)
    assert write(lake, "s1", "ba", "c").content_version == lake.version(KEPT)


def test_an_append_without_rows_is_no_new_content_unless_it_says_something_new(lake: Lake) -> None:
    def append(model: str) -> Commit:
        origin = Origin("run", "generations/rewrite", details={"model": model})
        return lake.append("generations/rewrite", [], origin, snapshot="s1")

    first = append("a")
    assert append("a").content_version == first.version
    assert append("b").content_version == first.version + 2


def test_restoring_puts_the_rows_and_their_ledger_back_in_one_commit_each(lake: Lake) -> None:
    files = set(lake.files(KEPT, version=2))
    head = lake.version(KEPT)
    commits = lake.restore(KEPT, 2)

    assert ids(lake, KEPT) == [("s1", "a"), ("s1", "b"), ("s2", "d"), ("s2", "e")]
    assert ids(lake, LEDGER) == [("s1", "c"), ("s2", "f")]
    assert set(lake.files(KEPT)) == files, "nothing is rewritten"
    assert lake.version(KEPT) == head + 1
    assert ids_at(lake, KEPT, head) == [("s1", "a"), ("s1", "b"), ("s2", "d")], "nothing is lost"
    assert {(commit.table, commit.version, commit.partition) for commit in commits} == {
        (table, head + 1, snapshot) for table in (KEPT, LEDGER) for snapshot in ("s1", "s2")
    }


def ids_at(lake: Lake, table: str, version: int) -> list[tuple[str, str]]:
    return sorted(lake.scan(table, version=version).select("snapshot", "doc_id").collect().rows())


def test_a_restored_snapshot_is_what_its_own_commit_had_made(lake: Lake) -> None:
    original = lake.commit_at(KEPT, 2)
    lake.restore(KEPT, 2)
    restored = lake.last_commit(KEPT, "s2")
    assert restored is not None
    assert restored.code_version == original.code_version == "1-abc"
    assert restored.inputs == original.inputs
    assert restored.rows == 2
    assert restored.data_version == original.data_version
    assert restored.details["restored"] == 2


def test_a_snapshot_that_was_not_there_yet_is_empty_after_a_restore_and_counts_as_never_built(lake: Lake) -> None:
    lake.restore(KEPT, 1)
    assert ids(lake, KEPT) == [("s1", "a"), ("s1", "b")]
    last = lake.last_commit(KEPT, "s2")
    assert last is not None
    assert (last.rows, last.code_version) == (0, "")


def test_a_restore_can_be_restored_and_written_over(lake: Lake) -> None:
    lake.restore(KEPT, 2)
    lake.restore(KEPT, 3)
    assert ids(lake, KEPT) == [("s1", "a"), ("s1", "b"), ("s2", "d")]
    write(lake, "s2", "x", "y")
    assert ids(lake, KEPT) == [("s1", "a"), ("s1", "b"), ("s2", "x")]
    history = [(commit.version, commit.partition) for commit in lake.history(KEPT) if commit.asset]
    assert sorted(history) == sorted(set(history))


@pytest.mark.parametrize(
    ("table", "version", "message"),
    [
        (KEPT, 3, "filtered/web_clean is at version 3 already"),
        (KEPT, 9, "filtered/web_clean has no version 9: see `lakehouse history filtered/web_clean`"),
        (LEDGER, 1, "rejects/web_clean is written together with filtered/web_clean: restore that"),
        ("generations/rewrite", 0, "journal of calls that were paid for"),
        ("filtered/other", 1, "There is no table 'filtered/other'"),
    ],
)
def test_what_cannot_be_restored_is_one_clear_line(lake: Lake, table: str, version: int, message: str) -> None:
    lake.append("generations/rewrite", [], Origin("run", "generations/rewrite"), snapshot="s1")
    before = {table: lake.version(table) for table in lake.tables()}
    with pytest.raises(LakeError, match=message):
        lake.restore(table, version)
    assert {table: lake.version(table) for table in lake.tables()} == before


def test_a_version_whose_files_were_removed_is_refused(lake: Lake) -> None:
    lake.vacuum(KEPT, older_than_hours=0)
    with pytest.raises(LakeError, match=r"version 2 cannot be restored: vacuum removed .*\.parquet"):
        lake.restore(KEPT, 2)


def test_rows_changed_follows_contents_not_version_numbers(lake: Lake) -> None:
    def changed(pinned: int, snapshot: str | None, since: timedelta = timedelta()) -> bool:
        history = lake.history(KEPT)
        now = max(commit.committed_at for commit in history) + timedelta(seconds=1)
        return rows_changed(
            history, pinned, None, now + since, lambda commit: snapshot is None or commit.partition == snapshot
        )

    assert not changed(3, None)
    assert changed(2, "s2")  # the third version replaced it
    assert not changed(2, "s1")  # which nobody touched
    assert changed(2, None)
    lake.restore(KEPT, 2)
    assert changed(3, "s2"), "an older version is another one"
    assert not changed(2, "s2"), "what was made from version 2 is right again"
    # The same version number of a table that was made anew since then.
    assert changed(4, "s2", since=timedelta(days=-1))


@pytest.fixture
def history(lake: Lake) -> list[Commit]:
    return lake.history(KEPT)


def test_the_commits_in_effect_are_the_newest_of_each_snapshot(history: list[Commit]) -> None:
    assert {place: commit.version for place, commit in in_effect(history).items()} == {"s1": 1, "s2": 3}
    assert {place: commit.version for place, commit in in_effect(history, 2).items()} == {"s1": 1, "s2": 2}
    assert in_effect(history, 0) == {}
