"""Recipes: what is asked of a model about a document, and what its answer must be like. One YAML file each."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Mapping
from functools import cached_property, lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Self, get_args

import jinja2
import yaml
from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from lakehouse import identity, schema
from lakehouse.generate.errors import RecipeError
from lakehouse.generate.gates.settings import Gates, Requirements
from lakehouse.generate.sections import (
    OF_THE_UNIT,
    TEMPLATES,
    Layout,
    Sampling,
    Section,
    Step,
    Units,
    variables_of,
)


class Recipe(Section):
    """One way to have a model write documents from documents."""

    name: str  # also the name of the journal's table
    purpose: str
    paper: str  # where the method is from
    units: Units
    columns: tuple[str, ...] = Field(default=(), description="Further columns of the source that the templates use.")
    requires: Requirements = Field(default=Requirements(), description="What a unit must be like before any call.")
    draw: dict[str, tuple[str, ...] | dict[str, float]] = Field(
        default={}, description="Attributes drawn for each unit: from a list, or by weight. Not by the model."
    )
    samples: int = Field(default=1, gt=0, description="How often each unit is asked about, each time drawn anew.")
    sampling: Sampling | None = None
    steps: tuple[Step, ...] = Field(min_length=1)
    gates: Gates = Gates()
    layout: Layout = Layout()

    @field_validator("name")
    @classmethod
    def _names_a_table(cls, name: str) -> str:
        return schema.check_name(name, "recipe")

    @model_validator(mode="after")
    def _steps_follow_each_other(self) -> Self:
        known = {*OF_THE_UNIT, *self.draw, *self.columns}
        before: dict[str, Step] = {}
        for place, step in enumerate(self.steps):
            at = ("steps", place)
            if step.name in known:
                raise _MistakeError((*at, "name"), f"there is a variable {step.name!r} already")
            for name in ("system", "user", "completion"):
                _check_variables(getattr(step, name), known, (*at, name))
            _check_step(step.for_each, before, (*at, "for_each"))
            _check_step(step.combine.of if step.combine else None, before, (*at, "combine", "of"))
            if step.asks and not step.shows_text and not step.for_each and not before:
                message = "the template must use {{ text }}: without it the model never sees the document"
                raise _MistakeError((*at, "user" if step.user else "completion"), message)
            if step.asks and (step.sampling or self.sampling) is None:
                raise _MistakeError((*at, "name"), "there is no sampling: give it here or for the whole recipe")
            known.add(step.name)
            before[step.name] = step
        _check_variables(self.layout.text, known, ("layout", "text"))
        for named in (self.layout.for_each, *self.layout.attributes):
            if named not in self.draw and named not in self.columns:
                _check_step(named, before, ("layout",))
        for named in self.compared_steps:
            _check_step(named, before, ("gates",))
        if self.steps[-1].combine:
            raise _MistakeError(("steps", len(self.steps) - 1), "what it combines must go into a further step")
        return self

    @cached_property
    def version(self) -> str:
        """Hash of all that the recipe says: 12 hexadecimal digits."""
        return identity.hash_of(json.dumps(self.model_dump(by_alias=True), sort_keys=True))[:12]

    @property
    def asks(self) -> bool:
        """Whether any step calls a model."""
        return any(step.asks for step in self.steps)

    @property
    def endpoints(self) -> list[str]:
        """Names of the endpoints that its steps call, in order."""
        return list(dict.fromkeys(step.endpoint for step in self.steps if step.asks))

    @property
    def needs_examples(self) -> bool:
        """Whether a template shows examples from the lake."""
        return any("examples" in variables_of(template) for step in self.steps for template in step.templates)

    @property
    def output(self) -> Step:
        """The step whose value is the output, where the layout names no text: the last that no gate is about."""
        checks = {check for check in (self._judge, self._second_answer) if check}
        return next(step for step in reversed(self.steps) if step.name not in checks or step is self.steps[0])

    @property
    def compared_steps(self) -> list[str]:
        """The steps whose values gates look at."""
        first = self.gates.round_trip.of if self.gates.round_trip else None
        return [name for name in (self._judge, first, self._second_answer) if name]

    @property
    def _judge(self) -> str | None:
        return self.gates.judge.step if self.gates.judge else None

    @property
    def _second_answer(self) -> str | None:
        return self.gates.round_trip.against if self.gates.round_trip else None

    def step(self, name: str) -> Step:
        """The step of that name."""
        return next(step for step in self.steps if step.name == name)

    def sampling_of(self, step: Step) -> Sampling:
        """The sampling parameters of a step that asks."""
        sampling = step.sampling or self.sampling
        assert sampling is not None
        return sampling

    def messages(self, step: Step, variables: Mapping[str, Any]) -> list[dict[str, str]]:
        """The messages of a step; of a completion one, whose content is the prompt.

        Raises:
            RecipeError: a template uses something that the variables do not have.
        """
        parts = {"system": step.system, "user": step.user or step.completion}
        return [
            {"role": role, "content": render(template, variables, f"{self.name}: step {step.name!r}")}
            for role, template in parts.items()
            if template is not None
        ]


def render(template: str, variables: Mapping[str, Any], where: str) -> str:
    """The template filled in.

    Raises:
        RecipeError: it uses something that the variables do not have.
    """
    try:
        return _template(template).render(variables)
    except jinja2.TemplateError as error:
        raise RecipeError(f"{where}: the template cannot be filled in: {error.message}.") from None


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
    return _shipped(name)


@lru_cache(maxsize=64)
def _shipped(name: str) -> Recipe:
    file = files(__package__).joinpath("recipes", f"{name}.yaml")
    return _parse(file.read_text("utf-8"), str(file))


class _MistakeError(ValueError):
    """A mistake that is found by looking at several keys, and where it is."""

    def __init__(self, location: tuple[str | int, ...], message: str) -> None:
        self.location = location
        super().__init__(message)


def _check_variables(template: str | None, known: set[str], location: tuple[str | int, ...]) -> None:
    for name in sorted(variables_of(template or "") - known):
        raise _MistakeError(location, f"variable {name!r} is unknown.{_did_you_mean(name, known)}")


def _check_step(name: str | None, before: Mapping[str, Step], location: tuple[str | int, ...]) -> None:
    if name is not None and name not in before:
        raise _MistakeError(location, f"there is no step {name!r} before it.{_did_you_mean(name, before)}")


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
        location = getattr(problem.get("ctx", {}).get("error"), "location", problem["loc"])
        raise RecipeError(f"{file}:{_line(node, location)}: {_explanation(location, problem)}") from None


def _explanation(location: tuple[str | int, ...], problem: Any) -> str:
    """One sentence about what pydantic found."""
    key = ".".join(map(str, location))
    if problem["type"] == "extra_forbidden":
        return f"key {key!r} is unknown.{_did_you_mean(str(location[-1]), _keys_of(location[:-1]))}"
    if problem["type"] == "missing":
        return f"key {key!r} is missing."
    said = problem["msg"].removeprefix("Value error, ").rstrip(".")
    end = "" if said.endswith("?") else "."
    return f"{key}: {said}{end}" if key else f"{said}{end}"


def _keys_of(location: tuple[str | int, ...]) -> list[str]:
    """The keys that the section at `location` may have."""
    section: type[BaseModel] = Recipe
    for key in location:
        field = section.model_fields.get(str(key))
        if field is not None:
            section = next(iter(_sections(field.annotation)), section)
    return [field.alias or name for name, field in section.model_fields.items()]


def _sections(annotation: Any) -> list[type[BaseModel]]:
    """The sections that an annotation is about."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [section for part in get_args(annotation) for section in _sections(part)]


def _line(node: yaml.Node, location: tuple[str | int, ...]) -> int:
    """The line of the deepest key of `location` that the file has."""
    line = node.start_mark.line
    for part in location:
        inner = getattr(node, "value", [])
        if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(inner):
            node = inner[part]
            line = node.start_mark.line
            continue
        found = next((pair for pair in inner if isinstance(pair, tuple) and pair[0].value == part), None)
        if found is None:
            break
        line, node = found[0].start_mark.line, found[1]
    return line + 1


def _did_you_mean(word: str, known: Any) -> str:
    close = difflib.get_close_matches(word, sorted(known), n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


@lru_cache(maxsize=64)
def _template(source: str) -> jinja2.Template:
    template = TEMPLATES.from_string(source)
    # As it comes it is a chain of mappings, which every rendering copies: a quarter of a replay.
    template.globals = dict(template.globals)
    return template
