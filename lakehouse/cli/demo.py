"""The demo: a small web is served on loopback, crawled, and made into training shards."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from lakehouse.cli.build import crawl_into, today
from lakehouse.cli.show import console, errors, frame_table
from lakehouse.lake import Lake, default_root

_SOURCE = "web"


def add_to(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(rich_help_panel="Start here")(demo)


def demo(
    workers: Annotated[int, typer.Option("--workers", min=0, help="Worker processes; 0: one a processor core.")] = 0,
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
    from lakehouse.generate import MockModel

    with MockModel() as server:
        os.environ |= {"LAKEHOUSE_MODEL_URL": server.base_url, "LAKEHOUSE_MODEL": server.model}
        try:
            yield
        finally:
            del os.environ["LAKEHOUSE_MODEL_URL"], os.environ["LAKEHOUSE_MODEL"]


def _summary(lake: Lake, seconds: float) -> None:
    waterfall = lake.sql("SELECT * FROM stats.waterfall")
    console.print()
    console.print(frame_table(waterfall, title="What became of every record"))
