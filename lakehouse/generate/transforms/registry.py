"""Transforms by the names that recipes call them."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from lakehouse.generate.transforms.code_switch import CodeSwitch, code_switch
from lakehouse.generate.transforms.edit_sequence import EditSequence, edit_sequence
from lakehouse.generate.transforms.reversal import Reversal, reversal
from lakehouse.generate.transforms.settings import Settings


@dataclass(frozen=True)
class Transform:
    """A way to make texts of a text without a model.

    Attributes:
        settings: the class of its settings.
        function: (text, settings, seed) → outputs; none where there is nothing to make of the text. The same arguments
            give the same outputs on every machine.
    """

    settings: type[Settings]
    function: Callable[[str, Any, int], list[str]]


TRANSFORMS: dict[str, Transform] = {
    "code_switch": Transform(CodeSwitch, code_switch),
    "edit_sequence": Transform(EditSequence, edit_sequence),
    "reversal": Transform(Reversal, reversal),
}


def settings_of(name: str) -> type[Settings]:
    """The class of a transform's settings.

    Raises:
        ValueError: there is no such transform.
    """
    if name not in TRANSFORMS:
        close = difflib.get_close_matches(name, TRANSFORMS, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"transform {name!r} is unknown.{hint} There are {', '.join(TRANSFORMS)}.")
    return TRANSFORMS[name].settings


def transform(name: str, settings: Mapping[str, Any] | Settings) -> Callable[[str, int], list[str]]:
    """A transform with its settings: a function of a text and a seed.

    Raises:
        ValueError: there is no such transform, or its settings are wrong (then pydantic's ValidationError).
    """
    checked = settings_of(name).model_validate(settings)
    return partial(_apply, TRANSFORMS[name].function, checked)


def _apply(function: Callable[[str, Any, int], list[str]], settings: Settings, text: str, seed: int) -> list[str]:
    return function(text, settings, seed)
