"""How fast the gates measure: `python benchmarks/gates.py [--pairs 5000]`.

Pairs of a text of 300 words and the same sentences in another order, from English and other news articles beside the
repository. One thread of Polars; processor time.
"""

from __future__ import annotations

import argparse
import io
import os
import random
import subprocess
import tarfile
import time
from pathlib import Path

os.environ.setdefault("POLARS_MAX_THREADS", "1")

import polars as pl

from lakehouse.generate.gates.judge import judge
from lakehouse.generate.gates.settings import Gates
from lakehouse.generate.gates.tools import Tools

NEWS = Path(__file__).parents[2] / "shared/data/quality/masakhane-news/masakhane-news-test.tar.zst"
WORDS = 300
OFF = {"language": False, "refusal": False, "preface": False}
EVERY = {
    "refusal": True,
    "preface": True,
    "length_ratio": {"max": 2},
    "copied_share": {"max": 1},
    "ngram_similarity": {"max": 1},
    "numbers_kept": {"min": 0},
    "numbers_added": {"max": 1},
    "names_kept": {"min": 0},
    "structure_kept": {"min": 0},
    "repetition": {"max": 1},
    "min_words": 5,
}


def main() -> None:
    """Measure a few choices of gates and print a line each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=5_000)
    pairs = _pairs(parser.parse_args().pairs)
    for name, gates in (
        ("none chosen: length ratio and copied share", {}),
        ("refusal and preface", {"refusal": True, "preface": True}),
        ("numbers kept and added", {"numbers_kept": {"min": 0}, "numbers_added": {"max": 1}}),
        ("names kept", {"names_kept": {"min": 0}}),
        ("all of the text", EVERY),
    ):
        chosen = Gates.model_validate(OFF | gates)
        judge(pairs[:50], chosen, Tools())
        began = time.process_time()
        judge(pairs, chosen, Tools())
        print(f"{name}: {pairs.height / (time.process_time() - began):,.0f} answers/s")


def _pairs(count: int) -> pl.DataFrame:
    texts = [" ".join(text.split()[:WORDS]) for text in _articles() if len(text.split()) >= WORDS]
    draw = random.Random(1)
    passages = [draw.choice(texts) for _ in range(count)]
    return pl.DataFrame({"passage": passages, "text": [_shuffled(text, draw) for text in passages]}).with_columns(
        unit_id=pl.int_range(pl.len()).cast(pl.String),
        status=pl.lit("ok"),
        finish_reason=pl.lit("stop"),
        language=pl.lit("en"),
    )


def _shuffled(text: str, draw: random.Random) -> str:
    sentences = text.split(". ")
    draw.shuffle(sentences)
    return ". ".join(sentences)


def _articles() -> list[str]:
    packed = subprocess.run(["zstd", "-dc", "--long=27", str(NEWS)], capture_output=True, check=True).stdout
    texts: list[str] = []
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        for member in archive:
            file = archive.extractfile(member)
            if file is not None and member.name.endswith("tsv"):
                options = {"separator": "\t", "quote_char": None, "truncate_ragged_lines": True, "ignore_errors": True}
                texts += pl.read_csv(file.read(), **options)["text"].drop_nulls().to_list()
    return texts


if __name__ == "__main__":
    main()
