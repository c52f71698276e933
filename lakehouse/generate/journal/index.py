"""Find the answers to requests in a journal, without reading the journal."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from lakehouse.generate.journal.keys import KEY_DIGITS, key_of
from lakehouse.lake import Lake

_BLOCK_ROWS = 4_096  # that are read together
_HELD_BYTES = 32 * 2**20  # of blocks that were used last
_ANSWER_COLUMNS = ["request_id", "status", "response", "finish_reason", "error"]
_GOOD, _CUT_OFF, _FAILED = 0, 1, 2
_ENTRY = {"key": pl.Int64, "rank": pl.Int8, "at": pl.Int64, "file": pl.Int32, "row": pl.Int32, "calls": pl.Int32}


@dataclass(frozen=True)
class Answered:
    """What the journal has of a request: its best answer, and how many calls there were."""

    request_id: str
    status: str
    response: str | None
    finish_reason: str | None
    error: str | None
    calls: int


class Index:
    """Where each request's best answer stands in a journal.

    Of several calls the first that came to its end counts, else the first that was answered, else the last that
    failed. About 32 bytes of memory a request; answers are read some thousand at a time, and those used last are kept,
    because units are asked about in order.

    Args:
        lake: that has the journal.
        table: its name; it need not exist yet.
        version: the version to look in; None: the newest, and `refresh` looks for newer ones.
    """

    def __init__(self, lake: Lake, table: str, version: int | None = None) -> None:
        self._lake, self._table, self._version = lake, table, version
        self._files: list[Path] = []
        self._blocks: OrderedDict[tuple[int, int, tuple[str, ...]], pl.DataFrame] = OrderedDict()
        self._entries = pl.DataFrame(schema=_ENTRY)
        self._keys = np.empty(0, np.int64)
        self.refresh()

    def __len__(self) -> int:
        """How many requests were ever sent."""
        return len(self._keys)

    def refresh(self) -> None:
        """Take in what was committed since."""
        if not self._lake.exists(self._table):
            return
        files = self._lake.files(self._table, version=self._version)
        known = set(self._files)
        fresh = [file for file in files if file not in known]
        if not fresh:
            return
        parts = [_entries(file, len(self._files) + place) for place, file in enumerate(fresh)]
        self._files += fresh
        entries = pl.concat([self._entries, *parts])
        self._entries = _best(entries) if len(entries) else entries
        self._keys = self._entries.get_column("key").to_numpy()

    def find(self, request_ids: Sequence[str]) -> dict[str, Answered]:
        """What the journal has of these requests; those that were never sent are left out."""
        rows = self._rows(request_ids, _ANSWER_COLUMNS)
        return {
            row["request_id"]: Answered(**{name: row[name] for name in _ANSWER_COLUMNS}, calls=row["calls"])
            for row in rows
        }

    def rows(self, request_ids: Sequence[str], columns: Sequence[str]) -> list[dict[str, Any]]:
        """The journal's rows of the good answers to these requests."""
        return self._rows(request_ids, columns, only_good=True)

    def _rows(
        self, request_ids: Sequence[str], columns: Sequence[str], *, only_good: bool = False
    ) -> list[dict[str, Any]]:
        if not len(self._keys) or not request_ids:
            return []
        wanted = np.array(sorted({key_of(one) for one in request_ids}), np.int64)
        places = np.searchsorted(self._keys, wanted)
        places = places[self._keys[np.minimum(places, len(self._keys) - 1)] == wanted]
        entries = self._entries[places]
        if only_good:
            entries = entries.filter(pl.col("rank") == _GOOD)
        asked, found = set(request_ids), []
        for (file,), rows in entries.sort("file", "row").group_by("file", maintain_order=True):
            for row, calls in zip(self._read(int(file), rows["row"].to_numpy(), columns), rows["calls"], strict=True):
                if row["request_id"] in asked:
                    found.append(row | {"calls": calls})
        return found

    def _read(self, file: int, rows: np.ndarray, columns: Sequence[str]) -> list[dict[str, Any]]:
        """Rows of one file, in order."""
        blocks = rows // _BLOCK_ROWS
        found: list[dict[str, Any]] = []
        for block in np.unique(blocks):
            frame = self._block(file, int(block), tuple(columns))
            found += frame[rows[blocks == block] - block * _BLOCK_ROWS].rows(named=True)
        return found

    def _block(self, file: int, block: int, columns: tuple[str, ...]) -> pl.DataFrame:
        """Columns of a part of a file. Those used last are held, as many as fit: steps of a recipe stand far apart."""
        place = (file, block, columns)
        if place in self._blocks:
            self._blocks.move_to_end(place)
        else:
            part = pl.scan_parquet(self._files[file]).select(columns).slice(block * _BLOCK_ROWS, _BLOCK_ROWS)
            self._blocks[place] = part.collect()
            while len(self._blocks) > 1 and sum(held.estimated_size() for held in self._blocks.values()) > _HELD_BYTES:
                self._blocks.popitem(last=False)
        return self._blocks[place]


def _entries(file: Path, number: int) -> pl.DataFrame:
    """The calls of one data file."""
    frame = pl.read_parquet(file, columns=["request_id", "status", "finish_reason", "created_at"])
    ok, ended = pl.col("status") == "ok", pl.col("finish_reason") == "stop"
    rank = pl.when(ok & ended.fill_null(False)).then(_GOOD).when(ok).then(_CUT_OFF).otherwise(_FAILED)
    return frame.select(
        key=pl.col("request_id").str.slice(0, KEY_DIGITS).str.to_integer(base=16, dtype=pl.Int64),
        rank=rank.cast(pl.Int8),
        # The first good answer counts, and the last error.
        at=pl.when(rank == _FAILED)
        .then(-pl.col("created_at").to_physical())
        .otherwise(pl.col("created_at").to_physical()),
        file=pl.lit(number, pl.Int32),
        row=pl.int_range(pl.len(), dtype=pl.Int32),
        calls=pl.lit(1, pl.Int32),
    )


def _best(entries: pl.DataFrame) -> pl.DataFrame:
    """One entry a request, sorted by key: the best, with all its calls."""
    columns = {name: entries.get_column(name).to_numpy() for name in _ENTRY}
    # A frame of a million entries that sorts itself takes three times the memory.
    order = np.lexsort([columns[name] for name in ("row", "file", "at", "rank", "key")])
    keys = columns["key"][order]
    first = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    columns["calls"] = np.add.reduceat(columns["calls"][order], first)
    best = {name: column if name == "calls" else column[order[first]] for name, column in columns.items()}
    return pl.DataFrame(best, schema=_ENTRY)
