"""Embeddings of an OpenAI-compatible server: a bounded number of requests at once, retried, refused in one line.

Apart from `embedding`, because importing `openai` takes as long as importing Dagster: only a process that calls pays.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import ipaddress
import json
import os
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import numpy as np
import numpy.typing as npt
import openai

from lakehouse.annotate.annotator import AnnotatorError

_KEY_VARIABLE = "LAKEHOUSE_API_KEY"
_AT_ONCE = 8  # requests that a process has under way
_RETRIES = 4
_SECONDS, _CONNECT_SECONDS = 120.0, 10.0
_MESSAGE_CHARS = 300  # of a server's own words
_KEY_CHARS = 6  # a server's words that share so many characters with the key are not repeated
_TEXT_CHARS = 16  # the same for the texts

Vectors = npt.NDArray[np.float32]


def embed(texts: Sequence[str], address: str, model: str, *, batch: int, dimensions: int | None) -> Vectors:
    """The vectors of n texts, as the model gives them: n rows.

    Timeouts, 408, 409, 429 and 5xx are tried again, and `Retry-After` is honoured.

    Args:
        texts: n texts, none of them empty.
        address: of the server, up to and with /v1.
        model: its name there.
        batch: texts of one request.
        dimensions: numbers of a vector to ask for; as many as the model has without it.

    Raises:
        AnnotatorError: the server cannot be reached, refuses, lacks the model, or answers something else. The message
            holds neither key nor texts.
    """
    key = _key()
    if key == "none" and not _is_local(address):
        raise AnnotatorError(
            f"{address} is not on this machine and {_KEY_VARIABLE} is not set: put the server's API key there (any "
            "word, if it needs none)."
        )
    asked = {"model": model, "encoding_format": "base64"} | ({"dimensions": dimensions} if dimensions else {})
    parts = [list(texts[start : start + batch]) for start in range(0, len(texts), batch)]
    answers = asyncio.run(_all(parts, asked, address, key))
    lengths = {answer.shape[1] for answer in answers}
    if len(lengths) > 1 or (dimensions and lengths != {dimensions}):
        found = " and ".join(f"{length:,}" for length in sorted(lengths))
        wanted = f", not {dimensions:,} as asked: leave dimensions out" if dimensions else ": it must be one number"
        raise AnnotatorError(f"the model {model!r} of {address} gives vectors of {found} numbers{wanted}.")
    return np.concatenate(answers)


def _key() -> str:
    key = os.environ.get(_KEY_VARIABLE, "").strip()
    if not key.isascii() or not key.isprintable() or " " in key:
        raise AnnotatorError(f"{_KEY_VARIABLE} is no API key: it holds spaces or special characters.")
    return key or "none"


def _is_local(address: str) -> bool:
    """Whether the server is on this machine: then it needs no key, and no proxy is used."""
    host = urlsplit(address).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


async def _all(parts: Sequence[list[str]], asked: dict[str, Any], address: str, key: str) -> list[Vectors]:
    places = asyncio.Semaphore(_AT_ONCE)
    transport = openai.DefaultAioHttpClient(trust_env=not _is_local(address), follow_redirects=False)
    timeout = openai.Timeout(_SECONDS, connect=_CONNECT_SECONDS)
    async with openai.AsyncOpenAI(
        base_url=address, api_key=key, timeout=timeout, max_retries=_RETRIES, http_client=transport
    ) as client:

        async def one(texts: list[str]) -> Vectors:
            async with places:
                return await _ask(client, texts, asked, address)

        running = [asyncio.create_task(one(part)) for part in parts]
        try:
            return await asyncio.gather(*running)
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)


async def _ask(client: openai.AsyncOpenAI, texts: list[str], asked: dict[str, Any], address: str) -> Vectors:
    try:
        body = await client.post("/embeddings", body={"input": texts, **asked}, cast_to=object)
    except openai.APIStatusError as error:
        # A server that refuses a key likes to repeat part of it.
        said = "" if error.status_code in {401, 403} else _said(error.body, client.api_key, texts)
        if error.status_code == 404:
            raise AnnotatorError(f"{address} has no model {asked['model']!r} for embeddings{said}.") from None
        raise AnnotatorError(f"{address} gives no embeddings: HTTP {error.status_code}{said}.") from None
    except openai.APIConnectionError as error:
        # The transport calls a refused connection a timeout; the error below it has the right name.
        cause = error.__cause__.__cause__ if error.__cause__ else None
        kind = type(cause or error.__cause__ or error).__name__
        raise AnnotatorError(f"{address} cannot be reached: no answer ({kind}).") from None
    except (openai.OpenAIError, aiohttp.ClientError) as error:
        raise AnnotatorError(f"{address} gives no embeddings: no answer ({type(error).__name__}).") from None
    except ValueError:
        raise AnnotatorError(f"{address} gives no embeddings: the answer is not JSON.") from None
    try:
        return _vectors(body, len(texts))
    except (TypeError, KeyError, ValueError, binascii.Error):
        raise AnnotatorError(f"{address} gives no embeddings: the answer has another form.") from None


def _vectors(body: Any, expected: int) -> Vectors:
    """The vectors of an answer in the order of the texts; a server may send lists though it was asked for base64."""
    rows = sorted(body["data"], key=lambda row: row["index"])
    if [row["index"] for row in rows] != list(range(expected)):
        raise ValueError
    vectors = [
        np.frombuffer(base64.b64decode(row["embedding"], validate=True), "<f4")
        if isinstance(row["embedding"], str)
        else np.asarray(row["embedding"], np.float32)
        for row in rows
    ]
    stacked = np.stack(vectors).astype(np.float32)
    if stacked.ndim != 2 or not stacked.shape[1]:
        raise ValueError
    return stacked


def _said(body: Any, key: str, texts: Sequence[str]) -> str:
    """The server's own words about an error, unless they repeat the key or a text."""
    if isinstance(body, dict):
        body = body["error"] if isinstance(body.get("error"), dict) else body
        body = body.get("message") or body.get("detail") or body.get("code")
    if not isinstance(body, str) or not body.strip():
        return ""
    words = " ".join(body.encode("utf-8", "replace").decode().split())[:_MESSAGE_CHARS]
    joined = "\n".join(texts)
    secrets = [(key, _KEY_CHARS), (" ".join(joined.split()), _TEXT_CHARS), (json.dumps(joined), _TEXT_CHARS)]
    if any(words[at : at + size] in secret for secret, size in secrets for at in range(len(words) - size + 1)):
        return " (the server's message repeats the key or a text and is left out)"
    return f": {words.rstrip('.')}"
