"""Template collapse: how many texts of a whole set open, or end, with the same words.

A set is read in two passes: first `Openings` takes in every batch of judged answers, then `collapsed` rejects what is
too many. What it rejects depends on the set alone, not on batches or their order.

Memory: 16 bytes an accepted answer.
"""

from __future__ import annotations

from typing import Literal

import polars as pl

from lakehouse import identity
from lakehouse.generate.gates.settings import TemplateCollapse
from lakehouse.generate.gates.unspaced import UNSPACED_SCRIPTS

GATE = "template_collapse"

_WORD = rf"(?:[[{UNSPACED_SCRIPTS}]&&[\p{{L}}\p{{M}}\p{{N}}]]|[[\p{{L}}\p{{M}}\p{{N}}]--[{UNSPACED_SCRIPTS}]]+)"
_BETWEEN = r"[^\p{L}\p{M}\p{N}]"
_READ_CHARS = 400

At = Literal["start", "end"]


def openings(texts: pl.Series, words: int = 6, at: At = "start") -> pl.DataFrame:
    """How many texts open with the same words: columns opening, count; the most frequent first.

    An opening is the first words (at the end: the last) in lower case with one space between them, of at most the first
    400 characters. Texts without words have none.
    """
    found = opening_of(texts, words, at).rename("opening").drop_nulls().to_frame()
    return found.group_by("opening").agg(count=pl.len()).sort(["count", "opening"], descending=[True, False])


def opening_of(texts: pl.Series, words: int = 6, at: At = "start") -> pl.Series:
    """The first words of each text, or its last ones; null for a text without words."""
    part = texts.str.slice(0, _READ_CHARS) if at == "start" else texts.str.tail(_READ_CHARS)
    several = rf"{_WORD}(?:{_BETWEEN}*{_WORD}){{0,{words - 1}}}"
    form = rf"^{_BETWEEN}*({several})" if at == "start" else rf"({several}){_BETWEEN}*$"
    plain = part.str.normalize("NFC").str.to_lowercase().str.extract(form, 1)
    return plain.str.replace_all(rf"{_BETWEEN}+", " ")


class Openings:
    """Counts the openings of a set, batch by batch."""

    def __init__(self, settings: TemplateCollapse) -> None:
        self._settings = settings
        self._parts = [pl.DataFrame(schema={"opening": pl.UInt64, "key": pl.Int64})]
        self._limits: pl.DataFrame | None = None

    def add(self, judged: pl.DataFrame) -> None:
        """Take in the accepted ones of a batch: columns unit_id, text, accepted. Each unit of a set once."""
        accepted = judged.filter("accepted")
        opening = opening_of(accepted["text"], self._settings.words, self._settings.at)
        rows = pl.DataFrame({"opening": opening.hash(), "key": keys(accepted["unit_id"], self._settings.seed)})
        # Texts without words count in the set, and open like no other.
        rows = rows.with_columns(pl.when(opening.is_not_null()).then("opening").alias("opening"))
        self._parts.append(rows)
        self._limits = None

    @property
    def total(self) -> int:
        """How many accepted answers were taken in."""
        return sum(part.height for part in self._parts)

    def limits(self) -> pl.DataFrame:
        """The openings of too many answers: opening (64-bit hash), count, share, and the last key that may stay.

        Of an opening as many answers stay as `max` allows, but no fewer than one less than `least`.
        """
        if self._limits is None:
            settings, total = self._settings, self.total
            self._parts = [pl.concat(self._parts)]
            allowed = max(int(settings.max * total + 1e-9), settings.least - 1)
            counts = self._parts[0].drop_nulls("opening").group_by("opening").agg(count=pl.len())
            many = counts.filter(pl.col("count") > allowed)
            ranked = self._parts[0].join(many, on="opening", how="semi").sort("key")
            last = ranked.group_by("opening").agg(
                last=pl.col("key").get(allowed - 1, null_on_oob=True) if allowed else None
            )
            self._limits = many.join(last, on="opening").with_columns(share=pl.col("count") / max(total, 1))
        return self._limits


def keys(unit_ids: pl.Series, seed: int) -> pl.Series:
    """The place of each unit in an order that depends on the seed and the unit alone."""
    return pl.Series("key", [identity.order_key(seed, unit) for unit in unit_ids], dtype=pl.Int64)


def collapsed(judged: pl.DataFrame, openings_of_set: Openings, settings: TemplateCollapse) -> pl.DataFrame:
    """Reject accepted answers whose opening too many answers of the set have.

    Args:
        judged: what `judge` returns, of the set or of a part of it.
        openings_of_set: has taken in the whole set.
        settings: the ones that it was made with.

    Returns:
        The same rows; of those rejected, gate and failed say template_collapse, value is the opening's share of the
        set, threshold the share that is allowed, evidence the opening.
    """
    opening = opening_of(judged["text"], settings.words, settings.at)
    rows = judged.with_columns(_opening=opening, _hash=opening.hash(), _key=keys(judged["unit_id"], settings.seed))
    rows = rows.join(openings_of_set.limits(), left_on="_hash", right_on="opening", how="left", maintain_order="left")
    beyond = pl.col("last").is_null() | (pl.col("_key") > pl.col("last"))
    rejected = pl.col("accepted") & pl.col("_opening").is_not_null() & pl.col("share").is_not_null() & beyond

    def instead(value: pl.Expr, column: str) -> pl.Expr:
        return pl.when(rejected).then(value).otherwise(column).alias(column)

    return rows.with_columns(
        accepted=pl.col("accepted") & ~rejected,
        failed=pl.when(rejected).then(pl.concat_list(pl.lit(GATE))).otherwise("failed"),
        gate=instead(pl.lit(GATE), "gate"),
        value=instead(pl.col("share"), "value"),
        threshold=instead(pl.lit(settings.max), "threshold"),
        evidence=instead(pl.col("_opening"), "evidence"),
    ).select(judged.columns)
