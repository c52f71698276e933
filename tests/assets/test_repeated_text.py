"""Repeats across the data files of a snapshot: what is counted in passes over all of them before one is measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from assets import measure
from assets.annotations import annotations_of
from lakehouse import annotate, identity
from lakehouse.commits import Origin
from lakehouse.lake import Lake
from resources import ComputeResource, LakeResource

DECLARED: list[Any] = [
    {"lines": {"kind": "shared_lines", "min_documents": 3}},
    {"sentences": {"kind": "shared_lines", "unit": "sentences", "across": "corpus"}},
    {"repeated_substrings": {"min_tokens": 6}},
    "gopher_quality",
]


def pages(n: int) -> pl.DataFrame:
    """Each has a menu of its host, a notice that every third has, and words of its own, some of them twice."""
    notice = "The club keeps this notice. Nobody may take it down. It stands here for all."
    texts = [
        f"Home | Letters\nPage {place} says {place * 7} and {place * 11}.\n{notice if place % 3 == 0 else place}"
        for place in range(n)
    ]
    return pl.DataFrame({"text": texts}).with_columns(
        doc_id=pl.Series([identity.hash_of(place) for place in range(n)]),
        text_id=pl.lit("t"),
        snapshot=pl.lit("s1"),
        source=pl.lit("web"),
        n_chars=pl.lit(1),
        n_words=pl.lit(1),
        parents=pl.lit([], pl.List(pl.String)),
        host=pl.int_range(pl.len()).cast(pl.String).str.tail(1) + ".test",
        language=pl.lit("en"),
    )


def built(root: Path, documents: pl.DataFrame, rows: int) -> Lake:
    """A lake of data files of so many rows, measured."""
    lake, files = Lake(root), []
    for ordinal, part in enumerate(documents.iter_slices(rows)):
        with lake.writer("raw/web", snapshot="s1", ordinal=ordinal) as writer:
            writer.write(part)
        files += writer.finished()
    lake.replace("raw/web", files, Origin(asset="raw/web"), snapshot="s1")
    resources = {"lake": LakeResource(root=str(root)), "compute": ComputeResource(workers=1)}
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("snapshot", ["s1"])
        assert dg.materialize(
            annotations_of("raw/web", DECLARED), partition_key="s1", resources=resources, instance=instance
        ).success
    return lake


def measured(lake: Lake, annotator: str) -> pl.DataFrame:
    return lake.scan(f"annotations/web/{annotator}").collect().sort("doc_id")


@pytest.fixture(scope="module")
def lakes(tmp_path_factory: pytest.TempPathFactory) -> list[Lake]:
    """The same documents in one data file, and in five in another order."""
    documents = pages(60)
    folder = tmp_path_factory.mktemp("repeats")
    return [built(folder / "one", documents, 60), built(folder / "five", documents.reverse(), 13)]


@pytest.mark.parametrize("annotator", ["lines", "sentences", "repeated_substrings"])
def test_a_snapshot_in_many_files_measures_as_one_batch_does(lakes: list[Lake], annotator: str) -> None:
    documents = pages(60).sort("doc_id")
    declared = next(one for one in DECLARED if annotator in one)
    alone = annotate.measure_all(documents, [annotate.annotator(declared)])[0]
    assert alone.to_series(1).list.len().sum() > 15
    for lake in lakes:
        assert measured(lake, annotator).drop("doc_id", "snapshot").equals(alone)


def test_nothing_is_left_of_the_counts(lakes: list[Lake]) -> None:
    for lake in lakes:
        assert [file for file in lake.scratch.rglob("*") if file.is_file()] == []


def test_counts_that_do_not_fit_in_memory_are_written_as_they_come(
    lakes: list[Lake], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure, "_MOST_COUNTS", 10)
    lake = built(tmp_path / "lake", pages(60), 20)
    for annotator in ("lines", "repeated_substrings"):
        assert measured(lake, annotator).equals(measured(lakes[0], annotator))


def test_sql_says_what_repeats_most(lakes: list[Lake]) -> None:
    query = """
        SELECT substr(text, edit.start + 1, edit."end" - edit.start) AS line, max(times) AS documents
        FROM (
            SELECT doc_id, unnest(shared_line_edits) AS edit, unnest(shared_line_counts) AS times
            FROM annotations.web__lines
        ) JOIN raw.web USING (doc_id)
        GROUP BY line ORDER BY documents DESC, line LIMIT 1
    """
    # 60 pages of ten hosts have the same menu, six of each host.
    assert lakes[1].sql(query).rows() == [("Home | Letters\n", 6)]
