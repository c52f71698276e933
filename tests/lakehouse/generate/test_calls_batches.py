"""The Batch API: what is sent, recorded and paid for once, whatever breaks in between."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from call_server import Asked, cut, request, requests, serving

from lakehouse.generate.calls.batches import Batches
from lakehouse.generate.calls.budget import Limits
from lakehouse.generate.calls.client import generate
from lakehouse.generate.calls.endpoint import Endpoint
from lakehouse.generate.calls.lane import Outcomes
from lakehouse.generate.errors import GenerationError
from lakehouse.generate.mock.server import MODEL, Faults, MockModel
from lakehouse.generate.requests import Request

Row = dict[str, Any]
ALL = Limits(error_budget=10_000)
KEY = "sk-sentinel-0123456789-never-to-be-seen"


def endpoint(base_url: str, **changes: Any) -> Endpoint:
    return Endpoint((base_url,), MODEL, batch=True, timeout=10.0, **changes)


def test_a_batch_gives_the_rows_that_single_calls_give_at_half_the_price(tmp_path: Path) -> None:
    prices = {"prompt_price": Decimal(2), "completion_price": Decimal(4)}
    single, batched = list[Row](), list[Row]()
    with MockModel() as model:
        live = Endpoint((model.base_url,), MODEL, **prices)
        plain = [request(place, model=MODEL, form="completion") for place in range(30, 40)]
        wanted = [*requests(30, model=MODEL), *plain]
        generate(wanted, {"default": live}, record=single.extend)
        report = generate(
            wanted, {"default": endpoint(model.base_url, **prices)}, record=batched.extend, state=tmp_path
        )
    assert (report.succeeded, report.failed, report.tries) == (40, 0, 40)
    kept = [key for key in single[0] if key not in {"latency_ms", "created_at", "cost_usd"}]
    assert sorted(str([row[key] for key in kept]) for row in single) == sorted(
        str([row[key] for key in kept]) for row in batched
    )
    # Each token costs half of its price: the sums differ by the factor 0.5, to the ninth decimal.
    assert report.cost_usd == sum(row["cost_usd"] for row in single) / 2 > 0
    assert list((tmp_path / "default").iterdir()) == []


def test_partial_failures_and_expiry_are_error_rows_beside_the_answers(tmp_path: Path) -> None:
    rows: list[Row] = []
    with MockModel(faults=Faults(server_errors=0.2, expired=0.3, times=99)) as model:
        report = generate(
            requests(200, model=MODEL),
            {"default": endpoint(model.base_url)},
            record=rows.extend,
            limits=ALL,
            state=tmp_path,
        )
    assert len(rows) == 200 == report.succeeded + report.failed
    assert Counter(row["request_id"] for row in rows).most_common(1)[0][1] == 1
    # 20 % fail and 30 % expire; four standard deviations of 200 draws are 0.11 and 0.13.
    errors = Counter(row["error"] for row in rows if row["status"] == "error")
    assert set(errors) == {"HTTP 500 (server_error)", "no answer (batch_expired)"}
    assert 0.09 < errors["HTTP 500 (server_error)"] / 200 < 0.31
    assert all(row["response"] for row in rows if row["status"] == "ok")


WORKER = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from call_server import requests
from lakehouse.generate.calls.client import generate
from lakehouse.generate.calls.endpoint import Endpoint
rows = open({rows!r}, "a")
def record(found):
    rows.writelines(row["request_id"] + " " + row["status"] + "\\n" for row in found)
    rows.flush()
endpoint = Endpoint(({url!r},), {model!r}, batch=True)
generate(requests(100, model={model!r}), {{"default": endpoint}}, record=record, state=Path({state!r}))
"""


def test_a_killed_run_waits_for_the_batch_that_it_sent(tmp_path: Path) -> None:
    rows, state = tmp_path / "rows.txt", tmp_path / "state"
    with MockModel(batch_seconds=0.6) as model:
        script = WORKER.format(
            tests=str(Path(__file__).parent), rows=str(rows), url=model.base_url, model=MODEL, state=str(state)
        )
        process = subprocess.Popen([sys.executable, "-c", script])
        while not list(state.glob("default/*/batch.json")):
            assert process.poll() is None
            time.sleep(0.005)
        process.kill()
        process.wait()
        assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
        assert model.calls == 100  # lines that the server worked off: none twice
    recorded = Counter(rows.read_text().split("\n")[:-1])
    assert len(recorded) == 100
    assert set(recorded.values()) == {1}
    assert list((state / "default").iterdir()) == []


def output_line(place: int, **said: Any) -> bytes:
    if said:
        return json.dumps({"custom_id": f"plain/rewrite/{place:032x}", **said}).encode() + b"\n"
    choice = {"message": {"content": f"answer {place}"}, "finish_reason": "stop"}
    body = {"choices": [choice], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}
    return output_line(place, response={"status_code": 200, "body": body})


class BatchApi:
    """A Batch API of one batch; `loses` names answers that are lost once."""

    def __init__(self, output: bytes, loses: set[str]) -> None:
        self.output, self.loses = output, loses
        self.created: list[dict[str, Any]] = []
        self.done: Counter[str] = Counter()

    async def __call__(self, asked: Asked) -> web.StreamResponse:
        method, path = asked.request.method, asked.path
        if method == "POST" and path == "/v1/batches":
            self.created.append({"id": f"batch_{len(self.created)}", "metadata": asked.body["metadata"]})
            return await self.lost(asked, "create") or web.json_response({**self.created[-1], "status": "validating"})
        if path == "/v1/files":
            return await self.lost(asked, "upload") or web.json_response({"id": "file-in"})
        if path == "/v1/batches" and "list" in self.loses:
            return web.json_response({"error": {"message": "not now"}}, status=403)
        if path == "/v1/batches":
            page = [{"id": "batch_other", "status": "completed", "metadata": None}]
            page = (
                page
                if "after" not in asked.request.query
                else [{**one, "status": "validating"} for one in self.created]
            )
            return web.json_response({"data": page, "has_more": "after" not in asked.request.query})
        if path.startswith("/v1/batches/"):
            body = {**self.created[0], "status": "completed", "output_file_id": "file-out"}
            return await self.lost(asked, "poll") or web.json_response(body)
        assert path == "/v1/files/file-out/content"
        return await self.lost(asked, "download") or web.Response(body=self.output)

    async def lost(self, asked: Asked, what: str) -> web.StreamResponse | None:
        self.done[what] += 1
        return await cut(asked, self.output) if what in self.loses and self.done[what] == 1 else None


def test_an_answer_of_the_server_that_is_lost_costs_nothing(tmp_path: Path) -> None:
    api = BatchApi(b"".join(map(output_line, range(50))), {"upload", "create", "poll", "download"})
    rows: list[Row] = []
    with serving(api) as server:
        report = generate(requests(50), {"default": endpoint(server.base_url)}, record=rows.extend, state=tmp_path)
    assert len(api.created) == 1  # found in the list, on its second page, by its mark
    assert api.done == {"upload": 2, "create": 1, "poll": 2, "download": 2}
    assert report.succeeded == 50 == len(rows)
    assert {row["response"] for row in rows} == {f"answer {place}" for place in range(50)}


def test_a_run_that_ended_before_it_knew_the_batch_finds_it_by_its_mark(tmp_path: Path) -> None:
    api = BatchApi(b"".join(map(output_line, range(5))), {"create", "list"})
    rows: list[Row] = []
    with serving(api) as server:
        address = {"default": endpoint(server.base_url)}
        with pytest.raises(GenerationError, match="the batch could not be started: HTTP 403"):
            generate(requests(5), address, record=rows.extend, state=tmp_path)
        assert (rows, len(api.created)) == ([], 1)
        api.loses = set()
        report = generate(requests(7), address, record=rows.extend, limits=ALL, state=tmp_path)
    # The five of the first run end with its batch; only the other two are in a second, for which there is no answer.
    assert len(api.created) == 2
    assert (report.succeeded, report.failed, len(rows)) == (5, 2, 7)


def test_lines_that_answer_nothing_are_no_rows_and_what_has_no_line_is_an_error(tmp_path: Path) -> None:
    strange = [
        b"not json\n",
        b"[" * 200_000 + b"\n",
        b'{"custom_id": 7}\n',
        b'{"custom_id": "plain/rewrite/of-another-batch", "response": {"status_code": 200, "body": {}}}\n',
        output_line(0),
        output_line(0),  # a second answer to the same request
        json.dumps({"custom_id": f"plain/rewrite/{1:032x}", "response": {"status_code": 200, "body": []}}).encode()
        + b"\n",
        json.dumps({"custom_id": f"plain/rewrite/{2:032x}", "error": {"code": "what is this? a sentence"}}).encode(),
    ]
    rows: list[Row] = []
    with serving(BatchApi(b"".join(strange), set())) as server:
        generate(requests(4), {"default": endpoint(server.base_url)}, record=rows.extend, limits=ALL, state=tmp_path)
    found = {int(row["request_id"], 16): (row["status"], row["response"], row["error"]) for row in rows}
    assert len(rows) == 4
    assert found == {
        0: ("ok", "answer 0", None),
        1: ("error", None, "the answer is no chat completion"),
        2: ("error", None, "no answer"),
        3: ("error", None, "the batch is completed without an answer"),
    }


def test_requests_fill_files_up_to_the_limits_of_the_server(tmp_path: Path) -> None:
    async def one_line_each(number: int, outcomes: Outcomes) -> None:
        async with Batches("default", endpoint("http://127.0.0.1:1/v1"), outcomes, tmp_path, most_requests=3) as line:
            for place, one in enumerate(requests(number)):
                assert line.offer(place, one)
            line.flush(send=True)
            files = (tmp_path / "default").glob("*/requests.jsonl")
            sizes.extend(len(file.read_bytes().splitlines()) for file in files)

    sizes: list[int] = []
    asyncio.run(_with_outcomes(one_line_each, 8))
    assert sorted(sizes) == [2, 3, 3]


async def _with_outcomes(action: Any, number: int) -> None:
    await action(number, Outcomes())


def test_a_refused_batch_says_so_and_its_folder_stays(tmp_path: Path) -> None:
    async def refuse(asked: Asked) -> web.StreamResponse:
        return web.json_response({"error": {"message": "no batches here"}}, status=404)

    with serving(refuse) as server, pytest.raises(GenerationError, match=r"could not be uploaded: HTTP 404: no batch"):
        generate(requests(2), {"default": endpoint(server.base_url)}, record=print, state=tmp_path)
    (folder,) = (tmp_path / "default").iterdir()
    assert {file.name for file in folder.iterdir()} == {"batch.json", "calls.jsonl", "requests.jsonl"}


def test_what_is_not_sent_when_the_run_fails_is_never_sent(tmp_path: Path) -> None:
    def broken() -> Iterator[Request]:
        yield from requests(10)
        raise GenerationError("document d10 has no text.")

    with serving(BatchApi(b"", set())) as server, pytest.raises(GenerationError, match="d10 has no text"):
        generate(broken(), {"default": endpoint(server.base_url)}, record=print, state=tmp_path)
    assert server.asked == []
    assert list((tmp_path / "default").iterdir()) == []


def test_a_batch_needs_a_folder_for_its_state_and_a_plain_endpoint() -> None:
    with pytest.raises(GenerationError, match="say in which folder"):
        generate(requests(1), {"default": endpoint("http://127.0.0.1:1/v1")}, record=print)
    with pytest.raises(GenerationError, match="one address and one process"):
        endpoint("http://127.0.0.1:1/v1", processes=2)


def test_a_damaged_state_is_one_line_that_names_the_file(tmp_path: Path) -> None:
    folder = tmp_path / "default" / "0123"
    folder.mkdir(parents=True)
    (folder / "batch.json").write_text("{")
    with pytest.raises(GenerationError, match=r"0123/batch\.json is damaged"):
        generate([], {"default": endpoint("http://127.0.0.1:1/v1")}, record=print, state=tmp_path)


def test_the_key_is_in_no_file_log_or_row_of_a_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("LAKEHOUSE_API_KEY", KEY)
    caplog.set_level(logging.DEBUG)
    rows: list[Row] = []
    seen: list[bytes] = []

    def record(found: list[Row]) -> None:
        rows.extend(found)
        seen.extend(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())

    with MockModel(key=KEY) as model:
        generate(requests(3, model=MODEL), {"default": endpoint(model.base_url)}, record=record, state=tmp_path)
    assert [row["status"] for row in rows] == ["ok"] * 3
    assert len(seen) >= 3
    assert all(KEY[:12].encode() not in content for content in seen)
    assert KEY[:12] not in caplog.text + str(rows)
    assert "Passage" not in caplog.text
