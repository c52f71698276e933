"""The polite crawler against real servers on loopback, some of them broken."""

from __future__ import annotations

import base64
import gzip
import hashlib
import resource
import socket
import socketserver
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from fastwarc.warc import ArchiveIterator, WarcRecordType
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.crawl.errors import CrawlError
from lakehouse.crawl.http_message import HttpMessage
from lakehouse.crawl.links import canonical_url, links_of
from lakehouse.crawl.site import CrawlLimits, CrawlReport, FetchedUrl, crawl_site

FAST = CrawlLimits(delay_seconds=0, retries=1, retry_delay_seconds=0, timeout_seconds=5)
RESET = b""  # an answer that is none: the connection is reset

Route = bytes | Callable[[int], bytes | Iterator[bytes]]


def answer(body: bytes = b"", *headers: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", "Content-Type: text/html", f"Content-Length: {len(body)}", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def links(*targets: str) -> bytes:
    return answer("".join(f'<p><a href="{target}">link</a></p>' for target in targets).encode())


@dataclass
class Site:
    """A server whose routes are raw answers, or functions from the number of the request to one."""

    routes: dict[str, Route]
    address: str = ""
    asked: list[str] = field(default_factory=list)
    agents: set[str] = field(default_factory=set)
    started: list[float] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0

    def url(self, path: str) -> str:
        return f"http://{self.address}{path}"


class _Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        site: Site = self.server.site  # type: ignore[attr-defined]
        target = self.rfile.readline().split()[1].decode()
        while (line := self.rfile.readline()).strip():
            if line.lower().startswith(b"user-agent:"):
                site.agents.add(line.split(b":", 1)[1].strip().decode())
        site.started.append(time.monotonic())
        site.at_once += 1
        site.most_at_once = max(site.most_at_once, site.at_once)
        site.asked.append(target)
        try:
            self._reply(site, target)
        finally:
            site.at_once -= 1

    def _reply(self, site: Site, target: str) -> None:
        route = site.routes.get(target, answer(b"<p>nothing here", status="404 Not Found"))
        data = route(site.asked.count(target)) if callable(route) else route
        if data == RESET:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return
        try:
            for piece in [data] if isinstance(data, bytes) else data:
                self.wfile.write(piece)
                self.wfile.flush()
        except ConnectionError:
            pass  # the crawler had enough


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


@pytest.fixture
def serve() -> Iterator[Callable[[dict[str, Route]], Site]]:
    servers = []

    def start(routes: dict[str, Route]) -> Site:
        server = _Server(("127.0.0.1", 0), _Handler)
        site = Site(routes, f"127.0.0.1:{server.server_address[1]}")
        server.site = site  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        servers.append(server)
        return site

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


Serve = Callable[[dict[str, Route]], Site]


@dataclass
class Stored:
    """A response record as fastwarc reads it."""

    url: str
    status: int
    headers: dict[str, str]
    warc_headers: dict[str, str]
    body: bytes


def stored(path: Path) -> list[Stored]:
    records = []
    for record in ArchiveIterator(str(path), record_types=WarcRecordType.response):
        http = record.http_headers
        warc_headers = dict(record.headers.items())
        records.append(
            Stored(
                record.headers["WARC-Target-URI"],
                http.status_code,
                dict(http.items()),
                warc_headers,
                record.reader.read(),
            )
        )
    return records


def crawl(site: Site, path: Path, limits: CrawlLimits = FAST, seed: str = "/") -> CrawlReport:
    return crawl_site([site.url(seed)], path, limits=limits)


@pytest.fixture
def warc(tmp_path: Path) -> Path:
    return tmp_path / "crawl.warc.gz"


# ---- robots.txt ----------------------------------------------------------------------------------------------------


def test_a_page_that_robots_txt_forbids_is_never_requested(serve: Serve, warc: Path) -> None:
    robots = answer(b"\xef\xbb\xbfUser-agent: *\nDisallow: /private/\n")
    site = serve({"/robots.txt": robots, "/": links("/private/a", "/open"), "/open": links("/private/b")})
    report = crawl(site, warc)
    assert site.asked == ["/robots.txt", "/", "/open"]
    assert (report.pages, report.disallowed) == (2, 2)
    assert report.disallowed_urls == [site.url("/private/a"), site.url("/private/b")]


def test_the_group_that_names_the_crawler_counts_and_no_other(serve: Serve, warc: Path) -> None:
    robots = answer(b"User-agent: *\nDisallow: /\n\nUser-agent: lakehouse\nDisallow: /b\n")
    site = serve({"/robots.txt": robots, "/": links("/a", "/b"), "/a": links()})
    crawl(site, warc)
    assert site.asked == ["/robots.txt", "/", "/a"]
    assert all(agent.startswith("lakehouse/") for agent in site.agents)


@pytest.mark.parametrize("status", ["404 Not Found", "403 Forbidden"])
def test_without_a_robots_txt_everything_is_allowed(serve: Serve, warc: Path, status: str) -> None:
    site = serve({"/robots.txt": answer(b"User-agent: *\nDisallow: /", status=status), "/": links("/a")})
    assert crawl(site, warc).pages == 2


@pytest.mark.parametrize("robots", [answer(status="503 Busy"), answer(status="429 Slow down"), RESET])
def test_a_site_whose_robots_txt_cannot_be_had_is_left_alone(serve: Serve, warc: Path, robots: bytes) -> None:
    site = serve({"/robots.txt": robots, "/": links("/a")})
    with pytest.raises(CrawlError, match=r"no page could be fetched: .*/robots.txt"):
        crawl(site, warc)
    assert site.asked == ["/robots.txt"] * 2  # once, and one retry
    assert list(warc.parent.iterdir()) == []


def test_robots_txt_is_read_behind_five_redirects_and_no_more(serve: Serve, tmp_path: Path) -> None:
    def site(hops: int) -> Site:
        chain: dict[str, Route] = {"/robots.txt": answer(b"", "Location: /r1", status="301 Moved")}
        for hop in range(1, hops):
            chain[f"/r{hop}"] = answer(b"", f"Location: /r{hop + 1}", status="302 Found")
        return serve(chain | {f"/r{hops}": answer(b"User-agent: *\nDisallow: /a"), "/": links("/a"), "/a": links()})

    assert crawl(site(5), tmp_path / "five.warc.gz").disallowed == 1
    assert crawl(site(6), tmp_path / "six.warc.gz").disallowed == 0


def test_only_the_first_500_kib_of_robots_txt_are_read(serve: Serve, warc: Path) -> None:
    padding = b"# " + b"x" * 97 + b"\n"  # 100 bytes
    robots = b"User-agent: *\nDisallow: /a\n" + padding * 5_200 + b"Disallow: /b\n"
    site = serve({"/robots.txt": answer(robots), "/": links("/a", "/b")})
    assert crawl(site, warc).disallowed_urls == [site.url("/a")]


# ---- politeness ----------------------------------------------------------------------------------------------------


def test_a_crawl_delay_is_kept_between_all_requests_to_a_host(serve: Serve, warc: Path) -> None:
    robots = answer(b"User-agent: *\nCrawl-delay: 0.2")
    site = serve({"/robots.txt": robots, "/": links("/a", "/b"), "/a": links(), "/b": links()})
    crawl(site, warc)
    gaps = [later - earlier for earlier, later in zip(site.started, site.started[1:], strict=False)]
    assert len(gaps) == 3
    assert min(gaps) >= 0.2


def test_a_crawl_delay_counts_up_to_the_cap(serve: Serve, warc: Path) -> None:
    site = serve({"/robots.txt": answer(b"User-agent: *\nCrawl-delay: 86400"), "/": links("/a"), "/a": links()})
    limits = CrawlLimits(delay_seconds=0, max_crawl_delay_seconds=0.1)
    assert 0.2 <= crawl(site, warc, limits).seconds < 5  # robots.txt, page, page: two pauses of 0.1 s


def test_one_request_at_a_time(serve: Serve, warc: Path) -> None:
    def slow(_: int) -> bytes:
        time.sleep(0.05)
        return links()

    site = serve({"/": links("/a", "/b", "/c"), "/a": slow, "/b": slow, "/c": slow})
    crawl(site, warc)
    assert site.most_at_once == 1


def test_a_busy_server_is_asked_again_after_the_time_it_names(serve: Serve, warc: Path) -> None:
    def busy_once(n: int) -> bytes:
        return answer(b"", "Retry-After: 1", status="503 Busy") if n == 1 else links()

    site = serve({"/": busy_once})
    report = crawl(site, warc)
    assert [(page.url, page.status) for page in stored(warc)][1:] == [(site.url("/"), 503), (site.url("/"), 200)]
    assert report.by_status == {503: 1, 200: 1}
    assert site.started[2] - site.started[1] >= 1


def test_a_server_that_asks_for_hours_is_not_asked_again(serve: Serve, warc: Path) -> None:
    site = serve({"/": answer(b"", "Retry-After: Fri, 31 Dec 2100 23:59:59 GMT", status="429 Slow down")})
    assert crawl(site, warc).by_status == {429: 1}


def test_a_reset_connection_is_tried_again_and_then_reported(serve: Serve, warc: Path) -> None:
    site = serve({"/": links("/flaky", "/dead"), "/flaky": lambda n: RESET if n == 1 else links(), "/dead": RESET})
    report = crawl(site, warc)
    assert site.asked == ["/robots.txt", "/", "/flaky", "/flaky", "/dead", "/dead"]
    assert report.pages == 2
    assert [failure.url for failure in report.errors] == [site.url("/dead")]


# ---- which pages, and in which order -------------------------------------------------------------------------------


def test_pages_are_visited_breadth_first_and_once(serve: Serve, warc: Path) -> None:
    site = serve(
        {
            "/": links("/a", "/b#top", "http://elsewhere.invalid/", "mailto:a@example.com", "/x/../b"),
            "/a": links("/a/1", "/", "//[bad"),
            "/b": links("/a/1", "/b/1"),
        }
    )
    crawl(site, warc)
    assert site.asked == ["/robots.txt", "/", "/a", "/b", "/a/1", "/b/1"]


def test_links_are_followed_from_pages_only_and_not_where_the_author_says_so(serve: Serve, warc: Path) -> None:
    page = (
        b'<a rel="noopener NoFollow" href=/1>1</a><map><area href=/area></map><a href=/closed>2</a><a href=/text>3</a>'
    )
    closed = b'<meta name="Robots" content="noarchive,NOFOLLOW"><a href=/2>2</a>'
    text = answer(b"<a href=/3>", "Content-Type: text/plain").replace(b"Content-Type: text/html\r\n", b"")
    zipped = answer(gzip.compress(b'<base href="/deep/"><a href=4>4</a>'), "Content-Encoding: gzip")
    site = serve({"/": answer(page), "/closed": answer(closed), "/text": text, "/area": zipped})
    crawl(site, warc)
    assert site.asked == ["/robots.txt", "/", "/area", "/closed", "/text", "/deep/4"]


def test_redirects_are_recorded_and_followed_on_the_seeds_hosts(serve: Serve, warc: Path) -> None:
    site = serve(
        {
            "/": answer(b"", "Location: /new", status="301 Moved Permanently"),
            "/new": links("/loop", "/away"),
            "/loop": answer(b"", "Location: /loop", status="302 Found"),
            "/away": answer(b"", "Location: http://elsewhere.invalid/", status="302 Found"),
        }
    )
    report = crawl(site, warc)
    assert [(page.url, page.status) for page in stored(warc)][1:] == [
        (site.url("/"), 301),
        (site.url("/new"), 200),
        (site.url("/loop"), 302),
        (site.url("/away"), 302),
    ]
    assert report.errors == []


def test_a_seed_that_leads_to_another_host_is_reported(serve: Serve, warc: Path) -> None:
    site = serve({"/": answer(b"", "Location: http://www.elsewhere.invalid/", status="301 Moved")})
    [failure] = crawl(site, warc).errors
    assert "http://www.elsewhere.invalid/" in failure.reason


def test_an_endless_chain_of_redirects_ends_at_the_depth_limit(serve: Serve, warc: Path) -> None:
    chain: dict[str, Route] = {f"/{n}": answer(b"", f"Location: /{n + 1}", status="302 Found") for n in range(50)}
    report = crawl(serve(chain), warc, CrawlLimits(delay_seconds=0, max_depth=4), seed="/0")
    assert report.by_status == {302: 5}  # the seed and depths 1 to 4


def test_the_order_of_hosts_does_not_depend_on_how_fast_they_answer(serve: Serve, tmp_path: Path) -> None:
    hosts = ["http://a.invalid", "http://b.invalid"]

    def asked(slow: str) -> list[str]:
        def page(host: str, body: bytes) -> Callable[[int], bytes]:
            def reply(_: int) -> bytes:
                time.sleep(0.03 if host == slow else 0)
                return body

            return reply

        routes: dict[str, Route] = {f"{hosts[1]}/robots.txt": answer(b"User-agent: *\nCrawl-delay: 0.02")}
        for host, n in zip(hosts, (6, 3), strict=True):
            routes[f"{host}/"] = page(host, links(*[f"/{i}" for i in range(n)]))
            routes |= {f"{host}/{i}": page(host, links()) for i in range(n)}
        proxy = serve(routes)
        limits = CrawlLimits(delay_seconds=0.01)
        path = tmp_path / f"{slow[7]}.warc.gz"
        crawl_site([f"{host}/" for host in hosts], path, limits=limits, proxy=f"http://{proxy.address}")
        return proxy.asked

    first, second = asked(hosts[0]), asked(hosts[1])
    assert first == second
    assert len(first) == 13


# ---- limits --------------------------------------------------------------------------------------------------------


def endless(site_page: Callable[[int], bytes]) -> dict[str, Route]:
    return {"/": links(*[f"/{n}" for n in range(50)])} | {f"/{n}": site_page for n in range(50)}


def test_max_pages_and_max_depth(serve: Serve, tmp_path: Path) -> None:
    report = crawl(serve(endless(lambda _: links())), tmp_path / "1.warc.gz", CrawlLimits(delay_seconds=0, max_pages=7))
    assert (report.pages, report.stopped_by) == (7, "max_pages")
    chain: dict[str, Route] = {"/": links("/1"), "/1": links("/2"), "/2": links("/3")}
    shallow = crawl(serve(chain), tmp_path / "2.warc.gz", CrawlLimits(delay_seconds=0, max_depth=1))
    assert (shallow.pages, shallow.stopped_by) == (2, None)


def test_max_seconds_ends_the_crawl_before_a_pause_that_is_too_long(serve: Serve, warc: Path) -> None:
    report = crawl(serve(endless(lambda _: links())), warc, CrawlLimits(delay_seconds=0.4, max_seconds=1.0))
    assert report.stopped_by == "max_seconds"
    assert report.seconds < 2
    assert len(stored(warc)) == report.pages + 1


def test_a_body_is_cut_off_at_the_limit_and_says_so(serve: Serve, warc: Path) -> None:
    site = serve({"/": answer(b"<p>" + b"x" * 5_000)})
    seen: list[FetchedUrl] = []
    limits = CrawlLimits(delay_seconds=0, max_bytes_per_page=1_000)
    crawl_site([site.url("/")], warc, limits=limits, on_page=seen.append)
    page = stored(warc)[1]
    assert page.body == b"<p>" + b"x" * 997
    assert page.warc_headers["WARC-Truncated"] == "length"
    assert (page.headers["Content-Length"], page.headers["X-Crawler-Content-Length"]) == ("1000", "5003")
    assert [(url.n_bytes, url.truncated) for url in seen] == [(1_000, "length")]


def test_a_body_that_drips_is_cut_off_when_time_is_up(serve: Serve, warc: Path) -> None:
    def drip(_: int) -> Iterator[bytes]:
        yield answer(b"x" * 1_000)[:-999]
        for _ in range(100):
            time.sleep(0.1)
            yield b"x"

    report = crawl(serve({"/": drip}), warc, CrawlLimits(delay_seconds=0, timeout_seconds=0.5))
    assert report.seconds < 5
    assert stored(warc)[1].warc_headers["WARC-Truncated"] == "time"


def test_headers_that_drip_are_an_error_when_time_is_up(serve: Serve, warc: Path) -> None:
    def drip(_: int) -> Iterator[bytes]:
        for byte in answer(b"x") * 10:
            time.sleep(0.05)
            yield bytes([byte])

    limits = CrawlLimits(delay_seconds=0, timeout_seconds=0.3, retries=0)
    report = crawl(serve({"/": links("/drip"), "/drip": drip}), warc, limits)
    assert report.seconds < 3
    assert [failure.reason for failure in report.errors] == ["timed out"]


@pytest.mark.parametrize(
    "raw",
    [b"SSH-2.0-OpenSSH_9\r\n", b"HTTP/1.1 banana\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 1_000 + b"\r\n"],
    ids=["another protocol", "no status", "too many headers"],
)
def test_what_is_not_http_is_an_error_and_the_crawl_goes_on(serve: Serve, warc: Path, raw: bytes) -> None:
    report = crawl(serve({"/": links("/odd", "/b"), "/odd": raw, "/b": links()}), warc)
    assert report.pages == 2
    assert [failure.url.endswith("/odd") for failure in report.errors] == [True]


def test_a_body_that_ends_early_is_kept_and_marked(serve: Serve, warc: Path) -> None:
    cut = answer(b"x" * 100)[:-40]
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\nabc"
    crawl(serve({"/": links("/cut", "/chunked"), "/cut": cut, "/chunked": chunked}), warc)
    pages = stored(warc)[2:]
    assert [page.body for page in pages] == [b"x" * 60, b"abc"]
    assert [page.warc_headers["WARC-Truncated"] for page in pages] == ["disconnect"] * 2


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

    site = serve(endless(lambda _: links()))
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
