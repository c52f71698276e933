"""Budgets: no limit of cost or tokens is overshot, and a run with too many errors ends."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from aiohttp import web
from call_server import Asked, completion, requests, serving

from lakehouse.generate.calls.budget import OTHER_ERRORS, GenerationReport, Limits
from lakehouse.generate.calls.client import generate
from lakehouse.generate.calls.endpoint import Endpoint
from lakehouse.generate.errors import GenerationError
from lakehouse.generate.requests import Request

Row = dict[str, Any]


def endpoint(base_url: str, **changes: Any) -> Endpoint:
    return Endpoint((base_url,), "m", **{"max_in_flight": 16, "max_retries": 0, **changes})


async def ten_and_fifty(asked: Asked) -> web.StreamResponse:
    """Every answer has 10 prompt tokens and 50 of its own: half of the 100 that the requests allow."""
    return completion("word " * 50, 10, 50)


def test_a_limit_of_tokens_is_used_up_and_not_overshot() -> None:
    rows: list[Row] = []
    with serving(ten_and_fifty) as server:
        report = generate(
            requests(1000),
            {"default": endpoint(server.base_url)},
            record=rows.extend,
            limits=Limits(max_tokens=6_000),
        )
    assert report.stopped_by == "max_tokens"
    # 60 tokens a call: 100 calls are 6,000. No call begins that might overshoot them.
    assert len(rows) == 100
    assert report.prompt_tokens + report.completion_tokens == 6_000


def test_a_limit_of_cost_is_exact_and_no_error() -> None:
    prices = {"prompt_price": Decimal(10), "completion_price": Decimal(20)}
    with serving(ten_and_fifty) as server:
        report = generate(
            requests(1000),
            {"default": endpoint(server.base_url, **prices)},
            record=lambda rows: None,
            limits=Limits(max_cost=Decimal("0.0555")),
        )
    # (10 * 10 + 50 * 20) / 1,000,000 = 0.0011 dollars a call; 50 calls are 0.055, and another would be 0.0561.
    assert (report.stopped_by, report.succeeded, report.cost_usd) == ("max_cost", 50, Decimal("0.055"))


def test_the_first_calls_are_reserved_at_their_longest_answer() -> None:
    async def hundred(asked: Asked) -> web.StreamResponse:
        return completion("word", 10, 100)

    with serving(hundred) as server:
        report = generate(
            requests(50),
            {"default": endpoint(server.base_url)},
            record=lambda rows: None,
            limits=Limits(max_tokens=330),
        )
        # Three calls of 110 tokens may begin together; a fourth would be too much.
        assert (len(server.asked), report.succeeded) == (3, 3)
        nothing = generate(
            requests(50), {"default": endpoint(server.base_url)}, record=print, limits=Limits(max_tokens=109)
        )
    assert (nothing.stopped_by, nothing.succeeded, nothing.failed) == ("max_tokens", 0, 0)


def test_tokens_that_a_server_does_not_count_are_estimated() -> None:
    async def uncounted(asked: Asked) -> web.StreamResponse:
        return web.json_response({"choices": [{"message": {"content": "x" * 400}, "finish_reason": "stop"}]})

    with serving(uncounted) as server:
        report = generate(
            requests(100),
            {"default": endpoint(server.base_url)},
            record=lambda rows: None,
            limits=Limits(max_tokens=1_100),
        )
    # 40 bytes of prompt are 10 tokens, 400 bytes of answer 100: ten calls.
    assert (report.stopped_by, report.succeeded, report.completion_tokens) == ("max_tokens", 10, 0)


def test_a_run_that_ends_before_its_limit_was_stopped_by_nothing() -> None:
    with serving(ten_and_fifty) as server:
        report = generate(
            requests(5), {"default": endpoint(server.base_url)}, record=print, limits=Limits(max_tokens=10_000)
        )
    assert (report.stopped_by, report.succeeded) == (None, 5)


@pytest.mark.parametrize(
    ("budget", "failed", "ended", "at_the_end", "too_many"),
    [
        (0.05, 1, 19, False, False),  # 19 are too few to judge
        (0.05, 2, 20, False, True),  # one of 20 may
        (0.05, 1, 20, False, False),
        (0.05, 2, 3, True, True),  # at the end any number is judged: one of three may (0.15, rounded up)
        (0.05, 1, 3, True, False),
        (3, 3, 3, False, False),
        (3, 4, 4, False, True),
        (0, 1, 1, False, True),
    ],
)
def test_how_many_calls_may_fail(budget: float, failed: int, ended: int, at_the_end: bool, too_many: bool) -> None:
    assert Limits(error_budget=budget).too_many(failed, ended, at_the_end=at_the_end) is too_many


def test_too_many_errors_name_the_endpoint_and_the_commonest_error() -> None:
    async def half_broken(asked: Asked) -> web.StreamResponse:
        weak = asked.body["model"] == "m"
        message = "too long" if asked.number % 4 else "odd"
        return web.json_response({"error": {"message": message}}, status=400) if weak else completion()

    wanted = [*requests(150), *requests(20, endpoint="strong", model="s")]
    rows: list[Row] = []
    with serving(half_broken) as server:
        strong = Endpoint((server.base_url,), "s")
        with pytest.raises(GenerationError) as caught:
            generate(
                wanted,
                {"default": endpoint(server.base_url), "strong": strong},
                record=rows.extend,
                limits=Limits(error_budget=0.1, expected=170),
            )
    failed = sum(row["status"] == "error" for row in rows)
    assert f"{failed} of {len(rows)} calls failed" in str(caught.value)
    assert f"at endpoint default ({server.base_url}): HTTP 400: too long." in str(caught.value)
    assert f"{170 - len(rows)} were not begun" in str(caught.value)
    assert len(rows) < 100


def test_requests_that_cannot_be_made_end_the_run_after_the_calls_under_way() -> None:
    def broken() -> Iterator[Request]:
        yield from requests(10)
        raise GenerationError("document d10 has no text.")

    rows: list[Row] = []
    with serving(ten_and_fifty) as server, pytest.raises(GenerationError, match="d10 has no text"):
        generate(broken(), {"default": endpoint(server.base_url)}, record=rows.extend)
    with serving(ten_and_fifty) as server, pytest.raises(GenerationError, match="endpoint 'strong', which is not set"):
        generate(requests(3, endpoint="strong"), {"default": endpoint(server.base_url)}, record=rows.extend)


def test_requests_are_read_as_they_are_needed_and_in_one_thread() -> None:
    pulled, threads, furthest = 0, set(), 0

    def stream() -> Iterator[Request]:
        nonlocal pulled
        for one in requests(600):
            pulled += 1
            threads.add(threading.get_ident())
            yield one

    ended = 0

    def record(rows: list[Row]) -> None:
        nonlocal ended, furthest
        ended += len(rows)
        furthest = max(furthest, pulled - ended)

    with serving(ten_and_fifty) as server:
        report = generate(stream(), {"default": endpoint(server.base_url)}, record=record)
    assert report.succeeded == 600
    assert furthest <= 256 + 64 + 16 + 64  # ahead, a chunk more, under way, and a chunk that is being read
    assert len(threads) == 1
    assert threads != {threading.get_ident()}


def test_progress_is_told_while_calls_are_under_way() -> None:
    told: list[tuple[int, int]] = []

    async def last_wait(asked: Asked) -> web.StreamResponse:
        while asked.number > 16 and not any(succeeded for succeeded, _ in told):
            await asyncio.sleep(0.01)
        return completion()

    def progress(report: GenerationReport) -> None:
        assert report.expected == 24
        told.append((report.succeeded, report.under_way))

    with serving(last_wait) as server:
        generate(
            requests(24),
            {"default": endpoint(server.base_url)},
            record=lambda rows: None,
            limits=Limits(expected=24),
            progress=progress,
        )
    assert told[-1] == (24, 0)
    assert any(0 < succeeded < 24 and under_way for succeeded, under_way in told)


def test_ever_new_errors_do_not_fill_the_memory() -> None:
    report = GenerationReport()
    row = {"status": "error", "prompt_tokens": None, "completion_tokens": None, "cost_usd": None}
    report.add([{**row, "error": f"HTTP 400: request {place}"} for place in range(5000)])
    assert (report.failed, sum(report.errors.values()), len(report.errors)) == (5000, 5000, 1001)
    assert report.errors[OTHER_ERRORS] == 4000


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        ({"error_budget": -1}, "error_budget is -1"),
        ({"error_budget": float("nan")}, "error_budget is nan"),
        ({"max_cost": 1.5}, "max_cost must be a Decimal"),
        ({"max_cost": Decimal("NaN")}, "max_cost must be a Decimal"),
        ({"max_tokens": -1}, "max_tokens is -1"),
    ],
)
def test_limits_that_cannot_be_are_refused(limits: dict[str, Any], says: str) -> None:
    with pytest.raises(GenerationError, match=says):
        Limits(**limits)
