"""What every layer's assets share: their keys and specs, what they read, and what they report."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import dagster as dg
import pyarrow as pa
import pydantic
from dagster._core.definitions.data_version import (
    CODE_VERSION_TAG,
    DATA_VERSION_TAG,
    extract_data_version_from_entry,
)

from assets.column_lineage import KEY as COLUMN_LINEAGE
from assets.column_lineage import Computed, column_lineage
from lakehouse import schema
from lakehouse.commits import Commit, Origin
from lakehouse.identity import hash_of
from lakehouse.lake import Lake

SNAPSHOTS = dg.DynamicPartitionsDefinition(name="snapshot")

READS = "lakehouse/reads"
"""In an asset's metadata: the tables of which it reads more than its own snapshot, each with `UNTIL` or `ALL`."""

UNTIL = "until"
"""The rows of its own snapshot and of those before."""

ALL = "all"
"""The rows of all snapshots."""

REWRITES = "lakehouse/rewrites"
"""In an asset's metadata: whether building one snapshot of it may write those before it anew."""


class Attributes(dg.Model, dg.Resolvable):
    """A block of keys in a `defs.yaml`; a key that it does not know is an error."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


def asset_key(table: str) -> dg.AssetKey:
    """The asset of a table has the table's name as key."""
    return dg.AssetKey(table.split("/"))


def table_name(key: dg.AssetKey) -> str:
    """The table of an asset; the inverse of `asset_key`."""
    return "/".join(key.path)


def configuration_hash(*parts: object) -> str:
    """A short hash of what a dataset version is configured with; `parts` must be representable as JSON."""
    return hash_of(json.dumps(parts, sort_keys=True, default=str))[:12]


def asset_spec(
    table: str,
    *,
    deps: Iterable[str] = (),
    code: str,
    configuration: object,
    description: str,
    columns: pa.Schema | None = None,
    copied_from: Iterable[str] = (),
    computed: Computed | None = None,
    reads: Mapping[str, str] | None = None,
    rewrites: bool = False,
) -> dg.AssetSpec:
    """The spec of a table's asset: its layer is its group, and a changed configuration is a changed code version.

    Args:
        table: `<layer>/<name>`.
        deps: the tables that it is made from.
        code: version of the code that makes it; to be raised when that code gives other rows.
        configuration: what `defs.yaml` says of it, as JSON-able data.
        description: shown in the asset graph.
        columns: the table's schema, where the layer does not say.
        copied_from: the tables whose rows become its rows; see `column_lineage`.
        computed: what its other columns are computed from.
        reads: of tables that are read beyond the snapshot that is made: `UNTIL` or `ALL`.
        rewrites: whether making one snapshot may write earlier ones anew.
    """
    layer = schema.layer_of(table)
    table_schema = layer.schema or columns
    assert table_schema is not None
    lineage = column_lineage(table_schema, copied_from, computed or {})
    return dg.AssetSpec(
        asset_key(table),
        deps=[asset_key(dep) for dep in deps],
        group_name=table.split("/")[0],
        kinds={"deltalake"},
        code_version=f"{code}-{configuration_hash(configuration)}",
        description=description,
        partitions_def=SNAPSHOTS if layer.partition_by else None,
        metadata={
            "dagster/column_schema": column_schema(table_schema),
            **({COLUMN_LINEAGE: lineage} if lineage.deps_by_column else {}),
            **({READS: dict(reads)} if reads else {}),
            **({REWRITES: True} if rewrites else {}),
        },
    )


def column_schema(table_schema: pa.Schema) -> dg.TableSchema:
    """A table's columns as the Dagster UI shows them."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(field.name, str(field.type), constraints=dg.TableColumnConstraints(nullable=field.nullable))
            for field in table_schema
        ]
    )


def pinned_version(context: dg.AssetExecutionContext, lake: Lake, table: str, snapshot: str | None = None) -> int:
    """The version of `table` that this run reads.

    For one snapshot it has the rows that Dagster recorded last: those of a run that died before they were recorded stay
    unread. For a whole table it is the newest.

    Raises:
        LakeError: the table does not exist.
    """
    newest = lake.version(table)
    if snapshot is None:
        return newest
    record = context.instance.get_latest_data_version_record(asset_key(table), partition_key=snapshot)
    version = extract_data_version_from_entry(record.event_log_entry) if record else None
    if version is None:
        return newest
    # Rows that were written again are read where they were written last: vacuum may have removed the first files.
    recorded = (commit.version for commit in lake.history(table) if commit.data_version == version.value)
    return next(recorded, newest)


def origin_of(
    context: dg.AssetExecutionContext,
    table: str,
    *,
    inputs: Mapping[str, int],
    details: Mapping[str, Any] | None = None,
) -> Origin:
    """What a commit of `table` in this run carries as its metadata."""
    code_version = context.assets_def.specs_by_key[asset_key(table)].code_version or ""
    return Origin(
        run_id=context.run.run_id,
        asset=table,
        code_version=code_version,
        config_hash=code_version.rpartition("-")[2],
        inputs=inputs,
        details=details or {},
    )


def materialized(
    context: dg.AssetExecutionContext, commit: Commit, metadata: Mapping[str, Any] | None = None
) -> dg.MaterializeResult:
    """The report of a commit to Dagster; its data version is the commit."""
    key = asset_key(commit.table)
    # The UI shows the columns' lineage of what was made, not of what is declared.
    declared = context.assets_def.specs_by_key[key].metadata
    lineage = {COLUMN_LINEAGE: declared[COLUMN_LINEAGE]} if COLUMN_LINEAGE in declared else {}
    return dg.MaterializeResult(
        asset_key=key,
        data_version=dg.DataVersion(commit.data_version),
        metadata={**_facts(commit), **lineage, **(metadata or {})},
    )


def _facts(commit: Commit) -> dict[str, Any]:
    return {
        "dagster/row_count": commit.rows,
        "delta_version": commit.version,
        "bytes": commit.bytes,
        "inputs": dg.MetadataValue.json(commit.inputs),
    }


def table_metadata(rows: Sequence[Mapping[str, Any]]) -> dg.TableMetadataValue | str:
    """A small table for the Dagster UI; `rows` share their keys."""
    if not rows:
        return "no rows"
    kinds = {int: "int", float: "float", bool: "bool"}
    columns = [dg.TableColumn(name, kinds.get(type(value), "string")) for name, value in rows[0].items()]
    return dg.MetadataValue.table(
        records=[dg.TableRecord(dict(row)) for row in rows], schema=dg.TableSchema(columns=columns)
    )


def recorded(commit: Commit) -> dg.AssetMaterialization:
    """A commit that no run made, as an event that tells Dagster of it."""
    return dg.AssetMaterialization(
        asset_key(commit.table),
        partition=commit.partition,
        metadata=_facts(commit),
        tags={DATA_VERSION_TAG: commit.data_version, CODE_VERSION_TAG: commit.code_version},
    )
