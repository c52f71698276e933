"""The words of a program: names, numbers, strings, signs and ends of statements."""

from __future__ import annotations

import string
from typing import Literal, NamedTuple

from lakehouse.generate.programs.errors import Position, ProgramError

MAX_DIGITS = 9
Kind = Literal["name", "number", "string", "sign", "separator", "end"]

_SIGNS = frozenset("()[],=")
_NAME_START = frozenset(string.ascii_letters + "_")
_NAME = _NAME_START | frozenset(string.digits)
_DIGITS = frozenset(string.digits)
_HEXADECIMAL = frozenset(string.hexdigits)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", '"': '"', "'": "'"}
_CODE_LENGTHS = {"x": 2, "u": 4, "U": 8}
_FENCE = "```"


class Token(NamedTuple):
    """One word of a program."""

    kind: Kind
    value: str | int
    position: Position

    def __str__(self) -> str:
        match self.kind:
            case "end":
                return "the end of the program"
            case "separator":
                return "the end of the statement"
            case "string":
                return "a string"
            case _:
                return repr(str(self.value)[:40])


def tokens(source: str) -> list[Token]:
    """Cut a program into its words.

    Spaces and comments (from `#` to the end of the line) separate words and are left out, and so are lines that start
    with a code fence. Semicolons and ends of lines outside of brackets end a statement.

    Raises:
        ProgramError: a character that no word starts with, a string without its end, an escape that is no character, or
            a number of more than nine digits.
    """
    return _Scanner(source).run()


class _Scanner:
    def __init__(self, source: str) -> None:
        self.source = source
        self.place = 0
        self.line = 1
        self.line_start = 0
        self.brackets = 0
        self.found: list[Token] = []

    def run(self) -> list[Token]:
        source, size = self.source, len(self.source)
        while self.place < size:
            character = source[self.place]
            if character == "\n":
                if not self.brackets:
                    self._add("separator", "\n", self.place)
                self.place += 1
                self.line += 1
                self.line_start = self.place
            elif character in " \t\r":
                self.place += 1
            elif character == "#" or self._at_fence():
                end = source.find("\n", self.place)
                self.place = size if end < 0 else end
            else:
                self._word(character)
        self._add("end", "", size)
        return self.found

    def _word(self, character: str) -> None:
        start = self.place
        if character in _NAME_START:
            self._add("name", self._run_of(_NAME), start)
        elif character in _DIGITS:
            digits = self._run_of(_DIGITS)
            if len(digits) > MAX_DIGITS:
                raise ProgramError(
                    f"a number has at most {MAX_DIGITS} digits, this one has {len(digits)}.", self._at(start)
                )
            self._add("number", int(digits), start)
        elif character in "\"'":
            self._add("string", self._string(character), start)
        elif character in _SIGNS:
            self.brackets = max(0, self.brackets + (character in "([") - (character in ")]"))
            self.place += 1
            self._add("sign", character, start)
        elif character == ";":
            self.place += 1
            self._add("separator", ";", start)
        else:
            raise ProgramError(f"{character!r} starts neither a name, a number nor a string.", self._at(start))

    def _run_of(self, characters: frozenset[str]) -> str:
        source, start, place, size = self.source, self.place, self.place + 1, len(self.source)
        while place < size and source[place] in characters:
            place += 1
        self.place = place
        return source[start:place]

    def _string(self, quote: str) -> str:
        """The string at this place: between single or double quotes, on one line, with Python's escapes."""
        source, start = self.source, self.place
        parts: list[str] = []
        self.place += 1
        while True:
            end = source.find(quote, self.place)
            plain = source[self.place : end] if end >= 0 else source[self.place :].split("\n", 1)[0]
            backslash = plain.find("\\")
            if backslash >= 0:
                plain = plain[:backslash]
            if "\n" in plain or (end < 0 and backslash < 0):
                raise ProgramError(f"the string that starts here has no closing {quote}.", self._at(start))
            parts.append(plain)
            self.place += len(plain) + 1
            if backslash < 0:
                break
            self.place -= 1
            parts.append(self._escape())
        text = "".join(parts)
        return text if text.isascii() else self._whole(text, start)

    def _whole(self, text: str, start: int) -> str:
        """The text with halves of characters joined: JSON writes characters beyond the basic plane as two escapes."""
        try:
            return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
        except UnicodeDecodeError:
            raise ProgramError("the string holds half a character (a lone surrogate).", self._at(start)) from None

    def _escape(self) -> str:
        """The character of the escape at this place. A backslash before any other character is a backslash."""
        start, letter = self.place, self.source[self.place + 1 : self.place + 2]
        if letter in _CODE_LENGTHS:
            end = start + 2 + _CODE_LENGTHS[letter]
            digits = self.source[start + 2 : end]
            if len(digits) < _CODE_LENGTHS[letter] or not _HEXADECIMAL.issuperset(digits) or int(digits, 16) > 0x10FFFF:
                raise ProgramError(
                    f"\\{letter} needs the code of a character in {_CODE_LENGTHS[letter]} digits.", self._at(start)
                )
            self.place = end
            return chr(int(digits, 16))
        known = _ESCAPES.get(letter) if letter else None
        self.place += 2 if known else 1
        return known or "\\"

    def _at_fence(self) -> bool:
        return self.source.startswith(_FENCE, self.place) and not self.source[self.line_start : self.place].strip()

    def _at(self, place: int) -> Position:
        return Position(self.line, place - self.line_start + 1)

    def _add(self, kind: Kind, value: str | int, start: int) -> None:
        self.found.append(Token(kind, value, Position(self.line, start - self.line_start + 1)))
