"""One HTTP request and its answer, byte for byte as they went over the wire, bounded in size and time."""

from __future__ import annotations

import io
import ssl
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from socket import socket
from typing import Literal
from urllib.parse import SplitResult, urlsplit

from lakehouse.crawl.http_message import HttpMessage, parse_response

Truncation = Literal["length", "time", "disconnect"]  # the words of WARC-Truncated

_PIECE = 1 << 16


class FetchError(Exception):
    """No HTTP answer came: the message says why, in a few words."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and the answer to it."""

    url: str
    fetched_at: datetime
    address: str | None  # of the server; None behind a proxy
    request: bytes
    response: bytes  # the answer as a WARC record holds it: header block, then the body without transfer encoding
    message: HttpMessage  # the same, read
    truncated: Truncation | None  # why the body is not whole


@dataclass(frozen=True, slots=True)
class Fetcher:
    """How pages are asked for.

    Attributes:
        user_agent: the header that names the crawler.
        timeout_seconds: for one request, from connecting to the last byte of the body.
        proxy: host and port of an HTTP proxy.
    """

    user_agent: str
    timeout_seconds: float
    proxy: tuple[str, int] | None = None

    def fetch(self, url: str, max_bytes: int) -> Exchange:
        """Ask for a canonical address. The body is cut off behind `max_bytes` bytes, or where time or peer ends it.

        Raises:
            FetchError: no whole header block came.
        """
        parts = urlsplit(url)
        request = self._request(parts)
        fetched_at = datetime.now(UTC)
        deadline = time.monotonic() + self.timeout_seconds
        connection = self._connection(parts)
        try:
            connection.connect()
            address = None if self.proxy else connection.sock.getpeername()[0]
            connection.send(request)
            wire = _Wire(connection.sock, deadline)
            response = HTTPResponse(wire, method="GET")  # type: ignore[arg-type]
            response.begin()
            head = wire.reader.recorded()
            body, truncated = _read_body(response, max_bytes, deadline)
        except (OSError, HTTPException) as error:
            raise FetchError((str(error) or type(error).__name__)[:200]) from error
        finally:
            connection.close()
        stored = _stored_head(head, len(body), bool(response.chunked)) + body
        message = parse_response(stored)
        if message is None:
            raise FetchError(f"not a status line: {head[:60]!r}")
        return Exchange(url, fetched_at, address, request, stored, message, truncated)

    def _connection(self, parts: SplitResult) -> HTTPConnection:
        secure = parts.scheme == "https"
        host, port = self.proxy or (parts.hostname or "", parts.port or (443 if secure else 80))
        if not secure:
            return HTTPConnection(host, port, timeout=self.timeout_seconds)
        connection = HTTPSConnection(host, port, timeout=self.timeout_seconds, context=ssl.create_default_context())
        if self.proxy:
            connection.set_tunnel(parts.hostname or "", parts.port or 443)
        return connection

    def _request(self, parts: SplitResult) -> bytes:
        target = parts._replace(scheme="", netloc="").geturl()
        if self.proxy and parts.scheme == "http":
            target = parts.geturl()
        return (
            f"GET {target} HTTP/1.1\r\n"
            f"Host: {parts.netloc}\r\n"
            f"User-Agent: {self.user_agent}\r\n"
            "Accept: text/html,application/xhtml+xml,text/plain;q=0.9,*/*;q=0.5\r\n"
            "Accept-Encoding: gzip\r\n"
            "Connection: close\r\n"
            "\r\n"
        ).encode("ascii")


class _Wire(io.RawIOBase):
    """A socket that is read until a deadline, however slowly the bytes drip."""

    def __init__(self, connection: socket, deadline: float) -> None:
        self._socket = connection
        self._deadline = deadline
        self.reader = _Recorder(self)

    def makefile(self, mode: str) -> _Recorder:
        return self.reader

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        remaining = self._deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError("timed out")
        self._socket.settimeout(remaining)
        return self._socket.recv_into(buffer)


class _Recorder(io.BufferedReader):
    """Keeps the lines of the header block: `http.client` hands them on parsed, and a WARC record wants them as sent."""

    def __init__(self, raw: _Wire) -> None:
        super().__init__(raw)
        self._head: bytearray | None = bytearray()

    def readline(self, size: int | None = -1) -> bytes:
        line = super().readline(size)
        if self._head is not None:
            if line.startswith(b"HTTP/"):
                self._head.clear()  # an interim answer (100 Continue) came before
            self._head += line
        return line

    def recorded(self) -> bytes:
        """The header block with its empty line; nothing is recorded from here on."""
        head, self._head = bytes(self._head or b""), None
        if not head.endswith((b"\n\n", b"\n\r\n")):
            raise HTTPException("the connection ended in the header block")
        return head


def _read_body(response: HTTPResponse, max_bytes: int, deadline: float) -> tuple[bytes, Truncation | None]:
    body = bytearray()
    try:
        while piece := response.read1(_PIECE):
            body += piece
            if len(body) > max_bytes:
                return bytes(body[:max_bytes]), "length"
            if time.monotonic() > deadline:
                return bytes(body), "time"
    except TimeoutError:
        return bytes(body), "time"
    except (OSError, HTTPException):
        return bytes(body), "disconnect"
    return bytes(body), "disconnect" if response.length else None


def _stored_head(head: bytes, n_body: int, chunked: bool) -> bytes:
    """The header block with the fields that do not fit the stored body renamed to X-Crawler-…, as Common Crawl does."""
    lines = head.splitlines(keepends=True)
    replaced = False
    for place, line in enumerate(lines):
        name, _, value = line.partition(b":")
        wrong_length = name.strip().lower() == b"content-length" and value.strip() != b"%d" % n_body
        if wrong_length or (chunked and name.strip().lower() == b"transfer-encoding"):
            lines[place] = b"X-Crawler-" + line
            replaced = True
    if replaced:
        lines.insert(-1, b"Content-Length: %d\r\n" % n_body)
    return b"".join(lines)
