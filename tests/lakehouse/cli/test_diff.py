"""`lakehouse diff`, on a lake that was built twice, with another threshold."""

from __future__ import annotations

import errno
import json
import os
import pty
import re
import subprocess
import sys

import polars as pl
import pytest
from archives import REPOSITORY, WebPage, article, write_archive
from lakes import build, declared, environment
from typer.testing import CliRunner

from assets.materialization import asset_key
from lakehouse.cli import app
from lakehouse.cli.instance import open_instance
from lakehouse.commits import Origin
from lakehouse.lake import Lake

KEPT, LEDGER = "filtered/web_clean", "rejects/web_clean"
PAGES = {"long-1": 12, "long-2": 12, "short-1": 6, "short-2": 6, "tiny": 1}  # sentences of about 20 words
EDITED = "http://news.test/long-1"


def page(name: str, sentences: int, seed: int) -> WebPage:
    paragraphs = "".join(f"<p>{paragraph}</p>" for paragraph in article(seed, sentences).split("\n\n"))
    return WebPage(f"http://news.test/{name}", f"<html><body><main>{paragraphs}</main></body></html>")


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """The set of s1: version 1 asks for 50 words, version 2 for 200; version 3 has an edited text."""
    lake = Lake(tmp_path_factory.mktemp("diff") / "the lake")
    pages = [page(name, sentences, seed) for seed, (name, sentences) in enumerate(PAGES.items())]
    write_archive(lake.landing / "web/s1/a.warc.gz", pages)
    build(lake.root, f"+{KEPT}")
    definitions = declared(lake.root, rules=["consent", {"gopher_quality": {"min_words": 200}}])
    with environment(lake.root), open_instance(lake) as instance:
        definitions.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=instance, asset_selection=[asset_key(KEPT), asset_key(LEDGER)], partition_key="s1"
        )
    made = lake.commit_at(KEPT, 2)
    text = pl.col("text").str.replace("day", "\x1b[31mday [bold]") + "\nA last line."
    edited = lake.scan(KEPT).with_columns(text=pl.when(pl.col("url") == EDITED).then(text).otherwise("text")).collect()
    by_hand = Origin("by-hand", KEPT, made.code_version, made.config_hash, made.inputs, made.details)
    lake.replace_frame(KEPT, edited, by_hand, snapshot="s1")
    return lake


def process(lake: Lake, *arguments: str) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, "LAKEHOUSE_ROOT": str(lake.root), "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-m", "lakehouse", "diff", *arguments]
    return subprocess.run(command, env=variables, capture_output=True, text=True, timeout=60, check=False)


def diff(lake: Lake, *arguments: str) -> str:
    """What the command prints to a pipe."""
    with environment(lake.root):
        done = CliRunner().invoke(app, ["diff", *arguments])
    assert done.exit_code == 0, done.output
    return done.stdout


def words(shown: str) -> str:
    """What was printed, with single spaces between words."""
    return " ".join(shown.split())


def test_another_threshold_drops_the_short_pages_and_nothing_else(lake: Lake) -> None:
    shown = diff(lake, KEPT, "1", "2", "--rows")
    assert "0 added, 2 removed, 0 changed, 2 unchanged" in shown
    assert "s1: made with other settings: configuration" in shown
    assert "s1 web en 0 2 0" in words(shown)
    assert "Removed: dropped in version 2 by" in shown
    assert "gopher_min_words 200 2" in words(shown)
    listed = re.findall(r"^([-+~]) \w{32}  (\S+)  (.*)$", shown, re.MULTILINE)
    assert sorted((mark, url) for mark, url, _ in listed) == [
        ("-", "http://news.test/short-1"),
        ("-", "http://news.test/short-2"),
    ]
    assert all(re.fullmatch(r"dropped by gopher_min_words \(1\d\d, threshold 200\)", why) for *_, why in listed)


def test_the_other_way_round_they_were_dropped_before(lake: Lake) -> None:
    shown = diff(lake, KEPT, "2", "1")
    assert "2 added, 0 removed, 0 changed, 2 unchanged" in shown
    assert "Added: dropped in version 2 by" in shown


def test_the_ledger_shows_which_rule_dropped_a_page_before_and_now(lake: Lake) -> None:
    shown = words(diff(lake, LEDGER, "1", "2", "--rows"))
    assert "2 added, 0 removed, 1 changed, 0 unchanged" in shown  # the tiny page: at another threshold
    assert "(not dropped) gopher_min_words 2" in shown
    assert "gopher_min_words gopher_min_words 1" in shown
    assert "http://news.test/short-2 not dropped → gopher_min_words" in shown
    assert "http://news.test/tiny gopher_min_words (threshold)" in shown


def test_json_is_one_object_with_every_number(lake: Lake) -> None:
    (line,) = diff(lake, KEPT, "1", "2", "--rows", "--max-rows", "1", "--format", "json").splitlines()
    found = json.loads(line)
    assert found["totals"] == {"added": 0, "removed": 2, "changed": 0, "unchanged": 2}
    assert (found["before"]["rows"], found["after"]["rows"]) == (4, 2)
    assert found["before"]["run_id"] != found["after"]["run_id"]
    assert found["rules"] == [
        {
            "stage": "quality",
            "rule": "gopher_min_words",
            "removed": 2,
            "threshold_after": 200.0,
            "added": 0,
            "threshold_before": None,
        }
    ]
    assert len(found["rows"]) == 1


def test_without_versions_the_newest_is_compared_with_the_one_before_it(lake: Lake) -> None:
    shown = diff(lake, KEPT)
    assert "0 added, 0 removed, 1 changed, 1 unchanged" in shown
    assert "text 1" in words(shown)


def test_a_changed_document_is_a_plain_unified_diff_in_a_pipe(lake: Lake) -> None:
    lines = diff(lake, KEPT, "--doc", EDITED).splitlines()
    start = lines.index(f"--- {KEPT}@2")
    assert lines[start + 1] == f"+++ {KEPT}@3"
    assert lines[start + 2].startswith("@@ -1,")
    changed = [line for line in lines[start + 3 :] if line[0] in "+-"]
    first = article(0).split("\n\n")[0]
    assert changed == [
        f"-{first}",
        # What a terminal would obey is written out.
        "+" + first.replace("day", r"\u001b[31mday [bold]", 1),
        "+A last line.",
    ]


def test_on_a_terminal_it_has_colours_and_marks_the_words_that_differ(lake: Lake) -> None:
    ours, theirs = pty.openpty()
    variables = {**os.environ, "LAKEHOUSE_ROOT": str(lake.root), "PYTHONPATH": str(REPOSITORY), "TERM": "xterm"}
    variables.pop("NO_COLOR", None)
    command = [sys.executable, "-m", "lakehouse", "diff", KEPT, "--doc", EDITED]
    with subprocess.Popen(command, env=variables, stdin=theirs, stdout=theirs, stderr=theirs) as running:
        os.close(theirs)
        shown = b""
        try:
            while part := os.read(ours, 65_536):
                shown += part
        except OSError as end:
            assert end.errno == errno.EIO  # how a terminal says that the command has ended  # noqa: PT017
    os.close(ours)
    assert running.returncode == 0
    text = shown.decode()
    assert "\x1b[32m+A last line.\x1b[0m" in text
    assert re.search(r"\x1b\[31m-[^\x1b]*\x1b\[0m\x1b\[1;7;31mday\x1b\[0m", text)
    assert "\x1b[31mday" not in text, "what the page says is not obeyed"


def test_a_document_that_was_dropped_comes_with_its_rule(lake: Lake) -> None:
    shown = diff(lake, KEPT, "1", "2", "--doc", "http://news.test/short-1")
    assert "In version 1." in shown
    assert re.search(r"Not in version 2: dropped by gopher_min_words \(1\d\d, threshold 200\)\.", shown)
    tiny = diff(lake, KEPT, "1", "2", "--doc", "http://news.test/tiny")
    assert re.search(r"Not in version 1: dropped by gopher_min_words \(\d\d, threshold 50\)\.", tiny)
    assert re.search(r"Not in version 2: dropped by gopher_min_words \(\d\d, threshold 200\)\.", tiny)
    assert "The same in versions 1 and 2." in diff(lake, KEPT, "1", "2", "--doc", EDITED)


def test_a_document_as_json(lake: Lake) -> None:
    found = json.loads(diff(lake, KEPT, "--doc", EDITED, "--format", "json"))
    (document,) = found["documents"]
    assert document["in"] == [2, 3]
    assert document["columns"] == {}
    assert document["text"][:2] == [f"--- {KEPT}@2", f"+++ {KEPT}@3"]
    gone = json.loads(diff(lake, KEPT, "1", "2", "--doc", "http://news.test/short-2", "--format", "json"))
    assert gone["documents"][0]["in"] == [1]
    assert gone["documents"][0]["ledger_after"]["rule"] == "gopher_min_words"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([KEPT, "-1", "2"], f"Error: {KEPT} has no version -1: it has versions 0 to 3."),
        ([KEPT, "1", "9"], f"Error: {KEPT} has no version 9: it has versions 0 to 3."),
        (["raw/web"], "Error: raw/web has no rows before version 1: there is nothing to compare it with."),
        (
            ["raw/../../etc"],
            "Error: table 'raw/../../etc' is unknown: a table is <layer>/<name>, annotations/<set>/<annotator> or ",
        ),
        (["filtered/nowhere"], "Error: There is no table 'filtered/nowhere' in"),
        ([KEPT, "--doc", "nobody"], f"Error: Neither version 2 nor version 3 of {KEPT} has 'nobody'"),
    ],
)
def test_bad_input_is_one_clear_line(lake: Lake, arguments: list[str], message: str) -> None:
    done = process(lake, *arguments)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith(message)
    assert len(done.stderr.splitlines()) == 1
