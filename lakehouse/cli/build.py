"""Commands that fill the lake: crawl, ingest and build."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated

import polars as pl
import typer

from lakehouse import schema
from lakehouse.cli.show import ProgressBars, console, escape, frame_table
from lakehouse.crawl import CrawlLimits, crawl_site
from lakehouse.lake import Lake, LakeError, default_root

Workers = Annotated[
    int,
    typer.Option("--workers", min=0, envvar="LAKEHOUSE_WORKERS", help="Worker processes; 0: one a processor core."),
]
_SHOWN_FAILURES = 20
Source = Annotated[str, typer.Option("--source", help="Name of the raw source.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands to the application."""
    for command in (crawl, ingest, build):
        app.command(rich_help_panel="Fill the lake")(command)


def crawl(
    urls: Annotated[list[str], typer.Argument(help="Where to begin; the crawl stays on these hosts.", metavar="URL…")],
    source: Source = "web",
    snapshot: Annotated[str | None, typer.Option(help="Snapshot that the crawl belongs to; default: today.")] = None,
    max_pages: Annotated[int, typer.Option(min=1, help="Stop after this many pages.")] = 1_000,
    max_depth: Annotated[int, typer.Option(min=0, help="How many links away from the first pages to go.")] = 10,
    delay: Annotated[float, typer.Option(min=0, help="Seconds between two requests to one host.")] = 1.0,
    max_minutes: Annotated[float, typer.Option(min=0.1, help="Stop after this long.")] = 60.0,
) -> None:
    """Crawl web sites politely into a WARC file of the landing folder.

    robots.txt is obeyed, a host gets one request at a time, and the crawl is bounded.

        lakehouse crawl https://example.org/ --max-pages 200
    """
    limits = CrawlLimits(max_pages=max_pages, max_depth=max_depth, delay_seconds=delay, max_seconds=max_minutes * 60)
    file = crawl_into(Lake(default_root()), urls, source, snapshot or today(), limits)
    console.print(f"[green]✓[/] {file}\nNext: [bold]lakehouse build[/]")


def ingest(
    paths: Annotated[list[Path], typer.Argument(help="WARC and WET files, or folders of them.", metavar="PATH…")],
    source: Source = "web",
    snapshot: Annotated[str | None, typer.Option(help="Snapshot that the files belong to; default: today.")] = None,
    workers: Workers = 0,
) -> None:
    """Put archive files into the lake: they are linked into the landing folder and read into raw/<source>.

    Prints what became of each file. Every record is a document or a row of rejects/<source>.

        lakehouse ingest crawl.warc.gz more/ --source web --snapshot CC-MAIN-2026-43
    """
    from lakehouse.cli.runs import Builder

    os.environ["LAKEHOUSE_WORKERS"] = str(workers)
    lake, name = Lake(default_root()), schema.check_snapshot(snapshot or today())
    with Builder(lake).locked() as builder:
        if source not in builder.sources():
            known = ", ".join(builder.sources()) or "none"
            raise LakeError(
                f"There is no raw source {source!r}: declare it in assets/raw/defs.yaml. There are {known}."
            )
        land(lake, paths, source, name)
        built = builder.build(f"raw/{source}", name)
    _show_files(lake.scan(f"files/{source}", snapshot=name).collect(), f"{source}/{name}/")
    if not built.materialized:
        console.print("These files were read before: nothing was done.")
    console.print("Next: [bold]lakehouse build[/]")


def build(
    selection: Annotated[
        str | None, typer.Argument(help="A table, or a selection such as '+shards/main'; default: everything.")
    ] = None,
    snapshot: Annotated[str | None, typer.Option(help="Only this snapshot; default: all.")] = None,
    workers: Workers = 0,
    force: Annotated[bool, typer.Option("--force", help="Build also what is up to date.")] = False,
) -> None:
    """Build what is not up to date: from the landing folder to the shards.

    lakehouse build
    lakehouse build filtered/web_clean --snapshot 2026-11-21
    lakehouse build '+shards/main'
    """
    from lakehouse.cli.runs import Builder

    os.environ["LAKEHOUSE_WORKERS"] = str(workers)
    with Builder(Lake(default_root())).locked() as builder:
        built = builder.build(selection, snapshot, force=force)
    if not built.runs:
        console.print("Everything is up to date: nothing was done.")
    else:
        console.print(f"Built {built.materialized} tables in {built.seconds:.1f} s ({built.runs} runs).")


def _show_files(files: pl.DataFrame, folder: str) -> None:
    """What became of each file, and below it what is wrong with some."""
    counts = ("format", "records", "documents", "rejected", "skipped")
    shown = files.select(pl.col("warc_file").str.strip_prefix(folder).alias("file"), *counts)
    console.print(frame_table(shown, title=f"{files.height} files of {folder}"))
    for file, offset, error in (
        files.filter(pl.col("error").is_not_null()).select("warc_file", "error_offset", "error").iter_rows()
    ):
        console.print(f"[yellow]{escape(file)}[/] at byte {offset:,}: {escape(error)}", soft_wrap=True)


def today() -> str:
    """The snapshot of what arrives today (UTC)."""
    return date.fromtimestamp(datetime.now(UTC).timestamp()).isoformat()


def crawl_into(
    lake: Lake,
    urls: list[str],
    source: str,
    snapshot: str,
    limits: CrawlLimits,
    *,
    name: str | None = None,
    proxy: str | None = None,
) -> Path:
    """Crawl into a new WARC file of the landing folder and return it; progress is shown."""
    folder = lake.landing / schema.check_name(source, "raw source") / schema.check_snapshot(snapshot)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name or f'crawl-{datetime.now(UTC):%Y%m%dT%H%M%S}'}.warc.gz"
    task = "Crawling"
    with ProgressBars() as bars:
        bars.start(task, limits.max_pages)
        report = crawl_site(urls, file, limits=limits, proxy=proxy, on_page=lambda _: bars.advance(task))
        bars.finish(task)
    statuses = ", ".join(f"{count} × {status}" for status, count in sorted(report.by_status.items()))
    console.print(f"Crawled {report.pages} pages in {report.seconds:.1f} s ({statuses}).", soft_wrap=True)
    if report.disallowed:
        console.print(f"robots.txt forbids {report.disallowed} more.")
    if report.stopped_by:
        console.print(f"[yellow]Not everything was visited: {report.stopped_by}.[/]")
    for failure in report.errors[:_SHOWN_FAILURES]:
        console.print(f"[yellow]{escape(failure.url)}[/]: {escape(failure.reason)}", soft_wrap=True)
    if len(report.errors) > _SHOWN_FAILURES:
        console.print(f"… and {len(report.errors) - _SHOWN_FAILURES} more failures.")
    return file


def land(lake: Lake, paths: list[Path], source: str, snapshot: str) -> None:
    """Link files into `landing/<source>/<snapshot>/`, all of them or none.

    What is below a folder keeps its path there; of several folders each keeps its own name too.

    Raises:
        LakeError: a path does not exist, a folder holds no files, two files would have one name, or one has a name that
            would never be read.
    """
    folder = lake.landing / source / snapshot
    several = sum(path.is_dir() for path in paths) > 1
    links: dict[Path, Path] = {}
    for path in paths:
        for file, name in _files_below(path, several):
            _check_file_name(file, name)
            link, target = folder / name, file.resolve()
            other = links.get(link) or (link.resolve() if link.exists() or link.is_symlink() else target)
            if other != target:
                raise LakeError(f"{file} and {other} would both be {link}: rename one or choose another snapshot.")
            links[link] = target
    for link, target in links.items():
        if not link.is_symlink():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(target)


def _check_file_name(file: Path, name: Path) -> None:
    from assets.raw.ingest import is_unfinished

    if is_unfinished(name):
        raise LakeError(f"{file} is named as a file that is still being written: rename it when it is whole.")
    try:
        str(name).encode()
    except UnicodeEncodeError:
        raise LakeError(f"{file} has a name that is not UTF-8: rename it.") from None


def _files_below(path: Path, several: bool) -> list[tuple[Path, Path]]:
    """The files that a path stands for, each with its name in the landing folder."""
    if not path.exists():
        raise LakeError(f"{path} does not exist.")
    if path.is_file():
        return [(path, Path(path.name))]
    files = sorted(file for file in path.rglob("*") if file.is_file())
    if not files:
        raise LakeError(f"{path} is an empty folder: there is nothing to ingest (links to folders are not followed).")
    prefix = Path(path.resolve().name) if several else Path()
    return [(file, prefix / file.relative_to(path)) for file in files]
