"""The `lakehouse` command."""

from __future__ import annotations

import os
import signal
import sys

import typer

from lakehouse.cli import (
    audit,
    build,
    dedup,
    demo,
    docs,
    estimate,
    explore,
    files,
    fit,
    journal,
    lineage,
    look,
    maintain,
    query,
    recipes,
    rewrite,
    serve,
    train,
    versions,
)
from lakehouse.cli.show import errors, escape

app = typer.Typer(
    help="A data lake for language-model pretraining corpora: from web crawls to training shards, every step a table.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
for module in (
    demo, build, look, query, explore, docs, lineage, versions, maintain, fit, train, audit, files, dedup,
    rewrite, recipes, estimate, journal, serve
):  # fmt: skip
    module.add_to(app)


_INTERRUPTED = 128 + signal.SIGINT  # how typer ends after Ctrl-C


def main() -> None:
    """Run the command; a known error is one line on standard error and exit status 1."""
    if "LAKEHOUSE_ROOT" in os.environ:
        # Dagster's processes may have another working directory.
        os.environ["LAKEHOUSE_ROOT"] = os.path.abspath(os.environ["LAKEHOUSE_ROOT"])
    try:
        app()
    except SystemExit as end:
        if end.code == _INTERRUPTED:
            errors.print("Interrupted. Nothing half-written is part of the lake.")
        raise
    except Exception as error:
        from lakehouse.cli.failures import is_known, lines

        if not is_known(error):
            raise
        for line in lines(error):
            errors.print(f"[bold red]Error:[/] {escape(line)}", soft_wrap=True)
        sys.exit(1)
