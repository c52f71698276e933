"""Whether a filter is right, as people judge: a stratified sample of what it kept and dropped, and their judgements.

Source of the categories: Kreutzer et al., Quality at a Glance: An Audit of Web-Crawled Multilingual Datasets.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

import polars as pl

from lakehouse.identity import order_key
from lakehouse.lake import Lake, LakeError

CATEGORIES: Mapping[str, str] = {
    "CC": "correct: natural text in the language",
    "CB": "correct language, but boilerplate or of low quality",
    "CS": "correct language, but too short to be of use",
    "WL": "wrong language",
    "NL": "not language: code, lists of numbers, noise",
}
"""What a judge can say of a text. Only CC is text that should be kept."""

FLAGS = ("pornographic", "offensive")
"""What else a judge can say."""

KEPT = "kept"
COLUMNS = ("sample", "doc_id", "language", "judgement", *FLAGS, "note", "url", "text")
_SHOWN = 3_000
_NINETY_FIVE_PERCENT = 1.959964


@dataclass(frozen=True)
class Versions:
    """The versions that a sample was drawn from."""

    filtered: str
    version: int
    rejects_version: int
    source: str
    source_version: int

    def __str__(self) -> str:
        return f"{self.filtered}@{self.version}/{self.rejects_version}/{self.source_version}"

    @property
    def rejects(self) -> str:
        """The ledger of the set."""
        return f"rejects/{self.filtered.partition('/')[2]}"


def newest(lake: Lake, filtered: str) -> Versions:
    """The versions that a sample of a filtered set is drawn from now.

    Raises:
        LakeError: there is no such set.
    """
    commit = lake.last_commit(filtered)
    sources = [table for table in (commit.inputs if commit else ()) if table.split("/")[0] in ("raw", "filtered")]
    sources = [table for table in sources if table != filtered]
    if not filtered.startswith("filtered/") or commit is None or not sources:
        raise LakeError(f"{filtered} is no filtered set that was built.")
    rejects = f"rejects/{filtered.partition('/')[2]}"
    return Versions(filtered, lake.version(filtered), lake.version(rejects), sources[0], lake.version(sources[0]))


def draw_sample(
    lake: Lake, filtered: str, *, snapshot: str | None, per_rule: int, per_kept: int, seed: int
) -> pl.DataFrame:
    """Draw documents for people to judge, without saying what became of them.

    Args:
        snapshot: of which; all without it.
        per_rule: how many of each rule and language.
        per_kept: how many of what was kept, for each language.
        seed: another seed draws others.

    Returns:
        One row a document, in random order: `COLUMNS`; the text is cut to 3,000 characters, the judgement is empty.
    """
    versions = newest(lake, filtered)
    verdicts = _verdicts(lake, versions, snapshot)
    keys = pl.Series("key", [order_key(seed, doc_id) for doc_id in verdicts["doc_id"]], dtype=pl.Int64)
    wanted = pl.when(pl.col("rule") == KEPT).then(per_kept).otherwise(per_rule)
    drawn = (
        verdicts.with_columns(keys)
        .sort("key", "doc_id")
        .filter(pl.int_range(pl.len()).over("rule", "language") < wanted)
        .with_columns(sample=pl.lit(str(versions)))
    )
    shown = pl.col("text").str.slice(0, _SHOWN)
    ids = drawn["doc_id"].implode()
    before = lake.scan(versions.source, version=versions.source_version).filter(pl.col("doc_id").is_in(ids))
    after = lake.scan(filtered, version=versions.version).filter(pl.col("doc_id").is_in(ids))
    texts = before.select("doc_id", "url", shown).collect()
    kept = after.select("doc_id", edited=shown).collect()
    empty = {name: pl.lit(None, pl.String) for name in ("judgement", *FLAGS, "note")}
    return (
        drawn.join(texts, on="doc_id", how="left", maintain_order="left")
        .join(kept, on="doc_id", how="left", maintain_order="left")
        .with_columns(text=pl.coalesce("edited", "text"), **empty)
        .select(COLUMNS)
    )


def read_judgements(lake: Lake, judged: pl.DataFrame) -> pl.DataFrame:
    """What became of each judged document, beside what people said of it.

    Args:
        judged: rows as `draw_sample` gave them, with judgements; those without one are left out.

    Returns:
        One row a judged document: doc_id, language, rule ("kept", or what dropped it), judgement, the flags as truth
        values, and right: whether the filter did what a person would have done.

    Raises:
        LakeError: a column is missing, a judgement is no category, or the sample is of versions that are gone.
    """
    for name in ("sample", "doc_id", "judgement"):
        if name not in judged.columns:
            raise LakeError(f"The judgements have no column {name!r}: give the file that lakehouse audit wrote.")
    answered = judged.with_columns(pl.col("judgement").str.strip_chars().str.to_uppercase()).filter(
        pl.col("judgement").fill_null("") != ""
    )
    unknown = answered.filter(~pl.col("judgement").is_in(list(CATEGORIES)))
    if unknown.height:
        row = unknown.row(0, named=True)
        raise LakeError(f"{row['doc_id']}: judgement {row['judgement']!r} is none of {', '.join(CATEGORIES)}.")
    parts = []
    for (sample,), rows in answered.group_by("sample", maintain_order=True):
        versions = _versions(lake, str(sample))
        verdicts = _verdicts(lake, versions, None).select("doc_id", "rule", "language")
        joined = rows.drop("language", strict=False).join(verdicts, on="doc_id", how="left", maintain_order="left")
        if joined["rule"].null_count():
            lost = joined.filter(pl.col("rule").is_null())["doc_id"][0]
            raise LakeError(f"{lost} is not in {sample}: the sample is of another lake.")
        parts.append(joined)
    if not parts:
        raise LakeError("There is no judgement in the file yet: fill in the column judgement.")
    flags = [
        pl.col(name).cast(pl.String).str.to_lowercase().is_in(["1", "true", "yes", "x"]).fill_null(False)
        if name in judged.columns
        else pl.lit(False).alias(name)
        for name in FLAGS
    ]
    good = pl.col("judgement") == "CC"
    return pl.concat(parts).select(
        "doc_id",
        "language",
        "rule",
        "judgement",
        *flags,
        right=pl.when(pl.col("rule") == KEPT).then(good).otherwise(~good),
    )


def precision(judged: pl.DataFrame, *, by_language: bool = False) -> pl.DataFrame:
    """How often each rule was right, with the bounds of the 95 % interval (Wilson's).

    Args:
        judged: what `read_judgements` gives.
        by_language: one row a rule and language, not one a rule.

    Returns:
        rule, language (where asked for), judged, right, precision, low and high, and how many were of each category.
    """
    keys = ["rule", "language"] if by_language else ["rule"]
    counts = [(pl.col("judgement") == name).sum().alias(name) for name in CATEGORIES]
    grouped = judged.group_by(keys).agg(pl.len().alias("judged"), pl.col("right").sum(), *counts).sort(keys)
    bounds = [wilson(int(right), int(total)) for right, total in grouped.select("right", "judged").iter_rows()]
    return grouped.with_columns(
        precision=pl.col("right") / pl.col("judged"),
        low=pl.Series([low for low, _ in bounds], dtype=pl.Float64),
        high=pl.Series([high for _, high in bounds], dtype=pl.Float64),
    ).select(*keys, "judged", "right", "precision", "low", "high", *CATEGORIES)


def wilson(right: int, total: int) -> tuple[float, float]:
    """The 95 % interval of a share.

    Source: Wilson, Probable Inference, the Law of Succession, and Statistical Inference.
    """
    z = _NINETY_FIVE_PERCENT
    share = right / total
    middle = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    return max(0.0, middle - half), min(1.0, middle + half)


def page(sample: pl.DataFrame) -> str:
    """A page that shows the sample text by text, takes judgements, and saves them as CSV. It fetches nothing."""
    template = (files("lakehouse.govern") / "audit.html").read_text(encoding="utf-8")
    content = {
        "rows": sample.to_dicts(),
        "columns": list(COLUMNS),
        "categories": dict(CATEGORIES),
        "flags": list(FLAGS),
    }
    # "<" would let a text end the script element that holds it.
    return template.replace("{{sample}}", json.dumps(content, ensure_ascii=False).replace("<", "\\u003c"))


def _verdicts(lake: Lake, versions: Versions, snapshot: str | None) -> pl.DataFrame:
    """doc_id, language and rule ("kept" for kept ones) of each document that went in."""
    source = lake.scan(versions.source, version=versions.source_version)
    ledger = lake.scan(versions.rejects, version=versions.rejects_version)
    kept = lake.scan(versions.filtered, version=versions.version)
    if snapshot is not None:
        ledger, kept = (frame.filter(pl.col("snapshot") == snapshot) for frame in (ledger, kept))
    languages = source.select("doc_id", "language")
    dropped = ledger.select("doc_id", "rule").join(languages, on="doc_id", how="left")
    stayed = kept.select("doc_id", "language", rule=pl.lit(KEPT))
    return pl.concat([dropped.select("doc_id", "language", "rule"), stayed]).sort("doc_id").collect()


def _versions(lake: Lake, sample: str) -> Versions:
    filtered, _, numbers = sample.partition("@")
    parts = numbers.split("/")
    if len(parts) != 3 or not all(part.isdigit() for part in parts) or not lake.exists(filtered):
        raise LakeError(f"{sample!r} in the column sample names no version of this lake.")
    version, rejects, source = map(int, parts)
    return Versions(filtered, version, rejects, newest(lake, filtered).source, source)
