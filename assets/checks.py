"""Audits: what must hold of rows before they become a version, shared by the layers.

A check that Dagster runs after a materialisation stops what follows, but the bad version is recorded by then. So rows
are audited when they are written and not yet committed, and the verdict is reported as a blocking asset check.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb

from assets.materialization import asset_key
from lakehouse.data_files import DataFile
from lakehouse.lake import Lake

DESCRIPTIONS = {
    "no_empty_text": "Every row has text.",
    "unique_ids": "No document is there twice.",
    "no_lost_rows": "What went in is kept or in the reject ledger.",
    "tokens_add_up": "The shards hold exactly the tokens of the mixture.",
    "files_intact": "Every shard file has the size and the checksum that the manifest states.",
}


@dataclass(frozen=True)
class Audit:
    """One verdict on rows that are not committed yet."""

    name: str
    passed: bool
    facts: Mapping[str, Any] = field(default_factory=dict)


def check_specs(table: str, names: Iterable[str]) -> list[dg.AssetCheckSpec]:
    """The blocking checks of a table's asset."""
    return [
        dg.AssetCheckSpec(name, asset=asset_key(table), blocking=True, description=DESCRIPTIONS[name]) for name in names
    ]


def audited(table: str, audits: Sequence[Audit]) -> Iterator[dg.AssetCheckResult]:
    """Report the audits of `table` to Dagster.

    Raises:
        dagster.Failure: one of them failed; nothing is committed then.
    """
    for audit in audits:
        yield dg.AssetCheckResult(
            asset_key=asset_key(table), check_name=audit.name, passed=audit.passed, metadata=dict(audit.facts)
        )
    failed = [audit for audit in audits if not audit.passed]
    if failed:
        facts = ", ".join(f"{name}: {value}" for name, value in failed[0].facts.items())
        raise dg.Failure(
            f"{table}: check {failed[0].name} failed ({facts}). {DESCRIPTIONS[failed[0].name]} Nothing was committed.",
            allow_retries=False,
        )


def text_audits(lake: Lake, table: str, files: Sequence[DataFile]) -> list[Audit]:
    """Audit written text rows: none is empty, none is there twice."""
    rows, distinct, empty = 0, 0, 0
    if files:
        paths: list[Path] = [lake.folder(table) / file.path for file in files]
        query = "SELECT count(*), count(DISTINCT doc_id), count(*) FILTER (n_chars = 0) FROM read_parquet($paths)"
        with duckdb.connect(config={"temp_directory": str(lake.scratch / "duckdb")}) as connection:
            answer = connection.execute(query, {"paths": [str(path) for path in paths]}).fetchone()
        assert answer is not None
        rows, distinct, empty = answer
    return [
        Audit("no_empty_text", empty == 0, {"rows": rows, "empty": empty}),
        Audit("unique_ids", rows == distinct, {"rows": rows, "distinct_ids": distinct}),
    ]


def balance_audit(*, came_in: int, kept: int, rejected: int) -> Audit:
    """Audit that no row was lost or made up."""
    return Audit("no_lost_rows", came_in == kept + rejected, {"in": came_in, "kept": kept, "rejected": rejected})
