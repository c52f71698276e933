"""How many of the answers pass the gates, told while the calls go on: a sample is judged as it comes in."""

from __future__ import annotations

import heapq
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lakehouse import compute
from lakehouse.commits import Origin
from lakehouse.generate.gates.tools import Tools
from lakehouse.generate.journal.index import Answered
from lakehouse.generate.journal.keys import Keys
from lakehouse.generate.journal.recorder import Recorder
from lakehouse.generate.outputs import judged_outputs
from lakehouse.generate.replay import State, ask, stepped
from lakehouse.generate.requests import Asking
from lakehouse.generate.rewriting import Rewriting, Run, Survey
from lakehouse.lake import Lake

_SAMPLED = 500
_JUDGED_AT_ONCE = 16
_SHARE = 0.02  # of the time that passes
_AT_ONCE_SECONDS = 0.25  # before there is a share to speak of


class AcceptRate:
    """The share of outputs that pass their gates, in a sample of at most 500 units of each pass.

    Only answers that end a unit are judged: those of the recipe's last asking step. The gate `template_collapse` and
    the layout's `min_words`, which need the whole set, are left out. Judging takes at most 2 % of the time that passes;
    what that leaves over is not judged. Which units are in the sample depends on their identity alone.

    Args:
        asking: recipe and models.
        tools: what its gates need.
    """

    def __init__(self, asking: Asking, tools: Tools) -> None:
        self._asking, self._tools = asking, tools
        steps = asking.recipe.steps
        self._last = max((place for place, step in enumerate(steps) if step.asks), default=-1)
        self._waiting: dict[str, State] = {}
        self._order: list[tuple[int, str]] = []  # the largest key first
        self._due: deque[tuple[State, Mapping[str, Any]]] = deque(maxlen=_SAMPLED)
        self._lock = threading.Lock()
        self.accepted = self.outputs = 0
        # What judging needs is loaded before there are calls that would be held up.
        judged_outputs([], asking.recipe, tools)
        if tools.identify is not None:
            tools.identify(["A sentence in a language."])
        self._began, self._spent = time.monotonic(), 0.0

    @property
    def rate(self) -> float | None:
        """0..1; None while nothing was judged."""
        return self.accepted / self.outputs if self.outputs else None

    @property
    def summary(self) -> str:
        """The rate in a few words; empty while there is none."""
        return "" if self.rate is None else f"{self.rate:.0%} of {self.outputs:,} accepted"

    def begin(self) -> None:
        """A pass begins: what is still in the sample is not asked about any more."""
        with self._lock:
            self._waiting.clear()
            self._order.clear()

    def see(self, states: Sequence[State]) -> None:
        """Take into the sample some of the states that wait for their last answer."""
        last = self._asking.recipe.steps[self._last].name
        with self._lock:
            for state in states:
                request = state.waiting
                if request is None or request.step != last or request.request_id in self._waiting:
                    continue
                key = -int(state.unit_id[:15], 16)
                if len(self._order) < _SAMPLED:
                    heapq.heappush(self._order, (key, request.request_id))
                elif key > self._order[0][0]:
                    _, left_out = heapq.heapreplace(self._order, (key, request.request_id))
                    del self._waiting[left_out]
                else:
                    continue
                self._waiting[request.request_id] = state

    def hear(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Judge the answers among finished calls that are in the sample, if there is time for it."""
        with self._lock:
            for row in rows:
                state = self._waiting.get(row["request_id"])
                if state is not None:
                    self._due.append((state, row))
            began = time.monotonic()
            if self._due and self._spent < _SHARE * (began - self._began) + _AT_ONCE_SECONDS:
                self._judge([self._due.popleft() for _ in range(min(len(self._due), _JUDGED_AT_ONCE))])
                self._spent += time.monotonic() - began

    def _judge(self, answers: Sequence[tuple[State, Mapping[str, Any]]]) -> None:
        steps = self._asking.recipe.steps
        known = {
            row["request_id"]: Answered(
                row["request_id"], row["status"], row["response"], row["finish_reason"], row["error"], 1
            )
            for _, row in answers
        }
        states = [
            replace(state, values=dict(state.values), calls=list(state.calls), waiting=None) for state, _ in answers
        ]

        def find(request_ids: Sequence[str]) -> dict[str, Answered]:
            return {one: known[one] for one in request_ids if one in known}

        ask(states, steps[self._last], self._asking, find)
        ended = [state for chunk in stepped([states], steps[self._last + 1 :], self._asking, find) for state in chunk]
        judged = judged_outputs([state for state in ended if state.waiting is None], self._asking.recipe, self._tools)
        self.outputs += judged.height
        self.accepted += int(judged["accepted"].sum())


@dataclass(frozen=True)
class WatchedRewriting(Rewriting):
    """A rewriting that shows the states of each pass to an accept rate."""

    accept_rate: AcceptRate

    @classmethod
    def of(cls, rewriting: Rewriting) -> WatchedRewriting:
        """The same rewriting, watched."""
        rate = AcceptRate(rewriting.asking, rewriting.tools)
        return cls(rewriting.units, rewriting.asking, rewriting.index, rewriting.tools, rate)

    def states(self) -> Iterator[list[State]]:
        """How far each unit has come, a chunk at a time."""
        for states in super().states():
            self.accept_rate.see(states)
            yield states

    def survey(self, asked: Keys | None = None) -> Survey:
        """Count what is still to be asked; a new pass begins with it."""
        self.accept_rate.begin()
        return super().survey(asked)


class WatchedRecorder(Recorder):
    """A recorder that lets an accept rate hear of each call that was recorded."""

    def __init__(self, lake: Lake, table: str, origin: Origin, snapshot: str | None, accept_rate: AcceptRate) -> None:
        super().__init__(lake, table, origin, snapshot)
        self._accept_rate = accept_rate

    def record(self, rows: list[dict[str, Any]]) -> None:
        """Keep finished calls; when this returns, they survive the end of the process."""
        super().record(rows)
        self._accept_rate.hear(rows)


class CallsBar:
    """Progress of a run's calls on the terminal: how many, how fast, at what price, how many are accepted."""

    def __init__(self, title: str, accept_rate: AcceptRate | None = None) -> None:
        self._title, self._accept_rate = title, accept_rate
        self._progress = compute.progress()
        self._shown: Survey | None = None
        self._done = 0

    def __call__(self, survey: Survey, run: Run) -> None:
        """Show how the run goes; called whenever calls have ended."""
        ended = run.report.succeeded + run.report.failed + run.reused
        if survey is not self._shown:
            self.finish()
            self._progress.start(self._title, survey.requests)
            self._shown = survey
        self._progress.advance(self._title, ended - self._done)
        self._done = ended
        rate = self._accept_rate.summary if self._accept_rate else ""
        self._progress.note(self._title, ", ".join(part for part in (run.summary, rate) if part))

    def finish(self) -> None:
        """Take the bar away."""
        if self._shown is not None:
            self._progress.finish(self._title)
            self._shown = None
