"""The statements of a program, and how they are written."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from lakehouse.generate.programs.errors import Position

_START = Position(1, 1)
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}


@dataclass(frozen=True)
class Keep:
    """`keep_doc()`, `keep_chunk()` or `keep_all()`: the text stays as it is."""

    scope: Literal["doc", "chunk", "all"]
    position: Position = field(default=_START, compare=False, repr=False)

    def __str__(self) -> str:
        return f"keep_{self.scope}()"


@dataclass(frozen=True)
class Drop:
    """`drop_doc()` or `drop_chunk()`: nothing of the text stays."""

    scope: Literal["doc", "chunk"]
    position: Position = field(default=_START, compare=False, repr=False)

    def __str__(self) -> str:
        return f"drop_{self.scope}()"


@dataclass(frozen=True)
class RemoveLines:
    """`remove_lines(first, last)`: both lines and those between them go. The first line of a text is line 0."""

    first: int
    last: int
    position: Position = field(default=_START, compare=False, repr=False)

    def __str__(self) -> str:
        return f"remove_lines(line_start={self.first}, line_end={self.last})"


@dataclass(frozen=True)
class Normalize:
    """`normalize(source, target)`: every occurrence of a string becomes another; the empty string removes it."""

    source: str
    target: str
    position: Position = field(default=_START, compare=False, repr=False)

    def __str__(self) -> str:
        return f"normalize(source_str={quoted(self.source)}, target_str={quoted(self.target)})"


@dataclass(frozen=True)
class Replace:
    """`replace(line, old, new)`: the one occurrence of a string in a line becomes another."""

    line: int
    old: str
    new: str
    position: Position = field(default=_START, compare=False, repr=False)

    def __str__(self) -> str:
        return f"replace({self.line}, {quoted(self.old)}, {quoted(self.new)})"


@dataclass(frozen=True)
class Mask:
    """`mask(line, text, kind)`: every occurrence of a string in a line becomes `[KIND]`."""

    line: int
    text: str
    kind: str  # capital letters, digits and underscores
    position: Position = field(default=_START, compare=False, repr=False)

    def __str__(self) -> str:
        return f"mask({self.line}, {quoted(self.text)}, {quoted(self.kind)})"


Statement = Keep | Drop | RemoveLines | Normalize | Replace | Mask


@dataclass(frozen=True)
class Program:
    """One verdict (`Keep` or `Drop`), or edits in their order. `str` writes it so that it reads back equal."""

    statements: tuple[Statement, ...]

    def __str__(self) -> str:
        return "\n".join(map(str, self.statements))


def quoted(text: str) -> str:
    """A string as a program writes it: between double quotes, on one line, what does not print as escapes."""
    return f'"{"".join(_written(character) for character in text)}"'


def _written(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
