"""The manifest of a shard set: what the folder holds, with checksums, so that a copy can be proven whole."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lakehouse.shard.formats import FileDigest, digests
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
    shards = [
        ShardFiles(**values | {"files": {name: FileDigest(**stated) for name, stated in values["files"].items()}})
        for values in manifest["shards"]
        if values["stem"] in stems
    ]
    present = [name for shard in shards for name in shard.files if (earlier / name).is_file()]
    found = dict(zip(present, digests(earlier / name for name in present), strict=True))
    taken = [shard for shard in shards if all(found.get(name) == stated for name, stated in shard.files.items())]
    for name in (name for shard in taken for name in shard.files):
        _link(earlier / name, folder / name)
    return taken


def _link(file: Path, link: Path) -> None:
    try:
        os.link(file, link)
    except OSError:
        # A file system without links, or one that has no more of them for this file.
        shutil.copyfile(file, link)


def verify_manifest(folder: Path, verified: Collection[str] = ()) -> list[str]:
    """What is wrong with a shard set: one line a problem, none when every file is there and has its checksum.

    The files of the shards in `verified` are known to have it: they only have to be there.
    """
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
    listed = {file for shard in manifest["shards"] for file in shard["files"]}
    present = {path.name for path in folder.iterdir() if path.suffix in _SUFFIXES}
    problems += [f"{file} is missing." for file in sorted(listed - present)]
    problems += [f"{file} is not in the manifest." for file in sorted(present - listed)]
    stated = {
        file: values
        for shard in manifest["shards"]
        if shard["stem"] not in verified
        for file, values in sorted(shard["files"].items())
        if file in present
    }
    for (file, values), measured in zip(stated.items(), digests(folder / file for file in stated), strict=True):
        found = asdict(measured)
        problems += [
            f"{file}: {key} is {found[key]}, not {value}." for key, value in values.items() if found[key] != value
        ]
    return problems
