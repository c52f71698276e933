"""The demo: a small web is served on loopback, crawled, and made into training shards."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from lakehouse.cli.build import Workers, crawl_into, today
from lakehouse.cli.show import console, errors
from lakehouse.lake import DEFAULT_ROOT, Lake, default_root

_SOURCE = "web"
_BAR_WIDTH = 20


def add_to(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(rich_help_panel="Start here")(demo)


def demo(
    workers: Workers = 0,
) -> None:
    """Run the whole path on a small web that ships with the package: crawl, text, filters, mixture, shards, statistics.

    The web is served on the loopback interface and crawled for real; the model that rewrites is a scripted stand-in.
    Run it again and it builds only what is missing.
    """
    from lakehouse.cli.runs import Builder

    os.environ["LAKEHOUSE_WORKERS"] = str(workers)
    started = time.monotonic()
    lake = Lake(default_root())
    snapshot = _crawled(lake) or _crawl_demo_web(lake)
    with _stand_in_model():
        console.print("[bold]Building[/] raw documents, filters, rewrites, mixture, shards and statistics")
        with Builder(lake).locked() as builder:
            built = builder.build(snapshot=snapshot)
    if not built.runs:
        console.print("  Everything is up to date: nothing was done.")
    _summary(lake, time.monotonic() - started)


def _crawled(lake: Lake) -> str | None:
    """The snapshot of an earlier demo's crawl."""
    found = sorted((lake.landing / _SOURCE).glob("*/demo-web.warc.gz"))
    return found[-1].parent.name if found else None


def _crawl_demo_web(lake: Lake) -> str:
    from lakehouse.crawl import CrawlLimits
    from lakehouse.demo import DemoWeb

    console.print("[bold]Crawling[/] the demo web")
    with errors.status("Making the pages of the demo web"):
        web = DemoWeb()
    limits = CrawlLimits(max_pages=1_000, delay_seconds=0.0, max_seconds=120.0)
    with web:
        file = crawl_into(lake, web.seeds, _SOURCE, today(), limits, name="demo-web", proxy=web.proxy)
    return file.parent.name


@contextmanager
def _stand_in_model() -> Iterator[None]:
    """Serve the scripted model while the block runs, unless the user has set a real endpoint."""
    if os.environ.get("LAKEHOUSE_MODEL_URL"):
        yield
        return
    from lakehouse.generate.mock.server import MODEL, MockModel

    with MockModel() as server:
        os.environ |= {"LAKEHOUSE_MODEL_URL": server.base_url, "LAKEHOUSE_MODEL": MODEL}
        try:
            yield
        finally:
            del os.environ["LAKEHOUSE_MODEL_URL"], os.environ["LAKEHOUSE_MODEL"]


def _summary(lake: Lake, seconds: float) -> None:
    from lakehouse.generate.mock.server import MODEL

    console.print()
    console.print(_waterfall(lake))
    shards = lake.sql("SELECT * FROM stats.shard_fill").to_dicts()[0]
    asked = lake.sql("SELECT count(*) AS calls, any_value(model) AS model FROM lake.generations").to_dicts()[0]
    sequence = lake.sql("SELECT min(sequence_id) AS id FROM lake.shards")["id"][0]
    stand_in = ", a scripted stand-in and no model" if asked["model"] == MODEL else ""
    console.print(
        f"[bold]{shards['tokens']:,} tokens[/] in {shards['sequences']:,} sequences of training data "
        f"({shards['fill_share']:.1%} full), {seconds:.0f} s. {asked['calls']} rewrites by {asked['model']}{stand_in}.",
        soft_wrap=True,
    )
    console.print(f"The lake is at [bold]{lake.root}[/],", soft_wrap=True)
    console.print(f"the shards are at [bold]{lake.training / 'main' / 'latest'}[/].", soft_wrap=True)
    root = "" if lake.root == Path.cwd() / DEFAULT_ROOT else f"LAKEHOUSE_ROOT={shlex.quote(str(lake.root))} "
    command = f"{root}{shlex.quote(os.path.relpath(Path(sys.prefix) / 'bin' / 'lakehouse'))}"
    console.print("\nTry next:")
    for arguments, purpose in (
        ("ui", "browse the asset graph, the runs, the checks and the plots"),
        (
            'sql "SELECT rule, count(*) FROM rejects.web_clean GROUP BY ALL ORDER BY 2 DESC"',
            "ask what was dropped, and why",
        ),
        (f"trace {sequence}", "follow a training sequence back to the bytes that were crawled"),
    ):
        console.print(f"  [bold]{command} {arguments}[/]\n      [dim]{purpose}[/]", soft_wrap=True)


def _waterfall(lake: Lake) -> Table:
    """What became of every record, from the archives to the training sequences."""
    rows = lake.sql("SELECT * FROM stats.waterfall ORDER BY position").to_dicts()
    most = max(row["documents"] for row in rows)
    table = Table(title="What became of every record", title_justify="left", box=SIMPLE_HEAD)
    table.add_column("step", no_wrap=True)
    for name in ("documents", "tokens"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("")
    before = None
    for row in rows:
        if row["table"] != before:
            before = row["table"]
            table.add_row(f"[bold]{before}[/]", "", "", "")
        is_loss = row["step"] in ("dropped", "skipped")
        label = f"  − {row['rule'] or row['step']}" if is_loss else f"  {row['step']}"
        bar = "█" * max(round(_BAR_WIDTH * row["documents"] / most), 1 if row["documents"] else 0)
        colour = "red" if is_loss else "green"
        table.add_row(label, f"{row['documents']:,}", _tokens(row), f"[{colour}]{bar}[/]")
    return table


def _tokens(row: dict[str, Any]) -> str:
    """The tokens that were counted, or about how many there would be."""
    if row["tokens"] is not None and row["tokens"] == row["estimated_tokens"]:
        return f"{row['tokens']:,}"
    return f"≈ {row['estimated_tokens']:,.0f}" if row["estimated_tokens"] is not None else ""
