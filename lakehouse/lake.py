"""The lake: Delta tables under one root, written in audited commits and queried with DuckDB.

A version is a Delta commit. Each commit carries who wrote it and what it was made from: run id, asset, partition, code
version, configuration hash, and the version of every table that was read.
"""

from __future__ import annotations

import os
import random
import re
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import duckdb
import polars as pl
import pyarrow as pa
from deltalake import CommitProperties, DeltaTable
from deltalake import Schema as DeltaSchema
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from lakehouse import connection, schema
from lakehouse.commits import (
    Commit,
    Origin,
    commits_from,
    content_of,
    in_effect,
    metadata_of,
    restore_metadata,
    versions_frame,
)
from lakehouse.connection import Pins
from lakehouse.data_files import DataFile, DataFileWriter, scan_files
from lakehouse.version_views import create_version_views

DEFAULT_ROOT = "lake"
_COMMIT_ATTEMPTS = 12
# DuckDB takes *, ? and [ for patterns, delta-rs decodes %20 and stops at #, and a=b is a column to all of them.
_UNSAFE_IN_PATH = re.compile(r"[*?\[#=\\\x00-\x1f]|%[0-9A-Fa-f]{2}")
# The log is where a version's inputs are written down: it must outlive the 30 days that Delta keeps it by default.
_TABLE_CONFIGURATION = {
    "delta.logRetentionDuration": "interval 3650 days",
    "delta.deletedFileRetentionDuration": "interval 30 days",
    # Opening a table reads the log since the last checkpoint: with a hundred commits that takes ten times as long.
    "delta.checkpointInterval": "10",
}


class LakeError(RuntimeError):
    """The lake cannot do what was asked. The message says what to do."""


def default_root() -> Path:
    """Where the lake is: `LAKEHOUSE_ROOT`, or `lake` in the working directory."""
    return Path(os.environ.get("LAKEHOUSE_ROOT") or DEFAULT_ROOT).absolute()


class Lake:
    """Reads and writes the tables under `root`.

    Raises:
        LakeError: `root` is not a folder that tables can be kept in.
    """

    def __init__(self, root: Path | str) -> None:
        if "://" in str(root):
            raise LakeError(f"{root}: only local folders can hold a lake so far.")
        self.root = Path(root).absolute()
        if found := _UNSAFE_IN_PATH.search(str(self.root)):
            raise LakeError(f"{str(self.root)!r}: a lake's path must not contain {found[0]!r}.")
        if self.root.exists() and not self.root.is_dir():
            raise LakeError(f"{self.root} is a file, not a folder.")
        self._histories: dict[str, list[Commit]] = {}

    # --- where things are

    def folder(self, table: str) -> Path:
        """The folder of `table`; its name is checked."""
        schema.layer_of(table)
        return self.root / table

    @property
    def landing(self) -> Path:
        """The folder that new archives are put into: `landing/<source>/<snapshot>/`."""
        return self.root / "landing"

    @property
    def training(self) -> Path:
        """The folder of the finished shard files."""
        return self.root / "training"

    @property
    def scratch(self) -> Path:
        """The folder for intermediate files that no version names."""
        return self.root / ".scratch"

    def exists(self, table: str) -> bool:
        """Whether `table` has been created."""
        return _has_versions(self.folder(table) / "_delta_log")

    def tables(self) -> list[str]:
        """Every table, sorted by layer in the order of `schema.LAYERS`, then by name."""
        found = []
        for layer in schema.LAYERS:
            logs = sorted((self.root / layer).glob("*/_delta_log")) + sorted((self.root / layer).glob("*/*/_delta_log"))
            found += [log.parent.relative_to(self.root).as_posix() for log in logs if _has_versions(log)]
        return found

    # --- reading

    def version(self, table: str) -> int:
        """The newest version of `table`."""
        return self._open(table).version()

    def files(self, table: str, *, version: int | None = None, snapshot: str | None = None) -> list[Path]:
        """The data files of one version, in the order in which their rows are read.

        Raises:
            LakeError: there is no such table or version.
        """
        actions = pl.DataFrame(self._open(table, version).get_add_actions(flatten=True))
        if snapshot is not None and actions.height:
            actions = actions.filter(pl.col("partition.snapshot") == snapshot)
        # delta-rs percent-encodes the file addresses that it hands out, so they are put together here.
        return [self.folder(table) / path for path in sorted(actions["path"])]

    def scan(self, table: str, *, version: int | None = None, snapshot: str | None = None) -> pl.LazyFrame:
        """The rows of one version, or of one snapshot of it, as a lazy frame."""
        return scan_files(self.files(table, version=version, snapshot=snapshot), self.schema(table, version))

    def schema(self, table: str, version: int | None = None) -> pa.Schema:
        """The Arrow schema of a table that exists."""
        declared = schema.layer_of(table).schema
        if declared is not None:
            return declared
        return pa.schema(self._open(table, version).schema().to_arrow())

    def history(self, table: str) -> list[Commit]:
        """Every commit of `table`, newest first. What was read before is not read again."""
        delta = self._open(table)
        table_id, known = str(delta.metadata().id), self._histories.get(table, [])
        if known and known[0].table_id != table_id:
            known = []
        while (unread := delta.version() - (known[0].version if known else -1)) > 0:
            entries, read_at = delta.history(limit=unread), delta.version()
            delta.update_incremental()
            # delta-rs counts down from the version that it opened, though it reads also what was committed since.
            if delta.version() == read_at:
                known = commits_from(table, table_id, entries, known)
                self._histories[table] = known
        return known

    def commit_at(self, table: str, version: int) -> Commit:
        """The commit that made one version of `table`.

        Raises:
            LakeError: there is no such table or version.
        """
        for commit in self.history(table):
            if commit.version == version:
                return commit
        raise LakeError(f"{table} has no version {version}: see `lakehouse history {table}`.")

    def last_commit(self, table: str, snapshot: str | None = None) -> Commit | None:
        """The newest commit that wrote rows of `table`, or of one of its snapshots; None if there is none."""
        if not self.exists(table):
            return None
        for commit in self.history(table):
            if commit.asset and (snapshot is None or commit.partition in (snapshot, None)):
                return commit
        return None

    # --- writing

    def writer(
        self, table: str, *, snapshot: str | None = None, ordinal: int = 0, columns: pa.Schema | None = None
    ) -> DataFileWriter:
        """A writer for one data file of `table`. `columns` is its schema where the layer has none of its own."""
        layer = schema.layer_of(table)
        table_schema = layer.schema or columns
        if table_schema is None:
            raise LakeError(f"{table}: its layer has no schema of its own: give the columns.")
        if bool(layer.partition_by) != (snapshot is not None):
            raise LakeError(f"{table}: a snapshot is {'needed' if layer.partition_by else 'not allowed'}.")
        return DataFileWriter(self.folder(table), table_schema, snapshot=snapshot, ordinal=ordinal)

    def replace(
        self,
        table: str,
        files: Sequence[DataFile],
        origin: Origin,
        *,
        snapshot: str | None = None,
        columns: pa.Schema | None = None,
    ) -> Commit:
        """Make `files` the whole content of a snapshot (or of a table without partitions), in one commit.

        Where they hold the rows that are there already, the commit says so: its `content_version` is an earlier one.

        Raises:
            LakeError: somebody else changed the same rows meanwhile.
        """
        return self._commit(table, files, origin, "overwrite", snapshot, columns)

    def append(self, table: str, files: Sequence[DataFile], origin: Origin, *, snapshot: str | None = None) -> Commit:
        """Add `files` to a table without partitions, in one commit; `snapshot` says whose rows they are."""
        return self._commit(table, files, origin, "append", snapshot, None)

    def replace_frame(
        self,
        table: str,
        frame: pl.DataFrame,
        origin: Origin,
        *,
        snapshot: str | None = None,
        columns: pa.Schema | None = None,
    ) -> Commit:
        """`replace` with rows that are in memory."""
        with self.writer(table, snapshot=snapshot, columns=columns) as writer:
            writer.write(frame)
        return self.replace(table, writer.finished(), origin, snapshot=snapshot, columns=columns)

    def append_frame(self, table: str, frame: pl.DataFrame, origin: Origin, *, snapshot: str | None = None) -> Commit:
        """`append` with rows that are in memory."""
        with self.writer(table) as writer:
            writer.write(frame)
        return self.append(table, writer.finished(), origin, snapshot=snapshot)

    def restore(self, table: str, version: int) -> list[Commit]:
        """Make an older version the newest, in one commit that rewrites nothing; what was written with it comes along.

        Returns:
            The new commits: of each table, one for each snapshot.

        Raises:
            LakeError: there is no such version, its files are gone, or the table cannot be restored by itself.
        """
        newest = self.version(table)
        if version == newest:
            raise LakeError(f"{table} is at version {version} already.")
        if table.startswith("generations/"):
            raise LakeError(f"{table} is a journal of calls that were paid for: nothing of it is taken back.")
        for other in self.tables():
            if any(table in commit.details.get("with", {}) for commit in in_effect(self.history(other)).values()):
                raise LakeError(f"{table} is written together with {other}: restore that.")
        self.commit_at(table, version)
        missing = [file for file in self.files(table, version=version) if not file.exists()]
        if missing:
            raise LakeError(f"{table}: version {version} cannot be restored: vacuum removed {missing[0].name}.")
        restored = []
        companions: dict[str, int] = {}
        for commit in in_effect(self.history(table), version).values():
            for other, its_version in commit.details.get("with", {}).items():
                companions[other] = max(companions.get(other, 0), its_version)
        for name, its_version in [*sorted(companions.items()), (table, version)]:
            stamp = uuid.uuid4().hex
            properties = _only_next(restore_metadata(name, its_version, stamp))
            try:
                self._open(name).restore(its_version, commit_properties=properties)
            except CommitFailedError as error:
                raise LakeError(f"{name} was written at the same time: restore {table} again.") from error
            restored += self._find(name, stamp)
        return restored

    def vacuum(
        self, table: str, *, older_than_hours: int, keep_versions: Sequence[int] = (), dry_run: bool = False
    ) -> list[str]:
        """Remove data files that no version of the last hours and none of `keep_versions` needs; return their paths.

        Files that no commit ever named, which a crash leaves, go too once they are old enough. With `dry_run` nothing
        is removed.
        """
        return self._open(table).vacuum(
            retention_hours=older_than_hours,
            dry_run=dry_run,
            enforce_retention_duration=False,
            keep_versions=list(keep_versions) or None,
            full=True,
        )

    def _commit(
        self,
        table: str,
        files: Sequence[DataFile],
        origin: Origin,
        mode: Literal["append", "overwrite"],
        snapshot: str | None,
        columns: pa.Schema | None,
    ) -> Commit:
        layer = schema.layer_of(table)
        table_schema = layer.schema or columns
        assert table_schema is not None
        base = self.version(table) if self.exists(table) else 0
        stamp = uuid.uuid4().hex
        for attempt in range(_COMMIT_ATTEMPTS):
            try:
                delta = self._create(table, table_schema)
                if mode == "overwrite":
                    self._refuse_lost_update(table, base, snapshot)
                same = self._same_content(table, files, origin, mode, snapshot)
                delta.create_write_transaction(
                    [file.add_action() for file in files],
                    mode=mode,
                    schema=delta.schema(),
                    partition_by=list(layer.partition_by),
                    partition_filters=[("snapshot", "=", snapshot)] if layer.partition_by else None,
                    commit_properties=_only_next(metadata_of(origin, files, snapshot, stamp, same)),
                )
                return self._find(table, stamp)[0]
            except (CommitFailedError, DeltaError, OSError) as error:
                # A checkpoint that cannot be written is an error of a commit that is in the log.
                if done := self._stamped(table, stamp):
                    return done[0]
                if isinstance(error, OSError):
                    raise
                if attempt + 1 == _COMMIT_ATTEMPTS:
                    raise LakeError(f"{table}: the commit failed {_COMMIT_ATTEMPTS} times: {error}") from error
                # Writers that met once meet again unless they wait for different times.
                time.sleep(random.uniform(0.02, 0.2) * (attempt + 1))  # noqa: S311
        raise AssertionError

    def _refuse_lost_update(self, table: str, base: int, snapshot: str | None) -> None:
        for commit in self.history(table):
            if commit.asset and commit.version > base and (snapshot is None or commit.partition in (snapshot, None)):
                part = f"snapshot {snapshot}" if snapshot else "the table"
                raise LakeError(
                    f"{table}: run {commit.run_id or 'unknown'} wrote {part} at the same time "
                    f"(version {commit.version}). Its rows stand, these were not written: build again."
                )

    def _same_content(
        self, table: str, files: Sequence[DataFile], origin: Origin, mode: str, snapshot: str | None
    ) -> int | None:
        """The version that wrote the rows of `files` already; None if they are new."""
        before = self.last_commit(table, snapshot)
        if before is None or before.partition != snapshot:
            return None
        same = before.content == content_of(files)
        if mode == "append":
            # A journal is also the calls that it has not: they depend on the model, which the details name.
            same = not files and before.details == origin.details
        return before.content_version if same else None

    def _find(self, table: str, stamp: str) -> list[Commit]:
        found = self._stamped(table, stamp)
        if not found:
            raise LakeError(f"{table}: the commit {stamp} is not in the log.")
        return found

    def _stamped(self, table: str, stamp: str) -> list[Commit]:
        # HEAD may be another writer's by now.
        return [commit for commit in self.history(table) if commit.stamp == stamp] if self.exists(table) else []

    def _create(self, table: str, table_schema: pa.Schema) -> DeltaTable:
        if not self.exists(table):
            folder = self.folder(table)
            folder.mkdir(parents=True, exist_ok=True)
            layer = schema.layer_of(table)
            DeltaTable.create(
                str(folder),
                table_schema,
                partition_by=list(layer.partition_by),
                description=layer.description,
                configuration=_TABLE_CONFIGURATION,
                commit_properties=_only_next(),
            )
        delta = self._open(table)
        there = {field.name for field in delta.schema().fields}
        added = [field.with_nullable(True) for field in table_schema if field.name not in there]
        if added:
            # The layer has a column more than when the table was made. In older rows it is null.
            fields = list(DeltaSchema.from_arrow(pa.schema(added)).fields)
            delta.alter.add_columns(fields, commit_properties=_only_next())
            delta = self._open(table)
        return delta

    def _open(self, table: str, version: int | None = None) -> DeltaTable:
        folder = self.folder(table)
        try:
            delta = DeltaTable(str(folder))
        except TableNotFoundError as error:
            known = ", ".join(self.tables()) or "none yet"
            raise LakeError(f"There is no table {table!r} in {self.root}. Tables: {known}.") from error
        if version is not None and version != delta.version():
            # delta-rs looks for a version beyond the newest one by one.
            if not 0 <= version < delta.version():
                raise LakeError(f"{table} has no version {version}: see `lakehouse history {table}`.")
            delta.load_as_version(version)
        return delta

    # --- SQL

    def connect(
        self, pins: Pins | None = None, *, others: bool = True, database: Path | None = None
    ) -> duckdb.DuckDBPyConnection:
        """A DuckDB with every table as a view, the tables of a layer together, every commit, and lineage.

        See `connection.connect`.
        """
        return connection.connect(self, pins or {}, others=others, database=database)

    def as_of(self, table: str, version: int | None = None) -> Pins:
        """The versions that one version of `table` was made from; see `connection.as_of`."""
        return connection.as_of(self, table, version)

    def sql(self, query: str, pins: Pins | None = None) -> pl.DataFrame:
        """The answer of one query over the views that `connect` makes, and those of the versions that it names."""
        with self.connect(pins) as views:
            create_version_views(views, self, query)
            return views.sql(query).pl()

    def versions(self) -> pl.DataFrame:
        """Every commit of every table: one row each, as the view `lake.versions`."""
        return versions_frame(commit for table in self.tables() for commit in self.history(table))


def _has_versions(log: Path) -> bool:
    # A writer that was killed while it created the table leaves a log without a version.
    return log.is_dir() and any(entry.suffix == ".json" for entry in log.iterdir())


def _only_next(metadata: Mapping[str, Any] | None = None) -> CommitProperties:
    """Make a commit the next version or none: delta-rs else puts it behind those of others, whatever they wrote."""
    return CommitProperties(custom_metadata=dict(metadata or {}), max_commit_retries=0)
