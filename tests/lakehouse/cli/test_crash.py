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
from archives import REPOSITORY, small_web, write_archive
from lakes import build, rows

from lakehouse.lake import Lake

# What a build has written when it is killed: raw documents only, the filtered set, the token ids.
_MORE = [pytest.param(table, marks=pytest.mark.thorough) for table in ("raw/web", "filtered/web_clean")]
KILL_AFTER = ["tokens/main", *_MORE]


def start_build(root: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "LAKEHOUSE_ROOT": str(root), "PYTHONPATH": str(REPOSITORY)}
    environment.pop("LAKEHOUSE_MODEL_URL", None)
    command = [sys.executable, "-m", "lakehouse", "build", "+shards/main", "--workers", "2"]
    return subprocess.Popen(
        command,
        env=environment,
        cwd=REPOSITORY,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=_listen_to_ctrl_c,
    )


def _listen_to_ctrl_c() -> None:
    # A shell that starts the tests in the background makes its children deaf to it.
    signal.signal(signal.SIGINT, signal.default_int_handler)


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


def test_what_killed_runs_left_outside_the_tables_is_removed_a_day_later(tmp_path: Path) -> None:
    write_archive(tmp_path / "landing/web/s1/a.warc.gz", small_web())
    old, new = tmp_path / ".scratch/shards-old", tmp_path / "training/main/.partial-new"
    for folder in (old, new):
        folder.mkdir(parents=True)
        (folder / "main-00000.bin").write_bytes(b"half a shard")
    two_days_ago = time.time() - 2 * 24 * 3600
    os.utime(old, (two_days_ago, two_days_ago))
    build(tmp_path, "raw/web")
    assert not old.exists()
    assert new.exists()


def test_ctrl_c_ends_a_build_with_one_line_and_the_next_one_finishes(tmp_path: Path) -> None:
    for number in range(40):
        write_archive(tmp_path / f"landing/web/s1/{number}.warc.gz", small_web(number * 100, 60))
    process = start_build(tmp_path)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("raw/web/**/*.parquet")) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=30)

    assert process.returncode == 130
    assert said.decode().split("\n")[-2] == ("Interrupted. Nothing half-written is part of the lake.")
    assert "Traceback" not in said.decode()
    build(tmp_path, "raw/web", LAKEHOUSE_WORKERS="2")
    found = rows(Lake(tmp_path), "SELECT count(*), count(DISTINCT doc_id) FROM raw.web")
    assert found == [(40 * 62, 40 * 62)]
