"""Keep the calls of a run: at once in a spool file, in batches in the journal's table."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import polars as pl

from lakehouse import schema
from lakehouse.commits import Origin
from lakehouse.generate.journal import spool
from lakehouse.lake import Lake

_COMMIT_ROWS = 16_384
_COMMIT_BYTES = 32 * 2**20
_COMMIT_SECONDS = 120.0
_FRAME_ROWS = 2_048


class Recorder:
    """Makes finished calls durable. A context manager; leaving it commits what is not in the table yet.

    What a killed process left behind is taken in when it is entered. Rows reach the table every few minutes or 16,384
    rows or 32 MB, by a thread of its own.

    Args:
        lake: that has the journal.
        table: its name.
        origin: of the commits.
        snapshot: that the commits are filed under.
    """

    def __init__(self, lake: Lake, table: str, origin: Origin, snapshot: str | None) -> None:
        self.lake, self.table, self._origin, self._snapshot = lake, table, origin, snapshot
        self._folder = spool_folder(lake, table)
        self._thread = ThreadPoolExecutor(1, "journal")
        self._moving: Future[None] | None = None
        self._spool: spool.Spool | None = None
        self._began = time.monotonic()
        # The caller's thread records answers, the one that reads requests those that other journals have.
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        for path in spool.left_behind(self._folder):
            self._move(path, may_be_there=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self.flush()
        finally:
            self._thread.shutdown()

    def record(self, rows: list[dict[str, Any]]) -> None:
        """Keep finished calls; when this returns, they survive the end of the process.

        Raises:
            GenerationError: the disk takes no more.
        """
        with self._lock:
            if self._spool is None:
                self._spool, self._began = spool.Spool(self._folder), time.monotonic()
            self._spool.append(rows)
            full = self._spool.rows >= _COMMIT_ROWS or self._spool.size >= _COMMIT_BYTES
            if full or time.monotonic() - self._began > _COMMIT_SECONDS:
                self._rotate()

    def flush(self) -> None:
        """Make all that was recorded part of the table."""
        with self._lock:
            self._rotate()
            if self._moving is not None:
                self._moving.result()
                self._moving = None

    def _rotate(self) -> None:
        full, self._spool = self._spool, None
        if full is None:
            return
        full.close()
        if self._moving is not None:
            self._moving.result()
        self._moving = self._thread.submit(self._move, full.path)

    def _move(self, path: Path, *, may_be_there: bool = False) -> None:
        """Make a spool file's calls part of the table, and remove it."""
        frames = _frames(spool.read(path))
        if may_be_there and self.lake.exists(self.table):
            # Killed between commit and removal: the table has them.
            known = self.lake.scan(self.table).select("request_id", "created_at").collect()
            frames = (frame.join(known, on=["request_id", "created_at"], how="anti") for frame in frames)
        with self.lake.writer(self.table) as writer:
            for frame in frames:
                writer.write(frame)
        if writer.rows:
            self.lake.append(self.table, writer.finished(), self._origin, snapshot=self._snapshot)
        path.unlink()


def spool_folder(lake: Lake, table: str) -> Path:
    """Where the calls wait that are not in the table yet."""
    return lake.root / ".spool" / table


def frame_of(rows: Sequence[dict[str, Any]]) -> pl.DataFrame:
    """Rows of the journal as a frame of `schema.GENERATIONS`."""
    return pl.DataFrame(list(rows), schema=schema.empty(schema.GENERATIONS).schema)


def _frames(rows: Iterator[dict[str, Any]]) -> Iterator[pl.DataFrame]:
    while batch := list(islice(rows, _FRAME_ROWS)):
        yield frame_of(batch)
