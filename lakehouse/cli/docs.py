"""The documentation of the statistics: what each mart and column means, and what it is made from."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from lakehouse.cli.look import existing_lake
from lakehouse.cli.show import console, errors
from lakehouse.lake import LakeError


def add_to(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(rich_help_panel="Look into the lake")(docs)


def docs(
    output: Annotated[Path | None, typer.Option(help="The HTML file to write; default: docs.html in the lake.")] = None,
) -> None:
    """Write the documentation of the statistics (dbt docs) as one HTML file.

    It has every mart and every table that they read, with columns, descriptions, tests and a graph.

        lakehouse docs --output statistics.html
    """
    from assets.stats import project
    from assets.stats.component import FILE

    lake = existing_lake()
    page = (output or lake.root / "docs.html").absolute()
    if not page.parent.is_dir():
        raise LakeError(f"{page}: there is no folder {page.parent}.")
    if not (lake.root / FILE).is_file():
        raise LakeError(f"There are no statistics in {lake.root} yet: run `lakehouse build`.")
    lake.scratch.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=lake.scratch, prefix="docs-") as scratch:
        # dbt locks the file that it opens: the lake's own stays free for its readers.
        shutil.copy(lake.root / FILE, Path(scratch, project.DATABASE))
        with errors.status("dbt writes the documentation"):
            made = project.document(Path(scratch))
        partial = page.with_name(f".{page.name}.partial")
        shutil.copy(made, partial)
        os.replace(partial, page)
    console.print(f"[green]✓[/] {page}", soft_wrap=True)
