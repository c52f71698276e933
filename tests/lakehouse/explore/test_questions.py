"""What the explorer asks the lake, held against counts made in Python."""

from __future__ import annotations

from pathlib import Path

import pytest
from archives import small_web, write_archive
from lakes import build

from lakehouse.explore import Explorer, QueryError
from lakehouse.explore.questions import Score
from lakehouse.generate.mock.server import MODEL, MockModel
from lakehouse.lake import Lake

WORDS = Score("annotations/web/gopher_quality", "n_words", "raw/web")


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A lake with everything in it, statistics and rewrites included. Tests only read it."""
    root = tmp_path_factory.mktemp("explored") / "the lake"
    write_archive(root / "landing/web/s1/a.warc.gz", small_web())
    with MockModel() as model:
        build(root, LAKEHOUSE_MODEL_URL=model.base_url, LAKEHOUSE_MODEL=MODEL)
    return Lake(root)


@pytest.fixture(scope="module")
def explorer(lake: Lake) -> Explorer:
    return Explorer(lake)


def test_a_threshold_leaves_the_documents_and_tokens_that_python_counts(lake: Lake, explorer: Explorer) -> None:
    measured = lake.scan("annotations/web/gopher_quality").select("doc_id", "n_words").collect()
    tokens = dict(lake.scan("tokens/main").select("doc_id", "n_tokens").collect().iter_rows())
    low, high = explorer.measure(WORDS)
    assert (low, high) == (measured["n_words"].min(), measured["n_words"].max())
    threshold = sorted(measured["n_words"])[5]
    stay = [doc_id for doc_id, n_words in measured.iter_rows() if n_words >= threshold]
    left = explorer.staying(threshold, at_least=True)
    assert (left.documents, left.all_documents) == (len(stay), measured.height)
    # The copy and the thin page were dropped before they were tokenised; the thin page has fewest words.
    estimated = [doc_id for doc_id in measured["doc_id"] if doc_id not in tokens]
    assert left.estimated_documents == len(estimated) == 2
    exact = sum(tokens[doc_id] for doc_id in stay if doc_id in tokens)
    assert left.tokens >= exact
    below = explorer.staying(threshold - 1, at_least=False)
    assert below.documents == measured.height - len(stay)
    assert below.tokens + left.tokens == pytest.approx(left.all_tokens, abs=2)


def test_every_document_is_in_one_bar_of_the_histogram(lake: Lake, explorer: Explorer) -> None:
    explorer.measure(WORDS)
    bars = explorer.histogram()
    assert bars["documents"].sum() == lake.scan("raw/web").collect().height
    assert (bars["value_to"] > bars["value_from"]).all()


def test_a_score_that_is_the_same_everywhere_is_one_bar(explorer: Explorer) -> None:
    assert explorer.measure(Score("filtered/web_clean", "n_edits", "filtered/web_clean")) == (0.0, 0.0)
    assert explorer.histogram().height == 1


def test_every_measured_number_is_offered(explorer: Explorer) -> None:
    names = {score.name for score in explorer.scores()}
    assert {"annotations/web/gopher_quality: n_words", "raw/web: language_score"} <= names
    assert "raw/web: warc_offset" not in names


def test_a_document_shows_its_texts_its_rewrites_and_what_was_fetched(lake: Lake, explorer: Explorer) -> None:
    (found,) = explorer.find("http://news.test/3.html")
    texts = explorer.texts(found)
    assert texts["table"].to_list() == ["raw/web", "filtered/web_clean", "synthetic/web_rewritten"]
    assert (explorer.source(found) or "").startswith("<html><head><title>Article 3</title>")
    (thin,) = explorer.find("http://news.test/thin-0")
    reason, improved = explorer.rejects(thin).to_dicts()
    assert improved["rule"].startswith("gate_")  # of what was made of it
    assert (reason["rule"], reason["value"], reason["threshold"]) == ("gopher_min_words", 7.0, 50.0)
    assert explorer.find("http://nowhere.test/") == []
    assert explorer.find("x' OR 1=1 --") == []


def test_a_random_document_is_the_same_for_the_same_seed(explorer: Explorer) -> None:
    assert explorer.random_document(None, 1) == explorer.random_document(None, 1)
    assert len({explorer.random_document(None, seed) for seed in range(20)}) > 3
    assert explorer.random_document("gopher_min_words", 0) == explorer.find("http://news.test/thin-0")[0]
    assert explorer.random_document("no such rule", 0) is None


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_text('/etc/hostname')",
        "SELECT * FROM glob('/etc/*')",
        "COPY (SELECT 1) TO 'x.csv'",
        "ATTACH 'x.duckdb'",
        "SET enable_external_access = true",
        "CREATE TABLE x AS SELECT 1",
        "DROP VIEW raw.web",
        "INSTALL httpfs",
        "SELECT 1; SELECT 2",
        "SELECT nonsense FROM raw.web",
        "",
    ],
)
def test_a_query_that_does_more_than_read_the_lake_is_refused(lake: Lake, explorer: Explorer, query: str) -> None:
    inside = query.replace("'x.", f"'{lake.root}/x.")
    with pytest.raises(QueryError):
        explorer.sql(inside)
    assert not list(lake.root.glob("x.*"))


def test_older_versions_can_be_asked_too(explorer: Explorer) -> None:
    query = "SELECT (SELECT count(*) FROM filtered.web_clean_v0), (SELECT count(*) FROM filtered.web_clean_v1)"
    assert explorer.sql(query).row(0) == (0, 12)
    with pytest.raises(QueryError, match="has no version 9"):
        explorer.sql("FROM filtered.web_clean_v9")


def test_answers_are_bounded(explorer: Explorer) -> None:
    assert explorer.sql("FROM range(1_000_000)").height == 1_000
    assert explorer.sql("SELECT * FROM raw.web LIMIT 0").columns[0] == "doc_id"
    assert explorer.sql("DESCRIBE raw.web").height > 20


def test_a_lake_without_statistics_or_rewrites_has_nothing_to_show_and_no_error(tmp_path: Path) -> None:
    write_archive(tmp_path / "landing/web/s1/a.warc.gz", small_web())
    build(tmp_path, "raw/web")
    explorer = Explorer(Lake(tmp_path))
    assert explorer.waterfall().is_empty()
    assert explorer.sets() == []
    assert explorer.random_document(None, 0) is None
    assert {score.table for score in explorer.scores()} == {"raw/web"}
    low, high = explorer.measure(explorer.scores()[0])
    assert explorer.staying(low, at_least=True).documents == 14
    assert low <= high
