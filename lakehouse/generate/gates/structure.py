"""The structure that Markdown gives a text, and how much of it an answer keeps."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

_HEADING = r"^#{1,6}[ \t]+\S"
_ITEM = r"^(?:[-*+•]|\d{1,3}[.)])[ \t]+\S"
_TABLE_ROW = r"^\|.*\|[ \t]*$"
_FENCE = r"^(?:```|~~~)"

_PIECES = {
    "link": r"\]\(([^()\s]+(?:\([^()\s]*\)[^()\s]*)*)[^()\n]*\)",
    "formula": (
        r"\$\$([^$]+)\$\$|\\\[((?:[^\\]|\\[^\]])+)\\\]|\\\(((?:[^\\]|\\[^)])+)\\\)"
        r"|\$([^\s$](?:[^$\n]{0,200}[^\s$\\])?)\$"
    ),
}
_LINE_KINDS = {"heading": _HEADING, "item": _ITEM, "table_row": _TABLE_ROW}


def structure_kept(texts: pl.Series, passages: pl.Series) -> npt.NDArray[np.float64]:
    """Share of each passage's structure that its text has too, 0..1; NaN for a passage without any.

    Headings, items of lists, rows of tables and blocks of code are counted; links count by their target and formulas by
    what is in them, white space apart. Of each kind and each link or formula as many are kept as both have.
    """
    wanted, found = _parts(passages), _parts(texts)
    both = wanted.join(found, on=["row", "part"], how="left", suffix="_found")
    kept = pl.min_horizontal("number", pl.col("number_found").fill_null(0))
    shares = both.group_by("row").agg(share=kept.sum() / pl.col("number").sum())
    result = np.full(len(texts), np.nan)
    result[shares["row"].to_numpy()] = shares["share"].to_numpy()
    return result


def _parts(texts: pl.Series) -> pl.DataFrame:
    """What structure each text has: row, part, number."""
    lines = _lines(texts)
    line = pl.col("line")
    kinds = [pl.when(line.str.contains(form)).then(pl.lit(kind)) for kind, form in _LINE_KINDS.items()]
    # A block that no fence closes is one too.
    block = pl.when(pl.col("fence") & pl.col("in_code").not_()).then(pl.lit("block"))
    outside = pl.when(~pl.col("in_code") & ~pl.col("fence")).then(pl.coalesce(kinds))
    found = lines.select("row", part=pl.coalesce(block, outside)).drop_nulls()
    whole = pl.DataFrame({"row": pl.int_range(len(texts), eager=True), "text": texts})
    parts = [found]
    for kind, form in _PIECES.items():
        mark = pl.col("text").str.contains_any(["](", "$"] if kind == "link" else ["$", "\\(", "\\["])
        pieces = (
            whole.filter(mark).select("row", part=pl.col("text").str.extract_all(form)).explode("part").drop_nulls()
        )
        inner = (
            pl.col("part").str.extract(r"^\]\(([^\s]*[^\s)])")
            if kind == "link"
            else (pl.col("part").str.replace_all(r"\s+", "").str.strip_chars("$"))
        )
        parts.append(pieces.select("row", part=pl.concat_str(pl.lit(kind + " "), inner)).drop_nulls())
    return pl.concat(parts).group_by("row", "part").agg(number=pl.len().cast(pl.Int64))


def _lines(texts: pl.Series) -> pl.DataFrame:
    """Every line: row, line (without the white space around it), raw, fence, in_code (inside a block of code)."""
    frame = pl.DataFrame(
        {"row": pl.int_range(len(texts), eager=True), "raw": texts}, schema_overrides={"raw": pl.String}
    )
    lines = frame.with_columns(pl.col("raw").str.split("\n")).explode("raw")
    lines = lines.with_columns(line=pl.col("raw").str.strip_chars())
    lines = lines.with_columns(fence=pl.col("line").str.contains(_FENCE))
    before = pl.col("fence").cast(pl.Int64).cum_sum().over("row") - pl.col("fence").cast(pl.Int64)
    return lines.with_columns(in_code=before % 2 == 1)
