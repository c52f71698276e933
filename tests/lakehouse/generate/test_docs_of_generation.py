"""docs/generation.md and docs/writing-recipes.md, held against the code: examples, settings, queries, links."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import dagster as dg
import duckdb
import pytest
import typer
import yaml
from lakes import definitions_of
from pydantic import BaseModel
from typer.testing import CliRunner

from assets.classifiers.component import Classifier
from assets.filtered.component import FilteredSet
from assets.raw.component import RawSource
from assets.synthetic.component import ExamplesFrom, RouteTo, SyntheticSet
from assets.synthetic.work import Plan
from lakehouse import schema
from lakehouse.cli import app, show
from lakehouse.commits import Origin
from lakehouse.generate import Endpoint, Recipe, RecipeError, load_recipe, recipe_names, sections
from lakehouse.generate.gates import settings as gates
from lakehouse.generate.transforms import TRANSFORMS
from lakehouse.lake import Lake
from resources import LanguageModelResource

REPOSITORY = Path(__file__).parents[3]
GENERATION, WRITING = (REPOSITORY / "docs" / name for name in ("generation.md", "writing-recipes.md"))
PAGES = pytest.mark.parametrize("page", [GENERATION, WRITING], ids=lambda page: page.stem)
COMPONENTS: dict[str, type[Any]] = {
    "assets.synthetic.component.SyntheticSet": SyntheticSet,
    "assets.filtered.component.FilteredSet": FilteredSet,
    "assets.classifiers.component.Classifier": Classifier,
}
AROUND_A_PART = {
    "name": "part",
    "purpose": "What stands around a part of a recipe.",
    "paper": "None.",
    "units": {"document": {}},
    "sampling": {"temperature": 0.5, "top_p": 1.0, "max_tokens": 500},
    "steps": [{"name": "rewrite", "user": "Rewrite.\n<text>\n{{ text }}\n</text>"}],
}


class Block(NamedTuple):
    """A block of a page: its first line's number, the file that a first comment names, and what stands in it."""

    line: int
    file: str
    text: str


def blocks(page: Path, language: str) -> Iterator[Block]:
    """The blocks of a language."""
    content = page.read_text("utf-8")
    for found in re.finditer(rf"^```{language}\n(.*?)^```$", content, re.DOTALL | re.MULTILINE):
        file = re.match(r"# (?:of )?(\S+\.yaml)\n", found[1])
        yield Block(content.count("\n", 0, found.start()) + 2, file[1] if file else "", found[1])


@cache
def contents(page: Path) -> list[tuple[Block, list[dict[str, Any]]]]:
    """The blocks of YAML, and the documents in each."""
    return [(block, list(yaml.safe_load_all(block.text))) for block in blocks(page, "yaml")]


def recipes(page: Path) -> Iterator[tuple[Block, dict[str, Any]]]:
    """Recipes, whole ones and parts that something is put around."""
    for block, (content, *_) in contents(page):
        if "type" not in content and block.file != "endpoints.yaml":
            yield block, content if "name" in content else AROUND_A_PART | content


def components(page: Path) -> Iterator[Any]:
    """What the blocks of `defs.yaml` declare."""
    for _, declared in contents(page):
        for content in declared:
            if "type" in content:
                yield COMPONENTS[content["type"]].model_validate(content["attributes"])


def spoken_of(page: Path) -> set[str]:
    """The words in code, inside of sentences and in blocks."""
    content = page.read_text("utf-8")
    code = re.findall(r"^```.*?^```$", content, re.DOTALL | re.MULTILINE)
    code += re.findall(r"`[^`\n]+`", re.sub(r"^```.*?^```$", "", content, flags=re.DOTALL | re.MULTILINE))
    return {word for part in code for word in re.findall(r"\w+", part)}


def keys_of(*models: type[BaseModel]) -> set[str]:
    """What their YAML may have."""
    return {field.alias or name for model in models for name, field in model.model_fields.items()}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which the recipes of the pages lie where they say."""
    monkeypatch.chdir(tmp_path)
    for page in (GENERATION, WRITING):
        for block, content in recipes(page):
            if block.file:
                (tmp_path / block.file).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / block.file).write_text(yaml.safe_dump(content), "utf-8")
    return tmp_path


def test_every_recipe_on_the_pages_is_one(tmp_path: Path) -> None:
    found = [*recipes(GENERATION), *recipes(WRITING)]
    for block, content in found:
        file = tmp_path / f"line_{block.line}.yaml"
        file.write_text(yaml.safe_dump(content), "utf-8")
        assert load_recipe(file).steps
    assert len(found) >= 8


@PAGES
def test_the_sets_on_a_page_can_be_declared_beside_each_other(page: Path, project: Path) -> None:
    around = [
        RawSource(name="web", annotators=["gopher_quality"]),
        FilteredSet(name="web_clean", source="raw/web", rules=["consent", "gopher_quality"]),
    ]
    made: dg.Definitions = definitions_of(*around, *components(page))
    tables = {"/".join(key.path) for key in made.resolve_asset_graph().get_all_asset_keys()}
    assert {part.plan.table for part in components(page) if isinstance(part, SyntheticSet)} < tables


def test_the_files_of_endpoints_are_read(tmp_path: Path) -> None:
    names: set[str] = set()
    for page in (GENERATION, WRITING):
        for block in blocks(page, "yaml"):
            if block.file == "endpoints.yaml":
                file = tmp_path / block.file
                file.write_text(block.text, "utf-8")
                names |= LanguageModelResource(endpoints_file=str(file)).endpoints().keys()
    assert names == {"default", "judge", "overnight"}


def test_every_key_of_a_recipe_is_explained() -> None:
    kinds = [sections, gates]
    found = [one for kind in kinds for one in vars(kind).values() if isinstance(one, type)]
    models = [one for one in found if issubclass(one, BaseModel)]
    settings = [one.settings for one in TRANSFORMS.values()]
    keys = keys_of(Recipe, *models, *settings) | TRANSFORMS.keys() | sections.OF_THE_UNIT
    assert not keys - spoken_of(WRITING)


def test_every_setting_and_every_column_is_explained() -> None:
    settings = keys_of(SyntheticSet, RouteTo, ExamplesFrom) | {field.name for field in fields(Endpoint)}
    common = [*schema.TEXT_COLUMNS, *schema.LANGUAGE_COLUMNS, *schema.GATE_MEASURES]
    tables = (schema.GENERATIONS, schema.SYNTHETIC, schema.JUDGEMENTS, schema.DIVERSITY)
    columns = {name for table in tables for name in table.names} - {field.name for field in common}
    assert not (settings | columns) - spoken_of(GENERATION)


def test_defaults_are_those_of_the_code() -> None:
    defaults = {name: field.default for name, field in SyntheticSet.model_fields.items()}
    defaults |= {field.name: field.default for field in fields(Endpoint)}
    defaults |= {"count": ExamplesFrom.model_fields["count"].default}
    checked = set()
    for row in re.finditer(r"^\| (`[^|]*) \|[^|]*\| `([^`]+)` \|$", GENERATION.read_text("utf-8"), re.MULTILINE):
        for name in re.findall(r"`(\w+)`", row[1]):
            if name in defaults and defaults[name] is not None:
                assert str(defaults[name]).lower() == row[2].lower(), name
                checked.add(name)
    assert {"error_budget", "seed", "count", "max_in_flight", "timeout", "batch_discount", "processes"} <= checked


def test_the_gates_stand_in_the_order_in_which_they_are_tried() -> None:
    table = WRITING.read_text("utf-8").partition("| gate |")[2].partition("\n\n")[0]
    named = [name for row in re.findall(r"^\|([^|]*)\|", table, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)]
    assert named == list(gates.Gates.model_fields)


def test_the_mistake_on_the_page_is_reported_so(project: Path) -> None:
    (block,) = (block for block in blocks(WRITING, "yaml") if block.file.endswith("glossary.yaml"))
    Path("glossary.yaml").write_text(block.text.replace("for_each: terms", "for_each: term "), "utf-8")
    with pytest.raises(RecipeError) as caught:
        load_recipe("glossary.yaml")
    said = str(caught.value).removesuffix(".")
    assert f"`{said}`" in WRITING.read_text("utf-8")


def test_the_complete_example_can_be_estimated(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (block,) = (block for block in blocks(WRITING, "yaml") if block.file == "endpoints.yaml")
    Path("endpoints.yaml").write_text(block.text, "utf-8")
    for name in ("LAKEHOUSE_MODEL_URL", "LAKEHOUSE_MODEL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LAKEHOUSE_ENDPOINTS", "endpoints.yaml")
    text = "A tide clock shows when the water is highest. " * 20
    line = f'{{"id": "a", "text": "{text}", "language": "en"}}\n'
    Path("sample.jsonl").write_text(line, "utf-8")
    command = ["rewrite", "sample.jsonl", "--recipe", "assets/synthetic/glossary.yaml", "--dry-run"]
    monkeypatch.setattr(show.console, "_width", 120)  # the console looks for the terminal's when it is made
    result = CliRunner().invoke(app, command)
    # 920 bytes are 230 tokens, one passage; it leads to 1 call, and to 6 at most after it.
    assert re.search(r"terms\s+1\s+0\s+1\s", result.output), result.output
    assert re.search(r"definition\s+1\s+0\s+≈ 6\s", result.output), result.output


def queries(page: Path) -> Iterator[str]:
    """The queries of a page, those in sets included."""
    yield from (block.text for block in blocks(page, "sql"))
    for part in components(page):
        if isinstance(part, SyntheticSet):
            yield from queries_of(part.plan)
        elif isinstance(part, Classifier):
            yield from (side.sql for side in (part.positive, part.negative) if side.sql)


def queries_of(plan: Plan) -> Iterator[str]:
    """What a set asks of the lake, in our own words."""
    conditions = [plan.choice.where, *plan.choice.routes]
    wanted = " AND ".join(f"({condition})" for condition in conditions if condition) or "true"
    group = plan.choice.group_by or "NULL"
    yield f"SELECT doc_id, {group} FROM {schema.sql_name(plan.choice.source)} WHERE {wanted}"
    if plan.examples:
        yield plan.examples.sql


@PAGES
def test_queries_name_columns_that_exist(page: Path, project: Path) -> None:
    asked = list(queries(page))
    named = {found for query in asked for found in re.findall(r"(?:FROM|JOIN) ([a-z]+)\.(\w+)", query)}
    lake = Lake(project / "lake")
    for layer, name in sorted(named - {("lake", name) for _, name in named}):
        if layer != "stats":
            table, kind = f"{layer}/{name}", schema.LAYERS[layer]
            assert kind.schema is not None
            snapshot = "s1" if kind.partition_by else None
            lake.replace_frame(table, schema.empty(kind.schema), Origin(asset=table), snapshot=snapshot)
    with lake.connect() as connection:
        for layer, name in named:
            if layer == "stats":
                add_mart(connection, name)
        for query in asked:
            try:
                connection.execute(f"EXPLAIN {query}")
            except duckdb.Error as error:
                pytest.fail(f"{error}\n{query}")
    assert asked


def add_mart(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """An empty table with the columns that dbt documents."""
    (mart,) = (mart for mart in documented_marts() if mart["name"] == name)
    columns = ", ".join(f'"{column["name"]}" {column["data_type"]}' for column in mart["columns"])
    connection.execute(f"CREATE SCHEMA IF NOT EXISTS stats; CREATE TABLE stats.{name} ({columns})")


@cache
def documented_marts() -> list[dict[str, Any]]:
    """The statistics, and the columns of each."""
    text = (REPOSITORY / "dbt" / "models" / "marts.yml").read_text("utf-8")
    marts: list[dict[str, Any]] = yaml.safe_load(text)["models"]
    return marts


@PAGES
def test_commands_and_their_options_exist(page: Path) -> None:
    known = commands(typer.main.get_command(app))
    content = re.sub(r"\\\n", " ", page.read_text("utf-8"))
    # A name that holds "lakehouse" is none: "Lakehouse", ".lakehouse", "lakehouse-mock-1", "lakehouse.generate".
    found = re.findall(r"(?<![\w.-])lakehouse ((?:[a-z][a-z-]*)(?:[^`\n|#>]*))", content)
    checked = set()
    for said in found:
        words = said.split()
        name = " ".join(words[:2]) if " ".join(words[:2]) in known else words[0]
        assert name in known, said
        assert not set(re.findall(r"(?<!\S)--[a-z-]+", said)) - known[name], said
        checked.add(name)
    assert {"rewrite", "mock-llm"} <= checked


def commands(command: Any, name: str = "") -> Mapping[str, set[str]]:
    """The options of each command."""
    own = {option for parameter in command.params for option in parameter.opts if option.startswith("--")}
    found = {name: own}
    for inner, sub in getattr(command, "commands", {}).items():
        found |= commands(sub, f"{name} {inner}".strip())
    return found


@PAGES
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8"))
    assert links
    for link in links:
        file, _, part = link.partition("#")
        target = page.parent / file if file else page
        assert target.is_file(), link
        assert not part or part in headings(target), link


def headings(page: Path) -> set[str]:
    """The headings of a page, as links to them are written."""
    found = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in found}


def test_every_recipe_that_the_pages_name_is_shipped() -> None:
    shipped = set(recipe_names())
    name = re.compile(r"(?:--recipe |(?<!-)recipe: |lakehouse recipes )([a-z_]+)(?![\w/.])")
    for page in (GENERATION, WRITING):
        named = name.findall(page.read_text("utf-8"))
        assert named
        assert set(named) <= shipped
    assert f"| rewrites | {len(shipped)} recipes" in (REPOSITORY / "README.md").read_text("utf-8")
