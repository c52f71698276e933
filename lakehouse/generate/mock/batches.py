"""The batches API of the mock model: files of requests are answered later, in another order. Imports aiohttp."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import IO, Any

from aiohttp import web

from lakehouse import identity
from lakehouse.generate.mock.api_error import ApiError
from lakehouse.generate.mock.completions import Form
from lakehouse.generate.mock.uploads import StoredFile, Uploads

MOST_LINES = 50_000
"""Requests of a batch, as with OpenAI."""

_FORMS: dict[str, Form] = {"/v1/chat/completions": "chat", "/v1/completions": "completion"}
_WINDOW = "24h"
_WINDOW_SECONDS = 24 * 3600
_LONGEST_LINE = 16 * 2**20  # bytes
_LINES_AT_ONCE = 20  # between two looks at other requests
_MOST_PROBLEMS = 10  # of a file that are told
_MOST_LISTED = 100
_ENDED = frozenset({"completed", "failed", "expired", "cancelled"})

AnswerLine = Callable[[Form, Any, str | None], tuple[int, dict[str, Any]] | None]
"""Answers a request: HTTP status and body. None: there was no time for it."""


@dataclass(frozen=True)
class _Line:
    """Where a request stands in the file of a batch."""

    order: int  # the place of its answer
    custom_id: str
    start: int  # bytes


@dataclass
class Batch:
    """A batch and what has become of it."""

    batch_id: str
    file: StoredFile
    endpoint: str
    metadata: dict[str, str] | None
    status: str = "validating"
    moments: dict[str, int] = field(default_factory=dict)  # created_at and so on, seconds since 1970
    problems: list[dict[str, Any]] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=lambda: {"total": 0, "completed": 0, "failed": 0})
    output_file_id: str | None = None
    error_file_id: str | None = None
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)

    def becomes(self, status: str) -> None:
        """Enter a state."""
        self.status = status
        self.moments[f"{status}_at"] = int(time.time())

    def as_json(self) -> dict[str, Any]:
        """The batch as an object of the OpenAI API."""
        states = ("in_progress", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled")
        return {
            "id": self.batch_id,
            "object": "batch",
            "endpoint": self.endpoint,
            "errors": {"object": "list", "data": self.problems} if self.problems else None,
            "input_file_id": self.file.file_id,
            "completion_window": _WINDOW,
            "status": self.status,
            "output_file_id": self.output_file_id,
            "error_file_id": self.error_file_id,
            "created_at": self.moments["created_at"],
            "expires_at": self.moments["created_at"] + _WINDOW_SECONDS,
            **{f"{state}_at": self.moments.get(f"{state}_at") for state in states},
            "request_counts": dict(self.counts),
            "metadata": self.metadata,
        }


class BatchApi:
    """The batches of a server.

    Args:
        uploads: where their files are.
        answer_line: answers one request.
        seed: of the order in which answers come.
        seconds: at least so long a batch is in each of its states.
    """

    def __init__(self, uploads: Uploads, answer_line: AnswerLine, seed: int, seconds: float) -> None:
        self._uploads, self._answer_line, self._seed, self._seconds = uploads, answer_line, seed, seconds
        self._batches: dict[str, Batch] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def routes(self) -> Iterable[web.RouteDef]:
        """What the API offers for batches."""
        return [
            web.post("/v1/batches", self.create),
            web.get("/v1/batches", self.list_some),
            web.get("/v1/batches/{batch}", self.show),
            web.post("/v1/batches/{batch}/cancel", self.cancel),
        ]

    async def create(self, request: web.Request) -> web.StreamResponse:
        """Begin with a file of requests."""
        asked = await _json(request)
        endpoint, metadata = asked.get("endpoint"), asked.get("metadata")
        if endpoint not in _FORMS:
            raise ApiError(400, f"endpoint is one of {', '.join(_FORMS)}", param="endpoint")
        if asked.get("completion_window") != _WINDOW:
            raise ApiError(400, f"completion_window is {_WINDOW}", param="completion_window")
        if metadata is not None and not (
            isinstance(metadata, dict) and all(isinstance(value, str) for value in metadata.values())
        ):
            raise ApiError(400, "metadata is an object of texts", param="metadata")
        file = self._uploads.find(str(asked.get("input_file_id")))
        batch = Batch(f"batch_{len(self._batches) + 1:06}", file, endpoint, metadata)
        batch.moments["created_at"] = int(time.time())
        self._batches[batch.batch_id] = batch
        task = asyncio.create_task(self._run(batch), name=batch.batch_id)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return web.json_response(batch.as_json())

    async def list_some(self, request: web.Request) -> web.StreamResponse:
        """List batches, the newest first: at most `limit` of them, those older than `after`."""
        limit, after = request.query.get("limit", "20"), request.query.get("after")
        if not limit.isascii() or not limit.isdecimal() or not 1 <= int(limit) <= _MOST_LISTED:
            raise ApiError(400, f"limit is a number from 1 to {_MOST_LISTED}", param="limit")
        names = list(reversed(self._batches))
        rest = names[names.index(after) + 1 :] if after in names else names
        shown = rest[: int(limit)]
        return web.json_response(
            {
                "object": "list",
                "data": [self._batches[name].as_json() for name in shown],
                "first_id": shown[0] if shown else None,
                "last_id": shown[-1] if shown else None,
                "has_more": len(rest) > len(shown),
            }
        )

    async def show(self, request: web.Request) -> web.StreamResponse:
        """Say how far a batch has come."""
        return web.json_response(self._find(request).as_json())

    async def cancel(self, request: web.Request) -> web.StreamResponse:
        """Stop a batch. Answers that are there stay."""
        batch = self._find(request)
        if batch.status in _ENDED:
            raise ApiError(409, f"{batch.batch_id} has ended: it is {batch.status}", "conflict")
        batch.becomes("cancelling")
        batch.cancelled.set()
        return web.json_response(batch.as_json())

    def _find(self, request: web.Request) -> Batch:
        name = request.match_info["batch"]
        if name not in self._batches:
            raise ApiError(404, f"there is no batch {name!r}", "not_found")
        return self._batches[name]

    async def _run(self, batch: Batch) -> None:
        """Take a batch through all of its states."""
        try:
            lines = await self._validated(batch)
            await self._pause(batch)
            if lines is None:
                return batch.becomes("failed")
            batch.counts["total"] = len(lines)
            if not batch.cancelled.is_set():
                batch.becomes("in_progress")
                await self._pause(batch)
            late = await self._answer(batch, lines)
            if not batch.cancelled.is_set():
                batch.becomes("finalizing")
                await self._pause(batch)
            return batch.becomes("cancelled" if batch.cancelled.is_set() else "expired" if late else "completed")
        finally:
            if batch.status not in _ENDED:  # an error of ours, or the end of the server
                batch.becomes("failed")

    async def _pause(self, batch: Batch) -> None:
        """Stay in a state for a while, or until the batch is cancelled."""
        try:
            await asyncio.wait_for(batch.cancelled.wait(), self._seconds)
        except TimeoutError:
            return

    async def _validated(self, batch: Batch) -> list[_Line] | None:
        """The lines of the file, in the order of their answers; None where there are problems."""
        lines: list[_Line] = []
        seen: set[str] = set()
        model: str | None = None
        with batch.file.path.open("rb") as file:
            start = number = 0
            while content := file.readline(_LONGEST_LINE):
                number, place, start = number + 1, start, start + len(content)
                if number % _LINES_AT_ONCE == 0:
                    await asyncio.sleep(0)
                if content.isspace():
                    continue
                custom_id, asked_model, problem = _read_line(content, batch.endpoint)
                model = model or asked_model
                if not problem and custom_id in seen:
                    problem = "duplicate_custom_id", f"custom_id {custom_id!r} was there before"
                if not problem and asked_model != model:
                    problem = "mismatched_model", "all lines of a batch ask the same model"
                if not problem and len(lines) >= MOST_LINES:
                    problem = "too_many_tasks", f"a batch has at most {MOST_LINES} lines"
                if problem:
                    batch.problems.append({"code": problem[0], "message": problem[1], "line": number, "param": None})
                    if len(batch.problems) >= _MOST_PROBLEMS:
                        break
                else:
                    seen.add(custom_id)
                    lines.append(_Line(identity.order_key(self._seed, custom_id), custom_id, place))
        if not lines and not batch.problems:
            batch.problems.append({"code": "empty_file", "message": "there is no line", "line": None, "param": None})
        return None if batch.problems else sorted(lines, key=lambda line: (line.order, line.custom_id))

    async def _answer(self, batch: Batch, lines: list[_Line]) -> bool:
        """Answer the lines into two files, with a pause half way; say whether there was no time for some."""
        late = False
        good, bad = self._uploads.new_path(), self._uploads.new_path()
        with batch.file.path.open("rb") as file, good.open("wb") as output, bad.open("wb") as errors:
            for place, line in enumerate(lines):
                if place == len(lines) // 2:
                    await self._pause(batch)
                if place % _LINES_AT_ONCE == 0:
                    await asyncio.sleep(0)
                if batch.cancelled.is_set():
                    break
                late |= self._answer_into(batch, line, file, output, errors)
        if good.stat().st_size:
            batch.output_file_id = self._uploads.add(good, f"{batch.batch_id}_output.jsonl", "batch_output").file_id
        if bad.stat().st_size:
            batch.error_file_id = self._uploads.add(bad, f"{batch.batch_id}_error.jsonl", "batch_output").file_id
        return late

    def _answer_into(self, batch: Batch, line: _Line, file: IO[bytes], output: IO[bytes], errors: IO[bytes]) -> bool:
        """Answer one line; say whether there was no time for it."""
        file.seek(line.start)
        asked = json.loads(file.readline(_LONGEST_LINE))
        step = line.custom_id.rsplit("/", 1)[0] if line.custom_id.count("/") >= 2 else None
        answered = self._answer_line(_FORMS[batch.endpoint], asked["body"], step)
        name = f"batch_req_{identity.hash_of(batch.batch_id, line.custom_id)}"
        told: dict[str, Any] = {"id": name, "custom_id": line.custom_id, "response": None, "error": None}
        if answered is None:
            told["error"] = {"code": "batch_expired", "message": "the window of the batch was over before this request"}
        else:
            told["response"] = {"status_code": answered[0], "request_id": name, "body": answered[1]}
            batch.counts["completed" if answered[0] == 200 else "failed"] += 1
        (output if answered and answered[0] == 200 else errors).write(json.dumps(told).encode() + b"\n")
        return answered is None


def _read_line(content: bytes, endpoint: str) -> tuple[str, str, tuple[str, str] | None]:
    """The custom_id and model of a line, and what is wrong with it: a code and a message."""
    if len(content) >= _LONGEST_LINE:
        return "", "", ("line_too_long", f"the line has more than {_LONGEST_LINE} bytes")
    try:
        asked = json.loads(content)
    except (ValueError, RecursionError):
        return "", "", ("invalid_json_line", "the line is not JSON")
    if not isinstance(asked, dict) or not isinstance(asked.get("body"), dict):
        return "", "", ("invalid_request", "the line is no object with a body")
    custom_id, model = asked.get("custom_id"), asked["body"].get("model")
    if not isinstance(custom_id, str) or not custom_id:
        return "", "", ("missing_required_parameter", "custom_id is missing")
    if asked.get("method") != "POST" or asked.get("url") != endpoint:
        return "", "", ("invalid_url", f"method and url are POST and {endpoint}, as of the batch")
    if not isinstance(model, str):
        return "", "", ("missing_required_parameter", "body.model is missing")
    return custom_id, model, None


async def _json(request: web.Request) -> dict[str, Any]:
    try:
        asked = json.loads(await request.read())
    except (ValueError, RecursionError):
        raise ApiError(400, "the body is not JSON") from None
    if not isinstance(asked, dict):
        raise ApiError(400, "the body is no JSON object")
    return asked
