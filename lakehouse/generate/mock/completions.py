"""Chat and text completions of the mock model: what a request asks, what is answered, and the forms of both."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from lakehouse import identity
from lakehouse.generate.mock.api_error import ApiError
from lakehouse.generate.mock.faults import spoilt
from lakehouse.generate.mock.replies import reply

Form = Literal["chat", "completion"]

CHARS_PER_TOKEN = 4
"""The usual estimate: there is no tokenizer here."""

_ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})
_TRANSPORT = frozenset({"model", "messages", "prompt", "stream", "stream_options"})
_PIECE = 4 * CHARS_PER_TOKEN  # characters of one event of a stream
_MOST_STOPS = 4
_RANGES = {
    "temperature": (0.0, 2.0),
    "top_p": (0.0, 1.0),
    "frequency_penalty": (-2.0, 2.0),
    "presence_penalty": (-2.0, 2.0),
}


@dataclass(frozen=True)
class Asked:
    """A request that can be answered."""

    form: Form
    model: str
    messages: list[dict[str, str]]  # of a text completion one, with the prompt
    params: dict[str, Any]  # all else that was sent
    stream: bool
    include_usage: bool
    request_hash: str  # the same for the same form, model, messages and params

    @property
    def prompt(self) -> str:
        """The last message."""
        return self.messages[-1]["content"]

    @property
    def max_tokens(self) -> int | None:
        """At most so many tokens are to be answered."""
        return self.params.get("max_completion_tokens") or self.params.get("max_tokens")

    @property
    def has_schema(self) -> bool:
        """Whether the answer is to be JSON by a schema."""
        return (self.params.get("response_format") or {}).get("type") == "json_schema"

    @cached_property
    def prompt_tokens(self) -> int:
        """Estimated tokens of all messages."""
        return tokens_of(" ".join(message["content"] for message in self.messages))


@dataclass(frozen=True)
class Answer:
    """What a model says to a request."""

    asked: Asked
    text: str
    finish_reason: Literal["stop", "length"]

    @property
    def completion_tokens(self) -> int:
        """Estimated tokens of the answer."""
        return tokens_of(self.text)

    @property
    def usage(self) -> dict[str, int]:
        """Estimated tokens of the request and of the answer."""
        used = self.asked.prompt_tokens, self.completion_tokens
        return {"prompt_tokens": used[0], "completion_tokens": used[1], "total_tokens": sum(used)}

    def as_json(self) -> dict[str, Any]:
        """The answer as an object of the OpenAI API."""
        said: dict[str, Any] = {"text": self.text, "logprobs": None}
        if self.asked.form == "chat":
            said = {"message": {"role": "assistant", "content": self.text}}
        choice = {"index": 0, **said, "finish_reason": self.finish_reason}
        kind = "chat.completion" if self.asked.form == "chat" else "text_completion"
        return {**self._head(kind), "choices": [choice], "usage": self.usage}

    def events(self) -> Iterator[bytes]:
        """The answer as server-sent events, one of them for every few tokens."""
        chat = self.asked.form == "chat"
        head = self._head("chat.completion.chunk" if chat else "text_completion")
        rest: dict[str, Any] = {"usage": None} if self.asked.include_usage else {}
        pieces = [self.text[start : start + _PIECE] for start in range(0, len(self.text), _PIECE)]
        if chat:
            deltas: list[dict[str, Any]] = [{"delta": {"role": "assistant", "content": ""}}]
            deltas += [{"delta": {"content": piece}} for piece in pieces]
            last: dict[str, Any] = {"delta": {}}
        else:
            deltas, last = [{"text": piece} for piece in pieces], {"text": ""}
        for delta in deltas:
            yield event({**head, "choices": [{"index": 0, **delta, "finish_reason": None}], **rest})
        yield event({**head, "choices": [{"index": 0, **last, "finish_reason": self.finish_reason}], **rest})
        if self.asked.include_usage:
            yield event({**head, "choices": [], "usage": self.usage})
        yield b"data: [DONE]\n\n"

    def _head(self, kind: str) -> dict[str, Any]:
        letters = "chatcmpl" if self.asked.form == "chat" else "cmpl"
        return {
            "id": f"{letters}-{self.asked.request_hash}",
            "object": kind,
            "created": int(time.time()),
            "model": self.asked.model,
        }


def answer(asked: Asked, step: str | None, fault: str) -> Answer:
    """What the model says: it depends on the request, the step of a recipe (None: unknown) and the fault alone."""
    text = spoilt(reply(step, asked.messages, asked.params), fault, asked.prompt)
    stops = asked.params.get("stop") or ()
    found = [text.find(stop) for stop in ([stops] if isinstance(stops, str) else stops) if stop in text]
    text = text[: min(found, default=len(text))]
    most = asked.max_tokens * CHARS_PER_TOKEN if asked.max_tokens else len(text)
    if fault == "truncated":
        most = min(most, len(text) // 2)
    cut = fault == "truncated" or len(text) > most
    return Answer(asked, text[:most], "length" if cut else "stop")


def parse(content: bytes, form: Form) -> Asked:
    """Read the body of a request.

    Raises:
        ApiError: it is no request that can be answered.
    """
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        raise ApiError(400, "the body is not JSON") from None
    return understand(body, form)


def understand(body: Any, form: Form) -> Asked:
    """Check a request.

    Args:
        body: what JSON holds.
        form: of chat completions or of text completions.

    Raises:
        ApiError: it is no request that can be answered.
    """
    if not isinstance(body, dict):
        raise ApiError(400, "the body is no JSON object")
    model = body.get("model")
    if not isinstance(model, str):
        raise ApiError(400, "model is missing", param="model")
    messages = _messages(body.get("messages")) if form == "chat" else _prompt(body.get("prompt"))
    params = {name: value for name, value in body.items() if name not in _TRANSPORT}
    _check(params)
    stream, options = body.get("stream") or False, body.get("stream_options") or {}
    if not isinstance(stream, bool) or not isinstance(options, dict) or (options and not stream):
        raise ApiError(400, "stream is true or false, and stream_options go with true", param="stream")
    try:
        whole = json.dumps([form, model, messages, params], sort_keys=True)
    except RecursionError:
        raise ApiError(400, "the body is nested too deeply") from None
    return Asked(form, model, messages, params, stream, options.get("include_usage") is True, identity.hash_of(whole))


def event(content: Any) -> bytes:
    """One server-sent event."""
    return b"data: " + json.dumps(content).encode() + b"\n\n"


def tokens_of(text: str) -> int:
    """Estimated tokens of a text, at least one."""
    return max(1, len(text) // CHARS_PER_TOKEN)


def _messages(given: Any) -> list[dict[str, str]]:
    if not isinstance(given, list) or not given:
        raise ApiError(400, "messages is a list of at least one message", param="messages")
    messages = []
    for place, message in enumerate(given):
        if not isinstance(message, dict) or message.get("role") not in _ROLES:
            raise ApiError(
                400, f"messages[{place}] has no role of these: {', '.join(sorted(_ROLES))}", param="messages"
            )
        messages.append({"role": message["role"], "content": _content(message.get("content"), place)})
    return messages


def _content(given: Any, place: int) -> str:
    """The text of a message, which may come in parts."""
    if isinstance(given, str):
        return given
    if not isinstance(given, list) or not given:
        raise ApiError(400, f"messages[{place}].content is neither a text nor a list of parts", param="messages")
    texts = [part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None for part in given]
    if not all(isinstance(text, str) for text in texts):
        raise ApiError(400, f"messages[{place}].content has a part that is no text", param="messages")
    return "".join(str(text) for text in texts)


def _prompt(given: Any) -> list[dict[str, str]]:
    texts = given if isinstance(given, list) else [given]
    if len(texts) != 1 or not isinstance(texts[0], str):
        raise ApiError(400, "prompt is one text: this server takes neither tokens nor several texts", param="prompt")
    return [{"role": "user", "content": texts[0]}]


def _check(params: dict[str, Any]) -> None:
    """Refuse parameters out of range; those that are not known here go through, as with servers of open models."""
    for name, (least, most) in _RANGES.items():
        value = params.get(name)
        if value is not None and not (_is_number(value) and least <= value <= most):
            raise ApiError(400, f"{name} is a number from {least:g} to {most:g}", param=name)
    for name in ("max_tokens", "max_completion_tokens"):
        if (value := params.get(name)) is not None and (type(value) is not int or value < 1):
            raise ApiError(400, f"{name} is a whole number of at least 1", param=name)
    if params.get("n") not in (None, 1):
        raise ApiError(400, "n is 1: this server gives one answer", param="n")
    stops = params.get("stop")
    listed = [stops] if isinstance(stops, str) else stops
    if stops is not None and not (
        isinstance(listed, list)
        and len(listed) <= _MOST_STOPS
        and all(isinstance(stop, str) and stop for stop in listed)
    ):
        raise ApiError(400, f"stop is a text or up to {_MOST_STOPS} texts, none of them empty", param="stop")
    _check_form(params.get("response_format"))


def _check_form(given: Any) -> None:
    """Refuse a `response_format` that says nothing."""
    if given is None:
        return
    kind = given.get("type") if isinstance(given, dict) else None
    if kind == "json_schema":
        outer = given.get("json_schema")
        if (
            not isinstance(outer, dict)
            or not isinstance(outer.get("name"), str)
            or not isinstance(outer.get("schema"), dict)
        ):
            raise ApiError(400, "response_format.json_schema needs a name and a schema", param="response_format")
    elif kind not in ("text", "json_object"):
        raise ApiError(400, "response_format.type is text, json_object or json_schema", param="response_format")


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)
