"""Calls from several processes of this machine, for servers that take more than one process can send.

Each process paces its own calls and hands the rows to this one, which alone records them.
"""

from __future__ import annotations

import asyncio
import math
import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Self

from lakehouse.generate.calls.endpoint import Endpoint
from lakehouse.generate.calls.lane import Ended, Lane, Outcomes
from lakehouse.generate.errors import GenerationError
from lakehouse.generate.requests import Request

_AHEAD = 16  # calls that a process has beside those that it may have under way, so that it never waits for this one
_END_SECONDS = 5.0
_Calls = list[tuple[int, Request]]


@dataclass
class _Worker:
    process: SpawnProcess
    connection: Connection
    listener: threading.Thread = field(init=False)
    open: int = 0
    next: _Calls = field(default_factory=list)  # offered, not yet sent


class Processes:
    """A line of calls that several processes share."""

    def __init__(self, name: str, endpoint: Endpoint, outcomes: Outcomes) -> None:
        self._name, self._endpoint, self._outcomes = name, endpoint, outcomes
        share = _share(endpoint)
        self._most = share.max_in_flight * len(share.base_urls) + _AHEAD
        self._workers: list[_Worker] = []
        # Polars and others run threads, so a forked child can deadlock: children start from a clean process.
        self._context = multiprocessing.get_context("spawn")
        self._ends = False

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        for _ in range(self._endpoint.processes):
            ours, theirs = self._context.Pipe()
            process = self._context.Process(
                target=_work, args=(theirs, self._name, _share(self._endpoint)), daemon=True
            )
            process.start()
            theirs.close()
            worker = _Worker(process, ours)
            self._workers.append(worker)
            worker.listener = threading.Thread(
                target=self._listen, args=(worker,), name="rows of a process", daemon=True
            )
            worker.listener.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._ends = True
        for worker in self._workers:
            # Nothing is lost with it. A signal that can be ignored may be: children inherit that.
            worker.process.kill()
        for worker in self._workers:
            await asyncio.to_thread(worker.process.join, _END_SECONDS)
            await asyncio.to_thread(worker.listener.join, _END_SECONDS)  # it hands on what was sent before the end
            worker.connection.close()
        await asyncio.sleep(0)

    def offer(self, number: int, request: Request) -> bool:
        """Give a call to the process that has the fewest."""
        worker = min(self._workers, key=lambda one: one.open)
        if worker.open >= self._most:
            return False
        if not worker.next:
            # Calls that begin in one turn of the event loop travel together.
            self._loop.call_soon(self._send, worker)
        worker.open += 1
        worker.next.append((number, request))
        return True

    def tend(self) -> None:
        """Nothing is due: the processes see to their tries themselves."""

    def flush(self, *, send: bool) -> None:
        """Nothing to do: calls travel when they are offered."""

    @property
    def busy(self) -> bool:
        """Never."""
        return False

    @property
    def wake_at(self) -> float:
        """Never: what happens, happens in the processes."""
        return math.inf

    def _send(self, worker: _Worker) -> None:
        calls, worker.next = worker.next, []
        try:
            worker.connection.send(calls)
        except OSError:
            self._died(worker)

    def _listen(self, worker: _Worker) -> None:
        try:
            while True:
                ended: list[Ended] | BaseException = worker.connection.recv()
                self._loop.call_soon_threadsafe(self._received, worker, ended)
        except (EOFError, OSError):
            with suppress(RuntimeError):  # the loop is closed: the run is over
                self._loop.call_soon_threadsafe(self._died, worker)

    def _received(self, worker: _Worker, ended: list[Ended] | BaseException) -> None:
        if isinstance(ended, BaseException):
            self._outcomes.fail(ended)
            return
        worker.open -= len(ended)
        for one in ended:
            self._outcomes.add(one)

    def _died(self, worker: _Worker) -> None:
        if not self._ends:
            self._outcomes.fail(
                GenerationError(
                    f"a process that called endpoint {self._name} died (out of memory?). "
                    "What was answered is recorded: a rerun calls the rest."
                )
            )


def _share(endpoint: Endpoint) -> Endpoint:
    """What one of the endpoint's processes may do."""
    count = endpoint.processes
    requests, tokens = endpoint.requests_per_minute, endpoint.tokens_per_minute
    return replace(
        endpoint,
        processes=1,
        max_in_flight=math.ceil(endpoint.max_in_flight / count),
        requests_per_minute=requests and max(1, requests // count),
        tokens_per_minute=tokens and max(1, tokens // count),
    )


def _work(connection: Connection, name: str, endpoint: Endpoint) -> None:
    """The life of one of the processes. It ends with the one that started it, even when that is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asyncio.run(_serve(connection, name, endpoint))


async def _serve(connection: Connection, name: str, endpoint: Endpoint) -> None:
    outcomes, waiting = Outcomes(), deque[tuple[int, Request]]()
    loop = asyncio.get_running_loop()

    def receive() -> None:
        try:
            while True:
                loop.call_soon_threadsafe(arrived, connection.recv())
        except (EOFError, OSError):
            os._exit(1)  # nobody is left to have the rows

    def arrived(calls: _Calls) -> None:
        waiting.extend(calls)
        outcomes.changed.set()

    threading.Thread(target=receive, name="calls to make", daemon=True).start()
    async with Lane(name, endpoint, outcomes) as lane:
        while True:
            outcomes.changed.clear()
            if ended := outcomes.take():
                connection.send(ended)
            if outcomes.failure:
                connection.send(outcomes.failure)
                return
            lane.tend()
            while waiting and lane.offer(*waiting[0]):
                waiting.popleft()
            pause = lane.wake_at - time.monotonic()
            try:
                async with asyncio.timeout(None if math.isinf(pause) else max(pause, 0)):
                    await outcomes.changed.wait()
            except TimeoutError:
                pass
