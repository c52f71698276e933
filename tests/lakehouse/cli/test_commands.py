"""What the commands print, on a lake and on plain files."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from archives import REPOSITORY, article, small_web, write_archive
from lakes import build
from typer.testing import CliRunner

from lakehouse.cli import app
from lakehouse.lake import Lake


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def lakehouse(*arguments: str, root: Path, stdin: str | None = None) -> str:
    environment = {**os.environ, "LAKEHOUSE_ROOT": str(root), "PYTHONPATH": str(REPOSITORY), "COLUMNS": "160"}
    command = [sys.executable, "-m", "lakehouse", *arguments]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=120, check=False, input=stdin
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built")
    write_archive(folder / "landing/web/s1/a.warc.gz", small_web())
    build(folder, "+shards/main")
    return folder


def test_ingest_shows_what_became_of_each_file(tmp_path: Path) -> None:
    write_archive(tmp_path / "crawls/one.warc.gz", small_web())
    whole = (tmp_path / "crawls/one.warc.gz").read_bytes()
    (tmp_path / "crawls/cut off.warc.gz").write_bytes(whole[: len(whole) // 2])
    shown = lakehouse("ingest", str(tmp_path / "crawls"), "--snapshot", "s1", root=tmp_path / "lake")

    files = {file["warc_file"]: file for file in Lake(tmp_path / "lake").scan("files/web").collect().to_dicts()}
    assert files["web/s1/one.warc.gz"]["documents"] == 14
    cut = files["web/s1/cut off.warc.gz"]
    assert 0 < cut["documents"] < 14
    assert 0 < cut["error_offset"] <= len(whole) // 2
    assert f"web/s1/cut off.warc.gz at byte {cut['error_offset']:,}: {cut['error']}" in shown
    again = lakehouse("ingest", str(tmp_path / "crawls"), "--snapshot", "s1", root=tmp_path / "lake")
    assert "These files were read before: nothing was done." in again


def test_crawl_brings_a_site_into_the_landing_folder(tmp_path: Path) -> None:
    site = tmp_path / "site"
    (site / "private").mkdir(parents=True)
    (site / "index.html").write_text('<a href="/story.html">Story</a> <a href="/private/secret.html">Secret</a>')
    (site / "story.html").write_text(f"<title>Story</title><p>{article(3)}</p>")
    (site / "private/secret.html").write_text("<p>Nobody may read this.</p>")
    (site / "robots.txt").write_text("User-agent: *\nDisallow: /private/\n")
    handler = functools.partial(QuietHandler, directory=str(site))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_address[1]}"
        shown = lakehouse("crawl", f"{address}/", "--delay", "0", "--snapshot", "s1", root=tmp_path / "lake")
        server.shutdown()
    assert "Crawled 2 pages" in shown
    assert "robots.txt forbids 1 more." in shown
    build(tmp_path / "lake", "raw/web")
    urls = Lake(tmp_path / "lake").scan("raw/web").collect()["url"].to_list()
    assert urls == [f"{address}/", f"{address}/story.html"]


def test_sql_prints_tables_csv_and_json(root: Path) -> None:
    query = "SELECT rule, count(*) AS documents FROM rejects.web GROUP BY 1 ORDER BY 1"
    assert "content_type" in lakehouse("sql", query, root=root)
    assert lakehouse("sql", query, "--format", "csv", root=root) == (
        "rule,documents\ncontent_type,1\nhttp_status,1\nredirect,1\n"
    )
    lines = lakehouse("sql", query, "--format", "json", root=root).splitlines()
    assert json.loads(lines[0]) == {"rule": "content_type", "documents": 1}


def test_status_says_what_is_up_to_date_and_why_the_rest_is_not(root: Path) -> None:
    shown = lakehouse("status", root=root)
    assert "shards/main" in shown
    assert "stats/waterfall" in shown
    assert "never built" in shown  # the statistics were not selected


def test_history_shows_versions_and_what_they_were_made_from(root: Path) -> None:
    shown = lakehouse("history", "filtered/web_clean", root=root)
    assert "raw/web@1" in shown


def test_trace_prints_the_address_of_the_record(root: Path) -> None:
    sequence = Lake(root).sql("SELECT min(sequence_id) AS id FROM shards.main")["id"][0]
    shown = lakehouse("trace", sequence, root=root)
    assert "shards/main" in shown
    assert "http://news.test/" in shown
    assert "record at web/s1/a.warc.gz:" in shown


def test_doctor_finds_a_data_file_that_is_gone(root: Path) -> None:
    assert "all data files present" in lakehouse("doctor", root=root)
    lake = Lake(root)
    file = lake.files("annotations/web/gopher_quality")[0]
    moved = file.rename(file.with_suffix(".moved"))
    try:
        environment = {**os.environ, "LAKEHOUSE_ROOT": str(root), "PYTHONPATH": str(REPOSITORY), "COLUMNS": "160"}
        command = [sys.executable, "-m", "lakehouse", "doctor"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    finally:
        moved.rename(file)
    assert done.returncode == 1
    assert "annotations/web/gopher_quality lacks" in done.stdout


def test_extract_turns_html_into_json_lines(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(f"<title>A page</title><body><main><p>{article(1)}</p></main></body>")
    (tmp_path / "empty.html").write_text("")
    shown = lakehouse("extract", str(tmp_path / "page.html"), str(tmp_path / "empty.html"), root=tmp_path)
    page, empty = (json.loads(line) for line in shown.splitlines())
    assert (page["path"], page["title"], page["language"]) == (str(tmp_path / "page.html"), "A page", "en")
    assert article(1).split("\n")[0] in page["text"]
    assert (empty["text"], empty["path"]) == ("", str(tmp_path / "empty.html"))
    assert empty["error"]


def test_filter_says_of_each_text_whether_it_is_kept_and_why_not(tmp_path: Path) -> None:
    texts = [{"id": "good", "text": article(1)}, {"id": "short", "text": "The end."}]
    (tmp_path / "texts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in texts))
    shown = lakehouse("filter", str(tmp_path / "texts.jsonl"), root=tmp_path)
    good, short = (json.loads(line) for line in shown.splitlines())
    assert good == {"id": "good", "kept": True, "stage": None, "rule": None, "value": None, "threshold": None}
    assert short == {
        "id": "short",
        "kept": False,
        "stage": "quality",
        "rule": "gopher_min_words",
        "value": 2.0,
        "threshold": 50.0,
    }
    assert lakehouse("filter", "-", root=tmp_path, stdin=(tmp_path / "texts.jsonl").read_text()) == shown


def test_filter_survives_text_that_utf8_cannot_hold(tmp_path: Path) -> None:
    line = json.dumps({"id": "a\ud800", "text": "The \ud800 end."}) + "\n"
    (verdict,) = lakehouse("filter", "-", root=tmp_path, stdin=line).splitlines()
    assert json.loads(verdict)["rule"] == "gopher_min_words"


def test_every_command_explains_itself() -> None:
    for command in app.registered_commands:
        name = command.name or command.callback.__name__  # type: ignore[union-attr]
        shown = CliRunner().invoke(app, [name, "--help"])
        assert shown.exit_code == 0
        assert f"Usage: lakehouse {name}" in " ".join(shown.output.replace("root", "lakehouse", 1).split())
        options = [line for line in shown.output.splitlines() if line.startswith("│ --") and "--help" not in line]
        assert all(len(line.split()) > 4 for line in options), f"{name}: an option without an explanation"
