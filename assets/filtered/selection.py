"""From documents and their measurements to kept rows and a ledger.

Decisions are made over narrow columns, a whole snapshot at once (some 400 bytes a document); the text is then copied a
data file at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from lakehouse import dedup, schema, select
from lakehouse.data_files import DataFile, read_batches
from lakehouse.lake import Lake
from lakehouse.select import Condition

_ORIGIN = [field.name for field in schema.ORIGIN_COLUMNS]
_NARROW = ["doc_id", "text_id", "source", "n_chars", "language", "language_score", *_ORIGIN]


@dataclass(frozen=True)
class Decisions:
    """What becomes of each document of a snapshot, in the order of the source's rows.

    Attributes:
        kept: one row a document: `kept` (Boolean) and `duplicates`, the copies that a kept one stands for.
        rejects: the ledger rows of the others.
    """

    kept: pl.DataFrame
    rejects: pl.DataFrame


@dataclass(frozen=True)
class CopyUnit:
    """One data file of the source and, for each of its rows, the copies it stands for: 0 for a dropped one."""

    root: Path
    table: str
    snapshot: str
    file: Path
    ordinal: int
    duplicates: np.ndarray


def measured_documents(
    files: list[Path], source_columns: Sequence[str], annotations: Sequence[pl.LazyFrame], columns: set[str]
) -> pl.DataFrame:
    """The narrow columns of a snapshot's documents with their measurements, in the order of the source's rows.

    Where an annotator measures what the source has too, its measurement counts: Gopher's `n_words` leaves symbols out.
    """
    measured = {name for annotation in annotations for name in annotation.collect_schema()} - {"doc_id", "snapshot"}
    narrow = [name for name in dict.fromkeys([*_NARROW, *sorted(columns)]) if name in source_columns]
    narrow = [name for name in narrow if name not in measured]
    frame = pl.scan_parquet(files, hive_partitioning=False).select(narrow) if files else pl.LazyFrame(schema=narrow)
    for annotation in annotations:
        frame = frame.join(annotation.drop("snapshot"), on="doc_id", how="left", maintain_order="left")
    return frame.collect()


def decide(
    measured: pl.DataFrame,
    conditions: Sequence[Condition],
    *,
    duplicates: bool,
    earlier: pl.DataFrame | None,
    snapshot: str,
) -> Decisions:
    """Apply the rules, then drop copies among what they leave.

    Args:
        measured: n documents, as `measured_documents` gives them.
        duplicates: whether copies are dropped.
        earlier: `doc_id` and `text_id` of what other snapshots kept; their texts win.
    """
    verdicts = select.decide(measured, conditions)
    if not duplicates:
        copies = dedup.exact_duplicates(measured.clear())
    else:
        copies = dedup.exact_duplicates(measured.filter(verdicts["kept"]), earlier)
    by_rule = verdicts.filter(~pl.col("kept")).drop("kept")
    by_copy = copies.with_columns(
        stage=pl.lit("duplicates"), rule=pl.lit("exact_duplicate"), failed=pl.lit(["exact_duplicate"])
    )
    ledger = pl.concat([by_rule, by_copy], how="diagonal")
    origin = measured.select("doc_id", "source", *_ORIGIN)
    rejects = origin.join(ledger, on="doc_id", how="inner", maintain_order="left")
    stands_for = dedup.copies(copies)
    kept = measured.select("doc_id").join(
        ledger.select("doc_id", "rule"), on="doc_id", how="left", maintain_order="left"
    )
    kept = kept.join(stands_for, on="doc_id", how="left", maintain_order="left")
    return Decisions(
        kept.select(kept=pl.col("rule").is_null(), duplicates=pl.col("copies").fill_null(1).cast(pl.Int64)),
        rejects.with_columns(snapshot=pl.lit(snapshot)),
    )


def copy_units(root: Path, table: str, snapshot: str, files: Sequence[Path], kept: pl.DataFrame) -> list[CopyUnit]:
    """One unit a data file of the source, each with the decisions on its rows."""
    marks = kept.select(pl.when("kept").then("duplicates").otherwise(0)).to_series().to_numpy()
    ends = np.cumsum([pq.read_metadata(file).num_rows for file in files])
    return [
        CopyUnit(root, table, snapshot, file, ordinal, part)
        for ordinal, (file, part) in enumerate(zip(files, np.split(marks, ends[:-1]), strict=True))
    ]


def copy_kept(unit: CopyUnit) -> list[DataFile]:
    """Write the kept rows of one data file into the filtered set."""
    names = [name for name in schema.FILTERED.names if name not in ("snapshot", "duplicates", "n_edits")]
    done = 0
    with Lake(unit.root).writer(unit.table, snapshot=unit.snapshot, ordinal=unit.ordinal) as writer:
        for batch in read_batches(unit.file, names):
            duplicates = pl.Series("duplicates", unit.duplicates[done : done + batch.height], dtype=pl.Int64)
            done += batch.height
            kept = batch.with_columns(
                duplicates,
                snapshot=pl.lit(unit.snapshot),
                n_edits=pl.lit(0, dtype=pl.Int64),
                parents=pl.concat_list("doc_id"),
            )
            writer.write(kept.filter(pl.col("duplicates") > 0))
    return writer.finished()
