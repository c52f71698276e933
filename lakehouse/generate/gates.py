"""Gates: which answers of a model become documents. Measured from the journal, so a new threshold calls no model."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from lakehouse.generate.errors import GenerationError
from lakehouse.generate.recipe import Bounds, Recipe
from lakehouse.generate.requests import cut

CALL_FAILED = "call_failed"
GRAM_WORDS = 5
_BATCH_ROWS = 1000
_OUTCOME = ("status", "error", "finish_reason")  # of the call
# Scripts that put no space between words: each character counts as a word.
_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_WORD = rf"[{_UNSPACED}]|[[\p{{L}}\p{{M}}\p{{N}}]--[{_UNSPACED}]]+"


@dataclass(frozen=True)
class Gate:
    """A named condition on the measures of an answer, and what to report of one that fails it."""

    name: str
    failed: pl.Expr
    value: pl.Expr
    threshold: pl.Expr
    evidence: pl.Expr


def judge(generations: pl.DataFrame, anchors: pl.DataFrame, recipe: Recipe) -> pl.DataFrame:
    """Decide about each answer of a model.

    The gates are tried in this order: call_failed (there is no answer), finish_reason (the model did not come to an end
    by itself: its answer is cut off), empty, then the recipe's bounds on length_ratio and copied_share.

    Args:
        generations: n rows of `schema.GENERATIONS` (see `journal.generations_for`).
        anchors: doc_id, text and source of the documents that were rewritten; depth where they are synthetic too.
        recipe: the bounds, and how the documents were cut.

    Returns:
        n rows in the same order: request_id, doc_id (of the anchor), snapshot, recipe, recipe_version, model, source,
        depth (of the anchor; 0: natural), text (the answer without outer white space and echoed tags; null where there
        is none), length_ratio (characters of the text per character of the passage), copied_share (see `copied_share`),
        accepted, failed (all gates that failed), gate (the first of them), and its value, threshold or evidence.

    Raises:
        GenerationError: the document of a generation is not among the anchors.
    """
    measured = _measured(generations, anchors, recipe)
    gates = _gates(recipe)
    failed = [pl.when(gate.failed.fill_null(False)).then(pl.lit(gate.name)) for gate in gates]
    judged = measured.with_columns(failed=pl.concat_list(failed).list.drop_nulls())
    judged = judged.with_columns(gate=pl.col("failed").list.first(), accepted=pl.col("failed").list.len() == 0)
    is_first = {gate.name: pl.col("gate") == gate.name for gate in gates}
    return judged.with_columns(
        value=pl.coalesce(pl.when(is_first[gate.name]).then(gate.value) for gate in gates),
        threshold=pl.coalesce(pl.when(is_first[gate.name]).then(gate.threshold) for gate in gates),
        evidence=pl.coalesce(pl.when(is_first[gate.name]).then(gate.evidence) for gate in gates),
    ).drop(_OUTCOME)


def copied_share(texts: pl.Series, anchors: pl.Series) -> pl.Series:
    """Share of each text's word 5-grams that stand in its anchor, 0..1; null where a text has fewer than five words.

    A word is a run of letters and digits, in lower case; in scripts without spaces between words it is one character.
    """
    shares = [pl.Series(dtype=pl.Float64)]
    for start in range(0, len(texts), _BATCH_ROWS):
        rows = pl.DataFrame({"row": range(len(texts[start : start + _BATCH_ROWS]))})
        grams = _grams(texts[start : start + _BATCH_ROWS])
        standing = _grams(anchors[start : start + _BATCH_ROWS]).unique().with_columns(copied=pl.lit(1.0))
        counted = grams.join(standing, on=["row", "gram"], how="left")
        share = counted.group_by("row").agg(pl.col("copied").fill_null(0.0).mean())
        shares.append(rows.join(share, on="row", how="left", maintain_order="left").get_column("copied"))
    return pl.concat(shares).alias("copied_share")


def _grams(texts: pl.Series) -> pl.DataFrame:
    """All word 5-grams of all texts: the text's row and the gram."""
    words = pl.DataFrame({"row": range(len(texts)), "word": texts}, schema_overrides={"word": pl.String})
    words = words.with_columns(pl.col("word").str.normalize("NFC").str.to_lowercase().str.extract_all(_WORD))
    words = words.explode("word").drop_nulls("word")
    gram = pl.concat_str([pl.col("word").shift(-place) for place in range(GRAM_WORDS)], separator=" ")
    in_one_text = pl.col("row") == pl.col("row").shift(1 - GRAM_WORDS)
    return words.select("row", gram=gram, whole=in_one_text).filter("whole").drop("whole")


def _measured(generations: pl.DataFrame, anchors: pl.DataFrame, recipe: Recipe) -> pl.DataFrame:
    if "depth" not in anchors.columns:
        anchors = anchors.with_columns(depth=pl.lit(0, pl.Int64))
    anchors = anchors.select("doc_id", "source", "depth", passage="text")
    columns = ["request_id", "doc_id", "snapshot", "recipe", "recipe_version", "model", "response", *_OUTCOME]
    rows = generations.select(columns).join(anchors, on="doc_id", how="left", validate="m:1", maintain_order="left")
    if strangers := rows.filter(pl.col("passage").is_null()).get_column("doc_id").to_list():
        raise GenerationError(
            f"document {strangers[0]} was rewritten but is not among the {len(anchors)} anchors given."
        )
    rows = rows.with_columns(
        pl.col("passage").map_elements(lambda text: cut(text, recipe.unit.max_chars), return_dtype=pl.String),
        # The prompt marks the passage with these tags, and models like to repeat them.
        text=pl.col("response")
        .str.replace_all(r"\r\n?", "\n")
        .str.replace_all(r"^\s*<text>|</text>\s*$", "")
        .str.strip_chars(),
    )
    return rows.with_columns(
        length_ratio=pl.col("text").str.len_chars() / pl.col("passage").str.len_chars(),
        copied_share=copied_share(rows.get_column("text"), rows.get_column("passage")),
    ).drop("passage", "response")


def _gates(recipe: Recipe) -> list[Gate]:
    """Every gate of a recipe, in the order in which they are tried."""
    answered = pl.col("status") == "ok"
    reason = pl.col("finish_reason").fill_null("none given")
    number, words = pl.lit(None, pl.Float64), pl.lit(None, pl.String)
    gates = [
        Gate(CALL_FAILED, ~answered, number, number, pl.col("error")),
        Gate("finish_reason", answered & (reason != "stop"), number, number, reason),
        Gate("empty", answered & (pl.col("text").fill_null("") == ""), number, number, words),
    ]
    for name in type(recipe.gates).model_fields:
        bounds: Bounds | None = getattr(recipe.gates, name)
        if bounds is None:
            continue
        value = pl.col(name)
        low, high = pl.lit(bounds.min, pl.Float64), pl.lit(bounds.max, pl.Float64)
        is_low, is_high = (value < low).fill_null(False), (value > high).fill_null(False)
        gates.append(Gate(name, is_low | is_high, value, pl.when(is_low).then(low).otherwise(high), words))
    return gates
