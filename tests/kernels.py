"""Compile what the tests need of numba's kernels, once: test processes that start together would each do it."""

from __future__ import annotations

import tempfile
from pathlib import Path

import polars as pl

from lakehouse import annotate, compute
from lakehouse.annotate import AnnotatorError
from lakehouse.dedup.near import find_pairs
from lakehouse.generate.gates.judge import judge
from lakehouse.generate.gates.settings import Gates
from lakehouse.generate.gates.tools import Tools

TEXTS = ["Hello there. This is a text of some words in two lines,\n\n- and this is the other one…", "ขอบคุณครับ ที่นี่"]


def compile_all() -> None:
    """Measure two documents with every annotator that needs nothing of the user's, and compare them."""
    documents = pl.DataFrame({"doc_id": ["a", "b"], "text": TEXTS, "language": ["en", "th"]})
    documents = documents.with_columns(url=pl.lit("http://a.test/b.py"), host=pl.lit("a.test"))
    for kind in annotate.KINDS:
        try:
            annotator = annotate.annotator(kind)
        except AnnotatorError:  # it needs a file, or a server
            continue
        annotate.annotate(documents, [annotator])
    with tempfile.TemporaryDirectory() as name:
        files = [Path(name, "a.parquet"), Path(name, "b.parquet")]
        for file in files:
            annotate.annotate(documents, [annotate.annotator("minhash")]).drop("text").write_parquet(file)
        list(find_pairs(files, first_new=1, scratch=Path(name, "scratch"), run=compute.run))
    compared = {
        "round_trip": {"of": "one", "against": "two", "min": 0},
        "repetition": {"max": 1},
        "names_kept": {"min": 0},
    }
    gates = Gates.model_validate({"language": False, "ngram_similarity": {"min": 0}} | compared)
    answer = {"unit_id": "a", "status": "ok", "finish_reason": "stop", "text": TEXTS[0], "passage": TEXTS[0]}
    judge(pl.DataFrame([answer | {"language": "en", "value_one": "x", "value_two": "x"}]), gates, Tools())


if __name__ == "__main__":
    compile_all()
