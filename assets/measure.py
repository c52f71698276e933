"""What a worker process does to measure documents, apart from Dagster, which would double its start."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from lakehouse import annotate, schema
from lakehouse.data_files import DataFile, read_batches
from lakehouse.lake import Lake


@dataclass(frozen=True)
class AnnotationUnit:
    """One data file of a set, and the annotators that measure its documents."""

    root: Path
    table: str
    snapshot: str
    file: Path
    ordinal: int
    annotators: tuple[str, ...]


def annotation_table(table: str, annotator: str) -> str:
    """The table of one annotator's measurements of the set that is in `table`."""
    return f"annotations/{table.split('/')[1]}/{annotator}"


def columns_of(name: str) -> object:
    """The Arrow schema of an annotator's tables."""
    return schema.annotation_schema(annotate.annotator(name).columns)


def measure_file(unit: AnnotationUnit) -> dict[str, list[DataFile]]:
    """Measure the documents of one data file; return the data files written for each annotator."""
    lake = Lake(unit.root)
    annotators = [annotate.annotator(name) for name in unit.annotators]
    writers = {
        annotator.name: lake.writer(
            annotation_table(unit.table, annotator.name),
            snapshot=unit.snapshot,
            ordinal=unit.ordinal,
            columns=columns_of(annotator.name),
        )
        for annotator in annotators
    }
    for documents in read_batches(unit.file):
        ids = documents.select("doc_id", snapshot=pl.lit(unit.snapshot))
        for annotator, measured in zip(annotators, annotate.measure_all(documents, annotators), strict=True):
            writers[annotator.name].write(ids.hstack(measured))
    for writer in writers.values():
        writer.close()
    return {name: writer.finished() for name, writer in writers.items()}
