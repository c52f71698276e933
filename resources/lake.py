"""Where the tables are."""

from __future__ import annotations

import functools

import dagster as dg
from pydantic import Field

from lakehouse.lake import Lake


class LakeResource(dg.ConfigurableResource):
    """The lake that assets read and write."""

    root: str = Field(description="The folder that holds the lake.")

    def open(self) -> Lake:
        """Return the lake.

        Raises:
            LakeError: the folder cannot hold one.
        """
        return _opened(self.root)


@functools.cache
def _opened(root: str) -> Lake:
    """One lake a process: it remembers what it has read of the tables' logs."""
    return Lake(root)
