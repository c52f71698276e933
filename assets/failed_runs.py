"""Why a Dagster run failed, said so that a person can act on it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import dagster as dg
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph
from dagster._core.events import DagsterEvent
from dagster._utils.error import SerializableErrorInfo

from assets.materialization import table_name
from resources.notify import Failure

BUILD_TAG = "lakehouse/build"
"""Runs with this tag belong to a `lakehouse build`, which says itself what failed."""

_UNKNOWN = "the run failed for a reason that Dagster did not record"


def failures_of(
    events: Iterable[DagsterEvent],
    graph: AssetGraph,
    keys: Sequence[dg.AssetKey],
    snapshot: str | None,
    run_id: str,
) -> list[Failure]:
    """What failed in a run that failed: one a step, or one for all where it was no step.

    Args:
        events: of the run; those of its failed steps and of its end suffice.
        graph: the assets.
        keys: what the run was to build.
        snapshot: for which snapshot; None: for all.
        run_id: the run.
    """
    operations = {definition.node_def.name: definition for definition in graph.assets_defs}
    wanted = {table_name(key) for key in keys}
    found, last = [], _UNKNOWN
    for event in events:
        if event.is_step_failure:
            definition = operations.get(event.step_key or "")
            made = [table_name(spec.key) for spec in definition.specs] if definition else []
            tables = [table for table in made if table in wanted] or made or [event.step_key or "a step"]
            pool = next(iter(definition.op.pools), "") if definition else ""
            error = event.step_failure_data.error
            found.append(
                Failure(
                    table=pool if pool in tables else tables[0],
                    tables=tuple(tables),
                    snapshot=snapshot,
                    cause=_cause(event),
                    run_id=run_id,
                    retry=error is None or error.cls_name != dg.Failure.__name__,
                )
            )
        elif event.is_failure and event.message:
            last = one_line(event.message)
    if found:
        return found
    tables = sorted(wanted) or ["the run"]
    return [Failure(tables[0], tuple(tables), snapshot, last, run_id)]


def one_line(text: str) -> str:
    """`text` without line breaks."""
    return " ".join(text.split())


def _cause(event: DagsterEvent) -> str:
    failure = event.step_failure_data
    described = failure.user_failure_data and failure.user_failure_data.description
    return one_line(described or (_root_message(failure.error) if failure.error else f"{event.step_key} failed"))


def _root_message(error: SerializableErrorInfo) -> str:
    """The message of the first error of ours, which says what was being done; without one, of the first cause."""
    while error.cause is not None:
        ours = _of_ours(error)
        if ours:
            return ours
        error = error.cause
    return _of_ours(error) or one_line(error.message)


def _of_ours(error: SerializableErrorInfo) -> str:
    """The message of an error that we raise, without its family, which says nothing to the reader."""
    kind, _, message = one_line(error.message).partition(": ")
    return message if re.fullmatch(r"(lakehouse|assets|resources)(\.\w+)+", kind) else ""
