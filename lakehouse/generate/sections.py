"""The sections of a recipe's file, and what may stand in each."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

import jinja2
import jinja2.meta
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from lakehouse import schema

# Prompts are no HTML: escaping would change the documents.
TEMPLATES = ImmutableSandboxedEnvironment(
    undefined=jinja2.StrictUndefined, autoescape=False, trim_blocks=True, lstrip_blocks=True
)
OF_THE_UNIT = frozenset({"text", "numbered_text", "language", "documents", "n_words", "item", "examples"})
"""Variables that every template may use, besides drawn attributes, columns and the values of earlier steps."""

_HOLDS_TEXT = frozenset({"text", "numbered_text", "documents"})


class Section(BaseModel):
    """A part of a recipe's file: unknown keys are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _checked(template: str) -> str:
    try:
        TEMPLATES.parse(template)
    except jinja2.TemplateSyntaxError as error:
        raise ValueError(f"line {error.lineno} of the template: {error.message}") from None
    return template


Template = Annotated[str, BeforeValidator(_checked)]
"""A Jinja2 template. It may use what `OF_THE_UNIT` lists, the recipe's columns, drawn attributes and earlier steps."""


def variables_of(template: str) -> set[str]:
    """The variables that a template needs."""
    return jinja2.meta.find_undeclared_variables(TEMPLATES.parse(template))


class WholeDocument(Section):
    """The document is one unit, cut to its first `max_tokens` (estimated: UTF-8 bytes / 4)."""

    max_tokens: int = Field(default=8_000, gt=0)


class Passages(Section):
    """The document is cut at paragraphs, where these are too long at sentences, where these are too long at words."""

    max_tokens: int = Field(gt=0)
    min_tokens: int = Field(default=0, ge=0, description="What is left over and shorter joins the passage before it.")


class NumberedLines(Section):
    """The document is cut at line ends; the prompt shows the lines numbered (`numbered_text`)."""

    max_tokens: int = Field(gt=0)


class Groups(Section):
    """Several documents that the set groups (`group_by`) are one unit: `documents` in the templates."""

    documents: int = Field(gt=1, description="At most so many in a group.")
    max_tokens: int = Field(gt=0, description="Of all of them: each is cut to its share.")


class Units(Section):
    """What one call is about. One of the four."""

    document: WholeDocument | None = None
    passages: Passages | None = None
    lines: NumberedLines | None = None
    group: Groups | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if sum(getattr(self, kind) is not None for kind in type(self).model_fields) != 1:
            raise ValueError(f"give one of {', '.join(type(self).model_fields)}")
        return self


class Sampling(Section):
    """Sampling parameters, sent to the server as they are."""

    temperature: float = Field(ge=0, le=2)
    top_p: float = Field(gt=0, le=1)
    max_tokens: int = Field(gt=0)
    further: dict[str, Any] = Field(default={}, description="What else the server understands: stop, min_p, …")


StructuredOutput = Literal["off", "json_object", "json_object_schema", "json_schema"]
"""How a server can be held to JSON: not at all, to any, to a schema beside `json_object` (llama.cpp), as OpenAI's."""

AnswerForm = Literal["text", "lines", "pairs", "json", "number", "choice", "code", "program"]


class Answer(Section):
    """What a step's answer must look like, and so what its value is.

    text: the answer. lines: a list, bullets and numbers removed. pairs: a list of {question, answer}. json: what
    `schema` allows. number: the number that it ends with. choice: one of `of`. code: the last fenced block, or all of
    it. program: edits.
    """

    form: AnswerForm = "text"
    tag: str | None = Field(default=None, pattern=r"[a-z_]+", description="What counts stands in <tag>…</tag>.")
    after: str | None = Field(default=None, description="What counts follows the last of these words.")
    markdown: Literal["keep", "remove"] = "keep"
    preface: Literal["keep", "remove"] = "keep"
    most: int | None = Field(default=None, gt=0, description="Of lines and pairs: the first so many.")
    least: int = Field(default=1, ge=0, description="Of lines and pairs: fewer are no answer.")
    of: tuple[str, ...] | None = None
    min: float | None = None
    max: float | None = None
    json_schema: dict[str, Any] | None = Field(default=None, alias="schema")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.form == "choice") != (self.of is not None):
            raise ValueError("`of` lists what a choice may be, and only that")
        if (self.form == "json") != (self.json_schema is not None):
            raise ValueError("`schema` says what JSON is expected, and only that")
        if self.json_schema is not None:
            from jsonschema import Draft202012Validator, SchemaError

            try:
                Draft202012Validator.check_schema(self.json_schema)
            except SchemaError as error:
                raise ValueError(f"`schema` is no JSON schema: {error.message[:200]}") from None
        return self


def _as_answer(given: Any) -> Any:
    return {"form": given} if isinstance(given, str) else given


class Combine(Section):
    """Sets of an earlier step's items: those of one unit (EntiGraph), or of units all over the set (SynthLLM)."""

    of: str = Field(description="The step whose value is a list.")
    sizes: tuple[int, ...] = Field(default=(2,), min_length=1, description="2: pairs; 3: triples.")
    most: int = Field(default=10, gt=0, description="Combinations of a unit.")
    across: Literal["unit", "set"] = "unit"
    seed: int = 0

    @field_validator("sizes")
    @classmethod
    def _are_sizes(cls, sizes: tuple[int, ...]) -> tuple[int, ...]:
        if not all(2 <= size <= 8 for size in sizes):
            raise ValueError("a combination has 2 to 8 items")
        return sizes


class Step(Section):
    """One step for each unit: a call (`user`, or `completion` for base models), a `transform`, or a `combine`."""

    name: str
    system: Template | None = None
    user: Template | None = None
    completion: Template | None = None
    answer: Annotated[Answer, BeforeValidator(_as_answer)] = Answer()
    sampling: Sampling | None = Field(default=None, description="Instead of the recipe's.")
    endpoint: str = "default"
    for_each: str | None = Field(default=None, description="Once for each item of that step's value: `item`.")
    transform: dict[str, dict[str, Any]] | None = None
    combine: Combine | None = None

    @field_validator("name")
    @classmethod
    def _names_a_variable(cls, name: str) -> str:
        if name in OF_THE_UNIT:
            raise ValueError(f"{name!r} is a variable already; call the step otherwise")
        return schema.check_name(name, "step")

    @field_validator("transform")
    @classmethod
    def _is_transform(cls, declared: dict[str, dict[str, Any]] | None) -> dict[str, dict[str, Any]] | None:
        if declared is not None:
            from lakehouse.generate import transforms

            for kind, settings in declared.items():
                transforms.settings_of(kind)(**settings)
        return declared

    @model_validator(mode="after")
    def _does_one_thing(self) -> Self:
        if sum(part is not None for part in (self.user, self.completion, self.transform, self.combine)) != 1:
            raise ValueError("a step has one of user, completion, transform and combine")
        if self.system is not None and self.user is None:
            raise ValueError("`system` goes with `user`")
        return self

    @property
    def asks(self) -> bool:
        """Whether the step calls a model."""
        return self.user is not None or self.completion is not None

    @property
    def templates(self) -> list[str]:
        """Its templates."""
        return [template for template in (self.system, self.user, self.completion) if template is not None]

    @property
    def shows_text(self) -> bool:
        """Whether the model sees the unit's text."""
        return any(variables_of(template) & _HOLDS_TEXT for template in self.templates)


class Layout(Section):
    """How outputs become documents.

    documents: each output is one. joined: the outputs of an anchor are one, in order. appended: the anchor's text,
    then the outputs. replaced: the anchor's text with each output in the place of its unit.
    """

    form: Literal["documents", "joined", "appended", "replaced"] = Field(default="documents", alias="as")
    text: Template | None = Field(default=None, description="The output; without it the last step's value.")
    for_each: str | None = Field(default=None, description="One output for each item of that step's value.")
    separator: str = "\n\n"
    rejected: Literal["keep", "remove"] = Field(
        default="keep",
        description="Where outputs replace their units: what becomes of a unit whose output was rejected.",
    )
    min_words: int = Field(default=1, ge=1, description="Shorter documents are rejected.")
    attributes: tuple[str, ...] = Field(default=(), description="Steps whose values are kept in `attributes`.")
