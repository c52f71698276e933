"""Filters as a team sets them up: annotators, rules, edits, controls, alarms and recipes, through the commands."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from archives import REPOSITORY, WebPage, write_archive

from lakehouse import select
from lakehouse.lake import Lake

NOTICE = "All rights of this notice are held by the club of readers in the town."
MAIL = "Write to anna.example@letters.test if you have seen the bridge."

RAW = """
type: assets.raw.component.RawSource
attributes:
  name: web
  annotators:
    - gopher_quality
    - gopher_repetition
    - c4
    - fineweb
    - personal_data
    - shared_lines: {min_documents: 5}
    - questions: {kind: "our_annotators:marks", mark: "?"}
    - quality: {kind: fasttext_classifier, model: classifiers/quality, label: good}
"""

CLASSIFIERS = """
type: assets.classifiers.component.Classifier
attributes:
  name: quality
  positive: {label: good, sources: [good.jsonl]}
  negative: {label: poor, sources: [poor.jsonl]}
  auc_at_least: 0.9
"""

FILTERED = """
type: assets.filtered.component.FilteredSet
attributes:
  name: web_edited
  source: raw/web
  rules:
    - asks_little: {where: questions.n_marks <= 3, value: questions.n_marks}
    - longest: {top: 0.5, by: n_chars, seed: 1}
  edits: [shared_lines.shared_line_edits, {personal_data.personal: {only: [email_address]}}]
  duplicates: {method: exact, scope: all_snapshots}
  control: {size: documents, seed: 3}
  alarms: {min_documents: 5, max_loss: {host: 0.9}}
---
type: assets.filtered.component.FilteredSet
attributes:
  name: web_best
  source: raw/web
  rules: [{best: {top: 0.25, by: quality.score}}]
"""

OUR_ANNOTATORS = '''
import polars as pl
from lakehouse.annotate import measures


@measures({"n_marks": "int64"})
def marks(documents: pl.DataFrame, *, mark: str = "!") -> pl.DataFrame:
    """How often a mark stands in a text."""
    return documents.select(n_marks=pl.col("text").str.count_matches(mark, literal=True))
'''


WORDS = re.findall(
    r"\w+",
    """
    river bridge winter letter school garden train village neighbour stone paper window bread music harbour
    market teacher doctor story evening summer farmer carpenter library painter island forest mountain bakery
    kitchen lantern journey message captain orchard meadow shepherd weather clock station
    """,
)
SPAM = re.findall(
    r"\w+",
    """
    cheap click casino winner free offer bonus buy now prize lottery discount credit viagra
    """,
)
SMALL = re.findall(
    r"\w+",
    """
    the of and to with that have be from her his our their some every another under near for by
    """,
)


def article(seed: int, sentences: int = 12) -> str:
    """English prose without repetition; another for every seed."""
    chance = random.Random(seed)

    def sentence() -> str:
        words = [word for _ in range(chance.randint(5, 8)) for word in (chance.choice(SMALL), chance.choice(WORDS))]
        return f"{' '.join(words).capitalize()}."

    parts = [sentence() for _ in range(sentences)]
    return "\n\n".join(" ".join(parts[start : start + 4]) for start in range(0, len(parts), 4))


def page(number: int, host: str = "news.test", extra: str = "", sentences: int = 12) -> WebPage:
    paragraphs = "".join(
        f"<p>{part}</p>" for part in [*article(number, sentences).split("\n\n"), extra, NOTICE] if part
    )
    title = f"<title>Article {number}</title>"
    return WebPage(
        f"http://{host}/{number}.html", f"<html><head>{title}</head><body><main>{paragraphs}</main></body></html>"
    )


def lakehouse(*arguments: str, code: Path, root: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "LAKEHOUSE_ROOT": str(root), "PYTHONPATH": str(code), "COLUMNS": "200"}
    command = [sys.executable, "-m", "lakehouse", *arguments]
    return subprocess.run(command, env=environment, cwd=code, capture_output=True, text=True, timeout=300, check=False)


def build(selection: str, *, code: Path, root: Path) -> None:
    done = lakehouse("build", *([selection] if selection else []), code=code, root=root)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project, with definitions and an annotator of its own."""
    copy = tmp_path_factory.mktemp("a project")
    for name in ("lakehouse", "resources", "assets", "dbt"):
        shutil.copytree(REPOSITORY / name, copy / name, ignore=shutil.ignore_patterns("target"))
    for name in ("pyproject.toml", "workspace.yaml"):
        shutil.copy(REPOSITORY / name, copy / name)
    for layer in ("synthetic", "mixtures", "shards"):
        (copy / f"assets/{layer}/defs.yaml").unlink()
    shutil.rmtree(copy / "assets/stats")
    (copy / "our_annotators.py").write_text(OUR_ANNOTATORS)
    for name, words in (("good", WORDS), ("poor", SPAM)):
        texts = [" ".join(random.Random(number).choices([*words, *SMALL], k=30)) for number in range(200)]
        (copy / f"{name}.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    (copy / "assets/classifiers/defs.yaml").write_text(CLASSIFIERS)
    (copy / "assets/raw/defs.yaml").write_text(RAW)
    recipes = [select.load_recipe(name).text for name in ("fineweb", "dolma")]
    (copy / "assets/filtered/defs.yaml").write_text("---".join([FILTERED, *(f"\n{text}" for text in recipes)]))
    return copy


@pytest.fixture(scope="module")
def lake(code: Path, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Two snapshots; the second has a copy of a page of the first."""
    root = tmp_path_factory.mktemp("filters") / "the lake"
    many = page(90, extra="Who? What? Where? When? The people of the town asked and nobody in the valley could tell.")
    first = [*(page(number) for number in range(9)), page(9, extra=MAIL, sentences=30), many]
    write_archive(root / "landing/web/s1/a.warc.gz", [*first, page(50, host="short.test", sentences=4)])
    copy = page(9, extra=MAIL, sentences=30, host="copy.test")
    build("", code=code, root=root)
    write_archive(root / "landing/web/s2/a.warc.gz", [*(page(20 + number) for number in range(9)), copy])
    build("+filtered/web_edited_control", code=code, root=root)
    return Lake(root)


def of(lake: Lake, table: str, snapshot: str = "s1") -> pl.DataFrame:
    return lake.scan(table).filter(pl.col("snapshot") == snapshot).collect()


def test_own_rules_and_the_best_share_drop_with_value_and_threshold(lake: Lake) -> None:
    ledger = of(lake, "rejects/web_edited")
    asked = ledger.filter(pl.col("rule") == "asks_little").row(0, named=True)
    assert (asked["url"], asked["value"], asked["stage"]) == ("http://news.test/90.html", 4.0, "own")
    # 12 pages less one that asks: half of 11 is 5.5, and half a document counts as one.
    assert of(lake, "filtered/web_edited").height == 6
    assert ledger.filter(pl.col("rule") == "longest").height == 5
    shortest_kept = of(lake, "raw/web").join(of(lake, "filtered/web_edited"), on="doc_id", how="semi")["n_chars"].min()
    assert ledger.filter(pl.col("rule") == "longest")["threshold"].unique().to_list() == [shortest_kept]


def test_a_classifier_of_the_lake_scores_documents_and_the_best_stay(lake: Lake) -> None:
    assert lake.sql("SELECT count(*) FROM classifiers.quality").item() == 1
    assert lake.sql("SELECT count(DISTINCT split) FROM examples.quality").item() == 3
    scores = of(lake, "annotations/web/quality").select("doc_id", "score")
    assert scores["score"].is_between(0, 1).all()
    kept = of(lake, "filtered/web_best").join(scores, on="doc_id")["score"]
    dropped = of(lake, "rejects/web_best").join(scores, on="doc_id")["score"]
    # A quarter of 12 documents.
    assert len(kept) == 3
    assert kept.min() >= dropped.max()
    read = lake.last_commit("annotations/web/quality")
    assert read is not None
    assert read.inputs["classifiers/quality"] == lake.version("classifiers/quality")


def test_edits_change_the_text_and_can_be_undone_from_raw(lake: Lake) -> None:
    raw = {row["doc_id"]: row for row in of(lake, "raw/web").to_dicts()}
    kept = of(lake, "filtered/web_edited").to_dicts()
    assert all(NOTICE in raw[row["doc_id"]]["text"] for row in kept)
    assert not any(NOTICE in row["text"] for row in kept)
    with_mail = next(row for row in kept if row["url"].endswith("/9.html"))
    assert "anna.example@letters.test" in raw[with_mail["doc_id"]]["text"]
    assert "anna.example@letters.test" not in with_mail["text"]
    assert [edit["rule"] for edit in with_mail["edits"]] == ["email_address", "shared_line"]
    for row in kept:
        text = raw[row["doc_id"]]["text"]
        assert row["n_edits"] == len(row["edits"]) > 0
        for edit in reversed(row["edits"]):
            text = text[: edit["start"]] + edit["replacement"] + text[edit["end"] :]
        assert text.strip() == row["text"]
        assert row["n_chars"] == len(row["text"])
        assert row["n_words"] == len(row["text"].split())
        assert row["text_id"] != raw[row["doc_id"]]["text_id"]


def test_a_copy_in_a_later_snapshot_is_found_although_the_first_was_edited(lake: Lake) -> None:
    ledger = of(lake, "rejects/web_edited", "s2")
    copy = ledger.filter(pl.col("url") == "http://copy.test/9.html").row(0, named=True)
    original = of(lake, "filtered/web_edited").filter(pl.col("url") == "http://news.test/9.html")["doc_id"][0]
    assert (copy["rule"], copy["kept_id"]) == ("exact_duplicate", original)


def test_a_control_has_as_many_documents_drawn_from_the_same_source(lake: Lake) -> None:
    for snapshot in ("s1", "s2"):
        kept, drawn = of(lake, "filtered/web_edited", snapshot), of(lake, "filtered/web_edited_control", snapshot)
        assert drawn.height == kept.height
        left = of(lake, "rejects/web_edited_control", snapshot)
        assert left["rule"].unique().to_list() == ["not_drawn"]
        assert drawn.height + left.height == of(lake, "raw/web", snapshot).height
        # What was drawn was not edited.
        assert drawn["n_edits"].sum() == 0
    control = {row for part in ("s1", "s2") for row in of(lake, "filtered/web_edited_control", part)["doc_id"]}
    assert control != {row for part in ("s1", "s2") for row in of(lake, "filtered/web_edited", part)["doc_id"]}


def test_alarms_are_warnings_on_the_asset(lake: Lake, code: Path) -> None:
    script = """
import json, os, dagster as dg
from lakehouse.cli.instance import open_instance
from lakehouse.lake import Lake
instance = open_instance(Lake(os.environ["LAKEHOUSE_ROOT"]))
found = {}
for name in ("rules_leave_something", "rules_drop_something", "losses_in_bounds", "no_drift"):
    key = dg.AssetCheckKey(dg.AssetKey(["filtered", "web_edited"]), name)
    (record,) = instance.event_log_storage.get_asset_check_execution_history(key, limit=1)
    found[name] = [record.evaluation.passed, record.evaluation.severity.value]
print(json.dumps(found))
"""
    environment = {**os.environ, "LAKEHOUSE_ROOT": str(lake.root), "PYTHONPATH": str(code)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert {severity for _, severity in found.values()} == {"WARN"}
    assert found["rules_leave_something"] == [True, "WARN"]


def test_every_recipe_balances_and_its_edits_fit(lake: Lake) -> None:
    raw = of(lake, "raw/web").height
    for name in ("fineweb_lines", "dolma"):
        assert of(lake, f"filtered/web_{name}").height + of(lake, f"rejects/web_{name}").height == raw, name
    assert of(lake, "filtered/web_fineweb").height > 0
    lines = of(lake, "filtered/web_fineweb_lines").height
    assert of(lake, "filtered/web_fineweb").height + of(lake, "rejects/web_fineweb").height == lines
    for name in ("fineweb", "dolma"):
        assert not of(lake, f"filtered/web_{name}")["text"].str.contains("anna.example").any()


def test_what_if_a_rule_were_off_is_one_query(lake: Lake) -> None:
    query = "SELECT count(*) FROM rejects.web_edited WHERE failed = ['asks_little']"
    assert lake.sql(query).item() == 1


def test_a_second_build_has_nothing_to_do(lake: Lake, code: Path) -> None:
    done = lakehouse("build", "+filtered/web_edited_control", code=code, root=lake.root)
    assert "up to date" in done.stdout, done.stdout


@pytest.mark.parametrize(
    ("file", "right", "wrong", "message"),
    [
        (
            "filtered",
            "[shared_lines.shared_line_edits,",
            "[shared_lines.edits,",
            "yaml:9: edits 'shared_lines.edits' are",
        ),
        (
            "raw",
            'mark: "?"',
            'marc: "?"',
            "yaml:12: annotator 'our_annotators:marks' has no setting 'marc'. Did you mean",
        ),
        (
            "raw",
            "- fineweb",
            "- language: {model: /no/such.ftz}",
            "yaml:9: annotator 'language': /no/such.ftz cannot be",
        ),
    ],
)
def test_a_mistake_names_the_file_and_the_line(
    code: Path, lake: Lake, file: str, right: str, wrong: str, message: str
) -> None:
    definitions = code / f"assets/{file}/defs.yaml"
    before = definitions.read_text()
    assert right in before
    definitions.write_text(before.replace(right, wrong))
    try:
        done = lakehouse("status", code=code, root=lake.root)
    finally:
        definitions.write_text(before)
    assert done.returncode == 1
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_thresholds_are_fitted_and_used(code: Path, lake: Lake, tmp_path: Path) -> None:
    texts = tmp_path / "en.jsonl"
    texts.write_text("".join(json.dumps({"text": article(number)}) + "\n" for number in range(30)))
    out, words = tmp_path / "thresholds.yaml", tmp_path / "languages.yaml"
    options = ["--min-documents", "20", "--out", str(out), "--languages-out", str(words), "--rules", "gopher_quality"]
    done = lakehouse("fit-thresholds", f"en={texts}", *options, code=code, root=lake.root)
    assert done.returncode == 0, done.stderr
    fitted = yaml.safe_load(out.read_text())
    assert 3 < fitted["en"]["gopher_quality"]["min_mean_word_length"] < 5
    assert 0.3 <= fitted["en"]["languages"]["min_score"] <= 0.9
    assert "the" in yaml.safe_load(words.read_text())["en"]["stop_words"]
    assert select.resolve(["gopher_quality"], by_language=fitted)
    wrong = lakehouse("fit-thresholds", f"en={texts}", "--out", str(out), code=code, root=lake.root)
    assert wrong.returncode == 1
    assert "No language has 100 documents" in wrong.stderr


def test_a_recipe_filters_plain_files(code: Path, tmp_path: Path) -> None:
    rows = [{"id": "good", "text": article(1) + "\n\n" + MAIL}, {"id": "short", "text": "Nothing to see."}]
    texts = tmp_path / "texts.jsonl"
    texts.write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = lakehouse("filter", str(texts), "--recipe", "fineweb", "--texts", code=code, root=tmp_path)
    good, short = (json.loads(line) for line in done.stdout.splitlines())
    assert (good["id"], good["kept"], short["kept"]) == ("good", True, False)
    assert "anna.example@letters.test" not in good["text"]
    assert good["text"].startswith(article(1)[:40])
    assert short["rule"] is not None
    refused = lakehouse("filter", str(texts), "--recipe", "dclm", code=code, root=tmp_path)
    assert "looks at a classifier of your own" in refused.stderr


def test_recipes_are_listed_and_printed_ready_to_add(code: Path, tmp_path: Path) -> None:
    listed = lakehouse("recipe", code=code, root=tmp_path).stdout
    assert all(name in listed for name in select.recipe_names())
    printed = lakehouse("recipe", "fineweb", "--source", "raw/news", "--name", "news_good", code=code, root=tmp_path)
    blocks = [block["attributes"] for block in yaml.safe_load_all(printed.stdout)]
    assert [(one["name"], one["source"]) for one in blocks] == [
        ("news_good_lines", "raw/news"),
        ("news_good", "filtered/news_good_lines"),
    ]
    assert "annotators: [c4, gopher_quality, gopher_repetition]" in printed.stdout


def test_every_recipe_names_rules_that_there_are(code: Path) -> None:
    for name in select.recipe_names():
        recipe = select.load_recipe(name)
        assert recipe.description.endswith(".")
        for one in recipe.sets:
            known: list[Any] = [rule for rule in one["rules"] if isinstance(rule, str)]
            assert known == [] or select.resolve(known)
