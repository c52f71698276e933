"""Texts as units with white space between them: words and punctuation marks, found by ICU in every script."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

Value = TypeVar("Value")


@dataclass(frozen=True)
class Units:
    """A text cut up: gaps[0] + units[0] + gaps[1] + units[1] + … + gaps[n] is the text.

    Attributes:
        units: n words and punctuation marks.
        gaps: n + 1 runs of white space; most marks have an empty one before them.
    """

    units: list[str]
    gaps: list[str]

    def text(self) -> str:
        """The text again."""
        return self.gaps[0] + "".join(part for pair in zip(self.units, self.gaps[1:], strict=True) for part in pair)

    def joined(self, spans: Iterable[tuple[int, int]]) -> Units:
        """The same text with the units of each span as one, white space between them included.

        Args:
            spans: first unit and the one after the last, in order, not overlapping.
        """
        units: list[str] = []
        gaps = [self.gaps[0]]
        place = 0
        for start, end in [*spans, (len(self.units), len(self.units))]:
            units += self.units[place:start]
            gaps += self.gaps[place + 1 : start + 1]
            if start < end:
                whole = Units(self.units[start:end], ["", *self.gaps[start + 1 : end], ""])
                units.append(whole.text())
                gaps.append(self.gaps[end])
            place = end
        return Units(units, gaps)


class Phrases(Generic[Value]):
    """A dictionary whose keys are runs of units, for finding the longest one that starts at a place."""

    def __init__(self, values: Mapping[tuple[str, ...], Value]) -> None:
        self._values = values
        self._lengths: dict[str, list[int]] = {}
        for key in values:
            lengths = self._lengths.setdefault(key[0], [])
            if len(key) not in lengths:
                lengths.append(len(key))
        for lengths in self._lengths.values():
            lengths.sort(reverse=True)

    def find(self, keys: Sequence[str]) -> list[tuple[int, int, Value]]:
        """The phrases in a text from left to right, the longest at each place.

        Args:
            keys: the units of the text as the dictionary writes them (see `folded`).

        Returns:
            Of each phrase its first unit, the unit after its last, and its value.
        """
        found = []
        place = 0
        while place < len(keys):
            for length in self._lengths.get(keys[place], ()):
                value = self._values.get(tuple(keys[place : place + length]))
                if value is not None:
                    found.append((place, place + length, value))
                    place += length - 1
                    break
            place += 1
        return found


def cut(text: str) -> Units:
    """Cut a text into words, punctuation marks and white space by Unicode's rules and ICU's dictionaries.

    Raises:
        ValueError: the text has a lone surrogate.
    """
    from icu4py.breakers import WordBreaker

    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(f"the text has half a character (a lone surrogate) at character {error.start}.") from None
    units: list[str] = []
    gaps = [""]
    for segment in WordBreaker(text, "en"):
        if segment.isspace():
            gaps[-1] += segment
        else:
            units.append(segment)
            gaps.append("")
    return Units(units, gaps)


def is_word(unit: str) -> bool:
    """Whether a unit has a letter or digit, and is not a punctuation mark."""
    return unit.isalnum() or any(character.isalnum() for character in unit)


def folded(unit: str) -> str:
    """The form in which units count as the same: composed, case folded."""
    return unit.casefold() if unit.isascii() else unicodedata.normalize("NFC", unit).casefold()
