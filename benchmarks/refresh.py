"""What a night costs: a lake is built, 1 % of new pages arrive, a threshold moves, nothing happens.

    python benchmarks/refresh.py [--snapshots 40] [--workers 2] [--archive FILE.warc.gz]

Each snapshot is the archive with a word of its own in every long run of text, so that no two texts are the same. Each
step is `lakehouse build` in a process of its own; what it committed is listed below it.
"""

from __future__ import annotations

import argparse
import gzip
import os
import re
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
from end_to_end import CRAWL, REPOSITORY, measure

from lakehouse.crawl import ArchiveReader, FetchedPage
from lakehouse.lake import Lake

LONG_TEXT = re.compile(rb">([^<>]{60,})<")
HOUR = 3600.0
FILES = 2  # of each snapshot: a file is read by one worker


def editions(archive: Path, snapshots: int, landing: Path) -> int:
    """Write the snapshots, and beside them one of 1 % of their pages; return how many pages there are in all."""
    pages = [record for record in ArchiveReader(archive) if isinstance(record, FetchedPage)]
    for number in range(snapshots):
        write(landing / f"web/2026-{number:03d}", pages, b"edition%d" % number)
    new = max(FILES, len(pages) * snapshots // 100)
    for start in range(0, new, len(pages)):
        part = pages[: min(len(pages), new - start)]
        write(landing.parent / "arriving", part, b"arrival%d" % start)
    return len(pages) * snapshots


def write(folder: Path, pages: list[FetchedPage], word: bytes) -> None:
    """Write the pages as WARC files, one for each worker, with `word` in every long run of text."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(FILES):
        with (folder / f"{word.decode()}-{number}.warc.gz").open("wb") as file:
            for page in pages[number::FILES]:
                file.write(gzip.compress(b"".join(record(page, word)), 1, mtime=0))


def record(page: FetchedPage, word: bytes) -> Iterator[bytes]:
    """A response record of a page."""
    body = LONG_TEXT.sub(rb">" + word + rb" \1<", page.body)
    kind = dict(page.headers).get("content-type") or "text/html"
    http = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\n\r\n%s" % (kind.encode("latin-1", "replace"), body)
    yield b"WARC/1.1\r\nWARC-Type: response\r\nWARC-Target-URI: %s\r\n" % (page.url or "").encode()
    yield b"WARC-Date: 2026-11-01T00:00:00Z\r\nContent-Type: application/http; msgtype=response\r\n"
    yield b"Content-Length: %d\r\n\r\n%s\r\n\r\n" % (len(http), http)


class Night:
    """Runs builds of one lake with a copy of the packages, whose settings can be changed."""

    def __init__(self, folder: Path, workers: int) -> None:
        self.lake = Lake(folder / "lake")
        self._code = folder / "code"
        self._workers = workers
        for name in ("lakehouse", "assets", "resources", "dbt"):
            shutil.copytree(REPOSITORY / name, self._code / name)
        for name in ("pyproject.toml", "workspace.yaml"):
            shutil.copy(REPOSITORY / name, self._code)

    def change(self, file: str, old: str, new: str) -> None:
        """Change a setting in a `defs.yaml`."""
        path = self._code / file
        text = path.read_text()
        if old not in text:
            raise RuntimeError(f"{file} does not say {old!r}")
        path.write_text(text.replace(old, new))

    def build(self, step: str, whole: float | None = None) -> float:
        """Build; print what it took, as a share of `whole` too, and each commit. Return the seconds."""
        environment = {**os.environ, "LAKEHOUSE_ROOT": str(self.lake.root), "PYTHONPATH": str(self._code)}
        # An installed package is compiled; this copy is after its first command.
        for name in ("LAKEHOUSE_MODEL_URL", "LAKEHOUSE_MODEL", "PYTHONDONTWRITEBYTECODE"):
            environment.pop(name, None)
        os.chdir(self._code)
        started, before = datetime.now(UTC), processor_seconds()
        command = [sys.executable, "-m", "lakehouse", "build", "--workers", str(self._workers)]
        seconds, peak = measure(command, environment, 3 * HOUR)
        share = f"{seconds / whole:8.1%} of the first build" if whole else ""
        spent = processor_seconds() - before
        print(f"{step:44} {seconds:8.1f} s {spent:8.1f} s of processor {peak / 1e6:8,.0f} MB {share}")
        self._show_commits(started)
        return seconds

    def _show_commits(self, started: datetime) -> None:
        commits = self.lake.versions().filter(pl.col("committed_at") >= started)
        by_table = commits.group_by("table", maintain_order=True).agg(
            commits=pl.len(), snapshots=pl.col("partition").n_unique(), rows=pl.sum("rows"), bytes=pl.sum("bytes")
        )
        for row in by_table.iter_rows(named=True):
            wrote = f"{row['rows']:12,} rows {row['bytes'] / 1e6:10,.2f} MB"
            print(f"    {row['table']:40} {row['commits']:4} commits {wrote}")


def processor_seconds() -> float:
    """Seconds of processor time of every process that this one has waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Measure once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--archive", type=Path, default=CRAWL)
    parser.add_argument("--snapshots", type=int, default=40)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="refresh-"))
    try:
        night = Night(folder, arguments.workers)
        started = time.perf_counter()
        pages = editions(arguments.archive, arguments.snapshots, night.lake.landing)
        print(f"{pages:,} pages in {arguments.snapshots} snapshots, written in {time.perf_counter() - started:.0f} s")
        print(f"load of the machine before: {', '.join(f'{value:.1f}' for value in os.getloadavg())}")
        whole = night.build("the first build")
        night.build("nothing to do", whole)
        arrived = night.lake.landing / "web/2027-001"
        arrived.parent.mkdir(parents=True, exist_ok=True)
        (night.lake.root / "arriving").rename(arrived)
        night.build("1 % of new pages", whole)
        night.change("assets/filtered/defs.yaml", "gopher_quality]", "{gopher_quality: {min_words: 60}}]")
        night.build("a threshold moved", whole)
        night.build("nothing to do", whole)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
