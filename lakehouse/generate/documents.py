"""What judged answers become: rows of a synthetic table, and rows of its reject ledger."""

from __future__ import annotations

import polars as pl

from lakehouse import identity, schema
from lakehouse.generate.gates import CALL_FAILED


def accepted_documents(judged: pl.DataFrame) -> pl.DataFrame:
    """The accepted answers as documents: the columns of `schema.SYNTHETIC`, except language and language_score.

    Args:
        judged: what `gates.judge` returns.

    Returns:
        One row an accepted answer, in order. Its parent is the anchor, its depth one more than the anchor's, its source
        the anchor's.
    """
    accepted = judged.filter("accepted")
    text = pl.col("text")
    documents = accepted.with_columns(
        doc_id=_synthetic_ids(accepted),
        text_id=text.map_elements(identity.text_id, return_dtype=pl.String),
        n_chars=text.str.len_chars().cast(pl.Int64),
        n_words=text.str.count_matches(r"\S+").cast(pl.Int64),
        parents=pl.concat_list("doc_id"),
        depth=pl.col("depth") + 1,
    )
    languages = {field.name for field in schema.LANGUAGE_COLUMNS}
    return documents.select(name for name in schema.SYNTHETIC.names if name not in languages)


def rejected_rows(judged: pl.DataFrame) -> pl.DataFrame:
    """The other answers as rows of `schema.REJECTS`: stage "gate", rule "gate_<name>", or "call_failed".

    A row's doc_id is the one that the document would have had: the anchor itself is not rejected, and several recipes
    may rewrite it. Its parent is the anchor.

    Args:
        judged: what `gates.judge` returns.
    """
    rejected = judged.filter(~pl.col("accepted"))
    rows = rejected.select(
        "snapshot",
        "source",
        "value",
        "threshold",
        "evidence",
        doc_id=_synthetic_ids(rejected),
        parents=pl.concat_list("doc_id"),
        stage=pl.lit("gate"),
        rule=_rule(pl.col("gate")),
        failed=pl.col("failed").list.eval(_rule(pl.element())),
    )
    return pl.DataFrame(schema.conform(rows, schema.REJECTS))


def _rule(gate: pl.Expr) -> pl.Expr:
    return pl.when(gate == CALL_FAILED).then(gate).otherwise(pl.concat_str(pl.lit("gate_"), gate))


def _synthetic_ids(judged: pl.DataFrame) -> pl.Series:
    """doc_id of each answer as a document: where it comes from, not what it says."""
    rows = judged.select("recipe", "request_id", "doc_id").iter_rows()
    ids = [identity.hash_of("synthetic", recipe, request_id, anchor) for recipe, request_id, anchor in rows]
    return pl.Series("doc_id", ids, dtype=pl.String)
