"""Draw a mixture, pack it, shuffle it and write it: documents/s, MiB/s and memory, on made-up documents.

    python benchmarks/packing.py [--documents 1000000] [--sequence-length 2048] [--written 20000]

The peer of best-fit packing is what most trainers do: join all documents and cut every sequence_length tokens.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

from lakehouse.mix import Component, mix
from lakehouse.shard import ShardSet, finish_shard, lay_out, pack, place_tokens, plan_shards

TABLES = ("filtered/web", "filtered/books", "synthetic/web")


def candidates(documents: int) -> pl.DataFrame:
    """Lengths are log-normal with a median of 400 tokens, as those of web pages are."""
    generator = np.random.default_rng(0)
    number = pl.int_range(documents, eager=True)
    return pl.DataFrame(
        {
            "doc_id": pl.select(pl.format("doc-{}", number).str.pad_end(32, "-")).to_series(),
            "snapshot": ["CC-MAIN-2026-43"] * documents,
            "component": [TABLES[i % 3] for i in range(documents)],
            "text_id": pl.select(pl.format("text-{}", number).str.pad_end(32, "-")).to_series(),
            "n_tokens": np.maximum(generator.lognormal(np.log(400), 1.2, documents), 1).astype(np.int64),
        }
    ).with_columns(parents=pl.concat_list("doc_id"))


def timed(what: str, start: float, amount: float, unit: str) -> None:
    """Print how long a step took and what that is a second."""
    seconds = time.perf_counter() - start
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{what:12} {seconds:7.2f} s  {amount / seconds:14,.0f} {unit}/s  peak memory {memory:,.0f} MiB")


def cut_by_concatenation(lengths: np.ndarray, sequence_length: int) -> int:
    """How many documents lie across a boundary when all are joined and cut every sequence_length tokens."""
    ends = np.cumsum(lengths)
    return int(((ends - lengths) // sequence_length != (ends - 1) // sequence_length).sum())


def write(rows: pl.DataFrame, sequence_length: int) -> None:
    """Place and write the shards of some rows of a mixture, with random token ids."""
    plan = plan_shards(rows, sequence_length=sequence_length, sequences_per_shard=4_096, name="main")
    ids = np.random.default_rng(1).integers(0, 32_000, int(rows["tokens"].sum()), dtype=np.int32)
    ends = np.cumsum(rows["tokens"].to_numpy())
    token_ids = [ids[end - n : end] for end, n in zip(ends.tolist(), rows["tokens"].to_list(), strict=True)]
    with tempfile.TemporaryDirectory() as folder:
        tokens, training = f"{folder}/tokens.parquet", f"{folder}/training"
        pl.DataFrame({"doc_id": rows["doc_id"], "token_ids": token_ids}).write_parquet(tokens)
        start = time.perf_counter()
        shards = ShardSet("main", training, sequence_length, "uint16", 0)
        placing, finishing = lay_out(plan, [tokens], shards, Path(folder))
        for unit in placing:
            place_tokens(unit)
        timed("place", start, ids.nbytes / 1e6, "MB")
        start = time.perf_counter()
        for shard in finishing:
            finish_shard(shard)
        written = sum(path.stat().st_size for path in Path(folder, "training").iterdir())
        timed("write", start, written / 1e6, "MB")


def main() -> None:
    """Run every step once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=1_000_000)
    parser.add_argument("--sequence-length", type=int, default=2_048)
    parser.add_argument("--written", type=int, default=20_000, help="documents that are also written")
    arguments = parser.parse_args()

    documents = candidates(arguments.documents)
    pack(np.array([1]), arguments.sequence_length)  # compiles
    start = time.perf_counter()
    parts = [Component(TABLES[0], 0.6), Component(TABLES[1], 0.2, max_repeats=2), Component(TABLES[2], 0.2)]
    mixture = mix(documents, parts, token_budget=None, seed=1)
    timed("mix", start, len(documents), "documents")

    lengths = mixture.rows["tokens"].to_numpy()
    start = time.perf_counter()
    packing = pack(lengths, arguments.sequence_length)
    timed("pack", start, len(lengths), "documents")
    places = packing.sequences * arguments.sequence_length
    cut = int((lengths > arguments.sequence_length).sum())
    print(f"  padding {packing.padding / places:.4%}; documents cut: {cut / len(lengths):.1%}, ", end="")
    print(f"by concatenation {cut_by_concatenation(lengths, arguments.sequence_length) / len(lengths):.1%}")

    start = time.perf_counter()
    plan_shards(mixture.rows, sequence_length=arguments.sequence_length, sequences_per_shard=4_096, name="main")
    timed("plan", start, len(lengths), "documents")
    write(mixture.rows.head(arguments.written), arguments.sequence_length)


if __name__ == "__main__":
    main()
