"""What SQL costs on ten million narrow rows: seconds, memory, and the bytes that a query reads.

    python benchmarks/sql.py [--rows 10000000]

The rows are made up from a seed: an annotation table of ten snapshots with four data files each, through the lake's own
writer, about 300 MB in a temporary folder that is removed afterwards. Each question is asked in a process of its own:
`first` is its first answer and `again` the median of five more, `peak` is the memory of the whole process, and `read`
is what the process asked the kernel to read for the first answer (files in the page cache count too).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from end_to_end import measure

from lakehouse.commits import Origin
from lakehouse.lake import Lake
from lakehouse.schema import annotation_schema

TABLE, VIEW = "annotations/web/narrow", "annotations.web__narrow"
SNAPSHOTS, FILES = 10, 4
SNAPSHOT = "2026-04"
BATCH_ROWS = 100_000
LANGUAGES, SOURCES, HOSTS = 60, 8, 50_000
COLUMNS = annotation_schema(
    [
        pa.field("language", pa.string()),
        pa.field("source", pa.string()),
        pa.field("host", pa.string()),
        pa.field("n_words", pa.int64()),
        pa.field("n_tokens", pa.int64()),
        pa.field("score", pa.float64()),
    ]
)
HOUR = 3600.0
AGAIN = 5

QUESTIONS = {
    "rows in all": f"SELECT count(*) FROM {VIEW}",
    "group by language and source": (
        f"SELECT language, source, count(*) AS documents, sum(n_tokens) AS tokens, avg(score) AS score FROM {VIEW} "
        "GROUP BY language, source ORDER BY tokens DESC"
    ),
    "group by host, the ten largest": (
        f"SELECT host, count(*) AS documents, sum(n_tokens) AS tokens FROM {VIEW} "
        "GROUP BY host ORDER BY tokens DESC, host LIMIT 10"
    ),
    "one document by its id": f"SELECT * FROM {VIEW} WHERE doc_id = getvariable('wanted')",
    "one document of a known snapshot": (
        f"SELECT * FROM {VIEW} WHERE doc_id = getvariable('wanted') AND snapshot = '{SNAPSHOT}'"
    ),
    "two columns of every row": f"SELECT sum(n_words), sum(n_tokens) FROM {VIEW}",
    "all columns of every row": (
        "SELECT sum(hash(doc_id) & 1), sum(hash(snapshot) & 1), sum(hash(language) & 1), sum(hash(source) & 1), "
        f"sum(hash(host) & 1), sum(n_words), sum(n_tokens), sum(score) FROM {VIEW}"
    ),
    "two columns, one snapshot": f"SELECT sum(n_words), sum(n_tokens) FROM {VIEW} WHERE snapshot = '{SNAPSHOT}'",
}


def hexadecimal(chance: np.random.Generator, rows: int) -> pa.Array:
    """Texts that look like document ids: 32 hexadecimal digits each."""
    digits = chance.bytes(16 * rows).hex().encode()
    offsets = np.arange(0, 32 * (rows + 1), 32, dtype=np.int32)
    return pa.StringArray.from_buffers(rows, pa.py_buffer(offsets), pa.py_buffer(digits))


def batch(chance: np.random.Generator, snapshot: str, rows: int) -> pl.DataFrame:
    """Rows as a crawl has them: few languages and many hosts, both with long tails."""
    languages = pl.Series([f"l{number:02d}" for number in range(LANGUAGES)])
    sources = pl.Series([f"source_{number}" for number in range(SOURCES)])
    hosts = pl.Series([f"www.host-{number}.test" for number in range(HOSTS)])
    words = chance.lognormal(6, 1, rows).astype(np.int64) + 1
    frame = pl.DataFrame(
        {
            "language": languages.gather(chance.zipf(1.6, rows) % LANGUAGES),
            "source": sources.gather(chance.integers(SOURCES, size=rows)),
            "host": hosts.gather(chance.zipf(1.2, rows) % HOSTS),
            "n_words": words,
            "n_tokens": words * 4 // 3,
            "score": chance.beta(2, 5, rows).round(4),
        }
    )
    ids = pl.Series("doc_id", hexadecimal(chance, rows))
    return frame.with_columns(ids, snapshot=pl.lit(snapshot))


def fill(lake: Lake, rows: int) -> None:
    """Write the table: a commit for each snapshot."""
    chance = np.random.default_rng(0)
    for number in range(SNAPSHOTS):
        snapshot = f"2026-{number + 1:02d}"
        files = []
        for ordinal in range(FILES):
            with lake.writer(TABLE, snapshot=snapshot, ordinal=ordinal, columns=COLUMNS) as writer:
                remaining = rows // (SNAPSHOTS * FILES)
                while remaining:
                    writer.write(batch(chance, snapshot, min(remaining, BATCH_ROWS)))
                    remaining -= min(remaining, BATCH_ROWS)
            files += writer.finished()
        lake.replace(TABLE, files, Origin(asset=TABLE), snapshot=snapshot, columns=COLUMNS)


def counted(file: str, name: str) -> int:
    """A number that the kernel keeps of this process."""
    lines = (Path("/proc/self") / file).read_text().splitlines()
    return int(dict(line.split(":", 1) for line in lines)[name].split()[0])


def bytes_read() -> int:
    """Bytes that this process has asked the kernel for so far."""
    return counted("io", "rchar")


def ask(lake: Lake, question: str) -> dict[str, float]:
    """Ask one question in this process, several times."""
    wanted = pq.ParquetFile(lake.files(TABLE, snapshot=SNAPSHOT)[0]).read_row_group(0, ["doc_id"])["doc_id"][0].as_py()
    started, before = time.perf_counter(), bytes_read()
    with lake.connect() as connection:
        found = {"connect": time.perf_counter() - started, "connect_read": bytes_read() - before}
        connection.execute("SET VARIABLE wanted = ?", [wanted])
        seconds, read = [], []
        for _ in range(1 + AGAIN):
            started, before = time.perf_counter(), bytes_read()
            found["rows"] = connection.sql(QUESTIONS[question]).pl().height
            seconds.append(time.perf_counter() - started)
            read.append(bytes_read() - before)
    again, peak = statistics.median(seconds[1:]), 1024 * counted("status", "VmHWM")
    return {**found, "first": seconds[0], "again": again, "read": read[0], "peak": peak}


def ask_alone(root: Path, question: str) -> dict[str, float]:
    """Ask one question in a process of its own."""
    command = [sys.executable, __file__, "--lake", str(root), "--question", question]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    measured: dict[str, float] = json.loads(done.stdout)
    return measured


def report(root: Path, rows: int) -> None:
    """Fill a lake, ask everything, and print a table."""
    started = time.perf_counter()
    lake = Lake(root)
    fill(lake, rows)
    files = lake.files(TABLE)
    size = sum(file.stat().st_size for file in files)
    print(f"{rows:,} rows, {len(files)} files, {size / 1e6:,.0f} MB, written in {time.perf_counter() - started:.0f} s")
    print(f"load of the machine before: {', '.join(f'{value:.1f}' for value in os.getloadavg())}")
    print(f"{'':36} {'first':>9} {'again':>9} {'peak':>9} {'read':>10}  answer")
    connects = []
    for question in QUESTIONS:
        found = ask_alone(root, question)
        connects.append(found)
        print(
            f"{question:36} {found['first']:7.3f} s {found['again']:7.3f} s {found['peak'] / 1e6:6,.0f} MB "
            f"{found['read'] / 1e6:7,.1f} MB  {found['rows']:,.0f} rows"
        )
    seconds = [found["connect"] for found in connects]
    print(
        f"Lake.connect: median {statistics.median(seconds):.3f} s, {min(seconds):.3f} to {max(seconds):.3f} s, "
        f"reads {connects[0]['connect_read'] / 1e6:.1f} MB"
    )
    for suffix in ("csv", "json", "parquet"):
        file = root.parent / f"every row.{suffix}"
        environment = {**os.environ, "LAKEHOUSE_ROOT": str(root)}
        command = [sys.executable, "-m", "lakehouse", "sql", f"FROM {VIEW}", "--output", str(file)]
        taken, peak = measure(command, environment, HOUR)
        size = file.stat().st_size / 1e6
        print(f"every row as {suffix:23} {taken:7.3f} s {'':9} {peak / 1e6:6,.0f} MB {'':10}  a file of {size:,.0f} MB")
        file.unlink()


def main() -> None:
    """Measure once, or answer one question for the process that measures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--lake", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--question", choices=QUESTIONS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.question:
        print(json.dumps(ask(Lake(arguments.lake), arguments.question)))
        return
    folder = Path(tempfile.mkdtemp(prefix="sql-"))
    try:
        report(folder / "lake", arguments.rows)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
