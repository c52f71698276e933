"""The demo web: served for real, crawled for real, the same each time."""

from __future__ import annotations

import gzip
import http.client
import os
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from fastwarc.warc import ArchiveIterator, WarcRecordType

from lakehouse.crawl.site import CrawlLimits, CrawlReport, crawl_site
from lakehouse.demo import DemoWeb
from lakehouse.demo.pydoc_pages import pydoc_pages
from lakehouse.demo.server import PYDOC_HOST, demo_answers

DISALLOWED = "http://gazette.demo.test/drafts/unfinished.html"
LIMITS = CrawlLimits(delay_seconds=0)


@pytest.fixture(scope="module")
def web() -> Iterator[DemoWeb]:
    with DemoWeb() as web:
        yield web


@pytest.fixture(scope="module")
def crawled(web: DemoWeb, tmp_path_factory: pytest.TempPathFactory) -> tuple[CrawlReport, Path]:
    path = tmp_path_factory.mktemp("landing") / "demo.warc.gz"
    return crawl_site(web.seeds, path, limits=LIMITS, proxy=web.proxy), path


def ask(web: DemoWeb, host: str, path: str) -> tuple[int, dict[str, str], bytes]:
    """Ask as a browser does whose name server knows the demo's hosts."""
    connection = http.client.HTTPConnection(urlsplit(web.proxy).netloc, timeout=10)
    connection.putrequest("GET", path, skip_host=True)
    connection.putheader("Host", host)
    connection.endheaders()
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response.status, dict(response.getheaders()), body


def sequence(path: Path) -> list[tuple[str, int, str]]:
    return [
        (record.headers["WARC-Target-URI"], record.http_headers.status_code, record.headers["WARC-Payload-Digest"])
        for record in ArchiveIterator(str(path), record_types=WarcRecordType.response)
    ]


def test_every_page_can_be_reached_except_the_one_that_robots_txt_forbids(
    web: DemoWeb, crawled: tuple[CrawlReport, Path]
) -> None:
    report, path = crawled
    pages = {f"http://{host}{page}" for host, page in web.answers}
    fetched = {url for url, _, _ in sequence(path)}
    assert pages - fetched == {DISALLOWED}
    assert DISALLOWED in report.disallowed_urls
    assert report.errors == []
    assert report.stopped_by is None
    assert {status: n for status, n in report.by_status.items() if status != 200} == {301: 1, 302: 1, 404: 1, 500: 1}
    assert len({host for host, _ in web.answers}) == 6


def test_what_the_crawl_stored_is_what_the_server_serves(web: DemoWeb, crawled: tuple[CrawlReport, Path]) -> None:
    _, path = crawled
    compared = 0
    for record in ArchiveIterator(str(path), record_types=WarcRecordType.response):
        url = urlsplit(record.headers["WARC-Target-URI"])
        answer = web.answers.get((url.netloc, url.path))
        if answer:
            assert record.reader.read() == answer.body
            compared += 1
    assert compared > 170


def test_two_crawls_are_the_same_page_by_page(web: DemoWeb, crawled: tuple[CrawlReport, Path], tmp_path: Path) -> None:
    _, first = crawled
    report = crawl_site(web.seeds, tmp_path / "again.warc.gz", limits=LIMITS, proxy=web.proxy)
    assert sequence(tmp_path / "again.warc.gz") == sequence(first)
    assert report.seconds < 10


def test_a_second_server_serves_the_same_bytes(web: DemoWeb) -> None:
    again = demo_answers(pydoc=False)
    assert again == {(host, path): answer for (host, path), answer in web.answers.items() if host != PYDOC_HOST}
    assert 45 <= sum(path.endswith((".html", "/")) for _, path in again) <= 70


@pytest.mark.slow
def test_pydoc_pages_depend_neither_on_the_hash_seed_nor_on_the_environment(
    web: DemoWeb, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PYTHONHASHSEED", "12345")
    monkeypatch.setenv("PYTHONOPTIMIZE", "2")  # drops docstrings
    monkeypatch.setenv("SECRET_KEY", "do-not-publish")
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.chdir(tmp_path)
    pages = pydoc_pages()
    assert pages == {path: answer.body for (host, path), answer in web.answers.items() if host == PYDOC_HOST}
    assert len(pages) > 100
    everything = b"\n".join(pages.values())
    for private in ("do-not-publish", os.path.dirname(os.__file__), os.path.expanduser("~") + "/", str(tmp_path)):
        assert private.encode() not in everything
    assert not re.search(rb"\bat(?:&nbsp;|\s)0x[0-9a-f]{6,}", everything)
    assert b"Serialize" in pages["/json.html"].replace(b"&nbsp;", b" ")


@pytest.mark.parametrize(
    ("host", "path", "status", "header", "value"),
    [
        ("gazette.demo.test", "/old/lighthouse.html", 301, "Location", "/articles/lighthouse-keeper.html"),
        ("gazette.demo.test", "/today.html", 302, "Location", "http://gazette.demo.test/articles/tide-clock.html"),
        ("gazette.demo.test", "/articles/never-written.html", 404, "Content-Type", "text/html; charset=utf-8"),
        ("gazette.demo.test", "/status/report.html", 500, "Content-Type", "text/html; charset=utf-8"),
        ("gazette.demo.test", "/images/ferry.png", 200, "Content-Type", "image/png"),
        ("gazette.demo.test", "/letters.txt", 200, "Content-Type", "text/plain; charset=utf-8"),
        ("gazette.demo.test", "/ru/sad.html", 200, "Content-Type", "text/html"),
        ("wiki.demo.test", "/tides.html", 200, "Content-Encoding", "gzip"),
        ("forum.demo.test", "/t/108-workshop-poems.html", 200, "X-Robots-Tag", "noai"),
        ("wiki.demo.test", "/robots.txt", 404, "Content-Type", "text/html; charset=utf-8"),
    ],
)
def test_the_irregular_answers(web: DemoWeb, host: str, path: str, status: int, header: str, value: str) -> None:
    answer_status, headers, _ = ask(web, host, path)
    assert (answer_status, headers[header]) == (status, value)


def test_the_two_pages_in_other_charsets(web: DemoWeb) -> None:
    _, headers, spanish = ask(web, "gazette.demo.test", "/es/azafran.html")
    assert headers["Content-Type"] == "text/html; charset=utf-8"  # which is wrong:
    assert "azafrán" in spanish.decode("windows-1252")
    with pytest.raises(UnicodeDecodeError):
        spanish.decode("utf-8")
    _, _, russian = ask(web, "gazette.demo.test", "/ru/sad.html")
    assert b'<meta charset="windows-1251">' in russian
    assert "яблонь" in russian.decode("windows-1251")


def test_the_duplicates(web: DemoWeb) -> None:
    def words(host: str, path: str) -> list[str]:
        article = re.search(r"<h1>.*?</article>", ask(web, host, path)[2].decode(), re.DOTALL)
        assert article
        return re.sub(r"<[^>]+>", " ", article[0]).split()

    tracked = ask(web, "gazette.demo.test", "/articles/salt-harvest.html?utm_source=newsletter")[2]
    assert tracked == ask(web, "gazette.demo.test", "/articles/salt-harvest.html")[2]
    printed = words("gazette.demo.test", "/print/salt-harvest.html")
    assert printed == words("gazette.demo.test", "/articles/salt-harvest.html")
    for name in ("lighthouse-keeper", "night-train", "tide-clock"):
        original = words("gazette.demo.test", f"/articles/{name}.html")
        reprint = words("herald.demo.test", f"/reprints/{name}.html")
        assert original != reprint
        shingles, others = ({tuple(text[i : i + 5]) for i in range(len(text) - 4)} for text in (original, reprint))
        assert 0.8 <= len(shingles & others) / len(shingles | others) < 1


def test_a_page_that_is_gzipped_can_be_unpacked(web: DemoWeb) -> None:
    assert b"<h1>Tides</h1>" in gzip.decompress(ask(web, "wiki.demo.test", "/tides.html")[2])


@pytest.mark.parametrize("path", ["/../server.py", "/%2e%2e/behaviour.json", "//etc/passwd", "http://[x/", "/articles"])
@pytest.mark.parametrize("host", ["gazette.demo.test", "..", "", "localhost"])
def test_nothing_but_its_own_pages_can_be_asked_for(web: DemoWeb, host: str, path: str) -> None:
    assert ask(web, host, path)[0] == 404


def test_the_server_listens_on_loopback_only(web: DemoWeb) -> None:
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", web.proxy)
    assert web.seeds == [
        f"http://{name}.demo.test/" for name in ("docs.python", "forum", "gazette", "herald", "shop", "wiki")
    ]
