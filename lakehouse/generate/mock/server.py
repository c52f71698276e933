"""A model server to try things out with: it speaks the OpenAI API on 127.0.0.1 and answers by a script."""

from __future__ import annotations

import asyncio
import socket
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from lakehouse.generate.errors import GenerationError
from lakehouse.generate.mock.faults import Faults
from lakehouse.generate.mock.settings import Settings, Structured
from lakehouse.generate.mock.traffic import Traffic

__all__ = ["MODEL", "MODELS", "Faults", "MockModel"]

MODEL = "lakehouse-mock-1"
MODELS = (MODEL, "lakehouse-mock-2")
"""The models of a server that is told of no others."""

_HOST = "127.0.0.1"
_MOST_WAITING = 1024  # connections that are not accepted yet
_GRACE = 0.05  # seconds that answers under way have when the server ends


class MockModel:
    """The server: a context manager that runs it in a thread, or `serve_forever` for the command line.

    Its answers depend on the request alone: it rewrites what stands between lines <text> and </text> of the last
    message, as the step of a recipe wants it that the header X-Lakehouse-Step names. Asked for embeddings it gives
    each text a vector of its words (see `embedding.embed`). The counts can be read on /mock/counters, too.

    Raises:
        GenerationError: the port is in use, or a setting is out of range.
    """

    def __init__(
        self,
        port: int = 0,
        *,
        models: Sequence[str] = MODELS,
        faults: Faults | None = None,
        delay: float = 0.0,
        key: str | None = None,
        structured: Structured = "answer",
        requests_per_second: float | None = None,
        tokens_per_minute: float | None = None,
        most_in_flight: int | None = None,
        batch_seconds: float = 0.1,
    ) -> None:
        """Bind 127.0.0.1:`port` (0: any free one); the rest is as in `Settings`."""
        self._settings = Settings(
            models=tuple(models),
            faults=faults or Faults(),
            delay=delay,
            key=key,
            structured=structured,
            requests_per_second=requests_per_second,
            tokens_per_minute=tokens_per_minute,
            most_in_flight=most_in_flight,
            batch_seconds=batch_seconds,
        )
        self._traffic = Traffic()
        self._socket = _listen(port)
        self._address = f"http://{_HOST}:{self._socket.getsockname()[1]}/v1"
        self._loop: asyncio.AbstractEventLoop | None = None  # while it serves
        self._stop = asyncio.Event()
        self._settled = threading.Event()  # it serves, or never will
        self._thread = threading.Thread(target=self.serve_forever, name="mock model", daemon=True)

    @property
    def base_url(self) -> str:
        """The address that a client needs."""
        return self._address

    @property
    def calls(self) -> int:
        """How many answers were asked for: completions, embeddings and lines of batches, those refused included."""
        return self._traffic.calls

    @property
    def answered(self) -> int:
        """How many answers were sent to the last byte with status 200, good or bad."""
        return self._traffic.answered

    @property
    def most_at_once(self) -> int:
        """How many requests were worked on at the same time, at most; those refused at once do not count."""
        return self._traffic.most_at_once

    @property
    def tokens(self) -> tuple[int, int]:
        """Estimated tokens of the prompts that were answered, and of the answers."""
        return self._traffic.prompt_tokens, self._traffic.completion_tokens

    @property
    def statuses(self) -> dict[int, int]:
        """How many answers there were of each HTTP status."""
        return dict(self._traffic.statuses)

    @property
    def calls_of(self) -> dict[str, int]:
        """How often each request came. A request is the hash of its form, model, messages and parameters."""
        return dict(self._traffic.calls_of)

    @property
    def answers_of(self) -> dict[str, int]:
        """How often each request was answered, as in `answered`."""
        return dict(self._traffic.answers_of)

    def serve_forever(self) -> None:
        """Serve until the process is interrupted or the context is left."""
        try:
            asyncio.run(self._serve())
        finally:
            self._loop = None
            self._socket.close()
            self._settled.set()

    def __enter__(self) -> Self:
        self._thread.start()
        self._settled.wait()
        if self._loop is None:
            raise GenerationError(f"the mock model at {self._address} did not start: its own error is above.")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if (loop := self._loop) is not None:
            loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    async def _serve(self) -> None:
        from aiohttp import web

        from lakehouse.generate.mock.api import make_app

        with tempfile.TemporaryDirectory(prefix="lakehouse-mock-") as folder:
            app = make_app(self._settings, self._traffic, Path(folder))
            # Who hangs up is no longer worked for: requests under way are those that someone waits for.
            runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=_GRACE)
            await runner.setup()
            try:
                await web.SockSite(runner, self._socket, backlog=_MOST_WAITING).start()
                self._loop = asyncio.get_running_loop()
                self._settled.set()
                await self._stop.wait()
            finally:
                await runner.cleanup()


def _listen(port: int) -> socket.socket:
    """A socket that takes connections from now on, answered as soon as the server runs."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((_HOST, port))
        listener.listen(_MOST_WAITING)
    except OSError as error:
        listener.close()
        raise GenerationError(f"port {port} of {_HOST} cannot be used: {error.strerror}. Give another.") from None
    return listener
