"""Two versions of a table side by side: what their commits say, and the data files in which they can differ."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb

from lakehouse import schema
from lakehouse.commits import Commit, in_effect, rows_changed
from lakehouse.lake import Lake, LakeError
from lakehouse.views import create_view, literal

LEDGER = "rejects/ledger"
"""The name of a set's ledger while its versions are compared, whatever its own."""

_MEMORY_LIMIT = "1GB"


@dataclass(frozen=True)
class Side:
    """One of the two versions: what its commit wrote, and the rows of the whole table at that version."""

    version: int
    committed_at: datetime
    run_id: str
    snapshots: tuple[str, ...]
    rows: int
    restored: int | None


def versions_to_compare(lake: Lake, table: str, before: int | None, after: int | None) -> tuple[int, int]:
    """Check two versions, and fill in those that are not given: the newest that wrote rows, and the one before it.

    Raises:
        LakeError: there is no such table or version, or only one version.
    """
    history = lake.history(table)
    known = {commit.version for commit in history}
    for version in (before, after):
        if version is not None and version not in known:
            raise LakeError(f"{table} has no version {version}: it has versions {min(known)} to {max(known)}.")
    written = sorted({commit.version for commit in history if commit.asset}, reverse=True)
    if after is None:
        after = written[0] if written else max(known)
    if before is None:
        earlier = [version for version in written if version < after]
        if not earlier:
            raise LakeError(f"{table} has no rows before version {after}: there is nothing to compare it with.")
        before = earlier[0]
    return before, after


def ledger_of(commit: Commit) -> tuple[str, int] | None:
    """The ledger that was written together with a commit, and its version; None where there is none."""
    for table, version in commit.details.get("with", {}).items():
        if table.startswith("rejects/"):
            return table, version
    if "rejects" in commit.details:
        # Commits of the first lakes name the version alone.
        return f"rejects/{commit.table.partition('/')[2]}", commit.details["rejects"]
    return None


class VersionPair:
    """Two versions of a table: their commits, their files, and both as views of one DuckDB.

    `missing_ledgers` are those that `opened` did not find: vacuum removed their files.

    Raises:
        LakeError: there is no such table or version.
    """

    def __init__(self, lake: Lake, table: str, before: int, after: int) -> None:
        versions_to_compare(lake, table, before, after)
        self.table = table
        self.columns = lake.schema(table, max(before, after))
        self._lake = lake
        self._versions = (before, after)
        self._history = lake.history(table)
        self._journal = table.startswith("generations/")
        self._files = [lake.files(table, version=version) for version in self._versions]
        self._in_effect = [in_effect(self._history, version) for version in self._versions]
        self.missing_ledgers: list[str] = []

    @property
    def sql_name(self) -> str:
        """The name of the table's view in each catalog of `opened`."""
        return schema.sql_name(self.table)

    @property
    def has_ledger(self) -> bool:
        """Whether one of the versions was written together with a ledger."""
        return any(ledger_of(commit) for commits in self._in_effect for commit in commits.values())

    def side(self, version: int) -> Side:
        """What is known of one version without reading rows."""
        commits = [commit for commit in self._history if commit.version == version]
        if self._journal:
            rows = sum(commit.rows for commit in self._history if commit.version <= version)
        else:
            rows = sum(commit.rows for commit in in_effect(self._history, version).values())
        snapshots = tuple(commit.partition for commit in commits if commit.partition)
        # A restored version has the run of what it put back, snapshot by snapshot: it was no run itself.
        restored = commits[0].details.get("restored")
        run_id = commits[0].run_id if restored is None else ""
        return Side(version, commits[0].committed_at, run_id, snapshots, rows, restored)

    def differing_files(self) -> tuple[list[Path], list[Path]]:
        """The data files of each version without those whose rows are in the other one for certain."""
        before, after = self._files
        shared = set(before) & set(after)
        differing = self._differing_snapshots()
        return (
            [file for file in before if file not in shared and _snapshot_of(file) in differing],
            [file for file in after if file not in shared and _snapshot_of(file) in differing],
        )

    def all_files(self) -> tuple[list[Path], list[Path]]:
        """The data files of both versions; of what is the same for certain, those of the second."""
        before, after = self.differing_files()
        shared = set(self._files[1]) - set(after)
        return sorted([*before, *shared]), sorted([*after, *shared])

    def notes(self) -> list[dict[str, Any]]:
        """What was different when the rows were made: settings, code and inputs."""
        found: dict[str, list[str]] = {}
        for snapshot in self._snapshots():
            before, after = (commits.get(snapshot) for commits in self._in_effect)
            for note in self._notes_of(before, after) if before and after else ():
                found.setdefault(note, []).extend([snapshot] if snapshot else [])
        return [{"note": note, "snapshots": snapshots} for note, snapshots in found.items()]

    @contextmanager
    def opened(self, *, everything: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
        """A DuckDB with the catalogs `before` and `after`: in each the table and its ledger.

        Args:
            everything: also what both versions have in common for certain.

        Raises:
            LakeError: vacuum removed a data file that has to be read, or it cannot be read.
        """
        files = self.all_files() if everything else self.differing_files()
        snapshots = self._snapshots() if everything else self._differing_snapshots()
        for version, its_files in zip(self._versions, files, strict=True):
            self._refuse_vacuumed(version, its_files)
        self._lake.scratch.mkdir(parents=True, exist_ok=True)
        with (
            tempfile.TemporaryDirectory(prefix="diff-", dir=self._lake.scratch) as spilled,
            duckdb.connect(config={"autoinstall_known_extensions": False}) as connection,
        ):
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute(f"SET memory_limit = '{_MEMORY_LIMIT}'")
            connection.execute(f"SET temp_directory = {literal(spilled)}")
            connection.execute("SET preserve_insertion_order = false")
            try:
                for catalog, *parts in zip(("before", "after"), files, self._ledger_files(snapshots), strict=True):
                    self._attach(connection, catalog, *parts)
                connection.execute("USE memory")
                yield connection
            except duckdb.Error as error:
                raise LakeError(f"{self.table}: its versions cannot be compared: {error}") from error

    def _attach(
        self, connection: duckdb.DuckDBPyConnection, catalog: str, files: Sequence[Path], ledger_files: Sequence[Path]
    ) -> None:
        connection.execute(f"ATTACH ':memory:' AS {catalog}")
        connection.execute(f"USE {catalog}")
        for layer in sorted({self.table.split("/")[0], "rejects"}):
            connection.execute(f"CREATE SCHEMA {layer}")
        create_view(connection, self.table, files, self.columns)
        if self.table != LEDGER:
            create_view(connection, LEDGER, ledger_files, schema.REJECTS)

    def _snapshots(self) -> list[str | None]:
        """The snapshots of both versions; None is a table without."""
        return sorted({place for commits in self._in_effect for place in commits}, key=str)

    def _differing_snapshots(self) -> list[str | None]:
        """Those of which the commits do not say that both versions have the same rows."""
        if self._journal:
            # Its commits add rows to those before: they say nothing of the whole.
            return [None]
        before, after = self._in_effect
        return [
            place
            for place in self._snapshots()
            if place not in before or place not in after or not _same_rows(before[place], after[place])
        ]

    def _refuse_vacuumed(self, version: int, files: Sequence[Path]) -> None:
        missing = [file for file in files if not file.exists()]
        if missing:
            raise LakeError(
                f"{self.table}: version {version} cannot be compared any more: vacuum removed {len(missing)} of its "
                f"data files, such as {missing[0].name}. Choose a newer version."
            )

    def _ledger_files(self, snapshots: Sequence[str | None]) -> list[list[Path]]:
        """The ledger's files of each version."""
        found: list[list[Path]] = [[], []]
        self.missing_ledgers = []
        for ledger_files, commits in zip(found, self._in_effect, strict=True):
            for snapshot in (place for place in snapshots if place in commits):
                ledger = ledger_of(commits[snapshot])
                if ledger is None:
                    continue
                its_files = self._lake.files(ledger[0], version=ledger[1], snapshot=snapshot)
                if all(file.exists() for file in its_files):
                    ledger_files += its_files
                else:
                    self.missing_ledgers.append(f"{ledger[0]}@{ledger[1]}")
        return found

    def _notes_of(self, before: Commit, after: Commit) -> Iterator[str]:
        if not (before.code_version and after.code_version):
            return  # rows that were written by hand, or a snapshot that a restored version does not have
        if before.config_hash != after.config_hash:
            yield f"made with other settings: configuration {after.config_hash[:8]} instead of {before.config_hash[:8]}"
        old, new = (one.code_version.removesuffix(one.config_hash).rstrip("-") for one in (before, after))
        if old != new:
            yield f"made by other code: version {new} instead of {old}"
        for table in sorted(before.inputs.keys() | after.inputs.keys()):
            old_version, new_version = before.inputs.get(table), after.inputs.get(table)
            if old_version is None:
                yield f"made also from {table}@{new_version}"
            elif new_version is None:
                yield f"not made from {table}@{old_version} any more"
            elif old_version != new_version and self._read_other_rows(table, before, after):
                yield f"made from {table}@{new_version} instead of @{old_version}"

    def _read_other_rows(self, table: str, before: Commit, after: Commit) -> bool:
        """Whether two commits read other rows of a table: another version may have the same in their snapshot."""
        if not self._lake.exists(table):
            return True
        snapshot = after.partition
        # A set that drops copies of earlier snapshots reads itself; so does its ledger.
        of_itself = table in (self.table, self.table.replace("rejects/", "filtered/", 1))

        def is_read(commit: Commit) -> bool:
            if of_itself and snapshot is not None:
                return (commit.partition or "") < snapshot
            return snapshot is None or commit.partition in (snapshot, None)

        since = max(before.committed_at, after.committed_at)
        return rows_changed(self._lake.history(table), before.inputs[table], after.inputs[table], since, is_read)


def _same_rows(before: Commit, after: Commit) -> bool:
    return before.version == after.version or bool(before.content and before.content == after.content)


def _snapshot_of(file: Path) -> str | None:
    key, _, snapshot = file.parent.name.partition("=")
    return snapshot if key == "snapshot" else None
