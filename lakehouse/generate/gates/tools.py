"""What gates need from outside of their stage: models that tell languages, similarity and quality."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt
import polars as pl


@dataclass(frozen=True)
class Tools:
    """Callables that the gates use; a gate whose tool is missing cannot be used.

    Attributes:
        identify: the languages of n texts: columns language ("und" where it cannot be told) and language_score (0..1).
        similarity: the cosine of the embeddings of n texts and n others, one number a pair.
        quality: the score that the classifier of that name gives each of n texts.
    """

    identify: Callable[[list[str]], pl.DataFrame] | None = None
    similarity: Callable[[list[str], list[str]], npt.NDArray[Any]] | None = None
    quality: Callable[[list[str], str], npt.NDArray[Any]] | None = None
