"""The demo web's server: the pages of `site/<host>/`, and pydoc's, on one loopback port.

The hosts end in `.test`, which no name server knows (RFC 6761): the server is asked as an HTTP proxy, or with a Host
header. Everything that it can answer is put together before it starts; a request reads no file.

How an answer differs from a plain `200 OK` with the file's bytes stands in `site/behaviour.json`, by host and path:
`status`, `headers` (null takes one away), `charset` (the file is UTF-8; its bytes are sent in this one), `gzip`.
"""

from __future__ import annotations

import gzip
import json
import mimetypes
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from importlib.resources import files
from importlib.resources.abc import Traversable
from socketserver import ThreadingTCPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from lakehouse.demo.pydoc_pages import pydoc_pages

PYDOC_HOST = "docs.python.demo.test"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server sends for one address."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class DemoWeb:
    """The demo web, served while the `with` block runs.

    Args:
        pydoc: with the pages of `docs.python.demo.test`, which take some seconds to make.
    """

    def __init__(self, *, pydoc: bool = True) -> None:
        self.answers = demo_answers(pydoc=pydoc)
        self._server = _Server(self.answers)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def proxy(self) -> str:
        """Address of the server, to be used as an HTTP proxy."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def seeds(self) -> list[str]:
        """The front page of each host."""
        return [f"http://{host}/" for host in sorted({host for host, _ in self.answers})]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def demo_answers(*, pydoc: bool = True) -> dict[tuple[str, str], Answer]:
    """Every answer of the demo web by host and path, byte for byte the same each time."""
    site = files("lakehouse.demo") / "site"
    behaviour: dict[str, dict[str, Any]] = json.loads((site / "behaviour.json").read_text(encoding="utf-8"))
    answers = {}
    for host in sorted(entry.name for entry in site.iterdir() if entry.is_dir()):
        pages = dict(_pages(site / host, "/"))
        special = behaviour.pop(host, {})
        for path in sorted(pages.keys() | special.keys()):
            answers[host, path] = _answer(path, pages.get(path, b""), special.get(path, {}))
    assert not behaviour, f"site/behaviour.json names hosts that are not there: {sorted(behaviour)}"
    if pydoc:
        answers |= {(PYDOC_HOST, path): _answer(path, page, {}) for path, page in pydoc_pages().items()}
    return answers


def _pages(folder: Traversable, path: str) -> list[tuple[str, bytes]]:
    pages = []
    for entry in folder.iterdir():
        if entry.is_dir():
            pages += _pages(entry, f"{path}{entry.name}/")
        else:
            pages.append((path + ("" if entry.name == "index.html" else entry.name), entry.read_bytes()))
    return pages


def _answer(path: str, body: bytes, special: dict[str, Any]) -> Answer:
    content_type = "text/html" if path.endswith("/") else mimetypes.guess_type(path)[0] or "application/octet-stream"
    if content_type.startswith("text/"):
        content_type += "; charset=utf-8"
    if "charset" in special:
        body = body.decode("utf-8").encode(special["charset"])
    headers = {"Content-Type": content_type}
    if special.get("gzip"):
        body = gzip.compress(body, mtime=0)
        headers["Content-Encoding"] = "gzip"
    headers |= special.get("headers", {})
    headers["Content-Length"] = str(len(body))
    return Answer(special.get("status", 200), tuple((k, v) for k, v in headers.items() if v is not None), body)


_NOT_FOUND = Answer(
    404,
    (("Content-Type", "text/html; charset=utf-8"),),
    b"<!DOCTYPE html><html lang=en><title>Not found</title><p>There is no such page on the demo web.</p></html>",
)


class _Server(ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, answers: dict[tuple[str, str], Answer]) -> None:
        self.answers = answers
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    server_version = "lakehouse-demo"
    sys_version = ""
    protocol_version = "HTTP/1.1"
    timeout = 30
    wbufsize = -1  # header and body leave in one packet: two would wait for each other's acknowledgement

    def do_GET(self) -> None:
        self._send(with_body=True)

    def do_HEAD(self) -> None:
        self._send(with_body=False)

    def _send(self, *, with_body: bool) -> None:
        target = urlsplit(self.path)
        host = target.hostname or self.headers.get("Host", "").partition(":")[0].lower()
        answer = self.server.answers.get((host, target.path or "/"), _NOT_FOUND)
        self.send_response(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            self.wfile.write(answer.body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Nothing: the crawler's own report says what was asked for."""
