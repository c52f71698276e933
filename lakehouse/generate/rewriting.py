"""One recipe over many units: the calls that are still to be made, until every unit has come to its end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial
from pathlib import Path

import polars as pl

from lakehouse.generate.calls.budget import GenerationReport, Limits
from lakehouse.generate.calls.client import generate
from lakehouse.generate.calls.endpoint import Endpoint
from lakehouse.generate.documents import Laid, lay_out, settled
from lakehouse.generate.gates.openings import Openings, collapsed
from lakehouse.generate.gates.tools import Tools
from lakehouse.generate.journal.index import Index
from lakehouse.generate.journal.keys import Keys
from lakehouse.generate.journal.recorder import Recorder
from lakehouse.generate.journal.sharing import Others
from lakehouse.generate.outputs import judged_outputs, refusals
from lakehouse.generate.replay import State, replay, to_call
from lakehouse.generate.requests import Asking, Request
from lakehouse.generate.units import Unit, estimated_tokens

CHUNK_ANCHORS = 512
_LOOKED_UP = 512  # requests that are looked for in other journals at once


@dataclass(frozen=True)
class Survey:
    """What is still to be asked at this point; further steps come after it."""

    units: int
    waiting: int  # units without a good answer: not asked yet, failed, or cut off
    requests: int
    prompt_tokens: int  # estimated


@dataclass
class Run:
    """What became of a run's calls, over all its passes."""

    report: GenerationReport = field(default_factory=GenerationReport)
    reused: int = 0  # answers that other journals had
    waiting: int = 0  # units that still wait
    stopped_by: str | None = None

    @property
    def summary(self) -> str:
        """How it goes, in a few words."""
        report = self.report
        parts = [f"{report.tokens_per_second:,.0f} tokens/s"]
        if report.cost_usd:
            parts.append(f"${report.cost_usd:,.2f}")
        if report.failed:
            parts.append(f"{report.failed:,} failed")
        return ", ".join(parts)


@dataclass(frozen=True)
class Rewriting:
    """A recipe over the units of a set.

    Attributes:
        units: gives the units from the beginning, in chunks; those of one anchor stand in one chunk.
        asking: the recipe, its models and what else its prompts depend on.
        index: of the journal.
        tools: what requirements and gates need.
    """

    units: Callable[[], Iterator[Sequence[Unit]]]
    asking: Asking
    index: Index
    tools: Tools

    def states(self) -> Iterator[list[State]]:
        """How far each unit has come, a chunk at a time."""
        refused = partial(refusals, recipe=self.asking.recipe, tools=self.tools)
        return replay(self.units(), self.asking, self.index.find, refused=refused)

    def survey(self, asked: Keys | None = None) -> Survey:
        """Count what is still to be asked, except what was asked before in this run."""
        units = waiting = requests = tokens = 0
        seen = asked.copy() if asked else Keys()
        for states in self.states():
            units += len(states)
            waiting += sum((state.waiting or state.again) is not None for state in states)
            for request in to_call([states], seen):
                requests += 1
                tokens += sum(estimated_tokens(message["content"]) for message in request.messages)
        return Survey(units, waiting, requests, tokens)

    def run(
        self,
        endpoints: Mapping[str, Endpoint],
        recorder: Recorder,
        others: Others,
        limits: Limits,
        *,
        batches: Path,
        progress: Callable[[Survey, Run], None] | None = None,
    ) -> Run:
        """Make the calls that are still to be made, step after step, until no unit waits for one that can be made.

        Args:
            endpoints: by name.
            recorder: keeps the answers.
            others: journals that may have answers already.
            limits: of the whole run.
            batches: folder in which the state of batches is kept.
            progress: told of every call that ends.

        Raises:
            GenerationError: too many calls failed. What was answered is in the journal.
        """
        run, asked = Run(), Keys()
        while True:
            survey = self.survey(asked)
            run.waiting = survey.waiting
            if not survey.requests or run.stopped_by:
                return run
            before = run.report

            def told(report: GenerationReport, survey: Survey = survey, before: GenerationReport = before) -> None:
                run.report = _total(before, report)
                if progress:
                    progress(survey, run)

            report = generate(
                self._requests(asked, others, recorder, run),
                endpoints,
                record=recorder.record,
                limits=_left(limits, before, survey.requests),
                progress=told,
                state=batches,
            )
            run.report, run.stopped_by = _total(before, report), report.stopped_by
            recorder.flush()
            self.index.refresh()

    def documents(self) -> Iterator[Laid]:
        """Judge what there is, a chunk of units at a time; units that wait are left out.

        Where the recipe limits how many outputs may open alike, everything is judged twice: to count, then to decide.
        """
        recipe = self.asking.recipe
        collapse = recipe.gates.template_collapse
        openings = None
        if collapse:
            openings = Openings(collapse)
            for _, judged in self._judged():
                openings.add(judged)
        for states, judged in self._judged():
            decided = collapsed(judged, openings, collapse) if openings and collapse else judged
            yield lay_out(states, decided, self.asking)

    def _judged(self) -> Iterator[tuple[list[State], pl.DataFrame]]:
        recipe = self.asking.recipe
        for states in self.states():
            ready, _ = settled(states, recipe)
            if ready:
                yield ready, judged_outputs(ready, recipe, self.tools)

    def _requests(self, asked: Keys, others: Others, recorder: Recorder, run: Run) -> Iterator[Request]:
        """The requests of this pass. Answers that other journals have are taken from there."""
        for some in _batched(to_call(self.states(), asked)):
            rows = others.reused(some)
            if rows:
                recorder.record(rows)
                run.reused += len(rows)
            there = {row["request_id"] for row in rows}
            yield from (request for request in some if request.request_id not in there)


def _batched(requests: Iterable[Request]) -> Iterator[list[Request]]:
    batch: list[Request] = []
    for request in requests:
        batch.append(request)
        if len(batch) == _LOOKED_UP:
            yield batch
            batch = []
    if batch:
        yield batch


def _left(limits: Limits, spent: GenerationReport, expected: int) -> Limits:
    """What may still be spent."""
    cost, tokens = limits.max_cost, limits.max_tokens
    used = spent.prompt_tokens + spent.completion_tokens
    return replace(
        limits,
        max_cost=None if cost is None else max(cost - spent.cost_usd, Decimal(0)),
        max_tokens=None if tokens is None else max(tokens - used, 0),
        expected=expected,
    )


def _total(first: GenerationReport, second: GenerationReport) -> GenerationReport:
    """Two reports, one after the other."""
    return replace(
        second,
        succeeded=first.succeeded + second.succeeded,
        failed=first.failed + second.failed,
        tries=first.tries + second.tries,
        prompt_tokens=first.prompt_tokens + second.prompt_tokens,
        completion_tokens=first.completion_tokens + second.completion_tokens,
        cost_usd=first.cost_usd + second.cost_usd,
        seconds=first.seconds + second.seconds,
        errors=first.errors + second.errors,
    )
