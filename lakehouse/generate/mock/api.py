"""The mock model's HTTP side: routes, keys, limits, and faults that are done to a connection. Imports aiohttp."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from lakehouse import identity
from lakehouse.generate.mock import completions, embedding_requests
from lakehouse.generate.mock.api_error import ApiError
from lakehouse.generate.mock.batches import BatchApi
from lakehouse.generate.mock.completions import Asked, Form
from lakehouse.generate.mock.embedding_requests import AskedVectors
from lakehouse.generate.mock.faults import BAD_ANSWERS
from lakehouse.generate.mock.settings import Settings
from lakehouse.generate.mock.traffic import RateLimits, Traffic
from lakehouse.generate.mock.uploads import Uploads

LARGEST_BODY = 16 * 2**20
"""Bytes of a request for an answer. Uploaded files may be larger."""

STEP_HEADER = "X-Lakehouse-Step"
"""Names the step of a recipe that a request belongs to."""

_OVERLOADED = "the server is overloaded"
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class _Reply:
    """What is to be sent: one body, or the events of a stream, and the tokens that it costs."""

    pieces: list[bytes]
    stream: bool
    prompt_tokens: int
    completion_tokens: int


def make_app(settings: Settings, traffic: Traffic, folder: Path) -> web.Application:
    """The application that serves the API. Uploaded files and results of batches go to `folder`."""
    api = ModelApi(settings, traffic)

    @web.middleware
    async def guard(request: web.Request, handler: _Handler) -> web.StreamResponse:
        return await api.guard(request, handler)

    app = web.Application(client_max_size=LARGEST_BODY, middlewares=[guard])
    app.add_routes(
        [
            web.get("/v1/models", api.models),
            web.get("/v1/models/{model:.+}", api.model),
            web.post("/v1/chat/completions", api.chat),
            web.post("/v1/completions", api.completion),
            web.post("/v1/embeddings", api.embeddings),
            web.get("/mock/counters", api.counters),
        ]
    )
    uploads = Uploads(folder)
    app.add_routes(uploads.routes())
    app.add_routes(BatchApi(uploads, api.answer_line, settings.faults.seed, settings.batch_seconds).routes())
    app.router.add_route("*", "/{rest:.*}", api.nothing)
    return app


class ModelApi:
    """Models, completions and embeddings."""

    def __init__(self, settings: Settings, traffic: Traffic) -> None:
        self._settings, self._traffic = settings, traffic
        self._limits = RateLimits(settings.requests_per_second, settings.tokens_per_minute)

    async def guard(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        """Refuse those without the key, and make every error one of the API."""
        try:
            if request.path.startswith("/v1/"):
                self._check_key(request.headers.get("Authorization", ""))
            return await handler(request)
        except ApiError as error:
            failure = error
        except web.HTTPRequestEntityTooLarge:
            failure = ApiError(413, f"the body has more than {LARGEST_BODY} bytes")
        self._traffic.statuses[failure.status] += 1
        headers = {**self._limits.headers(time.monotonic()), **failure.headers}
        return web.json_response(failure.body, status=failure.status, headers=headers)

    async def models(self, request: web.Request) -> web.StreamResponse:
        """List the models."""
        return web.json_response({"object": "list", "data": [_model(name) for name in self._settings.models]})

    async def model(self, request: web.Request) -> web.StreamResponse:
        """Show one model."""
        self._check_model(request.match_info["model"])
        return web.json_response(_model(request.match_info["model"]))

    async def counters(self, request: web.Request) -> web.StreamResponse:
        """What was asked and answered so far; with ?requests=true also of each request."""
        return web.json_response(self._traffic.as_json(request.query.get("requests") == "true"))

    async def nothing(self, request: web.Request) -> web.StreamResponse:
        """Say that there is nothing here."""
        raise ApiError(404, f"there is no {request.method} {request.path}", "not_found")

    async def chat(self, request: web.Request) -> web.StreamResponse:
        """Answer messages."""
        return await self._complete(request, "chat")

    async def completion(self, request: web.Request) -> web.StreamResponse:
        """Answer a prompt."""
        return await self._complete(request, "completion")

    async def embeddings(self, request: web.Request) -> web.StreamResponse:
        """Answer with the vectors of texts."""
        content = await request.read()
        self._traffic.calls += 1
        asked = embedding_requests.parse(content)

        def reply(fault: str) -> _Reply:
            return _Reply([json.dumps(asked.as_json()).encode()], False, asked.tokens, 0)

        return await self._respond(request, asked, asked.tokens, reply)

    def answer_line(self, form: Form, body: Any, step: str | None) -> tuple[int, dict[str, Any]] | None:
        """Answer a line of a batch: HTTP status and body. None: the batch does not get to it in time."""
        faults = self._settings.faults
        try:
            asked = completions.understand(body, form)
            if faults.expires(asked.prompt) and self._traffic.meets_again(f"late {asked.request_hash}", faults.times):
                return None
            self._traffic.calls += 1
            self._check(asked)
            fault = self._fault(asked)
            if fault and fault not in (*BAD_ANSWERS, "slow"):
                raise self._error(fault) or ApiError(500, "something broke", "server_error")
        except ApiError as error:
            return error.status, error.body
        answer = completions.answer(asked, step, fault)
        with self._traffic.answering(asked.request_hash, asked.prompt_tokens, answer.completion_tokens):
            return 200, answer.as_json()

    async def _complete(self, request: web.Request, form: Form) -> web.StreamResponse:
        content = await request.read()
        self._traffic.calls += 1
        asked = completions.parse(content, form)
        step = request.headers.get(STEP_HEADER)

        def reply(fault: str) -> _Reply:
            answer = completions.answer(asked, step, fault)
            pieces = list(answer.events()) if asked.stream else [json.dumps(answer.as_json()).encode()]
            return _Reply(pieces, asked.stream, asked.prompt_tokens, answer.completion_tokens)

        return await self._respond(request, asked, asked.prompt_tokens + (asked.max_tokens or 0), reply)

    async def _respond(
        self, request: web.Request, asked: Asked | AskedVectors, tokens: int, reply: Callable[[str], _Reply]
    ) -> web.StreamResponse:
        """Check, wait and answer, or do what the fault of this request is."""
        self._check(asked)
        most = self._settings.most_in_flight
        if most is not None and self._traffic.under_way >= most:
            raise ApiError(503, _OVERLOADED, "overloaded")
        now = time.monotonic()
        if wait := self._limits.admit(tokens, now):
            raise ApiError(429, "too much was asked", "rate_limit_exceeded", headers={"Retry-After": f"{wait:.3f}"})
        self._traffic.begin()
        try:
            fault = self._fault(asked)
            if error := self._error(fault):
                raise error
            if fault in ("timeouts", "closed_connections"):
                return await self._hang_up(request, self._settings.faults.silence if fault == "timeouts" else 0.0)
            if self._settings.delay:
                await asyncio.sleep(self._settings.delay)
            return await self._send(request, asked.request_hash, reply(fault), fault)
        finally:
            self._traffic.end()

    def _check(self, asked: Asked | AskedVectors) -> None:
        """Note the call, and refuse what this server does not have."""
        self._traffic.calls_of[asked.request_hash] += 1
        self._check_model(asked.model)
        if isinstance(asked, Asked) and asked.has_schema and self._settings.structured == "refuse":
            raise ApiError(400, "response_format.type json_schema is not supported", param="response_format")

    def _check_key(self, shown: str) -> None:
        key = self._settings.key
        wanted = f"Bearer {key}".encode()
        if key is not None and not hmac.compare_digest(shown.encode("utf-8", "surrogateescape"), wanted):
            raise ApiError(401, "the API key is missing or wrong", "invalid_api_key")

    def _check_model(self, name: str) -> None:
        if name not in self._settings.models:
            raise ApiError(404, f"there is no model {name!r}", "model_not_found", param="model")

    def _fault(self, asked: Asked | AskedVectors) -> str:
        """The fault that a request meets this time, or ""."""
        faults = self._settings.faults
        fault = faults.of(asked.prompt)
        if fault in BAD_ANSWERS:
            if isinstance(asked, AskedVectors):
                return ""
            if not faults.heals or fault != "truncated":
                return fault
            # Whoever asks again for the rest may ask for more tokens: another request, but the same prompt.
            return fault if self._traffic.meets_again(identity.hash_of(asked.prompt), faults.times) else ""
        return fault if fault and self._traffic.meets_again(asked.request_hash, faults.times) else ""

    def _error(self, fault: str) -> ApiError | None:
        """The error that a fault is answered with, if it is one of those."""
        seconds = self._settings.faults.retry_after
        if fault in ("rate_limited", "rate_limited_bare", "rate_limited_ms"):
            waits = {
                "rate_limited": {"Retry-After": f"{seconds:g}"},
                "rate_limited_ms": {"retry-after-ms": f"{seconds * 1000:.0f}"},
            }
            return ApiError(429, "slow down", "rate_limit_exceeded", headers=waits.get(fault))
        if fault == "unavailable":
            return ApiError(503, _OVERLOADED, "overloaded")
        return ApiError(500, "something broke", "server_error") if fault == "server_errors" else None

    async def _hang_up(self, request: web.Request, after: float) -> web.StreamResponse:
        """Say nothing, and close the connection in the end. The client may do so before."""
        await asyncio.sleep(after)
        if request.transport is not None:
            request.transport.abort()
        return web.Response()

    async def _send(self, request: web.Request, request_hash: str, reply: _Reply, fault: str) -> web.StreamResponse:
        """Send an answer as its fault wants it, and count it if that was all of it."""
        faults = self._settings.faults
        pieces = _damaged(reply, fault)
        pause = faults.slowness if fault == "slow" else 0.0
        response = web.StreamResponse(headers=self._limits.headers(time.monotonic()))
        response.content_type = "text/event-stream" if reply.stream else "application/json"
        if not reply.stream:
            response.content_length = len(pieces[0])
            await asyncio.sleep(pause)
        with contextlib.suppress(ConnectionError):  # the client may have gone
            await response.prepare(request)
            self._traffic.statuses[200] += 1
            if fault == "cut_connections":
                content = b"".join(pieces)
                await response.write(content[: len(content) // 2])
                if request.transport is not None:
                    request.transport.close()
            elif fault in ("malformed_json", "half_json", "error_objects"):
                await response.write_eof(b"".join(pieces))
            else:
                if pause and reply.stream:
                    for piece in pieces[:-1]:
                        await response.write(piece)
                        await asyncio.sleep(pause / len(pieces))
                    pieces = pieces[-1:]
                with self._traffic.answering(request_hash, reply.prompt_tokens, reply.completion_tokens):
                    await response.write_eof(b"".join(pieces))
        return response


def _damaged(reply: _Reply, fault: str) -> list[bytes]:
    """What is sent in place of a body, or of the events of a stream, under faults of the content."""
    pieces = reply.pieces
    if fault == "malformed_json":
        return [pieces[0].replace(b"{", b"{{", 1), *pieces[1:]]
    if fault == "half_json":
        return pieces[: len(pieces) // 2] if reply.stream else [pieces[0][: len(pieces[0]) // 2]]
    if fault == "error_objects":
        error = ApiError(503, _OVERLOADED, "overloaded").body
        return [completions.event(error) if reply.stream else json.dumps(error).encode()]
    return pieces


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "lakehouse"}
