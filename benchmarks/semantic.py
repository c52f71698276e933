"""Semantic duplicates among vectors with planted pairs: how many are found, how fast, in how much memory.

    python benchmarks/semantic.py [--documents 100000] [--dimensions 256] [--workers 1] [--clusters N] [--floor 0.8]

Two kinds of vectors. `random`: every direction alike, which no clustering helps with and no model gives. `topics`: a
thousand directions with documents around them, as models give. A twentieth of the documents have a planted twin with
a cosine between 0.95 and 1. What is found is held against all pairs of 0.95 and above, and of the floor, computed
one by one.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from lakehouse import compute
from lakehouse.dedup.near import PAIRS
from lakehouse.dedup.semantic import find_semantic_pairs

Vectors = npt.NDArray[np.float32]


def unit(vectors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Bring vectors to length 1."""
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def vectors_of(kind: str, documents: int, dimensions: int, chance: np.random.Generator) -> Vectors:
    """Vectors of length 1, of which the last twentieth are twins of the first."""
    twins = documents // 20
    found = unit(chance.standard_normal((documents - twins, dimensions)))
    if kind == "topics":
        topics = unit(chance.standard_normal((1_000, dimensions)))
        sizes = chance.dirichlet(np.full(1_000, 0.5))  # some topics are much larger than others
        found = unit(topics[chance.choice(1_000, len(found), p=sizes)] + 0.6 * found)
    cosine = chance.uniform(0.95, 1, (twins, 1))
    aside = unit(chance.standard_normal((twins, dimensions)))
    aside = unit(aside - (aside * found[:twins]).sum(axis=1, keepdims=True) * found[:twins])
    return np.concatenate([found, cosine * found[:twins] + np.sqrt(1 - cosine**2) * aside]).astype(np.float32)


def all_pairs(vectors: Vectors, floor: float) -> dict[tuple[int, int], float]:
    """The cosine of every pair of at least `floor`, the slow way."""
    found = {}
    for start in range(0, len(vectors), 1_000):
        cells = vectors[start : start + 1_000] @ vectors[: start + 1_000].T
        rows, columns = np.nonzero(cells >= floor)
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
            if column < start + row:
                found[start + row, column] = float(cells[row, column])
    return found


def search(file: Path, floor: float, clusters: int | None, workers: int) -> None:
    """Write the pairs of a file beside it, and print what it took."""
    started, processor = time.perf_counter(), time.process_time()
    run = partial(compute.run, workers=workers)
    found = find_semantic_pairs([file], floor=floor, clusters=clusters, scratch=file.parent / "scratch", run=run)
    pl.concat([pl.DataFrame(schema=PAIRS), *found]).write_parquet(file.with_name("pairs.parquet"))
    seconds, processor = time.perf_counter() - started, time.process_time() - processor
    status = Path("/proc/self/status").read_text()
    peak = int(re.search(r"VmHWM:\s*(\d+) kB", status)[1]) // 1024
    print(f"{seconds:.1f} s ({processor:.1f} s of this process), {peak:,} MiB, {found.report}")


def main() -> None:
    """Print a line for each kind."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("documents", 100_000), ("dimensions", 256), ("workers", 1), ("clusters", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--floor", type=float, default=0.8)
    parser.add_argument("--search", type=Path, help=argparse.SUPPRESS)  # in a process of its own, for its memory
    asked = parser.parse_args()
    if asked.search:
        return search(asked.search, asked.floor, asked.clusters or None, asked.workers)
    for kind in ("random", "topics"):
        vectors = vectors_of(kind, asked.documents, asked.dimensions, np.random.default_rng(0))
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "a.parquet"
            ids = pl.Series("doc_id", [f"{number:032x}" for number in range(len(vectors))])
            pl.DataFrame([ids, pl.Series("embedding", vectors).arr.to_list()]).write_parquet(file)
            print(kind, end=": ", flush=True)
            subprocess.run([sys.executable, __file__, *sys.argv[1:], "--search", str(file)], check=True)
            pairs = pl.read_parquet(file.with_name("pairs.parquet"))
        got = {(int(a, 16), int(b, 16)) for a, b in pairs.select("doc_id", "other_id").iter_rows()}
        truth = all_pairs(vectors, asked.floor)
        for floor in (0.95, asked.floor):
            wanted = {pair for pair, cosine in truth.items() if cosine >= floor}
            there, share = len(wanted & got), len(wanted & got) / max(len(wanted), 1)
            print(f"  pairs of {floor} and above: {there:,} of {len(wanted):,} ({share:.1%})")
    return None


if __name__ == "__main__":
    main()
