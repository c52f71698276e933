"""A build in which something fails: the rest goes on, it is tried again, and what still fails is said and sent."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import dagster as dg
import pytest
from archives import REPOSITORY, article_page, small_web, write_archive
from lakes import build, environment, rows
from webhooks import receiver

from assets.failed_runs import failures_of
from lakehouse.cli.failures import IncompleteBuildError
from lakehouse.cli.instance import open_instance
from lakehouse.lake import Lake, LakeError
from resources.notify import Failure, message, send

SHARDS = "+shards/main"
# A file that opens and cannot be read, as on a broken disk; root may read any other.
UNREADABLE = Path("/proc/self/mem")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """A lake of two snapshots that are not built yet; the first has a file that cannot be read."""
    if not UNREADABLE.exists():
        pytest.skip(f"{UNREADABLE} is Linux")
    lake = Lake(tmp_path / "the lake")
    write_archive(lake.landing / "web/s1/a.warc.gz", small_web(0))
    write_archive(lake.landing / "web/s2/b.warc.gz", small_web(100))
    (lake.landing / "web/s1/broken.warc.gz").symlink_to(UNREADABLE)
    return lake


def repair(lake: Lake) -> None:
    """Put the file there that was meant to be there, at once."""
    file = lake.landing / "web/s1/broken.warc.gz"
    whole = lake.root / "whole"
    write_archive(whole, [article_page(50)])
    os.replace(whole, file)


def test_the_other_snapshots_go_on_and_what_failed_is_reported(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(IncompleteBuildError) as error:
        build(lake.root, SHARDS)

    (failure,) = error.value.failures
    assert (failure.table, failure.snapshot) == ("raw/web", "s1")
    assert failure.tables == ("raw/web", "rejects/web", "files/web")
    assert "web/s1/broken.warc.gz" in failure.cause
    (line,) = error.value.lines
    assert line.startswith("raw/web s1: Reading raw/web s1: web/s1/broken.warc.gz: OSError")
    assert "lakehouse build raw/web --snapshot s1" in line

    # Of each small_web 12 articles are kept, not the copy and the thin page; the mixture and the shards are of s2's.
    assert rows(lake, "SELECT snapshot, count(*) FROM filtered.web_clean GROUP BY 1") == [("s2", 12)]
    assert rows(lake, "SELECT count(*) FROM mixtures.main") == [(12,)]
    assert rows(lake, "SELECT sum(len(documents)) >= 12 FROM shards.main") == [(True,)]
    said = capsys.readouterr().out
    assert said.count("✗ raw/web s1") == 2
    assert "Built 15 tables in" in said
    assert "filtered/web_clean s1" in said.split("Left out, as they follow from what failed: ")[1]

    repair(lake)
    assert build(lake.root, SHARDS).runs > 0
    assert rows(lake, "SELECT snapshot, count(*) FROM filtered.web_clean GROUP BY 1 ORDER BY 1") == [
        ("s1", 13),
        ("s2", 12),
    ]
    assert rows(lake, "SELECT count(*) FROM mixtures.main") == [(25,)]
    assert build(lake.root, SHARDS).runs == 0


def test_a_cause_that_passes_is_gone_when_it_is_tried_again(lake: Lake) -> None:
    def repair_while_the_rest_is_built() -> None:
        while not lake.exists("mixtures/main"):
            time.sleep(0.002)
        repair(lake)

    repairing = threading.Thread(target=repair_while_the_rest_is_built)
    repairing.start()
    build(lake.root, SHARDS)
    repairing.join()
    assert rows(lake, "SELECT count(*) FROM mixtures.main") == [(25,)]
    assert build(lake.root, SHARDS).runs == 0


def test_nothing_is_made_of_what_is_missing_altogether(lake: Lake) -> None:
    (lake.landing / "web/s2/b.warc.gz").unlink()
    with pytest.raises(IncompleteBuildError) as error:
        build(lake.root)
    assert [failure.table for failure in error.value.failures] == ["raw/web"]
    assert lake.tables() == []


def test_what_is_broken_costs_nothing_of_the_rest_the_next_night(lake: Lake) -> None:
    for _ in range(2):
        with pytest.raises(IncompleteBuildError):
            build(lake.root, SHARDS)
    with environment(lake.root), open_instance(lake) as instance:
        (last, *_) = instance.get_runs()
        night = [run for run in instance.get_runs() if run.tags.get("dagster/partition") == "s2"]
        assert last.tags["dagster/partition"] == "s1"
        assert len(night) == 2, "s2 and its token ids, each once"


def test_the_command_ends_with_status_1_and_a_line_for_each_failure(lake: Lake) -> None:
    (lake.landing / "web/s3").mkdir()
    (lake.landing / "web/s3/broken.warc.gz").symlink_to(UNREADABLE)
    environment = {**os.environ, "LAKEHOUSE_ROOT": str(lake.root), "LAKEHOUSE_WORKERS": "1", "COLUMNS": "200"}
    with receiver() as received:
        done = subprocess.run(
            [sys.executable, "-m", "lakehouse", "build", "raw/web"],
            env=environment | {"LAKEHOUSE_WEBHOOK": received.address},
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 1
    lines = done.stderr.strip().splitlines()
    assert [line[:17] for line in lines] == ["Error: raw/web s1", "Error: raw/web s3"]
    assert "Traceback" not in done.stderr
    assert "✓ raw/web s2" in done.stdout
    (sent,) = received.messages
    assert [failure["snapshot"] for failure in sent["failures"]] == ["s1", "s3"]
    assert sent["lake"] == str(lake.root)


def test_an_audit_that_failed_would_fail_again_anything_else_may_pass() -> None:
    @dg.asset(key=["filtered", "audited"])
    def audited() -> None:
        raise dg.Failure("filtered/audited: check unique_ids failed.\nNothing was committed.", allow_retries=False)

    @dg.asset(key=["filtered", "broken"])
    def broken() -> None:
        try:
            raise KeyError("what lies beneath")
        except KeyError as error:
            raise LakeError("filtered/broken: the commit failed 12 times") from error

    definitions = dg.Definitions(assets=[audited, broken])
    result = definitions.resolve_implicit_global_asset_job_def().execute_in_process(raise_on_error=False)
    keys = [audited.key, broken.key]
    found = failures_of(result.all_events, definitions.resolve_asset_graph(), keys, None, result.run_id)
    assert {(failure.table, failure.retry, failure.cause) for failure in found} == {
        ("filtered/audited", False, "filtered/audited: check unique_ids failed. Nothing was committed."),
        ("filtered/broken", True, "filtered/broken: the commit failed 12 times"),
    }


def test_a_lake_whose_dagster_storage_is_gone_is_not_built_again(tmp_path: Path) -> None:
    write_archive(tmp_path / "landing/web/s1/a.warc.gz", small_web())
    build(tmp_path, "+filtered/web_clean")
    shutil.rmtree(tmp_path / ".dagster")
    assert build(tmp_path, "+filtered/web_clean").runs == 0
    write_archive(tmp_path / "landing/web/s1/b.warc.gz", small_web(100))
    assert build(tmp_path, "+filtered/web_clean").runs == 1


# --- the message and the webhook


FAILURE = Failure(
    table="raw/web",
    tables=("raw/web", "rejects/web"),
    snapshot="2026-01",
    cause="web/2026-01/<!channel>.warc.gz cannot be read",
    run_id="0d0e",
)


def test_a_message_says_what_why_and_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAKEHOUSE_UI", "http://127.0.0.1:3000/")
    assert message([FAILURE], "/srv/lake") == {
        "text": "Lakehouse /srv/lake: 1 failure\n"
        # What a chat would read as a call to everybody is shown as it is written.
        "• raw/web 2026-01: web/2026-01/&lt;!channel&gt;.warc.gz cannot be read. "
        "To try it again: lakehouse build raw/web --snapshot 2026-01 (http://127.0.0.1:3000/runs/0d0e)",
        "lake": "/srv/lake",
        "failures": [
            {
                "table": "raw/web",
                "tables": ["raw/web", "rejects/web"],
                "snapshot": "2026-01",
                "cause": "web/2026-01/<!channel>.warc.gz cannot be read",
                "command": "lakehouse build raw/web --snapshot 2026-01",
                "run_id": "0d0e",
                "run": "http://127.0.0.1:3000/runs/0d0e",
            }
        ],
    }


def test_a_webhook_is_sent_the_message_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiver() as received:
        monkeypatch.setenv("LAKEHOUSE_WEBHOOK", received.address)
        assert send([FAILURE], "/srv/lake") is None
    assert received.messages == [message([FAILURE], "/srv/lake")]


def test_without_a_webhook_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAKEHOUSE_WEBHOOK", raising=False)
    assert send([FAILURE], "/srv/lake") is None


@pytest.mark.parametrize(("status", "said"), [(500, "it answered 500"), (302, "it answered 302"), (404, "404")])
def test_a_webhook_that_refuses_is_one_line_without_its_address(
    monkeypatch: pytest.MonkeyPatch, status: int, said: str
) -> None:
    with receiver(status) as received:
        monkeypatch.setenv("LAKEHOUSE_WEBHOOK", received.address)
        problem = send([FAILURE], "/srv/lake")
    assert problem
    assert said in problem
    assert "SECRET" not in problem
    assert len(received.messages) == 1, "a redirect is not followed"


def test_a_webhook_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resources.notify._TIMEOUT_SECONDS", 0.3)
    with receiver(seconds=1) as received:
        monkeypatch.setenv("LAKEHOUSE_WEBHOOK", received.address)
        started = time.monotonic()
        problem = send([FAILURE], "/srv/lake")
        assert time.monotonic() - started < 0.9
    assert problem == "The webhook that LAKEHOUSE_WEBHOOK names did not take the message: TimeoutError."


def test_a_webhook_that_is_not_there_or_no_address_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    for address, said in [
        (f"http://127.0.0.1:{port}/SECRET", "ConnectionRefusedError"),
        (f"https://127.0.0.1:{port}/SECRET", "ConnectionRefusedError"),
        ("file:///etc/SECRET", "it is no http:// or https:// address"),
        ("SECRET", "it is no http:// or https:// address"),
        ("http://[SECRET", "ValueError"),
        ("http://127.0.0.1/SEC RET", "InvalidURL"),
    ]:
        monkeypatch.setenv("LAKEHOUSE_WEBHOOK", address)
        problem = send([FAILURE], "/srv/lake")
        assert problem == f"The webhook that LAKEHOUSE_WEBHOOK names did not take the message: {said}."
    with receiver() as received:  # one that speaks no TLS
        monkeypatch.setenv("LAKEHOUSE_WEBHOOK", received.address.replace("http:", "https:"))
        problem = send([FAILURE], "/srv/lake")
        assert problem
        assert "SSLError" in problem
