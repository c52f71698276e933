"""What a worker process does to measure documents, apart from Dagster, which would double its start."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import polars as pl
import pyarrow.parquet as pq

from lakehouse import annotate, schema
from lakehouse.annotate import Annotator, Batch, Declaration
from lakehouse.annotate.annotator import add_up
from lakehouse.data_files import DataFile, read_batches
from lakehouse.lake import Lake

_MOST_COUNTS = 4_000_000
"""Rows of counts of one data file that are in memory at once."""
_MERGING_MEMORY = "2GB"


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
    annotators = [_surveyed(annotate.annotator(declared), unit) for declared in unit.annotators]
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
    """Count what is in the documents of one data file for annotators that need it; return the files of counts by name.

    An annotator whose first count is among `unit.surveys` counts again.
    """
    annotators = [annotate.annotator(declared) for declared in unit.annotators]
    count = {annotator.name: _counting(annotator, unit) for annotator in annotators}
    writers = {annotator.name: _CountsWriter(_scratch_file(Lake(unit.root)), unit.ordinal) for annotator in annotators}
    for documents in _documents(unit.file, annotators):
        batch = Batch(documents)
        for name, writer in writers.items():
            writer.write(count[name](batch))
    return {name: file for name, writer in writers.items() if (file := writer.close())}


def merge_surveys(root: Path, annotator: Annotator, parts: Sequence[Path]) -> Path:
    """Add up the counts of all data files, and remove their files; keys that occur too seldom are left out.

    What does not fit in memory goes to the scratch folder.

    Returns:
        A file with the keys of each data file and their counts over the snapshot, sorted by its ordinal and the keys:
        a worker reads no more of it than what is in its data file.
    """
    assert annotator.survey is not None
    lake = Lake(root)
    merged = _scratch_file(lake)
    room = lake.scratch / "duckdb"
    with duckdb.connect(config={"temp_directory": str(room), "memory_limit": _MERGING_MEMORY}) as connection:
        connection.read_parquet([str(part) for part in parts]).create_view("parts")
        columns = [column for column in connection.table("parts").columns if column != "ordinal"]
        sums = {"documents": "sum(documents)::BIGINT AS documents", "first": 'min("first") AS "first"'}
        keys = ", ".join(f'"{column}"' for column in columns if column not in sums)
        counts = ", ".join(sums[column] for column in columns if column in sums)
        connection.sql(
            f"SELECT ordinal, {keys}, found.* EXCLUDE ({keys}) FROM parts JOIN ("
            f"SELECT {keys}, {counts} FROM parts GROUP BY {keys} HAVING sum(documents) >= {annotator.survey.least}"
            f") AS found USING ({keys}) ORDER BY ordinal, {keys}"
        ).write_parquet(str(merged))
    for part in parts:
        part.unlink()
    return merged


class _CountsWriter:
    """Writes the counts of one data file, adding them up as they come, to a file that need not fit in memory."""

    def __init__(self, file: Path, ordinal: int) -> None:
        self._file = file
        self._ordinal = ordinal
        self._pending: list[pl.DataFrame] = []
        self._parquet: pq.ParquetWriter | None = None

    def write(self, counts: pl.DataFrame) -> None:
        """Add the counts of a batch."""
        self._pending.append(counts)
        if sum(part.height for part in self._pending) >= _MOST_COUNTS:
            self._pending = [add_up(pl.concat(self._pending))]
            if self._pending[0].height >= _MOST_COUNTS // 2:
                self._flush()

    def close(self) -> Path | None:
        """Write what is pending; return the file, if there were documents."""
        if self._pending:
            self._pending = [add_up(pl.concat(self._pending))]
            self._flush()
        if self._parquet is None:
            return None
        self._parquet.close()
        return self._file

    def _flush(self) -> None:
        (counts,) = self._pending
        self._pending = []
        table = counts.with_columns(ordinal=pl.lit(self._ordinal, pl.Int64)).to_arrow()
        if self._parquet is None:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._parquet = pq.ParquetWriter(self._file, table.schema)
        self._parquet.write_table(table)


def _counting(annotator: Annotator, unit: AnnotationUnit) -> Callable[[Batch], pl.DataFrame]:
    survey = annotator.survey
    assert survey is not None
    if annotator.name not in unit.surveys:
        return survey.count
    assert survey.count_again is not None
    count_again, counts = survey.count_again, _counts(annotator, unit)
    return lambda batch: count_again(batch, counts)


def _surveyed(annotator: Annotator, unit: AnnotationUnit) -> Annotator:
    """The annotator with what was counted over the whole snapshot, where it asks for that."""
    if annotator.survey is None:
        return annotator
    measure, counts = annotator.survey.measure, _counts(annotator, unit)
    return dataclasses.replace(annotator, measure=lambda batch: measure(batch, counts))


def _counts(annotator: Annotator, unit: AnnotationUnit) -> pl.DataFrame:
    """The keys that occur in the unit's data file, and their counts over the snapshot."""
    counts = pl.scan_parquet(unit.surveys[annotator.name])
    return counts.filter(pl.col("ordinal") == unit.ordinal).drop("ordinal").collect()


def _scratch_file(lake: Lake) -> Path:
    return lake.scratch / f"survey-{uuid.uuid4().hex}.parquet"


def _documents(file: Path, annotators: Sequence[Annotator]) -> Iterator[pl.DataFrame]:
    """What the annotators look at, a batch at a time."""
    needed = dict.fromkeys(("doc_id", "text", "language", *(name for one in annotators for name in one.needs)))
    return read_batches(file, list(needed))
