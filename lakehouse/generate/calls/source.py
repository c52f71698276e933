"""Requests that are read ahead of the calls, away from the event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from lakehouse.generate.requests import Request

_CHUNK = 64  # requests
_CHUNK_SECONDS = 0.02  # a slow source hands on what it has


class Source:
    """Pulls requests in small chunks, always in the same thread: what they come from need not be thread-safe."""

    def __init__(self, requests: Iterable[Request], changed: asyncio.Event) -> None:
        self._requests = iter(requests)
        self._changed = changed
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="read requests")
        self._pulling: asyncio.Future[tuple[list[Request], bool]] | None = None
        self.is_dry = False

    def want(self) -> None:
        """Begin to pull a chunk, unless that is under way."""
        if self._pulling is None and not self.is_dry:
            self._pulling = asyncio.get_running_loop().run_in_executor(self._thread, self._pull)
            self._pulling.add_done_callback(lambda _: self._changed.set())

    def take(self) -> list[Request]:
        """The chunk that has come, or nothing.

        Raises:
            Exception: whatever the requests raised; then there are no more.
        """
        if self._pulling is None or not self._pulling.done():
            return []
        pulled, self._pulling = self._pulling, None
        try:
            requests, self.is_dry = pulled.result()
        except BaseException:
            self.is_dry = True
            raise
        return requests

    def stop(self) -> None:
        """Pull no more."""
        self.is_dry = True
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _pull(self) -> tuple[list[Request], bool]:
        chunk: list[Request] = []
        until = time.monotonic() + _CHUNK_SECONDS
        for request in self._requests:
            chunk.append(request)
            if len(chunk) == _CHUNK or time.monotonic() > until:
                return chunk, False
        return chunk, True
