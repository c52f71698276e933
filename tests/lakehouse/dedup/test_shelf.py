"""Many long documents of one shelf, which share much boilerplate and nothing else, are no copies of each other."""

from __future__ import annotations

import random
from pathlib import Path

import polars as pl

from lakehouse import annotate, compute
from lakehouse.dedup.near import find_pairs


def test_documents_that_share_every_band_and_a_third_of_their_text_do_not_collapse(tmp_path: Path) -> None:
    chance = random.Random(5)
    boilerplate = [f"notice{number}" for number in range(400)]
    texts = [" ".join([*boilerplate, *(f"word{chance.randrange(10**9)}" for _ in range(400))]) for _ in range(300)]
    # Two of them are versions of one text: the last 20 words differ.
    texts.append(" ".join([*texts[0].split()[:-20], *texts[1].split()[-20:]]))
    documents = pl.DataFrame({"text": texts}).with_columns(
        doc_id=pl.int_range(pl.len()).cast(pl.String), language=pl.lit("en")
    )
    # With one hash a band, nearly all have keys in common: 396 of 1196 shingles, a similarity of a third.
    minhash = annotate.annotator({"minhash": {"bands": 20, "rows": 1}})
    annotate.annotate(documents, [minhash]).drop("text").write_parquet(tmp_path / "a.parquet")
    pairs = find_pairs([tmp_path / "a.parquet"], floor=0.5, scratch=tmp_path / "scratch", run=compute.run)
    found = pl.concat(list(pairs))
    # 776 shingles in common, 20 others on either side.
    assert found.select("doc_id", "other_id", "similarity").rows() == [("300", "0", 776 / 816)]
    assert max(band.largest for band in pairs.report.thinned) > 250
    # Not all 45,150 pairs of every band were compared.
    assert pairs.report.candidates < 45_150
