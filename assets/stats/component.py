"""How the corpus statistics are built: dbt models over all tables of the lake, published as tables and as one file."""

import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import polars as pl
from pydantic import Field

from assets.column_lineage import KEY as COLUMN_LINEAGE
from assets.materialization import Attributes, asset_key, materialized, origin_of, table_metadata, table_name
from assets.stats import project, specs
from assets.unchanged import already_made
from lakehouse import schema
from lakehouse.commits import Commit, Origin
from lakehouse.lake import Lake
from resources import LakeResource

FILE = "lake.duckdb"
_BATCH_ROWS = 16_384
_PREVIEW_ROWS = 50


class Statistics(Attributes, dg.Component):
    """The tables `stats/<mart>`, one for each dbt model, and the file `lake.duckdb` for clients that want a file."""

    after: list[str] = Field(description="Tables that are built first; every table of the lake is read.")

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The marts' assets; their dbt tests are their checks."""
        for table in self.after:
            schema.layer_of(table)
        manifest = project.manifest()
        layers = {source["name"] for source in manifest["sources"].values()}

        @dg.multi_asset(
            name="stats",
            specs=specs.asset_specs(manifest, self.after, project.fingerprint()),
            check_specs=specs.check_specs(manifest),
            can_subset=True,
            pool="stats",
        )
        def statistics(
            context: dg.AssetExecutionContext, lake: LakeResource
        ) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
            store = lake.open()
            inputs = {table: store.version(table) for table in store.tables() if table.split("/")[0] in layers}
            marts = [table_name(key) for key in sorted(context.selected_asset_keys)]
            if made := already_made(context, store, marts, inputs):
                yield from made
                return
            store.scratch.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=store.scratch, prefix="stats-") as scratch:
                database = Path(scratch, project.DATABASE)
                _create(store, inputs, database)
                built = project.build(Path(scratch))
                with duckdb.connect(str(database), read_only=True) as connection:
                    for table in (f"stats/{model}" for model in built.models):
                        if asset_key(table) not in context.selected_asset_keys:
                            continue
                        origin = origin_of(context, table, inputs=inputs)
                        commit = _publish(store, connection, table, origin)
                        shown = _preview(connection, table) | {COLUMN_LINEAGE: _lineage(manifest, table, inputs)}
                        yield materialized(context, commit, shown)
                # What a client wrote into the old file must not be replayed into the new one.
                (store.root / f"{FILE}.wal").unlink(missing_ok=True)
                # A reader of the old file keeps it; who opens it from now on gets the new one.
                os.replace(database, store.root / FILE)
            yield from _checks(context, built.tests)

        return dg.Definitions(assets=[statistics])


def _create(lake: Lake, inputs: Mapping[str, int], database: Path) -> None:
    """Make the DuckDB file with the lake's views, and room where the last run's marts have theirs."""
    with lake.connect(inputs, database=database) as connection:
        connection.execute("DROP SCHEMA stats CASCADE")


def _publish(lake: Lake, connection: duckdb.DuckDBPyConnection, table: str, origin: Origin) -> Commit:
    batches = connection.sql(f"FROM {schema.sql_name(table)}").to_arrow_reader(_BATCH_ROWS)
    with lake.writer(table, columns=batches.schema) as writer:
        for batch in batches:
            rows = pl.from_arrow(batch)
            assert isinstance(rows, pl.DataFrame)
            writer.write(rows)
    return lake.replace(table, writer.finished(), origin, columns=batches.schema)


def _lineage(manifest: Mapping[str, Any], table: str, tables: Iterable[str]) -> dg.TableColumnLineage:
    """Where a mart's columns come from: `marts.yml` names columns of layers, which are those of all their tables."""
    found = {}
    for name, column in specs.marts(manifest)[table]["columns"].items():
        named = [origin.split(".") for origin in column["config"]["meta"]["from"]]
        found[name] = [
            dg.TableColumnDep(asset_key(source), of_layer)
            for layer, of_layer in named
            for source in tables
            if source.split("/")[0] == layer
        ]
    return dg.TableColumnLineage(found)


def _preview(connection: duckdb.DuckDBPyConnection, table: str) -> dict[str, Any]:
    rows = connection.sql(f"FROM {schema.sql_name(table)} LIMIT {_PREVIEW_ROWS}").pl()
    return {"first_rows": table_metadata(rows.cast({pl.Decimal: pl.Float64}).to_dicts())}


def _checks(context: dg.AssetExecutionContext, tests: Mapping[str, project.Verdict]) -> Iterator[dg.AssetCheckResult]:
    for spec in context.assets_def.check_specs:
        if spec.key in context.selected_asset_check_keys:
            outcome = tests[(spec.metadata or {})[specs.TEST_ID]]
            yield dg.AssetCheckResult(
                asset_key=spec.asset_key,
                check_name=spec.name,
                passed=outcome.passed,
                metadata={"failures": outcome.failures, "message": outcome.message},
            )
