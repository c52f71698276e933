"""The mock model behaves like a server of the OpenAI API: with its official clients, and with requests that are bad."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from openai import AuthenticationError, BadRequestError, NotFoundError, OpenAI

from lakehouse.generate.errors import GenerationError
from lakehouse.generate.mock.server import MODEL, MODELS, MockModel

TEXT = "The bridge, which many people use, was built in 1901. It has two large arches and a small tower."
KEY = "sk-sentinel-9876543210-never-to-be-seen"


def open_client(model: MockModel, key: str = "none") -> OpenAI:
    return OpenAI(base_url=model.base_url, api_key=key, max_retries=0, timeout=10.0)


def send(
    model: MockModel, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
) -> tuple[int, Any]:
    host = model.base_url.removeprefix("http://").removesuffix("/v1")
    connection = http.client.HTTPConnection(host, timeout=10)
    content = body if isinstance(body, str | bytes | None) else json.dumps(body)
    connection.request(method, path, content, headers or {})
    answer = connection.getresponse()
    told = json.loads(answer.read())
    connection.close()
    return answer.status, told


def chat(text: str, **changes: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": text}], **changes}


def ask(client: OpenAI, text: str = TEXT, **changes: Any) -> Any:
    return client.chat.completions.create(**chat(f"Rewrite this.\n<text>\n{text}\n</text>", **changes))


def test_it_lists_its_models_and_answers_each_with_counted_tokens() -> None:
    with MockModel() as model, open_client(model) as client:
        assert [entry.id for entry in client.models.list().data] == ["lakehouse-mock-1", "lakehouse-mock-2"]
        assert client.models.retrieve("lakehouse-mock-2").id == "lakehouse-mock-2"
        answers = [ask(client, model=name) for name in MODELS]
        assert model.calls == model.answered == 2
        assert model.tokens == (2 * (126 // 4), sum(answer.usage.completion_tokens for answer in answers))
    assert [answer.model for answer in answers] == list(MODELS)
    for answer in answers:
        (choice,) = answer.choices
        assert (choice.message.role, choice.finish_reason) == ("assistant", "stop")
        assert len(choice.message.content) > 20
        # 4 characters a token: 14 + 8 + 96 + 8 = 126 characters asked
        assert answer.usage.prompt_tokens == 126 // 4
        assert answer.usage.completion_tokens == len(choice.message.content) // 4
        assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_a_text_completion_answers_its_prompt() -> None:
    with MockModel() as model, open_client(model) as client:
        prompt = f"Rewrite this.\n<text>\n{TEXT}\n</text>"
        answer = client.completions.create(model=MODEL, prompt=prompt, max_tokens=5)
        assert answer.choices[0].text == ask(client).choices[0].message.content[:20]
        assert (answer.choices[0].finish_reason, answer.object) == ("length", "text_completion")
        assert client.completions.create(model=MODEL, prompt=[prompt], max_tokens=5).choices == answer.choices


def test_an_answer_that_is_too_long_is_cut_and_says_so() -> None:
    with MockModel() as model, open_client(model) as client:
        whole = ask(client).choices[0].message.content
        for name in ("max_tokens", "max_completion_tokens"):
            answer = ask(client, **{name: 5})
            assert answer.choices[0].finish_reason == "length"
            assert answer.choices[0].message.content == whole[:20]
            assert answer.usage.completion_tokens == 5
        enough = ask(client, max_tokens=-(-len(whole) // 4))
        assert (enough.choices[0].finish_reason, enough.choices[0].message.content) == ("stop", whole)
        stopped = ask(client, stop=["\x00", whole[30:40]]).choices[0]
        assert (stopped.finish_reason, stopped.message.content) == ("stop", whole[: whole.index(whole[30:40])])


@pytest.mark.parametrize("usage", [True, False])
def test_a_stream_adds_up_to_the_answer(usage: bool) -> None:
    options: Any = {"stream_options": {"include_usage": True}} if usage else {}
    with MockModel() as model, open_client(model) as client:
        whole = ask(client)
        chunks = list(ask(client, stream=True, **options))
        prompt = f"Rewrite this.\n<text>\n{TEXT}\n</text>"
        texts = list(client.completions.create(model=MODEL, prompt=prompt, stream=True, **options))
        # whether it streams does not matter: a client that asks again asks the same
        assert sorted(model.calls_of.values()) == [1, 2]
    content = whole.choices[0].message.content
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == content
    assert "".join(chunk.choices[0].text for chunk in texts if chunk.choices) == content
    assert len(chunks) > 4
    for stream in (chunks, texts):
        reasons = [chunk.choices[0].finish_reason for chunk in stream if chunk.choices]
        assert reasons[-1] == "stop"
        assert not any(reasons[:-1])
        assert [chunk.usage for chunk in stream if chunk.usage] == ([whole.usage] if usage else [])


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("chat/completions", "{broken", 400),
        ("chat/completions", "[]", 400),
        ("chat/completions", '{"model":' * 100_000, 400),
        ("chat/completions", b"\xff\xfe\x00", 400),
        ("chat/completions", {"model": MODEL, "messages": []}, 400),
        ("chat/completions", {"model": MODEL, "messages": [{"role": "robot", "content": "x"}]}, 400),
        ("chat/completions", {"model": MODEL, "messages": [{"role": "user", "content": None}]}, 400),
        ("chat/completions", chat("x", model="other"), 404),
        ("chat/completions", chat("x", model=None), 400),
        ("chat/completions", chat("x", temperature=2.1), 400),
        ("chat/completions", chat("x", temperature="warm"), 400),
        ("chat/completions", chat("x", temperature=float("nan")), 400),
        ("chat/completions", chat("x", top_p=-0.1), 400),
        ("chat/completions", chat("x", max_tokens=0), 400),
        ("chat/completions", chat("x", max_tokens=True), 400),
        ("chat/completions", chat("x", n=2), 400),
        ("chat/completions", chat("x", stop=["a", ""]), 400),
        ("chat/completions", chat("x", stream="yes"), 400),
        ("chat/completions", chat("x", stream_options={"include_usage": True}), 400),
        ("chat/completions", chat("x", response_format={"type": "yaml"}), 400),
        ("chat/completions", chat("x", response_format={"type": "json_schema", "json_schema": {"name": "x"}}), 400),
        ("completions", {"model": MODEL, "prompt": [1, 2, 3]}, 400),
        ("completions", {"model": MODEL, "prompt": ["one", "two"]}, 400),
        ("embeddings", {"model": MODEL, "input": [""]}, 400),
        ("embeddings", {"model": MODEL, "input": "x", "dimensions": 10**9}, 400),
        ("embeddings", {"model": ["a"], "input": "x"}, 400),
        ("audio/speech", {}, 404),
    ],
)
def test_a_bad_request_gets_an_error_of_the_api(serving: MockModel, path: str, body: Any, status: int) -> None:
    answered, content = send(serving, "POST", f"/v1/{path}", body)
    assert answered == status
    assert content["error"]["message"]
    assert send(serving, "POST", "/v1/chat/completions", chat(TEXT))[0] == 200


@pytest.fixture(scope="module")
def serving() -> Any:
    with MockModel() as model:
        yield model


def test_a_body_that_is_too_large_is_refused(serving: MockModel) -> None:
    assert send(serving, "POST", "/v1/chat/completions", b" " * (16 * 2**20 + 1))[0] == 413
    assert send(serving, "POST", "/v1/chat/completions", chat("x" * 10**6, max_tokens=3))[0] == 200


def test_half_characters_and_unknown_parameters_go_through(serving: MockModel) -> None:
    status, answer = send(
        serving, "POST", "/v1/chat/completions", '{"model":"lakehouse-mock-1","top_k":40,"messages":'
        '[{"role":"user","content":[{"type":"text","text":"half \\ud83d"},{"type":"text","text":" pair \\u0000"}]}]}'
    )  # fmt: skip
    assert (status, answer["usage"]["prompt_tokens"]) == (200, 3)  # "half \ud83d" and " pair \0": 6 + 7 characters
    assert isinstance(answer["choices"][0]["message"]["content"], str)


def test_a_key_is_asked_for_and_never_shown() -> None:
    with MockModel(key=KEY) as model:
        for wrong in ("none", KEY[:-1], f"{KEY}x", "clé"):
            status, told = send(
                model, "POST", "/v1/chat/completions", chat(TEXT), {"Authorization": f"Bearer {wrong}"}
            )  # fmt: skip
            assert (status, told["error"]["code"]) == (401, "invalid_api_key")
            assert KEY not in json.dumps(told)
        assert send(model, "GET", "/v1/models")[0] == 401
        assert send(model, "GET", "/v1/files")[0] == 401
        with open_client(model) as client, pytest.raises(AuthenticationError):
            ask(client)
        assert model.calls == 0
        with open_client(model, KEY) as client:
            assert ask(client).choices[0].finish_reason == "stop"
        assert KEY not in repr(model) + repr(vars(model)) + repr(model._settings)


def test_a_json_schema_is_answered_or_refused_as_old_servers_do() -> None:
    schema = {"type": "object", "properties": {"title": {"type": "string"}}, "required": ["title"]}
    form: Any = {"type": "json_schema", "json_schema": {"name": "page", "schema": schema}}
    with MockModel(structured="refuse") as model, open_client(model) as client:
        with pytest.raises(BadRequestError, match="json_schema is not supported"):
            ask(client, response_format=form)
        assert ask(client, response_format={"type": "text"}).choices[0].message.content
    with MockModel() as model, open_client(model) as client:
        assert isinstance(json.loads(ask(client, response_format=form).choices[0].message.content)["title"], str)


def test_the_step_of_a_recipe_decides_how_it_answers(serving: MockModel) -> None:
    lines = "0001 The bridge is old.\n0002 Cookie settings\n0003 It has two arches."
    with open_client(serving) as client:
        answers = {
            step: ask(client, lines, extra_headers={"X-Lakehouse-Step": step}).choices[0].message.content
            for step in ("prox_document/program", "wrap_medium/rewrite")
        }
    assert len(set(answers.values())) == 2


def test_other_models_can_be_served() -> None:
    with MockModel(models=["cheap", "strong"]) as model, open_client(model) as client:
        assert [entry.id for entry in client.models.list().data] == ["cheap", "strong"]
        assert ask(client, model="strong").model == "strong"
        with pytest.raises(NotFoundError, match="there is no model 'lakehouse-mock-1'"):
            ask(client)


def test_counts_can_be_read_from_another_process() -> None:
    with MockModel() as model, open_client(model) as client:
        for text in (TEXT, TEXT, f"{TEXT} Again."):
            ask(client, text)
        status, counts = send(model, "GET", "/mock/counters?requests=true")
        assert "calls_of" not in send(model, "GET", "/mock/counters")[1]
    assert (status, counts["calls"], counts["answered"], counts["distinct"], counts["repeated"]) == (200, 3, 3, 2, 1)
    assert counts["statuses"] == {"200": 3}
    assert sorted(counts["answers_of"].values()) == sorted(counts["calls_of"].values()) == [1, 2]
    assert (counts["under_way"], counts["most_at_once"]) == (0, 1)
    assert (counts["prompt_tokens"], counts["completion_tokens"]) == model.tokens
    # the same request in another order of keys is the same; another temperature is another
    with MockModel() as model:
        for body in (chat("x", temperature=0.5), dict(reversed(chat("x", temperature=0.5).items())), chat("x")):
            send(model, "POST", "/v1/chat/completions", body)
        assert sorted(model.calls_of.values()) == [1, 2]


def test_hundreds_of_slow_answers_at_once_cost_no_threads() -> None:
    with MockModel(delay=0.5) as model:
        port = int(model.base_url.split(":")[2].removesuffix("/v1"))
        body = json.dumps(chat(TEXT)).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        threads, started = threading.active_count(), time.monotonic()
        connections = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(300)]
        for connection in connections:
            connection.sendall(head.encode() + body)
        while model.most_at_once < 300:
            assert time.monotonic() - started < 5
            time.sleep(0.01)
        assert threading.active_count() == threads
        for connection in connections:
            assert connection.recv(15) == b"HTTP/1.1 200 OK"
            connection.close()
        assert 0.5 <= time.monotonic() - started < 5  # one after the other would be 150 s


def test_who_hangs_up_is_no_longer_worked_for() -> None:
    with MockModel(delay=30.0) as model:
        port = int(model.base_url.split(":")[2].removesuffix("/v1"))
        body = json.dumps(chat(TEXT)).encode()
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(
                b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
            )
            connection.sendall(body)
            until(lambda: send(model, "GET", "/mock/counters")[1]["under_way"] == 1)
        until(lambda: send(model, "GET", "/mock/counters")[1]["under_way"] == 0)
        assert (model.calls, model.answered) == (1, 0)


def test_a_server_ends_at_once_whoever_waits() -> None:
    with ThreadPoolExecutor(1) as pool:
        with MockModel(delay=30.0) as model:
            waiting = pool.submit(send, model, "POST", "/v1/chat/completions", chat(TEXT))
            until(lambda: model.most_at_once == 1)
            started = time.monotonic()
        assert time.monotonic() - started < 3
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            waiting.result(timeout=5)


def test_a_port_in_use_is_one_clear_line() -> None:
    with MockModel() as model:
        port = int(model.base_url.rsplit(":", 1)[1].removesuffix("/v1"))
        with pytest.raises(GenerationError, match=f"port {port} of 127.0.0.1 cannot be used"):
            MockModel(port)
    with MockModel(port) as again:  # it is free when the server has ended
        assert send(again, "GET", "/v1/models")[0] == 200


@pytest.mark.parametrize(
    "settings",
    [{"models": []}, {"delay": -1.0}, {"requests_per_second": 0}, {"most_in_flight": 0}, {"structured": "maybe"}],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(GenerationError, match=next(iter(settings)).replace("models", "at least one model")):
        MockModel(**settings)


def until(true: Any, seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.01)
