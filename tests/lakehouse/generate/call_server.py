"""A server of the OpenAI API whose answers a test writes, and requests to send to it."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from lakehouse.generate.calls.budget import Limits
from lakehouse.generate.calls.client import generate
from lakehouse.generate.calls.completion import Row
from lakehouse.generate.calls.endpoint import Endpoint
from lakehouse.generate.mock.server import MODEL
from lakehouse.generate.requests import Request

KEY = "sk-sentinel-0123456789-never-to-be-seen"
VARIABLE = "LAKEHOUSE_API_KEY"
ANY_ERRORS = Limits(error_budget=10_000)
Answer = Callable[["Asked"], Awaitable[web.StreamResponse]]


@dataclass
class Asked:
    """One HTTP request: the how manyth it is (from 1), and what it says."""

    number: int
    path: str
    headers: dict[str, str]
    body: Any
    request: web.Request


@dataclass
class Server:
    base_url: str = ""
    asked: list[Asked] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0


def completion(text: str = "fine", prompt: int = 10, answer: int = 5, **more: Any) -> web.Response:
    """A chat completion, as a server gives it."""
    choice = {"message": {"content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": prompt, "completion_tokens": answer, **more}
    return web.json_response({"choices": [choice], "usage": usage})


async def cut(asked: Asked, content: bytes) -> web.StreamResponse:
    """Half of the content, then the end of the connection."""
    response = web.StreamResponse(headers={"Content-Length": str(len(content))})
    await response.prepare(asked.request)
    await response.write(content[: len(content) // 2])
    assert asked.request.transport is not None
    asked.request.transport.close()
    return response


@contextmanager
def serving(answer: Answer) -> Iterator[Server]:
    """A server on 127.0.0.1 that answers every request with `answer`."""
    server, started = Server(), threading.Event()
    running: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        content = await request.read()
        kind = request.headers.get("Content-Type", "")
        body = json.loads(content) if kind == "application/json" and content else content
        headers = {name.lower(): value for name, value in request.headers.items()}
        asked = Asked(len(server.asked) + 1, request.path, headers, body, request)
        server.asked.append(asked)
        server.at_once += 1
        server.most_at_once = max(server.most_at_once, server.at_once)
        try:
            return await answer(asked)
        finally:
            server.at_once -= 1

    async def run() -> None:
        application = web.Application(client_max_size=2**28)
        application.router.add_route("*", "/{path:.*}", handle)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        server.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        stop = asyncio.Event()
        running.append((asyncio.get_running_loop(), stop))
        started.set()
        await stop.wait()
        await runner.cleanup()

    thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
    thread.start()
    started.wait(10)
    try:
        yield server
    finally:
        (loop, stop) = running[0]
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)


def request(place: int, **changes: Any) -> Request:
    """A request whose prompt has exactly 40 bytes, which are estimated as 10 tokens."""
    settings: dict[str, Any] = {
        "request_id": f"{place:032x}",
        "doc_id": f"d{place}",
        "snapshot": "S",
        "recipe": "plain",
        "recipe_version": "1",
        "step": "rewrite",
        "endpoint": "default",
        "model": "m",
        "messages": [{"role": "user", "content": f"Passage {place:06d}".ljust(40, ".")}],
        "params": {"temperature": 0.5, "max_tokens": 100},
        "prompt_hash": f"p{place}",
        "params_hash": "h",
    }
    return Request(**{**settings, **changes})


def requests(count: int, **changes: Any) -> Iterator[Request]:
    """That many requests."""
    return (request(place, **changes) for place in range(count))


async def fine(asked: Asked) -> web.StreamResponse:
    """A server that answers well."""
    return completion()


def always(status: int, body: Any, content_type: str = "application/json", headers: Any = None) -> Answer:
    """A server that gives every request the same answer; {headers} and {sent} in it become what the client sent."""

    async def respond(asked: Asked) -> web.StreamResponse:
        text = body if isinstance(body, str) else json.dumps(body)
        sent = json.dumps(asked.body) if asked.body else ""
        text = text.replace("{headers}", str(asked.headers).replace('"', "'")).replace("{sent}", json.dumps(sent)[1:-1])
        return web.Response(status=status, text=text, content_type=content_type, headers=headers)

    return respond


def unused_port() -> int:
    """A port of 127.0.0.1 where nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def endpoint(base_url: str, **changes: Any) -> Endpoint:
    """An endpoint that gives up soon."""
    settings: dict[str, Any] = {"model": MODEL, "max_in_flight": 8, "timeout": 10.0, "max_retries": 2}
    return Endpoint((base_url,), **{**settings, **changes})


def call_once(base_url: str, **changes: Any) -> Row:
    """The row of one call."""
    rows: list[Row] = []
    generate(requests(1), {"default": endpoint(base_url, **changes)}, record=rows.extend, limits=ANY_ERRORS)
    (row,) = rows
    return row
