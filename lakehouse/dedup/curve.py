"""How likely two documents of a given similarity are compared at all: the S-curve of MinHash bands.

One value of two signatures agrees with a probability of the documents' Jaccard similarity s; a band of r values with
s^r; at least one of b bands with 1 - (1 - s^r)^b (Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, chapter
3). What is compared is verified; what is not compared is missed.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import polars as pl

from lakehouse.dedup.errors import DedupError

SETTINGS: Mapping[str, tuple[int, int]] = MappingProxyType(
    {
        "FineWeb, and the default": (14, 8),
        "NeMo Curator": (20, 13),
        "text-dedup": (50, 4),
        "datasketch for 0.8, 128": (9, 13),
        "datasketch for 0.7, 256": (25, 10),
    }
)
"""Bands and rows that are in use, by whom; datasketch chooses them for a threshold and a number of hashes."""

_SIMILARITIES = (0.5, 0.6, 0.7, 0.8, 0.9)
_WIDTH, _HEIGHT = 60, 10  # of the plot
_LINE = 88


def probability(similarity: float, bands: int, rows: int) -> float:
    """How likely at least one band of two documents agrees.

    Args:
        similarity: Jaccard similarity of their shingles, 0 to 1.
        bands: bands of the signature, 1 or more.
        rows: values of a band, 1 or more.

    Raises:
        DedupError: a value is out of these bounds.
    """
    _check(bands, rows)
    _check_similarity(similarity)
    return float(1 - (1 - similarity**rows) ** bands)


def curve(bands: int, rows: int) -> pl.DataFrame:
    """The S-curve: similarity from 0 to 1 in 21 steps, and the probability of being compared.

    Raises:
        DedupError: bands or rows are below 1.
    """
    similarities = [step / 20 for step in range(21)]
    found = [probability(similarity, bands, rows) for similarity in similarities]
    return pl.DataFrame({"similarity": similarities, "probability": found})


def threshold(bands: int, rows: int) -> float:
    """The similarity at which one pair in two is compared.

    Raises:
        DedupError: bands or rows are below 1.
    """
    _check(bands, rows)
    return float((1 - 0.5 ** (1 / bands)) ** (1 / rows))


def compare(settings: Mapping[str, tuple[int, int]] = SETTINGS) -> pl.DataFrame:
    """Lay several settings side by side.

    Args:
        settings: bands and rows by a name.

    Returns:
        A row a setting: setting, bands, rows, hashes (bands times rows: what a signature costs), half (the similarity
        at which one pair in two is compared), and at_0.5 to at_0.9 (the probability at that similarity).

    Raises:
        DedupError: bands or rows are below 1.
    """
    return pl.DataFrame(
        [
            {
                "setting": name,
                "bands": bands,
                "rows": rows,
                "hashes": bands * rows,
                "half": threshold(bands, rows),
                **{f"at_{one}": probability(one, bands, rows) for one in _SIMILARITIES},
            }
            for name, (bands, rows) in settings.items()
        ]
    )


def missed(similarity: float, bands: int, rows: int) -> float:
    """Which share of the pairs that are at least so similar is never compared, if all similarities are as frequent.

    Raises:
        DedupError: a value is out of bounds.
    """
    _check_similarity(similarity)
    steps = 1_000
    width = (1 - similarity) / steps
    middles = (similarity + (step + 0.5) * width for step in range(steps))
    return sum(1 - probability(middle, bands, rows) for middle in middles) / steps


def explain(bands: int, rows: int, similarity: float) -> str:
    """Say on a terminal what bands and rows find where pairs of at least `similarity` count as duplicates.

    Returns:
        The curve drawn in characters with the threshold marked, the probabilities at 0.5 to 0.9, what is missed, and
        the table of settings in use.

    Raises:
        DedupError: a value is out of bounds.
    """
    at_threshold, lost = probability(similarity, bands, rows), missed(similarity, bands, rows)
    steps = [f"{one}: {_percent(probability(one, bands, rows))}" for one in _SIMILARITIES]
    said = (
        f"By similarity: {', '.join(steps)}; one pair in two at {threshold(bands, rows):.3f}.",
        f"Of pairs of exactly {similarity:g}, the threshold, {_percent(1 - at_threshold)} are missed; of all from "
        f"there to 1, if each similarity is as frequent, {_percent(lost)}.",
        "Whatever is compared is verified: no pair below the threshold counts. More bands miss less, more rows compare "
        "less in vain.",
    )
    asked = {} if (bands, rows) in SETTINGS.values() else {f"{bands} × {rows}": (bands, rows)}
    return "\n".join(
        [
            f"{bands} bands of {rows} rows, {bands * rows} hashes: how likely two documents are compared.",
            "",
            *_plot(bands, rows, similarity),
            "",
            *(textwrap.fill(sentence, _LINE) for sentence in said),
            "",
            *_table(asked | dict(SETTINGS)),
        ]
    )


def _plot(bands: int, rows: int, similarity: float) -> list[str]:
    """The curve as lines of text: a column for each step of similarity, the threshold as a dotted line."""
    heights = [round(probability(column / _WIDTH, bands, rows) * _HEIGHT) for column in range(_WIDTH + 1)]
    mark = round(similarity * _WIDTH)
    lines = []
    for level in range(_HEIGHT, -1, -1):
        cells = ["*" if height == level else ":" if column == mark else " " for column, height in enumerate(heights)]
        # Where the curve is steep it passes several levels within one column.
        for column in range(1, _WIDTH + 1):
            if heights[column - 1] < level < heights[column]:
                cells[column] = "*"
        lines.append(f"{level * 100 // _HEIGHT:4d} % |{''.join(cells).rstrip()}")
    ticks = "".join(f"{step / 10:<{_WIDTH // 10}.1f}" for step in range(11)).rstrip()
    return [
        *lines,
        " " * 7 + "+" + "-" * (_WIDTH + 1),
        " " * 8 + ticks,
        " " * (8 + mark) + f"^ threshold {similarity:g}",
    ]


def _table(settings: Mapping[str, tuple[int, int]]) -> list[str]:
    wide = max(len(name) for name in settings)
    lines = [f"{'':{wide}} bands rows hashes  half" + "".join(f"{one:>9}" for one in _SIMILARITIES)]
    for row in compare(settings).iter_rows(named=True):
        shares = "".join(f"{row[f'at_{one}']:9.4f}" for one in _SIMILARITIES)
        start = f"{row['setting']:{wide}} {row['bands']:5} {row['rows']:4} {row['hashes']:6}"
        lines.append(f"{start} {row['half']:.3f}{shares}")
    return lines


def _percent(share: float) -> str:
    return f"{share:.2%}".replace("%", " %")


def _check(bands: Any, rows: Any) -> None:
    for name, value in (("bands", bands), ("rows", rows)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise DedupError(f"{name} is {value!r}; it must be a whole number of 1 or more.")


def _check_similarity(similarity: float) -> None:
    if not 0 <= similarity <= 1:
        raise DedupError(f"similarity is {similarity!r}; it must be a share from 0 to 1.")
