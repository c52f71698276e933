"""What gates measure of a batch of answers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

from lakehouse.generate.errors import GenerationError
from lakehouse.generate.gates.grams import (
    COPIED_WORDS,
    agreement,
    names_kept,
    repetition,
    shared_grams,
)
from lakehouse.generate.gates.numbers import kept_and_added, numbers
from lakehouse.generate.gates.phrases import prefaces, refusals
from lakehouse.generate.gates.settings import FOUND, MEASURES, Gates, Language, Requirements
from lakehouse.generate.gates.structure import structure_kept
from lakehouse.generate.gates.tools import Tools
from lakehouse.generate.gates.words import Words, find_words, normal_form

_UNDETERMINED = "und"
_NOUNS_HAVE_CAPITALS = ["de", "lb", "nds", "gsw", "bar", "frr"]
_LETTERS = r"\p{L}"


@dataclass(frozen=True)
class Batch:
    """Answers to measure, and what is found of them once for every measure."""

    rows: pl.DataFrame

    @cached_property
    def texts(self) -> pl.Series:
        """The outputs in NFC, "" where there is none."""
        return normal_form(self.rows["text"])

    @cached_property
    def passages(self) -> pl.Series:
        """The same of what they were made from."""
        return normal_form(self.rows["passage"])

    @cached_property
    def words(self) -> Words:
        """The words of the outputs."""
        return find_words(self.texts)

    @cached_property
    def passage_words(self) -> Words:
        """The words of the passages."""
        return find_words(self.passages)

    @cached_property
    def comparable(self) -> pl.Series:
        """Whether there are both an output and a passage."""
        return self.rows["text"].is_not_null() & self.rows["passage"].is_not_null()


def measure(rows: pl.DataFrame, gates: Gates | Requirements, tools: Tools) -> pl.DataFrame:
    """Measure what the gates ask for.

    Args:
        rows: at most a thousand answers (see `judge`), with every column that the gates need.
        gates: of an answer, which has a passage, or of an input.
        tools: all that the gates need.

    Returns:
        As many rows: `MEASURES` as Float64, null where a gate did not ask or there is nothing to measure; and
        _refusal, _preface and _language, what was found, else null.
    """
    batch = Batch(rows)
    measured: dict[str, Any] = {}
    found: dict[str, pl.Series] = {}
    if isinstance(gates, Gates):
        if gates.refusal:
            found["_refusal"] = refusals(batch.texts, batch.passages)
        if gates.preface:
            found["_preface"] = prefaces(batch.texts, batch.passages)
        measured.update(_compared(batch, gates, tools))
    if gates.language:
        measured["language_kept"], found["_language"] = _language(rows, gates.language, tools)
    if gates.repetition:
        measured["repetition"] = repetition(batch.texts, batch.words, gates.repetition.n)
    if gates.quality:
        assert tools.quality
        scores = tools.quality(batch.texts.to_list(), gates.quality.classifier)
        measured["quality"] = _checked(scores, len(rows), "quality")
    if gates.compiles:
        measured["compiles"] = rows["compiles"].cast(pl.Float64)
    if gates.lint:
        measured["lint"] = rows["lint_score"].cast(pl.Float64)
    if gates.min_words is not None or gates.max_words is not None:
        measured["words"] = batch.words.counts.astype(np.float64)
    nothing = pl.lit(None, pl.Float64)
    has_text = rows["text"].is_not_null()
    values = [_series(name, measured[name]) if name in measured else nothing.alias(name) for name in MEASURES]
    words = [
        found[f"_{name}"].alias(f"_{name}") if f"_{name}" in found else pl.lit(None, pl.String).alias(f"_{name}")
        for name in FOUND
    ]
    return rows.select(
        *(pl.when(has_text).then(value).alias(name) for name, value in zip(MEASURES, values, strict=True)), *words
    )


def _series(name: str, values: Any) -> pl.Series:
    return (
        values.alias(name) if isinstance(values, pl.Series) else pl.Series(name, values, pl.Float64, nan_to_null=True)
    )


def _compared(batch: Batch, gates: Gates, tools: Tools) -> dict[str, Any]:
    """Measures of answer and passage, null where one of them is missing."""
    rows = batch.rows
    lengths = rows["text"].str.len_chars() / rows["passage"].str.len_chars()
    measured: dict[str, Any] = {
        "length_ratio": pl.select(pl.when(lengths.is_finite()).then(lengths)).to_series(),
        "copied_share": shared_grams(batch.words, batch.passage_words, COPIED_WORDS).copied_share,
    }
    if similar := gates.ngram_similarity:
        shared = shared_grams(batch.words, batch.passage_words, similar.n)
        measured["ngram_similarity"] = shared.similarity(similar.per)
    if gates.embedding_similarity:
        assert tools.similarity
        cosines = tools.similarity(batch.texts.to_list(), batch.passages.to_list())
        measured["embedding_similarity"] = _checked(cosines, len(rows), "similarity")
    if gates.numbers_kept or gates.numbers_added:
        found, standing = numbers(batch.texts, batch.words), numbers(batch.passages, batch.passage_words)
        kept, added = kept_and_added(found, standing, len(rows))
        measured.update({"numbers_kept": kept} if gates.numbers_kept else {})
        measured.update({"numbers_added": added} if gates.numbers_added else {})
    if gates.names_kept:
        capitals = _main_language(rows["language"]).is_in(_NOUNS_HAVE_CAPITALS).fill_null(False)
        measured["names_kept"] = names_kept(batch.words, batch.passage_words, capitals.to_numpy())
    if gates.structure_kept:
        measured["structure_kept"] = structure_kept(batch.texts, batch.passages)
    measured = {
        name: pl.select(pl.when(batch.comparable).then(_series(name, values))).to_series()
        for name, values in measured.items()
    }
    if trip := gates.round_trip:
        measured["round_trip"] = _round_trip(rows[f"value_{trip.of}"], rows[f"value_{trip.against}"])
    if gates.judge:
        values = rows[f"value_{gates.judge.step}"]
        values = values.str.strip_chars() if values.dtype == pl.String else values
        measured["judge"] = values.cast(pl.Float64, strict=False)
    return measured


def _round_trip(of: pl.Series, against: pl.Series) -> pl.Series:
    both = of.is_not_null() & against.is_not_null()
    scores = agreement(*(find_words(normal_form(side)) for side in (of, against)))
    return pl.select(pl.when(both).then(pl.Series(scores, nan_to_null=True))).to_series()


def _language(rows: pl.DataFrame, settings: Language, tools: Tools) -> tuple[pl.Series, pl.Series]:
    """Whether each text is in the language that it has to be in, and which languages these are where it is not."""
    assert tools.identify
    found = _identified(rows["text"], settings, tools)
    if settings.language:
        wanted = pl.Series([settings.language.lower()] * len(rows), dtype=pl.String)
        wanted = _main_language(wanted)
    else:
        wanted = _main_language(rows["language"])
        unknown = (wanted.is_null() | (wanted == _UNDETERMINED)) & found.is_not_null()
        wanted = pl.select(pl.when(wanted != _UNDETERMINED).then(wanted)).to_series()
        if unknown.any():
            passages = _identified(rows["passage"].filter(unknown), settings, tools)
            wanted = wanted.scatter(unknown.arg_true(), passages)
    same = (found == wanted).cast(pl.Float64)
    said = pl.select(pl.when(same == 0).then(pl.format("{} instead of {}", found, wanted))).to_series()
    return same, said


def _identified(texts: pl.Series, settings: Language, tools: Tools) -> pl.Series:
    """The language of each text; null where it is too short, or its language cannot be told surely enough."""
    assert tools.identify
    enough = (texts.str.count_matches(_LETTERS) >= settings.min_letters).fill_null(False)
    result = pl.Series([None] * len(texts), dtype=pl.String)
    if not enough.any():
        return result
    told = tools.identify(texts.filter(enough).to_list())
    if told.height != enough.sum():
        raise GenerationError(
            f"the tool identify gave {told.height} rows for {enough.sum()} texts: it must give one each."
        )
    language = _main_language(told["language"])
    sure = (told["language_score"] >= settings.min_score) & (language != _UNDETERMINED)
    return result.scatter(enough.arg_true(), pl.select(pl.when(sure).then(language)).to_series())


def _main_language(codes: pl.Series) -> pl.Series:
    """Language codes without script and region."""
    return codes.cast(pl.String).str.to_lowercase().str.extract(r"^([a-z]+)")


def _checked(values: Any, rows: int, tool: str) -> np.ndarray[Any, Any]:
    numbers_ = np.asarray(values, np.float64)
    if numbers_.shape != (rows,):
        raise GenerationError(
            f"the tool {tool} gave an array of shape {numbers_.shape} for {rows} texts: it must give one number each."
        )
    return numbers_
