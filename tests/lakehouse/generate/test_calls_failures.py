"""What a server can answer badly: each becomes a row, and costs no other call its answer."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from aiohttp import web
from call_server import (
    ANY_ERRORS,
    Asked,
    Row,
    always,
    call_once,
    endpoint,
    fine,
    request,
    requests,
    serving,
)

from lakehouse import schema
from lakehouse.generate.calls.client import generate


@pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 422])
def test_what_cannot_get_better_is_asked_once(status: int) -> None:
    headers = {"Location": "http://127.0.0.1:1/elsewhere", "Retry-After": "0"}
    body = {"error": {"message": "the context is 4096 tokens long", "code": "context"}}
    with serving(always(status, body, headers=headers)) as server:
        row = call_once(server.base_url)
        assert len(server.asked) == 1
    assert (row["status"], row["response"], row["cost_usd"]) == ("error", None, None)
    detail = "" if status in {401, 403} else ": the context is 4096 tokens long"
    assert row["error"] == f"HTTP {status}{detail}"


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 529])
def test_what_may_get_better_is_tried_as_often_as_the_endpoint_says(status: int) -> None:
    with serving(always(status, {"detail": "busy"}, headers={"Retry-After": "0"})) as server:
        row = call_once(server.base_url, max_retries=3)
        assert len(server.asked) == 4
    assert row["error"] == f"HTTP {status}: busy"


@pytest.mark.parametrize(
    ("body", "content_type", "says"),
    [
        ("<html>Welcome</html>", "text/html", "the answer is no chat completion"),
        ("{not json", "application/json", "the answer is not JSON"),
        ("[" * 100_000, "application/json", "the answer is not JSON"),
        ("1" * 10_000, "application/json", "the answer is not JSON"),
        ({"choices": []}, "application/json", "the answer is no chat completion"),
        ({"choices": [7]}, "application/json", "the answer is no chat completion"),
        ({"choices": None, "error": {"message": "overloaded"}}, "application/json", "no chat completion: overloaded"),
        ([1], "application/json", "the answer is no chat completion"),
    ],
)
def test_an_answer_that_is_no_completion_is_an_error_row(body: Any, content_type: str, says: str) -> None:
    with serving(always(200, body, content_type)) as server:
        row = call_once(server.base_url, max_retries=0)
    assert row["status"] == "error"
    assert says in row["error"]
    assert "Welcome" not in row["error"]


@pytest.mark.parametrize(
    ("headers", "says"),
    [({}, "longer than 16,777,216 bytes"), ({"Content-Encoding": "gzip"}, "compressed, which was not asked for")],
)
def test_an_endless_or_packed_answer_is_not_read(headers: dict[str, str], says: str) -> None:
    async def endless(asked: Asked) -> web.StreamResponse:
        response = web.StreamResponse(headers=headers)
        await response.prepare(asked.request)
        for _ in range(400):
            await response.write(b" " * 2**16)
        return response

    with serving(endless) as server:
        assert says in call_once(server.base_url)["error"]
        assert len(server.asked) == 1


def test_an_answer_that_cannot_be_encoded_or_counted_is_stored_all_the_same() -> None:
    choice = {"message": {"content": "half \ud83d pair \x00"}, "finish_reason": "stop"}
    with serving(
        always(200, {"choices": [choice], "usage": {"prompt_tokens": "many", "completion_tokens": -1}})
    ) as server:
        row = call_once(server.base_url, prompt_price=Decimal(1))
    assert (row["status"], row["response"]) == ("ok", "half ? pair \x00")
    assert (row["prompt_tokens"], row["completion_tokens"], row["cost_usd"]) == (None, None, None)
    pa.Table.from_pylist([row], schema=schema.GENERATIONS)


def test_a_request_that_cannot_be_sent_is_an_error_row_and_costs_no_other_its_answer() -> None:
    odd = [
        request(100, messages=[{"role": "user", "content": "half \ud83d pair"}]),
        request(101, params={"top_p": float("nan")}),
    ]
    rows: list[Row] = []
    with serving(fine) as server:
        generate([*odd, *requests(5)], {"default": endpoint(server.base_url)}, record=rows.extend, limits=ANY_ERRORS)
        assert len(server.asked) == 5
    assert Counter(row["error"] for row in rows) == {None: 5, "the request cannot be written as JSON": 2}
