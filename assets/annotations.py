"""Measurements of a set's documents: one narrow table an annotator, all filled in one pass over the text."""

from collections.abc import Iterator, Sequence

import dagster as dg

from assets.column_lineage import each
from assets.materialization import SNAPSHOTS, asset_spec, materialized, origin_of, pinned_version
from assets.measure import AnnotationUnit, annotation_table, columns_of, measure_file
from assets.unchanged import already_made
from lakehouse import annotate, schema
from resources import ComputeResource, LakeResource


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
                columns=columns_of(name),
            )
            yield materialized(context, commit)

    return [annotations]


def _key(table: str, name: str) -> dg.AssetKey:
    return dg.AssetKey(annotation_table(table, name).split("/"))
