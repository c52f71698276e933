"""What changed between two versions of a table."""

from __future__ import annotations

import tempfile
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse import schema
from lakehouse.commits import Origin
from lakehouse.govern import compare, compare_document, versions_to_compare
from lakehouse.lake import Lake, LakeError

KEPT, LEDGER, MEASURED = "filtered/web_clean", "rejects/web_clean", "annotations/web/measures"
MEASURES = pa.schema(
    [
        pa.field("doc_id", pa.string(), nullable=False),
        pa.field("snapshot", pa.string(), nullable=False),
        pa.field("score", pa.float64()),
        pa.field("cost", pa.decimal128(9, 3)),
        pa.field("tags", pa.list_(pa.string())),
        pa.field("place", pa.struct([pa.field("line", pa.int64()), pa.field("word", pa.string())])),
    ]
)
VALUES = ("score", "cost", "tags", "place")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "a lake")


def document(doc_id: str, text: str = "a text", **values: Any) -> dict[str, Any]:
    common = {"text_id": doc_id, "source": "web", "n_chars": len(text), "n_words": 2, "parents": [], "n_edits": 0}
    return {"doc_id": doc_id, "text": text, "url": f"http://web.test/{doc_id}", "duplicates": 1, **common, **values}


def dropped(doc_id: str, rule: str = "gopher_min_words", **values: Any) -> dict[str, Any]:
    return {"doc_id": doc_id, "source": "web", "stage": "quality", "rule": rule, "failed": [rule], **values}


def write(
    lake: Lake, table: str, rows: list[dict[str, Any]], origin: Origin | None = None, snapshot: str = "s1"
) -> int:
    declared = schema.layer_of(table).schema or MEASURES
    there = [{"snapshot": snapshot, **row} for row in rows]
    names = [name for name in declared.names if not there or name in there[0] or any(name in row for row in there)]
    frame = pl.DataFrame(there, schema={name: schema.empty(declared).schema[name] for name in names})
    columns = None if schema.layer_of(table).schema else MEASURES
    return lake.replace_frame(table, frame, origin or Origin("run", table), snapshot=snapshot, columns=columns).version


def write_set(
    lake: Lake, kept: list[dict[str, Any]], ledger: list[dict[str, Any]], snapshot: str = "s1", **origin: Any
) -> int:
    """Write a set and its ledger, as a build does."""
    version = write(lake, LEDGER, ledger, snapshot=snapshot)
    return write(lake, KEPT, kept, Origin("run", KEPT, details={"with": {LEDGER: version}}, **origin), snapshot)


# --- any rows

ROW = st.fixed_dictionaries(
    {
        "doc_id": st.sampled_from("abcdef"),
        "snapshot": st.sampled_from(["s1", "s2"]),
        "score": st.sampled_from([None, 0.0, 1.5, float("nan")]),
        "cost": st.sampled_from([None, Decimal("0.000"), Decimal("0.001")]),
        "tags": st.sampled_from([None, [], [None], ["x"], ["x", None], ["None"], ["x, None"]]),
        "place": st.sampled_from([None, *({"line": n, "word": word} for n in (None, 1) for word in (None, "x"))]),
    }
)


@settings(max_examples=40, deadline=None)
@given(st.lists(ROW, max_size=6), st.lists(ROW, max_size=6))
def test_any_two_versions_differ_as_dictionaries_of_their_rows_do(
    old: list[dict[str, Any]], new: list[dict[str, Any]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        lake = Lake(folder)
        for version in (old, new):
            for snapshot in ("s1", "s2"):
                write(lake, MEASURED, [row for row in version if row["snapshot"] == snapshot], snapshot=snapshot)
        difference = compare(lake, MEASURED, 2, 4, max_rows=100)

    # Of each key: the rows that only one side has are paired, first with first; what is left came or went. A row's
    # text tells NaN, null and lists apart.
    left = [
        Counter((row["doc_id"], repr([row[name] for name in MEASURES.names])) for row in rows) for rows in (old, new)
    ]
    gone, come = (Counter(key for key, _ in counts.elements()) for counts in (left[0] - left[1], left[1] - left[0]))
    expected = {
        "added": sum((come - gone).values()),
        "removed": sum((gone - come).values()),
        "changed": sum((come & gone).values()),
    }
    assert difference.totals == expected | {"unchanged": sum((left[0] & left[1]).values())}
    listed = Counter((row["change"], row["key"]["doc_id"]) for row in difference.rows)
    assert listed == Counter(
        [("added", key) for key in (come - gone).elements()]
        + [("removed", key) for key in (gone - come).elements()]
        + [("changed", key) for key in (come & gone).elements()]
    )
    if all(len({row["doc_id"] for row in rows}) == len(rows) for rows in (old, new)):
        pairs = [(a, b) for a in old for b in new if a["doc_id"] == b["doc_id"]]
        changed = Counter(name for a, b in pairs for name in ("snapshot", *VALUES) if repr(a[name]) != repr(b[name]))
        assert difference.columns == changed


def test_rows_without_a_key_are_added_or_removed_however_often_they_are_there(lake: Lake) -> None:
    columns = pa.schema([pa.field("rule", pa.string()), pa.field("documents", pa.int64())])
    for counts in ([("a", 1), (None, None), (None, None), ("b", 2)], [("a", 1), (None, None), ("b", 3)]):
        frame = pl.DataFrame(counts, schema=["rule", "documents"], orient="row")
        lake.replace_frame("stats/drops", frame, Origin("run", "stats/drops"), columns=columns)
    difference = compare(lake, "stats/drops", 1, 2, max_rows=5)
    assert difference.totals == {"added": 1, "removed": 2, "changed": 0, "unchanged": 2}
    assert [(row["change"], row["key"]) for row in difference.rows] == [
        ("added", {"rule": "b", "documents": 3}),
        ("removed", {"rule": "b", "documents": 2}),
        ("removed", {"rule": None, "documents": None}),
    ]


def test_a_text_and_token_ids_are_compared_to_the_last_character(lake: Lake) -> None:
    write(lake, KEPT, [document("a", "long " * 1000 + "x"), document("b")])
    write(lake, KEPT, [document("a", "long " * 1000 + "y"), document("b")])
    assert compare(lake, KEPT, 1, 2).columns == {"text": 1}

    def tokens(ids: list[int]) -> dict[str, Any]:
        return {"doc_id": "a", "component": KEPT, "text_id": "a", "text_hash": 1, "n_tokens": 3, "token_ids": ids}

    write(lake, "tokens/main", [tokens([1, 23])])
    write(lake, "tokens/main", [tokens([12, 3])])
    assert compare(lake, "tokens/main", 1, 2).columns == {"token_ids": 1}


def test_a_column_that_came_later_was_null_before(lake: Lake) -> None:
    table = "stats/sizes"
    narrow, wide = pa.schema([pa.field("rows", pa.int64())]), pa.schema([("rows", pa.int64()), ("bytes", pa.int64())])
    lake.replace_frame(table, pl.DataFrame({"rows": [1, 2]}), Origin("run", table), columns=narrow)
    lake.replace_frame(table, pl.DataFrame({"rows": [1, 2], "bytes": [None, 5]}), Origin("run", table), columns=wide)
    versions = versions_to_compare(lake, table, None, None)
    assert compare(lake, table, *versions).totals == {"added": 1, "removed": 1, "changed": 0, "unchanged": 1}


# --- the cost follows the change


def test_a_file_that_both_versions_share_is_not_read(lake: Lake) -> None:
    write(lake, KEPT, [document(name) for name in "abc"], snapshot="s1")
    write(lake, KEPT, [document("d"), document("e")], snapshot="s2")
    write(lake, KEPT, [document("e"), document("f")], snapshot="s2")
    (shared,) = lake.files(KEPT, snapshot="s1")
    shared.write_bytes(b"no Parquet")

    difference = compare(lake, KEPT, 2, 3)
    assert difference.totals == {"added": 1, "removed": 1, "changed": 0, "unchanged": 4}  # a, b, c and e
    assert difference.files_read == 2
    (found,) = compare_document(lake, KEPT, 2, 3, "f")
    assert found.before is None


def test_a_file_that_is_damaged_is_one_clear_error(lake: Lake) -> None:
    for name in "ab":
        write(lake, KEPT, [document(name)])
    lake.files(KEPT)[0].write_bytes(b"no Parquet")
    with pytest.raises(LakeError, match=r"filtered/web_clean: its versions cannot be compared: .*Parquet"):
        compare(lake, KEPT, 1, 2)


def test_rows_that_were_written_again_are_not_read(lake: Lake) -> None:
    for _ in range(2):
        write(lake, KEPT, [document(name) for name in "abc"])
    (file,) = lake.files(KEPT)
    file.write_bytes(b"no Parquet")
    difference = compare(lake, KEPT, 1, 2)
    assert difference.totals == {"added": 0, "removed": 0, "changed": 0, "unchanged": 3}
    assert difference.files_read == 0


def test_the_calls_that_a_journal_got_are_the_difference(lake: Lake) -> None:
    def append(*ids: str) -> None:
        common = dict.fromkeys(("doc_id", "recipe", "recipe_version", "model", "params_hash", "prompt_hash"), "x")
        rows = [{"request_id": name, "snapshot": "s1", "status": "ok", **common} for name in ids]
        frame = pl.DataFrame(rows).with_columns(created_at=pl.datetime(2026, 11, 21, time_zone="UTC")) if ids else None
        empty = schema.empty(schema.GENERATIONS)
        lake.append_frame("generations/rewrite", empty if frame is None else frame, Origin("r", "g"), snapshot="s1")

    append()
    append("a", "b")
    append()
    difference = compare(lake, "generations/rewrite", 1, 3)
    assert difference.totals == {"added": 2, "removed": 0, "changed": 0, "unchanged": 0}
    assert difference.after.rows == 2
    assert difference.groups == [
        {"snapshot": "s1", "recipe": "x", "status": "ok", "added": 2, "removed": 0, "changed": 0}
    ]


# --- why


@pytest.mark.parametrize("key", ["with", "rejects"])
def test_what_went_and_came_is_told_by_its_rule(lake: Lake, key: str) -> None:
    """Between the versions min_words went from 40 to 60, and the list of hosts was given up; z is a new page."""
    for kept, ledger in (
        ("abc", [dropped("d", "host"), dropped("e", threshold=40.0)]),
        ("adz", [dropped("b", value=50.0, threshold=60.0), dropped("c", threshold=60.0), dropped("e", threshold=60.0)]),
    ):
        version = write(lake, LEDGER, ledger)
        details = {"with": {LEDGER: version}} if key == "with" else {"rejects": version}
        write(lake, KEPT, [document(name) for name in kept], Origin("run", KEPT, details=details))

    difference = compare(lake, KEPT, 1, 2, max_rows=2)
    counts = [(rule["rule"], rule["removed"], rule["threshold_after"], rule["added"]) for rule in difference.rules]
    assert counts == [("gopher_min_words", 2, 60.0, 0), ("host", 0, None, 1), (None, 0, None, 1)]
    assert [(row["change"], row["key"]["doc_id"], row["rule"], row["value"]) for row in difference.rows] == [
        ("added", "d", "host", None),
        ("added", "z", None, None),
        ("removed", "b", "gopher_min_words", 50.0),
        ("removed", "c", "gopher_min_words", None),
    ]

    by_rule = {(row["rule_before"], row["rule_after"]): row["rows"] for row in compare(lake, LEDGER, 1, 2).rules}
    assert by_rule == {
        (None, "gopher_min_words"): 2,  # b and c
        ("gopher_min_words", "gopher_min_words"): 1,  # e: at another threshold
        ("host", None): 1,  # d
    }


def test_changes_are_counted_by_snapshot_source_and_language(lake: Lake) -> None:
    write(lake, KEPT, [document("a", language="en"), document("b", language="de"), document("c", language=None)])
    write(lake, KEPT, [document("a", language="fr"), document("d", language="de"), document("c", language=None)])
    assert compare(lake, KEPT, 1, 2).groups == [
        {"snapshot": "s1", "source": "web", "language": "de", "added": 1, "removed": 1, "changed": 0},
        {"snapshot": "s1", "source": "web", "language": "fr", "added": 0, "removed": 0, "changed": 1},
    ]


def test_what_else_was_different_is_said_of_each_snapshot(lake: Lake) -> None:
    for snapshot in ("s1", "s2"):
        write(lake, "raw/web", [document("a")], snapshot=snapshot)
    write(lake, "raw/web", [document("a"), document("b")], snapshot="s2")  # version 3: s1 is as it was
    for version, configuration in ((2, "abc"), (3, "def")):
        for snapshot in ("s1", "s2"):
            settings_of = "abc" if snapshot == "s2" else configuration
            origin = Origin("run", KEPT, f"1-{settings_of}", settings_of, {"raw/web": version})
            write(lake, KEPT, [document(f"{version}")], origin, snapshot)
    assert compare(lake, KEPT, 2, 4).notes == [
        {"note": "made with other settings: configuration def instead of abc", "snapshots": ["s1"]},
        {"note": "made from raw/web@3 instead of @2", "snapshots": ["s2"]},
    ]


# --- versions


def test_the_newest_version_is_compared_with_the_one_before_it(lake: Lake) -> None:
    write(lake, KEPT, [document("a")])
    with pytest.raises(LakeError, match="no rows before version 1: there is nothing to compare it with"):
        versions_to_compare(lake, KEPT, None, None)
    write(lake, KEPT, [document("b")])
    assert versions_to_compare(lake, KEPT, None, None) == (1, 2)
    lake.vacuum(KEPT, older_than_hours=0)  # Delta makes commits of it that write no rows
    assert lake.version(KEPT) > 2
    assert versions_to_compare(lake, KEPT, None, None) == (1, 2)
    assert versions_to_compare(lake, KEPT, 0, None) == (0, 2)
    assert compare(lake, KEPT, 0, 2).totals == {"added": 1, "removed": 0, "changed": 0, "unchanged": 0}
    assert compare(lake, KEPT, 2, 2).totals == {"added": 0, "removed": 0, "changed": 0, "unchanged": 1}


@pytest.mark.parametrize("version", [-1, 3])
def test_an_unknown_version_is_refused_with_those_that_exist(lake: Lake, version: int) -> None:
    for name in "ab":
        write(lake, KEPT, [document(name)])
    with pytest.raises(LakeError, match=rf"filtered/web_clean has no version {version}: it has versions 0 to 2\."):
        compare(lake, KEPT, version, 2)


def test_a_version_whose_files_were_vacuumed_is_refused(lake: Lake) -> None:
    for name in "abc":
        write_set(lake, [document(name)], [dropped("x", name)])
    lake.vacuum(LEDGER, older_than_hours=0)
    difference = compare(lake, KEPT, 2, 3)
    assert difference.totals["changed"] == 0
    assert difference.missing_ledgers == ["rejects/web_clean@2"]
    lake.vacuum(KEPT, older_than_hours=0, keep_versions=[2])
    assert compare(lake, KEPT, 2, 3).totals["added"] == 1
    with pytest.raises(LakeError, match=r"version 1 cannot be compared any more: vacuum removed 1 of its data files"):
        compare(lake, KEPT, 1, 3)


def test_a_restored_version_is_the_old_one_again(lake: Lake) -> None:
    write_set(lake, [document("a")], [dropped("b")])
    write_set(lake, [document("b")], [dropped("a", "host")])
    lake.restore(KEPT, 1)
    assert compare(lake, KEPT, 1, 3).totals == {"added": 0, "removed": 0, "changed": 0, "unchanged": 1}
    difference = compare(lake, KEPT, 2, 3)
    assert (difference.after.restored, difference.after.rows) == (1, 1)
    assert {(row["rule"], row["removed"], row["added"]) for row in difference.rules} == {
        ("gopher_min_words", 1, 0),
        ("host", 0, 1),
    }


# --- one document


@pytest.fixture
def edited(lake: Lake) -> Lake:
    """Of a to d: a is edited, b is dropped, c comes in, d is dropped in both; e is in a snapshot that stays."""
    write(lake, "raw/web", [document(name) for name in "abcd"])
    write_set(lake, [document("e")], [], "s0")
    write_set(lake, [document("a", "one\ntwo"), document("b")], [dropped("c", "host"), dropped("d", "host")])
    write_set(lake, [document("a", "one\n2"), document("c")], [dropped("b", value=3.0), dropped("d", "host")])
    return lake


@pytest.mark.parametrize("name", ["a", "http://web.test/a"])
def test_a_document_is_found_by_its_id_and_by_its_address(edited: Lake, name: str) -> None:
    (found,) = compare_document(edited, KEPT, 2, 3, name)
    assert found.columns == ["text", "n_chars"]
    assert found.before is not None
    assert found.before["text"] == "one\ntwo"


def test_a_document_that_is_in_one_version_comes_with_the_ledger_row_of_the_other(edited: Lake) -> None:
    (gone,) = compare_document(edited, KEPT, 2, 3, "http://web.test/b")
    assert (gone.after, gone.ledger_before) == (None, None)
    assert gone.ledger_after is not None
    assert (gone.ledger_after["rule"], gone.ledger_after["value"]) == ("gopher_min_words", 3.0)
    (come,) = compare_document(edited, KEPT, 2, 3, "c")
    assert come.before is None
    assert come.ledger_before is not None
    assert come.ledger_before["rule"] == "host"


def test_a_document_that_was_dropped_in_both_versions_comes_with_both_ledger_rows(edited: Lake) -> None:
    (found,) = compare_document(edited, KEPT, 2, 3, "http://web.test/d")
    assert (found.before, found.after) == (None, None)
    assert [row and row["rule"] for row in (found.ledger_before, found.ledger_after)] == ["host", "host"]


def test_a_document_that_stayed_is_found_in_the_files_that_both_versions_share(edited: Lake) -> None:
    (found,) = compare_document(edited, KEPT, 2, 3, "e")
    assert found.before == found.after
    assert found.columns == []


def test_in_a_table_without_addresses_a_document_is_found_by_its_page(edited: Lake) -> None:
    for score in (0.5, 0.75):
        write(edited, MEASURED, [{"doc_id": "a", "score": score}])
    (found,) = compare_document(edited, MEASURED, 1, 2, "http://web.test/a")
    assert found.columns == ["score"]


def test_a_document_that_nobody_knows_is_one_clear_line(edited: Lake) -> None:
    with pytest.raises(LakeError, match="Neither version 2 nor version 3 of filtered/web_clean has 'nobody'"):
        compare_document(edited, KEPT, 2, 3, "nobody")
