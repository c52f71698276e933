"""The demo web's server: the pages of `site/<host>/`, and pydoc's, on one loopback port.

The hosts end in `.test`, which no name server knows (RFC 6761): the server is asked as an HTTP proxy, or with a Host
header. Everything that it can answer is put together before it starts; a request reads no file.

How an answer differs from a plain `200 OK` with the file's bytes stands in `site/behaviour.json`, by host and path:
`status`, `headers`, `charset` (the file is UTF-8; its bytes are sent in this one), `gzip`.
"""

from __future__ import annotations

import gzip
import json
import sys
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingTCPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from lakehouse.demo.pydoc_pages import pydoc_pages

PYDOC_HOST = "docs.python.demo.test"

_SITE = Path(__file__).parent / "site"
_CONTENT_TYPES = {".html": "text/html; charset=utf-8", ".txt": "text/plain; charset=utf-8", ".png": "image/png"}


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
    behaviour: dict[str, dict[str, Any]] = json.loads((_SITE / "behaviour.json").read_text(encoding="utf-8"))
    answers = {}
    for folder in sorted(_SITE.iterdir()):
        if not folder.is_dir():
            continue
        pages = {_path(file, folder): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
        special = behaviour.pop(folder.name, {})
        for path in sorted(pages.keys() | special.keys()):
            answers[folder.name, path] = _answer(path, pages.get(path, b""), special.get(path, {}))
    assert not behaviour, f"site/behaviour.json names hosts that are not there: {sorted(behaviour)}"
    if pydoc:
        answers |= {(PYDOC_HOST, path): _answer(path, page, {}) for path, page in pydoc_pages().items()}
    return answers


def _path(file: Path, folder: Path) -> str:
    return "/" + file.relative_to(folder).as_posix().removesuffix("index.html")


def _answer(path: str, body: bytes, special: dict[str, Any]) -> Answer:
    headers = {"Content-Type": _CONTENT_TYPES[Path(path).suffix or ".html"]}
    if "charset" in special:
        body = body.decode("utf-8").encode(special["charset"])
    if special.get("gzip"):
        body = gzip.compress(body, mtime=0)
        headers["Content-Encoding"] = "gzip"
    headers |= special.get("headers", {})
    headers["Content-Length"] = str(len(body))
    return Answer(special.get("status", 200), tuple(headers.items()), body)


_NOT_FOUND = _answer(
    "/",
    b"<!DOCTYPE html><html lang=en><title>Not found</title><p>There is no such page on the demo web.</p></html>",
    {"status": 404},
)


class _Server(ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, answers: dict[tuple[str, str], Answer]) -> None:
        self.answers = answers
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that went away; anything else is a defect and is shown."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


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
        answer = self.server.answers.get(self._asked_for(), _NOT_FOUND)
        self.send_response(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            self.wfile.write(answer.body)

    def _asked_for(self) -> tuple[str, str]:
        """Host and path of the request, whether it is made to a proxy (absolute form) or not."""
        try:
            target = urlsplit(self.path)
        except ValueError:
            return "", ""
        host = target.hostname or self.headers.get("Host", "").partition(":")[0].lower()
        return host, target.path or "/"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Nothing: the crawler's own report says what was asked for."""
