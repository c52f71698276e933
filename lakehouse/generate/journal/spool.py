"""Spool files: each finished call is on disk the moment it ends, before it is part of a table.

A line of JSON a call. A process that is killed leaves its file behind, and the next one that opens the journal takes
its calls in. A file that a living process writes is locked, so nobody takes it from under its hands.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
import uuid
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from lakehouse.generate.errors import GenerationError

_SYNC_SECONDS = 1.0
Row = dict[str, Any]


class Spool:
    """A file that calls are appended to, locked while it is open."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"{uuid.uuid4().hex}.jsonl"
        self.rows = self.size = 0  # size: bytes
        self._descriptor = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND, 0o600)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        self._synced_at = time.monotonic()

    def append(self, rows: list[Row]) -> None:
        """Write calls. They survive the end of this process at once, and a power cut after a second.

        Raises:
            GenerationError: the disk takes no more.
        """
        lines = "".join(json.dumps(row, default=_plain) + "\n" for row in rows).encode("utf-8", "replace")
        left = lines
        try:
            while left:
                left = left[os.write(self._descriptor, left) :]
        except OSError as error:
            # Half a line would spoil the one that is written next, when there is room again.
            os.ftruncate(self._descriptor, self.size)
            raise GenerationError(f"{self.path.parent}: answers cannot be kept: {error.strerror}.") from error
        self.rows += len(rows)
        self.size += len(lines)
        if time.monotonic() - self._synced_at > _SYNC_SECONDS:
            os.fsync(self._descriptor)
            self._synced_at = time.monotonic()

    def close(self) -> None:
        """Write no more; the file stays."""
        os.fsync(self._descriptor)
        os.close(self._descriptor)


def left_behind(folder: Path) -> list[Path]:
    """Spool files that no living process writes."""
    found = []
    for path in sorted(folder.glob("*.jsonl")):
        with path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            found.append(path)
    return found


def read(path: Path) -> Iterator[Row]:
    """The calls of a spool file. A last line that was cut off by the end of its process never counted as done."""
    with path.open("rb") as lines:
        for line in lines:
            if not line.endswith(b"\n"):
                return
            row = json.loads(line)
            row["created_at"] = datetime.fromisoformat(row["created_at"])
            row["cost_usd"] = None if row["cost_usd"] is None else Decimal(row["cost_usd"])
            yield row


def _plain(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
