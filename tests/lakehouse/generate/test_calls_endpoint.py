"""Endpoints: what they may be, how they are checked before any work, and keys that leak nowhere."""

from __future__ import annotations

import logging
import pickle
from decimal import Decimal
from typing import Any

import pytest
from call_server import (
    KEY,
    VARIABLE,
    Row,
    always,
    endpoint,
    requests,
    serving,
    unused_port,
)

from lakehouse.generate.calls.budget import Limits
from lakehouse.generate.calls.client import check_endpoint, check_endpoints, generate
from lakehouse.generate.calls.endpoint import Endpoint
from lakehouse.generate.errors import GenerationError
from lakehouse.generate.mock.server import MODEL, MockModel


def test_an_endpoint_is_checked_in_one_line_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(GenerationError, match=f"{VARIABLE} is not set"):
        check_endpoint(Endpoint(("https://models.example.org/v1",), MODEL))
    with pytest.raises(GenerationError, match=r"cannot be used: no answer \(ClientConnectorError\)"):
        check_endpoint(endpoint(f"http://127.0.0.1:{unused_port()}/v1"))
    with MockModel() as model:
        check_endpoint(endpoint(model.base_url))
        with pytest.raises(GenerationError, match=r"no model 'lakehouse-mok-1'\. Did you mean 'lakehouse-mock-1'"):
            check_endpoint(endpoint(model.base_url, model="lakehouse-mok-1"))
        with pytest.raises(GenerationError, match="cannot be used: HTTP 404"):
            check_endpoint(endpoint(model.base_url.removesuffix("/v1")))
        two = Endpoint((model.base_url, f"http://127.0.0.1:{unused_port()}/v1"), MODEL)
        with pytest.raises(GenerationError, match="cannot be used: no answer"):  # every replica is asked
            check_endpoints({"good": endpoint(model.base_url), "half": two})
    with (
        serving(always(200, "<html>", "text/html")) as server,
        pytest.raises(GenerationError, match="no list of models"),
    ):
        check_endpoint(endpoint(server.base_url))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"base_urls": (f"https://me:{KEY}@host/v1",)}, "must hold no user, password or query"),
        ({"base_urls": (f"https://host/v1?key={KEY}",)}, "must hold no user, password or query"),
        ({"base_urls": (f"https://me:{KEY}@host:port/v1",)}, "is no address"),
        ({"base_urls": ("localhost:8000/v1",)}, "is no address"),
        ({"base_urls": ()}, "one or more addresses"),
        ({"base_urls": "http://127.0.0.1:1/v1"}, "must be a tuple"),
        ({"base_urls": ("http://127.0.0.1:1/v1",) * 2}, "each once"),
        ({"max_in_flight": 0}, "max_in_flight is 0"),
        ({"processes": 0}, "processes is 0"),
        ({"timeout": 0.0}, "timeout must be above 0"),
        ({"requests_per_minute": 0}, "requests_per_minute is 0"),
        ({"prompt_price": 0.15}, "prompt_price must be a Decimal"),
        ({"prompt_price": Decimal("NaN")}, "prompt_price must be a Decimal"),
        ({"completion_price": Decimal(-1)}, "completion_price must be a Decimal of 0 or more"),
        ({"batch_discount": Decimal(2)}, "batch_discount must be a Decimal from 0 to 1"),
        ({"structured_output": "xml"}, "structured_output is 'xml'"),
    ],
)
def test_an_endpoint_that_cannot_be_is_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(GenerationError, match=says) as caught:
        Endpoint(**{"base_urls": ("http://127.0.0.1:1/v1",), "model": MODEL, **changes})
    assert KEY not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("host", "local"),
    [("127.0.0.1", True), ("127.1.2.3", True), ("[::1]", True), ("localhost", True), ("10.0.0.1", False),
     ("localhost.example.org", False), ("127.0.0.1.example.org", False)],
)  # fmt: skip
def test_only_a_server_on_this_machine_needs_no_key(host: str, local: bool) -> None:
    assert Endpoint((f"http://{host}:8000/v1",), MODEL).is_local is local
    assert not Endpoint((f"http://{host}:8000/v1", "http://10.0.0.1/v1"), MODEL).is_local


@pytest.mark.parametrize("status", [200, 400, 401, 429, 500])
def test_key_and_prompt_leak_nowhere_even_if_the_server_repeats_them(
    status: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(VARIABLE, KEY)
    caplog.set_level(logging.DEBUG)
    rows: list[Row] = []
    body = {"error": {"message": "bad: {headers} you sent {sent}", "code": "{headers}", "type": "{headers}"}}
    with serving(always(status, body)) as server:
        address = endpoint(server.base_url, max_retries=0)
        with pytest.raises(GenerationError) as caught:
            generate(requests(3), {"default": address}, record=rows.extend, limits=Limits(error_budget=0))
        with pytest.raises(GenerationError) as refused:
            check_endpoint(address)
    assert server.asked[0].headers["authorization"] == f"Bearer {KEY}"
    assert "Passage" in str(server.asked[0].body)
    seen = [str(rows), repr(address), str(caught.value), str(refused.value), caplog.text, *capfd.readouterr()]
    for error in (caught.value, refused.value):
        seen += [repr(error.__cause__), repr(error.__context__), repr(vars(error))]
    for place in seen:
        assert KEY not in place
        assert KEY[:12] not in place
        assert "Passage" not in place
    assert KEY.encode() not in pickle.dumps(address)


def test_the_key_is_what_the_environment_says_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    address = Endpoint(("http://127.0.0.1:1/v1",), MODEL)
    monkeypatch.delenv(VARIABLE, raising=False)
    assert address.api_key == "none"
    monkeypatch.setenv(VARIABLE, f"{KEY}\n")
    assert address.api_key == KEY
    monkeypatch.setenv(VARIABLE, f"{KEY} \r\nX-Other: 1")
    with pytest.raises(GenerationError, match="is no API key") as caught:
        _ = address.api_key
    assert KEY not in str(caught.value)
