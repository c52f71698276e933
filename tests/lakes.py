"""Building lakes in tests, through the same code as the command line."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import polars as pl
import pytest

from assets.filtered.component import FilteredSet, Languages
from assets.mixtures.component import ComponentOf, Mixture
from assets.raw.component import RawSource
from lakehouse import schema
from lakehouse.cli.runs import Builder, Built
from lakehouse.commits import Origin
from lakehouse.lake import Lake
from resources import ComputeResource, LakeResource, LanguageModelResource


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


def write(lake: Lake, table: str, rows: Sequence[Mapping[str, Any]], snapshot: str | None, **inputs: int) -> None:
    """Make these the rows of a snapshot; columns that they lack are filled. The names of inputs have `__` for `/`."""
    layer = schema.layer_of(table).schema
    assert layer is not None
    filler: dict[Any, Any] = {pl.String: "", pl.Int64: 1, pl.List: []}
    types = schema.empty(layer).schema
    required = {field.name: filler.get(types[field.name].base_type()) for field in layer if not field.nullable}
    full = [{"text_id": row["doc_id"], **row} | ({"snapshot": snapshot} if snapshot else {}) for row in rows]
    frame = pl.DataFrame([{name: row.get(name, required.get(name)) for name in types} for row in full], schema=types)
    made_from = {name.replace("__", "/"): version for name, version in inputs.items()}
    lake.replace_frame(table, frame, Origin(asset=table, inputs=made_from), snapshot=snapshot)


def rows(lake: Lake, query: str) -> list[tuple[object, ...]]:
    """The answer of a query as tuples."""
    return lake.sql(query).rows()


def declared(root: Path | str = "lake", **attributes: Any) -> dg.Definitions:
    """The sources as they are in the repository, one filtered set, and a mixture of it."""
    filtered: dict[str, Any] = {
        "name": "web_clean",
        "source": "raw/web",
        "languages": Languages(keep=["en", "de", "fr", "es"]),
        "rules": ["consent", "gopher_quality"],
        "duplicates": {"method": "exact"},
    }
    mixture = Mixture(name="clean", components=[ComponentOf(source="filtered/web_clean", weight=1)])
    raw = RawSource(name="web", annotators=["gopher_quality"])
    return definitions_of(raw, FilteredSet(**(filtered | attributes)), mixture, root=root)


def definitions_of(
    *parts: dg.Component, root: Path | str = "lake", language_model: LanguageModelResource | None = None
) -> dg.Definitions:
    """Definitions of components as defs.yaml declares them."""
    tree = SimpleNamespace(get_all_components=lambda kind: [part for part in parts if isinstance(part, kind)])
    context: Any = SimpleNamespace(component_tree=tree)
    resources = dg.Definitions(
        resources={
            "lake": LakeResource(root=str(root)),
            "compute": ComputeResource(workers=1),
            "language_model": language_model or LanguageModelResource(),
        }
    )
    return dg.Definitions.merge(*(part.build_defs(context) for part in parts), resources)


@contextmanager
def builder_of(root: Path, *parts: dg.Component) -> Iterator[Builder]:
    """A builder of a lake whose defs.yaml would declare these components."""
    definitions = definitions_of(*parts, root=root)
    with environment(root), pytest.MonkeyPatch.context() as patch:
        patch.setattr("lakehouse.cli.runs.load_definitions", lambda: definitions)
        with Builder(Lake(root)).locked() as builder:
            yield builder
