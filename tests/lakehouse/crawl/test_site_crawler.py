"""The polite crawler against real servers on loopback, some of them broken."""

from __future__ import annotations

import gzip
import shutil
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from scripted_site import FAST, RESET, Route, Serve, Site, answer, crawl, links, stored

from lakehouse.crawl.errors import CrawlError
from lakehouse.crawl.site import CrawlLimits, FetchedUrl, crawl_site

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


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes a certificate with openssl")
def test_https_is_crawled_with_its_certificate_checked(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    options = ["-newkey", "rsa:2048", "-nodes", "-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = ["openssl", "req", "-x509", *options, "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    site = serve({"/": links("/a"), "/a": links()}, tls)
    seed = site.url("/").replace("http:", "https:")
    with pytest.raises(CrawlError, match="certificate verify failed"):
        crawl_site([seed], tmp_path / "untrusted.warc.gz", limits=FAST)
    assert site.asked == []
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    crawl_site([seed], tmp_path / "trusted.warc.gz", limits=FAST)
    assert [page.url for page in stored(tmp_path / "trusted.warc.gz")][1:] == [seed, f"{seed}a"]


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
    zipped = answer(gzip.compress(b'<base href="/deep/"><a href=4>4</a>', mtime=0), "Content-Encoding: gzip")
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
    [
        b"SSH-2.0-OpenSSH_9\r\n",
        b"HTTP/1.1 banana\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 1_000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nContent-",
    ],
    ids=["another protocol", "no status", "too many headers", "half a header block"],
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
