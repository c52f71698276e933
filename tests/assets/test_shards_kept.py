"""A new snapshot brings shards of its own: those of the snapshots before are kept, not written again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import polars as pl
import pytest
from archives import small_web, write_archive
from lakes import build

from lakehouse import shard
from lakehouse.lake import Lake


@pytest.fixture(scope="module")
def one_night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("kept") / "lake"
    write_archive(root / "landing/web/s1/a.warc.gz", small_web(0))
    build(root)
    return root


@pytest.fixture
def root(one_night: Path, tmp_path: Path) -> Path:
    """A lake of one night, and the files of the second."""
    root = shutil.copytree(one_night, tmp_path / "lake", symlinks=True)
    write_archive(root / "landing/web/s2/b.warc.gz", small_web(100))
    return root


def newest(root: Path) -> Path:
    return (root / "training/main/latest").resolve()


def manifest(root: Path) -> list[dict[str, object]]:
    return list(json.loads((newest(root) / "manifest.json").read_text())["shards"])


def test_files_of_a_snapshot_that_did_not_change_are_linked(root: Path) -> None:
    before, shards = newest(root), manifest(root)
    build(root)
    after = newest(root)
    assert after != before
    assert manifest(root)[: len(shards)] == shards
    assert len(manifest(root)) == len(shards) + 1
    for file in before.glob("main-*"):
        assert (after / file.name).samefile(file)
    assert shard.verify_manifest(after) == []
    # Every place in the index is in the files, those of both nights.
    rows = Lake(root).scan("shards/main").collect()
    assert rows["shard"].unique().sort().to_list() == [0, 1]
    assert set(rows["file"]) == {f"main/{after.name}/main-0000{number}" for number in (0, 1)}


def test_what_is_linked_is_what_would_be_written(root: Path) -> None:
    build(root)
    kept = {file.name: file.read_bytes() for file in newest(root).iterdir()}
    shutil.rmtree(root / "training")  # nothing to link
    Lake(root).restore("shards/main", 1)
    build(root, "shards/main")
    assert {file.name: file.read_bytes() for file in newest(root).iterdir()} == kept


def test_a_damaged_file_is_not_taken_over(root: Path) -> None:
    damaged = newest(root) / "main-00000.bin"
    tokens = damaged.read_bytes()
    damaged.unlink()
    damaged.write_bytes(tokens[:-2] + b"\x07\x07")
    build(root)
    assert (newest(root) / "main-00000.bin").read_bytes() == tokens
    assert shard.verify_manifest(newest(root)) == []


def test_tokens_that_changed_are_written(root: Path) -> None:
    before = newest(root)
    files = {file.name for file in before.glob("main-*")}
    write_archive(root / "landing/web/s1/late.warc.gz", small_web(200))
    build(root)
    after = newest(root)
    assert files <= {file.name for file in after.iterdir()}
    assert not (after / "main-00000.bin").samefile(before / "main-00000.bin")
    total = Lake(root).scan("mixtures/main").select((pl.col("tokens") * pl.col("repeats")).sum()).collect().item()
    assert sum(int(str(one["tokens"])) for one in manifest(root)) == total
