"""`lakehouse docs`, and the lake's DuckDB file in the hands of a plain client."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from archives import small_web, write_archive
from lakes import build, environment

from assets.stats import project
from lakehouse.cli.docs import docs
from lakehouse.lake import Lake, LakeError


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    root = tmp_path_factory.mktemp("documented") / "the lake"
    write_archive(root / "landing/web/s1/a.warc.gz", small_web())
    build(root)
    return Lake(root)


def test_the_documentation_is_one_page_with_every_mart_and_column(lake: Lake, tmp_path: Path) -> None:
    before = (lake.root / "lake.duckdb").read_bytes()
    page = tmp_path / "statistics.html"
    with environment(lake.root):
        docs(page)
    html = page.read_text()
    for node in project.manifest()["nodes"].values():
        if node["resource_type"] == "model" and node["config"]["materialized"] == "table":
            assert node["description"][:40] in html
            assert all(f'"{column}"' in html for column in node["columns"])
    # Nothing is told to anybody: dbt's page asks this setting before it counts visits.
    assert re.search(r'"send_anonymous_usage_stats": ?false', html)
    assert (lake.root / "lake.duckdb").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["statistics.html"]


def test_the_page_is_in_the_lake_unless_it_is_wanted_elsewhere(lake: Lake, tmp_path: Path) -> None:
    with environment(lake.root):
        docs(None)
        assert (lake.root / "docs.html").is_file()
        with pytest.raises(LakeError, match="there is no folder"):
            docs(tmp_path / "nowhere" / "page.html")
    write_archive(tmp_path / "landing/web/s1/a.warc.gz", small_web())
    build(tmp_path, "raw/web")
    with (
        environment(tmp_path),
        pytest.raises(LakeError, match="There are no statistics in"),
    ):
        docs(None)


def test_any_duckdb_client_opens_the_file_and_others_may_too(lake: Lake, tmp_path: Path) -> None:
    script = """
import duckdb, json, sys
with duckdb.connect(sys.argv[1], read_only=True) as one, duckdb.connect(sys.argv[1], read_only=True) as other:
    marts = one.sql("SELECT table_name FROM duckdb_tables() WHERE schema_name = 'stats'").fetchall()
    counts = {name: other.sql(f"SELECT count(*) FROM stats.{name}").fetchone()[0] for (name,) in marts}
    counts["raw"] = one.sql("SELECT count(*) FROM lake.lake.raw").fetchone()[0]
    counts["web_clean"] = one.sql("SELECT count(text) FROM filtered.web_clean").fetchone()[0]
print(json.dumps(counts))
"""
    command = [sys.executable, "-c", script, str(lake.root / "lake.duckdb")]
    done = subprocess.run(command, cwd=tmp_path, env={}, capture_output=True, text=True, check=True)
    counts = json.loads(done.stdout)
    assert set(counts) == {table.split("/")[1] for table in lake.tables() if table.startswith("stats/")} | {
        "raw",
        "web_clean",
    }
    for table in lake.tables():
        if table.startswith("stats/"):
            assert counts[table.split("/")[1]] == lake.scan(table).collect().height
    assert (counts["raw"], counts["web_clean"]) == (14, 12)
