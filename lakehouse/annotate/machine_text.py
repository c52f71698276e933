"""Cheap signs that a text was written by a machine.

They are weak: each occurs in texts of people too, and a careful generator leaves none. They point at texts to look at,
and at generators that went wrong; no rule drops by them unless it is written.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import yaml

from lakehouse.annotate.annotator import Annotator, AnnotatorError
from lakehouse.annotate.phrases import Phrases, phrases
from lakehouse.annotate.words import Batch

COLUMNS = (
    pa.field("stock_phrases", pa.float64()),
    pa.field("refusals", pa.int64()),
    pa.field("prompt_markers", pa.int64()),
    pa.field("placeholders", pa.int64()),
    pa.field("opening_repetition", pa.float64()),
    pa.field("sentence_length_spread", pa.float64()),
    pa.field("heading_lines", pa.float64()),
    pa.field("machine_score", pa.float64()),
)
OWN_PATTERNS = Path(__file__).with_name("machine_text.yaml")

MIN_SENTENCES = 5
"""Fewer sentences say nothing of how sentences are alike."""

_BY_LANGUAGE, _EXPRESSIONS = ("stock_phrases", "refusals"), ("prompt_markers", "placeholders")

# To where there is a line break, or a full stop or its like that white space follows: 3.14 has no end of a sentence.
_SENTENCE = r"[^\n.!?…。！？]+(?:[.!?…]+[^\s.!?…。！？][^\n.!?…。！？]*)*"
_OPENING = r"^[^\p{L}\p{N}]*([\p{L}\p{M}\p{N}]+[^\p{L}\p{M}\p{N}]+[\p{L}\p{M}\p{N}]+)"
# Lines that an outline is made of: Markdown's headings, lines all in bold, and items that begin with a bold term.
_HEADING_LINE = (
    r"(?m)^[ \t]*(?:#{1,6} [^\n]+|\*\*[^*\n]+\*\*:?[ \t]*|(?:[-*•]|\d{1,2}[.)])[ \t]+\*\*[^*\n]+\*\*[^\n]*)$"
)
_LINE = r"\S[^\n]*"

# What a sign adds to the score where it is strongest, where it begins to count and where it is strongest. A text of
# people has stock phrases now and then; it seldom refuses or holds the marks of a prompt.
SCORE = {
    "refusals": (0.9, 0.0, 2.0),
    "prompt_markers": (0.8, 0.0, 2.0),
    "placeholders": (0.5, 0.0, 2.0),
    "stock_phrases": (0.7, 0.2, 2.0),
    "opening_repetition": (0.3, 0.3, 0.7),
    "sentence_length_spread": (0.2, 0.35, 0.15),
    "heading_lines": (0.3, 0.3, 0.7),
}
"""For each column its weight, and the values at which it begins to count and counts in full."""


def machine_text(*, patterns: str | None = None) -> Annotator:
    """Measure signs of machine-written text.

    Args:
        patterns: a YAML file with further patterns, of the form of `machine_text.yaml`: stock_phrases and refusals by
            language, prompt_markers and placeholders as regular expressions. They add to our own.

    Returns:
        Annotator of stock_phrases (hits per 100 words; null without words, and for a language without phrases),
        refusals, prompt_markers, placeholders (hits), opening_repetition (share of the sentences that open with the
        most common two words), sentence_length_spread (standard deviation of the sentences' lengths in characters
        over their mean; both null with fewer than 5 sentences), heading_lines (share of lines that are headings or
        items with a bold term; null without lines), machine_score (0..1: one minus the product, over all signs, of one
        minus the sign's weight times how strong it is, see SCORE; null for a text without letters or digits).

    Raises:
        AnnotatorError: measuring raises it for a pattern file that is missing or wrong.
    """
    if patterns is not None and (not isinstance(patterns, str) or not patterns):
        raise AnnotatorError(f"machine_text: patterns is {patterns!r}: give the path of a YAML file.")
    files = (OWN_PATTERNS, *([Path(patterns)] if patterns else []))

    def measure(batch: Batch) -> pl.DataFrame:
        return _measure(batch, _patterns(tuple(str(file.resolve()) for file in files), tuple(map(_state, files))))

    return Annotator(
        "machine_text",
        1,
        COLUMNS,
        measure,
        "Weak signs of machine-written text: stock phrases, refusals, prompt marks, sameness of sentences.",
        settings={} if patterns is None else {"patterns": patterns},
        files=files,
    )


def _state(file: Path) -> int:
    try:
        return file.stat().st_mtime_ns
    except OSError as error:
        raise AnnotatorError(f"pattern file {file} cannot be read: {error.strerror}.") from error


_Patterns = tuple[Mapping[str, Phrases], Phrases, Mapping[str, list[str]]]


@functools.lru_cache(maxsize=4)
def _patterns(files: tuple[str, ...], _: tuple[int, ...]) -> _Patterns:
    """Stock phrases by language, refusals, and the expressions of each kind of mark."""
    merged: dict[str, dict[str, list[str]]] = {name: {} for name in _BY_LANGUAGE}
    marks: dict[str, list[str]] = {name: [] for name in _EXPRESSIONS}
    for file in files:
        for name, value in _loaded(file).items():
            if name in marks:
                marks[name] += [_compiled(file, name, expression) for expression in _strings(file, name, value)]
                continue
            if name not in merged or not isinstance(value, dict):
                known = ", ".join((*_BY_LANGUAGE, *_EXPRESSIONS))
                raise AnnotatorError(f"{file}: key {name!r} is unknown or no mapping of languages: use {known}.")
            for language, listed in value.items():
                merged[name].setdefault(str(language), []).extend(_strings(file, f"{name}: {language}", listed))
    stock = {language: phrases(listed, language) for language, listed in merged["stock_phrases"].items()}
    refusals = phrases((phrase for listed in merged["refusals"].values() for phrase in listed), "und")
    return stock, refusals, marks


def _loaded(file: str) -> Mapping[str, Any]:
    try:
        loaded = yaml.safe_load(Path(file).read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise AnnotatorError(f"pattern file {file} cannot be read: {error}.") from error
    if not isinstance(loaded, dict):
        raise AnnotatorError(f"pattern file {file} holds no mapping: use the form of {OWN_PATTERNS.name}.")
    return loaded


def _strings(file: str, key: str, value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(one, str) and one.strip() for one in value):
        raise AnnotatorError(f"{file}: {key} is no list of strings.")
    return value


def _compiled(file: str, key: str, expression: str) -> str:
    try:
        pl.Series([""]).str.contains(f"(?m){expression}")
    except pl.exceptions.ComputeError as error:
        raise AnnotatorError(f"{file}: {key}: {expression!r} is no regular expression: {error}.") from error
    return expression


def _measure(batch: Batch, patterns: _Patterns) -> pl.DataFrame:
    stock, refusals, marks = patterns
    texts, words = batch.documents["text"], batch.words
    n_words = pl.Series(words.total(words.lengths > 0))
    text = pl.col("text").str
    lines = text.count_matches(_LINE)
    counted = batch.documents.select(
        stock_phrases=100 * _stock(batch.documents, stock) / pl.when(n_words > 0).then(n_words),
        refusals=refusals.count(texts),
        **{name: _hits(expressions) for name, expressions in marks.items()},
        heading_lines=pl.when(lines > 0).then(text.count_matches(_HEADING_LINE) / lines),
        n_words=n_words,
    ).hstack(_sentences(texts))
    return counted.with_columns(machine_score=pl.when(pl.col("n_words") > 0).then(1 - _unlike(SCORE.items()))).select(
        field.name for field in COLUMNS
    )


def _hits(expressions: Iterable[str]) -> pl.Expr:
    """How often the expressions match. One after another: joined into one they take a hundred times as long."""
    counts = [pl.col("text").str.count_matches(f"(?m){expression}") for expression in expressions]
    return pl.sum_horizontal(pl.lit(0, pl.Int64), *counts).cast(pl.Int64)


def _unlike(signs: Iterable[tuple[str, tuple[float, float, float]]]) -> pl.Expr:
    """The product of what each sign leaves; a sign that was not measured leaves all."""
    left = pl.lit(1.0)
    for name, (weight, begins, full) in signs:
        strength = ((pl.col(name) - begins) / (full - begins)).clip(0, 1)
        left = left * (1 - weight * strength.fill_null(0))
    return left


def _stock(documents: pl.DataFrame, stock: Mapping[str, Phrases]) -> pl.Series:
    """How many stock phrases of its language each text has; null for a language without any."""
    rows = documents.select("text", "language").with_row_index("row")
    counted = [pl.DataFrame(schema={"row": pl.UInt32, "hits": pl.Int64})]
    for (language,), part in rows.group_by("language"):
        if language in stock:
            counted.append(part.select("row", hits=stock[str(language)].count(part["text"])))
    return rows.join(pl.concat(counted), on="row", how="left", maintain_order="left")["hits"]


def _sentences(texts: pl.Series) -> pl.DataFrame:
    """For n texts: opening_repetition and sentence_length_spread; null with fewer than five sentences."""
    every = pl.DataFrame({"row": pl.int_range(len(texts), dtype=pl.UInt32, eager=True)})
    sentences = every.with_columns(sentence=texts.str.extract_all(_SENTENCE)).explode("sentence", empty_as_null=True)
    sentences = sentences.select(
        "row",
        length=pl.col("sentence").str.strip_chars().str.len_chars(),
        opening=pl.col("sentence").str.extract(_OPENING).str.to_lowercase(),
    ).filter(pl.col("length") > 0)
    lengths = sentences.group_by("row").agg(
        sentences=pl.len(),
        openings=pl.col("opening").count(),
        spread=pl.col("length").std(ddof=0) / pl.col("length").mean(),
    )
    opening = sentences.drop_nulls("opening").group_by("row", "opening").len().group_by("row").agg(pl.col("len").max())
    found = every.join(lengths, on="row", how="left").join(opening, on="row", how="left").sort("row")
    return found.select(
        opening_repetition=pl.when(pl.col("openings") >= MIN_SENTENCES).then(pl.col("len") / pl.col("openings")),
        sentence_length_spread=pl.when(pl.col("sentences") >= MIN_SENTENCES).then("spread"),
    )
