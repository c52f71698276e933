"""Where rows come from and where they went: trace."""

from __future__ import annotations

from typing import Annotated

import typer

from lakehouse.cli.look import existing_lake
from lakehouse.cli.show import console, escape


def add_to(app: typer.Typer) -> None:
    """Add the commands to the application."""
    for command in (trace,):
        app.command(rich_help_panel="Look into the lake")(command)


def trace(
    identifier: Annotated[str, typer.Argument(help="A sequence_id of a shard, a doc_id, or a URL.", metavar="ID")],
) -> None:
    """Follow a sequence, a document or an address back to its WARC record.

    lakehouse trace main-00000-000000
    """
    from lakehouse import govern
    from lakehouse.crawl import FetchedPage, read_record

    lake = existing_lake()
    for link in govern.trace(lake, identifier):
        indent = "  " * link.depth
        facts = ", ".join(f"{name} {value}" for name, value in link.facts.items())
        console.print(f"{indent}[bold]{link.table}[/] {link.identifier}  [dim]{escape(facts)}[/]", soft_wrap=True)
        if link.table.startswith("raw/"):
            file, offset = link.facts["warc_file"], link.facts["warc_offset"]
            record = read_record(lake.landing / file, offset)
            what = f"{len(record.body):,} bytes" if isinstance(record, FetchedPage) else record.rule
            found = f"record at {file}:{offset}[/] {escape(record.url or '')} ({what})"
            console.print(f"{indent}  [green]{found}", soft_wrap=True)
