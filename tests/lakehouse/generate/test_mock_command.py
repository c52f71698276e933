"""`lakehouse mock-llm`: what it prints, what it serves, and settings that make no sense."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from lakehouse.cli import serve
from lakehouse.generate.errors import GenerationError

app = typer.Typer(pretty_exceptions_enable=False)
serve.add_to(app)

# A test run in the background ignores Ctrl-C, and so do the processes that it starts.
HEEDS_CTRL_C = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"


def get(port: int, path: str) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path)
    told = json.loads(connection.getresponse().read())
    connection.close()
    return told


def test_it_prints_what_to_export_and_serves_until_it_is_interrupted(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--port", str(port), "--model", "cheap", "--model", "strong", "--fault", "unavailable=1", "--seed", "3"]
    process = subprocess.Popen(
        [sys.executable, "-c", f"{HEEDS_CTRL_C}; from lakehouse.cli import main; main()", "mock-llm", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "COLUMNS": "40"},
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line == f"export LAKEHOUSE_MODEL_URL=http://127.0.0.1:{port}/v1 LAKEHOUSE_MODEL=cheap\n"
        assert [entry["id"] for entry in get(port, "/v1/models")["data"]] == ["cheap", "strong"]
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        body = json.dumps({"model": "strong", "messages": [{"role": "user", "content": "x"}]})
        statuses = []
        for _ in range(2):
            connection.request("POST", "/v1/chat/completions", body)
            answer = connection.getresponse()
            answer.read()
            statuses.append(answer.status)
        assert statuses == [503, 200]
        assert get(port, "/mock/counters")["statuses"] == {"200": 1, "503": 1}
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=10) == 128 + signal.SIGINT
        assert "Traceback" not in process.communicate()[1]
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--fault", "timeouts"], "'timeouts' is no KIND=SHARE"),
        (["--fault", "timeouts=often"], "'timeouts=often' is no KIND=SHARE"),
        (["--fault", "timeout=0.1"], "there is no kind 'timeout'. There are: rate_limited"),
        (["--faults", "0.5", "--fault", "empty=0.9"], "the shares add up to"),
        (["--faults", "1.5"], "1.5"),
        (["--delay", "-1"], "-1"),
        (["--requests-per-second", "0"], "requests_per_second is 0.0: give a number above 0"),
    ],
)
def test_settings_that_make_no_sense_are_told_before_it_serves(options: list[str], says: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    done = CliRunner().invoke(app, ["mock-llm", "--port", str(port), *options], env={"COLUMNS": "200"})
    assert done.exit_code in (1, 2)
    told = str(done.exception) if isinstance(done.exception, GenerationError) else done.output
    assert says in told
