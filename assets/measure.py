"""What a worker process does to measure documents, apart from Dagster, which would double its start."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import polars as pl

from lakehouse import annotate, schema
from lakehouse.annotate import Annotator, Batch, Declaration
from lakehouse.data_files import DataFile, read_batches
from lakehouse.lake import Lake


@dataclass(frozen=True)
class AnnotationUnit:
    """One data file of a set, the annotators that measure its documents, and what their surveys found, by name."""

    root: Path
    table: str
    snapshot: str
    file: Path
    ordinal: int
    annotators: tuple[Declaration, ...]
    surveys: Mapping[str, Path] = field(default_factory=dict)


def annotation_table(table: str, annotator: str) -> str:
    """The table of one annotator's measurements of the set that is in `table`."""
    return f"annotations/{table.split('/')[1]}/{annotator}"


def measure_file(unit: AnnotationUnit) -> dict[str, list[DataFile]]:
    """Measure the documents of one data file; return the data files written for each annotator."""
    lake = Lake(unit.root)
    annotators = [_surveyed(annotate.annotator(declared), unit.surveys) for declared in unit.annotators]
    writers = {
        annotator.name: lake.writer(
            annotation_table(unit.table, annotator.name),
            snapshot=unit.snapshot,
            ordinal=unit.ordinal,
            columns=schema.annotation_schema(annotator.columns),
        )
        for annotator in annotators
    }
    for documents in _documents(unit.file, annotators):
        ids = documents.select("doc_id", snapshot=pl.lit(unit.snapshot))
        for annotator, measured in zip(annotators, annotate.measure_all(documents, annotators), strict=True):
            writers[annotator.name].write(ids.hstack(measured))
    for writer in writers.values():
        writer.close()
    return {name: writer.finished() for name, writer in writers.items()}


def survey_file(unit: AnnotationUnit) -> dict[str, Path]:
    """Count the documents of one data file for annotators that need it; return the files of counts by annotator."""
    annotators = [annotate.annotator(declared) for declared in unit.annotators]
    parts: dict[str, list[pl.DataFrame]] = {}
    for documents in _documents(unit.file, annotators):
        for annotator in annotators:
            assert annotator.survey is not None
            parts.setdefault(annotator.name, []).append(annotator.survey.count(Batch(documents)))
    written = {}
    for name, counts in parts.items():
        counted = pl.concat(counts)
        keys = [column for column in counted.columns if column != "documents"]
        written[name] = Lake(unit.root).scratch / f"survey-{uuid.uuid4().hex}.parquet"
        written[name].parent.mkdir(parents=True, exist_ok=True)
        counted.group_by(keys).agg(pl.col("documents").sum()).write_parquet(written[name])
    return written


def merge_surveys(root: Path, annotator: Annotator, parts: Sequence[Path]) -> Path:
    """Add up the counts of all data files, and remove their files; keys that occur too seldom are left out.

    What does not fit in memory goes to the scratch folder.
    """
    assert annotator.survey is not None
    lake = Lake(root)
    merged = lake.scratch / f"survey-{uuid.uuid4().hex}.parquet"
    with duckdb.connect(config={"temp_directory": str(lake.scratch / "duckdb")}) as connection:
        counts = connection.read_parquet([str(part) for part in parts])
        keys = ", ".join(f'"{column}"' for column in counts.columns if column != "documents")
        summed = counts.aggregate(f"{keys}, sum(documents)::BIGINT AS documents", keys)
        summed.filter(f"documents >= {annotator.survey.least}").write_parquet(str(merged))
    for part in parts:
        part.unlink()
    return merged


def _surveyed(annotator: Annotator, surveys: Mapping[str, Path]) -> Annotator:
    """The annotator with what was counted over the whole snapshot, where it asks for that."""
    if annotator.survey is None:
        return annotator
    measure, counts = annotator.survey.measure, pl.read_parquet(surveys[annotator.name])
    return dataclasses.replace(annotator, measure=lambda batch: measure(batch, counts))


def _documents(file: Path, annotators: Sequence[Annotator]) -> Iterator[pl.DataFrame]:
    """What the annotators look at, a batch at a time."""
    needed = dict.fromkeys(("doc_id", "text", "language", *(name for one in annotators for name in one.needs)))
    return read_batches(file, list(needed))
