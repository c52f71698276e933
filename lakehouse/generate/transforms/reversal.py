"""The same text in another order: reversed or shuffled, by tokens, words, entities or segments."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from lakehouse import identity
from lakehouse.generate.transforms.entities import entity_spans
from lakehouse.generate.transforms.settings import Settings
from lakehouse.generate.transforms.units import Units, cut


class Reversal(Settings):
    """How a text is cut into units, and in which orders it is written.

    Attributes:
        unit: "word" (words and punctuation marks), "entity" (the same, but names of several words stay whole),
            "segment" (runs of words whose lengths are drawn by the seed) or "token" (of a tokenizer).
        variants: the outputs, in this order. "forward" is the text itself.
        segment_words: shortest and longest segment in words and marks; lengths between them are equally likely.
        separator: what stands between units instead of the white space that the text has there. The paper puts a
            token of its own, [REV], between segments.
        entities: a text file of names, one a line, that stay whole too.
        tokenizer: a `tokenizer.json`, for "token".
    """

    unit: Literal["word", "entity", "segment", "token"] = "word"
    variants: tuple[Literal["forward", "reversed", "shuffled"], ...] = Field(default=("reversed",), min_length=1)
    segment_words: tuple[int, int] = (1, 25)
    separator: str | None = None
    entities: Path | None = None
    tokenizer: Path | None = None

    @model_validator(mode="after")
    def _fits(self) -> Reversal:
        low, high = self.segment_words
        if not 1 <= low <= high:
            raise ValueError(f"segment_words {low} to {high} is no range of lengths: give two numbers from 1 up")
        if (self.tokenizer is None) == (self.unit == "token"):
            raise ValueError("tokenizer goes with the unit 'token', and only with it")
        if self.entities is not None and self.unit != "entity":
            raise ValueError("entities goes with the unit 'entity' only")
        return self

    def files(self) -> list[Path]:
        """The list of names and the tokenizer, where there are any."""
        return [file for file in (self.entities, self.tokenizer) if file is not None]


def reversal(text: str, settings: Reversal, seed: int) -> list[str]:
    """Write a text in other orders, so that a model sees "B is A" where the text says "A is B".

    Reversed, the units stand in the opposite order, and so does the white space between them; shuffled, the units are
    in an order that the seed draws, and the white space stays where it is. Inside of a unit nothing changes. Outer
    white space is dropped.

    Returns:
        An output a variant; none for a text without units.

    Raises:
        ValueError: a file cannot be read.

    Source: Golovneva et al., Reverse Training to Nurse the Reversal Curse (reversed); Guo et al., Mitigating Reversal
    Curse in Large Language Models via Semantic-aware Permutation Training (shuffled).
    """
    units = _units(text.strip(), settings, seed)
    if not units.units:
        return []
    return [_written(units, variant, settings.separator, seed) for variant in settings.variants]


def _units(text: str, settings: Reversal, seed: int) -> Units:
    if settings.tokenizer is not None:
        return _tokens(text, settings.tokenizer)
    units = cut(text)
    match settings.unit:
        case "entity":
            return units.joined(entity_spans(units, settings.entities))
        case "segment":
            return units.joined(_segments(len(units.units), settings.segment_words, seed))
    return units


def _segments(size: int, lengths: tuple[int, int], seed: int) -> list[tuple[int, int]]:
    low, high = lengths
    spans: list[tuple[int, int]] = []
    start = 0
    while start < size:
        end = min(size, start + low + identity.order_key(seed, "segment", str(len(spans))) % (high - low + 1))
        spans.append((start, end))
        start = end
    return spans


def _written(units: Units, variant: str, separator: str | None, seed: int) -> str:
    order = list(range(len(units.units)))
    gaps = units.gaps
    if variant == "reversed":
        order.reverse()
        gaps = gaps[::-1]
    elif variant == "shuffled":
        order.sort(key=lambda place: identity.order_key(seed, "shuffle", str(place)))
    ordered = [units.units[place] for place in order]
    return Units(ordered, gaps).text() if separator is None else separator.join(ordered)


def _tokens(text: str, tokenizer: Path) -> Units:
    """The pieces of text that the tokens stand for; a character of several tokens is not divided."""
    offsets = _tokenizer(tokenizer).encode(text, add_special_tokens=False).offsets
    ends = sorted({0, len(text), *(place for offset in offsets for place in offset)})
    pieces = [text[start:end] for start, end in pairwise(ends)]
    return Units(pieces, [""] * (len(pieces) + 1))


@lru_cache(maxsize=4)
def _tokenizer(path: Path) -> Any:
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # noqa: BLE001  # the library raises nothing narrower
        raise ValueError(f"{path}: the tokenizer cannot be read: {str(error).splitlines()[0]}") from None
