"""Errors as one clear line: of a `defs.yaml`, and of a Dagster run."""

from __future__ import annotations

import difflib
import os
import re

import dagster as dg
from dagster._utils.error import SerializableErrorInfo
from pydantic import ValidationError

from assets.materialization import Attributes

FULL_DISK = "The disk is full, or nearly. The lake is as it was: free some space and build again."
_COMPONENT = re.compile(r"component (\S+)\[(\d+)\]|definitions for (\S+)\[(\d+)\]")


def of_definitions(error: BaseException) -> str:
    """What is wrong with the asset graph, with the file, the line and the key where they are known."""
    outer = str(error)
    cause = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    if isinstance(cause, ValidationError):
        return _of_yaml(cause)
    place = _COMPONENT.search(outer)
    if place is None:
        return one_line(str(cause) or type(cause).__name__)
    folder, number = (place[1], place[2]) if place[1] else (place[3], place[4])
    return f"assets/{folder}/defs.yaml, block {int(number) + 1}: {one_line(str(cause))}"


def of_run(result: dg.ExecuteInProcessResult) -> str:
    """Why a run failed: the first step that did, and the cause of its error."""
    for event in result.all_events:
        if event.is_step_failure:
            failure = event.step_failure_data
            described = failure.user_failure_data and failure.user_failure_data.description
            return described or (_root_message(failure.error) if failure.error else f"{event.step_key} failed")
    for event in result.all_events:
        if event.is_failure and event.message:
            return one_line(event.message)
    return "the run failed for a reason that Dagster did not record"


def is_known(error: BaseException) -> bool:
    """Whether an error is one that we raise, or the operating system's: its message says what to do."""
    return isinstance(error, OSError) or type(error).__module__.split(".")[0] in ("lakehouse", "assets", "resources")


def was_interrupted(result: dg.ExecuteInProcessResult) -> bool:
    """Whether a run ended because of Ctrl-C."""
    failed = [event.step_failure_data.error for event in result.all_events if event.is_step_failure]
    return any(error and error.cls_name == dg.DagsterExecutionInterruptedError.__name__ for error in failed)


def one_line(text: str) -> str:
    """`text` without line breaks."""
    return " ".join(text.split())


def _root_message(error: SerializableErrorInfo) -> str:
    while error.cause is not None:
        error = error.cause
    message = one_line(error.message)
    kind, _, rest = message.partition(": ")
    # The family of an error of ours says nothing to the reader; of any other it may.
    return rest if re.fullmatch(r"(lakehouse|assets|resources)(\.\w+)+", kind) and rest else message


def _of_yaml(error: ValidationError) -> str:
    problems = error.errors(include_url=False)
    problem = next((found for found in problems if found["type"] == "extra_forbidden"), problems[0])
    location, _, place = str(problem["loc"][-1]).partition(" at ")
    path, _, line = place.rpartition(":")
    key = location.split(".")[-1]
    file = os.path.relpath(path) if path else "defs.yaml"
    if problem["type"] == "extra_forbidden":
        known = sorted({name for kind in _all_attributes(Attributes) for name in kind.model_fields})
        close = difflib.get_close_matches(key, known, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        return f"{file}:{line}: key {key!r} is unknown.{hint}"
    if problem["type"] == "missing":
        return f"{file}:{line}: key {key!r} is missing."
    return f"{file}:{line}: {key}: {problem['msg']}."


def _all_attributes(kind: type[Attributes]) -> list[type[Attributes]]:
    return [kind, *(found for child in kind.__subclasses__() for found in _all_attributes(child))]
