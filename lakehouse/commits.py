"""Commits: the versions of a table, and what each was made by and from."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import polars as pl

from lakehouse.data_files import DataFile
from lakehouse.identity import hash_of

STAMP = "lakehouse.stamp"
"""The key in a commit's metadata by which its writer finds it again."""

_METADATA = (
    "run_id",
    "asset",
    "partition",
    "code_version",
    "config_hash",
    "inputs",
    "rows",
    "bytes",
    "details",
    "content",
    "content_version",
)
_RESTORED = "restored"
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
    "content_version": pl.Int64,
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
    """One version of a table and its metadata.

    `rows` and `bytes` are those that the commit wrote, `content` is their hash. `content_version` is the version that
    wrote them first: an earlier one where a rerun wrote the same rows again, or where an old version was restored.
    A restored version is a commit for each snapshot: each is what had made that snapshot's rows.
    """

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
    content: str
    content_version: int
    stamp: str

    @property
    def data_version(self) -> str:
        """The rows' name in Dagster: the table's id, which a recreated table does not share, and the version."""
        return f"{self.table_id[:8]}@{self.content_version}"


def content_of(files: Sequence[DataFile]) -> str:
    """A hash of the rows in `files` and of their order."""
    return hash_of(*(file.digest for file in sorted(files, key=lambda file: file.path)))


def metadata_of(
    origin: Origin, files: Sequence[DataFile], snapshot: str | None, stamp: str, content_version: int | None = None
) -> dict[str, Any]:
    """What a commit of `files` carries, as Delta's custom metadata; `content_version` is None where they are new."""
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
        "content": content_of(files),
        "content_version": content_version,
    }
    # delta-rs gives back nested values of custom metadata as text of its own: JSON text survives.
    return {STAMP: stamp, **{key: json.dumps(values[key]) for key in _METADATA}}


def restore_metadata(table: str, version: int, stamp: str) -> dict[str, Any]:
    """What a commit that restores `version` carries."""
    return {STAMP: stamp, "asset": json.dumps(table), "details": json.dumps({_RESTORED: version})}


def commits_from(
    table: str, table_id: str, entries: Iterable[Mapping[str, Any]], earlier: Sequence[Commit] = ()
) -> list[Commit]:
    """Read entries of a Delta table's history that follow on `earlier`; a restored version is a commit a snapshot.

    Returns:
        All commits, those of `earlier` included, newest first.
    """
    commits = list(reversed(earlier))
    for entry in sorted(entries, key=lambda entry: int(entry["version"])):
        commit = _commit_from(table, table_id, entry)
        commits += _restored(commit, commits) if _RESTORED in commit.details else [commit]
    return commits[::-1]


def in_effect(history: Iterable[Commit], version: int | None = None) -> dict[str | None, Commit]:
    """The commit that made the rows of each snapshot, at one version or now; `history` is newest first."""
    found: dict[str | None, Commit] = {}
    for commit in history:
        if commit.asset and (version is None or commit.version <= version):
            found.setdefault(commit.partition, commit)
    return found


def rows_changed(
    history: Sequence[Commit], pinned: int, read: int | None, since: datetime, is_read: Callable[[Commit], bool]
) -> bool:
    """Whether a table's rows are others than those that a commit was made from.

    Args:
        history: of the table, newest first.
        pinned: the version that the commit names.
        read: the version that would be read now; None: the newest.
        since: when the commit was made: a table that was made anew after it has other rows at the same version.
        is_read: tells the commits whose rows are read from the others.
    """
    relevant = [commit for commit in history if is_read(commit)]
    then, now = in_effect(relevant, pinned), in_effect(relevant, read)
    contents = [{place: commit.content_version for place, commit in each.items()} for each in (then, now)]
    written = {commit.version: commit.committed_at for commit in relevant}
    return contents[0] != contents[1] or any(written.get(version, since) > since for version in contents[1].values())


def _restored(commit: Commit, earlier: Sequence[Commit]) -> list[Commit]:
    version = int(commit.details[_RESTORED])
    originals = in_effect(reversed(earlier), version)
    restored = []
    for partition in sorted(in_effect(reversed(earlier)), key=str):
        original = originals.get(partition)
        if original is None:
            # It had no rows then. Without a code version it counts as never built.
            restored.append(replace(commit, partition=partition))
        else:
            restored.append(
                replace(
                    original,
                    version=commit.version,
                    committed_at=commit.committed_at,
                    stamp=commit.stamp,
                    details=original.details | commit.details,
                )
            )
    return restored


def _commit_from(table: str, table_id: str, entry: Mapping[str, Any]) -> Commit:
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
        content=values.get("content", ""),
        content_version=values.get("content_version") or int(entry["version"]),
        stamp=entry.get(STAMP, ""),
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
            "content_version": commit.content_version,
            "details": json.dumps(commit.details),
        }
        for commit in commits
        if commit.asset
    ]
    return pl.DataFrame(rows, schema=_VERSIONS)
