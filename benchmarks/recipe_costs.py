"""What each recipe costs on the scripted model: `python benchmarks/recipe_costs.py [--write docs/recipes.md]`.

Every shipped recipe rewrites the English pages of the demo's web (the code recipes: tests of this repository) against
the model server that ships with the package, whose answers are scripted: the figures are of prompts and forms, and the
lengths of real answers differ. Tokens are the server's, four characters each; those of the source are bytes / 4.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from lakehouse import annotate
from lakehouse.commits import Origin
from lakehouse.extract import extract_page
from lakehouse.generate import (
    Asking,
    Endpoint,
    Index,
    Limits,
    MockModel,
    Model,
    Others,
    Recipe,
    Recorder,
    Rewriting,
    Tools,
    Unit,
    estimated_tokens,
    load_recipe,
    recipe_names,
    units_of,
)
from lakehouse.generate.mock.server import MODEL
from lakehouse.lake import Lake

ROOT = Path(__file__).resolve().parents[1]
CODE = ("swallow_code", "edit_sequence")
LEXICON = "the\tder\nwater\tWasser\nhouse\tHaus\nyear\tJahr\nand\tund\nis\tist\nwith\tmit\ntime\tZeit\nbread\tBrot\n"
HEADING = "## Cost on the scripted model\n"
MILLION = 1_000_000


def main() -> None:
    """Measure, print the table, and put it into the page if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path, help="the page whose table is replaced")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, MockModel() as server:
        pages, modules = documents(_pages(), Path(folder)), documents(_modules(), Path(folder))
        rows = [measured(name, modules if name in CODE else pages, server, Path(folder)) for name in recipe_names()]
    header = ("recipe", "calls", "prompt tokens", "completion tokens", "accept rate")
    lines = [f"| {' | '.join(header)} |", f"|{'---|' * len(header)}", *(f"| {' | '.join(row)} |" for row in rows)]
    table = "\n".join(lines) + "\n"
    print(table)
    if arguments.write:
        page, found, _ = arguments.write.read_text("utf-8").partition(HEADING)
        assert found, f"{arguments.write} has no heading {HEADING!r}"
        arguments.write.write_text(page + HEADING + _INTRODUCTION + table, "utf-8")


_INTRODUCTION = """
`python benchmarks/recipe_costs.py --write docs/recipes.md` runs every recipe on the English pages of the demo's web
(code recipes on tests of this repository) against `lakehouse mock-llm`. Calls and tokens are per million tokens of the
source; prompt tokens are close to what a real model is sent, the lengths of answers and the accept rate are those of a
script. `lakehouse estimate` says what a set of yours will cost, from the answers that its recipe has had.

"""


def measured(name: str, anchors: pl.DataFrame, server: MockModel, folder: Path) -> tuple[str, ...]:
    """One row of the table."""
    recipe = load_recipe(name)
    if name == "code_switch":
        recipe = _with_lexicon(recipe, folder)
    if recipe.units.group:
        anchors = anchors.with_columns(group=(pl.int_range(pl.len()) // recipe.units.group.documents).cast(pl.String))
    anchors = anchors.with_columns(
        pl.lit("").alias(column) for column in recipe.columns if column not in anchors.columns
    )
    source = sum(estimated_tokens(text) for text in anchors["text"])
    lake, table = Lake(folder / name), f"generations/{name}"

    def units() -> Iterator[list[Unit]]:
        yield list(units_of(anchors, recipe))

    endpoints = {one: Endpoint(base_urls=(server.base_url,), model=MODEL) for one in recipe.endpoints}
    asking = Asking(recipe, {one: Model(MODEL) for one in endpoints})
    rewriting = Rewriting(units, asking, Index(lake, table), Tools(identify=annotate.identify))
    with Recorder(lake, table, Origin(), None) as recorder:
        run = rewriting.run(
            endpoints, recorder, Others(lake, table), Limits(error_budget=1), batches=folder / "batches"
        )
    judged = pl.concat([laid.judgements for laid in rewriting.documents()])
    report = run.report
    counts = (report.succeeded + report.failed, report.prompt_tokens, report.completion_tokens)
    return (f"`{name}`", *(f"{count * MILLION / source:,.0f}" for count in counts), f"{judged['accepted'].mean():.0%}")


def documents(texts: list[str], folder: Path) -> pl.DataFrame:
    """Anchors of these texts."""
    rows = {"doc_id": [f"{place:032x}" for place in range(len(texts))], "text": texts}
    return pl.DataFrame(rows).with_columns(
        snapshot=pl.lit("s"), source=pl.lit("demo"), language=pl.lit("en"), depth=pl.lit(0, pl.Int64)
    )


def _pages() -> list[str]:
    """The texts of the demo's English pages."""
    files = sorted((ROOT / "lakehouse" / "demo" / "site").rglob("*.html"))
    texts = [extract_page(file.read_bytes()).text for file in files if file.stat().st_size > 1_000]
    languages = annotate.identify(texts)["language"]
    return [text for text, language in zip(texts, languages, strict=True) if language == "en" and len(text) > 500]


def _modules() -> list[str]:
    """Python of this repository."""
    return [file.read_text("utf-8") for file in sorted((ROOT / "tests" / "lakehouse").glob("test_*.py"))]


def _with_lexicon(recipe: Recipe, folder: Path) -> Recipe:
    """The recipe with a lexicon of a few words: none ships with the package."""
    lexicon = folder / "lexicon.tsv"
    lexicon.write_text(LEXICON, "utf-8")
    content = recipe.model_dump(by_alias=True)
    content["steps"][0]["transform"]["code_switch"]["lexicons"] = {"de": str(lexicon)}
    return Recipe.model_validate({key: value for key, value in content.items() if value is not None})


if __name__ == "__main__":
    main()
