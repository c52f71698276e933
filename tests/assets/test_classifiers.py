"""Classifiers as assets of the lake, and the commands that train models of text."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pyarrow as pa
import pytest
import typer
import yaml
from archives import REPOSITORY
from typer.testing import CliRunner

from assets.classifiers.component import Classifier, Examples, Parameters
from assets.classifiers.models import model_folder, with_model_folders
from assets.classifiers.sources import Source, existing_versions
from lakehouse import annotate, schema
from lakehouse.cli import train as commands
from lakehouse.commits import Origin
from lakehouse.lake import Lake, LakeError
from lakehouse.train import TrainingError, read_texts
from resources import LakeResource

GOOD = "measured evidence chapter result therefore method careful explain"
POOR = "click subscribe amazing free offer now buy wow"


def sentences(words: str, n: int) -> list[str]:
    draw = random.Random(words)
    return [" ".join(draw.choices([*words.split(), "the", "of", "and", "to"], k=15)) for _ in range(n)]


def fill(lake: Lake, texts: list[str], snapshot: str = "s1") -> None:
    """Make them the documents of filtered/web."""
    documents = pl.DataFrame({"text": texts}).with_columns(
        doc_id=pl.int_range(pl.len()).cast(pl.String),
        text_id=pl.lit("t"),
        snapshot=pl.lit(snapshot),
        source=pl.lit("web"),
        n_chars=pl.lit(1),
        n_words=pl.lit(1),
        parents=pl.lit([], pl.List(pl.String)),
        language=pl.lit("en"),
        n_edits=pl.lit(0),
        duplicates=pl.lit(1),
    )
    lake.replace_frame("filtered/web", documents, Origin(asset="filtered/web"), snapshot=snapshot)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Poor texts are in the lake, good ones in a file."""
    lake = Lake(tmp_path / "lake")
    fill(lake, sentences(POOR, 200))
    (tmp_path / "good.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in sentences(GOOD, 200)))
    return lake


def component(lake: Lake, **wanted: Any) -> Classifier:
    attributes: dict[str, Any] = {
        "name": "quality",
        "positive": Examples(label="good", sources=[str(lake.root.parent / "good.jsonl")]),
        "negative": Examples(label="poor", sources=["filtered/web"]),
        "parameters": Parameters(dimensions=4, buckets=500, epochs=20),
        "test_share": 0.2,
        "validation_share": 0.2,
        "auc_at_least": 0.9,
    }
    return Classifier(**(attributes | wanted))


def build(
    lake: Lake, classifier: Classifier, instance: dg.DagsterInstance | None = None, *, succeeds: bool = True
) -> dg.ExecuteInProcessResult:
    context: Any = None  # the component does not look at it
    assets = list(classifier.build_defs(context).assets or ())
    resources = {"lake": LakeResource(root=str(lake.root))}
    result = dg.materialize(assets, resources=resources, instance=instance, raise_on_error=succeeds)  # type: ignore[arg-type]
    assert result.success is succeeds
    return result


def test_a_classifier_is_a_version_with_its_examples_and_figures(lake: Lake) -> None:
    result = build(lake, component(lake))
    row = lake.scan("classifiers/quality").collect().row(0, named=True)
    examples = lake.scan("examples/quality").collect()
    assert row["roc_auc"] > 0.95
    assert json.loads(row["card"])["labels"] == {"positive": "good", "negative": "poor"}
    assert json.loads(row["metrics"])["test"]["n"] == examples.filter(pl.col("split") == "test").height
    assert dict(examples["label"].value_counts().iter_rows()) == {"good": 200, "poor": 200}
    assert set(examples["source"]) == {str(lake.root.parent / "good.jsonl"), "filtered/web"}

    commit = lake.last_commit("classifiers/quality")
    assert commit is not None
    assert commit.inputs == {"filtered/web": 0} or commit.inputs == {"filtered/web": lake.version("filtered/web")}
    (shown,) = result.asset_materializations_for_node("classifiers_quality")[1:]
    assert {"roc_auc", "f1", "confusion", "calibration", "plot"} <= shown.metadata.keys()
    (check,) = result.get_asset_check_evaluations()
    assert check.passed
    assert check.blocking


def test_its_folder_is_what_annotators_measure_with(lake: Lake) -> None:
    build(lake, component(lake))
    version = lake.version("classifiers/quality")
    declared = {"quality": {"kind": "fasttext_classifier", "model": "classifiers/quality", "label": "good"}}
    resolved = with_model_folders(declared, lake, {"classifiers/quality": version})
    folder = Path(resolved["quality"]["model"])
    assert folder.parent == lake.root / "models"
    annotator = annotate.annotator(resolved)
    examples = lake.scan("examples/quality").collect()
    documents = examples.select("text", doc_id="text_id", language=pl.lit("en"))
    (found,) = annotate.measure_all(documents, [annotator])
    assert found["score"].to_list() == examples["score"].to_list()
    # What was removed is written again, and then left alone.
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    assert model_folder(lake, "classifiers/quality", version) == folder
    written = (folder / "card.json").stat().st_mtime_ns
    assert model_folder(lake, "classifiers/quality") == folder
    assert (folder / "card.json").stat().st_mtime_ns == written
    with pytest.raises(LakeError, match="no classifiers/other yet"):
        model_folder(lake, "classifiers/other")


def test_it_is_kept_until_its_settings_change(lake: Lake) -> None:
    instance = dg.DagsterInstance.ephemeral()
    build(lake, component(lake), instance)
    fill(lake, sentences(POOR, 300), "s2")
    result = build(lake, component(lake), instance)
    assert lake.version("classifiers/quality") == lake.last_commit("classifiers/quality").version  # type: ignore[union-attr]
    assert len([commit for commit in lake.history("classifiers/quality") if commit.asset]) == 1
    (check,) = result.get_asset_check_evaluations()
    assert check.passed
    build(lake, component(lake, edition=2), instance)
    assert len([commit for commit in lake.history("classifiers/quality") if commit.asset]) == 2
    assert lake.scan("examples/quality").collect()["label"].value_counts().height == 2


def test_a_changed_file_is_a_changed_setting(lake: Lake) -> None:
    context: Any = None

    def code_version() -> set[str | None]:
        (built,) = component(lake).build_defs(context).assets or ()
        assert isinstance(built, dg.AssetsDefinition)
        return {spec.code_version for spec in built.specs}

    before = code_version()
    assert code_version() == before
    with (lake.root.parent / "good.jsonl").open("a") as file:
        file.write('{"text": "one more"}\n')
    assert code_version() != before


def test_a_classifier_that_is_not_good_enough_is_no_version(lake: Lake) -> None:
    halves = {
        name: Examples(label=name, sql=f"SELECT text FROM filtered.web WHERE doc_id::INT % 2 = {rest}")
        for rest, name in enumerate(("positive", "negative"))
    }
    result = build(lake, component(lake, **halves), succeeds=False)
    assert not lake.exists("classifiers/quality")
    assert not lake.exists("examples/quality")
    (check,) = result.get_asset_check_evaluations()
    assert not check.passed
    assert check.metadata["roc_auc"].value < 0.9


def test_building_twice_gives_the_same_rows(lake: Lake, tmp_path: Path) -> None:
    build(lake, component(lake))
    before = lake.scan("classifiers/quality").collect()
    build(lake, component(lake, edition=2))
    assert lake.scan("classifiers/quality").collect().equals(before)
    commit = lake.last_commit("classifiers/quality")
    assert commit is not None
    assert commit.content_version < commit.version


def test_what_a_source_reads_is_known_before_it_is_read() -> None:
    query = "WITH raw AS (FROM filtered.web) SELECT text FROM raw JOIN annotations.web__gopher USING (doc_id)"
    source = Source(("raw/web", "./raw/web", "a/b.txt"), query)
    assert source.tables == ["raw/web", "annotations/web/gopher", "filtered/web"]
    assert source.paths == [Path("raw/web"), Path("a/b.txt")]
    with pytest.raises(TrainingError, match="is no SELECT"):
        _ = Source(query="DROP TABLE filtered.web").tables
    with pytest.raises(TrainingError, match="names no table of the lake"):
        _ = Source(query="SELECT 1 AS text").tables


def test_a_source_that_cannot_be_read_is_named(lake: Lake) -> None:
    versions = existing_versions(lake, ["filtered/web"])
    with pytest.raises(LakeError, match=r"no filtered/other yet: build it first"):
        existing_versions(lake, ["filtered/other"])
    with pytest.raises(TrainingError, match="filtered/web has no column 'body'"):
        list(Source(("filtered/web",), column="body").read(lake, versions))
    with pytest.raises(TrainingError, match="gives no column `text`"):
        list(Source(query="SELECT doc_id FROM filtered.web").read(lake, versions))
    with pytest.raises(TrainingError, match="cannot be answered"):
        list(Source(query="SELECT nothing FROM filtered.web").read(lake, versions))


def test_the_queries_of_the_page_on_classifiers_run(lake: Lake) -> None:
    build(lake, component(lake))
    columns = schema.annotation_schema([pa.field("score", pa.float64())])
    for name, scores in {"quality": range(40), "textbook": [39 - n for n in range(40)]}.items():
        rows = pl.DataFrame({"doc_id": [f"{n:02}" for n in range(40)], "score": [n / 40 for n in scores]})
        rows = rows.with_columns(snapshot=pl.lit("2026-01"))
        table, origin = f"annotations/web/{name}", Origin(asset=f"annotations/web/{name}")
        lake.replace_frame(table, rows, origin, snapshot="2026-01", columns=columns)
    page = (REPOSITORY / "docs" / "rules" / "classifiers.md").read_text(encoding="utf-8")
    wrong, highest, ranks, bounds = (lake.sql(query).rows() for query in re.findall(r"```sql\n(.*?)```", page, re.S))
    assert all(len(row) == 4 for row in wrong)
    # Document 10 has the scores 10 / 40 and 29 / 40.
    assert highest[10] == ("10", 29 / 40, pytest.approx(39 / 80))
    # The tenth of 40 scores from below has the rank 10 / 39, so the bucket floor(20 * 10 / 39) = 5; the other
    # floor(20 * 29 / 39) = 14.
    assert ranks[10] == ("10", 14)
    assert (ranks[0], ranks[39]) == (("00", 19), ("39", 19))
    assert [bucket for _, _, bucket in bounds] == [n * 20 // 39 for n in range(39)] + [19]


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    commands.add_to(app)
    return app


def test_the_command_trains_without_a_lake_and_prints_the_block(app: typer.Typer, lake: Lake, tmp_path: Path) -> None:
    (tmp_path / "poor.txt").write_text("\n".join(sentences(POOR, 200)))
    command = ["train-classifier", "--name", "quality", "--out", str(tmp_path / "out"), "--lake", "--buckets", "500"]
    command += ["--positive", str(tmp_path / "good.jsonl"), "--negative", str(tmp_path / "poor.txt")]
    done = CliRunner().invoke(app, command, catch_exceptions=False)
    assert done.exit_code == 0
    assert "area under the ROC curve" in done.output
    assert {file.name for file in (tmp_path / "out").iterdir()} == {
        "model.bin",
        "card.json",
        "metrics.json",
        "evaluation.png",
    }
    block = yaml.safe_load(done.output[done.output.index("type: assets") :])
    declared = block["attributes"]
    assert block["type"] == "assets.classifiers.component.Classifier"
    assert declared["parameters"] == {"buckets": 500}
    assert declared["positive"] == {"label": "positive", "sources": [str(tmp_path / "good.jsonl")]}
    assert Classifier.model_validate(declared).negative.label == "negative"


def test_the_command_reads_tables_and_queries_of_the_lake(
    app: typer.Typer, lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAKEHOUSE_ROOT", str(lake.root))
    command = ["train-classifier", "--name", "q", "--out", str(tmp_path / "out"), "--buckets", "500"]
    command += ["--positive", str(tmp_path / "good.jsonl")]
    by_table = CliRunner().invoke(app, [*command, "--negative", "filtered/web"], catch_exceptions=False)
    model = (tmp_path / "out" / "model.bin").read_bytes()
    query = "SELECT text FROM filtered.web WHERE snapshot = 's1' ORDER BY doc_id DESC"
    by_query = CliRunner().invoke(app, [*command, "--negative-sql", query], catch_exceptions=False)
    assert by_table.exit_code == by_query.exit_code == 0
    assert (tmp_path / "out" / "model.bin").read_bytes() == model


def test_the_command_trains_a_model_of_harmful_text(app: typer.Typer, tmp_path: Path) -> None:
    (tmp_path / "harmful").mkdir()
    for number, text in enumerate(sentences(POOR, 60)):
        (tmp_path / "harmful" / f"{number}.txt").write_text(text)
    (tmp_path / "other.txt").write_text("\n".join(sentences(GOOD, 60)))
    out = tmp_path / "harmful.ngram"
    command = ["train-perplexity", str(tmp_path / "harmful"), "--out", str(out), "--other", str(tmp_path / "other.txt")]
    done = CliRunner().invoke(app, command, catch_exceptions=False)
    assert done.exit_code == 0
    assert "suggested threshold" in done.output
    figures = json.loads((tmp_path / "harmful.ngram.json").read_text())
    assert figures["roc_auc"] > 0.99
    assert (tmp_path / "harmful.ngram.png").read_bytes().startswith(b"\x89PNG")
    documents = pl.concat(read_texts([tmp_path / "other.txt", tmp_path / "harmful"])).select(
        "text", doc_id="text", language=pl.lit("en")
    )
    (found,) = annotate.measure_all(documents, [annotate.annotator({"p": {"kind": "perplexity", "model": str(out)}})])
    kept = found["perplexity"] > figures["threshold"]
    assert kept[:60].mean() > 0.95  # type: ignore[operator]
    assert kept[60:].mean() < 0.05  # type: ignore[operator]


def test_the_command_says_what_is_missing(app: typer.Typer, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no examples of the class 'positive'"):
        CliRunner().invoke(
            app, ["train-classifier", "--name", "q", "--out", str(tmp_path / "q")], catch_exceptions=False
        )
    assert not (tmp_path / "q").exists()
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("mine")
    with pytest.raises(TrainingError, match="holds something else already"):
        CliRunner().invoke(
            app, ["train-classifier", "--name", "q", "--out", str(tmp_path / "notes")], catch_exceptions=False
        )
