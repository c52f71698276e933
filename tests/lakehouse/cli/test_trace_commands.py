"""What `lakehouse trace` and `lakehouse why` print."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from archives import REPOSITORY, WebPage, small_web, write_archive
from lakes import build, rows

from lakehouse.lake import Lake

HOSTILE = WebPage("http://evil.test/", "x", headers={"Content-Type": "image/[bold]\x1b[31mred"})


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("traced")
    write_archive(folder / "landing/web/s1/a.warc.gz", [*small_web(), HOSTILE])
    build(folder, "+shards/main")
    return folder


def run(*arguments: str, root: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "LAKEHOUSE_ROOT": str(root), "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-m", "lakehouse", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def printed(*arguments: str, root: Path) -> str:
    done = run(*arguments, root=root)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_a_sequence_is_an_indented_tree_down_to_the_records(root: Path) -> None:
    sequence = str(rows(Lake(root), "SELECT min(sequence_id) FROM shards.main")[0][0])
    lines = printed("trace", sequence, root=root).splitlines()
    assert lines[0].startswith(f"shards/main {sequence}  shard 0, sequence 0, ")
    assert lines[1].startswith("  mixtures/main ")
    assert lines[2].startswith("    filtered/web_clean ")
    assert lines[3].startswith("      raw/web ")
    assert lines[4].startswith("        record at web/s1/a.warc.gz:")


def test_forward_ends_in_the_sequences_with_the_place_in_each(root: Path) -> None:
    lines = printed("trace", "--forward", "http://news.test/0.html", root=root).splitlines()
    assert lines[0].startswith("raw/web ")
    assert lines[2].startswith("  rejects/web_clean ")
    assert " (kept copy)  " in lines[3]
    assert lines[-1].startswith("        shards/main main-")
    assert ", start " in lines[-1]
    assert ", length " in lines[-1]


def test_json_has_a_line_a_row_with_the_record_that_was_found(root: Path) -> None:
    shown = printed("trace", "http://news.test/3.html", "--format", "json", root=root)
    links = [json.loads(line) for line in shown.splitlines()]
    assert [link["what"] for link in links] == ["mixture", "filtered", "raw"]
    assert [link["depth"] for link in links] == [0, 1, 2]
    raw = links[-1]
    assert raw["parent"] == ["filtered/web_clean", raw["identifier"]]
    assert raw["record"]["url"] == raw["facts"]["url"] == "http://news.test/3.html"


def test_a_record_that_is_gone_is_said_and_the_chain_is_shown_all_the_same(root: Path) -> None:
    archive = root / "landing/web/s1/a.warc.gz"
    moved = archive.rename(archive.with_suffix(".away"))
    try:
        done = run("trace", "http://news.test/3.html", root=root)
    finally:
        moved.rename(archive)
    assert done.returncode == 1
    assert done.stdout.splitlines()[2].startswith("    raw/web ")
    assert "no record at web/s1/a.warc.gz:" in done.stdout


def test_why_is_a_sentence_a_step(root: Path) -> None:
    shown = printed("why", "http://news.test/thin-0", root=root).splitlines()
    assert shown[0].endswith("  http://news.test/thin-0")
    assert shown[1].startswith("  read       raw/web read it from web/s1/a.warc.gz at byte ")
    assert shown[2] == ("  dropped    filtered/web_clean dropped it: gopher_min_words, 7 where at least 50 is asked.")
    assert [line.split()[0] for line in printed("why", "http://news.test/3.html", root=root).splitlines()[1:]] == [
        "read",
        "kept",
        "drawn",
        "held",
    ]


def test_why_in_json_has_the_rule_the_value_and_the_kept_copy(root: Path) -> None:
    shown = printed("why", "http://news.test/0.html", "--format", "json", root=root)
    dropped = json.loads(shown.splitlines()[-1])
    assert (dropped["rule"], dropped["kept_url"]) == ("exact_duplicate", "http://copies.test/900.html")


def test_what_nothing_has_is_one_line_with_what_to_try(root: Path) -> None:
    for arguments in (("why", "nonsense"), ("trace", "nonsense"), ("trace", "--forward", "nonsense")):
        done = run(*arguments, root=root)
        assert (done.returncode, done.stdout) == (1, "")
        assert len(done.stderr.splitlines()) == 1
        assert "is called 'nonsense'. Give a sequence_id of a shard, a doc_id or a URL." in done.stderr
    done = run("why", "https://news.test/3.html#top", root=root)
    assert "Did you mean http://news.test/3.html?" in done.stderr


def test_what_a_server_said_is_shown_as_text_whatever_it_is(root: Path) -> None:
    for command in ("why", "trace"):
        shown = printed(command, HOSTILE.url, root=root)
        assert r"image/[bold]\x1b[31mred" in shown
        assert "\x1b" not in shown
