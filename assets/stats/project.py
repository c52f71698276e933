"""The dbt project of the statistics: its manifest, and a build of it. dbt runs in a process of its own."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lakehouse.identity import hash_of

FOLDER = Path(__file__).resolve().parents[2] / "dbt"
DATABASE = "LAKEHOUSE_DUCKDB"
"""The environment variable in which `profiles.yml` finds the DuckDB file."""

_PARSED = ("manifest.json", "partial_parse.msgpack")
_MODULE = "from dbt.cli.main import cli; cli()"  # the `dbt` command need not be on the PATH


class DbtError(RuntimeError):
    """dbt could not parse or build the project. The message names the model and what is wrong with it."""


@dataclass(frozen=True)
class TestOutcome:
    """What a dbt test found; `failures` counts the rows that should not be there."""

    passed: bool
    failures: int
    message: str


@dataclass(frozen=True)
class Built:
    """The models in the order in which they were built, and the outcome of each test by its dbt id."""

    models: list[str]
    tests: dict[str, TestOutcome]


@functools.cache
def fingerprint() -> str:
    """A hash of the project's files and of the versions of dbt that read them."""
    files = [path for path in sorted(FOLDER.rglob("*.*")) if path.is_file() and not path.is_relative_to(_target())]
    contents = [part for path in files for part in (path.relative_to(FOLDER).as_posix(), path.read_text())]
    return hash_of(version("dbt-core"), version("dbt-duckdb"), *contents)[:12]


@functools.cache
def manifest() -> Mapping[str, Any]:
    """What dbt knows of the project. It is parsed once for each state of its files (3 to 6 seconds) and then kept.

    Raises:
        DbtError: the project is not there or cannot be parsed.
    """
    if not (FOLDER / "dbt_project.yml").is_file():
        raise DbtError(f"There is no dbt project in {FOLDER}: the statistics need the repository, not just the package.")
    if not _parsed().exists():
        _target().mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=_target(), prefix="parsing-") as scratch:
            output = _dbt("parse", target=Path(scratch))
            if not Path(scratch, _PARSED[0]).exists():
                raise DbtError(f"dbt cannot parse {FOLDER}: {_one_line(output)}")
            complete = Path(scratch, "complete")
            complete.mkdir()
            for name in _PARSED:
                Path(scratch, name).rename(complete / name)
            _publish(complete)
    return json.loads((_parsed() / _PARSED[0]).read_bytes())


def build(database: Path, scratch: Path) -> Built:
    """Build every model into `database` and test it.

    Args:
        database: a DuckDB file in which the schema `lake` has the sources.
        scratch: an empty folder for what dbt writes.

    Raises:
        DbtError: a model could not be built.
    """
    shutil.copy(_parsed() / _PARSED[1], scratch)
    output = _dbt("build", target=scratch, database=database)
    results = scratch / "run_results.json"
    if not results.exists():
        raise DbtError(f"dbt did not run: {_one_line(output)}")
    built = Built([], {})
    failed = []
    for result in json.loads(results.read_bytes())["results"]:
        kind, name = result["unique_id"].split(".")[0], result["unique_id"].split(".")[2]
        message = _one_line(result["message"] or "")
        if kind == "test":
            built.tests[result["unique_id"]] = TestOutcome(result["status"] == "pass", result["failures"] or 0, message)
        elif result["status"] == "success":
            built.models.append(name)
        else:
            failed.append((result["status"] == "skipped", f"dbt model {name}: {message or result['status']}"))
    if failed:
        # What is skipped follows from what failed.
        raise DbtError(min(failed)[1])
    return built


def _target() -> Path:
    return FOLDER / "target"


def _parsed() -> Path:
    return _target() / fingerprint()


def _publish(complete: Path) -> None:
    try:
        complete.rename(_parsed())
    except OSError:
        # Another process parsed the same files and was first.
        if not _parsed().exists():
            raise


def _dbt(command: str, *, target: Path, database: Path | None = None) -> str:
    """Run dbt without prompts, colours or network; return what it says, which is nothing when all went well."""
    switches = ["--quiet", "--no-use-colors", "--no-version-check", "--no-send-anonymous-usage-stats"]
    folders = {"--project-dir": FOLDER, "--profiles-dir": FOLDER, "--target-path": target, "--log-path": target}
    arguments = [part for name, path in folders.items() for part in (name, str(path))]
    done = subprocess.run(
        [sys.executable, "-c", _MODULE, *switches, command, *arguments],
        env=os.environ | ({DATABASE: str(database)} if database else {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    return done.stdout


def _one_line(text: str) -> str:
    return " ".join(text.partition("compiled code at")[0].split())
