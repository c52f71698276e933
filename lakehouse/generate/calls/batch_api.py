"""The Batch API of OpenAI: send a file of requests, wait for the server to work it off, fetch the answers.

A server that does not answer is asked again with growing pauses; what it refuses for good is a `GenerationError`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import openai

from lakehouse import identity
from lakehouse.generate.calls import chat
from lakehouse.generate.calls.completion import CallError
from lakehouse.generate.errors import GenerationError

MARK = "lakehouse"  # the key of a batch's metadata under which ours is found
_FINAL = {"completed", "failed", "expired", "cancelled"}
_FIRST_DELAY, _LONGEST_DELAY = 0.5, 60.0  # seconds
_TRIES = 10  # of one step, in a row: about five minutes
_MOST_PAGES = 1000
_LONGEST_LINE = 16 * 2**20  # bytes
_LARGEST_FILE = 4 * 2**30
_ID_CHARS = 200
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Progress:
    """How far the server is with a batch."""

    batch_id: str
    status: str
    output_files: tuple[str, ...]  # of answers and of errors, where there are such
    error: str | None  # why the server refused all of it

    @property
    def is_final(self) -> bool:
        """Whether nothing more will come."""
        return self.status in _FINAL


class BatchServer:
    """One server's Batch API."""

    def __init__(self, name: str, client: openai.AsyncOpenAI, state: Path) -> None:
        self._name, self._client, self._state = name, client, state

    async def upload(self, path: Path) -> str:
        """Send a file of requests; return the server's name for it."""

        async def send() -> str:
            with path.open("rb") as file:
                sent = self._client.files.create(file=(path.name, file, "application/jsonl"), purpose="batch")
                return _identifier(getattr(await chat.sent(sent, self._client.api_key, ""), "id", None))

        return await self.insist("the file of requests could not be uploaded", send)

    async def create(self, file_id: str, url: str, mark: str, *, is_new: bool) -> Progress:
        """Start the batch of an uploaded file, unless one with this mark is there: an answer may have been lost.

        Args:
            is_new: there is none, for the file was uploaded just now.
        """
        looks = not is_new

        async def start() -> Progress:
            body = {
                "input_file_id": file_id,
                "endpoint": url,
                "completion_window": "24h",
                "metadata": {MARK: mark},
            }
            return _progress(await self._json(self._client.post("/batches", body=body, cast_to=httpx2.Response)))

        async def start_once() -> Progress:
            nonlocal looks
            found = await self.find(mark) if looks else None
            looks = True
            return found or await start()

        return await self.insist("the batch could not be started", start_once)

    async def find(self, mark: str) -> Progress | None:
        """The batch with this mark, or None where the server has none.

        Raises:
            CallError: the server could not be asked.
        """
        after: str | None = None
        for _ in range(_MOST_PAGES):
            query = {"limit": 100, **({"after": after} if after else {})}
            page = await self._json(self._client.get("/batches", cast_to=httpx2.Response, options={"params": query}))
            batches = page.get("data") if isinstance(page, dict) else None
            if not isinstance(batches, list):
                raise CallError("the answer is no list of batches")
            for batch in batches:
                metadata = batch.get("metadata") if isinstance(batch, dict) else None
                if isinstance(metadata, dict) and metadata.get(MARK) == mark:
                    return _progress(batch)
            if not batches or page.get("has_more") is not True:
                return None
            after = _progress(batches[-1]).batch_id
        return None

    async def progress(self, batch_id: str) -> Progress:
        """How far a batch is."""

        async def ask() -> Progress:
            return _progress(await self._json(self._client.get(f"/batches/{batch_id}", cast_to=httpx2.Response)))

        return await self.insist(f"the state of batch {batch_id} could not be read", ask)

    async def lines(self, file_id: str) -> AsyncIterator[bytes]:
        """The lines of a file of answers, as they arrive.

        Raises:
            CallError: the connection broke; what came before holds.
        """
        call = self._client.get(
            f"/files/{file_id}/content", cast_to=httpx2.Response, stream=True, stream_cls=openai.AsyncStream[Any]
        )
        response: Any = await chat.sent(call, self._client.api_key, "")
        begun, read = bytearray(), 0
        try:
            async for chunk in response.aiter_bytes():
                read += len(chunk)
                if read > _LARGEST_FILE:
                    raise CallError(f"a file of answers is longer than {_LARGEST_FILE:,} bytes", again=False)
                *ended, rest = (bytes(begun) + chunk).split(b"\n") if b"\n" in chunk else (None,)
                if rest is None:
                    begun += chunk
                else:
                    for line in ended:
                        yield line
                    begun = bytearray(rest)
                if len(begun) > _LONGEST_LINE:
                    raise CallError(f"a line of answers is longer than {_LONGEST_LINE:,} bytes", again=False)
            if begun:
                yield bytes(begun)
        except (httpx2.HTTPError, OSError) as error:
            raise CallError(f"no answer ({type(error).__name__})", silent=True) from None
        finally:
            await response.aclose()

    async def _json(self, call: Any) -> Any:
        return chat.parsed(await chat.sent(call, self._client.api_key, ""))

    async def insist(self, what: str, action: Callable[[], Awaitable[_Result]]) -> _Result:
        """Do something until it succeeds.

        Args:
            what: what it means that it did not succeed.
            action: raises `CallError` where it did not.

        Raises:
            GenerationError: it did not succeed ten times, or never will.
        """
        delay = _FIRST_DELAY
        for attempt in range(1, _TRIES + 1):
            try:
                return await action()
            except CallError as error:
                if not error.again or attempt == _TRIES:
                    raise GenerationError(
                        f"endpoint {self._name}: {what}: {error}. Run again: nothing is sent twice. To give a batch "
                        f"up, remove its folder in {self._state}."
                    ) from None
                jitter = identity.order_key(attempt, self._name, what) / 2**63
                pause = delay * (0.5 + jitter / 2) if error.wait is None else error.wait
                await asyncio.sleep(pause)
                delay = min(2 * delay, _LONGEST_DELAY)
        raise AssertionError("not reached")


def parsed_line(line: bytes) -> tuple[str, Any, int, str | None] | None:
    """Custom id, body, HTTP status (0: none) and error code of a line of answers; None where it is no such line."""
    try:
        said = json.loads(line)
        custom_id, response, error = said["custom_id"], said.get("response"), said.get("error")
    except (ValueError, RecursionError, TypeError, KeyError, AttributeError):
        return None
    if not isinstance(custom_id, str):
        return None
    response = response if isinstance(response, dict) else {}
    status, body = response.get("status_code"), response.get("body")
    if not isinstance(error, dict) and isinstance(body, dict) and isinstance(body.get("error"), dict):
        error = body["error"]
    code = error.get("code") if isinstance(error, dict) else None
    # Codes are words; a server's sentences might repeat a prompt that is no longer at hand to compare.
    known = isinstance(code, str) and len(code) <= 64 and code.replace("_", "").replace("-", "").isalnum()
    return custom_id, body, status if type(status) is int else 0, code if known else None


def _progress(body: Any) -> Progress:
    if not isinstance(body, dict) or not isinstance(body.get("status"), str):
        raise CallError("the answer is no batch")
    files = tuple(_identifier(body[key]) for key in ("output_file_id", "error_file_id") if body.get(key))
    return Progress(_identifier(body.get("id")), body["status"], files, _reason(body))


def _reason(body: dict[str, Any]) -> str | None:
    try:
        code = body["errors"]["data"][0]["code"]
    except (TypeError, KeyError, IndexError):
        return None
    return code if isinstance(code, str) and len(code) <= 64 and code.replace("_", "").isalnum() else None


def _identifier(said: Any) -> str:
    """A server's name for something, if it can be part of an address.

    Raises:
        CallError: otherwise.
    """
    plain = isinstance(said, str) and said.isascii() and said.replace("-", "").replace("_", "").isalnum()
    if not plain or len(said) > _ID_CHARS:
        raise CallError("the server's name for a file or batch is none", again=False)
    return str(said)
