"""Where functions over units of work run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import dagster as dg
from pydantic import Field

from lakehouse import compute

Unit = TypeVar("Unit")
Result = TypeVar("Result")


class ComputeResource(dg.ConfigurableResource):
    """Worker processes on this machine."""

    workers: int = Field(default=0, ge=0, description="How many processes work at once; 0: one a processor core.")

    def run(
        self,
        function: Callable[[Unit], Result],
        units: Sequence[Unit],
        *,
        task: str,
        name: Callable[[Unit], str] = str,
    ) -> Iterator[Result]:
        """Apply `function` to every unit; see `lakehouse.compute.run`."""
        workers = min(self.workers or compute.available_workers(), max(len(units), 1))
        return compute.run(function, units, task=task, workers=workers, name=name)
