"""Builds that are killed: the next one finishes, and no row is there twice or missing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from conftest import REPOSITORY, small_web, write_archive
from lakes import build, rows

from lakehouse.lake import Lake

# What a build has written when it is killed: raw documents only, the filtered set, the token ids.
KILL_AFTER = ["raw/web", "filtered/web_clean", "tokens/main"]


def start_build(root: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "LAKEHOUSE_ROOT": str(root), "PYTHONPATH": str(REPOSITORY)}
    environment.pop("LAKEHOUSE_MODEL_URL", None)
    command = [sys.executable, "-m", "lakehouse", "build", "+shards/main", "--workers", "2"]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    root = tmp_path_factory.mktemp("undisturbed")
    land(root)
    build(root, "+shards/main", LAKEHOUSE_WORKERS="2")
    return Lake(root)


def land(root: Path) -> None:
    write_archive(root / "landing/web/s1/a.warc.gz", small_web(0, 30))
    write_archive(root / "landing/web/s1/b.warc.gz", small_web(200, 30))
    write_archive(root / "landing/web/s2/c.warc.gz", small_web(400, 30))


@pytest.mark.parametrize("table", KILL_AFTER)
def test_a_killed_build_leaves_no_row_twice_or_missing(tmp_path: Path, undisturbed: Lake, table: str) -> None:
    land(tmp_path)
    process = start_build(tmp_path)
    deadline = time.monotonic() + 60
    while not Lake(tmp_path).exists(table) and time.monotonic() < deadline:
        time.sleep(0.01)
    workers = psutil.Process(process.pid).children(recursive=True)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert not alive, "worker processes outlive the build"

    build(tmp_path, "+shards/main", LAKEHOUSE_WORKERS="2")

    lake = Lake(tmp_path)
    for name in ("raw/web", "rejects/web", "filtered/web_clean", "rejects/web_clean", "tokens/main", "mixtures/main"):
        ours = lake.scan(name).select("doc_id").collect()["doc_id"].to_list()
        theirs = undisturbed.scan(name).select("doc_id").collect()["doc_id"].to_list()
        assert sorted(ours) == sorted(theirs), name
    manifests = [(root / "training/main/latest/manifest.json").read_text() for root in (tmp_path, undisturbed.root)]
    assert manifests[0] == manifests[1]
    balance = """
        SELECT (SELECT sum(records - skipped) FROM files.web)
             - (SELECT count(*) FROM raw.web) - (SELECT count(*) FROM rejects.web),
               (SELECT count(*) FROM raw.web)
             - (SELECT count(*) FROM filtered.web_clean) - (SELECT count(*) FROM rejects.web_clean)
    """
    assert rows(lake, balance) == [(0, 0)]
    assert build(tmp_path, "+shards/main").runs == 0
