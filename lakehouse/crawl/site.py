"""The polite crawler: a site's pages into one WARC file, one request at a time.

It stays on the hosts of its seeds, obeys robots.txt, waits between two requests to one host, and visits pages breadth
first in an order that depends on the sites alone. Everything it received is in the file, redirects, error pages and
robots.txt included.
"""

from __future__ import annotations

import email.utils
import heapq
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from lakehouse.crawl.errors import CrawlError
from lakehouse.crawl.fetch import Exchange, Fetcher, FetchError, Truncation
from lakehouse.crawl.http_message import BodyError, HttpMessage
from lakehouse.crawl.links import authority_of, canonical_url, links_of, origin_of
from lakehouse.crawl.robots import ROBOTS_LIMIT, ROBOTS_REDIRECTS, RobotsPolicy, product_token, read_robots
from lakehouse.crawl.warc_writer import WarcWriter

USER_AGENT = "lakehouse/0.1 (text crawler; obeys robots.txt)"

StopReason = Literal["max_pages", "max_seconds", "interrupted"]

_REDIRECTS = (301, 302, 303, 307, 308)
_BUSY = (429, 503)
_LONGEST_RETRY_AFTER = 120.0  # seconds; a server that asks for more is not asked again
_KNOWN_PER_PAGE = 100  # addresses remembered for each page that may be fetched, so that a trap cannot fill the memory
_DISALLOWED_LISTED = 1_000


@dataclass(frozen=True)
class CrawlLimits:
    """How much is fetched, and how gently. Sizes are bytes, times are seconds.

    Attributes:
        max_pages: responses in all, robots.txt not counted; an address that could not be reached counts as one.
        max_bytes_per_page: a longer body is cut off and marked as truncated.
        max_depth: links from a seed, redirects included.
        delay_seconds: between the end of a request and the next to the same host.
        max_crawl_delay_seconds: a longer Crawl-delay in robots.txt counts as this.
        timeout_seconds: for one request.
        max_seconds: for the whole crawl; a request under way is not cut short.
        retries: how often an address is asked for again when the connection fails or the server is busy (429, 503).
        retry_delay_seconds: before the first retry, where the server names no time; doubled for each further one.
    """

    max_pages: int = 1_000
    max_bytes_per_page: int = 10_000_000
    max_depth: int = 10
    delay_seconds: float = 1.0
    max_crawl_delay_seconds: float = 30.0
    timeout_seconds: float = 30.0
    max_seconds: float = 3_600.0
    retries: int = 2
    retry_delay_seconds: float = 5.0


@dataclass(frozen=True)
class FetchedUrl:
    """One response that the crawl wrote down. `n_bytes` is the size of its body as it was received."""

    url: str
    status: int
    content_type: str | None
    n_bytes: int
    depth: int
    truncated: Truncation | None


@dataclass(frozen=True)
class CrawlFailure:
    """An address that the crawl could not use, and why."""

    url: str
    reason: str


@dataclass
class CrawlReport:
    """What a crawl did. Responses to requests for robots.txt are in the file but not counted here."""

    pages: int = 0
    by_status: Counter[int] = field(default_factory=Counter)
    disallowed: int = 0  # addresses that robots.txt forbids
    disallowed_urls: list[str] = field(default_factory=list)  # the first 1,000 of them
    errors: list[CrawlFailure] = field(default_factory=list)
    n_bytes: int = 0  # of bodies
    seconds: float = 0.0
    stopped_by: StopReason | None = None  # None: every page within reach was visited


def crawl_site(
    seeds: Sequence[str],
    warc_path: Path,
    *,
    limits: CrawlLimits,
    user_agent: str = USER_AGENT,
    proxy: str | None = None,
    on_page: Callable[[FetchedUrl], None] | None = None,
) -> CrawlReport:
    """Crawl the hosts of `seeds` into one WARC file, which appears when the crawl has ended.

    Ctrl-C ends the crawl; what was fetched by then is in the file.

    Args:
        seeds: http or https addresses to begin with; links are followed on their hosts only.
        warc_path: the file to write, `….warc.gz`. It must not exist.
        limits: see `CrawlLimits`.
        user_agent: begins with the name that robots.txt knows the crawler by.
        proxy: address of an HTTP proxy, such as http://127.0.0.1:3128.
        on_page: called after each response.

    Raises:
        CrawlError: a seed, the user agent or the proxy is malformed, no page at all could be fetched, or the file
            exists or cannot be written (what was fetched then stays in `<warc_path>.partial`).
    """
    product = product_token(user_agent)
    if product is None or not user_agent.isascii() or not user_agent.isprintable():
        raise CrawlError(f"user agent {user_agent!r} is not allowed: begin with a name, and use printable ASCII only.")
    fetcher = Fetcher(user_agent, limits.timeout_seconds, _proxy_address(proxy) if proxy else None)
    addresses = [_seed(seed) for seed in seeds]
    if not addresses:
        raise CrawlError("no address to begin with: name at least one, such as https://example.org/.")
    information = {
        "software": "lakehouse/0.1",
        "format": "WARC File Format 1.1",
        "conformsTo": "http://iipc.github.io/warc-specifications/specifications/warc-format/warc-1.1/",
        "http-header-user-agent": user_agent,
        "robots": "obey (RFC 9309)",
    }
    with WarcWriter(warc_path, information) as writer:
        crawl = _Crawl(addresses, limits, fetcher, product, writer, on_page)
        report = crawl.run()
        if not report.pages and report.stopped_by is None:
            writer.discard()
            raise CrawlError(_nothing_fetched(report))
    return report


@dataclass(frozen=True)
class _Visit:
    url: str
    depth: int
    is_seed: bool = False  # a seed, or what a seed redirects to
    attempt: int = 1
    robots_of: str | None = None  # the origin whose robots.txt this is a request for
    redirects: int = 0  # of a robots.txt


@dataclass
class _Host:
    """The pages of one host that wait, and when the next may be asked for."""

    queue: deque[_Visit] = field(default_factory=deque)
    policies: dict[str, RobotsPolicy] = field(default_factory=dict)  # by origin
    due: float = 0.0  # seconds on the crawl's own clock
    ready_at: float = 0.0  # seconds on the machine's clock
    has_turn: bool = False


class _Crawl:
    """The state of one crawl.

    Hosts take turns by a clock of the crawl's own, on which a request takes no time and only the delays that the limits
    and the sites ask for pass: the order of requests is then the same however fast the servers answer.
    """

    def __init__(
        self,
        seeds: Sequence[str],
        limits: CrawlLimits,
        fetcher: Fetcher,
        product: str,
        writer: WarcWriter,
        on_page: Callable[[FetchedUrl], None] | None,
    ) -> None:
        self._limits = limits
        self._fetcher = fetcher
        self._product = product
        self._writer = writer
        self._on_page = on_page
        self._report = CrawlReport()
        self._unreachable = 0
        self._known: set[str] = set()
        self._clock = 0.0
        self._n_turns = 0
        self._turns: list[tuple[float, int, _Host]] = []
        self._hosts = {authority_of(url): _Host() for url in seeds}
        for url in seeds:
            self._add(_Visit(url, 0, is_seed=True))

    def run(self) -> CrawlReport:
        report = self._report
        started = time.monotonic()
        try:
            self._visit_until(started + self._limits.max_seconds)
        except KeyboardInterrupt:
            report.stopped_by = "interrupted"
        report.seconds = time.monotonic() - started
        return report

    def _visit_until(self, deadline: float) -> None:
        while self._turns:
            if self._report.pages + self._unreachable >= self._limits.max_pages:
                self._report.stopped_by = "max_pages"
                return
            self._clock, _, host = heapq.heappop(self._turns)
            now = time.monotonic()
            if max(now, host.ready_at) >= deadline:
                self._report.stopped_by = "max_seconds"
                return
            time.sleep(max(0.0, host.ready_at - now))
            pause = self._take_turn(host)
            host.due = self._clock + pause
            host.ready_at = time.monotonic() + pause
            host.has_turn = False
            if host.queue:
                self._give_turn(host)

    def _give_turn(self, host: _Host) -> None:
        self._n_turns += 1
        host.has_turn = True
        heapq.heappush(self._turns, (max(host.due, self._clock), self._n_turns, host))

    def _add(self, visit: _Visit) -> None:
        """Put an address on its host's queue if it is new, on a seed's host and within the limits."""
        host = self._hosts.get(authority_of(visit.url))
        if host is None or visit.url in self._known or visit.depth > self._limits.max_depth:
            return
        if len(self._known) >= _KNOWN_PER_PAGE * self._limits.max_pages:
            self._report.stopped_by = "max_pages"
            return
        self._known.add(visit.url)
        host.queue.append(visit)
        if not host.has_turn:
            self._give_turn(host)

    def _take_turn(self, host: _Host) -> float:
        """Make at most one request to `host`; return the seconds to wait before the next."""
        visit = host.queue.popleft()
        if visit.robots_of is None:
            policy = host.policies.get(origin_of(visit.url))
            if policy is None:
                host.queue.appendleft(visit)
                origin = origin_of(visit.url)
                visit = _Visit(f"{origin}/robots.txt", visit.depth, robots_of=origin)
            elif not policy.allows(visit.url):
                self._disallow(visit.url)
                return 0.0
        limit = ROBOTS_LIMIT if visit.robots_of else self._limits.max_bytes_per_page
        try:
            exchange = self._fetcher.fetch(visit.url, limit)
        except FetchError as error:
            pause = self._try_again(host, visit)
            return self._give_up(host, visit, str(error)) if pause is None else pause
        self._writer.write(exchange)
        message = exchange.message
        if visit.robots_of is None:
            self._count(exchange, visit.depth)
        if message.status in _BUSY:
            pause = self._try_again(host, visit, message.header("retry-after"))
            if pause is not None:
                return pause
        if visit.robots_of:
            self._settle_robots(host, visit, message)
        else:
            self._follow(visit, message)
        return self._delay(host)

    def _delay(self, host: _Host) -> float:
        asked = max((policy.crawl_delay for policy in host.policies.values()), default=0.0)
        return max(self._limits.delay_seconds, min(asked, self._limits.max_crawl_delay_seconds))

    def _try_again(self, host: _Host, visit: _Visit, retry_after: str | None = None) -> float | None:
        """Put `visit` back and return the seconds to wait; None where it must not be tried again."""
        pause = _seconds_until(retry_after) if retry_after else None
        if visit.attempt > self._limits.retries or (pause or 0.0) > _LONGEST_RETRY_AFTER:
            return None
        if pause is None:
            pause = self._limits.retry_delay_seconds * 2 ** (visit.attempt - 1)
        host.queue.appendleft(replace(visit, attempt=visit.attempt + 1))
        return max(pause, self._delay(host))

    def _give_up(self, host: _Host, visit: _Visit, reason: str) -> float:
        if visit.robots_of:
            host.policies[visit.robots_of] = read_robots(None, self._product)
        else:
            self._unreachable += 1
        self._report.errors.append(CrawlFailure(visit.url, reason))
        return self._delay(host)

    def _count(self, exchange: Exchange, depth: int) -> None:
        message = exchange.message
        self._report.pages += 1
        self._report.by_status[message.status] += 1
        self._report.n_bytes += len(message.body)
        if self._on_page:
            content_type = message.header("content-type")
            self._on_page(
                FetchedUrl(exchange.url, message.status, content_type, len(message.body), depth, exchange.truncated)
            )

    def _disallow(self, url: str) -> None:
        self._report.disallowed += 1
        if len(self._report.disallowed_urls) < _DISALLOWED_LISTED:
            self._report.disallowed_urls.append(url)

    def _settle_robots(self, host: _Host, visit: _Visit, message: HttpMessage) -> None:
        target = _redirect_target(visit.url, message)
        if target and visit.redirects < ROBOTS_REDIRECTS:
            host.queue.appendleft(replace(visit, url=target, redirects=visit.redirects + 1, attempt=1))
            return
        assert visit.robots_of is not None
        policy = read_robots(message, self._product)
        host.policies[visit.robots_of] = policy
        if policy.rules is None:
            reason = f"answered {message.status}: what robots.txt forbids is not known, so nothing is fetched"
            self._report.errors.append(CrawlFailure(visit.url, reason))

    def _follow(self, visit: _Visit, message: HttpMessage) -> None:
        target = _redirect_target(visit.url, message)
        if target:
            self._add(_Visit(target, visit.depth + 1, is_seed=visit.is_seed))
            if visit.is_seed and authority_of(target) not in self._hosts:
                reason = f"redirects to {target}, which is on no seed's host: give that address as a seed"
                self._report.errors.append(CrawlFailure(visit.url, reason))
        elif 200 <= message.status < 300:
            try:
                links = links_of(message, visit.url)
            except BodyError as error:
                self._report.errors.append(CrawlFailure(visit.url, f"its links could not be read: {error}"))
                return
            for link in links:
                self._add(_Visit(link, visit.depth + 1))


def _redirect_target(url: str, message: HttpMessage) -> str | None:
    location = message.header("location") if message.status in _REDIRECTS else None
    return canonical_url(location, url) if location else None


def _seconds_until(retry_after: str) -> float | None:
    """The seconds that a Retry-After header asks for, given as a number or as a date; None where it is neither."""
    if retry_after.isascii() and retry_after.isdigit():
        return float(retry_after[:9])
    try:
        moment = email.utils.parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


def _seed(address: str) -> str:
    url = canonical_url(address)
    if url is None:
        raise CrawlError(f"{address!r} cannot be crawled: give an http or https address, such as https://example.org/.")
    return url


def _proxy_address(proxy: str) -> tuple[str, int]:
    url = canonical_url(proxy)
    parts = urlsplit(url or "")
    if parts.scheme != "http" or parts.hostname is None:
        raise CrawlError(f"proxy {proxy!r} is not allowed: give an address such as http://127.0.0.1:3128.")
    return parts.hostname, parts.port or 80


def _nothing_fetched(report: CrawlReport) -> str:
    if report.errors:
        failure = report.errors[0]
        return f"no page could be fetched: {failure.url}: {failure.reason}."
    return f"no page could be fetched: robots.txt forbids {report.disallowed_urls[0]}."
