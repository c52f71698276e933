"""Where rows come from, where they went, and why they are or are not there: trace and why."""

from __future__ import annotations

import dataclasses
import enum
import json
import sys
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lakehouse.cli.look import existing_lake
from lakehouse.cli.show import console, escape

if TYPE_CHECKING:
    from lakehouse.govern import Link
    from lakehouse.lake import Lake

_COLOURS = {"read": "cyan", "kept": "green", "drawn": "green", "held": "green", "dropped": "red"}


class Format(enum.StrEnum):
    """How a chain is printed."""

    text = "text"
    json = "json"


def add_to(app: typer.Typer) -> None:
    """Add the commands to the application."""
    for command in (trace, why):
        app.command(rich_help_panel="Look into the lake")(command)


def trace(
    identifier: Annotated[str, typer.Argument(help="A sequence_id of a shard, a doc_id, or a URL.", metavar="ID")],
    forward: Annotated[bool, typer.Option("--forward", help="To everything that holds a document's text.")] = False,
    output: Annotated[Format, typer.Option("--format", help="How the rows are printed.")] = Format.text,
) -> None:
    """Follow a sequence, a document or an address back to its WARC record, or forward to the shards.

    lakehouse trace main-00000-000000
    lakehouse trace --forward http://gazette.demo.test/articles/salt-harvest.html
    """
    from lakehouse import govern

    lake = existing_lake()
    is_whole = True
    for link in (govern.trace_forward if forward else govern.trace)(lake, identifier):
        record = _record(lake, link) if link.what == "raw" and "warc_file" in link.facts else None
        is_whole = is_whole and link.what != "missing" and not (record and "error" in record)
        if output is Format.json:
            _write_json(dataclasses.asdict(link) | ({"record": record} if record else {}))
        else:
            _print(link, record)
    if not is_whole:
        sys.exit(1)


def why(
    identifier: Annotated[str, typer.Argument(help="A doc_id or a URL.", metavar="ID")],
    output: Annotated[Format, typer.Option("--format", help="How the verdicts are printed.")] = Format.text,
) -> None:
    """Say where a document was kept or dropped, by which rule and with which value.

    lakehouse why http://gazette.demo.test/status/report.html
    """
    from lakehouse import govern

    verdicts = govern.why(existing_lake(), identifier)
    if output is Format.json:
        for verdict in verdicts:
            _write_json(dataclasses.asdict(verdict))
        return
    for (doc_id, url), of_document in groupby(verdicts, key=lambda verdict: (verdict.identifier, verdict.url)):
        console.print(f"[bold]{_shown(doc_id)}[/]  {_shown(url or '')}", soft_wrap=True)
        for verdict in of_document:
            colour = _COLOURS.get(verdict.verdict, "yellow")
            console.print(f"  [{colour}]{verdict.verdict:<9}[/]  {_shown(verdict.sentence)}", soft_wrap=True)


def _print(link: Link, record: dict[str, Any] | None) -> None:
    indent = "  " * link.depth
    facts = ", ".join(f"{name} {value}" for name, value in link.facts.items())
    if link.what == "missing":
        origin = link.parent[0] if link.parent else "the row above"
        console.print(
            f"{indent}[red]{_shown(link.identifier)} is gone: {_shown(origin)} was made from it, but it is in none of "
            "the versions that were read[/]",
            soft_wrap=True,
        )
        return
    role = f" ({link.what})" if "copy" in link.what else ""
    console.print(
        f"{indent}[bold]{_shown(link.table)}[/] {_shown(link.identifier)}{role}  [dim]{_shown(facts)}[/]",
        soft_wrap=True,
    )
    if record:
        place = _shown(f"{link.facts['warc_file']}:{link.facts['warc_offset']}")
        if "error" in record:
            console.print(f"{indent}  [red]no record at {place}: {_shown(record['error'])}[/]", soft_wrap=True)
        else:
            found = f"{_shown(record['url'] or '')} ({record['bytes']:,} bytes)"
            console.print(f"{indent}  [green]record at {place}[/] {found}", soft_wrap=True)


def _record(lake: Lake, link: Link) -> dict[str, Any]:
    """What is in the archive where a raw row says that it comes from: `url` and `bytes`, or `error`."""
    from lakehouse.crawl import CrawlError, FetchedPage, read_record

    try:
        record = read_record(lake.landing / link.facts["warc_file"], link.facts["warc_offset"])
    except (CrawlError, OSError) as error:
        return {"error": str(error)}
    if not isinstance(record, FetchedPage):
        return {"error": record.rule}
    return {"url": record.url, "bytes": len(record.body)}


def _write_json(row: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(row, ensure_ascii=False) + "\n")


def _shown(text: str) -> str:
    """A text of the lake as it may be printed: no markup and no control characters of a stranger's."""
    return escape("".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in text))
