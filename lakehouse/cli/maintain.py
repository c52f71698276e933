"""Commands that go back to older versions, and that remove them."""

from __future__ import annotations

import re
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from lakehouse.cli.look import existing_lake
from lakehouse.cli.show import console, rows_table
from lakehouse.lake import Lake, LakeError

_HOURS = {"h": 1, "d": 24, "w": 7 * 24}


def add_to(app: typer.Typer) -> None:
    """Add the commands to the application."""
    for command in (restore, vacuum):
        app.command(rich_help_panel="Versions")(command)


def restore(
    table: Annotated[str, typer.Argument(help="A table, such as filtered/web_clean.")],
    version: Annotated[int, typer.Argument(min=0, help="The version to go back to: see `lakehouse history`.")],
) -> None:
    """Make an older version of a table the newest, in one commit. Nothing is rewritten and nothing is lost.

    The ledger that was written with it comes along. What was made from the table is stale then: build again.

        lakehouse restore filtered/web_clean 3
    """
    from lakehouse.cli.runs import Builder

    lake = existing_lake()
    with Builder(lake).locked() as builder:
        folder = _training_folder(lake, table, version)
        commits = lake.restore(table, version)
        builder.record(commits)
        if folder:
            _train_on(folder)
        for name, restored in sorted({(commit.table, commit.version) for commit in commits}):
            console.print(f"  [green]✓[/] {name} is at version {restored} now")
        stale = [state for state in builder.states() if state.reason]
    restored_tables = {commit.table for commit in commits}
    for state in stale:
        if state.table in restored_tables:
            console.print(
                f"[yellow]The next build makes {state.table} {state.snapshot or ''} anew: {state.reason}.[/] To keep "
                "what was restored, put its settings in defs.yaml back first.",
                soft_wrap=True,
            )
    if stale:
        console.print(f"{len(stale)} to build: [bold]lakehouse build[/]")


def _training_folder(lake: Lake, table: str, version: int) -> Path | None:
    """The folder with the files of older shards; None where a table has none.

    Raises:
        LakeError: it is not there any more.
    """
    folder = lake.commit_at(table, version).details.get("folder")
    if folder and not (lake.training / folder).is_dir():
        raise LakeError(f"{table}: the files of version {version} are not in {lake.training / folder} any more.")
    return lake.training / folder if folder else None


def _train_on(folder: Path) -> None:
    from assets.shards.component import point_to

    point_to(folder)


def vacuum(
    older_than: Annotated[str, typer.Option(help="Keep what was replaced later than this ago: 12h, 30d, 8w.")] = "30d",
    force: Annotated[bool, typer.Option("--force", help="Remove also what living shards were made from.")] = False,
    drop_shards: Annotated[
        bool, typer.Option("--drop-shards", help="Remove also the training files of older shards.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be removed.")] = False,
) -> None:
    """Remove the files of old versions, and what killed builds left.

    What a living mixture or living shards were made from stays, so that they can be traced and made again. Living are
    the newest, those made since then, and shards whose files are in the training folder.

        lakehouse vacuum --older-than 30d --dry-run
    """
    from lakehouse.cli.runs import Builder

    hours = _hours(older_than)
    if hours < 1 and not force:
        raise LakeError("--older-than less than an hour may remove what a run is writing now: add --force to do it.")
    lake = existing_lake()
    with Builder(lake).locked():
        _vacuum(lake, hours, force=force, drop_shards=drop_shards, dry_run=dry_run)


def _vacuum(lake: Lake, hours: int, *, force: bool, drop_shards: bool, dry_run: bool) -> None:
    from lakehouse import govern

    since = datetime.now(UTC) - timedelta(hours=hours)
    commits = govern.living(lake, since, with_files=not drop_shards)
    pinned = {} if force else govern.pins(lake, commits)
    rows, kept, holders = [], 0, set()
    for table in lake.tables():
        unneeded = set(lake.vacuum(table, older_than_hours=hours, dry_run=True))
        needed = pinned.get(table, {})
        files = set(lake.vacuum(table, older_than_hours=hours, keep_versions=sorted(needed), dry_run=True))
        size = sum((lake.folder(table) / file).stat().st_size for file in files)
        if files:
            rows.append({"table": table, "files": len(files), "bytes": size, "kept": len(unneeded - files)})
        if unneeded - files:
            kept += len(unneeded - files)
            holders |= set(needed.values())
        if files and not dry_run:
            lake.vacuum(table, older_than_hours=hours, keep_versions=sorted(needed))
    for folder in govern.abandoned_folders(lake, commits) if drop_shards else []:
        rows.append({"table": f"training/{folder.relative_to(lake.training)}", **_drop(folder, dry_run), "kept": 0})
    if rows:
        console.print(rows_table(rows, title="Would be removed" if dry_run else "Removed"))
    else:
        console.print(f"There is nothing to remove that is older than {hours} hours.")
    if kept:
        console.print(
            f"{kept} files of older versions stay, because {', '.join(sorted(holders))} were made from them "
            "(--drop-shards removes older shards, --force removes the files all the same).",
            soft_wrap=True,
        )


def _drop(folder: Path, dry_run: bool) -> dict[str, int]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    counted = {"files": len(files), "bytes": sum(path.stat().st_size for path in files)}
    if not dry_run:
        shutil.rmtree(folder)
    return counted


def _hours(duration: str) -> int:
    found = re.fullmatch(r"(\d+)([hdw])", duration)
    if not found:
        raise LakeError(f"--older-than {duration!r} is no duration: write 12h, 30d or 8w.")
    return int(found[1]) * _HOURS[found[2]]
