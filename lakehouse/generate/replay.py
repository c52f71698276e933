"""Replay: how far each unit has come is worked out from the answers that there are. Nothing else is remembered.

A unit goes through the recipe's steps until one has no answer yet: that request waits. Once it is answered the next
replay goes on. So a run, a resumed run and a run after a changed gate are the same thing, and no answer is paid twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from lakehouse import identity
from lakehouse.generate import combinations
from lakehouse.generate.journal.index import Answered
from lakehouse.generate.journal.keys import key_of
from lakehouse.generate.requests import Asking, Request
from lakehouse.generate.sections import OF_THE_UNIT, Step, variables_of
from lakehouse.generate.units import Unit, unit_id

MOST_TRUNCATED = 2
"""An answer that was cut off is asked for again, this often in all: at temperature 0 it would be cut off for ever."""

Find = Callable[[Sequence[str]], dict[str, Answered]]
"""Which of some request ids are answered, and how."""


@dataclass(frozen=True)
class Failure:
    """Why a unit has no output: the name of a gate, with what was measured or found."""

    gate: str
    evidence: str | None = None
    value: float | None = None
    threshold: float | None = None


@dataclass
class State:
    """How far one unit has come."""

    unit: Unit
    unit_id: str
    sample: int = 0
    item: Any = None
    drawn: dict[str, Any] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)  # of the steps so far
    calls: list[str] = field(default_factory=list)  # request ids of its answers
    waiting: Request | None = None  # has no answer
    again: Request | None = None  # has one that failed or was cut off, and may be sent once more
    failure: Failure | None = None

    @property
    def is_live(self) -> bool:
        """Whether it goes on to the next step."""
        return self.waiting is None and self.failure is None

    def child(self, item: Any, place: int, step: str) -> State:
        """The state of one item of a step's value."""
        return replace(
            self,
            unit_id=identity.hash_of(self.unit_id, step, place),
            item=item,
            values=dict(self.values),
            calls=list(self.calls),
        )


def replay(
    chunks: Iterable[Sequence[Unit]],
    asking: Asking,
    find: Find,
    *,
    refused: Callable[[Sequence[Unit]], Sequence[Failure | None]] | None = None,
) -> Iterator[list[State]]:
    """Work out how far units have come, a chunk at a time.

    Args:
        chunks: units; those of one anchor stand in the same chunk.
        asking: what is asked.
        find: the answers that there are.
        refused: which units are not fit to be asked about.

    Yields:
        The states of each chunk, in order. A recipe that combines across the set gives those of the combinations in
        the end, and only once no unit waits.
    """
    states: Iterator[list[State]] = (_begun(units, asking, refused) for units in chunks)
    steps: list[Step] = []
    for step in asking.recipe.steps:
        if step.combine and step.combine.across == "set":
            states, steps = _across(stepped(states, steps, asking, find), step, asking), []
        else:
            steps.append(step)
    return stepped(states, steps, asking, find)


class Asked(Protocol):
    """Requests that were asked before, by their keys: a set, or `Keys` where there may be millions."""

    def __contains__(self, key: object, /) -> bool: ...

    def add(self, key: int, /) -> None:
        """Note one more."""


def to_call(states: Iterable[Sequence[State]], asked: Asked) -> Iterator[Request]:
    """The requests that have no good answer, each once; `asked` keeps what was asked before and grows."""
    for chunk in states:
        for state in chunk:
            request = state.waiting or state.again
            if request is not None:
                key = key_of(request.request_id)
                if key not in asked:
                    asked.add(key)
                    yield request


def _begun(
    units: Sequence[Unit], asking: Asking, refused: Callable[[Sequence[Unit]], Sequence[Failure | None]] | None
) -> list[State]:
    failures = refused(units) if refused else [None] * len(units)
    states = []
    for unit, failure in zip(units, failures, strict=True):
        for sample in range(asking.recipe.samples):
            identifier = unit_id(asking.recipe.name, unit, sample)
            drawn = {
                name: _draw(values, identity.order_key(asking.seed, name, identifier))
                for name, values in asking.recipe.draw.items()
            }
            states.append(State(unit, identifier, sample, drawn=drawn, failure=failure))
    return states


def _draw(values: Sequence[str] | dict[str, float], key: int) -> str:
    """One of the values, by 63 random bits."""
    weights = values if isinstance(values, dict) else dict.fromkeys(values, 1.0)
    left = key / 2**63 * sum(weights.values())
    for value, weight in weights.items():
        left -= weight
        if left < 0:
            return value
    return value


def stepped(chunks: Iterable[list[State]], steps: Sequence[Step], asking: Asking, find: Find) -> Iterator[list[State]]:
    """Take states through some steps, as far as the answers go."""
    for chunk in chunks:
        states = chunk
        for step in steps:
            if step.for_each:
                states = [child for state in states for child in _children(state, step.for_each, step.name)]
            live = [state for state in states if state.is_live]
            if step.asks:
                ask(live, step, asking, find)
            elif step.transform:
                _transform(live, step, asking.seed)
            elif step.combine:
                for state in live:
                    found = combinations.of_unit(state.values[step.combine.of], step.combine, state.unit_id)
                    state.values[step.name] = found
        yield states


def _children(state: State, of: str, step: str) -> Iterator[State]:
    """The states of the items of a step's value; one that has none fails."""
    if not state.is_live:
        yield state
        return
    items = state.values[of]
    if not isinstance(items, list):
        items = [items]
    if not items:
        state.failure = Failure("nothing_found", f"step {of} gave no items")
        yield state
    for place, item in enumerate(items):
        yield state.child(item, place, step)


def ask(states: Sequence[State], step: Step, asking: Asking, find: Find) -> None:
    """Give each state the value of its answer, or its failure, or the request that it waits for."""
    from lakehouse.generate.answers import AnswerError, parse

    needed = frozenset().union(*(variables_of(template) for template in step.templates))
    requests = [asking.request(step, state.unit, _variables(state, needed, asking), state.sample) for state in states]
    answers = find([request.request_id for request in requests])
    for state, request in zip(states, requests, strict=True):
        answered = answers.get(request.request_id)
        if answered is None:
            state.waiting = request
            continue
        state.calls.append(request.request_id)
        if answered.status != "ok":
            state.failure, state.again = Failure("call_failed", answered.error), request
        elif answered.finish_reason != "stop":
            state.failure = Failure("finish_reason", answered.finish_reason or "none given")
            if answered.finish_reason == "length" and answered.calls < MOST_TRUNCATED:
                state.again = request
        else:
            try:
                value = parse(step.answer, answered.response or "", state.unit.text)
            except AnswerError as error:
                is_empty = not (answered.response or "").strip()
                state.failure = Failure("empty" if is_empty else "answer", f"{step.name}: {error}")
                continue
            if value == "":
                # Further steps would ask about nothing, and two empty answers agree with each other.
                state.failure = Failure("empty", step.name)
            else:
                state.values[step.name] = value


def _transform(states: Sequence[State], step: Step, seed: int) -> None:
    from lakehouse.generate import transforms

    assert step.transform is not None
    for name, settings in step.transform.items():
        made_of = transforms.transform(name, settings)
        for state in states:
            outputs = made_of(state.unit.text, identity.order_key(seed, step.name, state.unit_id))
            state.values[step.name] = outputs
            if not outputs:
                state.failure = Failure("nothing_found", f"step {step.name} made nothing of it")


def _variables(state: State, needed: frozenset[str], asking: Asking) -> dict[str, Any]:
    """What a template may use about a unit; what takes time to make only where it is needed."""
    from lakehouse.generate.programs import numbered

    unit = state.unit
    variables = {
        "text": unit.text,
        "language": unit.language or "und",
        "documents": unit.documents,
        "item": state.item,
        "examples": asking.examples,
        "n_words": len(unit.text.split()) if "n_words" in needed else 0,
        "numbered_text": numbered(unit.text) if "numbered_text" in needed else "",
    }
    assert variables.keys() == OF_THE_UNIT
    return {**unit.columns, **state.drawn, **state.values, **variables}


def _across(chunks: Iterable[list[State]], step: Step, asking: Asking) -> Iterator[list[State]]:
    """The units' states, then, if none of them waits, those of combinations of their items."""
    assert step.combine is not None
    origins: list[combinations.Origin] = []
    waits = False
    for chunk in chunks:
        waits = waits or any(state.waiting for state in chunk)
        origins += [
            combinations.Origin(replace(state.unit, document="", start=0, end=0), state.values[step.combine.of])
            for state in chunk
            if state.is_live
        ]
        yield [state for state in chunk if not state.is_live]
    if waits:
        return
    batch: list[State] = []
    for unit, items in combinations.of_set(origins, step.combine):
        identifier = unit_id(asking.recipe.name, unit, 0)
        drawn = {
            name: _draw(values, identity.order_key(asking.seed, name, identifier))
            for name, values in asking.recipe.draw.items()
        }
        batch.append(State(unit, identifier, drawn=drawn, item=items, values={step.name: [items]}))
        if len(batch) == 1_024:
            yield batch
            batch = []
    yield batch
