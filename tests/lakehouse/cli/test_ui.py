"""`lakehouse ui` for real: the servers that it starts, what they show, and a run that is launched from there."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from archives import REPOSITORY, small_web, write_archive
from lakes import build

from lakehouse.lake import Lake

LAYERS = {
    "raw",
    "annotations",
    "filtered",
    "rejects",
    "generations",
    "synthetic",
    "judgements",
    "diversity",
    "tokenizers",
    "tokens",
    "mixtures",
    "shards",
    "stats",
    "files",
}
CODE = {"repositoryLocationName": "lakehouse", "repositoryName": "__repository__"}


@dataclass(frozen=True)
class Server:
    """A `lakehouse ui` that answers."""

    process: psutil.Process
    port: int
    log: Path

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        """The data that a GraphQL query asks for."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        address = f"http://127.0.0.1:{self.port}/graphql"
        request = urllib.request.Request(address, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as response:
            answer = json.load(response)
        assert "errors" not in answer, answer
        return dict(answer["data"])

    def processes(self) -> list[psutil.Process]:
        """The server and every process that it started."""
        return [self.process, *self.process.children(recursive=True)]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(root: Path, *, stop_with: signal.Signals) -> Iterator[Server]:
    """Run `lakehouse ui`; when the block ends, send it one signal and see every process of it end."""
    environment = {**os.environ, "LAKEHOUSE_ROOT": str(root), "PYTHONPATH": str(REPOSITORY), "LAKEHOUSE_WORKERS": "1"}
    port, log = free_port(), root.parent / "ui.log"
    command = [sys.executable, "-m", "lakehouse", "ui", "--port", str(port)]
    with log.open("wb") as output:
        started = subprocess.Popen(
            command, env=environment, cwd=root.parent, stdout=output, stderr=output, start_new_session=True
        )
    server = Server(psutil.Process(started.pid), port, log)
    try:
        _await_answer(server)
        yield server
        processes = server.processes()
        assert len(processes) >= 4, "webserver, daemon, code server and who started them"
        started.send_signal(stop_with)
        started.wait(timeout=30)
        _, alive = psutil.wait_procs(processes, timeout=10)
        assert not alive, f"these outlive `lakehouse ui`: {alive}"
    finally:
        _end_session(started.pid)


def _await_answer(server: Server) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert server.process.is_running(), server.log.read_text()
        try:
            if server.ask("{ assetNodes { id } }")["assetNodes"]:
                return
        except OSError:
            pass
        time.sleep(0.2)
    raise AssertionError(f"no answer: {server.log.read_text()}")


def _end_session(session: int) -> None:
    """Kill what is left of a session that we started."""
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == session:
                process.kill()
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    root = tmp_path_factory.mktemp("served") / "the lake"
    write_archive(root / "landing/web/s1/a.warc.gz", small_web())
    build(root, "+shards/main")
    return Lake(root)


@pytest.fixture(scope="module")
def server(lake: Lake) -> Iterator[Server]:
    with serving(lake.root, stop_with=signal.SIGTERM) as server:
        yield server


def test_it_shows_every_asset_in_the_group_of_its_layer(server: Server, lake: Lake) -> None:
    nodes = server.ask("{ assetNodes { assetKey { path } groupName isMaterializable } }")["assetNodes"]
    assert {node["groupName"] for node in nodes} == LAYERS
    assert all(node["assetKey"]["path"][0] == node["groupName"] and node["isMaterializable"] for node in nodes)
    assert {"/".join(node["assetKey"]["path"]) for node in nodes} >= set(lake.tables())


def test_it_shows_what_the_command_line_built(server: Server, lake: Lake) -> None:
    query = """
        query ($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode {
            assetMaterializations(limit: 1) {
                tags { key value } metadataEntries { label ... on IntMetadataEntry { intValue } }
            }
            assetChecksOrError { ... on AssetChecks { checks {
                name executionForLatestMaterialization { status }
            } } }
        } } }
    """
    node = server.ask(query, key={"path": ["shards", "main"]})["assetNodeOrError"]
    (materialization,) = node["assetMaterializations"]
    commit = lake.last_commit("shards/main")
    assert commit is not None
    facts = {entry["label"]: entry.get("intValue") for entry in materialization["metadataEntries"]}
    assert facts["dagster/row_count"] == commit.rows > 0
    tags = {tag["key"]: tag["value"] for tag in materialization["tags"]}
    assert tags["dagster/data_version"] == commit.data_version
    checks = {
        check["name"]: check["executionForLatestMaterialization"] for check in node["assetChecksOrError"]["checks"]
    }
    assert checks == {name: {"status": "SUCCEEDED"} for name in ("tokens_add_up", "files_intact")}


def test_it_shows_which_columns_a_column_is_made_from(server: Server) -> None:
    query = """
        query ($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode {
            assetMaterializations(limit: 1) { metadataEntries { label
                ... on TableColumnLineageMetadataEntry {
                    lineage { columnName columnDeps { assetKey { path } columnName } }
                }
            } }
        } } }
    """
    node = server.ask(query, key={"path": ["filtered", "web_clean"]})["assetNodeOrError"]
    entries = {entry["label"]: entry for entry in node["assetMaterializations"][0]["metadataEntries"]}
    lineage = {column["columnName"]: column["columnDeps"] for column in entries["dagster/column_lineage"]["lineage"]}
    assert lineage["text"] == [{"assetKey": {"path": ["raw", "web"]}, "columnName": "text"}]


def test_what_starts_runs_by_itself_is_there_and_off(server: Server) -> None:
    query = """{ repositoriesOrError { ... on RepositoryConnection { nodes {
        schedules { name scheduleState { status } } sensors { name sensorState { status } }
    } } } }"""
    (found,) = server.ask(query)["repositoriesOrError"]["nodes"]
    assert found["schedules"] == [{"name": "nightly", "scheduleState": {"status": "STOPPED"}}]
    assert {sensor["name"]: sensor["sensorState"]["status"] for sensor in found["sensors"]} == {
        "landing_folder": "STOPPED",
        "out_of_date": "STOPPED",
        "failed_runs": "RUNNING",
    }


def test_it_listens_on_the_loopback_interface_only(server: Server) -> None:
    ports = [
        (connection.laddr.ip, connection.laddr.port)
        for process in server.processes()
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert ports == [("127.0.0.1", server.port)]


def test_its_log_says_where_it_is_and_nothing_else_of_note(server: Server, lake: Lake) -> None:
    log = server.log.read_text()
    assert f"Dagster UI of {lake.root}: http://127.0.0.1:{server.port}" in log
    for word in ("Traceback", "superseded", "ERROR"):
        assert word not in log, log


def test_a_run_that_is_launched_there_writes_the_next_version(server: Server, lake: Lake) -> None:
    before = lake.last_commit("filtered/web_clean", "s1")
    assert before is not None
    launch = """
        mutation ($run: ExecutionParams!) { launchPipelineExecution(executionParams: $run) {
            __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message }
        } }
    """
    keys = [{"path": ["filtered", "web_clean"]}, {"path": ["rejects", "web_clean"]}]
    selector = {**CODE, "pipelineName": "refresh", "assetSelection": keys, "assetCheckSelection": None}
    metadata = {"tags": [{"key": "dagster/partition", "value": "s1"}]}
    launched = server.ask(launch, run={"selector": selector, "mode": "default", "executionMetadata": metadata})
    assert launched["launchPipelineExecution"]["__typename"] == "LaunchRunSuccess", launched
    run_id = launched["launchPipelineExecution"]["run"]["runId"]

    assert _outcome(server, run_id) == "SUCCESS"
    after = lake.last_commit("filtered/web_clean", "s1")
    assert after is not None
    assert after.run_id == run_id
    assert (after.rows, after.version) == (before.rows, before.version + 1)


def _outcome(server: Server, run_id: str) -> str:
    query = "query ($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"
    deadline = time.monotonic() + 90
    status = ""
    while status not in ("SUCCESS", "FAILURE", "CANCELED") and time.monotonic() < deadline:
        time.sleep(0.3)
        status = server.ask(query, id=run_id)["runOrError"]["status"]
    return status


def test_the_asset_graph_can_be_seen_in_a_browser(server: Server, tmp_path: Path) -> None:
    names = ("chromium", "chromium-browser", "google-chrome")
    browser = next((found for found in map(shutil.which, names) if found), None)
    if browser is None:
        pytest.skip("no chromium")
    groups = urllib.parse.quote(",".join(f"global@global:{layer}" for layer in sorted(LAYERS)))
    picture = tmp_path / "graph.png"
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    command = [browser, *flags.split(), "--disable-component-update", "--disable-sync", "--hide-scrollbars"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1600,900", "--virtual-time-budget=15000"]
    address = f"http://127.0.0.1:{server.port}/asset-groups?view=graph&expanded={groups}"
    shown = subprocess.run(
        [*command, f"--screenshot={picture}", "--dump-dom", address], capture_output=True, timeout=60, check=True
    )

    # These names are nowhere else on the page: the list beside the graph shows only the groups.
    for name in (b"gopher_quality", b"rewrite_clearly", b"shard_fill"):
        assert name in shown.stdout
    image = picture.read_bytes()
    assert image.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">II", image[16:24]) == (1600, 900)  # width and height in the IHDR chunk


def test_control_c_ends_everything(lake: Lake) -> None:
    with serving(lake.root, stop_with=signal.SIGINT) as server:
        processes = server.processes()
    assert not any(process.is_running() for process in processes)
