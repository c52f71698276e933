"""One call over the OpenAI chat API: the connection, the answer, and what a failure may say.

Apart from `client`, because importing `openai` takes as long as importing Dagster: only a process that calls pays.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import openai

from lakehouse.generate.endpoint import Endpoint
from lakehouse.generate.requests import Request

CONNECT_SECONDS = 10.0
_MESSAGE_CHARS = 300  # of a server's own words
_KEY_CHARS = 6  # a server's words that share so many characters with the key are not repeated
_PROMPT_CHARS = 16  # the same for the prompt
_LARGEST_COUNT = 2**53


class CallError(Exception):
    """A call failed for good. The message holds neither key nor prompt."""


@dataclass(frozen=True)
class Answer:
    """What a model answered; None where the server did not say."""

    response: str | None
    finish_reason: str | None
    prompt_tokens: int | None
    completion_tokens: int | None


@asynccontextmanager
async def connect(endpoint: Endpoint) -> AsyncIterator[openai.AsyncOpenAI]:
    """A client for the endpoint; it retries timeouts, 408, 409, 429 and 5xx, and waits as `Retry-After` says."""
    transport = openai.DefaultAioHttpClient(
        # A proxy of the environment cannot reach a server on this machine; a redirect would take prompts elsewhere.
        trust_env=not endpoint.is_local,
        follow_redirects=False,
    )
    timeout = openai.Timeout(endpoint.timeout, connect=min(CONNECT_SECONDS, endpoint.timeout))
    async with openai.AsyncOpenAI(
        base_url=endpoint.base_url,
        api_key=endpoint.api_key,
        timeout=timeout,
        max_retries=endpoint.max_retries,
        http_client=transport,
    ) as client:
        yield client


async def ask(client: openai.AsyncOpenAI, request: Request) -> Answer:
    """Send one request and return its answer.

    Raises:
        CallError: no answer came, whatever the reason.
    """
    contents = "\n".join(message["content"] for message in request.messages)
    body = await _send(
        client.post(
            "/chat/completions",
            body={"model": request.model, "messages": request.messages, **request.params},
            cast_to=object,
        ),
        client.api_key,
        contents,
    )
    try:
        choice = body["choices"][0]
        content = choice["message"]["content"]
    except (TypeError, KeyError, IndexError):
        detail = _said(body, client.api_key, contents)
        raise CallError(f"the answer is no chat completion{detail}") from None
    usage = body.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    return Answer(
        response=_encodable(content),
        finish_reason=_encodable(choice.get("finish_reason")),
        prompt_tokens=_count(usage.get("prompt_tokens")),
        completion_tokens=_count(usage.get("completion_tokens")),
    )


async def served_models(client: openai.AsyncOpenAI) -> list[str]:
    """Names of the models that the server offers.

    Raises:
        CallError: it could not be asked.
    """
    body = await _send(client.get("/models", cast_to=object), client.api_key, "")
    try:
        return [str(model["id"]) for model in body["data"]]
    except (TypeError, KeyError):
        raise CallError("the answer is no list of models") from None


async def _send(call: Any, key: str, prompt: str) -> Any:
    """Await a call; what goes wrong becomes a `CallError`."""
    try:
        return await call
    except openai.APIStatusError as error:
        # A server that refuses a key likes to repeat part of it.
        detail = "" if error.status_code in {401, 403} else _said(error.body, key, prompt)
        message = f"HTTP {error.status_code}{detail}"
    except openai.APIConnectionError as error:
        # The transport calls a refused connection a timeout; the error below it has the right name.
        cause = error.__cause__.__cause__ if error.__cause__ else None
        message = f"no answer ({type(cause or error.__cause__ or error).__name__})"
    except (openai.OpenAIError, aiohttp.ClientError) as error:
        message = f"no answer ({type(error).__name__})"
    except ValueError:
        message = "the answer is not JSON"
    raise CallError(message)


def _said(body: Any, key: str, prompt: str) -> str:
    """The server's own words about an error, unless they repeat the key or the prompt."""
    if isinstance(body, dict):
        body = body["error"] if isinstance(body.get("error"), dict) else body
        words = body.get("message") or body.get("detail") or body.get("code")
    else:
        words = body
    if not isinstance(words, str) or not words.strip():
        return ""
    said = " ".join((_encodable(words) or "").split())[:_MESSAGE_CHARS]
    escaped = json.dumps(prompt)
    if (
        _overlap(said, key, _KEY_CHARS)
        or _overlap(said, prompt, _PROMPT_CHARS)
        or _overlap(said, escaped, _PROMPT_CHARS)
    ):
        return " (the server's message repeats the key or the prompt and is left out)"
    return f": {said}"


def _overlap(words: str, secret: str, length: int) -> bool:
    """Whether any `length` characters in a row of `words` stand in `secret`."""
    secret = " ".join(secret.split())
    return any(words[start : start + length] in secret for start in range(len(words) - length + 1))


def _encodable(text: Any) -> str | None:
    """A string that can be stored: half a surrogate pair, which JSON allows, becomes '?'. None for anything else."""
    return text.encode("utf-8", "replace").decode("utf-8") if isinstance(text, str) else None


def _count(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value < _LARGEST_COUNT else None
