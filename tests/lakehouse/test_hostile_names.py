"""Names that mean harm: what is not refused works, and nothing is ever written outside the lake."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
from archives import REPOSITORY, article_page, write_archive
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from lakes import build, environment, rows

from assets.filtered.component import FilteredSet
from assets.materialization import table_name
from assets.mixtures.component import ComponentOf, Mixture
from assets.raw.component import RawSource
from assets.shards.component import Shards
from assets.synthetic.component import SyntheticSet
from lakehouse import schema
from lakehouse.cli import app
from lakehouse.cli.build import land
from lakehouse.cli.failures import BuildError, is_known
from lakehouse.cli.runs import Builder
from lakehouse.commits import Origin
from lakehouse.definitions import check_inputs
from lakehouse.lake import Lake, LakeError
from lakehouse.schema import TableNameError
from resources import ComputeResource, LakeResource, LanguageModelResource

HOSTILE = [
    "",
    ".",
    "..",
    "../x",
    "a/../../b",
    "/etc/passwd",
    "~/x",
    "x\0y",
    "a;DROP TABLE raw.web",
    "a' OR '1'='1",
    'a"b',
    "a b",
    "a\nb",
    "CON",
    "null",
    "NULL",
    "a...b",
    "2026",
    "1e5",
    "select",
    "order",
    "wеb",  # a Cyrillic е
    "ｗｅｂ",
    "ﬁltered",
    "web\u202e",
    "a__b",
    "a_",
    "__a",
    "-rf",
    "--help",
    "*",
    "[a]",
    "{a,b}",
    "%2e%2e",
    "$HOME",
    "x" * 63,
    "x" * 64,
    "x" * 5_000,
]
ALPHABET = st.sampled_from("ab_09A-./\\ \0\n;'\"*?[]{}%$~=:#,éеｗ\u202e\U0001f600")
NAMES = st.one_of(st.sampled_from(HOSTILE), st.text(ALPHABET, max_size=12), st.text(max_size=8))
SOME = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
ORIGIN = Origin(run_id="test", asset="rejects/web")
# Files below the landing folder: an archive may be called anything that a file can be called.
ARCHIVE_NAMES = [
    "it's.warc.gz",
    'a"b.warc.gz',
    "a[1].warc.gz",
    "a*b?.warc.gz",
    "{a,b}.warc.gz",
    "new\nline.warc.gz",
    "tab\t.warc.gz",
    "\x1b[31mred.warc.gz",
    "[bold]x[/bold].warc.gz",
    "100%.warc.gz",
    "%2e%2e.warc.gz",
    "a#b.warc.gz",
    "back\\slash.warc.gz",
    "-rf.warc.gz",
    "a;DROP TABLE.warc.gz",
    "snapshot=9/x.warc.gz",
    "é/ü\u202e.warc.gz",
    "cafe\u0301.warc.gz",
    "x" * 200 + ".warc.gz",
    " .warc.gz",
]


def rejects(snapshot: str, *ids: str) -> pl.DataFrame:
    rows_of = {"source": "web", "stage": "record", "rule": "redirect", "failed": ["redirect"], "snapshot": snapshot}
    return pl.DataFrame([{"doc_id": name, **rows_of} for name in ids])


@contextlib.contextmanager
def nothing_outside(root: Path) -> Iterator[None]:
    """Nothing is made beside the lake while the `with` block runs."""
    before = sorted(path for path in root.parent.rglob("*") if not path.is_relative_to(root))
    yield
    assert sorted(path for path in root.parent.rglob("*") if not path.is_relative_to(root)) == before


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "around").mkdir()
    return tmp_path / "around" / "lake"


@SOME
@given(NAMES)
def test_a_table_has_a_name_that_is_refused_or_works(tmp_path: Path, name: str) -> None:
    lake = Lake(tmp_path / "lake")
    with nothing_outside(lake.root):
        for table in (f"rejects/{name}", name):
            try:
                folder = lake.folder(table)
            except TableNameError:
                continue
            assert folder.parent == lake.root / "rejects"
            lake.replace_frame(table, rejects("s", name), ORIGIN, snapshot="s")
            assert rows(lake, f"SELECT doc_id FROM {schema.sql_name(table)}") == [(name,)]
            assert rows(lake, f"SELECT doc_id FROM lake.rejects WHERE \"table\" = 'rejects/{name}'") == [(name,)]
            assert table in lake.tables()
            shutil.rmtree(lake.root)


@SOME
@given(NAMES)
@example("a.b-C_1")
def test_a_snapshot_has_a_name_that_is_refused_or_works(tmp_path: Path, name: str) -> None:
    lake = Lake(tmp_path / "lake")
    with nothing_outside(lake.root):
        try:
            schema.check_snapshot(name)
        except TableNameError:
            with pytest.raises(TableNameError):
                lake.writer("rejects/web", snapshot=name)
            return
        lake.replace_frame("rejects/web", rejects(name, "a"), ORIGIN, snapshot=name)
        lake.replace_frame("rejects/web", rejects("other", "b"), ORIGIN, snapshot="other")
        lake.replace_frame("rejects/web", rejects(name, "c"), ORIGIN, snapshot=name)
        expected = [(name, "c"), ("other", "b")]
        assert sorted(rows(lake, "SELECT snapshot, doc_id FROM rejects.web")) == sorted(expected)
        assert sorted(lake.scan("rejects/web").select("snapshot", "doc_id").collect().rows()) == sorted(expected)
        assert lake.scan("rejects/web", snapshot=name).collect()["doc_id"].to_list() == ["c"]
        shutil.rmtree(lake.root)


@pytest.mark.parametrize("name", ["null", "Null", "a...b", "../x", "a/b", "", "x" * 64, "2026 01", ".hidden"])
def test_a_snapshot_that_others_would_read_as_something_else_is_refused(name: str) -> None:
    with pytest.raises(TableNameError, match="is not allowed: use letters, digits"):
        schema.check_snapshot(name)


@pytest.mark.parametrize("name", ["2026", "1a", "9"])
def test_a_table_name_that_sql_would_read_as_a_number_is_refused(name: str) -> None:
    with pytest.raises(TableNameError, match="a letter first"):
        schema.check_name(name)


@pytest.mark.parametrize("table", ["raw/web/more", "annotations/web", "annotations/a/b/c", "rejects", "lake/web"])
def test_no_table_is_in_the_folder_of_another(tmp_path: Path, table: str) -> None:
    with pytest.raises(TableNameError, match="is unknown"):
        Lake(tmp_path).folder(table)


@pytest.mark.parametrize(
    "name", ["it's", 'a"b', "a b", "{a}", "$HOME", "~", "é ü", "a;b", "a,b", "a&b", "a:b", "100%", "trail "]
)
def test_a_lake_can_be_in_a_folder_of_any_usual_name(tmp_path: Path, name: str) -> None:
    lake = Lake(tmp_path / name / "lake")
    lake.replace_frame("rejects/web", rejects("s", "a"), ORIGIN, snapshot="s")
    lake.vacuum("rejects/web", older_than_hours=0)
    assert rows(lake, "SELECT snapshot, doc_id FROM rejects.web") == [("s", "a")]
    assert lake.scan("rejects/web").collect()["doc_id"].to_list() == ["a"]
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize(
    "name", ["a%20b", "a#b", "a\\b", "snapshot=9", "a=b", "new\nline", "tab\t", "a*b", "a?b", "a[b]"]
)
def test_a_lake_is_not_made_where_some_reader_would_look_elsewhere(tmp_path: Path, name: str) -> None:
    # delta-rs reads a%20b as "a b", DuckDB a*b as a pattern, Polars a=b as a column.
    with pytest.raises(LakeError, match="a lake's path must not contain"):
        Lake(tmp_path / name / "lake")
    assert os.listdir(tmp_path) == []


RESOURCES = dg.Definitions(
    resources={
        "lake": LakeResource(root="lake"),
        "compute": ComputeResource(),
        "language_model": LanguageModelResource(),
    }
)
COMPONENTS: dict[str, Callable[[str], Any]] = {
    "raw source": lambda name: RawSource(name=name),
    "filtered set": lambda name: FilteredSet(name=name, source="raw/web"),
    "filtered set's source": lambda name: FilteredSet(name="mine", source=name),
    "filtered set's source's name": lambda name: FilteredSet(name="mine", source=f"raw/{name}"),
    "mixture": lambda name: Mixture(name=name, components=[ComponentOf(source="filtered/web_clean", weight=1)]),
    "mixture's source": lambda name: Mixture(name="mine", components=[ComponentOf(source=name, weight=1)]),
    "mixture's source's name": lambda name: Mixture(
        name="mine", components=[ComponentOf(source=f"filtered/{name}", weight=1)]
    ),
    "shards": lambda name: Shards(name=name, mixture="main"),
    "shards' mixture": lambda name: Shards(name="mine", mixture=name),
    "synthetic set": lambda name: SyntheticSet(name=name, source="filtered/web_clean", recipe="rewrite_clearly"),
    "synthetic set's source": lambda name: SyntheticSet(name="mine", source=name, recipe="rewrite_clearly"),
    "synthetic set's texts": lambda name: SyntheticSet(
        name="mine", source="rejects/web_clean", text_from=name, recipe="rewrite_clearly"
    ),
    "recipe": lambda name: SyntheticSet(name="mine", source="filtered/web_clean", recipe=name),
}


@pytest.mark.parametrize("part", COMPONENTS)
def test_a_name_in_a_defs_yaml_is_refused_or_names_a_table(part: str) -> None:
    for name in HOSTILE:
        context: Any = None  # these components do not look at it
        try:
            definitions = dg.Definitions.merge(COMPONENTS[part](name).build_defs(context), RESOURCES)
            for key in definitions.resolve_asset_graph().materializable_asset_keys:
                schema.layer_of(table_name(key))
            check_inputs(definitions)
        except (ValueError, OSError, dg.DagsterError) as error:
            refused_by_us(error)


def refused_by_us(error: Exception) -> None:
    """The error is one of ours, which names what is wrong, not one of somebody else from further in."""
    assert is_known(error), f"{type(error).__name__}: {error}"


def test_what_is_not_a_text_is_no_name() -> None:
    for name in (2026, None, ["web"], True):
        with pytest.raises(ValueError, match="valid string"):
            RawSource(name=name)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake whose archives have names of all kinds."""
    root = tmp_path_factory.mktemp("hostile") / "lake"
    for number, name in enumerate(ARCHIVE_NAMES):
        write_archive(root / "landing/web/s1" / name, [article_page(10 * number), article_page(10 * number + 1)])
    build(root, "+filtered/web_clean")
    return root


def test_archives_may_be_called_anything(built: Path) -> None:
    lake = Lake(built)
    expected = sorted((f"web/s1/{name}", 2) for name in ARCHIVE_NAMES)
    assert sorted(lake.scan("files/web").select("warc_file", "documents").collect().rows()) == expected
    query = "SELECT warc_file, count(*) FROM filtered.web_clean GROUP BY 1"
    assert sorted(rows(lake, query)) == expected


def lakehouse(*arguments: str, root: Path) -> subprocess.CompletedProcess[str]:
    environment_ = {**os.environ, "LAKEHOUSE_ROOT": str(root), "PYTHONPATH": str(REPOSITORY), "COLUMNS": "200"}
    command = [sys.executable, "-m", "lakehouse", *arguments]
    return subprocess.run(
        command, env=environment_, cwd=REPOSITORY, capture_output=True, text=True, timeout=120, check=False
    )


ARGUMENTS = [
    ("history", "raw/../../x"),
    ("history", "/etc/passwd"),
    ("diff", "../x"),
    ("restore", "../x", "1"),
    ("trace", "../x"),
    ("trace", "a' OR '1'='1"),
    ("build", "../x"),
    ("build", "--snapshot", "../x"),
    ("ingest", "pyproject.toml", "--source", "../x"),
    ("ingest", "pyproject.toml", "--snapshot", "../x"),
    ("ingest", "pyproject.toml", "--snapshot", "null"),
    ("crawl", "http://127.0.0.1:9/", "--source", "../x"),
    ("crawl", "http://127.0.0.1:9/", "--snapshot", "a/../../b"),
]


@pytest.mark.parametrize("arguments", ARGUMENTS, ids=" ".join)
def test_a_hostile_argument_is_refused(built: Path, arguments: tuple[str, ...]) -> None:
    with nothing_outside(built), environment(built), pytest.raises((RuntimeError, ValueError)) as error:
        app(list(arguments), standalone_mode=False)
    refused_by_us(error.value)


def test_a_refused_argument_is_one_line(built: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "lakehouse", "crawl", "http://127.0.0.1:9/", "--source", "../a\nb"],
        env={**os.environ, "LAKEHOUSE_ROOT": str(built)},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert re.fullmatch(r"Error: raw source '../a\\nb' is not allowed: [^\n]+\n", done.stderr), done.stderr


def test_a_snapshot_folder_with_a_bad_name_is_reported_and_the_others_are_built(root: Path) -> None:
    write_archive(root / "landing/web/good/a.warc.gz", [article_page(1)])
    for name in ("bad name", "null", "\x1b[31m"):
        write_archive(root / "landing/web" / name / "a.warc.gz", [article_page(2)])
    with nothing_outside(root), pytest.raises(BuildError) as failure:
        build(root, "raw/web")
    assert str(failure.value).count("is not allowed: use letters, digits") == 3
    assert rows(Lake(root), "SELECT snapshot, count(*) FROM raw.web GROUP BY 1") == [("good", 1)]


def test_a_file_is_linked_and_only_read(root: Path) -> None:
    elsewhere = root.parent / "elsewhere"
    write_archive(elsewhere / "a.warc.gz", [article_page(1)])
    before = (elsewhere / "a.warc.gz").stat()
    lake = Lake(root)
    land(lake, [elsewhere / "a.warc.gz"], "web", "s1")
    with nothing_outside(root):
        build(root, "+filtered/web_clean")
        assert (lake.landing / "web/s1/a.warc.gz").is_symlink()
        assert rows(lake, "SELECT warc_file FROM filtered.web_clean") == [("web/s1/a.warc.gz",)]
    after = (elsewhere / "a.warc.gz").stat()
    assert (after.st_mtime_ns, after.st_size) == (before.st_mtime_ns, before.st_size)


def test_links_to_folders_are_not_followed_into_other_places(root: Path) -> None:
    write_archive(root / "landing/web/s1/a.warc.gz", [article_page(1)])
    write_archive(root.parent / "secret/b.warc.gz", [article_page(2)])
    (root / "landing/web/s1/way out").symlink_to(root.parent / "secret")
    (root / "landing/web/s1/round").symlink_to(root / "landing/web/s1")
    build(root, "raw/web")
    assert rows(Lake(root), "SELECT warc_file FROM files.web") == [("web/s1/a.warc.gz",)]


def test_the_documents_of_a_link_whose_file_is_gone_are_missed_not_forgotten(root: Path) -> None:
    file = root.parent / "b.warc.gz"
    write_archive(root / "landing/web/s1/a.warc.gz", [article_page(1)])
    write_archive(file, [article_page(2)])
    lake = Lake(root)
    land(lake, [file], "web", "s1")
    build(root, "raw/web")
    assert build(root, "raw/web").runs == 0
    file.unlink()

    with pytest.raises(BuildError, match=r"No such file or directory: .*landing/web/s1/b\.warc\.gz"):
        build(root, "raw/web")
    assert rows(lake, "SELECT count(*) FROM raw.web") == [(2,)]


@pytest.mark.parametrize("name", [b".hidden.warc.gz", b"a.warc.gz.partial", b"\xff\xfe.warc.gz"])
def test_a_file_that_would_never_be_read_is_not_taken_in(root: Path, name: bytes) -> None:
    folder = root.parent / "in"
    write_archive(folder / "a.warc.gz", [article_page(1)])
    file = Path(os.fsdecode(os.fsencode(folder) + b"/" + name))
    (folder / "a.warc.gz").rename(file)
    with pytest.raises(LakeError, match="rename it"):
        land(Lake(root), [file], "web", "s1")
    assert not root.exists()


def test_a_build_with_hostile_selections_is_refused(built: Path) -> None:
    with environment(built), Builder(Lake(built)).opened() as builder:
        for name in HOSTILE:
            if name != "*":  # everything
                with pytest.raises(BuildError):
                    builder.select(name)
            with pytest.raises(BuildError):
                builder.snapshots(name)
