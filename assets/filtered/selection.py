"""From documents and their measurements to kept rows and a ledger.

Decisions are made over narrow columns, a whole snapshot at once (some 400 bytes a document); the text is then copied,
and edited where that is asked for, a data file at a time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from lakehouse import dedup, schema, select
from lakehouse.data_files import DataFile, read_batches
from lakehouse.identity import text_id
from lakehouse.lake import Lake
from lakehouse.select import Column, Edits, Rule

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
class FoundEdits:
    """Edits to make, and where they are: in the data files of an annotator's measurements of one snapshot.

    Attributes:
        files: named after the place of the data file that was measured, as every writer names them.
    """

    edits: Edits
    files: tuple[Path, ...]


@dataclass(frozen=True)
class CopyUnit:
    """One data file of the source and, for each of its rows, the copies it stands for: 0 for a dropped one."""

    root: Path
    table: str
    snapshot: str
    file: Path
    ordinal: int
    duplicates: np.ndarray
    edits: tuple[FoundEdits, ...] = ()


@dataclass(frozen=True)
class Copied:
    """What was written of one data file, and the documents of which the edits left nothing."""

    files: list[DataFile]
    emptied: list[str] = field(default_factory=list)


def measured_documents(
    files: list[Path],
    source: pa.Schema,
    annotations: Mapping[str, pl.LazyFrame],
    columns: Sequence[Column],
) -> pl.DataFrame:
    """The narrow columns of a snapshot's documents with their measurements, in the order of the source's rows.

    Args:
        source: the schema of the documents.
        annotations: what each annotator measured.
        columns: what rules look at; an annotator's are named `<annotator>.<column>` in what is returned.
    """
    wanted = [*_NARROW, *(column.name for column in columns if column.annotator is None)]
    narrow = [name for name in dict.fromkeys(wanted) if name in source.names]
    documents = pl.scan_parquet(files, hive_partitioning=False) if files else schema.empty(source).lazy()
    frame = documents.select(narrow)
    for annotator, measured in annotations.items():
        names = {column.name: column.qualified for column in columns if column.annotator == annotator}
        frame = frame.join(
            measured.select("doc_id", *names).rename(names), on="doc_id", how="left", maintain_order="left"
        )
    return frame.collect()


def decide(
    measured: pl.DataFrame,
    rules: Sequence[Rule],
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
    verdicts = select.decide(measured, rules)
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


def drawn(measured: pl.DataFrame, is_drawn: pl.Series, snapshot: str) -> Decisions:
    """The decisions of a draw: one truth value a document."""
    rejects = measured.filter(~is_drawn).select("doc_id", "source", *_ORIGIN)
    ledger = rejects.with_columns(
        snapshot=pl.lit(snapshot), stage=pl.lit("control"), rule=pl.lit("not_drawn"), failed=pl.lit(["not_drawn"])
    )
    return Decisions(pl.DataFrame({"kept": is_drawn}).with_columns(duplicates=pl.lit(1, pl.Int64)), ledger)


def copy_units(
    root: Path,
    table: str,
    snapshot: str,
    files: Sequence[Path],
    kept: pl.DataFrame,
    edits: Sequence[FoundEdits] = (),
) -> list[CopyUnit]:
    """One unit a data file of the source, each with the decisions on its rows and the edits to make."""
    if not files:
        return []
    marks = kept.select(pl.when("kept").then("duplicates").otherwise(0)).to_series().to_numpy()
    ends = np.cumsum([pq.read_metadata(file).num_rows for file in files])
    return [
        CopyUnit(root, table, snapshot, file, ordinal, part, tuple(edits))
        for ordinal, (file, part) in enumerate(zip(files, np.split(marks, ends[:-1]), strict=True))
    ]


def copy_kept(unit: CopyUnit) -> Copied:
    """Write the kept rows of one data file into the filtered set, edited."""
    names = [name for name in schema.FILTERED.names if name not in ("snapshot", "duplicates", "n_edits", "edits")]
    found = [_edits_of(one, unit) for one in unit.edits]
    emptied: list[str] = []
    done = 0
    with Lake(unit.root).writer(unit.table, snapshot=unit.snapshot, ordinal=unit.ordinal) as writer:
        for batch in read_batches(unit.file, names):
            duplicates = pl.Series("duplicates", unit.duplicates[done : done + batch.height], dtype=pl.Int64)
            done += batch.height
            kept = batch.with_columns(duplicates, parents=pl.concat_list("doc_id")).filter(pl.col("duplicates") > 0)
            kept = _edited(kept, found)
            emptied += kept.filter(pl.col("n_chars") == 0)["doc_id"].to_list()
            writer.write(kept.filter(pl.col("n_chars") > 0).with_columns(snapshot=pl.lit(unit.snapshot)))
    return Copied(writer.finished(), emptied)


def ledger_of_emptied(measured: pl.DataFrame, emptied: Sequence[str], snapshot: str) -> pl.DataFrame:
    """Ledger rows of the documents of which the edits left nothing."""
    rows = measured.filter(pl.col("doc_id").is_in(list(emptied))).select("doc_id", "source", *_ORIGIN)
    return rows.with_columns(
        snapshot=pl.lit(snapshot),
        stage=pl.lit("edits"),
        rule=pl.lit("empty_after_edits"),
        value=pl.lit(0.0),
        failed=pl.lit(["empty_after_edits"]),
    )


def _edits_of(found: FoundEdits, unit: CopyUnit) -> pl.DataFrame:
    """doc_id and edits of the documents of the unit's data file."""
    ids = pl.scan_parquet(unit.file).select("doc_id").collect()["doc_id"]
    own = [file for file in found.files if int(file.name.partition("-")[0]) == unit.ordinal]
    for files in (own, list(found.files)):
        rows = pl.scan_parquet(files).select("doc_id", edits=found.edits.chosen()) if files else None
        edits = rows.filter(pl.col("doc_id").is_in(ids.implode())).collect() if rows is not None else None
        # The same documents may lie in other files: those of a source that was written anew since.
        if edits is not None and edits.height == len(ids):
            break
    return edits if edits is not None else pl.DataFrame(schema={"doc_id": pl.String, "edits": pl.List(pl.Struct({}))})


def _edited(documents: pl.DataFrame, found: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """The documents with their edits made, and what follows from the text computed anew where it changed."""
    if not found or documents.is_empty():
        return documents.with_columns(n_edits=pl.lit(0, dtype=pl.Int64), edits=pl.lit(None))
    joined = [documents.select("doc_id").join(one, on="doc_id", how="left", maintain_order="left") for one in found]
    edits = select.merge_edits([one["edits"] for one in joined])
    texts = select.apply_edits(documents["text"], edits)
    changed = edits.list.len() > 0
    ids = documents["text_id"]
    if changed.any():
        ids = ids.scatter(changed.arg_true(), [text_id(text) for text in texts.filter(changed)])
    return documents.with_columns(
        texts,
        ids,
        edits.alias("edits"),
        n_edits=edits.list.len().cast(pl.Int64),
        n_chars=texts.str.len_chars().cast(pl.Int64),
        n_words=texts.str.count_matches(r"\S+").cast(pl.Int64),
    )
