"""Composition root: the one place where assets and resources meet."""

from __future__ import annotations

import os
from pathlib import Path

import dagster as dg

from assets.automation import automation
from lakehouse.lake import default_root
from resources import ComputeResource, LakeResource
from resources.language_model import from_environment


@dg.definitions
def defs() -> dg.Definitions:
    """Every asset that `assets/*/defs.yaml` declares, with the outside world that they work in."""
    declared = dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
    bound = dg.Definitions(
        resources={
            "lake": LakeResource(root=str(default_root())),
            "compute": ComputeResource(workers=int(os.environ.get("LAKEHOUSE_WORKERS", "0"))),
            "language_model": from_environment(),
        }
    )
    return dg.Definitions.merge(declared, bound, automation())
