"""What the polite crawler writes, and how it spells addresses."""

from __future__ import annotations

import base64
import gzip
import hashlib
import resource
import socket
import time
from pathlib import Path

import pytest
from fastwarc.warc import ArchiveIterator, WarcRecordType
from hypothesis import given
from hypothesis import strategies as st
from scripted_site import FAST, Serve, answer, crawl, links, stored

from lakehouse.crawl.errors import CrawlError
from lakehouse.crawl.http_message import HttpMessage
from lakehouse.crawl.links import canonical_url, links_of
from lakehouse.crawl.site import FetchedUrl, crawl_site

# ---- the file ------------------------------------------------------------------------------------------------------


def test_bodies_come_back_from_the_file_as_they_were_served(serve: Serve, warc: Path) -> None:
    zipped = gzip.compress(b"<p>zipped", mtime=0)
    chunks = b"5\r\n<p>ch\r\n4;x=y\r\nunks\r\n0\r\n\r\n"
    site = serve(
        {
            "/": links("/zip", "/chunks", "/close", "/empty"),
            "/zip": answer(zipped, "Content-Encoding: gzip"),
            "/chunks": b"HTTP/1.1 200 OK\r\nServer: odd  name\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks,
            "/close": b"HTTP/1.0 200 OK\r\n\r\n" + bytes(range(256)),
            "/empty": answer(b"", status="204 No Content"),
        }
    )
    crawl(site, warc)
    pages = {page.url.removeprefix(site.url("")): page for page in stored(warc)}
    assert pages["/zip"].body == zipped
    assert pages["/chunks"].body == b"<p>chunks"
    assert pages["/chunks"].headers == {
        "Server": "odd  name",
        "X-Crawler-Transfer-Encoding": "chunked",
        "Content-Length": "9",
    }
    assert pages["/close"].body == bytes(range(256))
    assert (pages["/empty"].status, pages["/empty"].body) == (204, b"")


def test_headers_are_stored_as_they_were_sent(serve: Serve, warc: Path) -> None:
    sent = b"HTTP/1.1 200 Fine\nX-Odd :  a\nx-odd: b\ncontent-length: 4\n\nbody"
    crawl(serve({"/": sent}), warc)
    blocks = [record.reader.read() for record in ArchiveIterator(str(warc), parse_http=False)]
    assert blocks[-1] == sent


def test_the_file_is_a_proper_warc(serve: Serve, warc: Path) -> None:
    crawl(serve({"/": links("/a"), "/a": links()}), warc)
    records = []
    for record in ArchiveIterator(str(warc), parse_http=False):
        assert record.verify_block_digest()
        records.append((record.record_type, dict(record.headers.items()), record.reader.read()))
    kinds = [kind for kind, _, _ in records]
    assert kinds == [WarcRecordType.warcinfo] + [WarcRecordType.request, WarcRecordType.response] * 3
    assert b"robots: obey" in records[0][2]
    requests, responses = records[1::2], records[2::2]
    for (_, request, sent), (_, response, received) in zip(requests, responses, strict=True):
        assert request["WARC-Concurrent-To"] == response["WARC-Record-ID"]
        assert request["WARC-Target-URI"] == response["WARC-Target-URI"]
        assert request["WARC-Date"] == response["WARC-Date"]
        assert response["WARC-IP-Address"] == "127.0.0.1"
        assert sent.startswith(b"GET /")
        assert b"\r\nUser-Agent: lakehouse/" in sent
        body = received.partition(b"\r\n\r\n")[2]
        assert response["WARC-Payload-Digest"] == "sha1:" + base64.b32encode(hashlib.sha1(body).digest()).decode()
    # Every record is a gzip member of its own: the file can be read from any record's offset on.
    offsets = [record.stream_pos for record in ArchiveIterator(str(warc), parse_http=False)]
    data = warc.read_bytes()
    assert all(gzip.decompress(data[offset:]).startswith(b"WARC/1.1\r\n") for offset in offsets)


def test_ctrl_c_leaves_a_whole_file_of_what_was_fetched(serve: Serve, warc: Path) -> None:
    seen: list[FetchedUrl] = []

    def press(page: FetchedUrl) -> None:
        seen.append(page)
        if len(seen) == 3:
            raise KeyboardInterrupt

    site = serve({"/": links("/a", "/b", "/c"), "/a": links(), "/b": links()})
    report = crawl_site([site.url("/")], warc, limits=FAST, on_page=press)
    assert (report.pages, report.stopped_by) == (3, "interrupted")
    assert [page.url for page in stored(warc)][1:] == [page.url for page in seen]
    assert list(warc.parent.iterdir()) == [warc]


def test_a_crawl_that_fails_leaves_no_file_that_could_be_taken_for_whole(serve: Serve, warc: Path) -> None:
    def fail(_: FetchedUrl) -> None:
        assert not warc.exists()
        raise RuntimeError("defect in the caller")

    site = serve({"/": links()})
    with pytest.raises(RuntimeError, match="defect"):
        crawl_site([site.url("/")], warc, limits=FAST, on_page=fail)
    assert [path.name for path in warc.parent.iterdir()] == ["crawl.warc.gz.partial"]


def test_a_full_disk_is_one_clear_line_and_whole_records_stay(serve: Serve, warc: Path) -> None:
    noise = hashlib.shake_128(b"seed").digest(30_000)
    site = serve({"/": links("/a", "/b"), "/a": answer(noise), "/b": answer(noise)})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))  # no file grows beyond: /b does not fit
    try:
        with pytest.raises(CrawlError, match=r"\.partial cannot be written: File too large\."):
            crawl(site, warc)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    partial = warc.with_name("crawl.warc.gz.partial")
    assert [page.url for page in stored(partial)] == [site.url(path) for path in ("/robots.txt", "/", "/a")]
    assert gzip.decompress(partial.read_bytes())


def test_another_crawls_file_is_never_overwritten(serve: Serve, warc: Path) -> None:
    warc.write_bytes(b"precious")
    with pytest.raises(CrawlError, match="exists"):
        crawl(serve({"/": links()}), warc)
    assert warc.read_bytes() == b"precious"


def test_an_unwritable_path_is_one_clear_line(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(CrawlError, match=r"crawl\.warc\.gz\.partial cannot be written: .+\.$"):
        crawl(serve({"/": links()}), tmp_path / "file" / "crawl.warc.gz")


# ---- addresses -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "seed",
    ["", "example.org", "ftp://example.org/", "http://", "http://u:p@example.org/", "http://a b/", "http://x:99999/"],
)
def test_a_bad_seed_is_one_clear_line(seed: str, warc: Path) -> None:
    with pytest.raises(CrawlError, match="cannot be crawled"):
        crawl_site([seed], warc, limits=FAST)
    assert not warc.exists()


@pytest.mark.parametrize("agent", ["", "1bot", "bot\r\nCookie: a", "bøt"])
def test_a_user_agent_that_would_break_the_request_is_refused(agent: str, warc: Path) -> None:
    with pytest.raises(CrawlError, match="user agent"):
        crawl_site(["http://example.invalid/"], warc, limits=FAST, user_agent=agent)


def test_nothing_reachable_names_the_cause(warc: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound, not listening: connections are refused
        port = unused.getsockname()[1]
        with pytest.raises(CrawlError, match=rf"127\.0\.0\.1:{port}/robots\.txt: .*refused"):
            crawl_site([f"http://127.0.0.1:{port}/"], warc, limits=FAST)
    assert list(warc.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("HTTP://Example.ORG:80", "http://example.org/"),
        ("https://example.org:443/a/../b/./c/..", "https://example.org/b/"),
        ("https://example.org:8443/?q=a b#f", "https://example.org:8443/?q=a%20b"),
        ("http://bücher.example/ä?ö=%20", "http://xn--bcher-kva.example/%C3%A4?%C3%B6=%20"),
        ("http://[2001:DB8::1]:8080/x", "http://[2001:db8::1]:8080/x"),
        ("http://example.org./../../a", "http://example.org/a"),
        ("../c?d", "http://base.test/c?d"),
        ("//other.test/x", "http://other.test/x"),
        ("java\nscript:alert(1)", None),
        ("mailto:a@example.com", None),
        ("http://" + "a" * 64 + ".test/", None),
        ("http://example.org/" + "a" * 2_100, None),
        ("http://exa mple.org/", None),
    ],
)
def test_an_address_has_one_spelling(reference: str, expected: str | None) -> None:
    assert canonical_url(reference, "http://base.test/a/b") == expected


@given(
    st.builds(
        str.__add__, st.sampled_from(["", "//", "?", "http://", "https://a.test", "http://a."]), st.text(max_size=40)
    )
)
def test_any_reference_gives_an_address_that_is_its_own_canonical_form_or_none(reference: str) -> None:
    url = canonical_url(reference, "http://base.test/a/b?c")
    if url is not None:
        assert url.isascii()
        assert url.isprintable()
        assert " " not in url
        assert canonical_url(url) == url


@given(st.binary(max_size=300))
def test_no_page_stops_the_reading_of_links(page: bytes) -> None:
    message = HttpMessage(200, "OK", (("content-type", "text/html; charset=x"),), b"<a href='" + page + b"'>" + page)
    assert all(link.startswith("http") for link in links_of(message, "http://base.test/"))


def test_a_page_of_very_many_links_is_read_in_seconds() -> None:
    started = time.monotonic()
    page = b"".join(b"<a href=/%d>x</a>" % n for n in range(50_000))
    assert len(links_of(HttpMessage(200, "OK", (("content-type", "text/html"),), page), "http://base.test/")) == 50_000
    assert time.monotonic() - started < 20
