"""The calls to one endpoint in this process: which replica each goes to, when, and how often it is tried."""

from __future__ import annotations

import asyncio
import heapq
import math
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self

from lakehouse import identity
from lakehouse.generate.calls.budget import estimates
from lakehouse.generate.calls.completion import CallError, Row, answered_row, failed_row
from lakehouse.generate.calls.endpoint import Endpoint
from lakehouse.generate.calls.pace import Bucket, Replica, choose
from lakehouse.generate.requests import Request

if TYPE_CHECKING:
    import openai

_FIRST_DELAY = 0.5  # seconds before the second try, doubled each time
_LONGEST_DELAY = 8.0


@dataclass(frozen=True)
class Ended:
    """A call that is over: its endpoint, the number that it was offered under, its row, and how often it was tried.

    No number: an earlier run offered it. No row: it is recorded already.
    """

    endpoint: str
    number: int | None
    row: Row | None
    tries: int = 1


class Outcomes:
    """What has become of calls since it was last asked, and an event that says that there is something to do."""

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        self.failure: BaseException | None = None  # of the program itself: a call that fails is a row
        self._ended: list[Ended] = []
        self._after: list[Callable[[], None]] = []

    def add(self, ended: Ended) -> None:
        """A call is over."""
        self._ended.append(ended)
        self.changed.set()

    def fail(self, error: BaseException) -> None:
        """Nothing can go on."""
        self.failure = self.failure or error
        self.changed.set()

    def take(self) -> list[Ended]:
        """What ended since this was last called."""
        ended, self._ended = self._ended, []
        return ended

    def when_settled(self, action: Callable[[], None]) -> None:
        """Do something as soon as all that has ended so far is recorded."""
        self._after.append(action)
        self.changed.set()

    def settle(self) -> None:
        """What was taken is recorded."""
        actions, self._after = self._after, []
        for action in actions:
            action()


class Line(Protocol):
    """What takes calls: this process, several others, or the Batch API. An async context manager."""

    def offer(self, number: int, request: Request) -> bool:
        """Take a call, or refuse it for now. Its outcome will bear the number."""

    def tend(self) -> None:
        """Do what is due."""

    def flush(self, *, send: bool) -> None:
        """No more calls will be offered for now: hold none back, or give up those that are not sent."""

    @property
    def busy(self) -> bool:
        """Whether it has calls of an earlier run under way."""

    @property
    def wake_at(self) -> float:
        """When (by `time.monotonic`) there is something to do, if no call ends before."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *_: object) -> None: ...


@dataclass
class _Call:
    number: int
    request: Request
    prompt_tokens: int  # estimated
    most_tokens: int  # of the answer
    began: float
    tries: int = 0
    last: Replica | None = None


class Lane:
    """Calls from this process."""

    def __init__(self, name: str, endpoint: Endpoint, outcomes: Outcomes) -> None:
        self._name, self._endpoint, self._outcomes = name, endpoint, outcomes
        self._replicas = [Replica(base_url, endpoint.max_in_flight) for base_url in endpoint.base_urls]
        self._clients: dict[str, openai.AsyncOpenAI] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._parked: list[tuple[float, int, _Call]] = []  # a heap: calls that wait for their next try
        self._requests = Bucket(endpoint.requests_per_minute) if endpoint.requests_per_minute else None
        self._tokens = Bucket(endpoint.tokens_per_minute) if endpoint.tokens_per_minute else None
        self._blocked_until = math.inf
        self._answers = self._answer_tokens = self._call_tokens = 0
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        from lakehouse.generate.calls import chat

        for replica in self._replicas:
            client = await self._stack.enter_async_context(chat.connect(self._endpoint, replica.base_url))
            self._clients[replica.base_url] = client
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        await self._stack.aclose()

    def offer(self, number: int, request: Request) -> bool:
        """Begin a call if a replica is free and no limit is in the way."""
        # Calls that wait for another try are held in memory, so there must not be ever more of them.
        if len(self._parked) >= self._endpoint.max_in_flight * len(self._replicas):
            return False
        now = time.monotonic()
        return self._begin(_Call(number, request, *estimates(request), now), now)

    def tend(self) -> None:
        """Begin the tries that are due."""
        self._blocked_until = math.inf
        now = time.monotonic()
        while self._parked and self._parked[0][0] <= now and self._begin(self._parked[0][2], now):
            heapq.heappop(self._parked)

    def flush(self, *, send: bool) -> None:
        """Nothing to do: calls begin when they are offered."""

    @property
    def busy(self) -> bool:
        """Never."""
        return False

    @property
    def wake_at(self) -> float:
        """When the next try is due, or what was in the way of a call since `tend` is over."""
        due = self._parked[0][0] if self._parked else math.inf
        return min(due, self._blocked_until) if due > time.monotonic() else self._blocked_until

    def _begin(self, call: _Call, now: float) -> bool:
        replica, ready = choose(self._replicas, now, call.last)
        tokens = call.prompt_tokens + self._completion_tokens(call)
        if self._requests:
            ready = max(ready, self._requests.ready_at(1, now))
        if self._tokens:
            ready = max(ready, self._tokens.ready_at(tokens, now))
        if replica is None or ready > now:
            self._blocked_until = min(self._blocked_until, ready)
            return False
        if self._requests:
            self._requests.take(1, now)
        if self._tokens:
            self._tokens.take(tokens, now)
        replica.begin(now)
        call.tries += 1
        task = asyncio.create_task(self._try(call, replica, tokens, now))
        self._running.add(task)
        task.add_done_callback(self._over)
        return True

    def _over(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self._outcomes.fail(error)

    async def _try(self, call: _Call, replica: Replica, tokens: int, began: float) -> None:
        from lakehouse.generate.calls import chat

        try:
            reply = await chat.ask(self._clients[replica.base_url], call.request, self._endpoint.timeout)
        except CallError as error:
            self._failed(call, replica, began, error)
            return
        now = time.monotonic()
        answer = reply.answer
        row = answered_row(call.request, self._endpoint, answer, (now - call.began) * 1000, call.tries)
        self._outcomes.add(Ended(self._name, call.number, row, call.tries))
        replica.answered(began)
        self._count(answer.prompt_tokens or call.prompt_tokens, answer.completion_tokens)
        if reply.requests_left or reply.tokens_left:
            replica.told(now, reply.requests_left, reply.tokens_left, self._call_tokens / self._answers)
        if self._tokens and answer.completion_tokens is not None:
            used = (answer.prompt_tokens or call.prompt_tokens) + answer.completion_tokens
            self._tokens.take(used - tokens, now)

    def _failed(self, call: _Call, replica: Replica, began: float, error: CallError) -> None:
        now = time.monotonic()
        if error.overloaded:
            replica.refused(began, now, error.wait)
        else:
            replica.failed()
        if error.silent:
            replica.silent(now)
        if error.again and call.tries <= self._endpoint.max_retries:
            call.last = replica
            delay = _delay(call) if error.wait is None else error.wait
            heapq.heappush(self._parked, (now + delay, call.number, call))
            self._outcomes.changed.set()
        else:
            row = failed_row(call.request, str(error), (now - call.began) * 1000, call.tries)
            self._outcomes.add(Ended(self._name, call.number, row, call.tries))

    def _count(self, prompt_tokens: int, completion_tokens: int | None) -> None:
        self._answers += 1
        self._answer_tokens += completion_tokens or 0
        self._call_tokens += prompt_tokens + (completion_tokens or 0)

    def _completion_tokens(self, call: _Call) -> int:
        """Estimated tokens of an answer."""
        return self._answer_tokens // self._answers if self._answers else call.most_tokens


def _delay(call: _Call) -> float:
    """Seconds before the next try: exponential, with jitter that the request and the try decide."""
    longest = min(_LONGEST_DELAY, _FIRST_DELAY * 2 ** (call.tries - 1))
    jitter = identity.order_key(call.tries, call.request.request_id) / 2**63
    return longest * (0.5 + jitter / 2)
