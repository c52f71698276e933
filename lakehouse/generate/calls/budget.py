"""What a run may cost, how many of its calls may fail, and what became of them."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from lakehouse.generate.calls.completion import Row
from lakehouse.generate.calls.endpoint import Endpoint
from lakehouse.generate.errors import GenerationError
from lakehouse.generate.requests import Request
from lakehouse.generate.units import estimated_tokens

_JUDGED_FROM = 20  # calls: a share of fewer says little
_KNOWN_FROM = 20  # answers of a step, from which the mean of their lengths is an estimate
_COMPLETION_TOKENS = 1000  # of an answer, where neither answers nor `max_tokens` are known
_MOST_ERRORS = 1000  # different ones that are counted apart
OTHER_ERRORS = "other errors"


@dataclass(frozen=True)
class Limits:
    """When a run stops before its requests are at an end.

    Attributes:
        error_budget: how many calls may fail: below 1 a share of those that ended (rounded up; judged once 20 have,
            and at the end), from 1 on a number.
        max_cost: dollars, over all endpoints.
        max_tokens: prompt and completion tokens, over all endpoints.
        expected: how many requests there are, for the progress; None: unknown.
    """

    error_budget: float = 0.05
    max_cost: Decimal | None = None
    max_tokens: int | None = None
    expected: int | None = None

    def __post_init__(self) -> None:
        if not self.error_budget >= 0:
            raise GenerationError(f"error_budget is {self.error_budget}: give a share below 1, or a number of calls.")
        cost = self.max_cost
        if cost is not None and not (isinstance(cost, Decimal) and cost.is_finite() and cost >= 0):
            raise GenerationError("max_cost must be a Decimal of 0 or more: dollars.")
        if self.max_tokens is not None and self.max_tokens < 0:
            raise GenerationError(f"max_tokens is {self.max_tokens}: give 0 or more.")

    def may_fail(self, ended: int) -> int:
        """How many of so many calls may fail."""
        return math.ceil(self.error_budget * ended) if self.error_budget < 1 else int(self.error_budget)

    def too_many(self, failed: int, ended: int, *, at_the_end: bool) -> bool:
        """Whether more calls failed than may."""
        judged = at_the_end or self.error_budget >= 1 or self.error_budget == 0 or ended >= _JUDGED_FROM
        return judged and failed > self.may_fail(ended)


@dataclass
class GenerationReport:
    """What became of the requests of one run. Every one that was begun is a row of the journal."""

    succeeded: int = 0
    failed: int = 0
    tries: int = 0  # how often a server was asked, all calls together
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: Decimal = Decimal(0)
    seconds: float = 0.0
    under_way: int = 0
    expected: int | None = None
    stopped_by: Literal["max_cost", "max_tokens"] | None = None
    errors: Counter[str] = field(default_factory=Counter)  # how often each error occurred

    def add(self, rows: list[Row]) -> None:
        """Count rows that are recorded."""
        for row in rows:
            if row["status"] == "ok":
                self.succeeded += 1
            else:
                self.failed += 1
                error = row["error"]
                known = error in self.errors or len(self.errors) < _MOST_ERRORS
                self.errors[error if known else OTHER_ERRORS] += 1
            self.prompt_tokens += row["prompt_tokens"] or 0
            self.completion_tokens += row["completion_tokens"] or 0
            self.cost_usd += row["cost_usd"] or 0

    @property
    def tokens_per_second(self) -> float:
        """Completion tokens a second, over the whole run."""
        return self.completion_tokens / self.seconds if self.seconds else 0.0


@dataclass
class _Step:
    """Calls of one step to one endpoint: those that are under way, and what the others were like."""

    endpoint: Endpoint
    open_calls: int = 0
    open_prompt: int = 0
    open_completion_most: int = 0
    answers: int = 0
    answer_tokens: int = 0


class Budget:
    """What is spent, and what the calls under way will cost as far as that can be known.

    A prompt is estimated from its bytes, an answer as the mean of the step's answers so far, and while there are few
    as its `max_tokens`.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._steps: dict[tuple[str, str, str], _Step] = {}
        self._open: dict[int, tuple[_Step, int, int]] = {}  # number -> step, prompt tokens, most completion tokens
        self._tokens, self._dollars = 0, Decimal(0)

    @property
    def open(self) -> int:
        """How many calls are under way."""
        return len(self._open)

    def refuses(self, request: Request, endpoint: Endpoint) -> Literal["max_cost", "max_tokens"] | None:
        """The limit that this call might overstep beside all that are under way; None where it fits."""
        limits = self._limits
        if limits.max_cost is None and limits.max_tokens is None:
            return None
        step = self._step(request, endpoint)
        prompt, most = estimates(request)
        tokens, dollars = self._tokens, self._dollars
        for other in self._steps.values():
            same = other is step
            calls = other.open_calls + same
            in_prompts = other.open_prompt + (prompt if same else 0)
            in_answers = _completion_tokens(other, calls, other.open_completion_most + (most if same else 0))
            tokens += in_prompts + in_answers
            dollars += other.endpoint.cost(in_prompts, in_answers) or 0
        if limits.max_cost is not None and dollars > limits.max_cost:
            return "max_cost"
        return "max_tokens" if limits.max_tokens is not None and tokens > limits.max_tokens else None

    def begin(self, number: int, request: Request, endpoint: Endpoint) -> None:
        """A call begins."""
        step = self._step(request, endpoint)
        prompt, most = estimates(request)
        self._open[number] = step, prompt, most
        step.open_calls += 1
        step.open_prompt += prompt
        step.open_completion_most += most

    def end(self, number: int | None, row: Row | None) -> None:
        """A call is over. What its server did not count is estimated.

        Args:
            number: None: an earlier run began it.
            row: None: it is counted already.
        """
        if number is None:
            if row:
                self._tokens += (row["prompt_tokens"] or 0) + (row["completion_tokens"] or 0)
                self._dollars += row["cost_usd"] or 0
            return
        step, prompt, most = self._open.pop(number)
        step.open_calls -= 1
        step.open_prompt -= prompt
        step.open_completion_most -= most
        if row is None or row["status"] != "ok":
            return
        answer = row["completion_tokens"]
        if answer is None:
            answer = estimated_tokens(row["response"] or "")
        asked = prompt if row["prompt_tokens"] is None else row["prompt_tokens"]
        cost = row["cost_usd"]
        step.answers += 1
        step.answer_tokens += answer
        self._tokens += asked + answer
        self._dollars += (step.endpoint.cost(asked, answer) or 0) if cost is None else cost

    def _step(self, request: Request, endpoint: Endpoint) -> _Step:
        return self._steps.setdefault((request.endpoint, request.recipe, request.step), _Step(endpoint))


def estimates(request: Request) -> tuple[int, int]:
    """Tokens of the prompt, and the most that the answer may have."""
    prompt = sum(estimated_tokens(message["content"]) for message in request.messages)
    most = request.params.get("max_tokens") or request.params.get("max_completion_tokens")
    return prompt, most if isinstance(most, int) else _COMPLETION_TOKENS


def _completion_tokens(step: _Step, calls: int, most: int) -> int:
    # Short answers come first: the mean is believed when as many are there as are still to come.
    if step.answers < max(_KNOWN_FROM, step.open_calls):
        return most
    return min(most, math.ceil(step.answer_tokens / step.answers * calls))
