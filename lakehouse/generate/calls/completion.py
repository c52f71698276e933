"""What a model answered, read from the body of a (chat) completion, and how a call can fail."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from lakehouse.generate.calls.endpoint import Endpoint
from lakehouse.generate.requests import Request

_LARGEST_COUNT = 2**31  # tokens; more is no count, and would cost more than the journal's column holds

Row = dict[str, Any]


class CallError(Exception):
    """A try that failed. The message holds neither key nor prompt.

    Attributes:
        again: whether another try may succeed.
        overloaded: whether the server has too much to do.
        silent: whether no answer came at all.
        wait: seconds that the server asks for; None where it does not.
    """

    def __init__(
        self,
        message: str,
        *,
        again: bool = True,
        overloaded: bool = False,
        silent: bool = False,
        wait: float | None = None,
    ) -> None:
        super().__init__(message)
        self.again, self.overloaded, self.silent, self.wait = again, overloaded, silent, wait


class NotAnAnswer(ValueError):  # noqa: N818 (it says what the body is)
    """A body that is no completion."""


@dataclass(frozen=True)
class Answer:
    """What a model answered; None where the server did not say.

    Completion tokens are all that the server counted, those of a model's reasoning included, which itself is dropped.
    """

    response: str | None
    finish_reason: str | None
    prompt_tokens: int | None
    completion_tokens: int | None
    cached_tokens: int | None


def answer_of(body: Any, form: str) -> Answer:
    """Read the body of a completion ("completion") or a chat completion ("chat").

    Raises:
        NotAnAnswer: it is neither.
    """
    try:
        choice = body["choices"][0]
        if form == "chat":
            message = choice["message"]
            # A model that was cut off while it reasoned may have no content at all.
            content = message.get("content") if "reasoning_content" in message else message["content"]
            if content is None:  # a model that refuses a schema says so here
                content = message.get("refusal")
        else:
            content = choice["text"]
        reason = choice.get("finish_reason")
        usage = body.get("usage")
    except (TypeError, KeyError, IndexError, AttributeError):
        raise NotAnAnswer(
            "the answer is no chat completion" if form == "chat" else "the answer is no completion"
        ) from None
    usage = usage if isinstance(usage, dict) else {}
    details = usage.get("prompt_tokens_details")
    return Answer(
        response=_encodable(content),
        finish_reason=_encodable(reason),
        prompt_tokens=_count(usage.get("prompt_tokens")),
        completion_tokens=_count(usage.get("completion_tokens")),
        cached_tokens=_count(details.get("cached_tokens")) if isinstance(details, dict) else None,
    )


def answered_row(request: Request, endpoint: Endpoint, answer: Answer, latency_ms: float | None, tries: int = 1) -> Row:
    """The row of `schema.GENERATIONS` of a call that was answered."""
    return {
        **_row(request, latency_ms, tries),
        "status": "ok",
        "response": answer.response,
        "finish_reason": answer.finish_reason,
        "prompt_tokens": answer.prompt_tokens,
        "completion_tokens": answer.completion_tokens,
        "cost_usd": endpoint.cost(answer.prompt_tokens, answer.completion_tokens, answer.cached_tokens),
    }


def failed_row(request: Request, error: str, latency_ms: float | None, tries: int = 1) -> Row:
    """The row of `schema.GENERATIONS` of a call that failed for good."""
    return {**_row(request, latency_ms, tries), "error": error}


def _row(request: Request, latency_ms: float | None, tries: int) -> Row:
    return {
        "request_id": request.request_id,
        "doc_id": request.doc_id,
        "snapshot": request.snapshot,
        "recipe": request.recipe,
        "recipe_version": request.recipe_version,
        "step": request.step,
        "model": request.model,
        "params_hash": request.params_hash,
        "prompt_hash": request.prompt_hash,
        "status": "error",
        "response": None,
        "finish_reason": None,
        "prompt_tokens": None,
        "completion_tokens": None,
        "cost_usd": None,
        "latency_ms": latency_ms,
        "tries": tries,
        "error": None,
        "reused_from": None,
        "created_at": datetime.now(UTC),
    }


def _encodable(text: Any) -> str | None:
    """A string that can be stored: half a surrogate pair, which JSON allows, becomes '?'. None for anything else."""
    return text.encode("utf-8", "replace").decode("utf-8") if isinstance(text, str) else None


def _count(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value < _LARGEST_COUNT else None
