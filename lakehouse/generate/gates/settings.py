"""The settings of gates: what an answer must be like to become a document, and what an input must be like to be asked.

The gates of an answer are tried in this order: call_failed, finish_reason, empty, answer (it could not be parsed; or
the name that the caller gives the failure), then the fields of `Gates` as they stand there.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

CALL_FAILED = "call_failed"

NAME = r"^[a-z][a-z0-9_]*$"  # of a step, which becomes part of a column's name


class Section(BaseModel):
    """A part of a recipe's file: unknown keys are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Bounds(Section):
    """The range that a measure must lie in, bounds included.

    What cannot be measured passes, unless it is `required`.
    """

    min: float | None = Field(default=None, allow_inf_nan=False)
    max: float | None = Field(default=None, allow_inf_nan=False)
    required: bool = False

    @model_validator(mode="after")
    def _bounds_something(self) -> Bounds:
        if self.min is None and self.max is None:
            raise ValueError("give min, max or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min:g} is above max {self.max:g}")
        return self


class Share(Bounds):
    """The range of a share, 0..1."""

    @model_validator(mode="after")
    def _is_share(self) -> Share:
        for name in ("min", "max"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise ValueError(f"{name} is {value:g}, but a share lies between 0 and 1")
        return self


class Language(Section):
    """The answer's language is that of the passage, or the one that `is` names.

    A text with fewer than `min_letters` letters, or whose language is told with a score below `min_score`, passes.
    Where the passage's language is not known it is found in the same way.
    """

    language: str | None = Field(default=None, alias="is", pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]+)*$")
    min_letters: int = Field(default=40, ge=1)
    min_score: float = Field(default=0.5, ge=0, le=1)
    required: bool = False


class InputLanguage(Language):
    """The language of an input; `is` names it."""

    language: str = Field(alias="is", pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]+)*$")


class NgramSimilarity(Share):
    """How many different word n-grams answer and passage share, 0..1.

    `per` says of how many: of those that either has (union: the Jaccard similarity), of the answer's, of the passage's.
    """

    n: int = Field(default=3, ge=1, le=10)
    per: Literal["union", "answer", "passage"] = "union"


class Repetition(Share):
    """Share of a text that is inside repeated word n-grams, or in a tail that repeats one piece (see `repetition`)."""

    n: int = Field(default=5, ge=2, le=20)


class Quality(Bounds):
    """The score that a classifier gives the text."""

    classifier: str = Field(min_length=1)


class RoundTrip(Share):
    """How well the answers of two steps agree: F1 of their words."""

    of: str = Field(pattern=NAME)
    against: str = Field(pattern=NAME)


class JudgeModel(Bounds):
    """A number that another step answered, such as a mark."""

    step: str = Field(pattern=NAME)


class Compiles(Section):
    """Code must compile."""

    required: bool = False


class TemplateCollapse(Section):
    """No opening may be that of more than `max` of all accepted answers, nor of `least` answers or more if they are.

    Of answers that open alike as many stay as are allowed. An opening is the first `words` words; with `at: end` the
    last ones.
    """

    max: float = Field(default=0.05, ge=0, le=1)
    least: int = Field(default=20, ge=1)
    words: int = Field(default=6, ge=1, le=20)
    at: Literal["start", "end"] = "start"
    seed: int = 0  # of the order in which answers may stay


class _Switched(Section):
    @field_validator("language", "compiles", "template_collapse", mode="before", check_fields=False)
    @classmethod
    def _switch(cls, value: Any) -> Any:
        """`true` stands for a section with its defaults, `false` for none."""
        return {} if value is True else None if value is False else value

    @model_validator(mode="after")
    def _words_fit(self) -> _Switched:
        least, most = getattr(self, "min_words", None), getattr(self, "max_words", None)
        if least is not None and most is not None and least > most:
            raise ValueError(f"min_words {least} is above max_words {most}")
        return self


class Gates(_Switched):
    """What an answer must be like, in the order in which it is tried. Null or false: the gate is off."""

    refusal: bool = True
    preface: bool = True
    language: Language | None = Language()
    length_ratio: Bounds | None = None  # characters of the answer per character of the passage
    copied_share: Share | None = None
    ngram_similarity: NgramSimilarity | None = None
    embedding_similarity: Bounds | None = None  # cosine
    numbers_kept: Share | None = None
    numbers_added: Share | None = None
    names_kept: Share | None = None
    structure_kept: Share | None = None
    repetition: Repetition | None = None
    quality: Quality | None = None
    round_trip: RoundTrip | None = None
    judge: JudgeModel | None = None
    compiles: Compiles | None = None
    lint: Bounds | None = None  # 0..10
    min_words: int | None = Field(default=None, ge=0)
    max_words: int | None = Field(default=None, ge=0)
    template_collapse: TemplateCollapse | None = None


class Requirements(_Switched):
    """What an input must be like before a model is asked about it, in the order in which it is tried."""

    language: InputLanguage | None = None
    repetition: Repetition | None = None
    quality: Quality | None = None
    compiles: Compiles | None = None
    lint: Bounds | None = None
    min_words: int | None = Field(default=None, ge=0)
    max_words: int | None = Field(default=None, ge=0)


INPUT_GATES = tuple(Requirements.model_fields)
"""The gates that say something of a text alone: what may stand under `requires`."""

MEASURES = (
    "language_kept",  # 1: the language is the one that it has to be, 0: it is another
    "length_ratio",  # characters of the text per character of the passage
    "copied_share",
    "ngram_similarity",
    "embedding_similarity",
    "numbers_kept",
    "numbers_added",
    "names_kept",
    "structure_kept",
    "repetition",
    "quality",
    "round_trip",
    "judge",
    "compiles",  # 1 or 0
    "lint",
    "words",
)
"""Columns of what is measured, each named as its gate; but `words` is that of min_words and max_words."""

FOUND = ("refusal", "preface", "language")
"""Columns (with an underscore before them) of what was found by the gates that find words and not numbers."""
