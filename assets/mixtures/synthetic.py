"""Which documents of a mixture models wrote, and the check that refuses too many of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg
import polars as pl
from pydantic import Field

from assets.materialization import Attributes, asset_key, table_metadata
from assets.plots import stacked_bars
from lakehouse import mix
from lakehouse.commits import in_effect
from lakehouse.data_files import scan_files
from lakehouse.lake import Lake, LakeError

CHECK = "synthetic_within_limits"
_DESCRIPTION = "Synthetic text keeps to the share and the depth that the mixture allows."
_NATURAL = "natural text"
_TEXTS = ("raw", "filtered", "synthetic")


class SyntheticText(Attributes):
    """How much of a mixture models may have written."""

    max_share: float | None = Field(
        default=None, ge=0, le=1, description="The most synthetic tokens, repeats included, as a share of all."
    )
    max_depth: int | None = Field(
        default=None, ge=0, description="The deepest generation: 1 is a rewrite, 2 a rewrite of a rewrite."
    )

    @property
    def limits(self) -> mix.SyntheticLimits | None:
        """The limits as `mix` knows them; None where none is set."""
        if self.max_share is None and self.max_depth is None:
            return None
        return mix.SyntheticLimits(self.max_share, self.max_depth)


def check_spec(table: str) -> dg.AssetCheckSpec:
    """The blocking check of a mixture that has limits."""
    return dg.AssetCheckSpec(CHECK, asset=asset_key(table), blocking=True, description=_DESCRIPTION)


def within_limits(table: str, shares: pl.DataFrame, limits: mix.SyntheticLimits) -> Iterator[dg.AssetCheckResult]:
    """Report to Dagster whether a mixture that is not committed yet keeps to its limits.

    Args:
        table: the mixture.
        shares: what `mix.synthetic_shares` returns.
        limits: what is allowed.

    Raises:
        dagster.Failure: it does not; nothing is committed then.
    """
    broken = limits.broken_by(shares)
    facts: dict[str, Any] = {
        "synthetic_share": mix.share_of_synthetic(shares),
        "depth": max(shares["depth"], default=0),
        **{name: value for name, value in vars(limits).items() if value is not None},
    }
    yield dg.AssetCheckResult(
        asset_key=asset_key(table),
        check_name=CHECK,
        passed=not broken,
        metadata=facts | ({"broken": " ".join(broken)} if broken else {}),
    )
    if broken:
        raise dg.Failure(
            f"{table}: check {CHECK} failed: {' '.join(broken)} Nothing was committed.", allow_retries=False
        )


def synthetic_metadata(table: str, shares: pl.DataFrame) -> dict[str, Any]:
    """What the UI shows of who wrote a mixture: the figures, and a bar each recipe and model with its depths."""
    named = shares.with_columns(pl.col("recipe").fill_null(_NATURAL), pl.col("model").fill_null(""))
    parts = [
        (f"{row['recipe']} ({row['model']})" if row["model"] else row["recipe"], f"depth {row['depth']}", row["tokens"])
        for row in named.to_dicts()
    ]
    return {
        "synthetic_share": mix.share_of_synthetic(shares),
        "synthetic": table_metadata(named.to_dicts()),
        "synthetic_plot": stacked_bars(f"{table}: tokens by recipe and generation depth", parts, unit="tokens"),
    }


def origins_of(lake: Lake, tokens: str, version: int, rows: pl.DataFrame) -> pl.DataFrame:
    """Find who wrote the documents of a mixture, in the very versions that their token ids were made from.

    Parents of filtered rows are followed, set by set, until they are rows of a synthetic set. Reads narrow columns of
    those sets alone that descend from a synthetic one, a snapshot at a time; holds what it finds, some 300 bytes a
    synthetic document.

    Args:
        lake: where the tables are.
        tokens: the table of the mixture's token ids.
        version: of it.
        rows: of the mixture: doc_id, snapshot, component.

    Returns:
        The columns of `mix.ORIGIN`, one row a synthetic document.

    Raises:
        LakeError: what the token ids were made from is not there any more.
    """
    commits = in_effect(lake.history(tokens), version)
    found = [pl.DataFrame(schema=mix.ORIGIN)]
    for (component, snapshot), part in sorted(
        rows.select("component", "snapshot", "doc_id").partition_by("component", "snapshot", as_dict=True).items()
    ):
        commit = commits.get(snapshot)
        if commit is None or component not in commit.inputs:
            raise LakeError(f"{tokens}: nothing says from which version of {component} it was made: build it again.")
        its_version, wanted = commit.inputs[component], part.select("doc_id", ancestor="doc_id")
        written = _written(lake, component, its_version, snapshot, wanted, tokens)
        only_rewrites = _roots(lake, component, its_version, snapshot) == {"synthetic"}
        if only_rewrites and written["doc_id"].n_unique() < part.height:
            lost = str(part.join(written, on="doc_id", how="anti")["doc_id"].min())
            raise LakeError(
                f"document {lost} has token ids, and it or the rewrite that it comes from is not in {component} or the "
                f"sets above it any more: build them and {tokens} again."
            )
        found.append(written)
    # A document that is found in two sets is the same one: the order only makes the choice a stable one.
    order = ["doc_id", "depth", "recipe", "model"]
    return pl.concat(found).sort(order, descending=[False, True, False, False]).unique("doc_id", maintain_order=True)


def _written(lake: Lake, table: str, version: int, snapshot: str, wanted: pl.DataFrame, reader: str) -> pl.DataFrame:
    """The columns of `mix.ORIGIN` for those of the wanted documents (doc_id, ancestor) whose ancestors models wrote."""
    if "synthetic" not in _roots(lake, table, version, snapshot):
        return pl.DataFrame(schema=mix.ORIGIN)
    rows = _rows(lake, table, version, snapshot, reader)
    if table.startswith("synthetic/"):
        written = rows.select("recipe", "model", "depth", ancestor="doc_id")
        return wanted.lazy().join(written, on="ancestor").select(*mix.ORIGIN).collect()
    parents = rows.select("parents", ancestor="doc_id").join(wanted.lazy(), on="ancestor").explode("parents")
    above = parents.select("doc_id", ancestor="parents").collect()
    sources = _sources(lake, table, version, snapshot)
    return pl.concat([_written(lake, source, its_version, snapshot, above, reader) for source, its_version in sources])


def _roots(lake: Lake, table: str, version: int, snapshot: str) -> set[str]:
    """The layers that rows of a table begin in: raw where they may be natural, synthetic where models may be behind."""
    if not table.startswith("filtered/"):
        return {table.split("/")[0]}
    sources = _sources(lake, table, version, snapshot)
    return {root for source, its_version in sources for root in _roots(lake, source, its_version, snapshot)}


def _sources(lake: Lake, table: str, version: int, snapshot: str) -> Sequence[tuple[str, int]]:
    """The sets of texts that a snapshot of a filtered set was made from or compared with, each with its version."""
    commit = in_effect(lake.history(table), version).get(snapshot)
    inputs = commit.inputs if commit else {}
    return [(name, its) for name, its in sorted(inputs.items()) if name.split("/")[0] in _TEXTS and name != table]


def _rows(lake: Lake, table: str, version: int, snapshot: str, reader: str) -> pl.LazyFrame:
    files = lake.files(table, version=version, snapshot=snapshot)
    gone = [file.name for file in files if not file.exists()]
    if gone:
        raise LakeError(
            f"{table}: version {version}, which {reader} was made from, has lost {gone[0]} to a vacuum: "
            f"build {reader} again."
        )
    return scan_files(files, lake.schema(table, version))
