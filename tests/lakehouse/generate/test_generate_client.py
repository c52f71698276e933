"""Calls over real HTTP: what is retried, what is recorded, what stops a run, and what never leaks."""

from __future__ import annotations

import json
import logging
import pickle
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from lakehouse import schema
from lakehouse.generate import (
    Endpoint,
    GenerationError,
    MockModel,
    Request,
    accepted_documents,
    check_endpoint,
    generate,
    generations_for,
    judge,
    load_recipe,
    missing,
    rejected_rows,
    requests_for,
)
from lakehouse.generate.mock_server import MODEL, Faults

RECIPE = load_recipe("rewrite_clearly")
KEY = "sk-sentinel-0123456789-never-to-be-seen"
VARIABLE = "LAKEHOUSE_API_KEY"
Row = dict[str, Any]


def text_of(place: int) -> str:
    return (
        f"Station {place} lies on the northern line, because the valley is narrow there. "
        f"It was opened in {1850 + place}, and many travellers (most of them traders) used it on market days. "
        f"The old building has {place + 2} floors, a large hall and a small garden behind it."
    )


def requests(count: int) -> list[Request]:
    return list(requests_for(documents(count), RECIPE, MODEL))


def documents(count: int) -> pl.DataFrame:
    texts = [text_of(place) for place in range(count)]
    doc_ids = [f"d{place}" for place in range(count)]
    return pl.DataFrame({"doc_id": doc_ids, "snapshot": "S", "text": texts, "language": "en", "source": "web"})


def endpoint(base_url: str, **changes: Any) -> Endpoint:
    return replace(Endpoint(base_url, MODEL, max_in_flight=8, timeout=10.0, max_retries=2), **changes)


@contextmanager
def server(
    status: int, body: Any, content_type: str = "application/json"
) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """A server that gives every request the same answer; {headers} in it becomes what the client sent."""
    asked: list[tuple[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            asked.append((str(self.headers), sent))
            text = body if isinstance(body, str) else json.dumps(body)
            text = text.replace("{headers}", str(self.headers).replace("\n", " ")).replace(
                "{sent}", json.dumps(sent)[1:-1]
            )
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        do_GET = do_POST  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_address[1]}/v1", asked
        running.shutdown()


def call_once(base_url: str, **changes: Any) -> Row:
    rows: list[Row] = []
    generate(requests(1), endpoint(base_url, **changes), record=rows.extend, error_budget=1)
    (row,) = rows
    return row


def test_from_documents_to_accepted_documents_and_rejects_nothing_is_lost() -> None:
    wanted = requests(60)
    rows: list[Row] = []
    with MockModel(faults=Faults(truncated=0.1)) as model:
        check_endpoint(endpoint(model.base_url))
        report = generate(wanted, endpoint(model.base_url), record=rows.extend)
    journal = pl.DataFrame(pa.Table.from_pylist(rows, schema=schema.GENERATIONS))
    result = judge(generations_for(wanted, journal), documents(60), RECIPE)
    accepted, rejected = accepted_documents(result), rejected_rows(result)
    assert len(accepted) + len(rejected) == 60 == report.succeeded
    assert 30 < len(accepted) < 60
    assert "gate_finish_reason" in rejected.get_column("rule").to_list()
    assert report.prompt_tokens == journal.get_column("prompt_tokens").sum() > 0
    assert report.cost_usd == 0


def test_every_transient_fault_is_tried_again_until_each_request_has_its_answer() -> None:
    faults = Faults(rate_limited=0.25, server_errors=0.15, cut_connections=0.25, seed=3)
    wanted, rows = requests(24), list[Row]()
    met = [faults.of(request.messages[-1]["content"]) for request in wanted]
    assert {"rate_limited", "server_errors", "cut_connections"} <= set(met)
    with MockModel(faults=faults) as model:
        report = generate(wanted, endpoint(model.base_url, max_in_flight=24), record=rows.extend, error_budget=0)
        assert model.calls == 24 + sum(fault != "" for fault in met)
    assert (report.succeeded, report.failed) == (24, 0)
    assert {row["doc_id"] for row in rows} == {request.doc_id for request in wanted}


def test_answers_do_not_depend_on_faults_or_concurrency() -> None:
    def answers(max_in_flight: int, faults: Faults) -> dict[str, str]:
        rows: list[Row] = []
        with MockModel(faults=faults) as model:
            generate(requests(20), endpoint(model.base_url, max_in_flight=max_in_flight), record=rows.extend)
        return {row["request_id"]: row["response"] for row in rows}

    assert answers(1, Faults()) == answers(16, Faults(rate_limited=0.4, cut_connections=0.2))


def test_retry_after_is_honoured() -> None:
    with MockModel(faults=Faults(rate_limited=1.0, retry_after=1.2)) as model:
        row = call_once(model.base_url)
    assert row["status"] == "ok"
    assert row["latency_ms"] >= 1200  # the client's own first wait would be half a second at most


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_what_cannot_get_better_is_asked_once(status: int) -> None:
    with server(status, {"error": {"message": "the context is 4096 tokens long", "code": "context"}}) as (url, asked):
        row = call_once(url)
    assert len(asked) == 1
    assert (row["status"], row["response"], row["cost_usd"]) == ("error", None, None)
    detail = "" if status in {401, 403} else ": the context is 4096 tokens long"
    assert row["error"] == f"HTTP {status}{detail}"


@pytest.mark.parametrize(
    ("body", "content_type", "says"),
    [
        ("<html>Welcome</html>", "text/html", "the answer is no chat completion"),
        ("{not json", "application/json", "the answer is not JSON"),
        ({"choices": []}, "application/json", "the answer is no chat completion"),
        ({"choices": None, "error": {"message": "overloaded"}}, "application/json", "no chat completion: overloaded"),
        ([1], "application/json", "the answer is no chat completion"),
    ],
)
def test_an_answer_that_is_no_completion_is_an_error_row(body: Any, content_type: str, says: str) -> None:
    with server(200, body, content_type) as (url, _):
        row = call_once(url)
    assert row["status"] == "error"
    assert says in row["error"]
    assert "Welcome" not in row["error"] or content_type == "text/html"


def test_an_answer_that_cannot_be_encoded_or_counted_is_stored_all_the_same() -> None:
    choice = {"message": {"content": "half \ud83d pair"}, "finish_reason": "stop"}
    with server(200, {"choices": [choice], "usage": {"prompt_tokens": "many", "completion_tokens": -1}}) as (url, _):
        row = call_once(url, prompt_price=Decimal(1))
    assert (row["status"], row["response"]) == ("ok", "half ? pair")
    assert (row["prompt_tokens"], row["completion_tokens"], row["cost_usd"]) == (None, None, None)
    pa.Table.from_pylist([row], schema=schema.GENERATIONS)


def test_no_more_calls_are_under_way_than_allowed() -> None:
    with MockModel(delay=0.02) as model:
        generate(requests(40), endpoint(model.base_url, max_in_flight=5), record=lambda rows: None)
        assert model.most_at_once == 5


def test_cost_is_exact_decimal_arithmetic() -> None:
    with MockModel() as model:
        row = call_once(model.base_url, prompt_price=Decimal("0.15"), completion_price=Decimal("0.6"))
    # (prompt tokens * 0.15 + completion tokens * 0.60) / 1,000,000
    assert (
        row["cost_usd"] == (row["prompt_tokens"] * Decimal("0.15") + row["completion_tokens"] * Decimal("0.6")) / 10**6
    )
    assert row["cost_usd"] > 0


def test_the_error_budget_stops_a_run_and_keeps_what_was_answered() -> None:
    wanted, rows = requests(200), list[Row]()
    faults = Faults(server_errors=0.5, times=99)
    with MockModel(faults=faults) as model:
        address = endpoint(model.base_url, max_retries=0)
        with pytest.raises(GenerationError) as caught:
            generate(wanted, address, record=rows.extend, error_budget=0.05)
        assert model.calls < 100
    failed = [row for row in rows if row["status"] == "error"]
    assert 10 < len(failed) <= 10 + 8  # 5 % of 200, and what was under way
    message = str(caught.value)
    assert f"{len(failed)} of {len(rows)} calls" in message
    assert "10 may" in message
    assert "HTTP 500: something broke" in message
    assert f"{200 - len(rows)} were not begun" in message

    with MockModel() as model:  # the server is well again: only the rest is called
        journal = pl.DataFrame(pa.Table.from_pylist(rows, schema=schema.GENERATIONS))
        report = generate(missing(wanted, journal), endpoint(model.base_url), record=rows.extend)
        assert model.calls == 200 - (len(journal) - len(failed)) == report.succeeded
    journal = pl.DataFrame(pa.Table.from_pylist(rows, schema=schema.GENERATIONS))
    assert missing(wanted, journal) == []
    assert generations_for(wanted, journal).get_column("status").unique().to_list() == ["ok"]


def test_failures_within_the_budget_lose_no_other_call() -> None:
    rows: list[Row] = []
    with MockModel(faults=Faults(server_errors=0.3, times=99)) as model:
        report = generate(requests(40), endpoint(model.base_url, max_retries=0), record=rows.extend, error_budget=40)
    assert report.succeeded + report.failed == 40 == len(rows)
    assert report.failed == report.errors["HTTP 500: something broke"] > 0


def test_finished_calls_are_recorded_while_others_are_under_way() -> None:
    batches: list[int] = []
    with MockModel(delay=0.01) as model:
        generate(
            requests(40),
            endpoint(model.base_url),
            record=lambda rows: batches.append(len(rows)),
            batch_rows=10,
        )
    assert sum(batches) == 40
    # A batch is due at 10 rows; with 9 waiting, all 8 calls under way may end at once: at most 17, so 3 batches.
    assert max(batches) <= 9 + 8
    assert len(batches) >= 3


def test_a_record_that_fails_ends_the_run_with_its_own_error() -> None:
    def full(rows: list[Row]) -> None:
        raise OSError(28, "No space left on device")

    with MockModel() as model, pytest.raises(OSError, match="No space left"):
        generate(requests(20), endpoint(model.base_url), record=full, batch_rows=5)


def test_an_interrupted_run_records_the_answers_that_it_has() -> None:
    rows: list[Row] = []

    def interrupt_after_20_calls(model: MockModel) -> None:
        while model.calls < 20:
            time.sleep(0.01)
        signal.raise_signal(signal.SIGINT)

    ignored = signal.signal(signal.SIGINT, signal.default_int_handler)  # a test run in the background ignores it
    with MockModel(delay=0.02) as model:
        threading.Thread(target=interrupt_after_20_calls, args=[model], daemon=True).start()
        with pytest.raises(KeyboardInterrupt):
            generate(requests(300), endpoint(model.base_url), record=rows.extend, batch_rows=300, batch_seconds=60)
    signal.signal(signal.SIGINT, ignored)
    assert 20 - 8 <= len(rows) < 300
    assert {row["status"] for row in rows} == {"ok"}


def test_nothing_to_do_calls_nobody() -> None:
    with MockModel() as model:
        report = generate([], endpoint(model.base_url), record=lambda rows: pytest.fail("nothing to record"))
        assert (model.calls, report.succeeded, report.failed) == (0, 0, 0)


def unused_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def test_an_endpoint_is_checked_in_one_line_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(GenerationError, match=f"{VARIABLE} is not set"):
        check_endpoint(Endpoint("https://models.example.org/v1", MODEL))
    with pytest.raises(GenerationError, match=r"cannot be used: no answer \(ClientConnectorError\)"):
        check_endpoint(endpoint(f"http://127.0.0.1:{unused_port()}/v1"))
    with MockModel() as model:
        check_endpoint(endpoint(model.base_url))
        with pytest.raises(GenerationError, match=r"no model 'lakehouse-mok-1'\. Did you mean 'lakehouse-mock-1'"):
            check_endpoint(endpoint(model.base_url, model="lakehouse-mok-1"))
        with pytest.raises(GenerationError, match="HTTP 404: there is no /models"):
            check_endpoint(endpoint(model.base_url.removesuffix("/v1")))
    with server(200, "<html>", "text/html") as (url, _), pytest.raises(GenerationError, match="no list of models"):
        check_endpoint(endpoint(url))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"base_url": f"https://me:{KEY}@host/v1"}, "must hold no user, password or query"),
        ({"base_url": f"https://host/v1?key={KEY}"}, "must hold no user, password or query"),
        ({"base_url": "localhost:8000/v1"}, "is no address"),
        ({"max_in_flight": 0}, "max_in_flight is 0"),
        ({"prompt_price": 0.15}, "prompt_price must be a Decimal"),
        ({"completion_price": Decimal(-1)}, "completion_price must be a Decimal of 0 or more"),
    ],
)
def test_an_endpoint_that_cannot_be_is_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(GenerationError, match=says) as caught:
        Endpoint(**{"base_url": "http://127.0.0.1:1/v1", "model": MODEL, **changes})
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    ("host", "local"),
    [("127.0.0.1", True), ("127.1.2.3", True), ("[::1]", True), ("localhost", True), ("10.0.0.1", False),
     ("localhost.example.org", False), ("127.0.0.1.example.org", False)],
)  # fmt: skip
def test_only_a_server_on_this_machine_needs_no_key(host: str, local: bool) -> None:
    assert Endpoint(f"http://{host}:8000/v1", MODEL).is_local is local


@pytest.mark.parametrize("status", [200, 400, 401, 429, 500])
def test_key_and_prompt_leak_nowhere_even_if_the_server_repeats_them(
    status: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(VARIABLE, KEY)
    caplog.set_level(logging.DEBUG)
    rows: list[Row] = []
    body = {"error": {"message": "bad: {headers} you sent {sent}", "code": "{headers}", "type": "{headers}"}}
    with server(status, body) as (url, asked):
        address = endpoint(url, max_retries=0)
        with pytest.raises(GenerationError) as caught:
            generate(requests(3), address, record=rows.extend, error_budget=0)
        with pytest.raises(GenerationError) as refused:
            check_endpoint(address)
    headers, sent = asked[0]
    assert f"Bearer {KEY}" in headers
    assert "northern line" in sent
    seen = [str(rows), repr(address), str(caught.value), str(refused.value), caplog.text, *capfd.readouterr()]
    for error in (caught.value, refused.value):
        seen += [repr(error.__cause__), repr(error.__context__), repr(vars(error))]
    for place in seen:
        assert KEY not in place
        assert KEY[:12] not in place
        assert "northern line" not in place
    assert KEY.encode() not in pickle.dumps(address)


def test_the_key_is_what_the_environment_says_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    address = Endpoint("http://127.0.0.1:1/v1", MODEL)
    monkeypatch.delenv(VARIABLE, raising=False)
    assert address.api_key == "none"
    monkeypatch.setenv(VARIABLE, f"{KEY}\n")
    assert address.api_key == KEY
    monkeypatch.setenv(VARIABLE, f"{KEY} \r\nX-Other: 1")
    with pytest.raises(GenerationError, match="is no API key") as caught:
        _ = address.api_key
    assert KEY not in str(caught.value)
