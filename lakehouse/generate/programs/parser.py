"""Read a program: recursive descent over its words. Nothing of a program is ever evaluated.

program    = { separator } statement { separator { separator } statement } { separator }
statement  = name "(" [ argument { "," argument } [ "," ] ] ")"
argument   = [ name "=" ] value
value      = number | "[" number "]" | string | "True"
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lakehouse.generate.programs.errors import Position, ProgramError
from lakehouse.generate.programs.syntax import (
    Drop,
    Keep,
    Mask,
    Normalize,
    Program,
    RemoveLines,
    Replace,
    Statement,
)
from lakehouse.generate.programs.tokens import Token, tokens

MAX_CHARACTERS = 50_000
MAX_STATEMENTS = 500
MAX_KIND_CHARACTERS = 40

_WORDS_OF_KINDS = {"number": "a number", "string": "a string", "flag": "True"}


@dataclass(frozen=True)
class _Parameter:
    """What an operator takes: its name and other names for it, and a default where it may be left out."""

    names: tuple[str, ...]
    kind: str
    default: Any = None


@dataclass(frozen=True)
class _Operator:
    parameters: tuple[_Parameter, ...]
    build: Callable[..., Statement]


_FIRST = _Parameter(("line_start", "start"), "number")
_LAST = _Parameter(("line_end", "end"), "number")
_LINE = _Parameter(("line", "line_number"), "number")
_OPERATORS: dict[str, _Operator] = {
    "keep_doc": _Operator((), lambda at: Keep("doc", at)),
    "untouch_doc": _Operator((), lambda at: Keep("doc", at)),
    "keep_chunk": _Operator((), lambda at: Keep("chunk", at)),
    "keep_all": _Operator((), lambda at: Keep("all", at)),
    "drop_doc": _Operator((), lambda at: Drop("doc", at)),
    "drop_chunk": _Operator((), lambda at: Drop("chunk", at)),
    "remove_lines": _Operator((_FIRST, _LAST), lambda at, first, last: RemoveLines(first, last, at)),
    "normalize": _Operator(
        (_Parameter(("source_str", "source"), "string"), _Parameter(("target_str", "target"), "string", "")),
        lambda at, source, target: Normalize(source, target, at),
    ),
    "replace": _Operator(
        (_LINE, _Parameter(("old",), "string"), _Parameter(("new",), "string")),
        lambda at, line, old, new: Replace(line, old, new, at),
    ),
    "mask": _Operator(
        (_LINE, _Parameter(("text",), "string"), _Parameter(("kind",), "string")),
        lambda at, line, text, kind: Mask(line, text, kind, at),
    ),
}
# The published executor knows a second way to say drop_chunk().
_REMOVE_ALL = _Operator((_Parameter(("all",), "flag"),), lambda at, flag: Drop("chunk", at))


def parse_program(source: str) -> Program:
    """Read the program that a model wrote.

    One call a line or several with semicolons between them; arguments by place or by name; line numbers as `7`, `007`
    or `[007]`; strings between single or double quotes with Python's escapes. Comments and lines of code fences are
    left out.

    Args:
        source: at most 50,000 characters and 500 statements: `keep_doc()` (also `untouch_doc()`), `keep_chunk()`,
            `keep_all()`, `drop_doc()`, `drop_chunk()` (also `remove_lines(all=True)`), `remove_lines(line_start,
            line_end)`, `normalize(source_str, target_str="")`, `replace(line, old, new)`, `mask(line, text, kind)`.

    Raises:
        ProgramError: it is no program, or contradicts itself: a verdict (keep or drop) stands alone. The message has
            line and column, and what was expected.

    Source: Zhou et al., Programming Every Example: Lifting Pre-training Data Quality like Experts at Scale; replace and
    mask are ours.
    """
    if len(source) > MAX_CHARACTERS:
        raise ProgramError(f"the program has {len(source):,} characters: at most {MAX_CHARACTERS:,} are read.")
    statements = _Parser(tokens(source)).program()
    _check_verdicts(statements)
    return Program(statements)


class _Parser:
    def __init__(self, words: list[Token]) -> None:
        self.words = words
        self.place = 0

    def program(self) -> tuple[Statement, ...]:
        statements: list[Statement] = []
        self._skip_separators()
        while self._next().kind != "end":
            if len(statements) == MAX_STATEMENTS:
                raise ProgramError(f"the program has more than {MAX_STATEMENTS} statements.", self._next().position)
            statements.append(self._statement())
            if self._next().kind not in ("separator", "end"):
                raise self._expected("a line break or ';' after the statement")
            self._skip_separators()
        if not statements:
            raise ProgramError("the program is empty: expected an operator.", self._next().position)
        return tuple(statements)

    def _statement(self) -> Statement:
        word = self._take("name", "the name of an operator")
        name = str(word.value)
        operator = _OPERATORS.get(name)
        if operator is None:
            close = difflib.get_close_matches(name[:40], _OPERATORS, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else f" Known are {', '.join(_OPERATORS)}."
            raise ProgramError(f"operator {name[:40]!r} is unknown.{hint}", word.position)
        given = self._arguments(name)
        if name == "remove_lines" and given and given[0][0] == "all":
            operator = _REMOVE_ALL
        statement = operator.build(word.position, *_matched(name, operator, given, word.position))
        _check_values(statement)
        return statement

    def _arguments(self, name: str) -> list[tuple[str | None, Token, Any]]:
        self._sign("(", f"'(' after {name}")
        given: list[tuple[str | None, Token, Any]] = []
        while not self._is_sign(")"):
            keyword = None
            if self._next().kind == "name" and self._is_sign("=", 1):
                keyword = str(self._next().value)
                self.place += 2
            given.append((keyword, self._next(), self._value()))
            if self._is_sign(","):
                self.place += 1
            elif not self._is_sign(")"):
                raise self._expected("',' or ')'")
        self.place += 1
        return given

    def _value(self) -> str | int | bool:
        word = self._next()
        if self._is_sign("["):
            self.place += 1
            number = self._take("number", "a line number after '['").value
            self._sign("]", "']' after the line number")
            return number
        if word.kind in ("number", "string"):
            self.place += 1
            return word.value
        if word.kind == "name" and word.value == "True":
            self.place += 1
            return True
        raise self._expected("a number or a string")

    def _skip_separators(self) -> None:
        while self._next().kind == "separator":
            self.place += 1

    def _next(self) -> Token:
        return self.words[self.place]

    def _is_sign(self, sign: str, ahead: int = 0) -> bool:
        word = self.words[min(self.place + ahead, len(self.words) - 1)]
        return word.kind == "sign" and word.value == sign

    def _take(self, kind: str, expected: str) -> Token:
        word = self._next()
        if word.kind != kind:
            raise self._expected(expected)
        self.place += 1
        return word

    def _sign(self, sign: str, expected: str) -> None:
        if not self._is_sign(sign):
            raise self._expected(expected)
        self.place += 1

    def _expected(self, expected: str) -> ProgramError:
        return ProgramError(f"expected {expected}, found {self._next()}.", self._next().position)


def _matched(
    name: str, operator: _Operator, given: list[tuple[str | None, Token, Any]], position: Position
) -> list[Any]:
    """The arguments in the order of the operator's parameters."""
    parameters = operator.parameters
    places = {known: place for place, parameter in enumerate(parameters) for known in parameter.names}
    values: dict[int, Any] = {}
    by_name = False
    for order, (keyword, word, value) in enumerate(given):
        by_name = by_name or keyword is not None
        if by_name and keyword is None:
            raise ProgramError(f"{name}: an argument without a name follows one with a name.", word.position)
        place = places.get(keyword, -1) if keyword is not None else order
        if not 0 <= place < len(parameters):
            takes = ", ".join(parameter.names[0] for parameter in parameters) or "nothing"
            excess = f"{keyword[:40]!r} is no argument of it" if keyword else f"{len(given)} arguments are too many"
            raise ProgramError(f"{name} takes {takes}: {excess}.", word.position)
        parameter = parameters[place]
        if place in values:
            raise ProgramError(f"{name}: {parameter.names[0]} is given twice.", word.position)
        if type(value) is not {"number": int, "string": str, "flag": bool}[parameter.kind]:
            raise ProgramError(f"{name}: {parameter.names[0]} is {_WORDS_OF_KINDS[parameter.kind]}.", word.position)
        values[place] = value
    for place, parameter in enumerate(parameters):
        if values.setdefault(place, parameter.default) is None:
            raise ProgramError(f"{name}: {parameter.names[0]} is missing.", position)
    return [values[place] for place in range(len(parameters))]


def _check_values(statement: Statement) -> None:
    """Refuse what no text could make sense of."""
    match statement:
        case RemoveLines(first, last) if first > last:
            raise ProgramError(f"remove_lines: line_end {last} is before line_start {first}.", statement.position)
        case Normalize("" | " " as source):
            what = "a single space" if source else "empty"
            raise ProgramError(f"normalize: source_str is {what}, which stands everywhere.", statement.position)
        case Replace(old="") | Mask(text=""):
            raise ProgramError("the text to look for is empty.", statement.position)
        case Mask(kind=kind) if not _is_kind(kind):
            raise ProgramError(
                f"mask: kind {kind[:40]!r} is not a name of capital letters, digits and underscores, such as EMAIL.",
                statement.position,
            )


def _is_kind(kind: str) -> bool:
    return kind.isascii() and kind.isidentifier() and kind.isupper() and len(kind) <= MAX_KIND_CHARACTERS


def _check_verdicts(statements: tuple[Statement, ...]) -> None:
    """A verdict is the whole program; models repeat themselves, so the same verdict may be said twice."""
    first = statements[0]
    for statement in statements[1:]:
        if statement != first and (isinstance(statement, Keep | Drop) or isinstance(first, Keep | Drop)):
            raise ProgramError(
                f"{_operator(statement)} contradicts {_operator(first)}: a verdict stands alone.", statement.position
            )


def _operator(statement: Statement) -> str:
    return str(statement).split("(", 1)[0] + "()"
