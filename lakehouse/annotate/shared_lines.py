"""Lines that many pages of one host share: menus, footers, notices.

A line is boilerplate of its host where it stands in at least so many of the host's documents of a snapshot.
"""

from __future__ import annotations

import polars as pl
import pyarrow as pa

from lakehouse import schema
from lakehouse.annotate.annotator import Annotator, AnnotatorError, Survey
from lakehouse.annotate.words import Batch

COLUMNS = (
    pa.field("shared_line_edits", schema.EDITS),
    pa.field("shared_lines", pa.float64()),
    pa.field("shared_line_characters", pa.float64()),
)
_KEYS = ["host", "line"]


def shared_lines(*, min_documents: int = 10) -> Annotator:
    """Find the lines that a document shares with others of its host.

    Args:
        min_documents: in how many documents of the host and the snapshot, itself included, a line must stand. A
            document without a host shares nothing.

    Columns: shared_line_edits (spans that remove those lines), shared_lines and shared_line_characters (their share
    of the lines with more than white space, and of the characters on those; null without such lines).

    Raises:
        AnnotatorError: min_documents is below 2.
    """
    if isinstance(min_documents, bool) or not isinstance(min_documents, int) or min_documents < 2:
        raise AnnotatorError(f"min_documents is {min_documents!r}; it must be a whole number of 2 or more.")

    def alone(batch: Batch) -> pl.DataFrame:
        return _measure(batch, _count(batch).filter(pl.col("documents") >= min_documents))

    return Annotator(
        "shared_lines",
        1,
        COLUMNS,
        alone,
        f"Lines that stand in {min_documents} or more documents of the same host.",
        needs=("host",),
        survey=Survey(_count, min_documents, _measure),
    )


def _count(batch: Batch) -> pl.DataFrame:
    lines = _lines(batch.documents).filter(pl.col("host").is_not_null())
    return lines.unique(["document", *_KEYS]).group_by(_KEYS).agg(documents=pl.len())


def _measure(batch: Batch, counts: pl.DataFrame) -> pl.DataFrame:
    lines = _lines(batch.documents)
    repeated = lines.join(
        counts.select(_KEYS).with_columns(repeated=pl.lit(True)), on=_KEYS, how="left", maintain_order="left"
    )
    repeated = repeated.with_columns(pl.col("repeated").fill_null(False))
    edit = pl.struct("start", "end", rule=pl.lit("shared_line"), replacement=pl.lit(""))
    found = repeated.group_by("document", maintain_order=True).agg(
        edits=edit.filter("repeated"),
        lines=pl.col("repeated").mean(),
        characters=pl.col("characters").filter("repeated").sum() / pl.col("characters").sum(),
    )
    documents = pl.DataFrame({"document": range(batch.documents.height)}, schema={"document": pl.UInt32})
    found = documents.join(found, on="document", how="left", maintain_order="left")
    return found.select(
        pl.col("edits").fill_null([]).alias(COLUMNS[0].name),
        pl.col("lines").alias(COLUMNS[1].name),
        pl.col("characters").alias(COLUMNS[2].name),
    )


def _lines(documents: pl.DataFrame) -> pl.DataFrame:
    """Each line with more than white space: document (its place), host and line (hashes), characters, start and end.

    A hash is good for one run: Polars may compute another one in its next version.
    """
    line = pl.col("text")
    return (
        documents.select("host", pl.col("text").str.split("\n"))
        .with_row_index("document")
        .explode("text")
        .with_columns(size=line.str.len_chars().cast(pl.Int64) + 1, stripped=line.str.strip_chars())
        .with_columns(end=pl.col("size").cum_sum().over("document"))
        .with_columns(last=pl.col("document") != pl.col("document").shift(-1))
        .select(
            "document",
            host=pl.when(pl.col("host").is_not_null()).then(pl.col("host").hash(1)),
            line=pl.col("stripped").hash(2),
            blank=pl.col("stripped") == "",
            characters=pl.col("stripped").str.len_chars().cast(pl.Int64),
            start=pl.col("end") - pl.col("size"),
            # The last line has no line feed to go with it.
            end=pl.col("end") - pl.col("last").fill_null(True).cast(pl.Int64),
        )
        .filter(~pl.col("blank"))
        .drop("blank")
    )
