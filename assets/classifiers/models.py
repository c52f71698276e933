"""Models that are in tables, as folders that a worker process can load."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lakehouse.identity import hash_of
from lakehouse.lake import Lake, LakeError
from lakehouse.models import CARD

FOLDER = "models"


def classifier_id(model_hash: str, card: str) -> str:
    """What a model is called by: a hash of its weights and of its card."""
    return hash_of(model_hash, card)


def model_folder(lake: Lake, table: str, version: int | None = None) -> Path:
    """The folder of a classifier's model in the lake, `models/<classifier_id>`; it is written where it is not there.

    Args:
        lake: that has the table.
        table: `classifiers/<name>`.
        version: of the table; None: the newest.

    Raises:
        LakeError: there is no such table or version.
    """
    if not lake.exists(table):
        raise LakeError(f"There is no {table} yet: build it first (lakehouse build {table}).")
    scan = lake.scan(table, version=version)
    known = scan.select("classifier_id", "card").collect().row(0, named=True)
    folder = lake.root / FOLDER / known["classifier_id"]
    if not (folder / CARD).exists():
        _write(folder, str(known["card"]), scan.select("model").collect().item())
    return folder


def with_model_folders(settings: Any, lake: Lake, versions: Mapping[str, int]) -> Any:
    """Settings of an annotator with a folder in the place of each classifier's table.

    Args:
        settings: as they are declared: names, lists and mappings in any depth.
        lake: that has the tables.
        versions: of each table that the annotator reads, the one to use.
    """
    if isinstance(settings, Mapping):
        return {name: with_model_folders(value, lake, versions) for name, value in settings.items()}
    if isinstance(settings, list | tuple):
        return [with_model_folders(value, lake, versions) for value in settings]
    if isinstance(settings, str) and settings in versions and settings.startswith("classifiers/"):
        return str(model_folder(lake, settings, versions[settings]))
    return settings


def _write(folder: Path, card: str, model: bytes) -> None:
    """Make the folder as a whole, so that nobody finds a part of it."""
    part = folder.with_name(f".{folder.name}-{uuid.uuid4().hex}")
    part.mkdir(parents=True)
    (part / json.loads(card)["model"]["file"]).write_bytes(model)
    (part / CARD).write_text(card, encoding="utf-8")
    # Somebody else may have been faster: a folder that is there has the same content.
    with contextlib.suppress(OSError):
        os.rename(part, folder)
    shutil.rmtree(part, ignore_errors=True)
    if not (folder / CARD).exists():
        raise LakeError(f"{folder} cannot be written: remove it and build again.")
