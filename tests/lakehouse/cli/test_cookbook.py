"""The queries of docs/sql.md, each run on the demo lake after a second crawl."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from archives import REPOSITORY, WebPage, article_page, write_archive
from lakes import build, environment

from lakehouse.cli.demo import demo
from lakehouse.generate.mock_server import MODEL, MockModel
from lakehouse.lake import Lake

COOKBOOK = REPOSITORY / "docs" / "sql.md"
SITE = REPOSITORY / "lakehouse/demo/site/herald.demo.test/stories"
CHANGED, SAME = "seed-library.html", "weather-kites.html"


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
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    root = tmp_path_factory.mktemp("cookbook") / "the lake"
    with environment(root):
        demo(workers=1)
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
