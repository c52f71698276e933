"""The demo, as a new user runs it, with one worker and with two; then the queries of docs/sql.md on its lake."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from archives import REPOSITORY, WebPage, article_page, write_archive
from lakes import build, rows

from lakehouse.generate.mock.server import MODEL, MockModel
from lakehouse.lake import Lake

COOKBOOK = REPOSITORY / "docs" / "sql.md"
SITE = REPOSITORY / "lakehouse/demo/site/herald.demo.test/stories"
CHANGED, SAME = "seed-library.html", "weather-kites.html"


def demo(root: Path, workers: int) -> str:
    environment = {**os.environ, "LAKEHOUSE_ROOT": str(root), "PYTHONPATH": str(REPOSITORY), "COLUMNS": "120"}
    environment.pop("LAKEHOUSE_MODEL_URL", None)
    command = [sys.executable, "-m", "lakehouse", "demo", "--workers", str(workers)]
    done = subprocess.run(command, env=environment, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """Two demo lakes, one folder each, and what the demos printed."""
    folder = tmp_path_factory.mktemp("two demos")
    return folder, [demo(folder / f"with {workers}" / "lake", workers) for workers in (1, 2)]


def test_two_crawls_of_the_demo_web_with_one_and_two_workers_give_the_same_shards(
    shown: tuple[Path, list[str]],
) -> None:
    folder, _ = shown
    manifests = [path.read_text() for path in sorted(folder.glob("with */lake/training/main/latest/manifest.json"))]
    assert len(manifests) == 2
    assert manifests[0] == manifests[1]


def test_the_summary_says_what_became_of_every_record(shown: tuple[Path, list[str]]) -> None:
    folder, (summary, _) = shown
    lake = Lake(folder / "with 1" / "lake")
    records = rows(lake, "SELECT sum(records)::BIGINT FROM files.web")[0][0]
    kept = rows(lake, "SELECT count(*) FROM filtered.web_clean")[0][0]
    tokens = rows(lake, "SELECT sum(n_tokens)::BIGINT FROM shards.main")[0][0]
    assert re.search(rf"records +{records:,} ", summary)
    assert re.search(rf"kept +{kept:,} ", summary)
    assert f"{tokens:,} tokens" in summary
    assert "a scripted stand-in and no model" in summary
    for command in ("lakehouse ui", "lakehouse sql ", "lakehouse trace "):
        assert command in summary


def test_the_demo_web_shows_what_crawls_hold(shown: tuple[Path, list[str]]) -> None:
    folder, _ = shown
    lake = Lake(folder / "with 1" / "lake")
    found = {str(rule) for (rule,) in rows(lake, "SELECT DISTINCT rule FROM lake.rejects")}
    assert {
        "redirect",
        "http_status",
        "content_type",
        "language",
        "consent",
        "exact_duplicate",
        "gopher_min_words",
    } <= found
    assert rows(lake, "SELECT count(*) FROM raw.web WHERE url LIKE '%/drafts/%'") == [(0,)]  # robots.txt forbids them
    assert rows(lake, "SELECT DISTINCT difference FROM stats.balance") == [(0,)]


def test_a_second_demo_does_nothing_anew(shown: tuple[Path, list[str]]) -> None:
    folder, _ = shown
    again = demo(folder / "with 1" / "lake", 1)
    assert "Everything is up to date: nothing was done." in again
    assert "What became of every record" in again


@dataclass(frozen=True)
class Recipe:
    """A question, its query, and the first line of the answer that the page shows."""

    question: str
    query: str
    columns: list[str]


def recipes() -> list[Recipe]:
    """Every query of the cookbook."""
    pattern = re.compile(r"### ([^\n]+)\n(?:(?!###).)*?```sql\n(.*?)```\n\n```\n([^\n]*)\n", re.DOTALL)
    return [
        Recipe(question, query, re.split(r"\s{2,}", header.strip()))
        for question, query, header in pattern.findall(COOKBOOK.read_text())
    ]


def second_crawl(root: Path) -> None:
    """Land a snapshot with one page that changed, one that did not, and a new one; and build."""
    addresses = [f"http://herald.demo.test/stories/{name}" for name in (CHANGED, SAME)]
    changed = WebPage(addresses[0], article_page(3).body)
    same = WebPage(addresses[1], (SITE / SAME).read_text())
    write_archive(root / "landing/web/2099-01-01/second.warc.gz", [changed, same, article_page(4)])
    with MockModel() as model:
        build(root, LAKEHOUSE_MODEL_URL=model.base_url, LAKEHOUSE_MODEL=MODEL)


@pytest.fixture(scope="module")
def lake(shown: tuple[Path, list[str]], tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """The demo's lake after a second crawl."""
    root = tmp_path_factory.mktemp("cookbook") / "the lake"
    shutil.copytree(shown[0] / "with 1" / "lake", root)
    second_crawl(root)
    return Lake(root)


def test_there_are_at_least_25_queries_and_each_shows_its_answer() -> None:
    text = COOKBOOK.read_text()
    assert len(recipes()) == text.count("```sql") >= 25
    assert len({recipe.question for recipe in recipes()}) == len(recipes())


@pytest.mark.parametrize("recipe", recipes(), ids=lambda recipe: recipe.question)
def test_a_query_answers_with_the_columns_that_the_page_shows(lake: Lake, recipe: Recipe) -> None:
    answer = lake.sql(recipe.query)
    assert answer.height > 0
    assert answer.columns == recipe.columns


def ask(lake: Lake, question: str) -> list[tuple[object, ...]]:
    (query,) = [recipe.query for recipe in recipes() if question in recipe.question]
    return lake.sql(query).rows()


def test_another_threshold_drops_what_python_counts(lake: Lake) -> None:
    # Where words have no spaces between them nothing is counted.
    words = lake.scan("annotations/web/gopher_quality").collect()["n_words"].to_list()
    expected = [
        (limit, sum(n is not None and n < limit for n in words), len(words)) for limit in (20, 30, 50, 100, 200)
    ]
    assert ask(lake, "at another threshold") == expected


def test_the_documents_that_changed_are_the_one_that_we_changed(lake: Lake) -> None:
    ((url, older, newer, words, words_now),) = ask(lake, "changed between two snapshots")
    assert url == f"http://herald.demo.test/stories/{CHANGED}"
    assert str(older) < str(newer) == "2099-01-01"
    assert words != words_now


def test_a_copy_of_an_earlier_snapshot_names_the_one_that_was_kept(lake: Lake) -> None:
    copy = f"http://herald.demo.test/stories/{SAME}"
    assert any((row[0], row[2], row[3]) == (copy, copy, "2099-01-01") for row in ask(lake, "Which copy was kept"))


def test_tokens_by_language_add_up_to_the_tokens_that_were_made(lake: Lake) -> None:
    tokens = lake.scan("tokens/main").collect()
    made = tokens.filter(tokens["component"] == "filtered/web_clean")["n_tokens"].sum()
    by_language = ask(lake, "How many tokens are there of each language")
    assert sum(int(str(row[4])) for row in by_language) == made


def test_the_rules_that_drop_add_up_to_the_ledger(lake: Lake) -> None:
    ledger = lake.scan("rejects/web_clean").collect().height
    assert sum(int(str(row[2])) for row in ask(lake, "What did each rule drop")) == ledger
    assert sum(int(str(row[1])) for row in ask(lake, "What would come back")) == ledger


def test_the_sample_of_rejects_is_the_same_each_time(lake: Lake) -> None:
    assert ask(lake, "Show me 20") == ask(lake, "Show me 20")
