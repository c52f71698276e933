"""The form in which fastText sees a text: one function for training and for scoring, with a version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import polars as pl

from lakehouse.models.errors import ModelFileError

_VERSION = 1
_SPACES = r"[\s\x00]+"
_SYMBOL = r"([\p{P}\p{S}])"
# fastText ends a text at this word, which web pages hold as the end of a struck-out passage.
_END_OF_TEXT = "</s>"


@dataclass(frozen=True)
class TextForm:
    """How a text is prepared for a model.

    Attributes:
        name: `words` lowers the case and makes each punctuation mark and symbol a word of its own; `line` keeps the
            text and makes it one line, which is what models from elsewhere expect.
        version: raised whenever the same text may come out differently.
        max_characters: what lies beyond is not looked at; None: the whole text counts.
    """

    name: Literal["words", "line"]
    version: int = _VERSION
    max_characters: int | None = None

    def apply(self, texts: pl.Series) -> pl.Series:
        """Prepare n texts: no line ends, no runs of spaces, and no word that fastText takes for a command."""
        if self.max_characters is not None:
            texts = texts.str.head(self.max_characters)
        if self.name == "words":
            # A symbol that stands alone also undoes `</s>` and `__label__`, which would end or label the text.
            texts = texts.str.to_lowercase().str.replace_all(_SYMBOL, " $1 ")
        else:
            texts = texts.str.replace_all(_END_OF_TEXT, "< /s>", literal=True)
        return texts.str.replace_all(_SPACES, " ").str.strip_chars(" ")

    def as_json(self) -> dict[str, Any]:
        """The form as it stands in a model's card."""
        return asdict(self)

    @staticmethod
    def from_json(content: Mapping[str, Any], where: str) -> TextForm:
        """Read a form from a model's card.

        Raises:
            ModelFileError: it is none, or one of a later version.
        """
        name, version, cap = (content.get(key) for key in ("name", "version", "max_characters"))
        if name not in ("words", "line") or not (cap is None or (isinstance(cap, int) and cap > 0)):
            raise ModelFileError(f"{where}: the text form {dict(content)!r} is unknown.")
        if version != _VERSION:
            raise ModelFileError(f"{where}: version {version!r} of the text form {name!r} is not that of this program.")
        return TextForm(name, _VERSION, cap)


WORDS = TextForm("words")
LINE = TextForm("line")
