"""Measurements of a set's documents: one narrow table an annotator, all filled in one pass over the text."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import polars as pl

from assets.column_lineage import each
from assets.materialization import SNAPSHOTS, asset_spec, materialized, origin_of, pinned_version
from assets.unchanged import already_made
from lakehouse import annotate, schema
from lakehouse.data_files import DataFile, read_batches
from lakehouse.lake import Lake
from resources import ComputeResource, LakeResource


@dataclass(frozen=True)
class AnnotationUnit:
    """One data file of a set, and the annotators that measure its documents."""

    root: Path
    table: str
    snapshot: str
    file: Path
    ordinal: int
    annotators: tuple[str, ...]


def annotation_table(table: str, annotator: str) -> str:
    """The table of one annotator's measurements of the set that is in `table`."""
    return f"annotations/{table.split('/')[1]}/{annotator}"


def annotations_of(table: str, names: Sequence[str]) -> list[dg.AssetsDefinition]:
    """The assets that measure the documents of `table`; none without annotators.

    Raises:
        AnnotatorError: there is no annotator of that name.
    """
    if not names:
        return []
    annotators = [annotate.annotator(name) for name in names]
    specs = [
        asset_spec(
            annotation_table(table, annotator.name),
            deps=[table],
            code=str(annotator.version),
            configuration={},
            description=annotator.description,
            columns=schema.annotation_schema(annotator.columns),
            copied_from=[table],
            computed=each((column.name for column in annotator.columns), [(table, "text")]),
        )
        for annotator in annotators
    ]

    @dg.multi_asset(
        name=f"annotations_{table.replace('/', '_')}",
        specs=specs,
        can_subset=True,
        partitions_def=SNAPSHOTS,
        pool=f"annotations/{table.split('/')[1]}",
    )
    def annotations(
        context: dg.AssetExecutionContext, lake: LakeResource, compute: ComputeResource
    ) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
        store, snapshot = lake.open(), context.partition_key
        inputs = {table: pinned_version(context, store, table, snapshot)}
        selected = tuple(name for name in names if _key(table, name) in context.selected_asset_keys)
        if made := already_made(context, store, [annotation_table(table, name) for name in selected], inputs):
            yield from made
            return
        units = [
            AnnotationUnit(store.root, table, snapshot, file, ordinal, selected)
            for ordinal, file in enumerate(store.files(table, version=inputs[table], snapshot=snapshot))
        ]
        results = list(compute.run(measure_file, units, task=f"Measuring {table} {snapshot}"))
        for name in selected:
            target = annotation_table(table, name)
            commit = store.replace(
                target,
                [file for result in results for file in result[name]],
                origin_of(context, target, inputs=inputs),
                snapshot=snapshot,
                columns=_columns(name),
            )
            yield materialized(context, commit)

    return [annotations]


def measure_file(unit: AnnotationUnit) -> dict[str, list[DataFile]]:
    """Measure the documents of one data file; return the data files written for each annotator."""
    lake = Lake(unit.root)
    annotators = [annotate.annotator(name) for name in unit.annotators]
    writers = {
        annotator.name: lake.writer(
            annotation_table(unit.table, annotator.name),
            snapshot=unit.snapshot,
            ordinal=unit.ordinal,
            columns=_columns(annotator.name),
        )
        for annotator in annotators
    }
    for documents in read_batches(unit.file):
        ids = documents.select("doc_id", snapshot=pl.lit(unit.snapshot))
        for annotator, measured in zip(annotators, annotate.measure_all(documents, annotators), strict=True):
            writers[annotator.name].write(ids.hstack(measured))
    for writer in writers.values():
        writer.close()
    return {name: writer.finished() for name, writer in writers.items()}


def _columns(name: str) -> object:
    return schema.annotation_schema(annotate.annotator(name).columns)


def _key(table: str, name: str) -> dg.AssetKey:
    return dg.AssetKey(annotation_table(table, name).split("/"))
