"""Errors as one clear line: of a `defs.yaml`, and of a Dagster run."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Sequence
from pathlib import Path

import dagster as dg
import yaml
from pydantic import ValidationError

from assets.failed_runs import one_line
from assets.materialization import Attributes
from resources.notify import Failure

_ASSETS = Path(__file__).parents[2] / "assets"
FULL_DISK = "The disk is full, or nearly. The lake is as it was: free some space and build again."
_COMPONENT = re.compile(r"component (\S+)\[(\d+)\]|definitions for (\S+)\[(\d+)\]")


class BuildError(RuntimeError):
    """A build could not be done. The message is one line that says why."""


class IncompleteBuildError(BuildError):
    """Some of a build failed; the rest was built. `lines` says of each failure what, why and what to do."""

    def __init__(self, failures: Sequence[Failure]) -> None:
        self.failures = list(failures)
        self.lines = [failure.line for failure in failures]
        super().__init__("\n".join(self.lines))


def lines(error: BaseException) -> list[str]:
    """What to say of an error that is known: one line, or one for each thing that failed."""
    return error.lines if isinstance(error, IncompleteBuildError) else [one_line(str(error))]


def of_definitions(error: BaseException) -> str:
    """What is wrong with the asset graph, with the file, the line and the key where they are known."""
    outer = str(error)
    cause = error
    # What we raise says more than what it was raised from.
    while cause.__cause__ is not None and not is_known(cause):
        cause = cause.__cause__
    if isinstance(cause, ValidationError):
        raised = cause.errors(include_url=False)[0].get("ctx", {}).get("error")
        if not isinstance(raised, Exception):
            return _of_yaml(cause)
        cause = raised
    place = _COMPONENT.search(outer)
    if place is None:
        return one_line(str(cause) or type(cause).__name__)
    folder, number = (place[1], place[2]) if place[1] else (place[3], place[4])
    message = one_line(str(cause))
    return f"assets/{folder}/defs.yaml:{_line_of(_ASSETS / folder / 'defs.yaml', int(number), message)}: {message}"


def _line_of(file: Path, block: int, message: str) -> int:
    """The line of a block that holds the first name that the message quotes; where there is none, the block's first."""
    text = file.read_text(encoding="utf-8")
    # Each block is a document of its own; its first key stands in its first line.
    node = list(yaml.compose_all(text))[block]
    first, last = node.start_mark.line, node.end_mark.line
    lines_of_block = text.splitlines()[first : last + 1]
    for name in re.findall(r"'([^']+)'", message):
        for place, line in enumerate(lines_of_block):
            if name in line.partition(" #")[0]:
                return first + place + 1
    return first + 1


def is_known(error: BaseException) -> bool:
    """Whether an error is one that we raise, or the operating system's: its message says what to do."""
    return isinstance(error, OSError) or type(error).__module__.split(".")[0] in ("lakehouse", "assets", "resources")


def was_interrupted(result: dg.ExecuteInProcessResult) -> bool:
    """Whether a run ended because of Ctrl-C."""
    failed = [event.step_failure_data.error for event in result.all_events if event.is_step_failure]
    return any(error and error.cls_name == dg.DagsterExecutionInterruptedError.__name__ for error in failed)


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
