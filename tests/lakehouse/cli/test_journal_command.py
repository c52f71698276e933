"""`lakehouse journal` and `lakehouse recipes`: what is in journals, answers for other lakes, and recipes to copy."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from rewrites import ONE_STEP, document, invoke, lines, pointed_at, recipe_file, written

from lakehouse.generate import GenerationError, MockModel, RecipeError, load_recipe, recipe_names
from lakehouse.generate.mock.server import Faults
from lakehouse.lake import LakeError


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a file of eight documents, its rewrites and the journal of their calls."""
    folder = tmp_path_factory.mktemp("journal")
    file = written(folder / "in.jsonl", [{"text": document(n)} for n in range(8)])
    with MockModel() as model, pointed_at(model, LAKEHOUSE_PROMPT_PRICE="1000"):
        invoke("rewrite", file, "--recipe", recipe_file(folder), "--output", folder / "out.jsonl")
    return folder / "out.jsonl.journal"


def test_journals_are_listed_with_what_they_cost(journal: Path) -> None:
    with pointed_at(None):
        shown = invoke("journal", "list", "--journal", journal).stdout
    calls = pl.concat([pl.read_parquet(file) for file in journal.glob("generations/plain/**/*.parquet")])
    (row,) = [line.split() for line in shown.splitlines() if line.strip().startswith("plain")]
    tokens = calls["prompt_tokens"].sum()
    assert row[:6] == ["plain", "8", "8", "0", "0", f"{tokens:,}"]
    # A thousand dollars for a million tokens.
    assert float(row[7].replace(",", "")) == pytest.approx(tokens / 1000)
    assert row[8] == "lakehouse-mock-1"


def test_failed_and_reused_calls_are_counted_apart(journal: Path, tmp_path: Path) -> None:
    rows = [*lines(journal.parent / "in.jsonl"), {"text": document(8)}]
    file = written(tmp_path / "in.jsonl", rows)
    answers = tmp_path / "answers.parquet"
    endpoints = tmp_path / "endpoints.yaml"
    with MockModel(faults=Faults(unavailable=1.0)) as model, pointed_at(model, LAKEHOUSE_ENDPOINTS=str(endpoints)):
        settings = f"{{base_url: '{model.base_url}', model: lakehouse-mock-1, max_retries: 0}}"
        endpoints.write_text(f"default: {settings}", encoding="utf-8")
        assert "8 answers in" in " ".join(invoke("journal", "export", answers, "--journal", journal).stderr.split())
        other = tmp_path / "other"
        assert "8 new answers in" in " ".join(invoke("journal", "import", answers, "--journal", other).stderr.split())
        again = invoke("journal", "import", answers, "--journal", other)
        assert "0 new answers in" in " ".join(again.stderr.split())
        command = ("rewrite", file, "--recipe", journal.parent / "recipe.yaml", "--output", tmp_path / "out.jsonl")
        done = invoke(*command, "--journal", other, "--error-budget", "1")
        # The ninth document is the only one that is called for, and the server has nothing to say.
        assert "1 calls, 1 of them failed" in done.stderr
        assert "8 answers were taken from other journals" in done.stderr
        shown = invoke("journal", "list", "--journal", other).stdout
    (row,) = [line.split() for line in shown.splitlines() if line.strip().startswith("plain")]
    assert row[:5] == ["plain", "1", "8", "1", "8"]
    assert len(lines(tmp_path / "out.jsonl")) == 8


def test_nothing_is_written_over_and_what_is_wrong_is_one_line(journal: Path, tmp_path: Path) -> None:
    def refuses(*arguments: object) -> str:
        with pytest.raises((LakeError, GenerationError)) as error:
            invoke("journal", *arguments)
        assert "\n" not in str(error.value)
        return str(error.value)

    here = ("--journal", journal)
    file = tmp_path / "answers.parquet"
    file.write_text("mine")
    with pointed_at(None, LAKEHOUSE_ROOT=str(tmp_path / "none")):
        assert "is there already" in refuses("export", file, *here)
        assert file.read_text() == "mine"
        assert "There is no journal 'wrap'; there are plain." in refuses(
            "export", file, "--force", "--recipe", "wrap", *here
        )
        assert file.read_text() == "mine"
        assert "is no Parquet file" in refuses("import", file, *here)
        assert "there is no such file" in refuses("import", tmp_path / "other.parquet", *here)
        assert "There is no lake at" in refuses("list")
        assert "is no folder" in refuses("list", "--journal", tmp_path / "out.journal")
        invoke("journal", "export", file, "--force", "--recipe", "plain", *here)
        assert pl.read_parquet(file).height == 8
        # The middle of a file is not what its end says.
        whole = file.read_bytes()
        file.write_bytes(whole[:4] + bytes(len(whole) - 4_000) + whole[-3_996:])
        said = refuses("import", file, *here)
        assert str(file) in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["answers.parquet"]


def test_recipes_are_listed_and_what_is_shown_is_a_recipe(tmp_path: Path) -> None:
    listed = invoke("recipes").stdout
    assert [name for name in recipe_names() if f" {name} " not in listed] == []
    for name in ("wrap_qa", "dialogue", "prox_chunk", "reversal", "code_switch", "synthllm"):
        shown = invoke("recipes", name).stdout
        copy = tmp_path / f"{name}.yaml"
        copy.write_text(shown, encoding="utf-8")
        recipe = load_recipe(copy)
        assert recipe.version == load_recipe(name).version
        comments = [line for line in shown.splitlines() if line.startswith("#")]
        assert ("Little Skerry" in "".join(comments)) == recipe.asks, name
    own = recipe_file(tmp_path, ONE_STEP)
    assert "# Say it again.\n# <text>\n# The ferry to Little Skerry" in invoke("recipes", own).stdout
    with pytest.raises(RecipeError, match="Did you mean 'wrap_qa'"):
        invoke("recipes", "wrapqa")
