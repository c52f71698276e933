"""Parquet data files of a table: workers write them, the driver commits them.

A file that no commit names is no part of any version: a crash leaves only such files, and vacuum removes them.
"""

from __future__ import annotations

import contextlib
import json
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake.transaction import AddAction

from lakehouse import schema
from lakehouse.identity import hash_of_file

# A point lookup reads one row group: 16,384 rows made it 15 times faster than the default of a million.
ROW_GROUP_ROWS = 16_384
# Long documents are fewer to a row group: it is held in memory until it is written.
ROW_GROUP_BYTES = 64 << 20


@dataclass(frozen=True)
class DataFile:
    """One written Parquet file. `path` is relative to its table's folder, `bytes` is its size, `digest` its XXH3."""

    path: str
    rows: int
    bytes: int
    digest: str
    partition: tuple[tuple[str, str], ...]

    def add_action(self) -> AddAction:
        """The Delta action that makes the file part of a version."""
        return AddAction(
            path=self.path,
            size=self.bytes,
            partition_values=dict(self.partition),
            modification_time=int(time.time() * 1000),
            data_change=True,
            stats=json.dumps({"numRecords": self.rows}),
        )


class DataFileWriter:
    """Writes the rows of one unit of work to one Parquet file of a table, a batch at a time.

    The file's name begins with `ordinal`, the unit's place in its run, so that reading the files by name gives the rows
    in the order of the units, whichever worker wrote them. Without rows there is no file.

    Args:
        folder: the table's folder.
        table_schema: the table's schema, its partition column included.
        snapshot: the partition that the rows belong to; None in a table without partitions.
        ordinal: the unit's place in its run.
    """

    def __init__(self, folder: Path, table_schema: pa.Schema, *, snapshot: str | None, ordinal: int = 0) -> None:
        self._schema = table_schema
        self._snapshot = snapshot
        name = f"{ordinal:06d}-{uuid.uuid4().hex}.parquet"
        self._path = name if snapshot is None else f"snapshot={schema.check_snapshot(snapshot)}/{name}"
        self._file = folder / self._path
        self._writer: pq.ParquetWriter | None = None
        self._pending: list[pa.Table] = []
        self._pending_rows = 0
        self._pending_bytes = 0
        self.rows = 0

    def __enter__(self) -> DataFileWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._abandon()

    def write(self, frame: pl.DataFrame) -> None:
        """Add rows; they are checked against the schema (see `schema.conform`).

        Raises:
            ValueError: the rows don't fit the schema, or belong to another snapshot.
        """
        if frame.is_empty():
            return
        table = schema.conform(frame, self._schema)
        if self._snapshot is not None:
            others = set(table.column("snapshot").unique().to_pylist()) - {self._snapshot}
            if others:
                raise ValueError(f"rows of snapshot {sorted(others)[0]!r} in a file of snapshot {self._snapshot!r}")
            table = table.drop_columns(["snapshot"])
        self.rows += len(table)
        self._pending.append(table)
        self._pending_rows += len(table)
        self._pending_bytes += table.nbytes
        if self._pending_rows >= ROW_GROUP_ROWS or self._pending_bytes >= ROW_GROUP_BYTES:
            self._flush()

    def close(self) -> None:
        """Write what is pending and finish the file."""
        if self._pending_rows:
            self._flush()
        if self._writer is not None:
            self._writer.close()

    def finished(self) -> list[DataFile]:
        """The finished file as a list of one, or of none when there were no rows. Call after `close`."""
        if self._writer is None:
            return []
        partition = () if self._snapshot is None else (("snapshot", self._snapshot),)
        return [DataFile(self._path, self.rows, self._file.stat().st_size, hash_of_file(self._file), partition)]

    def _flush(self) -> None:
        table = pa.concat_tables(self._pending)
        self._pending, self._pending_rows, self._pending_bytes = [], 0, 0
        if self._writer is None:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._writer = pq.ParquetWriter(self._file, table.schema, compression="zstd")
        self._writer.write_table(table, row_group_size=ROW_GROUP_ROWS)

    def _abandon(self) -> None:
        if self._writer is not None:
            # The file is closed on the way out of an error: that closing fails too (a full disk) adds nothing.
            with contextlib.suppress(OSError):
                self._writer.close()
            self._file.unlink()


def scan_files(files: Sequence[Path], table_schema: pa.Schema) -> pl.LazyFrame:
    """The rows of a table's data files, in the order of the files."""
    if not files:
        return schema.empty(table_schema).lazy()
    types = dict(schema.empty(table_schema).schema)
    hive = {name: types.pop(name) for name in ("snapshot",) if "/snapshot=" in files[0].as_posix()}
    # Files that were written before the layer had all its columns lack some.
    frame = pl.scan_parquet(list(files), schema=types, hive_schema=hive, missing_columns="insert")
    return frame.select(table_schema.names)


def read_batches(file: Path, columns: Sequence[str] | None = None, rows: int = 2_048) -> Iterator[pl.DataFrame]:
    """The rows of one data file in batches, without its partition column."""
    with pq.ParquetFile(file) as parquet:
        for batch in parquet.iter_batches(batch_size=rows, columns=list(columns) if columns else None):
            frame = pl.from_arrow(batch)
            assert isinstance(frame, pl.DataFrame)
            yield frame


def snapshot_of(file: Path) -> str | None:
    """The snapshot whose rows a data file holds; None in a table without partitions."""
    _, found, snapshot = file.parent.name.partition("snapshot=")
    return snapshot if found else None
