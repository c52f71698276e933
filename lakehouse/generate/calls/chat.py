"""One try of one call over the OpenAI API: the connection, the answer, and what a failure may say.

Apart from `client`, because importing `openai` takes as long as importing Dagster: only a process that calls pays.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import aiohttp
import httpx2
import openai

from lakehouse.generate.calls.completion import Answer, CallError, NotAnAnswer, answer_of
from lakehouse.generate.calls.endpoint import Endpoint
from lakehouse.generate.calls.headers import allowance, retry_after
from lakehouse.generate.calls.pace import Allowance
from lakehouse.generate.requests import Request

CONNECT_SECONDS = 10.0
_LARGEST_BODY = 16 * 2**20  # bytes of an answer
_MESSAGE_CHARS = 300  # of a server's own words
_KEY_CHARS = 6  # a server's words that share so many characters with the key are not repeated
_PROMPT_CHARS = 16  # the same for the prompt
_OVERLOADED = {429, 503, 529}
_TRANSIENT = {408, 409, 429}  # and all from 500 on
_PATHS = {"chat": "/chat/completions", "completion": "/completions"}
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Reply:
    """An answer, and what the server says about its limits."""

    answer: Answer
    requests_left: Allowance | None
    tokens_left: Allowance | None


@asynccontextmanager
async def connect(endpoint: Endpoint, base_url: str) -> AsyncIterator[openai.AsyncOpenAI]:
    """A client for one replica of the endpoint. It tries nothing twice."""
    transport = openai.DefaultAioHttpClient(
        # A proxy of the environment cannot reach a server on this machine; a redirect would take prompts elsewhere.
        trust_env=not endpoint.is_local,
        follow_redirects=False,
        limits=httpx2.Limits(max_connections=endpoint.max_in_flight),
        event_hooks={"response": [_bound]},
    )
    timeout = openai.Timeout(endpoint.timeout, connect=min(CONNECT_SECONDS, endpoint.timeout))
    async with openai.AsyncOpenAI(
        base_url=base_url,
        api_key=endpoint.api_key,
        timeout=timeout,
        max_retries=0,
        http_client=transport,
        # Compressed, a small answer may unpack to any size.
        default_headers={"Accept-Encoding": "identity"},
    ) as client:
        yield client


async def ask(client: openai.AsyncOpenAI, request: Request, seconds: float) -> Reply:
    """Send one request, once, and return its answer.

    Raises:
        CallError: no answer came within `seconds`, or none that is one.
    """
    try:
        content = body_of(request)
    except ValueError:  # half a surrogate pair, or a number that JSON has not
        raise CallError("the request cannot be written as JSON", again=False) from None
    headers = {"Content-Type": "application/json", "X-Lakehouse-Step": step_of(request)}
    prompt = "\n".join(message["content"] for message in request.messages)
    try:
        async with asyncio.timeout(seconds):
            response = await sent(
                client.post(
                    _PATHS[request.form], content=content, cast_to=httpx2.Response, options={"headers": headers}
                ),
                client.api_key,
                prompt,
            )
    except TimeoutError:
        raise CallError(f"no answer within {seconds:g} s", overloaded=True, silent=True) from None
    body = parsed(response)
    try:
        answer = answer_of(body, request.form)
    except NotAnAnswer as error:
        raise CallError(f"{error}{said(body, client.api_key, prompt)}") from None
    return Reply(answer, allowance(response.headers, "requests"), allowance(response.headers, "tokens"))


def body_of(request: Request) -> bytes:
    """What is sent: model, messages (of a completion the prompt) and parameters, as JSON.

    Raises:
        ValueError: it cannot be encoded.
    """
    content: dict[str, Any] = {"model": request.model}
    if request.form == "chat":
        content["messages"] = request.messages
    else:
        content["prompt"] = request.messages[0]["content"]
    return json.dumps({**content, **request.params}, ensure_ascii=False, allow_nan=False).encode()


def step_of(request: Request) -> str:
    """Recipe and step, as they stand in a header."""
    return f"{request.recipe}/{request.step}"


async def served_models(client: openai.AsyncOpenAI) -> list[str]:
    """Names of the models that the server offers.

    Raises:
        CallError: it could not be asked.
    """
    body = parsed(await sent(client.get("/models", cast_to=httpx2.Response), client.api_key, ""))
    try:
        return [str(model["id"]) for model in body["data"]]
    except (TypeError, KeyError):
        raise CallError("the answer is no list of models") from None


async def sent(call: Awaitable[_Result], key: str, prompt: str) -> _Result:
    """Await a call; what goes wrong becomes a `CallError`, which repeats neither key nor prompt.

    Raises:
        CallError: see there.
    """
    try:
        return await call
    except openai.APIStatusError as error:
        status = error.status_code
        # A server that refuses a key likes to repeat part of it.
        detail = "" if status in {401, 403} else said(error.body, key, prompt)
        raise CallError(
            f"HTTP {status}{detail}",
            again=status in _TRANSIENT or status >= 500,
            overloaded=status in _OVERLOADED,
            wait=retry_after(error.response.headers),
        ) from None
    except openai.APITimeoutError as error:
        # The transport calls a refused connection a timeout; the error below it has the right name.
        failure = _cause(error)
        late = isinstance(failure, TimeoutError) and not isinstance(failure, aiohttp.ClientConnectorError)
        raise CallError(f"no answer ({type(failure).__name__})", overloaded=late, silent=True) from None
    except (openai.OpenAIError, httpx2.HTTPError, aiohttp.ClientError, OSError) as error:
        raise CallError(f"no answer ({type(_cause(error)).__name__})", silent=True) from None
    except (ValueError, RecursionError):  # of an error's body
        raise CallError("the answer is not JSON") from None


def _cause(error: BaseException) -> BaseException:
    """The error below the wrappers of `openai` and its transport."""
    below = error.__cause__
    return (below.__cause__ or below) if below else error


def parsed(response: httpx2.Response) -> Any:
    """The body of an answer, read as JSON.

    Raises:
        CallError: it is none.
    """
    try:
        return json.loads(response.content)
    except (ValueError, RecursionError):
        if response.headers.get("content-type", "").startswith("text/"):
            return None  # a web page, say: no answer of this API, whatever is in it
        raise CallError("the answer is not JSON") from None


async def _bound(response: httpx2.Response) -> None:
    """Make sure that an answer is read no further than `_LARGEST_BODY`; files of a batch are read as streams."""
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise CallError("the answer is compressed, which was not asked for", again=False)
    if response.status_code == 200 and response.request.url.path.endswith("/content"):
        return
    stream = response.stream
    assert isinstance(stream, httpx2.AsyncByteStream)
    response.stream = _Bounded(stream)


class _Bounded(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        read = 0
        async for chunk in self._stream:
            read += len(chunk)
            if read > _LARGEST_BODY:
                raise CallError(f"the answer is longer than {_LARGEST_BODY:,} bytes", again=False)
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


def said(body: Any, key: str, prompt: str) -> str:
    """The server's own words about an error, unless they repeat the key or the prompt."""
    if isinstance(body, dict):
        body = body["error"] if isinstance(body.get("error"), dict) else body
        words = body.get("message") or body.get("detail") or body.get("code")
    else:
        words = body
    if not isinstance(words, str) or not words.strip():
        return ""
    told = " ".join(words[: 4 * _MESSAGE_CHARS].encode("utf-8", "replace").decode().split())[:_MESSAGE_CHARS]
    if (
        _overlap(told, key, _KEY_CHARS)
        or _overlap(told, prompt, _PROMPT_CHARS)
        or _overlap(told, json.dumps(prompt), _PROMPT_CHARS)
    ):
        return " (the server's message repeats the key or the prompt and is left out)"
    return f": {told}"


def _overlap(words: str, secret: str, length: int) -> bool:
    """Whether any `length` characters in a row of `words` stand in `secret`."""
    secret = " ".join(secret.split())
    return any(words[start : start + length] in secret for start in range(len(words) - length + 1))
