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

from lakehouse import schema, select
from lakehouse.data_files import DataFile, read_batches, scan_files
from lakehouse.identity import text_id
from lakehouse.lake import Lake
from lakehouse.select import Column, Edits

_ORIGIN = [field.name for field in schema.ORIGIN_COLUMNS]
_COPIES = ["duplicates", "hosts"]
_NARROW = ["doc_id", "text_id", "source", "n_chars", "language", "language_score", *_COPIES, *_ORIGIN]
_LEDGER = ["stage", "rule", "value", "threshold", "evidence", "failed"]


@dataclass(frozen=True)
class Decisions:
    """What becomes of each document of a snapshot, in the order of the source's rows.

    Attributes:
        kept: one row a document: `doc_id`, `kept` (Boolean), `duplicates`, the copies that a kept one stands for, and
            `hosts`, theirs; null where there is one copy.
        rejects: the ledger rows of the others.
    """

    kept: pl.DataFrame
    rejects: pl.DataFrame


@dataclass(frozen=True)
class Measurements:
    """What an annotator measured of one snapshot.

    Attributes:
        files: its data files; the name of each begins with the place of the data file that was measured.
        columns: the schema of its table.
    """

    files: tuple[Path, ...]
    columns: pa.Schema

    def of(self, documents: pl.Series, ordinal: int, values: Sequence[pl.Expr]) -> pl.DataFrame:
        """The values of n documents, those of the data file at a place; null where a document was not measured.

        Returns:
            n rows without doc_id, in the order of the documents.
        """
        own = [file for file in self.files if int(file.name.partition("-")[0]) == ordinal]
        found = self._read(own, values)
        if found["doc_id"].equals(documents):
            return found.drop("doc_id")
        # They may lie in other files: those of a source that was written anew since, in another order.
        wanted = pl.col("doc_id").is_in(documents.implode())
        found = pl.concat([self._read([file], values).filter(wanted) for file in self.files] or [found])
        return documents.to_frame("doc_id").join(found, on="doc_id", how="left", maintain_order="left").drop("doc_id")

    def _read(self, files: list[Path], values: Sequence[pl.Expr]) -> pl.DataFrame:
        rows = pl.scan_parquet(files, hive_partitioning=False) if files else schema.empty(self.columns).lazy()
        return rows.select("doc_id", *values).collect()


@dataclass(frozen=True)
class FoundEdits:
    """Edits to make, and the measurements that have them."""

    edits: Edits
    measurements: Measurements


@dataclass(frozen=True)
class CopyUnit:
    """One data file of the source and, for each of its rows, the copies it stands for: 0 for a dropped one.

    `hosts` has `row` and `hosts` of the rows that stand for several.
    """

    root: Path
    table: str
    snapshot: str
    file: Path
    ordinal: int
    duplicates: np.ndarray
    hosts: pl.DataFrame
    edits: tuple[FoundEdits, ...] = ()


@dataclass(frozen=True)
class Copied:
    """What was written of one data file, and the documents of which the edits left nothing."""

    files: list[DataFile]
    emptied: list[str] = field(default_factory=list)


def measured_documents(
    files: Sequence[Path],
    source: pa.Schema,
    annotations: Mapping[str, Measurements],
    columns: Sequence[Column],
) -> pl.DataFrame:
    """The narrow columns of a snapshot's documents with their measurements, in the order of the source's rows.

    Args:
        files: the data files of the documents.
        source: the schema of the documents.
        annotations: what each annotator measured.
        columns: what rules look at; an annotator's are named `<annotator>.<column>` in what is returned.
    """
    wanted = [*_NARROW, *(column.name for column in columns if column.annotator is None)]
    narrow = [name for name in dict.fromkeys(wanted) if name in source.names]
    # What a model wrote has no place in an archive.
    nowhere = [
        pl.lit(None, schema.empty(schema.RAW).schema[name]).alias(name) for name in _ORIGIN if name not in narrow
    ]
    values = {
        annotator: [pl.col(one.name).alias(one.qualified) for one in columns if one.annotator == annotator]
        for annotator in annotations
    }

    def of(documents: pl.DataFrame, ordinal: int) -> pl.DataFrame:
        ids = documents["doc_id"]
        documents = documents.with_columns(nowhere)
        return pl.concat(
            [documents, *(one.of(ids, ordinal, values[name]) for name, one in annotations.items())], how="horizontal"
        )

    # A data file at a time: a join of all would hold everything twice.
    parts = [of(scan_files([file], source).select(narrow).collect(), ordinal) for ordinal, file in enumerate(files)]
    return pl.concat(parts) if parts else of(schema.empty(source).select(narrow), 0)


def decisions(
    measured: pl.DataFrame, verdicts: pl.DataFrame, copies: pl.DataFrame, hosts: pl.DataFrame, snapshot: str
) -> Decisions:
    """Put together what the rules dropped and what was dropped as a copy.

    Args:
        measured: n documents, as `measured_documents` gives them.
        verdicts: n rows, as `select.decide` gives them.
        copies: what is dropped as a copy, as `CopySearch.dropped` gives it; of any documents.
        hosts: doc_id of documents that others were dropped for, with `copies` and `hosts`.
    """
    passed = verdicts["kept"]
    origin = measured.select("doc_id", "source", *_ORIGIN).with_row_index("place")
    by_rule = origin.filter(~passed).hstack(verdicts.filter(~passed).select(_LEDGER))
    by_copy = origin.join(copies, on="doc_id", how="inner").with_columns(
        stage=pl.lit("duplicates"),
        value=pl.when(pl.col("threshold").is_not_null()).then("similarity"),
        failed=pl.concat_list("rule"),
    )
    rejects = pl.concat([by_rule, by_copy], how="diagonal").sort("place")
    kept = passed.scatter(by_copy["place"], False)
    alone = _with_copies(measured).select("doc_id", *_COPIES)
    both = alone.join(hosts, on="doc_id", how="left", maintain_order="left", suffix="_here")
    return Decisions(
        both.select(
            "doc_id",
            kept=kept,
            duplicates=pl.coalesce("copies", "duplicates"),
            hosts=pl.coalesce("hosts_here", "hosts"),
        ),
        rejects.drop("place").with_columns(snapshot=pl.lit(snapshot)),
    )


def stands_for(passing: pl.DataFrame, copies: pl.DataFrame) -> pl.DataFrame:
    """How many documents each kept one stands for, and on which hosts they are.

    Args:
        passing: n documents that the rules let pass, as they were measured.
        copies: doc_id and kept_id of what is dropped of it.

    Returns:
        doc_id of each document that others were dropped for, copies (how many, itself included) and hosts, sorted.
    """
    members = pl.concat([copies.select("doc_id", "kept_id"), copies.select(doc_id="kept_id", kept_id="kept_id")])
    all_hosts = pl.coalesce("hosts", pl.concat_list("host"))
    counted = _with_copies(passing).select("doc_id", "duplicates", all_hosts=all_hosts)
    members = members.unique("doc_id").join(counted, on="doc_id", how="left")
    return members.group_by(doc_id="kept_id").agg(
        copies=pl.col("duplicates").sum(), hosts=pl.col("all_hosts").explode().drop_nulls().unique().sort()
    )


def _with_copies(measured: pl.DataFrame) -> pl.DataFrame:
    """The documents with the copies that they stand for already: those of a filtered set, which may stand for some."""
    if "duplicates" in measured.columns:
        return measured
    return measured.with_columns(duplicates=pl.lit(1, pl.Int64), hosts=pl.lit(None, pl.List(pl.String)))


def drawn(measured: pl.DataFrame, is_drawn: pl.Series, snapshot: str) -> Decisions:
    """The decisions of a draw: one truth value a document."""
    rejects = measured.filter(~is_drawn).select("doc_id", "source", *_ORIGIN)
    ledger = rejects.with_columns(
        snapshot=pl.lit(snapshot), stage=pl.lit("control"), rule=pl.lit("not_drawn"), failed=pl.lit(["not_drawn"])
    )
    kept = _with_copies(measured).select("doc_id", *_COPIES, kept=is_drawn)
    return Decisions(kept, ledger)


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
    hosts = kept.select("hosts").with_row_index("row").filter(pl.col("hosts").is_not_null())
    sizes = [pq.read_metadata(file).num_rows for file in files]
    starts = np.cumsum([0, *sizes[:-1]])
    return [
        CopyUnit(
            root,
            table,
            snapshot,
            file,
            ordinal,
            marks[start : start + size],
            hosts.filter(pl.col("row").is_between(start, start + size, closed="left")).with_columns(
                row=(pl.col("row") - start).cast(pl.UInt32)
            ),
            tuple(edits),
        )
        for ordinal, (file, start, size) in enumerate(zip(files, starts.tolist(), sizes, strict=True))
    ]


def copy_kept(unit: CopyUnit) -> Copied:
    """Write the kept rows of one data file into the filtered set, edited."""
    made = ("snapshot", "duplicates", "hosts", "n_edits", "edits")
    names = [name for name in schema.FILTERED.names if name not in made]
    ids = pl.scan_parquet(unit.file, hive_partitioning=False).select("doc_id").collect()["doc_id"]
    found = [one.measurements.of(ids, unit.ordinal, [one.edits.chosen().alias("edits")]) for one in unit.edits]
    emptied: list[str] = []
    done = 0
    with Lake(unit.root).writer(unit.table, snapshot=unit.snapshot, ordinal=unit.ordinal) as writer:
        for batch in read_batches(unit.file, names):
            duplicates = pl.Series("duplicates", unit.duplicates[done : done + batch.height], dtype=pl.Int64)
            batch = batch.with_row_index("row", done).join(unit.hosts, on="row", how="left", maintain_order="left")
            done += batch.height
            stays = duplicates > 0
            edits = [one["edits"].slice(done - batch.height, batch.height).filter(stays) for one in found]
            kept = batch.drop("row").with_columns(duplicates, parents=pl.concat_list("doc_id")).filter(stays)
            kept = _edited(kept, edits)
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


def _edited(documents: pl.DataFrame, found: Sequence[pl.Series]) -> pl.DataFrame:
    """The documents with their edits made, and what follows from the text computed anew where it changed."""
    if not found or documents.is_empty():
        return documents.with_columns(n_edits=pl.lit(0, dtype=pl.Int64), edits=pl.lit(None))
    edits = select.merge_edits(found)
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
