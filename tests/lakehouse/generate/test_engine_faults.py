"""The engine against a server with faults: nothing is lost, repeated or changed, and no key gets out."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from aiohttp import web
from call_server import Asked, completion, serving
from engine import (
    BrokenPromiseError,
    check_error_budget,
    check_faults,
    hasty_retries,
    server_faults,
)
from engine_at_work import PLAIN, TABLE, Engine, chain
from recipes_of_tests import documents, recipe, step
from test_replay import prompt, run

from lakehouse.generate.calls.budget import Limits
from lakehouse.generate.errors import GenerationError
from lakehouse.generate.mock.server import MockModel
from lakehouse.generate.rewriting import Run

MARKER = "sk-marker-5f0c1d7e-never-to-be-seen"


def test_faults_of_all_kinds_lose_repeat_and_change_nothing(tmp_path: Path) -> None:
    found = check_faults(tmp_path, PLAIN, 400, rate=0.1, seed=1, timeout=2.0)
    # Every 50th document repeats an earlier one: 392 texts. Of 17 kinds of faults 5 are bad answers.
    assert found["requests"] == 392
    assert found["spoilt"] >= 5
    assert found["accepted"] > 320
    assert found["calls"] > 392 + 10


def test_faults_in_the_middle_of_several_steps_lose_repeat_and_change_nothing(tmp_path: Path) -> None:
    found = check_faults(tmp_path, chain(), 80, rate=0.1, seed=2, timeout=2.0)
    assert found["spoilt"] >= 5
    assert found["accepted"] > 40
    assert found["requests"] > 2 * 80


def test_a_step_that_answers_nothing_ends_the_unit() -> None:
    """Two empty answers agree with each other: a check of one by the other would pass."""
    again = step("check", "Again.\n<text>\n{{ text }}\n</text>")
    made = recipe(step("answer"), again, step("question", "{{ answer }}"))
    states, asked = run(made, documents("One.", "Two."), lambda request: "" if "One" in prompt(request) else "x")
    ends = [(state.failure.gate, state.failure.evidence) if state.failure else None for state in states]
    assert ends == [("empty", "answer"), None]
    assert [request.step for request in asked] == ["answer", "answer", "check", "question"]


def test_runs_that_the_error_budget_stops_are_resumed_to_the_same_end(tmp_path: Path) -> None:
    assert check_error_budget(tmp_path, 200, seed=1) >= 2


def test_the_checks_see_an_answer_that_was_lost(tmp_path: Path) -> None:
    """With a journal that forgets a row the engine calls again: the check above must not pass then."""

    class Forgetful(Engine):
        def run(self, base_url: str, *given: Any, **settings: Any) -> Run:
            run = super().run(base_url, *given, **settings)
            for file in self.lake.files(TABLE):
                rows = pl.read_parquet(file)
                rows.head(rows.height - 1).write_parquet(file)
            return run

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("engine.Engine", Forgetful)
        with pytest.raises(BrokenPromiseError):
            check_faults(tmp_path, PLAIN, 20, rate=0.0, seed=1, timeout=2.0)


def _bytes_of(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_the_key_is_in_no_file_table_log_error_or_repr(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("LAKEHOUSE_API_KEY", MARKER)
    caplog.set_level(logging.DEBUG)
    engine = Engine(tmp_path, PLAIN, 60)
    with MockModel(faults=server_faults(0.5, 1, timeouts=0.0), key=MARKER) as model, hasty_retries():
        run = engine.run(model.base_url)
    assert run.report.succeeded == 59  # the key was the right one
    shown = [caplog.text, repr(run), repr(engine), repr(engine.rewriting())]
    table = engine.lake.scan(TABLE).collect()
    shown += map(str, table.iter_rows())
    shown += [str(commit) for commit in engine.lake.history(TABLE)]
    assert not [text for text in shown if MARKER in text]
    assert MARKER.encode() not in _bytes_of(tmp_path)


def test_a_server_that_repeats_the_key_puts_it_into_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("LAKEHOUSE_API_KEY", MARKER)
    caplog.set_level(logging.DEBUG)

    async def indiscreet(asked: Asked) -> web.StreamResponse:
        if asked.number % 2:
            return completion()
        said = {"error": {"message": f"cannot serve {asked.headers['authorization']}"}}
        return web.json_response(said, status=400)

    engine = Engine(tmp_path, PLAIN, 60)
    with serving(indiscreet) as server, pytest.raises(GenerationError) as stopped:
        engine.run(server.base_url, Limits(error_budget=0.05))
    errors = engine.lake.scan(TABLE).filter(pl.col("status") == "error").collect()["error"].to_list()
    assert errors
    assert all(re.match("HTTP 400", error) for error in errors)
    assert MARKER not in "\n".join([caplog.text, str(stopped.value), repr(stopped.value), *errors])
    assert MARKER.encode() not in _bytes_of(tmp_path)
