"""A webhook on loopback that remembers what it was sent."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any


class Received:
    """What a webhook on loopback was sent; it answers with `status` after `seconds`."""

    def __init__(self, status: int, seconds: float) -> None:
        self.messages: list[dict[str, Any]] = []
        received = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                assert self.headers["Content-Type"] == "application/json"
                received.messages.append(json.loads(body))
                time.sleep(seconds)
                self.send_response(status)
                self.send_header("Location", "/elsewhere")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}/hooks/T0P-SECRET"


@contextmanager
def receiver(status: int = 200, seconds: float = 0) -> Iterator[Received]:
    received = Received(status, seconds)
    serving = threading.Thread(target=received.server.serve_forever)
    serving.start()
    try:
        yield received
    finally:
        received.server.shutdown()
        serving.join()
        received.server.server_close()
