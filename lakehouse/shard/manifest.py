"""The manifest of a shard set: what the folder holds, with checksums, so that a copy can be proven whole."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lakehouse.shard.formats import FileDigest, digest
from lakehouse.shard.write import ShardFiles

MANIFEST = "manifest.json"
FORMAT_VERSION = 1

_SUFFIXES = {".bin", ".idx", ".parquet", ".partial"}


def write_manifest(
    folder: Path,
    *,
    name: str,
    sequence_length: int,
    dtype: str,
    tokenizer_id: str,
    vocabulary_size: int,
    end_of_document: int,
    shards: Sequence[ShardFiles],
) -> dict[str, Any]:
    """Write `manifest.json` and return its content.

    It holds no time, path or program version: the same tokens give the same bytes.
    """
    manifest = {
        "format_version": FORMAT_VERSION,
        "name": name,
        "sequence_length": sequence_length,
        "dtype": dtype,
        "tokenizer_id": tokenizer_id,
        "vocabulary_size": vocabulary_size,
        "end_of_document": end_of_document,
        "sequences": sum(shard.sequences for shard in shards),
        "tokens": sum(shard.tokens for shard in shards),
        "padding": sum(shard.padding for shard in shards),
        "shards": [asdict(shard) for shard in sorted(shards, key=lambda shard: shard.shard)],
    }
    partial = folder / f"{MANIFEST}.partial"
    partial.write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(partial, folder / MANIFEST)
    return manifest


def take_over(earlier: Path, folder: Path, stems: Collection[str]) -> list[ShardFiles]:
    """Link shards of an earlier folder into a new one; return those that are whole there."""
    try:
        manifest = json.loads((earlier / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    taken = []
    for values in manifest["shards"]:
        files = {name: FileDigest(**expected) for name, expected in values["files"].items()}
        if values["stem"] in stems and all(_is_whole(earlier / name, expected) for name, expected in files.items()):
            for name in files:
                _link(earlier / name, folder / name)
            taken.append(ShardFiles(**values | {"files": files}))
    return taken


def _is_whole(file: Path, expected: FileDigest) -> bool:
    return file.is_file() and digest(file) == expected


def _link(file: Path, link: Path) -> None:
    try:
        os.link(file, link)
    except OSError:
        # A file system without links, or one that has no more of them for this file.
        shutil.copyfile(file, link)


def verify_manifest(folder: Path) -> list[str]:
    """What is wrong with a shard set: one line a problem, none when every file is there and has its checksum."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        return [f"{MANIFEST} cannot be read: {error}"]
    if not isinstance(manifest, dict) or manifest.get("format_version") != FORMAT_VERSION:
        return [f"{MANIFEST} is not of format version {FORMAT_VERSION}."]
    problems = []
    for total in ("sequences", "tokens", "padding"):
        found = sum(shard[total] for shard in manifest["shards"])
        if found != manifest[total]:
            problems.append(f"{MANIFEST}: {total} is {manifest[total]}, its shards have {found}.")
    listed = {file: expected for shard in manifest["shards"] for file, expected in shard["files"].items()}
    present = {path.name for path in folder.iterdir() if path.suffix in _SUFFIXES}
    problems += [f"{file} is missing." for file in sorted(listed.keys() - present)]
    problems += [f"{file} is not in the manifest." for file in sorted(present - listed.keys())]
    for file in sorted(listed.keys() & present):
        found = asdict(digest(folder / file))
        problems += [
            f"{file}: {key} is {found[key]}, not {value}." for key, value in listed[file].items() if found[key] != value
        ]
    return problems
