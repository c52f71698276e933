"""Recipes: what is asked of a model about a document, and what its answer must be like. One YAML file each."""

from __future__ import annotations

import difflib
import json
import os
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import jinja2.meta
import yaml
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from lakehouse import identity, schema
from lakehouse.generate.errors import RecipeError

VARIABLES = frozenset({"text", "language"})  # what a prompt template may use

# Prompts are no HTML: escaping would change the documents.
_TEMPLATES = ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined, autoescape=False)


class _Section(BaseModel):
    """A part of a recipe's file: unknown keys are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Unit(_Section):
    """What one call is about: a whole document, cut to at most `max_chars` characters."""

    max_chars: int = Field(gt=0)


class Sampling(_Section):
    """Sampling parameters, sent to the server as they are."""

    temperature: float = Field(ge=0, le=2)
    top_p: float = Field(gt=0, le=1)
    max_tokens: int = Field(gt=0)


class Prompt(_Section):
    """Jinja2 templates of the messages. They may use `text` (the document, cut) and `language` (its code, or "und")."""

    system: str
    user: str

    @field_validator("system", "user")
    @classmethod
    def _is_template(cls, template: str) -> str:
        try:
            parsed = _TEMPLATES.parse(template)
        except jinja2.TemplateSyntaxError as error:
            raise ValueError(f"line {error.lineno} of the template: {error.message}") from None
        for name in sorted(jinja2.meta.find_undeclared_variables(parsed) - VARIABLES):
            raise ValueError(f"variable {name!r} is unknown.{_did_you_mean(name, VARIABLES)}")
        return template

    @field_validator("user")
    @classmethod
    def _holds_text(cls, template: str) -> str:
        if "text" not in jinja2.meta.find_undeclared_variables(_TEMPLATES.parse(template)):
            raise ValueError("the template must use {{ text }}: without it the model never sees the document")
        return template


class Bounds(_Section):
    """The range that a measure of the answer must lie in, bounds included."""

    min: float | None = None
    max: float | None = None

    @model_validator(mode="after")
    def _bounds_something(self) -> Bounds:
        if self.min is None and self.max is None:
            raise ValueError("give min, max or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min:g} is above max {self.max:g}")
        return self


class Gates(_Section):
    """Bounds on what is measured of each answer, in the order in which they are tried (see `gates.judge`)."""

    length_ratio: Bounds | None = None
    copied_share: Bounds | None = None


class Recipe(_Section):
    """One way to have a model write a document from a document."""

    name: str  # also the name of the journal's table
    purpose: str
    paper: str  # where the method is from
    unit: Unit
    prompt: Prompt
    sampling: Sampling
    gates: Gates

    @field_validator("name")
    @classmethod
    def _names_a_table(cls, name: str) -> str:
        return schema.check_name(name, "recipe")

    @property
    def version(self) -> str:
        """Hash of all that the recipe says: 12 hexadecimal digits."""
        return identity.hash_of(json.dumps(self.model_dump(), sort_keys=True))[:12]

    def messages(self, text: str, language: str) -> list[dict[str, str]]:
        """The chat messages about one passage."""
        return [
            {"role": role, "content": _template(template).render(text=text, language=language)}
            for role, template in (("system", self.prompt.system), ("user", self.prompt.user))
        ]


def recipe_names() -> list[str]:
    """Names of the recipes that the package holds."""
    names = [file.name for file in files(__package__).joinpath("recipes").iterdir()]
    return sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml"))


def load_recipe(name_or_path: str | os.PathLike[str]) -> Recipe:
    """Read a recipe that the package holds (by name), or one of your own (by the path of its YAML file).

    Raises:
        RecipeError: there is no such recipe, or its file is not one. The message names file, line and key.
    """
    path = Path(name_or_path)
    if path.suffix in {".yaml", ".yml"}:
        try:
            return _parse(path.read_text("utf-8"), str(path))
        except (OSError, UnicodeDecodeError) as error:
            raise RecipeError(f"{path}: the recipe cannot be read: {error}") from None
    name, known = str(name_or_path), recipe_names()
    if name not in known:
        raise RecipeError(
            f"recipe {name!r} is unknown.{_did_you_mean(name, known)} "
            f"The package has {', '.join(known)}; a recipe of your own is given as the path of its .yaml file."
        )
    file = files(__package__).joinpath("recipes", f"{name}.yaml")
    return _parse(file.read_text("utf-8"), str(file))


def _parse(text: str, file: str) -> Recipe:
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise RecipeError(f"{file}{line}: this is not YAML: {getattr(error, 'problem', None) or error}") from None
    if not isinstance(content, dict):
        raise RecipeError(f"{file}: a recipe is a mapping with the keys {', '.join(Recipe.model_fields)}.")
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        # A misspelt key is reported twice, as unknown and as missing: the first says more.
        problem = min(error.errors(include_url=False), key=lambda problem: problem["type"] != "extra_forbidden")
        location = [str(part) for part in problem["loc"]]
        raise RecipeError(f"{file}:{_line(node, location)}: {_explanation(location, problem)}") from None


def _explanation(location: list[str], problem: Any) -> str:
    """One sentence about what pydantic found."""
    key = ".".join(location)
    if problem["type"] == "extra_forbidden":
        return f"key {key!r} is unknown.{_did_you_mean(location[-1], _keys_of(location[:-1]))}"
    if problem["type"] == "missing":
        return f"key {key!r} is missing."
    return f"{key}: {problem['msg'].removeprefix('Value error, ')}."


def _keys_of(location: list[str]) -> list[str]:
    """The keys that the section at `location` may have."""
    section: type[BaseModel] = Recipe
    for key in location:
        kinds = (section.model_fields[key].annotation, *getattr(section.model_fields[key].annotation, "__args__", ()))
        section = next(kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel))
    return list(section.model_fields)


def _line(node: yaml.Node, location: list[str]) -> int:
    """The line of the deepest key of `location` that the file has."""
    line = node.start_mark.line
    for part in location:
        found = next(
            (pair for pair in getattr(node, "value", []) if isinstance(pair, tuple) and pair[0].value == part), None
        )
        if found is None:
            break
        line, node = found[0].start_mark.line, found[1]
    return line + 1


def _did_you_mean(word: str, known: Any) -> str:
    close = difflib.get_close_matches(word, sorted(known), n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


@lru_cache(maxsize=64)
def _template(source: str) -> jinja2.Template:
    return _TEMPLATES.from_string(source)
