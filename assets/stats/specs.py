"""dbt's models and tests as Dagster's specs, read off the manifest.

dagster-dbt does the same and more, and takes longer to import than all else that a command needs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from assets.materialization import asset_key

TEST_ID = "dbt_test"
"""The key in a check's metadata that holds dbt's id of the test."""

Manifest = Mapping[str, Any]


def marts(manifest: Manifest) -> dict[str, Mapping[str, Any]]:
    """The models that are published, by their tables `stats/<model>`; the others are parts of their SQL."""
    return {
        f"stats/{node['name']}": node
        for node in manifest["nodes"].values()
        if node["resource_type"] == "model" and node["config"]["materialized"] == "table"
    }


def asset_specs(manifest: Manifest, after: Sequence[str], code_version: str) -> list[dg.AssetSpec]:
    """An asset for each mart. The layers that they read are none: they follow the tables `after`."""
    tables = {node["unique_id"]: table for table, node in marts(manifest).items()}
    return [
        dg.AssetSpec(
            asset_key(table),
            deps=[asset_key(dep) for dep in [*_marts_of(node["unique_id"], manifest, tables), *after]],
            description=f"{node['description']}\n\n#### Raw SQL:\n```sql\n{node['raw_code']}\n```",
            metadata={"dagster/column_schema": _columns(node)},
            group_name="stats",
            # The whole project's: a model also changes with what it is made from.
            code_version=code_version,
            kinds={"dbt", "duckdb"},
            skippable=True,
        )
        for table, node in marts(manifest).items()
    ]


def check_specs(manifest: Manifest) -> list[dg.AssetCheckSpec]:
    """A check for each dbt test, on the mart that it tests."""
    tables = {node["unique_id"]: table for table, node in marts(manifest).items()}
    return [
        dg.AssetCheckSpec(
            node["name"],
            asset=asset_key(table),
            description=node["description"] or None,
            blocking=True,
            metadata={TEST_ID: unique_id},
        )
        for unique_id, node in manifest["nodes"].items()
        if node["resource_type"] == "test"
        for table in _marts_of(unique_id, manifest, tables)[:1]
    ]


def _marts_of(unique_id: str, manifest: Manifest, tables: Mapping[str, str]) -> list[str]:
    """The marts that a model or a test reads, through models that are no marts too."""
    found = []
    for parent in manifest["parent_map"].get(unique_id, []):
        found += [tables[parent]] if parent in tables else _marts_of(parent, manifest, tables)
    return sorted(set(found))


def _columns(node: Mapping[str, Any]) -> dg.TableSchema:
    columns = node["columns"].values()
    return dg.TableSchema(
        columns=[dg.TableColumn(one["name"], one["data_type"], description=one["description"]) for one in columns]
    )
