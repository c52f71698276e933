"""Train a tokenizer and encode with it, beside the `tokenizers` library: MB/s, and whether the ids are the same.

    python benchmarks/tokenizing.py FILE.jsonl [--vocabulary-size 32000] [--train-megabytes 16]

FILE.jsonl has one document a line with its `text`. Everything runs on one core, except training.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import polars as pl
from tokenizers import Tokenizer

from lakehouse.shard import Encoder, tokenize, train_tokenizer


def megabytes(texts: list[str]) -> float:
    """Size of texts in UTF-8."""
    return sum(len(text.encode()) for text in texts) / 1e6


def sample(texts: list[str], limit: float) -> list[str]:
    """The first texts, up to a number of megabytes."""
    taken, size = [], 0.0
    for text in texts:
        if size >= limit:
            break
        taken.append(text)
        size += megabytes([text])
    return taken


def main() -> None:
    """Train, then encode the same texts with both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--vocabulary-size", type=int, default=32_000)
    parser.add_argument("--train-megabytes", type=float, default=16)
    arguments = parser.parse_args()
    with arguments.file.open(encoding="utf-8") as file:
        texts = [json.loads(line)["text"] for line in file]

    trained = sample(texts, arguments.train_megabytes)
    start = time.perf_counter()
    definition = train_tokenizer(trained, vocabulary_size=arguments.vocabulary_size)
    print(f"train       {megabytes(trained):8.1f} MB in {time.perf_counter() - start:.1f} s")

    start = time.perf_counter()
    encoder = Encoder(definition)
    print(f"load        {time.perf_counter() - start:8.2f} s, {encoder.vocabulary_size:,} tokens")

    constants = {column: pl.lit("") for column in ("doc_id", "snapshot", "component", "text_id")}
    documents = pl.DataFrame({"text": texts}).with_columns(**constants)
    start = time.perf_counter()
    tokens = tokenize(documents, encoder)
    ours = time.perf_counter() - start
    n_tokens = tokens["n_tokens"].sum()
    print(f"lakehouse   {megabytes(texts) / ours:8.1f} MB/s, {n_tokens / ours / 1e6:.2f} million tokens/s")

    library = Tokenizer.from_str(definition)
    library.encode_special_tokens = True
    start = time.perf_counter()
    expected = [library.encode(text, add_special_tokens=False).ids for text in texts]
    theirs = time.perf_counter() - start
    print(f"tokenizers  {megabytes(texts) / theirs:8.1f} MB/s, {n_tokens / theirs / 1e6:.2f} million tokens/s")
    end = [encoder.end_of_document]
    same = sum(a.to_list() == b + end for a, b in zip(tokens["token_ids"], expected, strict=True))
    print(f"identical   {same:,} of {len(texts):,} documents")


if __name__ == "__main__":
    main()
