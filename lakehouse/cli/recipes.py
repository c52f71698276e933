"""Recipes of rewrites, to read and to copy: `lakehouse recipes`."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import polars as pl
import typer

from lakehouse.cli.show import console, rows_table

if TYPE_CHECKING:
    from lakehouse.generate import Recipe, Request

_DOCUMENTS = (
    "The ferry to Little Skerry leaves at 7:40 every morning except Sundays. It carries 28 passengers and the post.\n\n"
    "Mara Holm has steered it since 1998. In winter, she says, the crossing takes an hour instead of thirty minutes.",
    "The post of Little Skerry is sorted in the harbour office. Two sacks come each day, and three in December.\n\n"
    "Whoever waits for a parcel hears the ferry's horn: two long signals mean that there is one.",
)


def add_to(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(rich_help_panel="Look into the lake")(recipes)


def recipes(
    name: Annotated[
        str | None, typer.Argument(help="A recipe, or the path of a YAML file; without it all are listed.")
    ] = None,
) -> None:
    """List the recipes of rewrites, or show one as YAML with the prompt that it makes of an invented text.

    The prompt stands in comments, so that what is printed is a recipe to copy and change.

        lakehouse recipes wrap_medium > assets/synthetic/my_wrap.yaml
    """
    from lakehouse.generate import load_recipe, recipe_names

    if name is None:
        rows = [load_recipe(one) for one in recipe_names()]
        console.print(
            rows_table([{"recipe": one.name, "purpose": one.purpose, "paper": _cited(one.paper)} for one in rows])
        )
        return
    recipe = load_recipe(name)
    shown = "\n".join([_yaml(name).rstrip(), *(f"# {line}".rstrip() for line in _prompt(recipe))])
    if console.is_terminal:
        from rich.syntax import Syntax

        console.print(Syntax(shown, "yaml", word_wrap=True, background_color="default"))
    else:
        print(shown)


def _cited(paper: str) -> str:
    """Authors, title and year; what else a recipe says of its paper is in its file."""
    found = re.match(r".*?\b(?:19|20)\d\d\b", paper)
    return found[0] if found else paper


def _yaml(name: str) -> str:
    path = Path(name)
    if path.suffix in {".yaml", ".yml"}:
        return path.read_text("utf-8")
    return files("lakehouse.generate").joinpath("recipes", f"{name}.yaml").read_text("utf-8")


def _prompt(recipe: Recipe) -> list[str]:
    """The lines of the first prompt that the recipe makes of an invented text."""
    request = _first_request(recipe) if recipe.asks else None
    if request is None:
        return ["", "It calls no model."]
    lines = ["", f"What step {request.step!r} asks about an invented text:"]
    for message in request.messages:
        lines += ["", f"[{message['role']}]", *message["content"].rstrip().splitlines()]
    return lines


def _first_request(recipe: Recipe) -> Request | None:
    from lakehouse.generate import Asking, Model, units_of
    from lakehouse.generate.replay import replay

    common = {"snapshot": "example", "source": "example", "language": "en", "depth": 0, "group": "example"}
    columns = {column: f"<{column}>" for column in recipe.columns}
    rows = [{**columns, **common, "doc_id": str(place), "text": text} for place, text in enumerate(_DOCUMENTS)]
    units = list(units_of(pl.DataFrame(rows), recipe))
    asking = Asking(recipe, {name: Model("") for name in recipe.endpoints}, examples=rows)
    for states in replay([units], asking, lambda _: {}):
        for state in states:
            if state.waiting:
                return state.waiting
    return None
