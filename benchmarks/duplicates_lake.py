"""Near duplicates of a lake through Dagster: measured, compared and dropped, then 1 % more.

    python benchmarks/duplicates_lake.py [--documents 1000000] [--workers 2]
    python benchmarks/duplicates_lake.py --one-text 0.5

Makes `raw/web` of a corpus with planted near duplicates (see `duplicate_corpus.py`; this is not timed), then builds
`annotations/web/minhash`, `pairs/clean/minhash` and `filtered/clean` for it in one run, as `lakehouse build` does; then
the same for a second snapshot of a hundredth of the documents. The seconds of a table are those since the commit before
its own. Memory is that of all processes together.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import polars as pl
from duplicate_corpus import add_options, from_options, write
from end_to_end import PeakMemory

from assets.filtered.component import FilteredSet
from assets.materialization import asset_key
from assets.raw.component import RawSource
from lakehouse import compute, identity
from lakehouse.commits import Origin
from lakehouse.lake import Lake
from resources import ComputeResource, LakeResource

ORIGIN = Origin(run_id="benchmark", asset="raw/web", code_version="1", config_hash="", inputs={})
TABLES = ("annotations/web/minhash", "pairs/clean/minhash", "rejects/clean", "filtered/clean")


def write_raw(lake: Lake, snapshot: str, files: list[Path], skip: int, take: int) -> None:
    """Write a part of the documents as a snapshot of `raw/web`."""
    written = []
    for ordinal, file in enumerate(files):
        documents = pl.read_parquet(file)
        part = documents.slice(max(skip, 0), max(min(take, documents.height - max(skip, 0)), 0))
        skip, take = skip - documents.height, take - part.height
        frame = part.select(
            "doc_id",
            text_id=pl.Series([identity.text_id(text) for text in part["text"]], dtype=pl.String),
            snapshot=pl.lit(snapshot),
            source=pl.lit("web"),
            text="text",
            n_chars=pl.col("text").str.len_chars().cast(pl.Int64),
            n_words=pl.col("text").str.count_matches(r"\S+").cast(pl.Int64),
            parents=pl.lit([], pl.List(pl.String)),
            url=pl.lit("http://a.test/") + pl.col("doc_id"),
            host=pl.lit("a.test"),
            language=pl.lit("en"),
        )
        with lake.writer("raw/web", snapshot=snapshot, ordinal=ordinal) as writer:
            writer.write(frame)
        written += writer.finished()
    lake.replace("raw/web", written, ORIGIN, snapshot=snapshot)


def definitions(root: Path, workers: int) -> dg.Definitions:
    """One source and one set, as defs.yaml declares them."""
    duplicates = {"method": "minhash", "keep": "longest"}
    parts = [
        RawSource(name="web", annotators=["minhash"]),
        FilteredSet(name="clean", source="raw/web", duplicates=duplicates),
    ]
    tree = SimpleNamespace(get_all_components=lambda kind: [part for part in parts if isinstance(part, kind)])
    context: Any = SimpleNamespace(component_tree=tree)
    resources = {"lake": LakeResource(root=str(root)), "compute": ComputeResource(workers=workers)}
    return dg.Definitions.merge(*(part.build_defs(context) for part in parts), dg.Definitions(resources=resources))


def main() -> None:
    """Make the lake, then time each asset of both snapshots."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    parser.add_argument("--workers", type=int, default=compute.available_workers())
    parser.add_argument("--folder", type=Path, help="where the lake is made; the system's folder for such files")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        corpus = from_options(arguments)
        files = write(corpus, Path(name) / "documents")
        lake = Lake(Path(name) / "lake")
        new = corpus.documents // 100
        write_raw(lake, "s1", files, 0, corpus.documents - new)
        write_raw(lake, "s2", files, corpus.documents - new, new)
        job = definitions(lake.root, arguments.workers).resolve_implicit_global_asset_job_def()
        print(f"{corpus.documents:,} documents, load {os.getloadavg()[0]:.1f}")
        with dg.DagsterInstance.ephemeral() as instance:
            instance.add_dynamic_partitions("snapshot", ["s1", "s2"])
            totals = [build(job, instance, lake, snapshot) for snapshot in ("s1", "s2")]
        share, busy = (totals[1][place] / totals[0][place] for place in (0, 1))
        print(f"1 % more: {share:.1%} of the seconds, {busy:.1%} of the processor's")
        print(lake.sql("SELECT snapshot, rule, count(*) AS documents FROM rejects.clean GROUP BY ALL ORDER BY ALL"))


def build(job: Any, instance: dg.DagsterInstance, lake: Lake, snapshot: str) -> tuple[float, float]:
    """Build one snapshot in one run; print and return its seconds and those of all processors."""
    memory, start, used = PeakMemory(os.getpid()), time.time(), processor_seconds()
    job.execute_in_process(
        instance=instance,
        asset_selection=[asset_key(table) for table in TABLES],
        partition_key=snapshot,
        run_config={"loggers": {"console": {"config": {"log_level": "ERROR"}}}},
    )
    seconds, processor = time.time() - start, processor_seconds() - used
    peak, before = memory.finish(), start
    for table in TABLES:
        commit = lake.last_commit(table, snapshot)
        assert commit is not None
        ended = commit.committed_at.timestamp()
        print(f"{snapshot} {table:24} {ended - before:7.1f} s  {commit.rows:9,} rows")
        before = ended
    print(f"{snapshot} {'all':24} {seconds:7.1f} s  {processor:7.1f} s of processor  peak {peak / 1e6:6,.0f} MB")
    return seconds, processor


def processor_seconds() -> float:
    """The seconds that this process and its workers, which go on living, have had of a processor."""
    import psutil  # type: ignore[import-untyped]

    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    return sum(sum(process.cpu_times()[:2]) for process in processes)


if __name__ == "__main__":
    main()
