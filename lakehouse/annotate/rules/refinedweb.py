"""Lines that RefinedWeb corrects: of capitals, of numbers, of counters, of one word, and phrases of a page's controls.

Source: Penedo et al., The RefinedWeb Dataset for Falcon LLM, appendix G.2; the limits are those of Li et al.,
DataComp-LM: In search of the next generation of training sets for language models.
"""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from lakehouse import schema
from lakehouse.annotate.words import Batch

REFINEDWEB_COLUMNS = (
    pa.field("refinedweb_edits", schema.EDITS),
    pa.field("removed_words", pa.float64()),
)

_COUNTED = "likes|shares|comments|retweets|reposts|quotes|bookmarks|upvotes|downvotes|downloads|views|followers"
_COUNTER = rf"(?i)^\W*[0-9][0-9,.]*[kmb]?\s+(?:{_COUNTED})\W*$"
_PHRASE = r"(?i)^sign-in\s?|\s?items in cart|\s?read more\.\.\.$"
_MOST_WORDS = 10  # of a line from which a phrase is taken
_COMPILED = re.compile(_PHRASE)


def measure_refinedweb(batch: Batch) -> pl.DataFrame:
    """Measure what RefinedWeb's line corrections would remove from n documents.

    Lines end at newlines; blank ones stay. A line is removed where more than half of its characters are capitals, where
    all are digits, where it counts something (`3 likes`), or where it is a single word. From a line of ten words or
    fewer the phrases `sign-in` at its beginning, `read more...` at its end and `items in cart` are removed, and the
    line where nothing else is left.

    Returns:
        n rows: refinedweb_edits (spans with the rules uppercase, numeric, counter, phrase, one_word), and removed_words
        (the share of words that they remove; null without words). In texts of scripts without spaces every character
        but white space counts as a word.
    """
    lines = _lines(batch.documents["text"], batch.unspaced)
    line = pl.col("line")
    characters = line.str.len_chars()
    words = pl.when("unspaced").then(line.str.count_matches(r"\S")).otherwise(line.str.count_matches(r"\S+"))
    left = line.str.replace_all(_PHRASE, "")
    lines = lines.with_columns(words=words, characters=characters).with_columns(
        left=pl.when(pl.col("words") <= _MOST_WORDS).then(left).otherwise(line)
    )
    rule = (
        pl.when(pl.col("words") == 0)
        .then(None)
        .when(line.str.count_matches(r"\p{Lu}") * 2 > characters)
        .then(pl.lit("uppercase"))
        .when(line.str.contains(r"^\p{Nd}+$"))
        .then(pl.lit("numeric"))
        .when(line.str.contains(_COUNTER))
        .then(pl.lit("counter"))
        .when(words == 1)
        .then(pl.lit("one_word"))
        .when(~pl.col("left").str.contains(r"\S"))
        .then(pl.lit("phrase"))
    )
    lines = lines.with_columns(rule=rule)
    whole = lines.filter(pl.col("rule").is_not_null()).select(
        "document",
        "start",
        # The newline goes with the line.
        end=pl.min_horizontal(pl.col("start") + pl.col("characters") + 1, pl.col("text_end")),
        rule="rule",
        words="words",
    )
    edits = pl.concat([whole, _phrases(lines)]).sort("document", "start")
    gathered = edits.group_by("document", maintain_order=True).agg(
        refinedweb_edits=pl.struct("start", "end", "rule", replacement=pl.lit("")), removed=pl.col("words").sum()
    )
    totals = lines.group_by("document").agg(pl.col("words").sum())
    found = pl.DataFrame({"document": pl.int_range(batch.documents.height, eager=True)}).join(
        gathered, on="document", how="left", maintain_order="left"
    )
    return found.join(totals, on="document", how="left", maintain_order="left").select(
        pl.col("refinedweb_edits").fill_null([]),
        removed_words=pl.when(pl.col("words") > 0).then(pl.col("removed").fill_null(0) / pl.col("words")),
    )


def _lines(texts: pl.Series, unspaced: npt.NDArray[np.bool_]) -> pl.DataFrame:
    """Every line, with its document's number, where it starts and where its text ends, in characters."""
    lines = pl.DataFrame(
        {"document": pl.int_range(len(texts), eager=True), "unspaced": unspaced, "line": texts.str.split("\n")}
    )
    length = pl.col("line").str.len_chars().cast(pl.Int64) + 1
    return lines.explode("line").with_columns(
        start=length.cum_sum().over("document") - length, text_end=length.sum().over("document") - 1
    )


def _phrases(lines: pl.DataFrame) -> pl.DataFrame:
    """Where phrases stand in lines that stay, and how many words they are."""
    schema_ = {"document": pl.Int64, "start": pl.Int64, "end": pl.Int64, "rule": pl.String, "words": pl.UInt32}
    rows = []
    for line in lines.filter(pl.col("rule").is_null() & (pl.col("left") != pl.col("line"))).iter_rows(named=True):
        for match in _COMPILED.finditer(line["line"]):
            rows.append(
                (
                    line["document"],
                    line["start"] + match.start(),
                    line["start"] + match.end(),
                    "phrase",
                    len(match[0].split()),
                )
            )
    return pl.DataFrame(rows, schema=schema_, orient="row")
