"""Filters of published corpora, as the blocks of a `defs.yaml` that a user can read, copy and change."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import yaml

from lakehouse import schema
from lakehouse.select.conditions import RuleError


@dataclass(frozen=True)
class Recipe:
    """A chain of filtered sets. `text` is its YAML with its comments, `sets` the attributes of each set in order."""

    name: str
    text: str

    @property
    def description(self) -> str:
        """Its first line: one sentence."""
        return self.text.splitlines()[0].removeprefix("# ")

    @property
    def sets(self) -> list[dict[str, Any]]:
        """The attributes of each set."""
        return [block["attributes"] for block in yaml.safe_load_all(self.text)]

    def renamed(self, *, source: str, name: str) -> Recipe:
        """The same over another source, with another name for its last set and the others named after it.

        Raises:
            TableNameError: a name is not allowed.
        """
        schema.layer_of(source)
        schema.check_name(name, "filtered set")
        last, first = self.sets[-1]["name"], self.sets[0]["source"]
        text = re.sub(rf"\b{last}(?=_|\b)", name, self.text)
        return Recipe(self.name, re.sub(rf"\bsource: {first}\b", f"source: {source}", text))


def recipe_names() -> list[str]:
    """The names of the recipes, sorted."""
    return sorted(file.name.removesuffix(".yaml") for file in _folder().iterdir() if file.name.endswith(".yaml"))


def load_recipe(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        RuleError: there is none.
    """
    names = recipe_names()
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else f"There are {', '.join(names)}."
        raise RuleError(f"recipe {name!r} is unknown. {hint}")
    return Recipe(name, (_folder() / f"{name}.yaml").read_text(encoding="utf-8"))


def _folder() -> Any:
    return files("lakehouse.select") / "recipes"
