"""Servers on loopback that answer as a script says, for the tests of the crawler; and its files, read back."""

from __future__ import annotations

import socket
import socketserver
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from fastwarc.warc import ArchiveIterator, WarcRecordType

from lakehouse.crawl.site import CrawlLimits, CrawlReport, crawl_site

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
        route = site.routes.get(target, answer(b"<p>nothing here", status="404 Not Found"))
        try:
            data = route(site.asked.count(target)) if callable(route) else route
        finally:
            # Not after it is sent: by then the next request may be here.
            site.at_once -= 1
        self._reply(data)

    def _reply(self, data: bytes | Iterator[bytes]) -> None:
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
def serve() -> Iterator[Callable[..., Site]]:
    servers = []

    def start(routes: dict[str, Route], tls: ssl.SSLContext | None = None) -> Site:
        server = _Server(("127.0.0.1", 0), _Handler)
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        site = Site(routes, f"127.0.0.1:{server.server_address[1]}")
        server.site = site  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        servers.append(server)
        return site

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


Serve = Callable[..., Site]


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
