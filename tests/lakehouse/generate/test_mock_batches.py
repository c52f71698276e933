"""Batches of the mock model, with the official client: their states, their files, and what goes wrong with them."""

from __future__ import annotations

import http.client
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from openai import BadRequestError, ConflictError, NotFoundError, OpenAI

from lakehouse.generate.mock import uploads
from lakehouse.generate.mock.server import MODEL, Faults, MockModel

TEXT = "The bridge, which many people use, was built in 1901. It has two large arches and a small tower."
CHAT = "/v1/chat/completions"
Line = dict[str, Any]


def line(place: int, url: str = CHAT, **changes: Any) -> Line:
    text = f"{TEXT} Number {place}."
    body: Line = {"model": MODEL, "max_tokens": 100}
    body |= {"messages": [{"role": "user", "content": text}]} if url == CHAT else {"prompt": text}
    return {"custom_id": f"wrap_easy/rewrite/{place:032x}", "method": "POST", "url": url, "body": body, **changes}


class Batches:
    """What a user of batches does, with the official client."""

    def __init__(self, model: MockModel) -> None:
        self.model = model
        self.client = OpenAI(base_url=model.base_url, api_key="none", max_retries=0, timeout=10.0)

    def create(self, lines: list[Line] | bytes, endpoint: Any = CHAT) -> Any:
        content = lines if isinstance(lines, bytes) else b"".join(json.dumps(one).encode() + b"\n" for one in lines)
        file = self.client.files.create(file=("requests.jsonl", content), purpose="batch")
        assert (file.bytes, file.filename, file.purpose) == (len(content), "requests.jsonl", "batch")
        return self.client.batches.create(
            input_file_id=file.id, endpoint=endpoint, completion_window="24h", metadata={"recipe": "wrap_easy"}
        )

    def follow(self, batch: Any, see: Callable[[Any], None] = lambda batch: None) -> Any:
        """Ask for the batch until it has ended."""
        deadline = time.monotonic() + 10
        while batch.status not in ("completed", "failed", "expired", "cancelled"):
            assert time.monotonic() < deadline, batch.status
            see(batch)
            time.sleep(0.01)
            batch = self.client.batches.retrieve(batch.id)
        return batch

    def run(self, lines: list[Line] | bytes, endpoint: Any = CHAT) -> Any:
        return self.follow(self.create(lines, endpoint))

    def read(self, file_id: str | None) -> list[Line]:
        return [json.loads(told) for told in self.client.files.content(file_id).text.splitlines()] if file_id else []


def test_a_batch_goes_through_its_states_and_answers_as_a_call_would() -> None:
    with MockModel(batch_seconds=0.1) as model:
        batches, states = Batches(model), list[str]()
        done = batches.follow(
            batches.create([line(place) for place in range(40)]), lambda batch: states.append(batch.status)
        )
        answered = batches.read(done.output_file_id)
        assert (model.calls, model.answered, len(model.answers_of)) == (40, 40, 40)
        direct = {
            f"wrap_easy/rewrite/{place:032x}": batches.client.chat.completions.create(
                **line(place)["body"], extra_headers={"X-Lakehouse-Step": "wrap_easy/rewrite"}
            ).model_dump(exclude_unset=True)
            for place in (0, 39)
        }
        assert sorted(model.answers_of.values())[-2:] == [2, 2]  # a line and a call with the same body are one request
    assert list(dict.fromkeys(states)) == ["validating", "in_progress", "finalizing"]
    assert (done.status, done.error_file_id, done.errors, done.metadata) == (
        "completed", None, None, {"recipe": "wrap_easy"}
    )  # fmt: skip
    assert done.request_counts.model_dump() == {"total": 40, "completed": 40, "failed": 0}
    assert done.created_at <= done.in_progress_at <= done.finalizing_at <= done.completed_at
    wanted = [line(place)["custom_id"] for place in range(40)]
    names = [told["custom_id"] for told in answered]
    assert sorted(names) == wanted
    assert names != wanted  # the order is another one
    for told in answered:
        assert (told["error"], told["response"]["status_code"]) == (None, 200)
        body = told["response"]["body"]
        if told["custom_id"] in direct:
            assert body | {"created": 0} == direct[told["custom_id"]] | {"created": 0}


def test_text_completions_come_in_batches_too() -> None:
    with MockModel(batch_seconds=0.0) as model:
        batches = Batches(model)
        done = batches.run([line(place, "/v1/completions") for place in range(3)], "/v1/completions")
        bodies = [told["response"]["body"] for told in batches.read(done.output_file_id)]
    assert [body["object"] for body in bodies] == ["text_completion"] * 3
    assert all(len(body["choices"][0]["text"]) > 20 for body in bodies)


def test_lines_that_fail_are_in_the_error_file_and_another_batch_answers_them() -> None:
    faults = Faults(server_errors=0.2, rate_limited=0.1, timeouts=0.1, refusals=0.2, slow=0.2)
    lines = [line(place) for place in range(40)]
    met = {one["custom_id"]: faults.of(one["body"]["messages"][0]["content"]) for one in lines}
    codes = {"server_errors": 500, "timeouts": 500, "rate_limited": 429}
    wanted = {name: codes[kind] for name, kind in met.items() if kind in codes}
    assert set(wanted.values()) == {429, 500}
    lines[7]["body"]["temperature"] = 99
    wanted[lines[7]["custom_id"]] = 400
    with MockModel(batch_seconds=0.0, faults=faults) as model:
        batches = Batches(model)
        done = batches.run(lines)
        good, bad = batches.read(done.output_file_id), batches.read(done.error_file_id)
        assert {told["custom_id"]: told["response"]["status_code"] for told in bad} == wanted
        assert all(told["response"]["body"]["error"]["message"] for told in bad)
        assert {told["custom_id"] for told in good} == met.keys() - wanted.keys()
        assert (done.status, done.request_counts.total) == ("completed", 40)
        assert (done.request_counts.completed, done.request_counts.failed) == (len(good), len(bad))
        again = batches.run([one for one in lines if wanted.get(one["custom_id"], 400) != 400])
        assert (again.request_counts.failed, again.error_file_id) == (0, None)
        assert model.answered == 39  # all but the one with a bad parameter, each of them once
        assert max(model.answers_of.values()) == 1


def test_what_a_batch_does_not_get_to_expires_with_it() -> None:
    faults = Faults(expired=0.3)
    lines = [line(place) for place in range(30)]
    late = {one["custom_id"] for one in lines if faults.expires(one["body"]["messages"][0]["content"])}
    assert 3 < len(late) < 20
    with MockModel(batch_seconds=0.0, faults=faults) as model:
        batches = Batches(model)
        done = batches.run(lines)
        bad = batches.read(done.error_file_id)
        assert done.status == "expired"
        assert {told["custom_id"] for told in bad} == late
        assert {(told["response"], told["error"]["code"]) for told in bad} == {(None, "batch_expired")}
        assert {told["custom_id"] for told in batches.read(done.output_file_id)} == met_by(lines) - late
        assert (done.request_counts.completed, done.request_counts.failed) == (30 - len(late), 0)
        assert model.calls == 30 - len(late)
        again = batches.run([one for one in lines if one["custom_id"] in late])
        assert (again.status, again.request_counts.completed) == ("completed", len(late))


def met_by(lines: list[Line]) -> set[str]:
    return {one["custom_id"] for one in lines}


def test_a_batch_that_is_cancelled_keeps_the_answers_that_are_there() -> None:
    with MockModel(batch_seconds=0.3) as model:
        batches = Batches(model)
        batch = batches.create([line(place) for place in range(20)])
        while model.answered < 10:  # it pauses half way
            time.sleep(0.01)
        assert batches.client.batches.cancel(batch.id).status == "cancelling"
        done = batches.follow(batch)
        assert (done.status, len(batches.read(done.output_file_id)), model.answered) == ("cancelled", 10, 10)
        with pytest.raises(ConflictError, match="has ended: it is cancelled"):
            batches.client.batches.cancel(batch.id)


@pytest.mark.parametrize(
    ("lines", "code", "number"),
    [
        (b"", "empty_file", None),
        (b"\n \n", "empty_file", None),
        ([line(0), line(0)], "duplicate_custom_id", 2),
        ([line(0, custom_id="")], "missing_required_parameter", 1),
        ([line(0), line(1, url="/v1/completions")], "invalid_url", 2),
        ([line(0), line(1, body={"model": "lakehouse-mock-2"})], "mismatched_model", 2),
        (json.dumps(line(0)).encode() + b"\n\nnot json\n", "invalid_json_line", 3),
        (b"\xff\xfe\n", "invalid_json_line", 1),
        (b"[" * 100_000, "invalid_json_line", 1),
    ],
)
def test_a_file_that_is_no_list_of_requests_fails_before_any_call(lines: Any, code: str, number: int | None) -> None:
    with MockModel(batch_seconds=0.0) as model:
        batches = Batches(model)
        done = batches.run(lines)
        assert (done.status, done.output_file_id, done.error_file_id, model.calls) == ("failed", None, None, 0)
        (problem,) = done.errors.data
        assert (problem.code, problem.line) == (code, number)


def test_files_and_batches_are_listed_and_files_deleted() -> None:
    with MockModel(batch_seconds=0.0) as model:
        batches = Batches(model)
        ended = [batches.run([line(place)]) for place in range(3)]
        client = batches.client
        page = client.batches.list(limit=2)
        assert ([batch.id for batch in page.data], page.has_more) == ([ended[2].id, ended[1].id], True)
        assert [batch.id for batch in client.batches.list(limit=2)] == [batch.id for batch in reversed(ended)]
        assert {file.id for file in client.files.list()} == {
            file for batch in ended for file in (batch.input_file_id, batch.output_file_id)
        }
        file = client.files.retrieve(ended[0].input_file_id)
        assert client.files.content(file.id).content == json.dumps(line(0)).encode() + b"\n"
        assert client.files.delete(file.id).deleted
        with pytest.raises(NotFoundError, match="there is no file"):
            client.files.content(file.id)


def test_bad_requests_for_files_and_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    with MockModel() as model:
        client = Batches(model).client
        file = client.files.create(file=("requests.jsonl", b"{}\n"), purpose="batch")
        with pytest.raises(BadRequestError, match="purpose is 'batch'"):
            client.files.create(file=b"{}", purpose="fine-tune")
        with pytest.raises(BadRequestError, match="endpoint is one of"):
            client.batches.create(input_file_id=file.id, endpoint="/v1/embeddings", completion_window="24h")
        with pytest.raises(NotFoundError, match="there is no file 'file-1'"):
            client.batches.create(input_file_id="file-1", endpoint=CHAT, completion_window="24h")
        with pytest.raises(NotFoundError, match="there is no batch"):
            client.batches.retrieve("batch_x")
        broken: list[tuple[str, bytes]] = [
            ("application/json", b"{}"),
            ("multipart/form-data; boundary=xyz", b"no parts"),
            ("multipart/form-data", b"no boundary"),
            ("multipart/form-data; boundary=xyz", form(purpose=b"batch", other=b"x")),
            ("multipart/form-data; boundary=xyz", form(purpose=b"b" * 2_000, file=b"x")),
            ("multipart/form-data; boundary=xyz", form(purpose=b"batch", file=b"x")[:-12]),
        ]
        for content_type, content in broken:
            assert upload(model, content_type, content) == 400, content
        monkeypatch.setattr(uploads, "LARGEST_FILE", 1_000)
        content = form(purpose=b"batch", file=b"x" * 1_001)
        assert upload(model, "multipart/form-data; boundary=xyz", content) == 413
        assert [one.id for one in client.files.list()] == [file.id]


def form(**fields: bytes) -> bytes:
    parts = [
        b'--xyz\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (name.encode(), value)
        for name, value in fields.items()
    ]
    return b"".join(parts) + b"--xyz--\r\n"


def upload(model: MockModel, content_type: str, content: bytes) -> int:
    """The status of an upload that is refused, with an error of the API."""
    connection = http.client.HTTPConnection(model.base_url.removeprefix("http://").removesuffix("/v1"), timeout=10)
    connection.request("POST", "/v1/files", content, {"Content-Type": content_type})
    answer = connection.getresponse()
    assert json.loads(answer.read())["error"]["message"]
    connection.close()
    return answer.status


def test_large_files_go_to_a_folder_that_ends_with_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    content = b" " * 1023 + b"\n"
    with MockModel() as model:
        file = Batches(model).client.files.create(file=("large.jsonl", content * 20_000), purpose="batch")
        (written,) = tmp_path.glob("*/*")
        assert written.stat().st_size == file.bytes == 20_480_000  # more than a request for an answer may have
    assert list(tmp_path.iterdir()) == []
