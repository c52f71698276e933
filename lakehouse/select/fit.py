"""Thresholds for a language, fitted from a reference corpus of good text in it.

Source: Penedo et al., FineWeb2: One Pipeline to Scale Them All, section on filtering thresholds; the methods are those
that it compares.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import polars as pl

from lakehouse.select.conditions import RuleError
from lakehouse.select.rule_sets import RULE_SETS, Threshold

Method = Literal["tail", "quantile", "mean_std", "median_ratio"]
METHODS: tuple[str, ...] = get_args(Method)

ENGLISH = "en"


def fit_thresholds(
    measured: pl.DataFrame,
    rule_sets: Sequence[str],
    *,
    method: Method = "tail",
    tail: float = 0.1,
    min_documents: int = 100,
    every: bool = False,
) -> dict[str, dict[str, dict[str, float]]]:
    """Fit the thresholds of rule sets to each language of a reference corpus.

    Args:
        measured: n documents: language, and the columns that the rule sets look at.
        rule_sets: whose thresholds are fitted.
        method: tail: what drops the share `tail` of the reference. The others carry an English threshold over, and need
            English documents: quantile: to the value that the same share of documents lies beyond; mean_std: to as many
            standard deviations from the mean; median_ratio: by the ratio of the medians.
        tail: share of the reference that each rule may drop.
        min_documents: languages with fewer documents are left out.
        every: fit also what does not depend on how a language is written, such as how long texts are.

    Returns:
        {language: {rule set: {threshold: value}}}, as `resolve` takes it. A threshold is left out where nothing is
        measured in a language (stop words without a list), and where the reference has no tail: most has one value.

    Raises:
        RuleError: a rule set is unknown, a column is missing, or there is too little English for the method.
    """
    for name in rule_sets:
        if name not in RULE_SETS or not RULE_SETS[name].thresholds:
            raise RuleError(f"rule {name!r} has no thresholds to fit.")
    sizes = dict(measured.group_by("language").len().sort("language").iter_rows())
    if method != "tail" and sizes.get(ENGLISH, 0) < min_documents:
        raise RuleError(
            f"method {method} carries English thresholds over: it needs {min_documents} English documents, "
            f"and there are {sizes.get(ENGLISH, 0)}."
        )
    english = measured.filter(pl.col("language") == ENGLISH)
    fitted: dict[str, dict[str, dict[str, float]]] = {}
    for language, documents in sizes.items():
        if documents < min_documents or (method != "tail" and language == ENGLISH):
            continue
        own = measured.filter(pl.col("language") == language)
        for name in rule_sets:
            for threshold in RULE_SETS[name].thresholds:
                if not every and not threshold.of_language:
                    continue
                value = _fit(threshold, own, english, method, tail)
                if value is not None:
                    fitted.setdefault(language, {}).setdefault(name, {})[threshold.key] = value
    return fitted


def _fit(threshold: Threshold, own: pl.DataFrame, english: pl.DataFrame, method: Method, tail: float) -> float | None:
    if threshold.column not in own.columns:
        raise RuleError(f"the reference has no column {threshold.column!r}.")
    values, model = (_numbers(documents, threshold.column) for documents in (own, english))
    if not len(values) or (method != "tail" and not len(model)):
        return None
    is_least = threshold.key.startswith("min_")
    if method == "tail":
        fitted = np.quantile(values, tail if is_least else 1 - tail)
        if fitted == (values.max() if is_least else values.min()):
            return None
    elif method == "quantile":
        fitted = np.quantile(values, np.mean(model < threshold.default if is_least else model <= threshold.default))
    elif method == "mean_std":
        spread = model.std()
        if not spread:
            return None
        fitted = values.mean() + (threshold.default - model.mean()) / spread * values.std()
    else:
        middle = np.median(model)
        if not middle:
            return None
        fitted = threshold.default * np.median(values) / middle
    return round(min(max(float(fitted), 0.0), threshold.highest), 4)


def _numbers(documents: pl.DataFrame, column: str) -> npt.NDArray[np.float64]:
    return documents[column].cast(pl.Float64).drop_nulls().drop_nans().to_numpy()


def fit_language_scores(measured: pl.DataFrame, *, min_documents: int = 100) -> dict[str, float]:
    """The lowest score of a sure identification for each language: the median less one standard deviation, 0.3 to 0.9.

    Args:
        measured: n documents: language, which is known, and language_score of documents identified as it.
    """
    score = pl.col("language_score")
    fitted = (
        measured.group_by("language")
        .agg(documents=pl.len(), score=(score.median() - score.std()).clip(0.3, 0.9))
        .filter(pl.col("documents") >= min_documents, pl.col("score").is_not_null())
        .sort("language")
    )
    return {language: round(value, 4) for language, value in fitted.select("language", "score").iter_rows()}


def frequent_words(
    texts: pl.DataFrame, *, share: float = 0.008, least: int = 8, most: int = 40
) -> dict[str, list[str]]:
    """The words that make up more than `share` of a language's words each, or the `least` most frequent ones.

    Args:
        texts: n rows of language and text.

    Returns:
        For each language its words in lower case, the most frequent first. Words are runs of letters between white
        space; scripts without spaces have none.
    """
    words = (
        texts.select("language", word=pl.col("text").str.to_lowercase().str.extract_all(r"\S+"))
        .explode("word")
        .with_columns(pl.col("word").str.strip_chars_start("\"'([{«“„¿¡").str.strip_chars_end("\"')]}»”.,;:!?…"))
        .filter(pl.col("word").str.contains(r"^\p{L}[\p{L}\p{M}'’-]*$"))
    )
    counts = words.group_by("language", "word").len().sort("language", "len", "word", descending=[False, True, False])
    counts = counts.with_columns(
        rank=pl.int_range(pl.len()).over("language"), part=pl.col("len") / pl.col("len").sum().over("language")
    )
    chosen = counts.filter((pl.col("rank") < least) | ((pl.col("part") > share) & (pl.col("rank") < most)))
    return {
        str(row[0]): list(row[1]) for row in chosen.group_by("language", maintain_order=True).agg("word").iter_rows()
    }
