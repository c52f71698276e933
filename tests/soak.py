"""A soak test: many simulated nights of one lake, with late files, crashes and changed settings.

    python tests/soak.py --nights 30 --seed 1

Every night files arrive, a build is killed with -9 somewhere, and a second build finishes; every promise of
`invariants` is checked. In the end the lake must hold what one undisturbed build makes of the same files and the last
settings. The tests don't run it: a night takes some 30 seconds. Exit status 1: a promise was broken. The project is
copied first, and its copy is what runs, so that settings can change and nobody's edits disturb it.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

# This folder has a folder `lakehouse` of its own, which is no package.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import yaml  # type: ignore[import-untyped]
from archives import REPOSITORY, article_page, small_web, write_archive
from invariants import lost_versions, manifest, violations

from lakehouse.generate.mock.server import MODEL, MockModel
from lakehouse.lake import Lake
from lakehouse.shard.tokenizer import END_OF_DOCUMENT

FIRST_NIGHT = date(2026, 12, 1)
MIN_WORDS = (50, 276, 5, 280)  # the threshold of gopher_min_words, a week each; articles have 266 to 287 words
PARTS = ("lakehouse", "assets", "resources", "dbt")
FILES = ("pyproject.toml", "workspace.yaml")
_NUMBERS_A_FILE, _MOST_ARTICLES = 1_000, 12
UP_TO_DATE = "Everything is up to date"
# Their rows must be those of one undisturbed build, whatever happened in between.
COMPARED = (
    "files/web",
    "raw/web",
    "rejects/web",
    "annotations/web/gopher_quality",
    "filtered/web_clean",
    "rejects/web_clean",
    "synthetic/web_rewritten",
    "tokens/main",
    "mixtures/main",
    "shards/main",
)


class SoakError(RuntimeError):
    """The lake broke a promise."""


@dataclass(frozen=True)
class Build:
    """A finished or killed `lakehouse build`: its seconds, what it printed, and whether it was killed."""

    seconds: float
    output: str
    killed: bool

    @property
    def tables(self) -> list[str]:
        """The tables that it had built, in order."""
        return re.findall(r"✓ (\S+)", self.output)


class Project:
    """A copy of the project that builds one lake."""

    def __init__(self, folder: Path, root: Path) -> None:
        self.folder, self.root = folder, root
        for name in PARTS:
            shutil.copytree(REPOSITORY / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "target"))
        for name in FILES:
            shutil.copy(REPOSITORY / name, folder / name)

    def configure(self, file: str, **attributes: object) -> None:
        """Change attributes of the one block in `assets/<file>/defs.yaml`."""
        path = self.folder / "assets" / file / "defs.yaml"
        block = yaml.safe_load(path.read_text())
        block["attributes"] |= attributes
        path.write_text(yaml.safe_dump(block))

    def build(self, model: str | None, kill_after: float | None = None) -> Build:
        """Run `lakehouse build`; kill it and all its processes after so many seconds.

        Raises:
            SoakError: it failed by itself.
        """
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("LAKEHOUSE", "DAGSTER"))
        }
        environment |= {"LAKEHOUSE_ROOT": str(self.root), "PYTHONPATH": str(self.folder), "COLUMNS": "200"}
        if model:
            environment |= {"LAKEHOUSE_MODEL_URL": model, "LAKEHOUSE_MODEL": MODEL}
        started = time.monotonic()
        with tempfile.TemporaryFile("w+") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "lakehouse", "build", "--workers", "2"],
                cwd=self.folder,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                process.wait(kill_after)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            output.seek(0)
            text = output.read()
        seconds, killed = time.monotonic() - started, process.returncode == -signal.SIGKILL
        if process.returncode and not killed:
            raise SoakError(f"the build ended with status {process.returncode}:\n{text}")
        return Build(seconds, text, killed)


class Landing:
    """The files that arrive. What they hold depends on the seed alone."""

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self.folder, self._chance = folder, chance
        self._pages = 0  # numbers of articles that were used

    def arrive(self, night: int) -> list[str]:
        """Put a night's files into the landing folder; say what they are."""
        snapshot = (FIRST_NIGHT + timedelta(days=night)).isoformat()
        told = [self._write(snapshot, f"crawl-{part}") for part in range(self._chance.choice([1, 1, 2]))]
        older = sorted(self.folder.glob("*/*.warc.gz"))[: -len(told)]
        if older and self._chance.random() < 0.3:
            told.append("late " + self._write(self._chance.choice(older).parent.name, f"late-{night}"))
        if older and self._chance.random() < 0.3:
            told.append("again " + self._deliver_again(self._chance.choice(older)))
        if night == 2:
            told.append("damaged " + self._damage(snapshot))
        return told

    def _write(self, snapshot: str, name: str) -> str:
        pages = list(small_web(self._pages, self._chance.randint(6, _MOST_ARTICLES)))
        # Copies of texts of any night: where an older snapshot gets one late, the newer one is no longer kept.
        for copy in range(2):
            seed = self._chance.randrange(0, self._pages + 1, _NUMBERS_A_FILE) + self._chance.randrange(_MOST_ARTICLES)
            pages.append(article_page(self._pages + 950 + copy, host="copies.test", seed=seed))
        self._pages += _NUMBERS_A_FILE
        write_archive(self.folder / snapshot / f"{name}.warc.gz", pages)
        return f"{snapshot}/{name}"

    def _deliver_again(self, file: Path) -> str:
        """The same bytes under the same name at another time."""
        content = file.read_bytes()
        file.unlink()
        file.write_bytes(content)
        return f"{file.parent.name}/{file.name.removesuffix('.warc.gz')}"

    def _damage(self, snapshot: str) -> str:
        """A file that breaks off in the middle of a record."""
        told = self._write(snapshot, "broken")
        file = self.folder / f"{told}.warc.gz"
        os.truncate(file, file.stat().st_size * 2 // 3)
        return told


def soak(folder: Path, nights: int, seed: int) -> None:
    """Simulate the nights in an empty folder.

    Raises:
        SoakError: a promise was broken.
    """
    chance = random.Random(seed)
    project = Project(folder / "project", folder / "lake")
    lake, landing = Lake(project.root), Landing(project.root / "landing/web", chance)
    usual = 20.0
    for night in range(nights):
        told = landing.arrive(night)
        if night % 7 == 0:
            told.append(f"min_words {MIN_WORDS[night // 7 % len(MIN_WORDS)]}")
            project.configure("filtered", rules=_rules(night))
        with model_server(chance.random() < 0.6) as model:
            told.append("with a model" if model else "no model")
            killed = project.build(model, kill_after=chance.uniform(0.1, 0.8) * usual)
            finished = project.build(model)
            usual = max(killed.seconds, finished.seconds)
            _check_night(project, lake, model)
        print(_line(night, told, killed, finished), flush=True)
    with model_server(True) as model:
        project.build(model)
        _check_night(project, lake, model)
        _check_all(lost_versions(lake))
        print("The same files in one build, for comparison …", flush=True)
        _compare(project.root, _in_one_go(folder, project, night, model))


def _rules(night: int) -> list[object]:
    return ["consent", {"gopher_quality": {"min_words": MIN_WORDS[night // 7 % len(MIN_WORDS)]}}]


@contextmanager
def model_server(there: bool) -> Iterator[str | None]:
    """The address of a model server, or None where there is to be none."""
    if not there:
        yield None
        return
    with MockModel() as model:
        yield model.base_url


def _check_night(project: Project, lake: Lake, model: str | None) -> None:
    _check_all(violations(lake))
    before = lake.versions().height
    again = project.build(model)
    if UP_TO_DATE not in again.output or lake.versions().height != before:
        raise SoakError(f"a second build was to do nothing, but it did:\n{again.output}")


def _check_all(problems: list[str]) -> None:
    if problems:
        raise SoakError("\n".join(problems))


def _in_one_go(folder: Path, project: Project, night: int, model: str | None) -> Path:
    """A lake of the same files and settings, built at once. It is given the tokenizer, which is trained only once."""
    reference = Project(folder / "reference project", folder / "reference")
    shutil.copytree(project.root / "landing", reference.root / "landing")
    tokenizer = folder / "tokenizer.json"
    tokenizer.write_text(Lake(project.root).scan("tokenizers/main").collect()["definition"][0])
    reference.configure("filtered", rules=_rules(night))
    reference.configure("mixtures", tokenizer={"file": str(tokenizer), "end_of_document": END_OF_DOCUMENT})
    reference.build(model)
    return reference.root


def _compare(ours: Path, theirs: Path) -> None:
    """The same rows in every table, and the same tokens in the same shards.

    Only the journal may hold more: the calls for documents that were dropped later.
    """
    problems = []
    for table in COMPARED:
        rows = [Lake(root).scan(table).collect().sort("*") for root in (ours, theirs)]
        if not rows[0].equals(rows[1]):
            problems.append(f"{table} differs from that of one build: {rows[0].height} rows, there {rows[1].height}")
    if manifest(ours) != manifest(theirs):
        problems.append("the shards differ from those of one build")
    _check_all(problems)


def _line(night: int, told: list[str], killed: Build, finished: Build) -> str:
    if killed.killed:
        where = f"killed after {killed.seconds:.1f} s, behind {killed.tables[-1] if killed.tables else 'the start'}"
    else:
        where = f"not killed: it ended after {killed.seconds:.1f} s"
    done = f"then {len(finished.tables)} tables in {finished.seconds:.1f} s"
    return f"night {night + 1}: {', '.join(told)}; {where}; {done}"


def main() -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--nights", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="an empty folder, which stays; default: one that is removed")
    arguments = parser.parse_args()
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="soak-"))
    folder.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    try:
        soak(folder, arguments.nights, arguments.seed)
    except SoakError as error:
        print(f"BROKEN after {time.monotonic() - started:.0f} s, the lake is in {folder}:\n{error}")
        return 1
    print(f"Every promise held over {arguments.nights} nights ({time.monotonic() - started:.0f} s).")
    if arguments.folder is None:
        shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
