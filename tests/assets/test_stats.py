"""The statistics over a lake small enough to count by hand."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import polars as pl
import pytest

from assets.stats import project
from assets.stats.component import Statistics
from lakehouse import schema
from lakehouse.commits import Origin
from lakehouse.lake import Lake
from resources.lake import LakeResource

JANUARY, FEBRUARY = "2026-01", "2026-02"

# name: snapshot, language, host, words, characters. Of 21 tokenised characters there are 6 tokens: 2/7 a character.
PAGES = {
    "a": (JANUARY, "en", "one.test", 3, 14),
    "b": (JANUARY, "en", "one.test", 1, 7),
    "c": (JANUARY, "de", "two.test", 2, 21),
    "d": (JANUARY, "en", "two.test", 4, 28),
    "e": (FEBRUARY, "en", "one.test", 2, 7),
}


def write(lake: Lake, table: str, rows: list[dict[str, Any]], snapshot: str | None = None, **origin: Any) -> None:
    layer = schema.layer_of(table).schema
    assert layer is not None
    filler = {pl.String: "", pl.Int64: 0, pl.List: []}
    types = schema.empty(layer).schema
    required = {field.name: filler.get(types[field.name].base_type()) for field in layer if not field.nullable}
    required |= {"snapshot": snapshot or JANUARY} if "snapshot" in types else {}
    full = [{name: row.get(name, required.get(name)) for name in types} for row in rows]
    lake.replace_frame(table, pl.DataFrame(full, schema=types), Origin(asset=table, **origin), snapshot=snapshot)


def page(name: str) -> dict[str, Any]:
    snapshot, language, host, words, characters = PAGES[name]
    row = {"doc_id": name, "source": "web", "text": name, "n_words": words, "n_chars": characters}
    return row | {"snapshot": snapshot, "language": language, "host": host}


def drop(name: str, stage: str, rule: str) -> dict[str, Any]:
    return {"doc_id": name, "source": "web", "stage": stage, "rule": rule, "failed": [rule]}


def build_lake(root: Path) -> Lake:
    lake = Lake(root)
    archive = {"source": "web", "warc_file": "x.warc.gz", "format": "warc"}
    rejected = [
        drop("r1", "record", "http_status"),
        drop("r2", "record", "http_status"),
        drop("r3", "extract", "no_text"),
    ]
    write(lake, "rejects/web", rejected, JANUARY)
    write(lake, "rejects/web", [drop("r4", "record", "http_status")], FEBRUARY)
    write(lake, "files/web", [archive | {"records": 11, "documents": 4, "rejected": 3, "skipped": 4}], JANUARY)
    write(lake, "files/web", [archive | {"records": 3, "documents": 1, "rejected": 1, "skipped": 1}], FEBRUARY)
    write(lake, "raw/web", [page(name) for name in "abcd"], JANUARY)
    read = lake.version("raw/web")
    write(lake, "raw/web", [page("e")], FEBRUARY)
    write(lake, "rejects/web_clean", [drop("b", "quality", "words"), drop("c", "language", "unwanted")], JANUARY)
    inputs = {"raw/web": read, "rejects/web_clean": lake.version("rejects/web_clean")}
    write(lake, "filtered/web_clean", [page(name) for name in "ad"], JANUARY, inputs=inputs)
    call = {
        "recipe": "rewrite",
        "model": "scripted",
        "prompt_tokens": 10,
        "created_at": datetime(2026, 1, 1, tzinfo=UTC),
    }
    answered = call | {"status": "ok", "completion_tokens": 5, "cost_usd": Decimal("0.000000001")}
    calls = [answered | {"request_id": "q1"}, answered | {"request_id": "q2"}, call | {"status": "error"}]
    write(lake, "generations/rewrite", calls)
    judged = {"recipe": "rewrite", "model": "scripted", "n_chars": 7}
    outputs = [
        judged | {"unit_id": "s1", "accepted": True, "request_ids": ["q1", "q2"]},
        judged | {"unit_id": "s2", "accepted": False, "request_ids": ["q2"]},
    ]
    write(lake, "judgements/web_rewritten", outputs, JANUARY)
    write(lake, "rejects/web_rewritten", [drop("s2", "gate", "length")], JANUARY)
    write(
        lake,
        "synthetic/web_rewritten",
        [{"doc_id": "s1", "source": "web", "language": "en", "n_words": 2, "n_chars": 7}],
        JANUARY,
        inputs={"filtered/web_clean": 1},
    )
    members = [
        {"doc_id": "a", "component": "filtered/web_clean", "n_tokens": 4, "tokens": 4, "repeats": 2},
        {"doc_id": "s1", "component": "synthetic/web_rewritten", "n_tokens": 2, "tokens": 2, "repeats": 1},
    ]
    write(lake, "tokens/main", members, JANUARY)
    summary = [
        {"component": "filtered/web_clean", "weight": 3.0, "target_tokens": 9, "available_tokens": 4},
        {"component": "synthetic/web_rewritten", "weight": 1.0, "target_tokens": 3, "available_tokens": 2},
    ]
    write(lake, "mixtures/main", members, details={"summary": summary})
    whole = {"doc_id": "a", "start": 0, "length": 4, "document_start": 0}
    head = {"doc_id": "a", "start": 4, "length": 2, "document_start": 0}
    tail = {"doc_id": "a", "start": 0, "length": 2, "document_start": 2}
    rewrite = {"doc_id": "s1", "start": 2, "length": 2, "document_start": 0}
    sequences = [
        {"sequence_id": "main-0-0", "n_tokens": 6, "padding": 0, "documents": [whole, head]},
        {"sequence_id": "main-0-1", "n_tokens": 4, "padding": 2, "documents": [tail, rewrite]},
    ]
    write(lake, "shards/main", sequences)
    return lake


def run(lake: Lake, **options: Any) -> dg.ExecuteInProcessResult:
    assets = list(Statistics(after=["shards/main"]).build_defs(None).assets or [])
    return dg.materialize(assets, resources={"lake": LakeResource(root=str(lake.root))}, **options)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Lake, dg.ExecuteInProcessResult]:
    lake = build_lake(tmp_path_factory.mktemp("a lake") / "lake")
    return lake, run(lake)


def mart(lake: Lake, name: str, *columns: str) -> list[tuple[Any, ...]]:
    return lake.scan(f"stats/{name}").select(*columns).collect().rows()


def test_documents_are_counted_by_table_source_snapshot_language_and_host(built: Any) -> None:
    columns = [
        "table",
        "snapshot",
        "language",
        "host",
        "documents",
        "words",
        "characters",
        "tokenised_documents",
        "tokens",
    ]
    assert mart(built[0], "documents", *columns) == [
        ("filtered/web_clean", JANUARY, "en", "one.test", 1, 3, 14, 1, 4),  # a
        ("filtered/web_clean", JANUARY, "en", "two.test", 1, 4, 28, 0, None),  # d
        ("raw/web", JANUARY, "de", "two.test", 1, 2, 21, 0, None),  # c
        ("raw/web", JANUARY, "en", "one.test", 2, 4, 21, 0, None),  # a, b
        ("raw/web", JANUARY, "en", "two.test", 1, 4, 28, 0, None),  # d
        ("raw/web", FEBRUARY, "en", "one.test", 1, 2, 7, 0, None),  # e
        ("synthetic/web_rewritten", JANUARY, "en", None, 1, 2, 7, 1, 2),  # s1
    ]


def test_the_waterfall_goes_from_records_to_sequences(built: Any) -> None:
    columns = ["table", "step", "stage", "rule", "documents", "words", "tokens", "estimated_tokens"]
    steps = mart(built[0], "waterfall", *columns)
    assert steps == [
        ("raw/web", "records", None, None, 14, None, None, None),  # 11 + 3
        ("raw/web", "skipped", None, None, 5, None, None, None),  # 4 + 1
        ("raw/web", "pages", None, None, 9, None, None, None),
        ("raw/web", "dropped", "record", "http_status", 3, None, None, None),  # r1, r2, r4
        ("raw/web", "dropped", "extract", "no_text", 1, None, None, None),  # r3
        ("raw/web", "kept", None, None, 5, 12, None, 22),  # 77 characters * 2/7
        ("filtered/web_clean", "in", None, None, 4, 10, None, 20),  # a to d: 70 characters * 2/7
        ("filtered/web_clean", "dropped", "language", "unwanted", 1, 2, None, 6),  # c: 21 * 2/7
        ("filtered/web_clean", "dropped", "quality", "words", 1, 1, None, 2),  # b: 7 * 2/7
        ("filtered/web_clean", "kept", None, None, 2, 7, 4, 12),  # a has 4 tokens, d is not tokenised: 28 * 2/7
        ("synthetic/web_rewritten", "dropped", "gate", "length", 1, None, None, None),
        ("synthetic/web_rewritten", "kept", None, None, 1, 2, 2, 2),
        ("mixtures/main", "mixed", None, None, 2, None, 10, 10),  # 2 * 4 + 2
        ("shards/main", "packed", None, None, 2, None, 10, 10),
    ]


def test_what_came_in_is_balanced_with_what_became_of_it(built: Any) -> None:
    columns = ["table", "snapshot", "source_table", "documents_in", "skipped", "kept", "rejected", "difference"]
    assert mart(built[0], "balance", *columns) == [
        ("filtered/web_clean", JANUARY, "raw/web", 4, 0, 2, 2, 0),
        ("raw/web", JANUARY, "files/web", 11, 4, 4, 3, 0),
        ("raw/web", FEBRUARY, "files/web", 3, 1, 1, 1, 0),
    ]


def test_a_mixture_is_compared_with_its_weights(built: Any) -> None:
    columns = ["component", "available_tokens", "target_tokens", "target_share", "unique_tokens", "tokens", "share"]
    assert mart(built[0], "mixture_balance", *columns) == [
        ("filtered/web_clean", 4, 9, 0.75, 4, 8, 0.8),  # 8 of 10
        ("synthetic/web_rewritten", 2, 3, 0.25, 2, 2, 0.2),
    ]


def test_shards_and_model_calls_are_summed_up(built: Any) -> None:
    columns = ["table", "sequences", "tokens", "padding", "fill_share", "documents", "documents_split"]
    assert mart(built[0], "shard_fill", *columns) == [("shards/main", 2, 10, 2, 10 / 12, 2, 1)]
    columns = ["recipe", "model", "calls", "ok", "errors", "prompt_tokens", "completion_tokens", "cost_usd"]
    assert mart(built[0], "model_calls", *columns) == [("rewrite", "scripted", 3, 2, 1, 30, 10, Decimal("2e-9"))]


def test_what_outputs_cost_counts_a_call_once(built: Any) -> None:
    columns = [
        "table",
        "outputs",
        "accepted",
        "accept_rate",
        "accepted_chars",
        "calls",
        "completion_tokens",
        "cost_usd",
    ]
    # q2 went into both outputs.
    assert mart(built[0], "rewrites", *columns) == [("synthetic/web_rewritten", 2, 1, 0.5, 7, 2, 10, Decimal("2e-9"))]


def test_each_mart_is_an_asset_with_columns_checks_and_a_version_that_names_what_it_read(built: Any) -> None:
    lake, result = built
    assert result.success
    tables = {"/".join(event.asset_key.path): event for event in result.get_asset_materialization_events()}
    marts = {
        "documents",
        "waterfall",
        "balance",
        "mixture_balance",
        "shard_fill",
        "model_calls",
        "synthetic_share",
        "rewrites",
    }
    assert set(tables) == {f"stats/{name}" for name in marts}
    checks = {check.check_name: check.passed for check in result.get_asset_check_evaluations()}
    assert checks.pop("nothing_is_lost")
    assert len(checks) >= 15
    assert all(checks.values())
    commit = lake.history("stats/waterfall")[0]
    assert commit.inputs["raw/web"] == lake.version("raw/web")
    assert "stats/documents" not in commit.inputs
    (assets,) = Statistics(after=["shards/main"]).build_defs(None).assets or []
    spec = next(spec for spec in assets.specs if spec.key == dg.AssetKey(["stats", "waterfall"]))
    assert (spec.group_name, spec.kinds) == ("stats", {"dbt", "duckdb"})
    assert dg.AssetKey(["shards", "main"]) in {dep.asset_key for dep in spec.deps}
    columns = {column.name: column for column in spec.metadata["dagster/column_schema"].columns}
    assert list(columns) == lake.scan("stats/waterfall").collect_schema().names()
    assert all(column.description and column.type != "?" for column in columns.values())


def copy_of(built: Any, folder: Path) -> Lake:
    return Lake(shutil.copytree(built[0].root, folder / "lake"))


def test_the_file_can_be_read_by_any_duckdb_also_while_it_is_replaced(built: Any, tmp_path: Path) -> None:
    lake = copy_of(built, tmp_path)
    file = lake.root / "lake.duckdb"
    query = "SELECT sum(documents) FROM stats.documents WHERE \"table\" = 'raw/web'"
    code = f"""
import duckdb, sys
with duckdb.connect({str(file)!r}, read_only=True) as connection:
    for line in sys.stdin:
        print(*connection.execute({query!r}).fetchone(), flush=True)
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as reader:
        assert reader.stdin is not None
        assert reader.stdout is not None
        print(file=reader.stdin, flush=True)
        assert reader.stdout.readline() == "5\n"
        # January is read again, and b is no document this time. The filtered set was made from the earlier version.
        ledger = [drop(name, "record", "http_status") for name in ("r1", "r2", "r3", "b")]
        write(lake, "rejects/web", ledger, JANUARY)
        write(lake, "raw/web", [page(name) for name in "acd"], JANUARY)
        assert run(lake).success
        print(file=reader.stdin, flush=True)
        assert reader.stdout.readline() == "5\n"
    with duckdb.connect(str(file), read_only=True) as connection:
        assert connection.execute(query).fetchone() == (4,)
        assert connection.execute("SELECT count(*) FROM raw.web").fetchone() == (4,)
        assert connection.execute("SELECT count(*) FROM lake.lake.rejects").fetchone() == (8,)
    assert ("filtered/web_clean", 4, 0) in mart(lake, "balance", "table", "documents_in", "difference")
    assert ("raw/web", 11, 0) in mart(lake, "balance", "table", "documents_in", "difference")
    assert [commit.rows for commit in lake.history("stats/documents") if commit.asset] == [7, 7]
    assert list(lake.scratch.iterdir()) == []


def test_an_empty_lake_has_empty_statistics(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    assert run(lake).success
    assert {table: lake.scan(table).collect().height for table in lake.tables()} == {
        f"stats/{name}": 0
        for name in (
            "balance",
            "documents",
            "mixture_balance",
            "model_calls",
            "rewrites",
            "shard_fill",
            "synthetic_share",
            "waterfall",
        )
    }


def test_a_lost_document_fails_the_run_and_can_be_seen(built: Any, tmp_path: Path) -> None:
    lake = copy_of(built, tmp_path)
    write(lake, "rejects/web_clean", [drop("b", "quality", "words")], JANUARY)  # c is gone
    result = run(lake, raise_on_error=False)
    failed = {check.check_name for check in result.get_asset_check_evaluations() if not check.passed}
    assert failed == {"nothing_is_lost", "waterfall_adds_up"}
    assert not result.success
    assert ("filtered/web_clean", 1) in mart(lake, "balance", "table", "difference")


def test_a_model_that_cannot_be_built_is_named_in_one_line(tmp_path: Path) -> None:
    duckdb.connect(str(tmp_path / project.DATABASE)).close()
    with pytest.raises(
        project.DbtError, match=r"^dbt model \w+: .*Catalog Error: Table with name .* does not exist"
    ) as error:
        project.build(tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="/proc is Linux")
def test_dbt_that_waits_ends_with_the_process_that_started_it() -> None:
    code = "from assets.stats import project; project.load_early(); print(project._waiting[0].pid); input()"
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-uc", code], cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as starter:
        assert starter.stdout is not None
        waiting = Path("/proc", starter.stdout.readline().decode().strip())
        assert is_running(waiting)
        starter.kill()
    deadline = time.monotonic() + 30
    while is_running(waiting):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_dbt_is_ended_with_the_run_that_waits_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = []

    def interrupted(process: subprocess.Popen[str], *_: object) -> None:
        started.append(process)
        raise KeyboardInterrupt

    duckdb.connect(str(tmp_path / project.DATABASE)).close()
    project.manifest()  # parsed before, not by what is interrupted
    monkeypatch.setattr(subprocess.Popen, "communicate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        project.build(tmp_path)
    assert [process.returncode for process in started] == [-signal.SIGKILL]


def is_running(process: Path) -> bool:
    """Whether a process of /proc does anything still; one that only waits for its parent to ask does not."""
    try:
        return process.joinpath("stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.slow
def test_two_processes_may_parse_the_project_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "a path with spaces"
    shutil.copytree(project.FOLDER, folder, ignore=shutil.ignore_patterns("target"))
    code = """
import sys
from pathlib import Path
from assets.stats import project
project.FOLDER = Path(sys.argv[1])
assert "test.lakehouse.nothing_is_lost" in str(project.manifest()["child_map"])
"""
    command = [sys.executable, "-c", code, str(folder)]
    root = Path(__file__).parents[2]
    both = [subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for _ in range(2)]
    assert [process.communicate()[0] for process in both] == [b"", b""]
    assert [process.returncode for process in both] == [0, 0]
    assert len(list((folder / "target").iterdir())) == 1


def test_a_project_that_is_not_there_or_wrong_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(project, "FOLDER", tmp_path / "dbt")
    with pytest.raises(project.DbtError, match=r"There is no dbt project in .*dbt: "):
        project.manifest()
    shutil.copytree(Path(__file__).parents[2] / "dbt", tmp_path / "dbt", ignore=shutil.ignore_patterns("target"))
    (tmp_path / "dbt" / "models" / "documents.sql").write_text("select * from {{ ref('nowhere') }}")
    with pytest.raises(project.DbtError, match=r"dbt cannot parse .*nowhere") as error:
        project.manifest()
    assert "\n" not in str(error.value)
