"""What a lake needs, checked one by one."""

from __future__ import annotations

import importlib.metadata
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass

from lakehouse.cli.runs import BuildError, load_definitions
from lakehouse.compute import available_workers
from lakehouse.generate import GenerationError, check_endpoints
from lakehouse.lake import Lake
from resources.language_model import from_environment

_PACKAGES = (
    "dagster",
    "dagster-webserver",
    "deltalake",
    "duckdb",
    "polars",
    "fasttext-community",
    "openai",
)
_LITTLE_SPACE = 2 * 1024**3


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    what: str
    ok: bool
    detail: str


def findings(lake: Lake) -> Iterator[Finding]:
    """Look at everything that a lake needs."""
    version = ".".join(str(part) for part in sys.version_info[:3])
    yield Finding("Python", (3, 11) <= sys.version_info < (3, 14), f"{version}, {available_workers()} cores")
    yield _packages()
    yield _folder(lake)
    try:
        keys = load_definitions().resolve_asset_graph().materializable_asset_keys
        yield Finding("Definitions", True, f"{len(keys)} assets are declared in assets/*/defs.yaml")
    except BuildError as error:
        yield Finding("Definitions", False, str(error))
    yield _tables(lake)
    yield _endpoint()


def _packages() -> Finding:
    found, missing = [], []
    for name in _PACKAGES:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        return Finding("Packages", False, f"{', '.join(missing)} missing: run `make install`")
    return Finding("Packages", True, ", ".join(found))


def _folder(lake: Lake) -> Finding:
    existing = next(folder for folder in (lake.root, *lake.root.parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        return Finding("Lake folder", False, f"{existing} cannot be written to: {error.strerror}")
    return Finding("Lake folder", free > _LITTLE_SPACE, f"{lake.root}, {free / 1024**3:.1f} GiB free")


def _tables(lake: Lake) -> Finding:
    broken = []
    tables = lake.tables()
    for table in tables:
        missing = [file for file in lake.files(table) if not file.exists()]
        if missing:
            broken.append(f"{table} lacks {missing[0].name}")
    if broken:
        return Finding("Tables", False, "; ".join(broken))
    return Finding("Tables", True, f"{len(tables)} tables, all data files present" if tables else "none yet")


def _endpoint() -> Finding:
    try:
        endpoints = from_environment().endpoints()
        check_endpoints(endpoints)
    except GenerationError as error:
        return Finding("Model endpoint", False, str(error))
    if not endpoints:
        return Finding("Model endpoint", True, "not set (LAKEHOUSE_MODEL_URL): documents wait to be rewritten")
    found = [f"{name}: {one.model} at {', '.join(one.base_urls)}" for name, one in endpoints.items()]
    return Finding("Model endpoint", True, "; ".join(found))
