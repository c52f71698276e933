"""A model server to try things out with: it speaks the OpenAI API on 127.0.0.1 and answers by a script."""

from __future__ import annotations

import base64
import json
import re
import sys
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from types import TracebackType
from typing import Any, Self

from lakehouse import identity
from lakehouse.generate.errors import GenerationError
from lakehouse.generate.mock_embedding import DIMENSIONS, embed
from lakehouse.generate.mock_text import rewrite

MODEL = "lakehouse-mock-1"
_CHARS_PER_TOKEN = 4  # the usual estimate; the mock has no tokenizer
_LARGEST_BODY = 16 * 2**20  # bytes
_MOST_INPUTS = 2048  # texts of one request for embeddings
_MOST_DIMENSIONS = 4096
_PASSAGE = re.compile(r"<text>\n(.*)\n</text>", re.DOTALL)


@dataclass(frozen=True)
class Faults:
    """Which shares of all prompts are answered badly. The same prompts for the same seed."""

    rate_limited: float = 0.0  # 429, with Retry-After
    server_errors: float = 0.0  # 500
    cut_connections: float = 0.0  # closed in the middle of the answer
    truncated: float = 0.0  # half an answer, with finish_reason "length"; every time
    times: int = 1  # how often a prompt meets its 429, 500 or cut before it is answered
    retry_after: float = 0.05  # seconds
    seed: int = 0

    def of(self, prompt: str) -> str:
        """The fault that a prompt meets, or ""."""
        draw = identity.order_key(self.seed, prompt) / 2**63
        for fault in ("rate_limited", "server_errors", "cut_connections", "truncated"):
            draw -= getattr(self, fault)
            if draw < 0:
                return fault
        return ""


class MockModel:
    """The server: a context manager that runs it in a thread, or `serve_forever` for the command line.

    It has one model, named MODEL, whose answers depend on the prompt alone (see `mock_text.rewrite`): it rewrites what
    stands between lines <text> and </text> of the last message, or all of that message where there are none. Asked for
    embeddings it gives each text a vector of its words (see `mock_embedding.embed`).

    Raises:
        GenerationError: the port is in use.
    """

    def __init__(self, port: int = 0, *, faults: Faults | None = None, delay: float = 0.0) -> None:
        """Bind 127.0.0.1:`port` (0: any free one). `delay` is in seconds an answer."""
        try:
            self._server = _Server(("127.0.0.1", port), _Handler)
        except OSError as error:
            raise GenerationError(f"port {port} of 127.0.0.1 cannot be used: {error.strerror}. Give another.") from None
        self._server.faults = faults or Faults()
        self._server.delay = delay
        self._thread = threading.Thread(target=self.serve_forever, name="mock model", daemon=True)

    @property
    def base_url(self) -> str:
        """The address that a client needs."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    @property
    def calls(self) -> int:
        """How many chat completions and embeddings were asked for, those that met a fault included."""
        return self._server.calls

    @property
    def most_at_once(self) -> int:
        """How many of these requests were under way at the same time, at most."""
        return self._server.most_at_once

    def serve_forever(self) -> None:
        """Serve until the process is interrupted or the context is left."""
        self._server.serve_forever(poll_interval=0.05)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 1024

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.faults, self.delay = Faults(), 0.0
        self.lock = threading.Lock()
        self.calls, self.at_once, self.most_at_once = 0, 0, 0
        self.tries: dict[str, int] = {}  # prompt hash -> faults met

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client that goes away is no event; anything else is a bug and shows.
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)

    def begin(self) -> None:
        with self.lock:
            self.calls += 1
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)

    def end(self) -> None:
        with self.lock:
            self.at_once -= 1

    def fault_of(self, prompt: str) -> str:
        """The fault that this try of a prompt meets, or ""."""
        fault = self.faults.of(prompt)
        if fault in {"", "truncated"}:
            return fault
        with self.lock:
            met = self.tries[prompt] = self.tries.get(prompt, 0) + 1
        return fault if met <= self.faults.times else ""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body in one packet
    timeout = 60.0

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """No request log: it would fill the terminal of a demo."""

    def do_GET(self) -> None:
        """List the one model."""
        if self.path.rstrip("/") == "/v1/models":
            model = {"id": MODEL, "object": "model", "created": 0, "owned_by": "lakehouse"}
            return self._send(200, {"object": "list", "data": [model]})
        return self._fail(404, f"there is no {self.path}", "not_found")

    def do_POST(self) -> None:
        """Answer a chat completion, or a request for embeddings."""
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > _LARGEST_BODY:
            self.close_connection = True
            return self._fail(413, "the body has no length, or is too long", "invalid_request_error")
        body = self.rfile.read(int(length))
        answer = {"/v1/chat/completions": self._chat, "/v1/embeddings": self._embed}.get(self.path.rstrip("/"))
        if answer is None:
            return self._fail(404, f"there is no {self.path}", "not_found")
        self.server.begin()
        try:
            return answer(body)
        finally:
            self.server.end()

    def _chat(self, body: bytes) -> None:
        try:
            asked = json.loads(body)
            contents = [str(message["content"]) for message in asked["messages"]]
            prompt, model, max_tokens = contents[-1], asked["model"], asked.get("max_tokens")
        except (ValueError, TypeError, KeyError, IndexError, AttributeError):
            return self._fail(400, "the body is no chat completion request", "invalid_request_error")
        fault = self._fault(model, prompt)
        if fault is None:
            return None
        passage = _PASSAGE.search(prompt)
        text, reason = rewrite(passage[1] if passage else prompt), "stop"
        most = len(text) // 2 if fault == "truncated" else (max_tokens or len(text)) * _CHARS_PER_TOKEN
        if len(text) > most:
            text, reason = text[:most], "length"
        used = [max(1, len(content) // _CHARS_PER_TOKEN) for content in (" ".join(contents), text)]
        answer = {
            "id": f"chatcmpl-{identity.hash_of(prompt)}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": MODEL,
            "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": reason}],
            "usage": {"prompt_tokens": used[0], "completion_tokens": used[1], "total_tokens": sum(used)},
        }
        return self._send(200, answer, cut=fault == "cut_connections")

    def _embed(self, body: bytes) -> None:
        try:
            asked = json.loads(body)
            given, model = asked["input"], asked["model"]
            texts = [given] if isinstance(given, str) else list(given)
            dimensions, form = asked.get("dimensions") or DIMENSIONS, asked.get("encoding_format") or "float"
        except (ValueError, TypeError, KeyError, AttributeError):
            return self._fail(400, "the body is no request for embeddings", "invalid_request_error")
        if not 1 <= len(texts) <= _MOST_INPUTS or not all(isinstance(text, str) and text for text in texts):
            return self._fail(400, f"give 1 to {_MOST_INPUTS} texts, none of them empty", "invalid_request_error")
        if type(dimensions) is not int or not 1 <= dimensions <= _MOST_DIMENSIONS or form not in ("float", "base64"):
            return self._fail(400, "no such dimensions or encoding_format", "invalid_request_error")
        fault = self._fault(model, "\n".join(texts))
        if fault is None:
            return None
        vectors = [embed(text, dimensions) for text in texts]
        used = sum(max(1, len(text) // _CHARS_PER_TOKEN) for text in texts)
        answer = {
            "object": "list",
            "model": MODEL,
            "data": [
                {
                    "object": "embedding",
                    "index": place,
                    "embedding": base64.b64encode(vector.astype("<f4").tobytes()).decode()
                    if form == "base64"
                    else vector.tolist(),
                }
                for place, vector in enumerate(vectors)
            ],
            "usage": {"prompt_tokens": used, "total_tokens": used},
        }
        return self._send(200, answer, cut=fault == "cut_connections")

    def _fault(self, model: str, prompt: str) -> str | None:
        """The fault of an answer that is still to be given, or ""; None where a refusal was sent."""
        if model != MODEL:
            self._fail(404, f"there is no model {model!r}", "model_not_found")
            return None
        time.sleep(self.server.delay)
        fault = self.server.fault_of(prompt)
        if fault == "rate_limited":
            self._fail(429, "slow down", "rate_limit_exceeded", {"Retry-After": f"{self.server.faults.retry_after:g}"})
            return None
        if fault == "server_errors":
            self._fail(500, "something broke", "server_error")
            return None
        return fault

    def _fail(self, status: int, message: str, code: str, headers: dict[str, str] | None = None) -> None:
        error = {"message": message, "type": code, "param": None, "code": code}
        self._send(status, {"error": error}, headers)

    def _send(self, status: int, body: Any, headers: dict[str, str] | None = None, cut: bool = False) -> None:
        content = json.dumps(body, ensure_ascii=False).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if cut else content)
        self.wfile.flush()
        self.close_connection = self.close_connection or cut
