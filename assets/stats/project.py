"""The dbt project of the statistics: its manifest, and a build of it. dbt runs in a process of its own."""

from __future__ import annotations

import json
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
DATABASE = "statistics.duckdb"
"""What `profiles.yml` calls the DuckDB file. A name without folders: dbt parses everything anew when it changes."""

_SOURCES = ("dbt_project.yml", "profiles.yml", "models/**/*.*", "tests/**/*.*")
_MANIFEST, _PARSED = "manifest.json", "partial_parse.msgpack"
_SWITCHES = ["--quiet", "--no-use-colors", "--no-version-check", "--no-send-anonymous-usage-stats"]
_FOLDERS = ["--project-dir", ".", "--profiles-dir", ".", "--target-path", "target", "--log-path", "target"]
# The `dbt` command need not be on the PATH. A process that is told nothing ends as if nothing had been asked of it.
_PROGRAM = """
import json, os, sys
import dbt.cli.main, dbt.task.build, dbt.adapters.duckdb.impl
if told := sys.stdin.read():
    folder, command = json.loads(told)
    os.chdir(folder)
    dbt.cli.main.cli(command)
"""


class DbtError(RuntimeError):
    """dbt could not parse or build the project. The message names the model and what is wrong with it."""


@dataclass(frozen=True)
class Verdict:
    """What a dbt test found; `failures` counts the rows that should not be there."""

    passed: bool
    failures: int
    message: str


@dataclass(frozen=True)
class Built:
    """The models in the order in which they were built, and the outcome of each test by its dbt id."""

    models: list[str]
    tests: dict[str, Verdict]


_waiting: list[subprocess.Popen[str]] = []  # one at most


def load_early() -> None:
    """Start dbt now, to wait for the next command: it takes 2 seconds to load, while other work goes on.

    It ends with this process, whether it was needed or not.
    """
    if not _waiting:
        _waiting.append(_start())


def fingerprint() -> str:
    """A hash of the project's files and of the versions of dbt that read them."""
    contents = [part for path in _files() for part in (path.as_posix(), (FOLDER / path).read_text())]
    return hash_of(version("dbt-core"), version("dbt-duckdb"), *contents)[:12]


def manifest() -> Mapping[str, Any]:
    """What dbt knows of the project. It is parsed once for each state of its files (3 to 6 seconds) and then kept.

    Raises:
        DbtError: the project is not there or cannot be parsed.
    """
    return json.loads((_parsed() / _MANIFEST).read_bytes())


def build(folder: Path) -> Built:
    """Build every model into the DuckDB file in `folder` and test it; dbt writes nowhere else.

    Args:
        folder: holds the file `DATABASE`, in which the schema `lake` has the sources.

    Raises:
        DbtError: a model could not be built.
    """
    target = folder / "target"
    target.mkdir()
    shutil.copy(_parsed() / _PARSED, target)
    output = _dbt("build", folder=folder)
    results = target / "run_results.json"
    if not results.exists():
        raise DbtError(f"dbt did not run: {_one_line(output)}")
    built, failed = Built([], {}), []
    for result in json.loads(results.read_bytes())["results"]:
        kind, _, name = result["unique_id"].split(".")[:3]
        message = _one_line(result["message"] or "")
        if kind == "test":
            built.tests[result["unique_id"]] = Verdict(result["status"] == "pass", result["failures"] or 0, message)
        elif result["status"] == "success":
            built.models.append(name)
        else:
            failed.append((result["status"] == "skipped", f"dbt model {name}: {message or result['status']}"))
    if failed:
        # What is skipped follows from what failed.
        raise DbtError(min(failed)[1])
    return built


def document(folder: Path) -> Path:
    """Write the documentation of the models as one HTML file in `folder`, which holds the file `DATABASE`; return it.

    Raises:
        DbtError: dbt could not do it.
    """
    output = _dbt("docs", "generate", "--static", folder=folder)
    page = folder / "target" / "static_index.html"
    if not page.exists():
        raise DbtError(f"dbt could not write the documentation: {_one_line(output)}")
    return page


def _files() -> list[Path]:
    """The project's files, relative to its folder."""
    return sorted(path.relative_to(FOLDER) for pattern in _SOURCES for path in FOLDER.glob(pattern))


def _parsed() -> Path:
    """The folder of what dbt made of the project as it is now."""
    if not (FOLDER / "dbt_project.yml").is_file():
        raise DbtError(
            f"There is no dbt project in {FOLDER}: the statistics need the repository, not just the package."
        )
    kept = FOLDER / "target" / fingerprint()
    if kept.exists():
        return kept
    kept.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.parent, prefix="parsing-") as folder:
        output = _dbt("parse", folder=Path(folder))
        if not Path(folder, "target", _MANIFEST).exists():
            raise DbtError(f"dbt cannot parse {FOLDER}: {_one_line(output)}")
        try:
            Path(folder, "target").rename(kept)
        except OSError:
            # Another process parsed the same files and was first.
            if not kept.exists():
                raise
    return kept


def _dbt(*command: str, folder: Path) -> str:
    """Run a command of dbt on a copy of the project in `folder`; return its errors, or its exit status."""
    for path in _files():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(FOLDER / path, folder / path)
    with _waiting.pop() if _waiting else _start() as process:
        try:
            output, _ = process.communicate(json.dumps([str(folder), [*_SWITCHES, *command, *_FOLDERS]]))
        except BaseException:  # a run that is ended takes its folder away, and dbt would go on in it
            process.kill()
            raise
    return output or f"exit status {process.returncode}"


def _start() -> subprocess.Popen[str]:
    return subprocess.Popen(  # noqa: S603 (no part of the command comes from outside)
        [sys.executable, "-P", "-c", _PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )


def _one_line(text: str) -> str:
    return " ".join(text.partition("compiled code at")[0].split())
