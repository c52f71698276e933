"""Finding the copies among the documents that a set's rules let pass, with what was kept before and elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from assets.filtered.duplicates import CopyRule, rank_expression
from assets.measure import annotation_table
from lakehouse import dedup, schema, select
from lakehouse.data_files import snapshot_of
from lakehouse.lake import Lake

_DROPPED = {**dedup.DROPPED, "rule": pl.String(), "threshold": pl.Float64()}
_COMPARED = ["doc_id", "other_id", "similarity"]


@dataclass(frozen=True)
class CopySearch:
    """Where a set looks for copies.

    Attributes:
        lake: where its tables are.
        name: of the set.
        source: the table that it selects from.
        rules: in the order in which copies are dropped.
        inputs: the version of each table to read.
        snapshots: those whose documents are decided on: one, or all where newcomers compete.
        edited: whether the set edits texts, so that what it kept has others than what came in.
    """

    lake: Lake
    name: str
    source: str
    rules: Sequence[CopyRule]
    inputs: Mapping[str, int]
    snapshots: Sequence[str]
    edited: bool

    def dropped(self, passing: pl.DataFrame) -> pl.DataFrame:
        """Which of n documents are dropped as copies, and for which others.

        Args:
            passing: n rows with doc_id, text_id, snapshot, n_chars, url and what the rules look at.

        Returns:
            One row a dropped document: doc_id, kept_id (which is not dropped), cluster_id, similarity (null where
            something else than texts was compared), rule and threshold.
        """
        found = pl.DataFrame(schema=_DROPPED)
        for rule in self.rules:
            left = passing.join(found, on="doc_id", how="anti", maintain_order="left")
            more = self._by_key(rule, left) if rule.annotator is None else self._by_comparison(rule, left)
            found = pl.concat([_handed_on(found, more), more])
        return found

    def _by_key(self, rule: CopyRule, documents: pl.DataFrame) -> pl.DataFrame:
        joint = len(self.snapshots) > 1
        ordered = _with_key(_ordered(documents, rule, joint=joint), rule)
        names = list(dict.fromkeys(["doc_id", "text_id", *(column.name for column in rule.key_columns)]))
        stay = [self.lake.scan(table, version=self.inputs[table]).select(names) for table in rule.against]
        stay += [self._kept_before(names)] if rule.looks_before and not joint else []
        kept = _with_key(pl.concat(stay), rule, ordered) if stay else None
        edges = _edges(ordered, kept, apart=joint and not rule.all_snapshots)
        found = dedup.resolve(ordered, edges, kept=kept)
        alike = pl.col("similarity") if rule.key == "text_id" else pl.lit(None, pl.Float64)
        return found.with_columns(similarity=alike, rule=pl.lit(rule.name), threshold=pl.lit(None, pl.Float64))

    def _by_comparison(self, rule: CopyRule, documents: pl.DataFrame) -> pl.DataFrame:
        joint = len(self.snapshots) > 1
        ordered = _ordered(documents, rule, joint=joint)
        edges = self._compared(rule)
        names = ["doc_id", "text_id"]
        stay = [self.lake.scan(table, version=self.inputs[table]).select(names) for table in rule.against]
        if rule.looks_before and not joint:
            same = self._same_before(rule, edges)
            edges = pl.concat([edges, same, self._through_dropped(edges, same)])
            stay.append(self._kept_before(names))
        kept = _concerned(pl.concat(stay), ordered, edges) if stay else None
        texts = ordered.select("doc_id", "text_id", "snapshot", key="text_id")
        same_text = None if kept is None else kept.with_columns(key="text_id")
        edges = pl.concat([edges, _edges(texts, same_text, apart=joint and not rule.all_snapshots)])
        found = dedup.resolve(
            ordered,
            edges,
            kept=kept,
            threshold=rule.threshold,
            shingles_of=self._shingles(rule) if rule.method == "minhash" else None,
        )
        return _named(found, rule, pl.concat([texts.select(names), *([kept] if kept is not None else [])]))

    def _compared(self, rule: CopyRule) -> pl.DataFrame:
        """The pairs of the snapshots that decide."""
        table = rule.pairs(self.name)
        assert table is not None
        pairs = self.lake.scan(table, version=self.inputs[table]).filter(pl.col("snapshot").is_in(list(self.snapshots)))
        return pairs.filter(pl.col("similarity") >= rule.threshold).select(_COMPARED).collect()

    def _same_before(self, rule: CopyRule, edges: pl.DataFrame) -> pl.DataFrame:
        """Earlier documents that are the same as one that was compared: of such, only the first one is."""
        table = rule.pairs(self.name)
        assert table is not None
        before = (pl.col("snapshot") < min(self.snapshots)) & (pl.col("similarity") == 1.0)
        pairs = self.lake.scan(table, version=self.inputs[table]).filter(before)
        return pairs.join(edges.lazy().select("other_id"), on="other_id", how="semi").select(_COMPARED).collect()

    def _through_dropped(self, edges: pl.DataFrame, same: pl.DataFrame) -> pl.DataFrame:
        """What is alike to a copy that was dropped before belongs to the cluster of the one that was kept for it."""
        rejects = f"rejects/{self.name}"
        if not self.lake.exists(rejects):
            return edges.clear()
        stand_for = pl.concat([edges.select("other_id", doc_id="other_id").unique(), same.select("other_id", "doc_id")])
        before = (pl.col("snapshot") < min(self.snapshots)) & (pl.col("stage") == "duplicates")
        dropped = self.lake.scan(rejects).filter(before).select("doc_id", "kept_id")
        kept_for = dropped.join(stand_for.lazy(), on="doc_id").select("other_id", "kept_id").unique().collect()
        links = edges.join(kept_for, on="other_id")
        return links.select("doc_id", other_id="kept_id", similarity=pl.lit(float("nan")))

    def _kept_before(self, names: Sequence[str]) -> pl.LazyFrame:
        """Columns of the source's documents that the snapshots before kept."""
        filtered, before = f"filtered/{self.name}", pl.col("snapshot") < min(self.snapshots)
        kept = self.lake.scan(filtered) if self.lake.exists(filtered) else schema.empty(schema.FILTERED).lazy()
        if self.edited or set(names) - {"doc_id", "text_id"}:
            # Copies are found by what came in, which edits changed and the set may not have.
            came_in = self.lake.scan(self.source, version=self.inputs[self.source]).filter(before)
            return came_in.join(kept.filter(before).select("doc_id"), on="doc_id", how="semi").select(names)
        return kept.filter(before).select(names)

    def _shingles(self, rule: CopyRule) -> Callable[[pl.Series], dedup.Shingles]:
        """Finds the shingles of documents where they were measured."""
        assert rule.annotator is not None
        table = annotation_table(self.source, rule.annotator)
        tables = [table, *rule.compared(self.source)[1:]]
        until = max(self.snapshots)
        files = [
            file
            for one in tables
            for file in self.lake.files(one, version=self.inputs[one])
            if one != table or (snapshot_of(file) or "") <= until
        ]
        self.lake.scratch.mkdir(parents=True, exist_ok=True)
        return lambda ids: dedup.shingles_of(files, ids, self.lake.scratch)


def _ordered(documents: pl.DataFrame, rule: CopyRule, *, joint: bool) -> pl.DataFrame:
    """The documents, the best copy first: nothing is left to chance."""
    ranked = select.evaluated(documents, {"rank": rank_expression(rule)}, rule.order_columns)
    first = ["snapshot"] if joint and not rule.compete else []
    return ranked.sort(
        *first,
        "rank",
        "n_chars",
        "url",
        "doc_id",
        descending=[*(False for _ in first), False, True, False, False],
        nulls_last=True,
    )


def _with_key(documents: pl.DataFrame | pl.LazyFrame, rule: CopyRule, like: pl.DataFrame | None = None) -> pl.DataFrame:
    """The documents with `key`, the text that copies share; with `like` only those that have a key of one of these."""
    assert rule.key is not None
    if rule.key == "text_id":
        keyed = documents.lazy().with_columns(key="text_id")
    else:
        expression = {"key": f"CAST(({rule.key}) AS VARCHAR)"}
        keyed = select.evaluated(documents.lazy().collect(), expression, rule.key_columns).lazy()
    if like is not None:
        keyed = keyed.join(like.lazy().select("key"), on="key", how="semi")
    return keyed.collect()


def _concerned(kept: pl.LazyFrame, documents: pl.DataFrame, edges: pl.DataFrame) -> pl.DataFrame:
    """Of the documents that stay those that have an edge, or the text of one that is decided on."""
    others = pl.concat([edges["doc_id"], edges["other_id"]]).unique().alias("doc_id").to_frame().lazy()
    same_text = kept.join(documents.lazy().select("text_id"), on="text_id", how="semi")
    return pl.concat([kept.join(others, on="doc_id", how="semi"), same_text]).unique("doc_id").collect()


def _named(found: pl.DataFrame, rule: CopyRule, texts: pl.DataFrame) -> pl.DataFrame:
    """What was dropped with its rule and its threshold; a copy of the very text is an exact one.

    Args:
        texts: doc_id and text_id of all documents.
    """
    text_of = texts.unique("doc_id")
    kept_text = text_of.rename({"doc_id": "kept_id", "text_id": "kept_text"})
    both = found.join(text_of, on="doc_id", how="left").join(kept_text, on="kept_id", how="left")
    exact = pl.col("text_id") == pl.col("kept_text")
    name = pl.when(exact).then(pl.lit("exact_duplicate")).otherwise(pl.lit(rule.name))
    bound = pl.when(exact).then(None).otherwise(pl.lit(rule.threshold))
    return both.select(*dedup.DROPPED, rule=name, threshold=bound)


def _edges(documents: pl.DataFrame, kept: pl.DataFrame | None, *, apart: bool) -> pl.DataFrame:
    """The edges between documents of one key; `apart`: not between those of two snapshots."""
    if not apart:
        return dedup.key_edges(documents, kept)
    edges = dedup.key_edges(documents.with_columns(key=pl.concat_str("snapshot", pl.lit("\x1f"), "key")))
    if kept is None:
        return edges
    elsewhere = dedup.key_edges(documents.join(kept, on="key", how="semi"), kept)
    return pl.concat([edges, elsewhere])


def _handed_on(found: pl.DataFrame, more: pl.DataFrame) -> pl.DataFrame:
    """What was dropped for documents that are now dropped themselves is dropped for what these are dropped for."""
    then = more.select(kept_id="doc_id", last_id="kept_id", last_cluster="cluster_id", last_similarity="similarity")
    chained = found.join(then, on="kept_id", how="left", maintain_order="left")
    again = pl.col("last_id").is_not_null()
    return chained.select(
        "doc_id",
        kept_id=pl.coalesce("last_id", "kept_id"),
        cluster_id=pl.coalesce("last_cluster", "cluster_id"),
        # One text is as alike to the last as the other; of two that differ nothing was measured.
        similarity=pl.when(~again)
        .then("similarity")
        .when(pl.col("similarity") == 1.0)
        .then("last_similarity")
        .otherwise(None),
        rule="rule",
        threshold="threshold",
    )
