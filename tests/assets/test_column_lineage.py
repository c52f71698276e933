"""Column lineage and schemas: of every asset that is declared, and as they are recorded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from archives import small_web, write_archive
from lakes import build

from assets.column_lineage import KEY, columns_of
from assets.materialization import asset_key, table_name
from assets.stats import project
from lakehouse.cli.instance import open_instance
from lakehouse.cli.runs import load_definitions
from lakehouse.lake import Lake

FIRST = {"raw/web", "rejects/web", "files/web"}  # made from archives: there is no table that their columns come from


@pytest.fixture(scope="module")
def specs() -> dict[str, dg.AssetSpec]:
    graph = load_definitions().resolve_asset_graph()
    return {table_name(spec.key): spec for assets in graph.assets_defs for spec in assets.specs}


def declared(spec: dg.AssetSpec) -> list[str]:
    return [column.name for column in spec.metadata["dagster/column_schema"].columns]


def test_every_asset_has_a_schema(specs: dict[str, dg.AssetSpec]) -> None:
    without = {
        table for table, spec in specs.items() if table not in FIRST and "dagster/column_schema" not in spec.metadata
    }
    assert without == set()
    assert declared(specs["filtered/web_clean"]) == columns_of("filtered/web_clean")


def test_every_asset_that_is_made_from_tables_says_from_which_columns(specs: dict[str, dg.AssetSpec]) -> None:
    with_lineage = {table for table, spec in specs.items() if KEY in spec.metadata}
    assert with_lineage == {table for table in specs if table not in FIRST and not table.startswith("stats/")}


def test_lineage_names_columns_that_are_there_of_tables_that_are_read(specs: dict[str, dg.AssetSpec]) -> None:
    checked = 0
    for table, spec in specs.items():
        lineage = spec.metadata.get(KEY)
        for column, origins in (lineage.deps_by_column if lineage else {}).items():
            assert column in declared(specs[table])
            for origin in origins:
                assert origin.asset_key in {dep.asset_key for dep in spec.deps}, (table, column)
                assert origin.column_name in declared(specs[table_name(origin.asset_key)]), (table, column)
                checked += 1
    assert checked > 100


def origins(lineage: dg.TableColumnLineage, column: str) -> set[str]:
    return {f"{table_name(one.asset_key)}.{one.column_name}" for one in lineage.deps_by_column[column]}


def test_what_is_computed_names_what_it_is_computed_from(specs: dict[str, dg.AssetSpec]) -> None:
    rule = origins(specs["rejects/web_clean"].metadata[KEY], "rule")
    assert {"raw/web.language", "raw/web.consent", "raw/web.text_id", "annotations/web/gopher_quality.n_words"} <= rule
    tokens = origins(specs["tokens/main"].metadata[KEY], "token_ids")
    assert tokens == {"filtered/web_clean.text", "synthetic/web_rewritten.text", "tokenizers/main.definition"}
    assert origins(specs["synthetic/web_rewritten"].metadata[KEY], "text") == {"generations/rewrite_clearly.response"}
    assert origins(specs["filtered/web_clean"].metadata[KEY], "text") == {"raw/web.text"}


def models() -> Iterator[dict[str, Any]]:
    manifest = project.manifest()
    for node in manifest["nodes"].values():
        if node["resource_type"] == "model" and node["config"]["materialized"] == "table":
            yield {**node, "reads": set(_sources(manifest, node))}


def _sources(manifest: Any, node: dict[str, Any]) -> Iterator[str]:
    for name in node["depends_on"]["nodes"]:
        if name.startswith("source."):
            yield manifest["sources"][name]["name"]
        else:
            yield from _sources(manifest, manifest["nodes"][name])


@pytest.mark.parametrize("model", models(), ids=lambda model: model["name"])
def test_each_column_of_a_mart_is_described_and_names_columns_of_layers_that_the_model_reads(
    model: dict[str, Any],
) -> None:
    assert model["description"]
    assert model["columns"]
    for name, column in model["columns"].items():
        assert column["description"], name
        named = column["config"]["meta"]["from"]
        assert named, name
        for layer, _, of_layer in (origin.partition(".") for origin in named):
            assert layer in model["reads"], (name, layer)
            assert of_layer in columns_of(f"{layer}/any"), (name, of_layer)


def test_every_source_is_described_and_every_mart_is_tested() -> None:
    manifest = project.manifest()
    assert all(source["description"] for source in manifest["sources"].values())
    tested = {
        name
        for node in manifest["nodes"].values()
        if node["resource_type"] == "test"
        for name in node["depends_on"]["nodes"]
    }
    assert {model["unique_id"] for model in models()} <= tested


def test_a_build_records_the_lineage_of_what_it_made(tmp_path: Path) -> None:
    write_archive(tmp_path / "landing/web/s1/a.warc.gz", small_web())
    build(tmp_path)
    with open_instance(Lake(tmp_path)) as instance:

        def recorded(table: str) -> dg.TableColumnLineage:
            event = instance.get_latest_materialization_event(asset_key(table))
            assert event is not None
            assert event.asset_materialization is not None
            lineage = event.asset_materialization.metadata[KEY].value
            assert isinstance(lineage, dg.TableColumnLineage)
            return lineage

        assert origins(recorded("filtered/web_clean"), "url") == {"raw/web.url"}
        rules = origins(recorded("stats/waterfall"), "rule")
        ledgers = ("web", "web_clean", "web_recycled", "web_rewritten")
        assert rules == {f"rejects/{ledger}.rule" for ledger in ledgers}
