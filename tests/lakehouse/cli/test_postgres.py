"""Dagster's storage in Postgres, with a real server: one setting moves it there, and SQLite is not written any more."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from archives import REPOSITORY, small_web, write_archive
from lakes import build, environment

from lakehouse.cli.instance import open_instance
from lakehouse.lake import Lake, LakeError

pytest.importorskip("dagster_postgres")
PASSWORD = "not-to-be-seen"
SETTINGS = ".dagster/dagster.yaml"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A Postgres server on loopback; its address up to the name of the database."""
    found = {name: shutil.which(name) for name in ("initdb", "postgres")}
    if not all(found.values()):
        pytest.skip("Postgres is not installed")
    # It refuses to run as root.
    user = "nobody" if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="postgres-") as folder:
        data, secret = Path(folder, "data"), Path(folder, "password")
        secret.write_text(PASSWORD)
        if user:
            for path in (Path(folder), secret):
                shutil.chown(path, user)
        authentication = ["--auth=scram-sha-256", f"--pwfile={secret}", "--username=lake", "--no-sync"]
        subprocess.run(
            [str(found["initdb"]), "-D", str(data), *authentication],
            user=user, cwd=folder, check=True, capture_output=True, timeout=60,
        )  # fmt: skip
        port = free_port()
        settings = ["-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={folder}", "-c", "fsync=off"]
        with Path(folder, "log").open("wb") as log:
            process = subprocess.Popen(
                [str(found["postgres"]), "-D", str(data), "-p", str(port), *settings],
                user=user, cwd=folder, stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip
            try:
                address = f"postgresql://lake:{PASSWORD}@127.0.0.1:{port}"
                wait_until(lambda: answers(port), 30)
                yield address
            finally:
                process.send_signal(signal.SIGINT)  # ends the connections, too
                process.wait(timeout=30)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_until(condition: object, seconds: float) -> None:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def database(server: str) -> str:
    """The address of a new database."""
    import sqlalchemy

    name = f"lake_{time.monotonic_ns()}"
    engine = sqlalchemy.create_engine(f"{server}/postgres", isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return f"{server}/{name}"


def sqlite_files(root: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (root / ".dagster").rglob("*.db*")}


def refusal(root: Path, **variables: str) -> str:
    """What `lakehouse` says of these settings before it does anything; errors of the lake are shown as one line."""
    with environment(root, **variables), pytest.raises(LakeError) as error, open_instance(Lake(root)):
        pass
    assert PASSWORD not in "".join(traceback.format_exception(error.value))
    return str(error.value)


@contextmanager
def serving(root: Path, address: str) -> Iterator[tuple[int, list[psutil.Process]]]:
    """Run `lakehouse ui`, then end it with TERM and see every process of it end."""
    port = free_port()
    variables = {
        **os.environ,
        "LAKEHOUSE_ROOT": str(root),
        "LAKEHOUSE_POSTGRES": address,
        "PYTHONPATH": str(REPOSITORY),
    }
    started = subprocess.Popen(
        [sys.executable, "-m", "lakehouse", "ui", "--port", str(port)],
        env={**os.environ, **variables},
        cwd=REPOSITORY,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    processes = []
    try:
        wait_until(lambda: answers(port), 60)
        server = psutil.Process(started.pid)
        processes = [server, *server.children(recursive=True)]
        yield port, processes
        started.terminate()
        started.wait(timeout=30)
        _, alive = psutil.wait_procs(processes, timeout=10)
        assert not alive, f"these outlive `lakehouse ui`: {alive}"
    finally:
        for process in processes:
            if process.is_running():
                process.kill()
        started.kill()


@pytest.mark.thorough
def test_a_build_keeps_its_runs_there_and_the_ui_shows_them(database: str, tmp_path: Path) -> None:
    write_archive(tmp_path / "landing/web/s1/a.warc.gz", small_web())
    assert build(tmp_path, "+filtered/web_clean", LAKEHOUSE_POSTGRES=database).runs == 1
    assert sqlite_files(tmp_path) == {}
    assert "env: LAKEHOUSE_POSTGRES" in (tmp_path / SETTINGS).read_text()
    assert build(tmp_path, "+filtered/web_clean", LAKEHOUSE_POSTGRES=database).runs == 0

    with serving(tmp_path, database) as (port, processes):
        query = b'{"query": "{ runsOrError { ... on Runs { results { status tags { key } } } } }"}'
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/graphql", query, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            shown = answer.read().decode()
        assert shown.count("SUCCESS") == 1
        assert "lakehouse/build" in shown
        for process in processes:
            assert PASSWORD not in " ".join(process.cmdline())
    assert sqlite_files(tmp_path) == {}
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert PASSWORD.encode() not in path.read_bytes(), path


def test_a_lake_that_moves_there_is_not_built_again(
    database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_archive(tmp_path / "landing/web/s1/a.warc.gz", small_web())
    write_archive(tmp_path / "landing/web/s2/b.warc.gz", small_web(100))
    build(tmp_path, "+filtered/web_clean")
    before, versions = sqlite_files(tmp_path), Lake(tmp_path).versions()
    assert before
    capsys.readouterr()

    assert build(tmp_path, "+filtered/web_clean", LAKEHOUSE_POSTGRES=database).runs == 0
    # raw, rejects and files of the source, its annotations, the set and its ledger: six tables of two snapshots.
    assert "knew nothing of this lake: its 12 newest versions are recorded there" in capsys.readouterr().out
    assert Lake(tmp_path).versions().equals(versions)
    assert sqlite_files(tmp_path) == before

    write_archive(tmp_path / "landing/web/s2/c.warc.gz", small_web(200))
    assert build(tmp_path, "+filtered/web_clean", LAKEHOUSE_POSTGRES=database).runs == 1
    assert "knew nothing" not in capsys.readouterr().out


def test_a_setting_that_does_not_fit_is_one_line_without_the_password(server: str, tmp_path: Path) -> None:
    nowhere = f"postgresql://lake:{PASSWORD}@127.0.0.1:{free_port()}/lake"
    for unusable in (nowhere, f"{server}/no_such_database", server.replace("lake:", "nobody:")):
        assert "cannot be used: " in refusal(tmp_path, LAKEHOUSE_POSTGRES=unusable)
    for wrong in (f"postgres://lake:{PASSWORD}@h/d", f"postgresql://lake:{PASSWORD}@h:port/d", PASSWORD):
        assert "is no address such as postgresql://" in refusal(tmp_path, LAKEHOUSE_POSTGRES=wrong)
    # A server that could not be used is not written down.
    assert "storage" not in (tmp_path / SETTINGS).read_text()


def test_settings_that_contradict_each_other_are_refused(database: str, tmp_path: Path) -> None:
    with environment(tmp_path, LAKEHOUSE_POSTGRES=database), open_instance(Lake(tmp_path)):
        pass
    line = refusal(tmp_path)
    assert "dagster.yaml says that Dagster's storage is in Postgres, but LAKEHOUSE_POSTGRES is not set" in line

    (tmp_path / SETTINGS).write_text("storage: {sqlite: {base_dir: /nowhere}}\n")
    line = refusal(tmp_path, LAKEHOUSE_POSTGRES=database)
    assert "says otherwise where Dagster's storage is (storage): remove one of the two" in line
