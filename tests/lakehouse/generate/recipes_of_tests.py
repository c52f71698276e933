"""Recipes and units for tests, small enough to read on a screen."""

from __future__ import annotations

from typing import Any

import polars as pl

from lakehouse.generate.recipe import Recipe
from lakehouse.generate.requests import Asking, Model

SAMPLING = {"temperature": 0.0, "top_p": 1.0, "max_tokens": 100}


def step(name: str = "rewrite", user: str = "Rewrite.\n<text>\n{{ text }}\n</text>", **further: Any) -> dict[str, Any]:
    return {"name": name, "user": user} | further


def recipe(*steps: dict[str, Any], **further: Any) -> Recipe:
    """A recipe without gates but those that are always there."""
    content: dict[str, Any] = {
        "name": "test",
        "purpose": "To test.",
        "paper": "None.",
        "units": {"document": {"max_tokens": 100}},
        "sampling": SAMPLING,
        "steps": list(steps) or [step()],
        "gates": {"refusal": False, "preface": False, "language": False},
    }
    return Recipe.model_validate(content | further)


def asking(made: Recipe, model: str = "m") -> Asking:
    return Asking(made, dict.fromkeys(made.endpoints, Model(model)))


def documents(*texts: str, **columns: list[Any]) -> pl.DataFrame:
    """Anchors a, b, c, … of one snapshot."""
    return pl.DataFrame(
        {
            "doc_id": [chr(ord("a") + place) for place in range(len(texts))],
            "snapshot": ["s1"] * len(texts),
            "source": ["web"] * len(texts),
            "language": ["en"] * len(texts),
            "depth": [0] * len(texts),
            "text": list(texts),
            **columns,
        }
    )
