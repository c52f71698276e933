"""`lakehouse explore` for real, in a browser."""

from __future__ import annotations

import http.server
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("marimo")
from archives import REPOSITORY, WebPage, article, small_web, write_archive
from browser import Page, browsing
from lakes import build

from lakehouse.lake import Lake

HOSTILE = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A lake with one page that is full of markup, also where text is expected."""
    root = tmp_path_factory.mktemp("explored") / "the lake"
    escaped = HOSTILE.replace("<", "&lt;")
    body = f"<html><head><title>{escaped}</title></head><body>{HOSTILE}<p>{escaped} {article(7)}</p></body></html>"
    write_archive(root / "landing/web/s1/a.warc.gz", [*small_web(), WebPage("http://evil.test/", body)])
    build(root)
    return Lake(root)


@pytest.fixture(scope="module")
def address(lake: Lake) -> Iterator[str]:
    """Where the explorer is, token included."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = lake.root.parent / "explore.log"
    environment = {**os.environ, "LAKEHOUSE_ROOT": str(lake.root), "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-m", "lakehouse", "explore", "--port", str(port)]
    with log.open("w") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + 60
        while not (found := re.search(r"http://127\.0\.0\.1:\d+/\?access_token=\S+", log.read_text())) or not up(port):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        yield found[0]
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) is not None
    finally:
        process.kill()


def up(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def page(address: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browsing(address, tmp_path_factory.mktemp("profile")) as page:
        page.wait_for("What became of every record")
        yield page


def test_without_the_token_nothing_is_served(address: str) -> None:
    with urllib.request.urlopen(address.partition("?")[0], timeout=30) as answer:
        assert "/auth/login" in answer.url
        assert "Lakehouse explorer" not in answer.read().decode()


def test_the_waterfall_is_drawn(page: Page, tmp_path: Path) -> None:
    page.click("tab", "Waterfall")
    page.wait_for("filtered/web_clean")
    deadline = time.monotonic() + 20
    while not page.run("return document.body.innerHTML.includes('marimo-vega') ") and time.monotonic() < deadline:
        time.sleep(0.2)
    picture = page.picture(tmp_path / "explorer.png")
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 20_000, "a blank page is smaller"


def test_moving_the_threshold_shows_what_stays(page: Page, lake: Lake) -> None:
    words = sorted(lake.scan("annotations/web/gopher_quality").collect()["n_words"])
    threshold = words[len(words) // 2]
    stay = sum(n >= threshold for n in words)
    page.click("tab", "Scores")
    page.wait_for("documents stay")
    page.fill("input[inputmode=numeric]", str(threshold))
    page.wait_for(f"documents stay {stay} {stay / len(words):.1%} of {len(words)}")


def test_a_query_is_answered_and_a_wrong_one_says_what_is_wrong(page: Page) -> None:
    page.click("tab", "SQL")
    page.wait_for("One query that reads")
    page.fill("textarea", "SELECT 'forty-' || 'two' AS answer")
    page.wait_for("forty-two")
    page.fill("textarea", "SELECT * FROM read_csv('/etc/passwd')")
    page.wait_for("Permission Error")
    assert "root:" not in page.text()


@pytest.mark.parametrize("value", ["{address}/a.png", "<img src={address}/b.png>", "![]({address}/c.png)"])
def test_an_address_in_an_answer_is_shown_and_not_fetched(page: Page, value: str) -> None:
    asked: list[str] = []

    class Pictures(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(404)
            self.end_headers()

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pictures) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        shown = value.format(address=f"http://127.0.0.1:{server.server_port}")
        page.click("tab", "SQL")
        page.wait_for("One query that reads")
        page.fill("textarea", f"SELECT '{shown}' AS answer, 'that was ' || '{value[:1]}' AS more")
        page.wait_for(f"that was {value[:1]}")
        assert shown in page.text()
        time.sleep(1)
        server.shutdown()
    assert asked == []


def test_markup_in_documents_is_shown_and_not_run(page: Page) -> None:
    page.click("tab", "Documents")
    page.wait_for("or show me")
    page.fill("input[placeholder='a doc_id or a URL']", "http://evil.test/")
    page.wait_for("document.title='owned'")
    page.click("button", "What was fetched (source, not rendered)")
    time.sleep(1)
    assert page.run("return document.title") != "owned"
