"""Versions of real terms of service: what is found of pairs whose similarity others measured."""

from __future__ import annotations

import io
import itertools
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from minhash_files import jaccard

from lakehouse import annotate, compute
from lakehouse.dedup.choose import choose
from lakehouse.dedup.jaccard import shingles_of
from lakehouse.dedup.near import find_pairs


@pytest.fixture(scope="module")
def versions(shared: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Documents (doc_id, text), and pairs of places (a, b) with the similarity that was measured by others."""
    folder = shared / "neardup" / "ota-revisions"
    with pa.input_stream(str(folder / "ota-revisions.jsonl.zst"), compression="zstd") as stream:
        documents = pl.read_ndjson(io.BytesIO(stream.read()))
    named = documents.select("repo", "path", "seq", place=pl.int_range(pl.len()))
    pairs = pl.read_csv(folder / "consecutive-pairs.tsv", separator="\t", quote_char=None)
    for name in "ab":
        ends = named.rename({"seq": f"seq_{name}", "place": name})
        pairs = pairs.join(ends, on=["repo", "path", f"seq_{name}"])
    texts = documents.select(doc_id=pl.int_range(pl.len()).cast(pl.String), text="text", language=pl.lit("en"))
    return texts, pairs.select("a", "b", measured="word5gram_jaccard")


def test_similar_versions_are_found_and_no_star_mixes_others(
    tmp_path: Path, versions: tuple[pl.DataFrame, pl.DataFrame]
) -> None:
    texts, measured = versions
    minhash = annotate.annotator("minhash")
    file = tmp_path / "a.parquet"
    annotate.annotate(texts, [minhash]).drop("text").write_parquet(file)
    pairs = pl.concat(list(find_pairs([file], scratch=tmp_path / "scratch", run=compute.run)))
    n = texts.height
    shingles = shingles_of([file], texts["doc_id"])
    sets = [set(shingles.data[first:end].tolist()) for first, end in itertools.pairwise(shingles.bounds)]
    a, b = (pairs[name].cast(pl.Int64).to_numpy() for name in ("doc_id", "other_id"))
    one, other = measured["a"].to_numpy(), measured["b"].to_numpy()
    similar, unlike = (measured["measured"] >= 0.8).to_numpy(), (measured["measured"] < 0.5).to_numpy()
    for threshold in (0.7, 0.8):
        choice = choose(
            n,
            a,
            b,
            pairs["similarity"].to_numpy(),
            threshold=threshold,
            shingles_of=lambda nodes: shingles_of([file], texts["doc_id"].gather(nodes)),
        )
        for document in np.flatnonzero(choice.keeper != np.arange(n)):
            keeper = choice.keeper[document]
            assert jaccard(sets[document], sets[keeper]) == choice.similarity[document] >= threshold
        together = choice.component[one] == choice.component[other]
        same_star = choice.keeper[one] == choice.keeper[other]
        assert np.mean(together[similar]) >= 0.995
        assert np.mean(same_star[similar]) >= 0.98
        assert not together[unlike].any()
        assert not same_star[unlike].any()
