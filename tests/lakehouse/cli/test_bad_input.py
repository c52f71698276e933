"""Bad input on the command line: one clear line, exit status not 0, the lake unharmed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from archives import REPOSITORY, small_web, write_archive
from lakes import build

from lakehouse.lake import Lake


def run(*arguments: str, root: Path, code: Path = REPOSITORY) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "LAKEHOUSE_ROOT": str(root), "PYTHONPATH": str(code), "COLUMNS": "200"}
    command = [sys.executable, "-m", "lakehouse", *arguments]
    return subprocess.run(command, env=environment, cwd=code, capture_output=True, text=True, timeout=120, check=False)


def refusal(*arguments: str, root: Path, code: Path = REPOSITORY) -> str:
    """The one line that a refused command prints."""
    done = run(*arguments, root=root, code=code)
    assert done.returncode == 1, done.stdout + done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("Error: ")
    return lines[0]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("built")
    write_archive(root / "landing/web/s1/a.warc.gz", small_web())
    build(root, "filtered/web_clean")
    build(root, "+filtered/web_clean")
    return root


def test_a_missing_file(tmp_path: Path) -> None:
    assert f"{tmp_path}/nothing.warc.gz does not exist" in refusal(
        "ingest", f"{tmp_path}/nothing.warc.gz", root=tmp_path
    )


def test_an_empty_folder(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "is an empty folder" in refusal("ingest", str(tmp_path / "empty"), root=tmp_path / "lake")
    assert not (tmp_path / "lake" / "landing" / "web").exists()


def test_an_unknown_source_and_a_snapshot_that_is_no_name(tmp_path: Path) -> None:
    file = str(REPOSITORY / "README.md")
    assert "There is no raw source 'wbe'" in refusal("ingest", file, "--source", "wbe", root=tmp_path)
    assert "snapshot '../up' is not allowed" in refusal("ingest", file, "--snapshot", "../up", root=tmp_path)


def test_a_file_that_is_no_archive_is_reported_and_ends_well(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("These are notes.")
    done = run("ingest", str(tmp_path / "notes.txt"), "--snapshot", "s1", root=tmp_path / "lake")
    assert done.returncode == 0
    assert "web/s1/notes.txt at byte 0: no WARC or WET archive" in done.stdout
    assert Lake(tmp_path / "lake").scan("files/web").collect()["format"].to_list() == ["unknown"]


def test_an_unknown_asset_and_a_wrong_snapshot(built: Path) -> None:
    assert "'filtered/web_claen' names no asset" in refusal("build", "filtered/web_claen", root=built)
    assert "Snapshot 's9' has no files" in refusal("build", "--snapshot", "s9", root=built)


def test_an_unknown_table_a_wrong_query_and_an_unknown_id(built: Path) -> None:
    assert "There is no table 'raw/wbe'" in refusal("history", "raw/wbe", root=built)
    assert "SQL: Parser Error" in refusal("sql", "SELEC 1", root=built)
    assert "Nothing in" in refusal("trace", "nonsense", root=built)


def test_no_lake_yet(tmp_path: Path) -> None:
    assert "There is no lake at" in refusal("sql", "SELECT 1", root=tmp_path / "lake")
    assert not (tmp_path / "lake").exists()


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project, so that its `defs.yaml` files can be broken."""
    copy = tmp_path_factory.mktemp("a copy")
    for name in ("lakehouse", "resources", "assets", "dbt"):
        shutil.copytree(REPOSITORY / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "target"))
    for name in ("pyproject.toml", "workspace.yaml"):
        shutil.copy(REPOSITORY / name, copy / name)
    return copy


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ("languages:", "langauges:", "defs.yaml:6: key 'langauges' is unknown. Did you mean 'languages'?"),
        (
            "gopher_quality]",
            "gopher_qualty]",
            "defs.yaml:7: rule 'gopher_qualty' is unknown. Did you mean 'gopher_quality'?",
        ),
        (
            "gopher_quality]",
            "gopher_quality, {long: {where: n_wrods > 1}}]",
            "defs.yaml:7: rule 'long': documents and their annotators have no column 'n_wrods'. Did you mean",
        ),
        ("source: raw/web", "source: row/web", "is none of raw/…, filtered/…, synthetic/…"),
        ("min_score: 0.65", "min_score: 7", "less than or equal to 1"),
        ("  name: web_clean", "  name: Web Clean", "'Web Clean' is not allowed"),
    ],
)
def test_a_mistake_in_a_defs_yaml_names_the_file(
    code: Path, tmp_path: Path, right: str, wrong: str, message: str
) -> None:
    write_archive(tmp_path / "landing/web/s1/a.warc.gz", small_web())
    file = code / "assets/filtered/defs.yaml"
    before = file.read_text()
    assert right in before
    file.write_text(before.replace(right, wrong))
    try:
        line = refusal("build", root=tmp_path, code=code)
    finally:
        file.write_text(before)
    assert "assets/filtered/defs.yaml" in line
    assert message in line


def test_a_second_build_while_one_runs(built: Path) -> None:
    with (built / ".build.lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "Another build of" in refusal("build", root=built)


def test_a_port_that_is_in_use(built: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        assert f"127.0.0.1:{port} cannot be used: Address already in use" in refusal("ui", "--port", port, root=built)
        assert f"127.0.0.1:{port} cannot be used" in refusal("mock-llm", "--port", port, root=built)


def test_an_endpoint_that_cannot_be_reached_is_noticed_before_any_work(built: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
    os.environ["LAKEHOUSE_MODEL_URL"], os.environ["LAKEHOUSE_MODEL"] = address, "any"
    try:
        line = refusal("build", "+synthetic/web_rewritten", root=built)
    finally:
        del os.environ["LAKEHOUSE_MODEL_URL"], os.environ["LAKEHOUSE_MODEL"]
    assert f"the model server {address} cannot be used" in line


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("only root can mount a small disk")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def fill(disk: Path) -> Path:
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 1_000_000)  # at once, before whoever is watched has gone on
    return filler


def test_a_disk_that_is_full_before_the_build(small_disk: Path) -> None:
    write_archive(small_disk / "lake/landing/web/s1/a.warc.gz", small_web())
    build(small_disk / "lake", "raw/web")
    write_archive(small_disk / "lake/landing/web/s1/b.warc.gz", small_web(100))
    os.truncate(fill(small_disk), 55_000_000)
    assert "The disk is full, or nearly" in refusal("build", "raw/web", root=small_disk / "lake")


def test_a_disk_that_fills_up_during_the_build_leaves_the_lake_as_it_was(small_disk: Path) -> None:
    root = small_disk / "lake"
    write_archive(root / "landing/web/s1/a.warc.gz", small_web())
    build(root, "raw/web")
    before = Lake(root).scan("raw/web").collect()
    write_archive(root / "landing/web/s1/b.warc.gz", small_web(100, 900))

    def fill_when_rows_are_written() -> None:
        written = len(list(root.rglob("raw/web/**/*.parquet")))
        while len(list(root.rglob("raw/web/**/*.parquet"))) == written:
            time.sleep(0.005)
        fill(small_disk)

    filling = threading.Thread(target=fill_when_rows_are_written)
    filling.start()
    line = refusal("build", "raw/web", "--workers", "1", root=root)
    filling.join()

    assert "disk" in line.lower()
    assert Lake(root).scan("raw/web").collect().equals(before)
    (small_disk / "filler").unlink()
    assert run("build", "raw/web", root=root).returncode == 0
    assert Lake(root).scan("raw/web").collect().height == 14 + 902


def test_two_files_of_one_name_are_refused_before_any_is_linked(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        write_archive(tmp_path / folder / "a.warc.gz", small_web())
    files = [str(tmp_path / folder / "a.warc.gz") for folder in ("one", "two")]
    assert "rename one or choose another snapshot" in refusal(
        "ingest", *files, "--snapshot", "s1", root=tmp_path / "lake"
    )
    assert not (tmp_path / "lake/landing").exists()

    folders = [str(tmp_path / folder) for folder in ("one", "two")]
    assert run("ingest", *folders, "--snapshot", "s1", root=tmp_path / "lake").returncode == 0
    assert Lake(tmp_path / "lake").scan("files/web").collect()["warc_file"].to_list() == [
        "web/s1/one/a.warc.gz",
        "web/s1/two/a.warc.gz",
    ]
