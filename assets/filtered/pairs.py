"""The asset of compared pairs: which documents of a set's source are alike, and how much."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from assets.column_lineage import each
from assets.filtered.duplicates import LEAST_SIMILARITY, CopyRule
from assets.materialization import (
    ALL,
    UNTIL,
    asset_spec,
    materialized,
    origin_of,
    pinned_version,
    table_metadata,
)
from assets.plots import bars, curve
from assets.unchanged import already_made
from lakehouse.annotate.minhash.signatures import BANDS, ROWS
from lakehouse.commits import in_effect
from lakehouse.data_files import snapshot_of
from lakehouse.dedup.curve import probability
from lakehouse.lake import Lake, LakeError
from resources import ComputeResource, LakeResource

_CODE = "1"
_BINS = 20  # of similarities, for the plot


def pairs_asset(name: str, source: str, rule: CopyRule, settings: Mapping[str, Any]) -> dg.AssetsDefinition:
    """The asset `pairs/<set>/<annotator>`: the pairs of one snapshot's documents with each other and with earlier ones.

    Nothing is compared again for a new snapshot, and nothing of an earlier one is written anew.

    Args:
        name: of the set.
        source: the table that it selects from.
        rule: by which it drops copies.
        settings: of the annotator that is compared by.
    """
    table = rule.pairs(name)
    assert table is not None
    measured, *elsewhere = rule.compared(source)
    reads = ({measured: UNTIL} if rule.all_snapshots else {}) | dict.fromkeys(elsewhere, ALL)
    spec = asset_spec(
        table,
        deps=[measured, *elsewhere],
        code=_CODE,
        configuration={"method": rule.method, "all_snapshots": rule.all_snapshots, "against": rule.against},
        description=f"Documents of {source} that are alike, and how much: what filtered/{name} drops copies by.",
        computed=each(
            ("doc_id", "snapshot", "other_id", "other_snapshot"),
            [(one, column) for one in (measured, *elsewhere) for column in ("doc_id", "snapshot")],
        ),
        reads=reads,
    )

    @dg.multi_asset(name=table.replace("/", "_"), specs=[spec], pool=table)
    def pairs(
        context: dg.AssetExecutionContext, lake: LakeResource, compute: ComputeResource
    ) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
        store, snapshot = lake.open(), context.partition_key
        inputs = {
            one: pinned_version(context, store, one, None if one in reads else snapshot)
            for one in (measured, *elsewhere)
        }
        if made := already_made(context, store, (table,), inputs):
            yield from made
            return
        others = _others(store, rule, source, snapshot, inputs)
        own = store.files(measured, version=inputs[measured], snapshot=snapshot)
        _refuse_mixed_settings(store, rule, source, snapshot, inputs)
        found = _search(rule, [*others, *own], len(others), store, compute)
        counts = pl.Series("pairs", [0] * _BINS, dtype=pl.Int64)
        with store.writer(table, snapshot=snapshot) as writer:
            for frame in found:
                writer.write(_rows(frame, [*others, *own], store, rule, source, snapshot))
                counts += _histogram(frame["similarity"])
        commit = store.replace(table, writer.finished(), origin_of(context, table, inputs=inputs), snapshot=snapshot)
        steps = [(f"{place / _BINS:.2f}", count) for place, count in enumerate(counts) if count]
        plot = bars(f"{table} {snapshot}: pairs by similarity", steps, unit="pairs")
        pictures = {"similarities": plot, **(_found_by(rule, settings) if rule.method == "minhash" else {})}
        yield materialized(context, commit, {**pictures, **_reported(found.report)})

    return pairs


def _search(rule: CopyRule, files: Sequence[Path], first_new: int, store: Lake, compute: ComputeResource) -> Any:
    """The pairs, found while they are iterated over; then `report` says what was done."""
    asked: dict[str, Any] = {
        "first_new": first_new,
        "floor": LEAST_SIMILARITY[rule.method],
        "scratch": store.scratch,
        "run": compute.run,
    }
    # What these import takes a second, which commands that compare nothing need not wait for.
    if rule.method == "minhash":
        from lakehouse.dedup.near import find_pairs

        return find_pairs(files, **asked)
    from lakehouse.dedup.semantic import find_semantic_pairs

    return find_semantic_pairs(files, **asked)


def _found_by(rule: CopyRule, settings: Mapping[str, Any]) -> dict[str, Any]:
    """How likely pairs of a similarity are found, as a plot with the threshold."""
    bands, rows = settings.get("bands", BANDS), settings.get("rows", ROWS)
    points = [(step / 100, probability(step / 100, bands, rows)) for step in range(101)]
    title = f"{bands} bands of {rows} rows"
    return {"s_curve": curve(title, points, across="similarity", up="probability of a comparison", mark=rule.threshold)}


def _reported(report: Any) -> dict[str, Any]:
    """What was compared, and where not all was."""
    facts = dataclasses.asdict(report)
    return {name: table_metadata(value) if isinstance(value, list) else value for name, value in facts.items()}


def _others(store: Lake, rule: CopyRule, source: str, snapshot: str, inputs: Mapping[str, int]) -> list[Path]:
    """The data files of what a snapshot is compared with: of other tables, then of the snapshots before."""
    measured, *elsewhere = rule.compared(source)
    others = [file for one in elsewhere for file in store.files(one, version=inputs[one])]
    if rule.all_snapshots:
        files = store.files(measured, version=inputs[measured])
        others += [file for file in files if (snapshot_of(file) or "") < snapshot]
    return others


def _refuse_mixed_settings(store: Lake, rule: CopyRule, source: str, snapshot: str, inputs: Mapping[str, int]) -> None:
    """What was measured with other settings cannot be compared."""
    tables = rule.compared(source)
    made_with: dict[str, str] = {}
    for table in tables:
        for partition, commit in sorted(in_effect(store.history(table), inputs[table]).items(), key=str):
            is_read = (
                table != tables[0] or partition == snapshot or (rule.all_snapshots and (partition or "") < snapshot)
            )
            if is_read and commit.rows:
                made_with.setdefault(commit.code_version, f"{table} of {partition}")
    if len(made_with) > 1:
        one, other, *_ = made_with.values()
        raise LakeError(
            f"{one} and {other} were measured with other settings, so their documents cannot be compared: build "
            f"{' and '.join(tables)} for all snapshots, with the same settings."
        )


def _rows(
    frame: pl.DataFrame, files: Sequence[Path], store: Lake, rule: CopyRule, source: str, snapshot: str
) -> pl.DataFrame:
    """Pairs as rows of the table; which table and snapshot the others are of, their files say."""
    of_table = {
        store.folder(one): table for one, table in zip(rule.compared(source), (source, *rule.against), strict=True)
    }
    places = pl.DataFrame(
        {
            "other_file": range(len(files)),
            "other_snapshot": [snapshot_of(file) for file in files],
            "other_table": [of_table[file.parent.parent] for file in files],
        },
        schema_overrides={"other_file": frame.schema["other_file"]},
    )
    rows = frame.join(places, on="other_file", how="left", maintain_order="left")
    return rows.with_columns(snapshot=pl.lit(snapshot)).drop("file", "other_file")


def _histogram(similarities: pl.Series) -> pl.Series:
    """How many similarities are in each of equal steps from 0 to 1."""
    step = (similarities * _BINS).floor().clip(0, _BINS - 1).cast(pl.Int64)
    counted = step.value_counts()
    found = [0] * _BINS
    for place, count in counted.iter_rows():
        found[place] = count
    return pl.Series("pairs", found, dtype=pl.Int64)
