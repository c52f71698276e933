"""What is wrong with a program."""

from __future__ import annotations

from typing import NamedTuple


class Position(NamedTuple):
    """A place in the source of a program; both numbers start at 1."""

    line: int
    column: int


class ProgramError(ValueError):
    """A program that cannot be read, or not be executed on its text.

    Attributes:
        position: where in the program; None where the error is about edits and not about a program.
    """

    def __init__(self, message: str, position: Position | None = None) -> None:
        self.position = position
        place = f"line {position.line}, column {position.column}: " if position else ""
        super().__init__(place + message)
