"""The kinds of annotators that published quality rules look at. Their words and segments are found once for all."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
import pyarrow as pa

from lakehouse.annotate.annotator import Annotator
from lakehouse.annotate.languages import Languages, check, load
from lakehouse.annotate.rules import c4 as c4_rules
from lakehouse.annotate.rules import fineweb as fineweb_rules
from lakehouse.annotate.rules import gopher, repetition
from lakehouse.annotate.rules import refinedweb as refinedweb_rules
from lakehouse.annotate.words import Batch


def gopher_quality(*, languages: str | None = None) -> Annotator:
    """Words, segments, symbols, bullets, ellipses and stop words (docs/rules/gopher.md).

    Args:
        languages: a YAML file whose entries count before those of the shipped table of languages.

    Raises:
        AnnotatorError: there is no such file.
    """
    return _with_languages(
        "gopher_quality",
        2,
        gopher.QUALITY_COLUMNS,
        gopher.measure_quality,
        "Words, symbols, bullets, ellipses and stop words (Rae et al., Gopher, appendix A1.1).",
        languages,
    )


def gopher_repetition(*, languages: str | None = None) -> Annotator:
    """Repeated lines, paragraphs and n-grams (docs/rules/gopher.md).

    Args:
        languages: a YAML file whose entries count before those of the shipped table of languages.

    Raises:
        AnnotatorError: there is no such file.
    """
    return _with_languages(
        "gopher_repetition",
        1,
        repetition.REPETITION_COLUMNS,
        repetition.measure_repetition,
        "Repeated lines, paragraphs and n-grams (Rae et al., Gopher, appendix A1.1).",
        languages,
    )


def c4(*, languages: str | None = None) -> Annotator:
    """The lines that C4 removes, and what it counts in those that stay (docs/rules/c4.md).

    Args:
        languages: a YAML file whose entries count before those of the shipped table of languages.

    Raises:
        AnnotatorError: there is no such file.
    """
    return _with_languages(
        "c4",
        1,
        c4_rules.C4_COLUMNS,
        c4_rules.measure_c4,
        "Lines that C4 removes, sentences of those that stay, lorem ipsum and curly brackets (Raffel et al., C4).",
        languages,
    )


def fineweb(*, languages: str | None = None) -> Annotator:
    """Line endings, short and repeated lines, newlines (docs/rules/fineweb.md).

    Args:
        languages: a YAML file whose entries count before those of the shipped table of languages.

    Raises:
        AnnotatorError: there is no such file.
    """
    return _with_languages(
        "fineweb",
        1,
        fineweb_rules.FINEWEB_COLUMNS,
        fineweb_rules.measure_fineweb,
        "Line endings, short and repeated lines, newlines (Penedo et al., FineWeb).",
        languages,
    )


def refinedweb() -> Annotator:
    """The lines that RefinedWeb and DCLM correct (docs/rules/dolma.md)."""
    return Annotator(
        "refinedweb",
        1,
        refinedweb_rules.REFINEDWEB_COLUMNS,
        refinedweb_rules.measure_refinedweb,
        "Lines of capitals, numbers, counters and single words, and the words in them (Penedo et al., RefinedWeb).",
    )


def _with_languages(
    name: str,
    version: int,
    columns: tuple[pa.Field, ...],
    measure: Callable[[Batch, Languages], pl.DataFrame],
    description: str,
    languages: str | None,
) -> Annotator:
    settings = {} if languages is None else {"languages": languages}
    files = check(languages)
    return Annotator(
        name,
        version,
        columns,
        lambda batch: measure(batch, load(languages)),
        description,
        settings=settings,
        files=files,
    )
