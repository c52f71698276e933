"""The mock model's books: who asked what, how often it was answered, and how much may be asked in a time."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

_ROUNDING = 1e-9  # seconds that are no more than an error of arithmetic


@dataclass
class Traffic:
    """Counts since the server began. A request is known by its hash: form, model, messages and parameters."""

    calls: int = 0  # requests for an answer, those refused included, and lines of batches
    under_way: int = 0
    most_at_once: int = 0
    answered: int = 0  # answers that were sent to the last byte, good or bad
    prompt_tokens: int = 0  # of these
    completion_tokens: int = 0
    statuses: Counter[int] = field(default_factory=Counter)  # as sent; nothing where the server was silent
    calls_of: Counter[str] = field(default_factory=Counter)
    answers_of: Counter[str] = field(default_factory=Counter)
    _faults_met: Counter[str] = field(default_factory=Counter)

    def begin(self) -> None:
        """A request has come and is worked on."""
        self.under_way += 1
        self.most_at_once = max(self.most_at_once, self.under_way)

    def end(self) -> None:
        """A request is done with, whatever became of it."""
        self.under_way -= 1

    @contextmanager
    def answering(self, request_hash: str, prompt_tokens: int, completion_tokens: int) -> Iterator[None]:
        """Count an answer whose last byte is sent in this block, unless that fails.

        It is counted before, so that whoever has the answer also finds it counted.
        """
        self._count(1, request_hash, prompt_tokens, completion_tokens)
        try:
            yield
        except BaseException:
            self._count(-1, request_hash, prompt_tokens, completion_tokens)
            raise

    def _count(self, sign: int, request_hash: str, prompt_tokens: int, completion_tokens: int) -> None:
        self.answered += sign
        self.answers_of[request_hash] += sign
        self.prompt_tokens += sign * prompt_tokens
        self.completion_tokens += sign * completion_tokens

    def meets_again(self, request_hash: str, times: int) -> bool:
        """Whether a request meets its fault this time too: it does so `times` times, and this counts as one."""
        if self._faults_met[request_hash] >= times:
            return False
        self._faults_met[request_hash] += 1
        return True

    def as_json(self, requests: bool = False) -> dict[str, Any]:
        """All counts; `repeated` are requests that were answered more than once. Those of each request if asked for."""
        counts: dict[str, Any] = {
            "calls": self.calls,
            "answered": self.answered,
            "under_way": self.under_way,
            "most_at_once": self.most_at_once,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "statuses": {str(status): count for status, count in sorted(self.statuses.items())},
            "distinct": len(self.calls_of),
            "repeated": sum(count > 1 for count in self.answers_of.values()),
        }
        if requests:
            counts |= {"calls_of": self.calls_of, "answers_of": self.answers_of}
        return counts


class Allowance:
    """A bucket that fills at a steady rate up to `capacity`; what is asked for is taken out of it."""

    def __init__(self, capacity: float, per_second: float) -> None:
        self.capacity, self._per_second = capacity, per_second
        self._level, self._at = capacity, -math.inf

    def level(self, now: float) -> float:
        """What may be taken at once; `now` is in seconds and never goes back."""
        # Until something is taken the bucket is full, whenever that is.
        if self._at == -math.inf:
            return self.capacity
        return min(self.capacity, self._level + (now - self._at) * self._per_second)

    def wait(self, amount: float, now: float) -> float:
        """Seconds until that much can be taken; all of the bucket where it is smaller than the amount."""
        seconds = (min(amount, self.capacity) - self.level(now)) / self._per_second
        return seconds if seconds > _ROUNDING else 0.0

    def take(self, amount: float, now: float) -> None:
        """Take that much, or all of the bucket where it is smaller."""
        self._level, self._at = self.level(now) - min(amount, self.capacity), now

    def seconds_to_full(self, now: float) -> float:
        """Seconds until nothing is missing, if nothing is taken until then."""
        return (self.capacity - self.level(now)) / self._per_second


class RateLimits:
    """Requests a second and tokens a minute, with the headers of the OpenAI API that say what is left.

    Args:
        requests_per_second: how many may come; a second's worth at once (at least one). None: any number.
        tokens_per_minute: tokens of the prompt and `max_tokens`; a minute's worth at once. None: any number.
    """

    def __init__(self, requests_per_second: float | None, tokens_per_minute: float | None) -> None:
        self._allowances: dict[str, Allowance] = {}
        if requests_per_second is not None:
            self._allowances["requests"] = Allowance(max(1.0, requests_per_second), requests_per_second)
        if tokens_per_minute is not None:
            self._allowances["tokens"] = Allowance(max(1.0, tokens_per_minute), tokens_per_minute / 60)

    def admit(self, tokens: int, now: float) -> float:
        """Let a request in and return 0, or return the seconds after which there would be room for it."""
        amounts = {"requests": 1.0, "tokens": float(tokens)}
        waits = [allowance.wait(amounts[name], now) for name, allowance in self._allowances.items()]
        if any(waits):
            return max(waits)
        for name, allowance in self._allowances.items():
            allowance.take(amounts[name], now)
        return 0.0

    def headers(self, now: float) -> dict[str, str]:
        """What is allowed, what is left of it, and when all of it is there again."""
        told = {}
        for name, allowance in self._allowances.items():
            told[f"x-ratelimit-limit-{name}"] = str(int(allowance.capacity))
            told[f"x-ratelimit-remaining-{name}"] = str(max(0, int(allowance.level(now))))
            told[f"x-ratelimit-reset-{name}"] = duration(allowance.seconds_to_full(now))
        return told


def duration(seconds: float) -> str:
    """A time as the OpenAI API writes it: 120ms, 6.5s, 1m30s, 2h0m5s."""
    milliseconds = math.ceil(seconds * 1000 - 1e-6)
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    large = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
    return f"{large}{rest / 1000:g}s"
