"""The engine against a server that nobody here wrote: llama.cpp, with a model that talks gibberish.

It proves that requests are understood and answers are read, not what rewrites are worth.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from archives import REPOSITORY
from call_server import unused_port
from engine_at_work import TABLE, Engine

from lakehouse.generate.calls.client import check_endpoint
from lakehouse.generate.calls.endpoint import Endpoint
from lakehouse.generate.errors import GenerationError
from lakehouse.generate.mock.server import MODEL
from lakehouse.generate.recipe import Recipe

VARIABLE = "LAKEHOUSE_LLAMA_SERVER"
STARTS_WITHIN = 60.0  # seconds
KINDS = ("news", "story", "manual")
SCHEMA = {
    "type": "object",
    "properties": {"kind": {"enum": list(KINDS)}, "recent": {"type": "boolean"}},
    "required": ["kind", "recent"],
}

pytestmark = pytest.mark.skipif(
    VARIABLE not in os.environ,
    reason=f"set {VARIABLE} to a Python with llama-cpp-python[server] 0.3.36 (building takes some 10 minutes) and gguf",
)


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a running server; its model bears the name of the mock's."""
    folder, port = tmp_path_factory.mktemp("llama"), unused_port()
    python, model = os.environ[VARIABLE], folder / "tiny.gguf"
    subprocess.run([python, str(REPOSITORY / "tests" / "tiny_model.py"), str(model)], check=True)
    options = {"model": model, "model_alias": MODEL, "host": "127.0.0.1", "port": port, "n_ctx": 2048, "verbose": False}
    given = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    with (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen([python, "-m", "llama_cpp.server", *given], stdout=log, stderr=log)
        try:
            _wait(f"http://127.0.0.1:{port}/v1", process, folder / "log.txt")
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.terminate()
            process.wait()


def _wait(base_url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + STARTS_WITHIN
    while time.monotonic() < until and process.poll() is None:
        try:
            urllib.request.urlopen(f"{base_url}/models", timeout=5).close()
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
        else:
            return
    pytest.fail(f"the server did not start: {log.read_text('utf-8', 'replace')[-2000:]}")


def recipe(name: str, sampling: dict[str, Any], **step: Any) -> Recipe:
    content = {
        "name": name,
        "purpose": "To ask a real server.",
        "paper": "None.",
        "units": {"document": {"max_tokens": 400}},
        "sampling": {"temperature": 0.0, "top_p": 1.0, "max_tokens": 32} | sampling,
        "steps": [{"name": "say", "user": "Read this.\n<text>\n{{ text }}\n</text>"} | step],
        "gates": {"refusal": False, "preface": False, "language": False},
    }
    return Recipe.model_validate(content)


def calls(engine: Engine, base_url: str) -> pl.DataFrame:
    """The journal after a run."""
    engine.run(base_url, max_in_flight=2, timeout=60.0)
    return engine.lake.scan(TABLE).collect()


def test_a_real_server_has_the_model_or_is_refused(llama: str) -> None:
    check_endpoint(Endpoint((llama,), MODEL))
    with pytest.raises(GenerationError, match="has no model 'gpt'"):
        check_endpoint(Endpoint((llama,), "gpt"))


def test_a_real_server_answers_and_its_tokens_are_counted(tmp_path: Path, llama: str) -> None:
    rows = calls(Engine(tmp_path, recipe("chat", {}), 5), llama)
    assert rows["status"].to_list() == ["ok"] * 5
    assert set(rows["finish_reason"]) <= {"stop", "length"}
    # The model has a token for each byte: a document has some 390.
    assert rows["prompt_tokens"].is_between(300, 600).all()
    assert rows["completion_tokens"].is_between(1, 32).all()
    assert rows["response"].str.len_bytes().is_between(1, 32).all()


def test_a_real_server_continues_prompts(tmp_path: Path, llama: str) -> None:
    rows = calls(Engine(tmp_path, recipe("plain", {}, user=None, completion="{{ text }}\n\nIn short:"), 3), llama)
    assert rows["status"].to_list() == ["ok"] * 3
    assert rows["completion_tokens"].is_between(1, 32).all()


def test_a_real_server_is_held_to_a_schema(tmp_path: Path, llama: str) -> None:
    held = {"max_tokens": 200, "further": {"response_format": {"type": "json_object", "schema": SCHEMA}}}
    engine = Engine(tmp_path, recipe("held", held, answer={"form": "json", "schema": SCHEMA}), 5)
    rows = calls(engine, llama)
    assert rows["finish_reason"].to_list() == ["stop"] * 5
    said = [json.loads(response) for response in rows["response"]]
    assert all(one["kind"] in KINDS and isinstance(one["recent"], bool) for one in said)
    documents, judgements = engine.outcome()
    assert judgements["accepted"].all()
    assert documents.height == 5
