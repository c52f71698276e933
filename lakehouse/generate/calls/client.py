"""Send many requests to one endpoint, a bounded number at a time, and record each as it ends."""

from __future__ import annotations

import asyncio
import difflib
import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from itertools import islice
from typing import TYPE_CHECKING, Any

from lakehouse.generate.endpoint import Endpoint
from lakehouse.generate.errors import GenerationError
from lakehouse.generate.requests import Request

if TYPE_CHECKING:
    import openai

Row = dict[str, Any]
Record = Callable[[list[Row]], None]


@dataclass
class GenerationReport:
    """What became of the requests of one run. Every one of them is a row of the journal."""

    succeeded: int = 0
    failed: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: Decimal = Decimal(0)
    seconds: float = 0.0
    errors: Counter[str] = field(default_factory=Counter)  # how often each error occurred

    def add(self, rows: list[Row]) -> None:
        """Count rows that are recorded."""
        for row in rows:
            if row["status"] == "ok":
                self.succeeded += 1
            else:
                self.failed += 1
                self.errors[row["error"]] += 1
            self.prompt_tokens += row["prompt_tokens"] or 0
            self.completion_tokens += row["completion_tokens"] or 0
            self.cost_usd += row["cost_usd"] or 0


def check_endpoint(endpoint: Endpoint) -> None:
    """Make sure, before any work, that the endpoint has a key, can be reached and serves the model.

    Raises:
        GenerationError: it does not. One line that says what to do; the key is never in it.
    """
    if endpoint.api_key == "none" and not endpoint.is_local:
        raise GenerationError(
            f"{endpoint.base_url} is not on this machine and {endpoint.api_key_variable} is not set: "
            "put the server's API key there (any word, if it needs none)."
        )
    models = asyncio.run(_models(endpoint))
    if isinstance(models, str):
        raise GenerationError(f"the model server {endpoint.base_url} cannot be used: {models}.")
    if endpoint.model not in models:
        close = difflib.get_close_matches(endpoint.model, models, n=1, cutoff=0.5)
        hint = f"Did you mean {close[0]!r}?" if close else f"It has {', '.join(sorted(models)[:10]) or 'none'}."
        raise GenerationError(f"the model server {endpoint.base_url} has no model {endpoint.model!r}. {hint}")


def generate(
    requests: Sequence[Request],
    endpoint: Endpoint,
    *,
    record: Record,
    error_budget: float = 0.05,
    batch_rows: int = 256,
    batch_seconds: float = 5.0,
) -> GenerationReport:
    """Send each request and hand each finished call to `record` as a row of `schema.GENERATIONS`.

    A call that fails is a row too, with status "error", and costs no other call its answer. Timeouts, 408, 409, 429 and
    5xx are tried again as the endpoint says, other errors never. A call counts as done when `record` has returned.

    Args:
        requests: the calls to make (see `journal.missing`).
        endpoint: where to make them, how many at a time.
        record: makes rows durable. Called from one thread at a time, while other calls go on.
        error_budget: how many calls may fail: below 1 a share of the requests (rounded up), from 1 on a number.
        batch_rows: rows that are handed to `record` at once.
        batch_seconds: the longest time that a finished call waits to be recorded.

    Raises:
        GenerationError: more calls failed. Calls under way are finished and recorded before; no further one is begun.
    """
    started = time.monotonic()
    report = GenerationReport()
    allowed = math.ceil(error_budget * len(requests)) if error_budget < 1 else int(error_budget)
    asyncio.run(_run(requests, endpoint, record, report, allowed, batch_rows, batch_seconds))
    report.seconds = time.monotonic() - started
    if report.failed > allowed:
        error, times = report.errors.most_common(1)[0]
        left = len(requests) - report.succeeded - report.failed
        raise GenerationError(
            f"{report.failed} of {report.failed + report.succeeded} calls to {endpoint.base_url} failed; {allowed} may "
            f"({times} times: {error}). {left} were not begun. What was answered is recorded: a rerun calls the rest."
        )
    return report


async def _run(
    requests: Sequence[Request],
    endpoint: Endpoint,
    record: Record,
    report: GenerationReport,
    allowed: int,
    batch_rows: int,
    batch_seconds: float,
) -> None:
    from lakehouse.generate import chat

    waiting = iter(requests)
    running: set[asyncio.Task[Row]] = set()
    rows: list[Row] = []
    failed, recorded_at = 0, time.monotonic()
    async with chat.connect(endpoint) as client:
        try:
            while True:
                if failed <= allowed:
                    for request in islice(waiting, endpoint.max_in_flight - len(running)):
                        running.add(asyncio.create_task(_call(client, request, endpoint)))
                if not running:
                    break
                done, running = await asyncio.wait(running, timeout=batch_seconds, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    rows.append(task.result())
                    failed += rows[-1]["status"] == "error"
                if len(rows) >= batch_rows or (rows and time.monotonic() - recorded_at >= batch_seconds):
                    batch, rows, recorded_at = rows, [], time.monotonic()
                    await asyncio.to_thread(record, batch)
                    report.add(batch)
        finally:
            # Also when the run is interrupted: these answers are paid for.
            for task in running:
                task.cancel()
            if rows:
                record(rows)
                report.add(rows)


async def _call(client: openai.AsyncOpenAI, request: Request, endpoint: Endpoint) -> Row:
    """One call, retries included, as a row of the journal."""
    from lakehouse.generate import chat

    started = time.monotonic()
    try:
        answer, error = await chat.ask(client, request), None
    except chat.CallError as failure:
        answer, error = None, str(failure)
    return {
        "request_id": request.request_id,
        "doc_id": request.doc_id,
        "snapshot": request.snapshot,
        "recipe": request.recipe,
        "recipe_version": request.recipe_version,
        "model": request.model,
        "params_hash": request.params_hash,
        "prompt_hash": request.prompt_hash,
        "status": "ok" if answer else "error",
        "response": answer.response if answer else None,
        "finish_reason": answer.finish_reason if answer else None,
        "prompt_tokens": answer.prompt_tokens if answer else None,
        "completion_tokens": answer.completion_tokens if answer else None,
        "cost_usd": endpoint.cost(answer.prompt_tokens, answer.completion_tokens) if answer else None,
        "latency_ms": (time.monotonic() - started) * 1000,  # waiting between tries included
        "error": error,
        "created_at": datetime.now(UTC),
    }


async def _models(endpoint: Endpoint) -> list[str] | str:
    """The models that the server has, or why they are not known."""
    from lakehouse.generate import chat

    async with chat.connect(replace(endpoint, timeout=min(endpoint.timeout, 30.0), max_retries=1)) as client:
        try:
            return await chat.served_models(client)
        except chat.CallError as failure:
            return str(failure)
