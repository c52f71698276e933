"""The demo, as a new user runs it: twice, with one worker and with two."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from archives import REPOSITORY
from lakes import rows

from lakehouse.lake import Lake


def demo(root: Path, workers: int) -> str:
    environment = {**os.environ, "LAKEHOUSE_ROOT": str(root), "PYTHONPATH": str(REPOSITORY), "COLUMNS": "120"}
    environment.pop("LAKEHOUSE_MODEL_URL", None)
    command = [sys.executable, "-m", "lakehouse", "demo", "--workers", str(workers)]
    done = subprocess.run(command, env=environment, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """Two demo lakes, one folder each, and what the demos printed."""
    folder = tmp_path_factory.mktemp("two demos")
    return folder, [demo(folder / f"with {workers}" / "lake", workers) for workers in (1, 2)]


def test_two_crawls_of_the_demo_web_with_one_and_two_workers_give_the_same_shards(
    shown: tuple[Path, list[str]],
) -> None:
    folder, _ = shown
    manifests = [path.read_text() for path in sorted(folder.glob("with */lake/training/main/latest/manifest.json"))]
    assert len(manifests) == 2
    assert manifests[0] == manifests[1]


def test_the_summary_says_what_became_of_every_record(shown: tuple[Path, list[str]]) -> None:
    folder, (summary, _) = shown
    lake = Lake(folder / "with 1" / "lake")
    records = rows(lake, "SELECT sum(records)::BIGINT FROM files.web")[0][0]
    kept = rows(lake, "SELECT count(*) FROM filtered.web_clean")[0][0]
    tokens = rows(lake, "SELECT sum(n_tokens)::BIGINT FROM shards.main")[0][0]
    assert re.search(rf"records +{records:,} ", summary)
    assert re.search(rf"kept +{kept:,} ", summary)
    assert f"{tokens:,} tokens" in summary
    assert "a scripted stand-in and no model" in summary
    for command in ("lakehouse ui", "lakehouse sql ", "lakehouse trace "):
        assert command in summary


def test_the_demo_web_shows_what_crawls_hold(shown: tuple[Path, list[str]]) -> None:
    folder, _ = shown
    lake = Lake(folder / "with 1" / "lake")
    found = {str(rule) for (rule,) in rows(lake, "SELECT DISTINCT rule FROM lake.rejects")}
    assert {
        "redirect",
        "http_status",
        "content_type",
        "language",
        "consent",
        "exact_duplicate",
        "gopher_min_words",
    } <= found
    assert rows(lake, "SELECT count(*) FROM raw.web WHERE url LIKE '%/drafts/%'") == [(0,)]  # robots.txt forbids them
    assert rows(lake, "SELECT DISTINCT difference FROM stats.balance") == [(0,)]


def test_a_second_demo_does_nothing_anew(shown: tuple[Path, list[str]]) -> None:
    folder, _ = shown
    again = demo(folder / "with 1" / "lake", 1)
    assert "Everything is up to date: nothing was done." in again
    assert "What became of every record" in again
