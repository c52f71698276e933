"""Which old versions are still needed: those that a mixture or a set of shards was made from, as long as it lives."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from lakehouse.commits import Commit, in_effect
from lakehouse.lake import Lake


def living(lake: Lake, since: datetime, *, with_files: bool = True) -> list[Commit]:
    """The versions of mixtures and shards that somebody may train on.

    They are the newest of each, those that were made since then, and (unless `with_files` is false) shards whose files
    are in the training folder.
    """
    found = []
    for table in lake.tables():
        if table.startswith(("mixtures/", "shards/")):
            history = [commit for commit in lake.history(table) if commit.asset]
            newest = list(in_effect(history).values())
            found += [
                commit
                for commit in history
                if commit in newest or commit.committed_at >= since or (with_files and _has_files(lake, commit))
            ]
    return found


def pins(lake: Lake, commits: Iterable[Commit]) -> dict[str, dict[int, str]]:
    """The versions that commits were made from, directly or not, and the ledgers that belong to them.

    Returns:
        For each table its versions, each with the name of a commit that was made from it (`shards/main@3`).
    """
    found: dict[str, dict[int, str]] = {}
    for commit in commits:
        for table, pin in lake.as_of(commit.table, commit.version).items():
            for version in [pin] if isinstance(pin, int) else pin.values():
                found.setdefault(table, {}).setdefault(version, f"{commit.table}@{commit.version}")
    return found


def abandoned_folders(lake: Lake, commits: Iterable[Commit]) -> list[Path]:
    """The folders of shard files that none of `commits` names, and that are not the newest of their set."""
    named = {commit.details.get("folder") for commit in commits}
    folders = [path for path in sorted(lake.training.glob("*/*")) if path.is_dir() and not path.is_symlink()]
    newest = {link.resolve() for link in lake.training.glob("*/latest")}
    return [
        path
        for path in folders
        if path.relative_to(lake.training).as_posix() not in named
        and path.resolve() not in newest
        and not path.name.startswith(".")
    ]


def _has_files(lake: Lake, commit: Commit) -> bool:
    folder = commit.details.get("folder", "")
    return bool(folder) and (lake.training / folder).is_dir()
