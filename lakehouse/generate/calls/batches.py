"""Calls through a Batch API: slower (up to a day) and cheaper.

Requests are written to files; a full one, or the last, is sent as a batch, and its answers are recorded when the server
has them. What is under way is kept on disk (see `batch_state`): after a crash the same batches are waited for.
"""

from __future__ import annotations

import asyncio
import json
import math
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Self

from lakehouse import schema
from lakehouse.generate.calls.batch_state import BatchState, BatchWriter, left_in
from lakehouse.generate.calls.completion import NotAnAnswer, Row, answer_of, answered_row, failed_row
from lakehouse.generate.calls.endpoint import Endpoint
from lakehouse.generate.calls.lane import Ended, Outcomes
from lakehouse.generate.requests import Request

if TYPE_CHECKING:
    from lakehouse.generate.calls.batch_api import BatchServer, Progress

MOST_REQUESTS = 50_000  # of a file
MOST_BYTES = 190 * 2**20
_MOST_BATCHES = 8  # under way at once: what is under way is held in memory, by its ids
_RECORDED_AT_ONCE = 256  # rows
_FIRST_POLL, _LONGEST_POLL, _POLL_GROWTH = 0.5, 60.0, 1.5  # seconds
_URLS = {"chat": "/v1/chat/completions", "completion": "/v1/completions"}


class Batches:
    """A line of calls that end when their batch does.

    A batch that another process left in `state` is waited for first of all, and its requests are not sent again.

    A crash while answers are being recorded may record some of them twice (with the same content); none is paid twice.
    """

    def __init__(
        self,
        name: str,
        endpoint: Endpoint,
        outcomes: Outcomes,
        state: Path,
        *,
        most_requests: int = MOST_REQUESTS,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self._name, self._endpoint, self._outcomes = name, endpoint, outcomes
        self._folder = state / schema.check_name(name, "endpoint")
        self._most_requests, self._most_bytes = most_requests, most_bytes
        self._writers: dict[str, BatchWriter] = {}  # by form
        self._numbers: dict[str, list[int]] = {}  # request id -> numbers under which it was offered
        self._left: set[str] = set()  # request ids of an earlier run, in batches that are under way
        self._gone: set[str] = set()  # the same, when their batches are over
        self._tasks: set[asyncio.Task[None]] = set()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        from lakehouse.generate.calls import chat
        from lakehouse.generate.calls.batch_api import BatchServer

        (base_url,) = self._endpoint.base_urls
        client = await self._stack.enter_async_context(chat.connect(self._endpoint, base_url))
        self._server: BatchServer = BatchServer(self._name, client, self._folder)
        self._folder.mkdir(parents=True, exist_ok=True)
        for state in left_in(self._folder):
            self._left.update(request.request_id for request in state.requests())
            self._follow(state)
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers.values():
            writer.drop()
        await self._stack.aclose()

    def offer(self, number: int, request: Request) -> bool:
        """Write a request into the batch that is being filled; send that when it is full."""
        if request.request_id in self._numbers:
            self._numbers[request.request_id].append(number)
            return True
        if request.request_id in self._left:
            self._numbers[request.request_id] = [number]
            return True
        if request.request_id in self._gone:
            self._outcomes.add(Ended(self._name, number, None, 0))
            return True
        if len(self._tasks) >= _MOST_BATCHES:
            return False
        line = self._line(request)
        if line is None or len(line) > self._most_bytes:
            error = "the request cannot be written as JSON" if line is None else "the request is too long for a batch"
            self._outcomes.add(Ended(self._name, number, failed_row(request, error, None)))
            return True
        writer = self._writers.get(request.form)
        if writer and (writer.count >= self._most_requests or writer.size + len(line) > self._most_bytes):
            self._send(request.form)
            writer = None
        if writer is None:
            writer = self._writers[request.form] = BatchWriter(self._folder, _URLS[request.form])
        writer.add(request, line)
        self._numbers[request.request_id] = [number]
        return True

    def tend(self) -> None:
        """Nothing is due: each batch is followed by itself."""

    def flush(self, *, send: bool) -> None:
        """Send what is written, or give it up."""
        for form in list(self._writers):
            if send:
                self._send(form)
                continue
            writer = self._writers.pop(form)
            for request_id in writer.drop():
                self._end(request_id, None)

    @property
    def busy(self) -> bool:
        """Whether a batch is under way, be it of an earlier run."""
        return bool(self._tasks)

    @property
    def wake_at(self) -> float:
        """Never: batches report by themselves."""
        return math.inf

    def _line(self, request: Request) -> bytes | None:
        from lakehouse.generate.calls import chat

        try:
            body = chat.body_of(request)
        except ValueError:
            return None
        head = {"custom_id": f"{chat.step_of(request)}/{request.request_id}", "method": "POST"}
        head["url"] = _URLS[request.form]
        return json.dumps(head).encode()[:-1] + b', "body": ' + body + b"}\n"

    def _send(self, form: str) -> None:
        self._follow(self._writers.pop(form).finish())

    def _follow(self, state: BatchState) -> None:
        task = asyncio.create_task(self._until_over(state))
        self._tasks.add(task)
        task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._outcomes.changed.set()
        if not task.cancelled() and (error := task.exception()):
            self._outcomes.fail(error)

    async def _until_over(self, state: BatchState) -> None:
        progress = await self._started(state)
        pause = _FIRST_POLL
        while not progress.is_final:
            await asyncio.sleep(pause)
            pause = min(pause * _POLL_GROWTH, _LONGEST_POLL)
            progress = await self._server.progress(progress.batch_id)
        requests = {request.request_id: request for request in state.requests()}
        done = state.recorded()

        async def fetch() -> None:
            for file_id in progress.output_files:
                await self._fetch(file_id, state, requests, done)

        await self._server.insist(f"answers of batch {progress.batch_id} could not be fetched", fetch)
        reason = f" ({progress.error})" if progress.error else ""
        error = (
            f"the batch {'is' if progress.status == 'completed' else 'was'} {progress.status}{reason} without an answer"
        )
        left = [request for request_id, request in requests.items() if request_id not in done]
        for start in range(0, len(left), _RECORDED_AT_ONCE):
            await self._record(state, [failed_row(one, error, None) for one in left[start : start + _RECORDED_AT_ONCE]])
        for request_id in requests:  # offered once more since, and recorded before
            self._end(request_id, None)
        over = self._left.intersection(requests)
        self._left -= over
        self._gone |= over
        state.forget()

    async def _started(self, state: BatchState) -> Progress:
        """Upload and create what is not there yet; each step is noted before the next."""
        if state.batch_id:
            return await self._server.progress(state.batch_id)
        is_new = state.file_id is None
        if state.file_id is None:
            state.file_id = await self._server.upload(state.requests_file)
            state.note()
        progress = await self._server.create(state.file_id, state.url, state.mark, is_new=is_new)
        state.batch_id = progress.batch_id
        state.note()
        return progress

    async def _fetch(self, file_id: str, state: BatchState, requests: dict[str, Request], done: set[str]) -> None:
        rows: dict[str, Row] = {}
        async for line in self._server.lines(file_id):
            row = self._row(line, requests)
            if row is None or row["request_id"] in done or row["request_id"] in rows:
                continue
            rows[row["request_id"]] = row
            if len(rows) >= _RECORDED_AT_ONCE:
                await self._record(state, list(rows.values()))
                done.update(rows)
                rows = {}
        await self._record(state, list(rows.values()))
        done.update(rows)

    async def _record(self, state: BatchState, rows: list[Row]) -> None:
        for row in rows:
            self._end(row["request_id"], row)
        recorded = asyncio.get_running_loop().create_future()

        def note() -> None:
            state.note_recorded([row["request_id"] for row in rows])
            if not recorded.done():
                recorded.set_result(None)

        self._outcomes.when_settled(note)
        await recorded

    def _end(self, request_id: str, row: Row | None) -> None:
        numbers: list[int | None] = [*self._numbers.pop(request_id, [])]
        if row:
            self._outcomes.add(Ended(self._name, numbers[0] if numbers else None, row))
        for number in numbers[1:] if row else numbers:
            self._outcomes.add(Ended(self._name, number, None, 0))

    def _row(self, line: bytes, requests: dict[str, Request]) -> Row | None:
        """The row of a line of answers; None where it is about no request of the batch."""
        from lakehouse.generate.calls.batch_api import parsed_line

        found = parsed_line(line)
        request = requests.get(found[0].rpartition("/")[2]) if found else None
        if found is None or request is None:
            return None
        _, body, status, code = found
        if status != 200:
            said = f" ({code})" if code else ""
            return failed_row(request, f"HTTP {status}{said}" if status else f"no answer{said}", None)
        try:
            return answered_row(request, self._endpoint, answer_of(body, request.form), None)
        except NotAnAnswer as error:
            return failed_row(request, str(error), None)
