"""Work that would give the rows that are there already: it is left undone, and what there is is reported again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import dagster as dg
from dagster._core.definitions.data_version import extract_data_version_from_entry
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

from assets.materialization import ALL, READS, UNTIL, asset_key, materialized
from lakehouse.commits import Commit, rows_changed
from lakehouse.lake import Lake

ONLY_CHANGED = "lakehouse/only_changed"
"""Runs with this tag build what is not up to date. By the time an asset's turn comes, it may turn out that it is."""


def rows_read(
    made: Sequence[str], table: str, snapshot: str | None, reads: Mapping[str, str]
) -> Callable[[Commit], bool]:
    """Tells the commits of `table` whose rows are read from the others, when the tables `made` are made for a snapshot.

    They are those of the same snapshot; of a whole table all. A set that drops what earlier snapshots have reads those
    of itself.

    Args:
        reads: the tables of which more is read; see `asset_spec`.
    """
    if table in made:
        return lambda commit: (commit.partition or "") < (snapshot or "")
    if reads.get(table) == UNTIL:
        return lambda commit: (commit.partition or "") <= (snapshot or "")
    if reads.get(table) == ALL:
        return lambda commit: True
    return lambda commit: snapshot is None or commit.partition in (snapshot, None)


def already_made(
    context: dg.AssetExecutionContext, lake: Lake, tables: Sequence[str], inputs: Mapping[str, int]
) -> list[dg.MaterializeResult | dg.AssetCheckResult]:
    """The last results of `tables`, if the same code made them from the same rows; else none.

    None also in runs that are to build whatever happens: those without the tag `ONLY_CHANGED`.

    Args:
        tables: what one operation makes.
        inputs: the version of each table that it would read now.
    """
    if ONLY_CHANGED not in context.run.tags:
        return []
    snapshot = context.partition_key if context.has_partition_key else None
    commits = [lake.last_commit(table, snapshot) for table in tables]
    results: list[dg.MaterializeResult | dg.AssetCheckResult] = []
    for commit in commits:
        if commit is None or not _is_current(context, lake, commit, tables, inputs, snapshot):
            return []
        results.append(_reported_again(context, commit, snapshot))
    for check in sorted(context.selected_asset_check_keys):
        verdict = _last_verdict(context, check)
        if verdict is None:
            return []
        results.append(verdict)
    context.log.info("The code, the settings and the rows that are read are those of the last run: nothing was done.")
    return results


def _is_current(
    context: dg.AssetExecutionContext,
    lake: Lake,
    commit: Commit,
    tables: Sequence[str],
    inputs: Mapping[str, int],
    snapshot: str | None,
) -> bool:
    spec = context.assets_def.specs_by_key[asset_key(commit.table)]
    if commit.code_version != spec.code_version or commit.inputs.keys() != inputs.keys():
        return False
    return not any(
        lake.exists(table)
        and rows_changed(
            lake.history(table),
            pinned,
            inputs[table],
            commit.committed_at,
            rows_read(tables, table, snapshot, spec.metadata.get(READS, {})),
        )
        for table, pinned in commit.inputs.items()
    )


def _reported_again(context: dg.AssetExecutionContext, commit: Commit, snapshot: str | None) -> dg.MaterializeResult:
    """The report of a commit with the plots and tables that it was reported with."""
    record = context.instance.get_latest_data_version_record(asset_key(commit.table), partition_key=snapshot)
    version = extract_data_version_from_entry(record.event_log_entry) if record else None
    shown = record.asset_materialization if record and version and version.value == commit.data_version else None
    return materialized(context, commit, shown.metadata if shown else None)


def _last_verdict(context: dg.AssetExecutionContext, check: dg.AssetCheckKey) -> dg.AssetCheckResult | None:
    done = {AssetCheckExecutionRecordStatus.SUCCEEDED, AssetCheckExecutionRecordStatus.FAILED}
    records = context.instance.event_log_storage.get_asset_check_execution_history(check, limit=1, status=done)
    if not records:
        return None
    evaluation = records[0].evaluation
    assert isinstance(evaluation, dg.AssetCheckEvaluation)
    return dg.AssetCheckResult(
        asset_key=check.asset_key,
        check_name=check.name,
        passed=evaluation.passed,
        severity=evaluation.severity,
        metadata=evaluation.metadata,
    )
