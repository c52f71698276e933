"""Building lakes in tests, through the same code as the command line."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lakehouse.cli.runs import Builder, Built
from lakehouse.lake import Lake


@contextmanager
def environment(root: Path, **variables: str) -> Iterator[None]:
    """Point the command at the lake in `root`, without a model endpoint unless one is given."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("LAKEHOUSE_MODEL_URL", "LAKEHOUSE_MODEL"):
            patch.delenv(name, raising=False)
        patch.setenv("LAKEHOUSE_ROOT", str(root))
        patch.setenv("DAGSTER_HOME", os.environ.get("DAGSTER_HOME", ""))
        patch.setenv("LAKEHOUSE_WORKERS", "1")
        for name, value in variables.items():
            patch.setenv(name, value)
        yield


def build(root: Path, selection: str | None = None, snapshot: str | None = None, **variables: str) -> Built:
    """Build what is not up to date in the lake at `root`."""
    with environment(root, **variables), Builder(Lake(root)).locked() as builder:
        return builder.build(selection, snapshot)


def rows(lake: Lake, query: str) -> list[tuple[object, ...]]:
    """The answer of a query as tuples."""
    return lake.sql(query).rows()
