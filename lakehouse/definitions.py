"""Composition root: the one place where assets and resources meet."""

from __future__ import annotations

import difflib
import os
import warnings
from pathlib import Path

import dagster as dg

from assets.automation import automation
from assets.conditions import build_when_out_of_date
from assets.materialization import table_name
from lakehouse.lake import default_root
from resources import ComputeResource, LakeResource
from resources.language_model import from_environment


class DefinitionsError(ValueError):
    """The datasets that are declared do not fit together. The message says which, and what to do."""


@dg.definitions
def defs() -> dg.Definitions:
    """Every asset that `assets/*/defs.yaml` declares, with the outside world that they work in."""
    declared = dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
    lake, language_model = LakeResource(root=str(default_root())), from_environment()
    bound = dg.Definitions(
        resources={
            "lake": lake,
            "compute": ComputeResource(workers=int(os.environ.get("LAKEHOUSE_WORKERS", "0"))),
            "language_model": language_model,
        }
    )
    condition = build_when_out_of_date(lake, language_model)
    with warnings.catch_warnings():
        # Conditions of our own are a feature that Dagster may still change; its version is pinned.
        warnings.simplefilter("ignore", dg.PreviewWarning)
        warnings.simplefilter("ignore", dg.BetaWarning)
        declared = declared.map_asset_specs(func=lambda spec: spec.replace_attributes(automation_condition=condition))
        whole = dg.Definitions.merge(declared, bound, automation())
    check_inputs(whole)
    return whole


def check_inputs(definitions: dg.Definitions) -> None:
    """Make sure that every table that an asset is made from is made by an asset.

    Raises:
        DefinitionsError: one is not.
    """
    graph = definitions.resolve_asset_graph()
    made = graph.materializable_asset_keys
    for key in sorted(made):
        for needed in sorted(graph.get(key).parent_keys - made):
            hint = _hint(table_name(needed), sorted(map(table_name, made)))
            raise DefinitionsError(
                f"{table_name(key)} is made from {table_name(needed)}, which no defs.yaml declares. {hint}"
            )


def _hint(needed: str, tables: list[str]) -> str:
    layer, *_, name = needed.split("/")
    if layer == "annotations":
        return f"Add {name} to the annotators of its source."
    near = difflib.get_close_matches(needed, tables, n=1)
    return f"Did you mean {near[0]}?" if near else f"There are {', '.join(tables)}."
