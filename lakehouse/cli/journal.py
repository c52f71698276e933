"""Journals of model calls: what is in them, and their answers as a file for other lakes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import polars as pl
import typer

from lakehouse.cli.show import console, errors, escape, frame_table
from lakehouse.lake import Lake, LakeError

_Folder = Annotated[
    Path | None,
    typer.Option("--journal", help="The journal folder of lakehouse rewrite, instead of the lake.", metavar="FOLDER"),
]


def add_to(app: typer.Typer) -> None:
    """Add the commands to the application."""
    commands = typer.Typer(no_args_is_help=True, help="Calls to models: list them, and share their answers.")
    commands.command("list")(list_)
    commands.command("export")(export)
    commands.command("import")(import_)
    app.add_typer(commands, name="journal", rich_help_panel="Look into the lake")


def list_(folder: _Folder = None) -> None:
    """List the journals with their calls, tokens, cost and models.

    calls were made, and some of them failed; answered are different requests. Answers that were paid for elsewhere are
    reused. prompts and answers are tokens, cost is in dollars.
    """
    lake = _lake(folder)
    tables = _journals(lake)
    if not tables:
        console.print(f"There are no journals in {escape(str(lake.root))} yet.", soft_wrap=True)
        return
    console.print(frame_table(pl.concat([_counts(lake, table) for table in tables])))


def export(
    file: Annotated[Path, typer.Argument(help="The file to write.", metavar="FILE.parquet")],
    recipe: Annotated[list[str] | None, typer.Option(help="Only this recipe's journal; repeatable.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Write it even if there is such a file.")] = False,
    folder: _Folder = None,
) -> None:
    """Write the good answers to a Parquet file, each request once, for another lake to import.

    lakehouse journal export answers.parquet --recipe wrap_medium
    """
    from lakehouse.generate import export_answers

    lake = _lake(folder)
    if file.exists() and not force:
        raise LakeError(f"{file} is there already: choose another name, or write over it with --force.")
    if file.is_dir() or not file.absolute().parent.is_dir():
        raise LakeError(f"{file} cannot be written: it is a folder, or there is no folder {file.absolute().parent}.")
    part = file.with_name(f".{file.name}.part")
    try:
        count = export_answers(lake, _chosen(_journals(lake), recipe or []), part)
        os.replace(part, file)
    finally:
        part.unlink(missing_ok=True)
    errors.print(escape(f"{count:,} answers in {file} ({file.stat().st_size:,} bytes)."), soft_wrap=True)


def import_(
    file: Annotated[Path, typer.Argument(help="A file that an export has written.", metavar="FILE.parquet")],
    folder: _Folder = None,
) -> None:
    """Make the answers of an exported file known to every recipe: what is in it is not called again.

    lakehouse journal import answers.parquet
    """
    import pyarrow as pa

    from lakehouse.generate import GenerationError, import_answers
    from lakehouse.lake import default_root

    if not file.is_file():
        raise LakeError(f"{file} cannot be read: {'it is a folder' if file.exists() else 'there is no such file'}.")
    lake = Lake(folder or default_root())
    try:
        new = import_answers(lake, file)
    except (pa.ArrowException, pl.exceptions.PolarsError, OSError) as error:
        cause = " ".join(str(error).split())
        raise GenerationError(f"{file} is damaged, or no exported journal: {cause}") from None
    errors.print(escape(f"{new:,} new answers in {lake.root}."), soft_wrap=True)


def _lake(folder: Path | None) -> Lake:
    """The lake that is asked about.

    Raises:
        LakeError: there is none.
    """
    from lakehouse.cli.look import existing_lake

    if folder is None:
        return existing_lake()
    if not folder.is_dir():
        raise LakeError(f"{folder} is no folder: name the one that `lakehouse rewrite` has written (<output>.journal).")
    return Lake(folder)


def _journals(lake: Lake) -> list[str]:
    return [table for table in lake.tables() if table.startswith("generations/")]


def _chosen(tables: list[str], recipes: list[str]) -> list[str]:
    for name in recipes:
        if f"generations/{name}" not in tables:
            known = ", ".join(table.partition("/")[2] for table in tables) or "none"
            raise LakeError(f"There is no journal {name!r}; there are {known}.")
    return [f"generations/{name}" for name in dict.fromkeys(recipes)] or tables


def _counts(lake: Lake, table: str) -> pl.DataFrame:
    """One row: what is in a journal."""
    own = pl.col("reused_from").is_null()
    ok = pl.col("status") == "ok"
    return (
        lake.scan(table)
        .select(
            journal=pl.lit(table.partition("/")[2]),
            calls=own.sum(),
            answered=pl.col("request_id").filter(ok).n_unique(),
            failed=(own & ~ok).sum(),
            reused=(~own).sum(),
            prompts=pl.col("prompt_tokens").sum(),
            answers=pl.col("completion_tokens").sum(),
            cost=pl.col("cost_usd").sum(),
            models=pl.col("model").unique().sort().str.join(", "),
        )
        .collect()
    )
