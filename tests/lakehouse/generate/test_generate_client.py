"""Calls over real HTTP: what is sent, what is tried again, what is recorded, and what never leaks."""

from __future__ import annotations

import asyncio
import multiprocessing
import signal
import threading
import time
from collections import Counter
from decimal import Decimal
from typing import Any

import pytest
from aiohttp import web
from call_server import (
    KEY,
    VARIABLE,
    Asked,
    Row,
    always,
    call_once,
    completion,
    endpoint,
    fine,
    request,
    requests,
    serving,
    unused_port,
)

from lakehouse.generate.calls.client import generate
from lakehouse.generate.calls.endpoint import Endpoint
from lakehouse.generate.errors import GenerationError
from lakehouse.generate.mock.server import MODEL, Faults, MockModel


def test_a_call_is_a_row_of_the_journal() -> None:
    with serving(fine) as server:
        row = call_once(server.base_url, prompt_price=Decimal("0.15"), completion_price=Decimal("0.6"))
    assert row.pop("latency_ms") > 0
    assert row.pop("created_at").tzinfo is not None
    assert row == {
        "request_id": "0" * 32, "doc_id": "d0", "snapshot": "S", "recipe": "plain", "recipe_version": "1",
        "step": "rewrite", "model": "m", "params_hash": "h", "prompt_hash": "p0", "status": "ok", "response": "fine",
        "finish_reason": "stop", "prompt_tokens": 10, "completion_tokens": 5, "error": None, "reused_from": None,
        "tries": 1,
        # (10 * 0.15 + 5 * 0.60) / 1,000,000
        "cost_usd": Decimal("0.0000045"),
    }  # fmt: skip


def test_what_is_sent_is_the_request_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, KEY)
    with serving(fine) as server:
        call_once(server.base_url)
    (asked,) = server.asked
    assert asked.path == "/v1/chat/completions"
    content = "Passage 000000".ljust(40, ".")
    messages = [{"role": "user", "content": content}]
    assert asked.body == {"model": "m", "messages": messages, "temperature": 0.5, "max_tokens": 100}
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert asked.headers["x-lakehouse-step"] == "plain/rewrite"
    assert asked.headers["accept-encoding"] == "identity"


def test_a_completion_sends_its_prompt_as_it_is() -> None:
    async def text(asked: Asked) -> web.StreamResponse:
        return web.json_response({"choices": [{"text": "and so on", "finish_reason": "length"}]})

    rows: list[Row] = []
    with serving(text) as server:
        generate(requests(1, form="completion"), {"default": endpoint(server.base_url)}, record=rows.extend)
        (asked,) = server.asked
    assert (asked.path, asked.body["prompt"]) == ("/v1/completions", "Passage 000000".ljust(40, "."))
    assert "messages" not in asked.body
    assert (rows[0]["response"], rows[0]["finish_reason"]) == ("and so on", "length")


@pytest.mark.parametrize(
    ("message", "response"),
    [
        ({"content": "the answer", "reasoning_content": "let me think"}, "the answer"),
        ({"reasoning_content": "cut off while it thought"}, None),
        ({"content": None, "refusal": "I will not."}, "I will not."),
    ],
)
def test_reasoning_is_dropped_and_paid_for(message: dict[str, Any], response: str | None) -> None:
    usage = {"prompt_tokens": 10, "completion_tokens": 900, "completion_tokens_details": {"reasoning_tokens": 890}}
    body = {"choices": [{"message": message, "finish_reason": "stop"}], "usage": usage}
    with serving(always(200, body)) as server:
        row = call_once(server.base_url, completion_price=Decimal(1))
    assert (row["status"], row["response"], row["completion_tokens"]) == ("ok", response, 900)
    assert row["cost_usd"] == Decimal("0.0009")  # 900 tokens at a dollar a million


def test_tokens_of_the_server_s_cache_have_their_own_price() -> None:
    async def cached(asked: Asked) -> web.StreamResponse:
        return completion("fine", 1000, 10, prompt_tokens_details={"cached_tokens": 900})

    with serving(cached) as server:
        row = call_once(server.base_url, prompt_price=Decimal(10), cached_prompt_price=Decimal(1))
    assert row["cost_usd"] == Decimal("0.0019")  # (100 * 10 + 900 * 1) / 1,000,000


def test_every_transient_fault_is_tried_again_until_each_request_has_its_answer() -> None:
    kinds = ("rate_limited", "rate_limited_bare", "rate_limited_ms", "server_errors", "unavailable", "cut_connections",
             "closed_connections", "malformed_json", "half_json", "error_objects")  # fmt: skip
    rows: list[Row] = []
    with MockModel(faults=Faults(**dict.fromkeys(kinds, 0.08), seed=3)) as model:
        report = generate(requests(80, model=MODEL), {"default": endpoint(model.base_url)}, record=rows.extend)
        assert model.calls == report.tries
    assert (report.succeeded, report.failed) == (80, 0)
    assert 120 < report.tries < 160  # four in five meet a fault, once
    assert Counter(row["request_id"] for row in rows).most_common(1)[0][1] == 1
    with MockModel() as model:
        plain: list[Row] = []
        generate(requests(80, model=MODEL), {"default": endpoint(model.base_url, max_in_flight=1)}, record=plain.extend)
    answers = {row["request_id"]: row["response"] for row in plain}
    assert {row["request_id"]: row["response"] for row in rows} == answers


def test_a_server_that_says_when_to_come_back_is_obeyed() -> None:
    times: list[float] = []

    async def later(asked: Asked) -> web.StreamResponse:
        times.append(time.monotonic())
        if asked.number == 1:
            return web.json_response({}, status=429, headers={"Retry-After-Ms": "700"})
        return completion()

    with serving(later) as server:
        row = call_once(server.base_url)
    assert row["status"] == "ok"
    assert 0.7 <= times[1] - times[0] < 1.5  # by itself it would come back after half a second at most
    assert row["latency_ms"] >= 700  # waiting included


def test_a_silent_server_is_left_and_asked_again() -> None:
    async def silent_at_first(asked: Asked) -> web.StreamResponse:
        if asked.number == 1:
            await asyncio.sleep(3)
        return completion()

    with serving(silent_at_first) as server:
        row = call_once(server.base_url, timeout=0.3)
        assert (row["status"], len(server.asked)) == ("ok", 2)
    with serving(silent_at_first) as server:
        assert call_once(server.base_url, timeout=0.3, max_retries=0)["error"] == "no answer within 0.3 s"


def test_no_more_calls_are_under_way_than_allowed_and_as_many_as_allowed() -> None:
    with MockModel(delay=0.02) as model:
        generate(
            requests(60, model=MODEL), {"default": endpoint(model.base_url, max_in_flight=5)}, record=lambda rows: None
        )
        assert model.most_at_once == 5


def test_a_server_that_takes_few_at_once_gets_few() -> None:
    async def few(asked: Asked) -> web.StreamResponse:
        if server.at_once > 6:
            return web.json_response({}, status=503)
        await asyncio.sleep(0.05)
        return completion()

    with serving(few) as server:
        report = generate(
            requests(200),
            {"default": endpoint(server.base_url, max_in_flight=64, max_retries=6)},
            record=lambda rows: None,
        )
    assert report.succeeded == 200
    # Without adaptation 58 of 64 calls would be refused at any time, each of them seven times.
    assert report.tries < 500


def test_a_server_that_has_recovered_is_asked_as_much_as_before() -> None:
    later: list[int] = []

    async def weak_at_first(asked: Asked) -> web.StreamResponse:
        if asked.number <= 12:
            return web.json_response({}, status=503, headers={"Retry-After": "0"})
        later.append(server.at_once)
        await asyncio.sleep(0.02)
        return completion()

    with serving(weak_at_first) as server:
        address = {"default": endpoint(server.base_url, max_in_flight=16, max_retries=9)}
        assert generate(requests(150), address, record=lambda rows: None).succeeded == 150
    assert later[0] <= 2  # eight, halved three times or more
    assert max(later) >= 12


def test_a_limit_of_requests_a_minute_is_kept() -> None:
    times: list[float] = []

    async def note(asked: Asked) -> web.StreamResponse:
        times.append(time.monotonic())
        return completion()

    with serving(note) as server:
        generate(
            requests(40), {"default": endpoint(server.base_url, requests_per_minute=1200)}, record=lambda rows: None
        )
    # 20 a second: a second's worth at once, the other 20 in the second after.
    assert times[-1] - times[0] >= 0.9


def test_calls_go_to_all_replicas_and_away_from_one_that_is_down() -> None:
    async def slow(asked: Asked) -> web.StreamResponse:
        await asyncio.sleep(0.01)
        return completion()

    with serving(slow) as one, serving(slow) as two:
        shared = Endpoint((one.base_url, two.base_url), "m", max_in_flight=8)
        assert generate(requests(200), {"default": shared}, record=lambda rows: None).succeeded == 200
        assert 80 < len(one.asked) < 120
        down = Endpoint((f"http://127.0.0.1:{unused_port()}/v1", two.base_url), "m", max_in_flight=8)
        report = generate(requests(200), {"default": down}, record=lambda rows: None)
    assert (report.succeeded, report.failed) == (200, 0)
    assert report.tries < 230  # after three tries the one that is down is left alone


def test_two_endpoints_of_one_run_do_not_hold_each_other_up() -> None:
    async def slow(asked: Asked) -> web.StreamResponse:
        await asyncio.sleep(0.05 if asked.body["model"] == "slow" else 0)
        return completion(asked.body["model"])

    wanted = [request(place, endpoint=name, model=name) for place in range(100) for name in ("slow", "quick")]
    rows: list[Row] = []
    with serving(slow) as server:
        two = {name: endpoint(server.base_url, model=name) for name in ("slow", "quick")}
        generate(wanted, two, record=rows.extend)
    order = [row["response"] for row in rows]
    assert Counter(order) == {"slow": 100, "quick": 100}
    assert order[:150].count("quick") == 100


def test_each_call_is_recorded_the_moment_it_ends() -> None:
    rows: list[Row] = []

    async def last_waits(asked: Asked) -> web.StreamResponse:
        if asked.body["messages"][0]["content"].startswith("Passage 000009"):
            while len(rows) < 9:  # until all others are recorded
                await asyncio.sleep(0.01)
        return completion()

    with serving(last_waits) as server:
        generate(
            requests(10), {"default": endpoint(server.base_url, max_in_flight=10, timeout=5.0)}, record=rows.extend
        )
    assert len(rows) == 10


def test_a_record_that_fails_ends_the_run_with_its_own_error() -> None:
    def full(rows: list[Row]) -> None:
        raise OSError(28, "No space left on device")

    with serving(fine) as server, pytest.raises(OSError, match="No space left"):
        generate(requests(20), {"default": endpoint(server.base_url)}, record=full)


def test_an_interrupted_run_records_the_answers_that_it_has_and_ends_at_once() -> None:
    rows: list[Row] = []

    async def quick_then_never(asked: Asked) -> web.StreamResponse:
        if asked.number > 20:
            await asyncio.sleep(60)
        return completion()

    def interrupt_after_20_calls() -> None:
        while len(rows) < 20:
            time.sleep(0.01)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    ignored = signal.signal(signal.SIGINT, signal.default_int_handler)  # a test run in the background ignores it
    with serving(quick_then_never) as server:
        threading.Thread(target=interrupt_after_20_calls, daemon=True).start()
        started = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            generate(requests(300), {"default": endpoint(server.base_url)}, record=rows.extend)
        assert time.monotonic() - started < 10
    signal.signal(signal.SIGINT, ignored)
    assert [row["status"] for row in rows] == ["ok"] * 20


def test_nothing_to_do_calls_nobody() -> None:
    nobody = endpoint("http://127.0.0.1:1/v1")
    report = generate([], {"default": nobody}, record=lambda rows: pytest.fail("nothing to record"))
    assert (report.tries, report.succeeded, report.failed) == (0, 0, 0)


def test_several_processes_give_the_rows_that_one_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, KEY)
    faults = Faults(rate_limited=0.2, truncated=0.2, cut_connections=0.1)

    def rows_of(processes: int) -> tuple[list[str], int]:
        rows: list[Row] = []
        with MockModel(key=KEY, faults=faults) as model:
            address = {"default": endpoint(model.base_url, processes=processes)}
            report = generate(requests(60, model=MODEL), address, record=rows.extend)
        kept = [key for key in rows[0] if key not in {"latency_ms", "created_at"}]
        return sorted(str([row[key] for key in kept]) for row in rows), report.tries

    assert rows_of(1) == rows_of(2)


def test_a_process_that_dies_ends_the_run_in_one_line() -> None:
    rows: list[Row] = []
    others = multiprocessing.active_children()  # such as those of a pool of the library

    async def kill_one(asked: Asked) -> web.StreamResponse:
        if asked.number == 10:
            next(child for child in multiprocessing.active_children() if child not in others).kill()
        await asyncio.sleep(0.01)
        return completion()

    with (
        serving(kill_one) as server,
        pytest.raises(GenerationError, match="a process that called endpoint default died"),
    ):
        generate(requests(500), {"default": endpoint(server.base_url, processes=2)}, record=rows.extend)
    assert 5 <= len(rows) < 500
    assert set(multiprocessing.active_children()) <= set(others)
