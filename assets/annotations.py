"""Measurements of a set's documents: one narrow table an annotator, all filled in one pass over the text."""

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import dagster as dg
import pyarrow as pa

from assets.classifiers.models import with_model_folders
from assets.column_lineage import each
from assets.materialization import SNAPSHOTS, asset_key, asset_spec, materialized, origin_of, pinned_version
from assets.measure import AnnotationUnit, annotation_table, measure_file, merge_surveys, survey_file
from assets.plots import histograms
from assets.unchanged import already_made
from lakehouse import annotate, schema
from lakehouse.annotate import Annotator, AnnotatorError, Declaration
from lakehouse.data_files import DataFile
from lakehouse.identity import hash_of_file
from lakehouse.lake import Lake
from resources import ComputeResource, LakeResource

_DRAWN_ROWS = 100_000
"""Of more documents, a histogram shows about so many, evenly spread."""


def check_declarations(declared: list[Declaration]) -> list[Declaration]:
    """Return what a block declares, if every annotator in it can be made; for pydantic, which knows the line.

    Raises:
        AnnotatorError: one cannot.
    """
    for one in declared:
        annotate.annotator(one)
    return declared


def annotations_of(table: str, declared: Sequence[Declaration]) -> list[dg.AssetsDefinition]:
    """The assets that measure the documents of `table`; none without annotators.

    Raises:
        AnnotatorError: an annotator does not exist, cannot be set up like this, or needs a column that is not there.
    """
    if not declared:
        return []
    annotators = {annotation_table(table, one.name): one for one in map(annotate.annotator, declared)}
    declarations = {annotation_table(table, annotate.annotator(one).name): one for one in declared}
    _check(table, declared, annotators)
    specs = [_spec(table, target, annotator) for target, annotator in annotators.items()]

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
        version = pinned_version(context, store, table, snapshot)
        selected = {
            target: {table: version}
            | {read: pinned_version(context, store, read) for read in annotators[target].tables}
            for target in annotators
            if asset_key(target) in context.selected_asset_keys
        }
        waiting = {}
        for target, inputs in selected.items():
            if made := already_made(context, store, [target], inputs):
                yield from made
            else:
                waiting[target] = inputs
        # A worker loads a classifier from a folder, not from its table.
        asked = [with_model_folders(declarations[target], store, inputs) for target, inputs in waiting.items()]
        files = store.files(table, version=version, snapshot=snapshot)
        work = AnnotationUnit(store.root, table, snapshot, store.root, 0, tuple(asked))
        results = _measured(store, compute, work, files)
        for target, inputs in waiting.items():
            annotator = annotators[target]
            commit = store.replace(
                target,
                [file for result in results for file in result[annotator.name]],
                origin_of(context, target, inputs=inputs),
                snapshot=snapshot,
                columns=schema.annotation_schema(annotator.columns),
            )
            rows = store.scan(target, version=commit.version, snapshot=snapshot).select(*_numbers(annotator))
            drawn = rows.gather_every(1 + commit.rows // _DRAWN_ROWS).collect()
            yield materialized(context, commit, {"histograms": histograms(f"{target} {snapshot}", drawn)})

    return [annotations]


def _numbers(annotator: Annotator) -> list[str]:
    numbers = [one for one in annotator.columns if pa.types.is_integer(one.type) or pa.types.is_floating(one.type)]
    return [one.name for one in numbers if one.name not in annotator.hashes]


def _check(table: str, declared: Sequence[Declaration], annotators: Mapping[str, Annotator]) -> None:
    if len(annotators) < len(declared):
        raise AnnotatorError(f"{table}: two annotators have the same name: each needs one of its own.")
    layer = schema.layer_of(table).schema
    assert layer is not None
    for annotator in annotators.values():
        for name in annotator.needs:
            if name not in layer.names:
                raise AnnotatorError(f"annotator {annotator.name!r} needs the column {name!r}, which {table} has not.")


def _spec(table: str, target: str, annotator: Annotator) -> dg.AssetSpec:
    # Lists and models count by what is in them, wherever they lie; settings count in their order.
    contents = {file: _content(annotator, file) for file in annotator.files}
    settings = json.dumps(_with_contents(annotator.settings, contents), default=str)
    return asset_spec(
        target,
        deps=[table, *annotator.tables],
        code=str(annotator.version),
        configuration=[settings, sorted(contents.values())],
        description=annotator.description,
        columns=schema.annotation_schema(annotator.columns),
        copied_from=[table],
        computed=each(
            (column.name for column in annotator.columns), [(table, name) for name in ("text", *annotator.needs)]
        ),
    )


def _content(annotator: Annotator, file: Path) -> str:
    try:
        return hash_of_file(file)
    except OSError as error:
        raise AnnotatorError(f"annotator {annotator.name!r}: {file} cannot be read: {error.strerror}.") from error


def _with_contents(setting: object, contents: Mapping[Path, str]) -> object:
    """A setting with the hash of each file's content in place of its path."""
    if isinstance(setting, Mapping):
        return {name: _with_contents(value, contents) for name, value in setting.items()}
    if isinstance(setting, list):
        return [_with_contents(value, contents) for value in setting]
    return contents.get(Path(setting), setting) if isinstance(setting, str) else setting


def _measured(
    store: Lake, compute: ComputeResource, work: AnnotationUnit, files: Sequence[Path]
) -> list[dict[str, list[DataFile]]]:
    """The data files that the measurements of each data file were written to, by annotator."""
    if not work.annotators or not files:
        return []
    units = [dataclasses.replace(work, file=file, ordinal=ordinal) for ordinal, file in enumerate(files)]
    surveys: dict[str, Path] = {}
    for again in (False, True):
        # An annotator that counts again is given what it found first.
        counted = _survey(store, compute, work, [dataclasses.replace(unit, surveys=surveys) for unit in units], again)
        for name in counted.keys() & surveys.keys():
            surveys[name].unlink()
        surveys = surveys | counted
    units = [dataclasses.replace(unit, surveys=surveys) for unit in units]
    measured = list(compute.run(measure_file, units, task=f"Measuring {work.table} {work.snapshot}"))
    for file in surveys.values():
        file.unlink()
    return measured


def _survey(
    store: Lake, compute: ComputeResource, work: AnnotationUnit, units: Sequence[AnnotationUnit], again: bool
) -> dict[str, Path]:
    """What annotators count over all data files before they measure, for the first time or again, by their names."""
    annotators = {annotator.name: annotator for annotator in map(annotate.annotator, work.annotators)}
    surveying = {
        name: declared
        for (name, one), declared in zip(annotators.items(), work.annotators, strict=True)
        if one.survey and (one.survey.count_again or not again)
    }
    if not surveying:
        return {}
    units = [dataclasses.replace(unit, annotators=tuple(surveying.values())) for unit in units]
    task = f"Surveying {work.table} {work.snapshot}" + (" again" if again else "")
    counted = list(compute.run(survey_file, units, task=task))
    return {
        name: merge_surveys(store.root, annotators[name], [counts[name] for counts in counted if name in counts])
        for name in surveying
    }
