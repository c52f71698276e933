"""Real archives through the commands: every file gets a row, every record is a document, a reject or skipped."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from archives import REPOSITORY
from lakes import rows

from lakehouse.lake import Lake

# Files that are cut off or damaged, and those that are no WARC or WET archives: see crawl/test_real_archives.py.
CUT_OR_DAMAGED = {
    "resiliparse-test-data/clipped.warc.gz",
    "warcio-test-data/example-trunc.warc",
    "iipc-webarchive-commons/format/gzip/double-single-inflate-error.gz",
    "iipc-webarchive-commons/format/arc/IAH-20080430204825-00000-blackbook-truncated.arc",
}


@pytest.fixture(scope="module")
def archives(shared: Path) -> Path:
    folder = shared / "warc"
    if not folder.is_dir():
        pytest.skip("no shared archives")
    return folder


def lakehouse(root: Path, *arguments: str, seconds: float = 120) -> str:
    """Run the command as a user does; a hang is an error."""
    environment = {**os.environ, "LAKEHOUSE_ROOT": str(root), "PYTHONPATH": str(REPOSITORY), "COLUMNS": "200"}
    for name in ("LAKEHOUSE_MODEL_URL", "LAKEHOUSE_MODEL"):
        environment.pop(name, None)
    command = [sys.executable, "-m", "lakehouse", *arguments, "--workers", "2"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=seconds, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def read(lake: Lake, table: str) -> pl.DataFrame:
    return lake.scan(table).collect()


def assert_nothing_is_lost(lake: Lake) -> None:
    """Records = documents + rejected + skipped for each file, and the tables hold just those rows."""
    files, documents, rejects = (read(lake, f"{layer}/web") for layer in ("files", "raw", "rejects"))
    assert files.filter(pl.col("records") != pl.col("documents") + pl.col("rejected") + pl.col("skipped")).is_empty()
    for frame, counted in ((documents, "documents"), (rejects, "rejected")):
        found = dict(frame.group_by("warc_file").len().iter_rows())
        assert found == {name: count for name, count in files.select("warc_file", counted).iter_rows() if count}
    ids = pl.concat([documents["doc_id"], rejects["doc_id"]])
    assert ids.n_unique() == ids.len()
    assert documents.filter(pl.col("text").str.strip_chars() == "").is_empty()


def test_every_kind_of_file_in_a_folder_is_ingested_or_explained(archives: Path, tmp_path: Path) -> None:
    for path in archives.rglob("*"):
        name = path.relative_to(archives)
        if path.is_file() and name.parts[0] != "miniweb-crawl":
            (tmp_path / "crawls" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "crawls" / name).symlink_to(path)
    landed = {f"web/s1/{path.relative_to(archives)}" for path in archives.rglob("*") if path.is_file()}
    landed = {name for name in landed if "/miniweb-crawl/" not in name}

    shown = lakehouse(tmp_path / "lake", "ingest", str(tmp_path / "crawls"), "--snapshot", "s1")

    lake = Lake(tmp_path / "lake")
    files = read(lake, "files/web")
    assert sorted(files["warc_file"]) == sorted(landed)
    assert_nothing_is_lost(lake)
    damaged = files.filter(pl.col("warc_file").is_in([f"web/s1/{name}" for name in CUT_OR_DAMAGED]))
    assert damaged.height == len(CUT_OR_DAMAGED)
    # What is wrong is said, with its place, of every damaged file and of every file that is no archive.
    wrong = files.filter(pl.col("error").is_not_null() | pl.col("format").is_in(["arc", "unknown", "empty"]))
    assert set(damaged["warc_file"]) <= set(wrong["warc_file"])
    assert wrong.filter(pl.col("error").is_null() | pl.col("error_offset").is_null()).is_empty()
    for name, error in wrong.select("warc_file", "error").iter_rows():
        assert name in shown
        assert error in shown
    # Good files beside damaged ones are read whole: their pages are there.
    assert files.filter(pl.col("warc_file").str.ends_with("dolma-warc/sample-0000.warc.gz"))["documents"][0] == 22


@pytest.fixture(scope="module")
def crawl(archives: Path, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A lake with the crawl of 20 hosts, built up to the shards."""
    root = tmp_path_factory.mktemp("miniweb")
    lakehouse(root, "ingest", str(archives / "miniweb-crawl/miniweb-crawl-00000.warc.gz"), "--snapshot", "s1")
    lakehouse(root, "build", "+shards/main")
    return Lake(root)


@pytest.mark.slow
def test_all_responses_of_a_real_crawl_are_accounted_for(crawl: Lake) -> None:
    assert_nothing_is_lost(crawl)
    ledger = dict(rows(crawl, "SELECT rule, count(*) FROM rejects.web WHERE stage = 'record' GROUP BY 1"))
    # 4,617 responses: 4,191 pages, 143 errors, 8 redirects, 275 other files; 92 files that wget adds (arguments, log).
    assert ledger == {"http_status": 143, "redirect": 8, "content_type": 275 + 92}
    pages, unreadable = rows(
        crawl,
        "SELECT (SELECT count(*) FROM raw.web), (SELECT count(*) FROM rejects.web WHERE stage = 'extract')",
    )[0]
    assert pages + unreadable == 4_617 - 143 - 8 - 275 == 4_191
    assert pages > 4_100
    assert rows(crawl, "SELECT DISTINCT http_status, content_type FROM raw.web") == [(200, "text/html")]


@pytest.mark.slow
def test_every_page_of_a_real_crawl_is_kept_or_in_the_ledger(crawl: Lake) -> None:
    kept, rejected = read(crawl, "filtered/web_clean"), read(crawl, "rejects/web_clean")
    raw = read(crawl, "raw/web")
    assert sorted([*kept["doc_id"], *rejected["doc_id"]]) == sorted(raw["doc_id"])
    assert kept.height > 1_000
    assert kept["text_id"].n_unique() == kept.height
    copies = rejected.filter(pl.col("rule") == "exact_duplicate")
    assert kept["duplicates"].sum() == kept.height + copies.height
    assert set(copies["kept_id"]) <= set(kept["doc_id"])


@pytest.mark.slow
def test_every_token_of_a_real_crawl_is_in_the_shards(crawl: Lake) -> None:
    counts = """
        SELECT (SELECT sum(tokens * repeats) FROM mixtures.main), (SELECT sum(n_tokens) FROM shards.main),
               (SELECT sum(document.length) FROM (SELECT unnest(documents) AS document FROM shards.main)),
               (SELECT sum(n_tokens) FROM tokens.main), (SELECT count(*) FROM tokens.main)
    """
    in_mixture, in_sequences, in_pieces, encoded, documents = rows(crawl, counts)[0]
    assert in_mixture == in_sequences == in_pieces == encoded
    assert documents == read(crawl, "filtered/web_clean").height
    files = sorted((crawl.training / "main/latest").glob("*.parquet"))
    ids = pl.concat([pl.read_parquet(file) for file in files])
    assert ids.height == read(crawl, "shards/main").height


def test_a_recrawl_leaves_its_revisits_in_the_ledger(archives: Path, tmp_path: Path) -> None:
    file = archives / "miniweb-crawl/miniweb-recrawl-revisit.warc.gz"
    lakehouse(tmp_path, "ingest", str(file), "--snapshot", "s2")
    assert rows(
        Lake(tmp_path), "SELECT count(*), count(evidence), count(url) FROM rejects.web WHERE rule = 'revisit'"
    ) == [(54, 54, 54)]
    assert_nothing_is_lost(Lake(tmp_path))
