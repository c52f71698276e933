"""Send requests to models as fast as these can take them, and record each call the moment it ends."""

from __future__ import annotations

import asyncio
import difflib
import math
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

from lakehouse.generate.calls.budget import OTHER_ERRORS, Budget, GenerationReport, Limits
from lakehouse.generate.calls.completion import Row
from lakehouse.generate.calls.endpoint import Endpoint
from lakehouse.generate.calls.lane import Lane, Line, Outcomes
from lakehouse.generate.calls.source import Source
from lakehouse.generate.errors import GenerationError
from lakehouse.generate.requests import Request

Record = Callable[[list[Row]], None]
Progress = Callable[[GenerationReport], None]

_AHEAD = 256  # requests that are read before they are called
_TOLD_SECONDS = 0.5  # between two reports of progress
_CHECK_SECONDS = 30.0
_LONGEST_WAIT = 3600.0


def generate(
    requests: Iterable[Request],
    endpoints: Mapping[str, Endpoint],
    *,
    record: Record,
    limits: Limits | None = None,
    progress: Progress | None = None,
    state: Path | None = None,
) -> GenerationReport:
    """Send each request and hand each finished call to `record` as a row of `schema.GENERATIONS`, the moment it ends.

    A call that fails is a row too, with status "error", and costs no other call its answer. Timeouts, cut connections,
    408, 409, 429, 5xx and answers that are none are tried again as the endpoint says, other errors never. When a limit
    of cost or tokens is reached no further call begins; the report says which. Interrupted (Ctrl-C), it records what
    was answered and ends at once.

    Args:
        requests: the calls to make, read as they are needed and in another thread (one at a time).
        endpoints: where to make them, by the names that the requests bear.
        record: makes rows durable. Called in the thread of the caller, often; it should take less than a millisecond.
        limits: what may be spent, and how many calls may fail.
        progress: told how it goes, every half second.
        state: a folder that outlives this process, where endpoints with `batch` keep what they have sent.

    Raises:
        GenerationError: too many calls failed (those under way are finished and recorded before); a request names an
            endpoint that there is not.
    """
    run = _Run(endpoints, record, limits or Limits(), progress, state)
    asyncio.run(run.all(requests))
    return run.report


class _Run:
    def __init__(
        self,
        endpoints: Mapping[str, Endpoint],
        record: Record,
        limits: Limits,
        progress: Progress | None,
        state: Path | None,
    ) -> None:
        self._endpoints, self._record, self._limits, self._progress = endpoints, record, limits, progress
        self._state = state
        self.report = GenerationReport(expected=limits.expected)
        self._budget = Budget(limits)
        self._waiting: dict[str, deque[Request]] = {}
        self._lines: dict[str, Line] = {}
        self._names: dict[int, str] = {}  # number of a call under way -> endpoint
        self._errors: Counter[tuple[str, str]] = Counter()
        self._numbers = 0
        self._stopping = self._spoilt = False
        self._failure: Exception | None = None  # raised when the calls under way have ended
        self._started = self._told = time.monotonic()

    async def all(self, requests: Iterable[Request]) -> None:
        self._outcomes = Outcomes()
        source = Source(requests, self._outcomes.changed)
        try:
            async with AsyncExitStack() as stack:
                try:
                    for name, endpoint in self._endpoints.items():
                        if endpoint.batch:  # an earlier run may have left batches there
                            await self._open(name, stack)
                    await self._until_done(source, stack)
                finally:
                    # Also when the run is interrupted: these answers are paid for.
                    source.stop()
                    self._settle()
        finally:
            self._settle()  # what ended while the lines were closed
            self._tell(at_once=True)
        if self._failure:
            raise self._failure
        if self._too_many_failed(at_the_end=True):
            raise self._too_many_errors()

    async def _until_done(self, source: Source, stack: AsyncExitStack) -> None:
        while True:
            self._outcomes.changed.clear()
            self._settle()
            if self._outcomes.failure:
                raise self._outcomes.failure
            self._stopping = self._stopping or self._too_many_failed(at_the_end=False)
            await self._read(source, stack)
            self._begin(dry=source.is_dry)
            if self._is_done(source):
                return
            self._tell()
            wake_at = min((line.wake_at for line in self._lines.values()), default=math.inf)
            pause = min(wake_at - time.monotonic(), _LONGEST_WAIT)
            if self._progress:
                pause = min(pause, _TOLD_SECONDS)
            try:
                async with asyncio.timeout(max(pause, 0)):
                    await self._outcomes.changed.wait()
            except TimeoutError:
                pass

    def _is_done(self, source: Source) -> bool:
        if self._names or any(line.busy for line in self._lines.values()):
            return False
        return self._stopping or (source.is_dry and not any(self._waiting.values()))

    def _settle(self) -> None:
        """Record what ended; nothing that could fail comes before."""
        ended = self._outcomes.take()
        rows = [one.row for one in ended if one.row]
        if rows:
            self._record(rows)
            self.report.add(rows)
        self._outcomes.settle()
        for one in ended:
            self.report.tries += one.tries
            self._budget.end(one.number, one.row)
            if one.number is not None:
                del self._names[one.number]
            if one.row and one.row["status"] != "ok":
                error = one.row["error"]
                self._errors[one.endpoint, error if error in self.report.errors else OTHER_ERRORS] += 1

    async def _read(self, source: Source, stack: AsyncExitStack) -> None:
        """Take the requests that have come, and ask for more where few are left."""
        if self._stopping:
            return
        try:
            for request in source.take():
                if request.endpoint not in self._lines:
                    await self._open(request.endpoint, stack)
                self._waiting[request.endpoint].append(request)
        except Exception as error:  # noqa: BLE001 (raised again when the calls under way, which are paid for, have ended)
            self._failure, self._stopping = error, True
        if sum(map(len, self._waiting.values())) < _AHEAD:
            source.want()

    async def _open(self, name: str, stack: AsyncExitStack) -> None:
        endpoint = self._endpoints.get(name)
        if endpoint is None:
            known = ", ".join(sorted(self._endpoints)) or "none"
            raise GenerationError(f"a request names endpoint {name!r}, which is not set up: there is {known}.")
        self._lines[name] = await stack.enter_async_context(self._line(name, endpoint))
        self._waiting[name] = deque()

    def _line(self, name: str, endpoint: Endpoint) -> Line:
        if endpoint.batch:
            from lakehouse.generate.calls.batches import Batches

            if self._state is None:
                raise GenerationError(f"endpoint {name} uses the Batch API: say in which folder its state is kept.")
            return Batches(name, endpoint, self._outcomes, self._state)
        if endpoint.processes > 1:
            from lakehouse.generate.calls.processes import Processes

            return Processes(name, endpoint, self._outcomes)
        return Lane(name, endpoint, self._outcomes)

    def _begin(self, *, dry: bool) -> None:
        """Begin as many calls as servers and limits allow."""
        for name, line in self._lines.items():
            line.tend()
            waiting, refused = self._waiting[name], None
            while waiting and not self._stopping:
                refused = self._budget.refuses(waiting[0], self._endpoints[name])
                if refused:
                    # Those under way may turn out cheaper than they might have been: then there is room again.
                    if not self._names:
                        self.report.stopped_by, self._stopping = refused, True
                    break
                self._numbers += 1
                if not line.offer(self._numbers, waiting[0]):
                    break
                self._names[self._numbers] = name
                self._budget.begin(self._numbers, waiting.popleft(), self._endpoints[name])
            if self._stopping or refused or (dry and not waiting):
                line.flush(send=not self._stopping)

    def _too_many_failed(self, *, at_the_end: bool) -> bool:
        failed, ended = self.report.failed, self.report.failed + self.report.succeeded
        self._spoilt = self._spoilt or self._limits.too_many(failed, ended, at_the_end=at_the_end)
        return self._spoilt

    def _too_many_errors(self) -> GenerationError:
        failed, ended = self.report.failed, self.report.failed + self.report.succeeded
        (name, error), times = self._errors.most_common(1)[0]
        addresses = ", ".join(self._endpoints[name].base_urls)
        left = self._limits.expected - ended if self._limits.expected else 0
        begun = f" {left} were not begun." if left > 0 else ""
        return GenerationError(
            f"{failed} of {ended} calls failed; {self._limits.may_fail(ended)} may. {times} times, at endpoint {name} "
            f"({addresses}): {error}.{begun} What was answered is recorded: a rerun calls the rest."
        )

    def _tell(self, *, at_once: bool = False) -> None:
        now = time.monotonic()
        self.report.seconds, self.report.under_way = now - self._started, len(self._names)
        if self._progress and (at_once or now - self._told >= _TOLD_SECONDS):
            self._told = now
            self._progress(self.report)


def check_endpoints(endpoints: Mapping[str, Endpoint]) -> None:
    """Make sure, before any work, that each endpoint has a key, and that all its replicas answer and serve its model.

    Raises:
        GenerationError: one does not. One line that says what to do; the key is never in it.
    """
    for endpoint in endpoints.values():
        check_endpoint(endpoint)


def check_endpoint(endpoint: Endpoint) -> None:
    """`check_endpoints` for one."""
    for base_url in endpoint.base_urls:
        only = replace(endpoint, base_urls=(base_url,))
        if only.api_key == "none" and not only.is_local:
            raise GenerationError(
                f"{base_url} is not on this machine and {endpoint.api_key_variable} is not set: "
                "put the server's API key there (any word, if it needs none)."
            )
        models = asyncio.run(_models(only, base_url))
        if isinstance(models, str):
            raise GenerationError(f"the model server {base_url} cannot be used: {models}.")
        if endpoint.model not in models:
            close = difflib.get_close_matches(endpoint.model, models, n=1, cutoff=0.5)
            hint = f"Did you mean {close[0]!r}?" if close else f"It has {', '.join(sorted(models)[:10]) or 'none'}."
            raise GenerationError(f"the model server {base_url} has no model {endpoint.model!r}. {hint}")


async def _models(endpoint: Endpoint, base_url: str) -> list[str] | str:
    """The models that the server has, or why they are not known."""
    from lakehouse.generate.calls import chat

    within = replace(endpoint, timeout=min(endpoint.timeout, _CHECK_SECONDS))
    async with chat.connect(within, base_url) as client:
        for last in (False, True):  # twice: one cut connection is no reason to refuse a server
            try:
                return await chat.served_models(client)
            except chat.CallError as failure:
                if last or not failure.again or failure.silent:
                    return str(failure)
    raise AssertionError("not reached")
