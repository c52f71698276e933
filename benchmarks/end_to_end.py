"""From an archive file to training shards: seconds and memory of every step, in a lake that is thrown away.

    python benchmarks/end_to_end.py [FILE.warc.gz] [--workers 2] [--datatrove PYTHON]

The steps are the commands `lakehouse ingest` and `lakehouse build`, one process each, with the recipe in assets/; the
time of a table runs from the commit before it to its own. Memory is the proportional set size (PSS) of all processes
together, sampled. `--datatrove` names a Python that has DataTrove: it then reads the file, extracts with trafilatura
and applies the Gopher quality filter on one core, which is what raw, annotations and the filter do here.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import psutil  # type: ignore[import-untyped]

from lakehouse.lake import Lake

REPOSITORY = Path(__file__).resolve().parents[1]
CRAWL = REPOSITORY.parent / "shared/data/warc/miniweb-crawl/miniweb-crawl-00000.warc.gz"
SAMPLE_SECONDS = 0.2
DATATROVE_SECONDS = 900

DATATROVE = """
import sys
from pathlib import Path
import trafilatura  # else every extraction process imports it within its time limit, and times out on a busy machine
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.extractors import Trafilatura
from datatrove.pipeline.filters import GopherQualityFilter
from datatrove.pipeline.readers import WarcReader
from datatrove.pipeline.writers import JsonlWriter

if __name__ == "__main__":
    file, folder = Path(sys.argv[1]), Path(sys.argv[2])
    steps = [
        WarcReader(str(file.parent), glob_pattern=file.name),
        Trafilatura(timeout=10),
        GopherQualityFilter(),
        JsonlWriter(str(folder / "out")),
    ]
    LocalPipelineExecutor(steps, tasks=1, workers=1, logging_dir=str(folder / "log")).run()
"""


class PeakMemory:
    """Samples the PSS of a process and everything below it."""

    def __init__(self, process: int) -> None:
        self._process = psutil.Process(process)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.bytes = 0
        self._thread.start()

    def finish(self) -> int:
        """Stop sampling; return the highest sum in bytes."""
        self._stop.set()
        self._thread.join()
        return self.bytes

    def _watch(self) -> None:
        while not self._stop.wait(SAMPLE_SECONDS):
            self.bytes = max(self.bytes, _memory_of_tree(self._process))


def _memory_of_tree(process: psutil.Process) -> int:
    total = 0
    try:
        for one in (process, *process.children(recursive=True)):
            try:
                total += one.memory_full_info().pss
            except psutil.Error:
                continue  # it ended between being listed and being asked
    except psutil.NoSuchProcess:
        return 0
    return total


def measure(command: list[str], environment: dict[str, str], seconds: float) -> tuple[float, int]:
    """Run a command; return its seconds and its peak memory in bytes.

    Raises:
        RuntimeError: it failed or took too long; everything that it started is ended.
    """
    with tempfile.TemporaryFile("w+") as said:
        started = time.perf_counter()
        process = subprocess.Popen(command, env=environment, stdout=said, stderr=subprocess.STDOUT)
        memory = PeakMemory(process.pid)
        try:
            status: int | None = process.wait(seconds)
        except subprocess.TimeoutExpired:
            status = None
            for one in (*psutil.Process(process.pid).children(recursive=True), process):
                one.kill()
            process.wait()
        taken, peak = time.perf_counter() - started, memory.finish()
        if status != 0:
            said.seek(0)
            what = f"took more than {seconds:.0f} s" if status is None else f"ended with status {status}"
            raise RuntimeError(f"{' '.join(command[:5])} … {what}:\n{said.read()[-2000:]}")
    return taken, peak


def show(step: str, seconds: float, peak: int | None = None, rows: int | None = None) -> None:
    """Print one line of the table."""
    memory = f"{peak / 1e6:10,.0f} MB" if peak is not None else " " * 13
    print(f"{step:36} {seconds:8.1f} s {memory} {f'{rows:12,} rows' if rows is not None else ''}".rstrip())


def show_tables(lake: Lake, started: datetime) -> None:
    """Seconds between the commits of one command, each beside the table that it ended with."""
    before = started
    commits = lake.versions().filter(pl.col("committed_at") >= started).sort("committed_at")
    for row in commits.to_dicts():
        show(f"  {row['table']}", (row["committed_at"] - before).total_seconds(), rows=row["rows"])
        before = row["committed_at"]


def ours(file: Path, workers: int) -> None:
    """Ingest and build in a fresh lake."""
    root = Path(tempfile.mkdtemp(prefix="end-to-end-"))
    environment = {**os.environ, "LAKEHOUSE_ROOT": str(root), "PYTHONPATH": str(REPOSITORY)}
    for name in ("LAKEHOUSE_MODEL_URL", "LAKEHOUSE_MODEL"):
        environment.pop(name, None)
    command = [sys.executable, "-m", "lakehouse"]
    try:
        total, highest = 0.0, 0
        for arguments in (["ingest", str(file), "--snapshot", "s1"], ["build", "+shards/main"]):
            started = datetime.now(UTC)
            seconds, peak = measure([*command, *arguments, "--workers", str(workers)], environment, 600)
            show(f"lakehouse {arguments[0]}", seconds, peak)
            show_tables(Lake(root), started)
            total, highest = total + seconds, max(highest, peak)
        show("from archive to shards", total, highest)
    finally:
        shutil.rmtree(root)


def datatrove(python: str, file: Path) -> None:
    """The first steps with DataTrove on one core."""
    folder = Path(tempfile.mkdtemp(prefix="datatrove-"))
    script = folder / "peer.py"
    script.write_text(DATATROVE)
    try:
        seconds, peak = measure([python, str(script), str(file), str(folder)], dict(os.environ), DATATROVE_SECONDS)
        show("DataTrove: read, extract, one filter", seconds, peak)
        for step in json.loads((folder / "log/stats.json").read_text()):
            counted = next(step["stats"][name] for name in ("forwarded", "documents", "total") if name in step["stats"])
            rows = counted["total"] if isinstance(counted, dict) else counted
            show(f"  {step['name'].split(' ', 1)[-1]}", step["time_stats"]["total"], rows=rows)
    finally:
        shutil.rmtree(folder)


def main() -> None:
    """Measure once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, nargs="?", default=CRAWL)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--datatrove", metavar="PYTHON", help="A Python that has DataTrove and trafilatura.")
    arguments = parser.parse_args()
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{arguments.file.name}, {arguments.file.stat().st_size / 1e6:.0f} MB, {arguments.workers} workers")
    print(f"load of the machine before: {load}")
    ours(arguments.file, arguments.workers)
    if arguments.datatrove:
        datatrove(arguments.datatrove, arguments.file)


if __name__ == "__main__":
    main()
