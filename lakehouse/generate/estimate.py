"""What the calls of a recipe will take, before the first of them: calls, tokens and dollars, step by step."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from itertools import pairwise

import polars as pl

from lakehouse.generate.calls.budget import estimates
from lakehouse.generate.calls.endpoint import Endpoint
from lakehouse.generate.journal.keys import Keys, key_of
from lakehouse.generate.journal.sharing import Others
from lakehouse.generate.recipe import Recipe
from lakehouse.generate.replay import State
from lakehouse.generate.requests import Request
from lakehouse.generate.rewriting import Rewriting
from lakehouse.generate.sections import Step, variables_of
from lakehouse.generate.units import Unit, estimated_tokens

_SHORT_ANSWER_TOKENS = {"number": 8, "choice": 8, "program": 64}
_NO_PASSAGE_TOKENS = 300  # of an answer about items that have no text of their own
_ITEMS = 5  # of a step's list, where neither the recipe nor the journal says how many there may be
_ITEM_TOKENS = 16


@dataclass(frozen=True)
class StepEstimate:
    """What one step of a recipe is about to take.

    The step that units wait for is counted, request by request; `is_counted` says that there is nothing else in it.
    What comes after it is estimated: as many calls as the answers of the journal led to, else as many as the recipe
    allows at most; answers as long as the mean of the journal's, else as their passage, and never above `max_tokens`.

    Attributes:
        units: of the set.
        answered: distinct requests with an answer that will not be asked again.
        calls: that are still to be made.
        prompt_tokens: of these calls, from the bytes of the prompts.
        completion_tokens: expected.
        most_completion_tokens: if every list is as long as it may be, and every answer has `max_tokens`.
        cost_usd: dollars; None where no endpoint says what a token costs.
        most_cost_usd: the same for `most_completion_tokens`.
        is_counted: whether calls and prompts are counted, not estimated.
    """

    recipe: str
    step: str
    endpoint: str
    model: str
    units: int
    answered: int
    calls: int
    prompt_tokens: int
    completion_tokens: int
    most_completion_tokens: int
    cost_usd: Decimal | None
    most_cost_usd: Decimal | None
    is_counted: bool


def estimate(
    rewriting: Rewriting,
    endpoints: Mapping[str, Endpoint],
    journal: pl.LazyFrame | None = None,
    others: Others | None = None,
) -> list[StepEstimate]:
    """Estimate what a run would take; nothing is called and nothing is written.

    Args:
        rewriting: the recipe over its units. They are read once.
        endpoints: by name, for prices; those that are missing have none.
        journal: rows of `schema.GENERATIONS`, to learn from how long answers are and how many follow from one.
        others: journals whose answers would be taken for nothing.

    Returns:
        One for each step that asks a model, in the recipe's order.
    """
    asking = rewriting.asking
    counts = _Counts(asking.recipe, _Past.of(journal, asking.recipe), others)
    units = 0

    def counted() -> Iterator[Sequence[Unit]]:
        nonlocal units
        for chunk in rewriting.units():
            units += len(chunk)
            yield chunk

    for states in replace(rewriting, units=counted).states():
        counts.add(states)
    counts.add_combined(units * asking.recipe.samples)
    return [
        _estimate(
            asking.recipe, tally, endpoints.get(tally.step.endpoint), asking.models[tally.step.endpoint].name, units
        )
        for tally in counts.tallies
    ]


@dataclass
class _Tally:
    """The sums of one step."""

    step: Step
    answered: int = 0
    calls: float = 0.0
    prompt: float = 0.0
    completion: float = 0.0
    most_prompt: float = 0.0
    most_completion: float = 0.0
    is_counted: bool = True


def _estimate(recipe: Recipe, tally: _Tally, endpoint: Endpoint | None, model: str, units: int) -> StepEstimate:
    prompt, completion = math.ceil(tally.prompt), math.ceil(tally.completion)
    most_prompt, most = math.ceil(tally.most_prompt), math.ceil(tally.most_completion)
    return StepEstimate(
        recipe=recipe.name,
        step=tally.step.name,
        endpoint=tally.step.endpoint,
        model=model,
        units=units,
        answered=tally.answered,
        calls=math.ceil(tally.calls),
        prompt_tokens=prompt,
        completion_tokens=completion,
        most_completion_tokens=most,
        cost_usd=endpoint.cost(prompt, completion) if endpoint else None,
        most_cost_usd=endpoint.cost(most_prompt, most) if endpoint else None,
        is_counted=tally.is_counted,
    )


@dataclass(frozen=True)
class _Past:
    """What the journal shows of a recipe's steps.

    Attributes:
        lengths: mean prompt and completion tokens, by step and model; model None: whatever the model.
        following: how many calls of a step there are for one of the asking step before it.
    """

    lengths: Mapping[tuple[str, str | None], tuple[float, float]] = field(default_factory=dict)
    following: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, journal: pl.LazyFrame | None, recipe: Recipe) -> _Past:
        """What can be learnt from the good answers of a journal."""
        if journal is None:
            return cls()
        good = journal.filter(pl.col("recipe") == recipe.name, pl.col("status") == "ok")
        # Answers that another journal has paid for count no tokens.
        paid = good.filter(pl.col("reused_from").is_null(), pl.col("completion_tokens").is_not_null())
        means = (pl.col("prompt_tokens").mean(), pl.col("completion_tokens").mean())
        by_model = paid.group_by("step", "model").agg(*means).collect()
        by_step = paid.group_by("step").agg(*means).collect()
        lengths: dict[tuple[str, str | None], tuple[float, float]] = {
            (step, model): (prompt, completion) for step, model, prompt, completion in by_model.iter_rows()
        }
        lengths |= {(step, None): (prompt, completion) for step, prompt, completion in by_step.iter_rows()}
        per_document = good.group_by("doc_id", "step").agg(calls=pl.col("request_id").n_unique()).collect()
        asking = [step.name for step in recipe.steps if step.asks]
        following = {}
        for before, after in pairwise(asking):
            one, other = (per_document.filter(pl.col("step") == step) for step in (before, after))
            # A run that was interrupted has documents to which the later step has not come.
            both = one.join(other, on="doc_id", suffix="_after")
            if both.height:
                following[after] = float(both["calls_after"].sum()) / float(both["calls"].sum())
        return cls(lengths, following)

    def length(self, step: Step, model: str) -> tuple[float, float] | None:
        """Mean prompt and completion tokens of a step's calls."""
        return self.lengths.get((step.name, model)) or self.lengths.get((step.name, None))


class _Counts:
    """Adds up what states wait for, and what will come after it."""

    def __init__(self, recipe: Recipe, past: _Past, others: Others | None) -> None:
        self._recipe, self._past, self._others = recipe, past, others
        self.tallies = [_Tally(step) for step in recipe.steps if step.asks]
        self._places = {tally.step.name: place for place, tally in enumerate(self.tallies)}
        self._across = next((step.name for step in recipe.steps if step.combine and step.combine.across == "set"), None)
        self._after_across = self._first_after(self._across) if self._across else 0
        self._seen = Keys()
        self._before_across = 0
        self._waits_before_across = False
        self._static = {
            step.name: sum(estimated_tokens(template) for template in step.templates) for step in recipe.steps
        }
        self._variables = {
            step.name: set().union(*(variables_of(template) for template in step.templates)) for step in recipe.steps
        }

    def add(self, states: Sequence[State]) -> None:
        """Take in some states."""
        waiting: list[tuple[State, Request]] = []
        for state in states:
            begun_at = self._after_across if self._across in state.values else 0
            self._before_across += not begun_at
            calls = state.calls[:-1] if state.again else state.calls
            for tally, call in zip(self.tallies[begun_at:], calls, strict=False):
                tally.answered += self._is_new(call)
            request = state.waiting or state.again
            if request is not None and self._is_new(request.request_id):
                self._waits_before_across |= self._places[request.step] < self._after_across
                waiting.append((state, request))
        reused = self._others.reused([request for _, request in waiting]) if self._others and waiting else []
        there = {row["request_id"] for row in reused}
        for state, request in waiting:
            self._add_waiting(state, request, is_there=request.request_id in there)

    def add_combined(self, states: int) -> None:
        """Add what follows from units that wait for others, to be combined with them. They are in no chunk."""
        hidden = states - self._before_across
        if self._across is None or hidden <= 0:
            return
        for tally in self.tallies[: self._after_across]:
            tally.answered += hidden
        if self._waits_before_across:
            self._add_later(self._after_across, None, hidden)

    def _add_waiting(self, state: State, request: Request, *, is_there: bool) -> None:
        place = self._places[request.step]
        tally = self.tallies[place]
        if is_there:
            tally.answered += 1
        else:
            prompt, most = estimates(request)
            tally.calls += 1
            tally.prompt += prompt
            tally.most_prompt += prompt
            tally.completion += self._completion(tally.step, _passage_tokens(state), request.model, most)
            tally.most_completion += most
        self._add_later(place + 1, state, 1)

    def _add_later(self, first: int, state: State | None, units: int) -> None:
        """Add the calls of the asking steps from `first` on that follow from a state, or from units without a text."""
        expected = most = float(units)
        passage = _passage_tokens(state) if state else 0
        for place in range(first, len(self.tallies)):
            tally = self.tallies[place]
            some, at_most = self._following(place, state)
            expected, most = expected * some, most * at_most
            prompt = self._prompt(tally.step, passage)
            longest = self._recipe.sampling_of(tally.step).max_tokens
            tally.calls += expected
            tally.prompt += expected * prompt
            tally.most_prompt += most * prompt
            tally.completion += expected * self._completion(tally.step, passage, None, longest)
            tally.most_completion += most * longest
            tally.is_counted = False

    def _following(self, place: int, state: State | None) -> tuple[float, float]:
        """How many calls of an asking step follow from one of the one before it: expected, and at most."""
        steps = self._recipe.steps
        first = steps.index(self.tallies[place - 1].step) + 1 if place else 0
        each = [step.for_each for step in steps[first : steps.index(self.tallies[place].step) + 1] if step.for_each]
        if not each:
            return 1.0, 1.0
        known = [state.values.get(name) if state else None for name in each]
        if all(isinstance(items, list) for items in known):
            exact = math.prod(len(items) for items in known if items is not None)
            return exact, exact
        most = math.prod(self._most_items(self._recipe.step(name)) for name in each)
        past = self._past.following.get(self.tallies[place].step.name)
        return (most if past is None else past), max(most, past or 0.0)

    def _most_items(self, step: Step) -> int:
        if step.combine:
            return step.combine.most
        schema = step.answer.json_schema or {}
        most = step.answer.most or schema.get("maxItems")
        return most if isinstance(most, int) else _ITEMS

    def _prompt(self, step: Step, passage: int) -> float:
        """Tokens of a prompt that cannot be written yet."""
        if past := self._past.length(step, ""):
            return past[0]
        tokens = float(self._static[step.name])
        for name in self._variables[step.name]:
            if name in ("text", "numbered_text", "documents"):
                tokens += passage
            elif name == "item":
                tokens += _ITEM_TOKENS
            elif any(name == earlier.name and earlier.asks for earlier in self._recipe.steps):
                earlier = self._recipe.step(name)
                tokens += self._completion(earlier, passage, None, self._recipe.sampling_of(earlier).max_tokens)
        return tokens

    def _completion(self, step: Step, passage: int, model: str | None, most: int) -> float:
        """Tokens of an answer."""
        past = self._past.length(step, model or "")
        if past:
            return min(past[1], most)
        reasons = step.answer.after is not None or step.answer.tag is not None
        short = None if reasons else _SHORT_ANSWER_TOKENS.get(step.answer.form)
        return min(short or passage or _NO_PASSAGE_TOKENS, most)

    def _first_after(self, name: str) -> int:
        """The place, among the asking steps, of the first one after a step."""
        names = [step.name for step in self._recipe.steps]
        return sum(step.asks for step in self._recipe.steps[: names.index(name)])

    def _is_new(self, request_id: str) -> bool:
        key = key_of(request_id)
        if key in self._seen:
            return False
        self._seen.add(key)
        return True


def _passage_tokens(state: State) -> int:
    return estimated_tokens(state.unit.text)
