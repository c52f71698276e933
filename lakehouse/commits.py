"""Commits: the versions of a table, and what each was made by and from."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import polars as pl

from lakehouse.data_files import DataFile

STAMP = "lakehouse.stamp"
"""The key in a commit's metadata by which its writer finds it again."""

_METADATA = ("run_id", "asset", "partition", "code_version", "config_hash", "inputs", "rows", "bytes", "details")
_VERSIONS: dict[str, Any] = {
    "table": pl.String,
    "version": pl.Int64,
    "committed_at": pl.Datetime("us", "UTC"),
    "run_id": pl.String,
    "partition": pl.String,
    "code_version": pl.String,
    "config_hash": pl.String,
    "inputs": pl.String,
    "rows": pl.Int64,
    "bytes": pl.Int64,
    "details": pl.String,
}


@dataclass(frozen=True)
class Origin:
    """What a commit is made by and from. `inputs` maps each table that was read to its version."""

    run_id: str = ""
    asset: str = ""
    code_version: str = ""
    config_hash: str = ""
    inputs: Mapping[str, int] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Commit:
    """One version of a table and its metadata. `rows` and `bytes` are those that the commit wrote."""

    table: str
    table_id: str
    version: int
    committed_at: datetime
    run_id: str
    asset: str
    partition: str | None
    code_version: str
    config_hash: str
    inputs: dict[str, int]
    rows: int
    bytes: int
    details: dict[str, Any]

    @property
    def data_version(self) -> str:
        """The commit's name in Dagster: the table's id, which a recreated table does not share, and the version."""
        return f"{self.table_id[:8]}@{self.version}"


def metadata_of(origin: Origin, files: Sequence[DataFile], snapshot: str | None, stamp: str) -> dict[str, Any]:
    """What a commit of `files` carries, as Delta's custom metadata."""
    values = {
        "run_id": origin.run_id,
        "asset": origin.asset or "by hand",
        "partition": snapshot,
        "code_version": origin.code_version,
        "config_hash": origin.config_hash,
        "inputs": dict(origin.inputs),
        "rows": sum(file.rows for file in files),
        "bytes": sum(file.bytes for file in files),
        "details": dict(origin.details),
    }
    # delta-rs gives back nested values of custom metadata as text of its own: JSON text survives.
    return {STAMP: stamp, **{key: json.dumps(values[key]) for key in _METADATA}}


def commit_from(table: str, table_id: str, entry: Mapping[str, Any]) -> Commit:
    """Read an entry of a Delta table's history."""
    values = {key: json.loads(entry[key]) for key in _METADATA if entry.get(key)}
    return Commit(
        table=table,
        table_id=table_id,
        version=int(entry["version"]),
        committed_at=datetime.fromtimestamp(entry["timestamp"] / 1000, UTC),
        run_id=values.get("run_id", ""),
        asset=values.get("asset", ""),
        partition=values.get("partition"),
        code_version=values.get("code_version", ""),
        config_hash=values.get("config_hash", ""),
        inputs=values.get("inputs", {}),
        rows=values.get("rows", 0),
        bytes=values.get("bytes", 0),
        details=values.get("details", {}),
    )


def versions_frame(commits: Iterable[Commit]) -> pl.DataFrame:
    """One row a commit, with the columns of the view `lake.versions`; commits that wrote no rows are left out."""
    rows = [
        {
            "table": commit.table,
            "version": commit.version,
            "committed_at": commit.committed_at,
            "run_id": commit.run_id,
            "partition": commit.partition,
            "code_version": commit.code_version,
            "config_hash": commit.config_hash,
            "inputs": json.dumps(commit.inputs),
            "rows": commit.rows,
            "bytes": commit.bytes,
            "details": json.dumps(commit.details),
        }
        for commit in commits
        if commit.asset
    ]
    return pl.DataFrame(rows, schema=_VERSIONS)
