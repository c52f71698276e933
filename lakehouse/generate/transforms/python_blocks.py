"""Which lines of a Python program can be deleted together so that what stays still parses."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(eq=False)
class Statement:
    """A statement with the comments and empty lines before it.

    Attributes:
        start: the first line of those, from 0.
        first: its own first line.
        end: the line after its last.
        block: the block that it stands in; None for a statement of the module.
    """

    start: int
    first: int
    end: int
    block: Block | None = None


@dataclass(eq=False)
class Block:
    """A run of statements inside of another one.

    Attributes:
        owner: the statement that the block belongs to.
        required: whether the owner cannot be without it.
        statements: what is in it.
        header: the lines that only introduce this block, such as that of an `else:`.
    """

    owner: Statement
    required: bool
    statements: list[Statement] = field(default_factory=list)
    header: range = range(0)


class PythonBlocks:
    """The statements of a program, each with the lines that are its own.

    Args:
        lines: of the program, with their ends.
        tree: of the program.
    """

    def __init__(self, lines: list[str], tree: ast.Module) -> None:
        self._lines = lines
        self._owners: list[Statement | None] = [None] * len(lines)
        self._add(tree.body, None, 0)

    def without(self, deleted: Iterable[int], present: frozenset[int]) -> frozenset[int]:
        """The lines that stay when some are deleted, and with them all that cannot be without them.

        A line takes its whole statement with it, a statement all that is in it, and the last statement of a block the
        block: an `else:` goes alone, a function goes as a whole.

        Args:
            deleted: lines to delete.
            present: the lines that there are: all, or what this method left.
        """
        stays = set(present)
        for line in deleted:
            if line not in stays:
                continue
            statement = self._owners[line]
            if statement is None:  # comments at the end of the program
                stays.discard(line)
            while statement is not None:
                stays.difference_update(range(statement.start, statement.end))
                block = statement.block
                if block is None or any(other.first in stays for other in block.statements):
                    break
                stays.difference_update(block.header)
                statement = block.owner if block.required else None
        return frozenset(stays)

    def _add(self, nodes: list[ast.stmt], block: Block | None, place: int) -> None:
        """Add the statements of a block whose lines begin at `place`. Those that share a line become one."""
        before: Statement | None = None
        for node in nodes:
            first, end = _first_line(node), node.end_lineno or node.lineno
            if before is not None and (first < before.end or self._shares_line(node)):
                before.end = max(before.end, end)
                self._claim(before)
                continue
            start = first
            while start > place and _says_nothing(self._lines[start - 1]):
                start -= 1
            before = Statement(start, first, end, block)
            if block is not None:
                block.statements.append(before)
            self._claim(before)
            self._add_blocks(node, before)
            place = end

    def _add_blocks(self, node: ast.stmt, statement: Statement) -> None:
        parts = _parts(node)
        if any(self._shares_line(nodes[0]) for _, nodes in parts):
            return  # a body on the line of its header: all of it or nothing
        place = statement.first
        for required, nodes in parts:
            block = Block(statement, required)
            self._add(nodes, block, place)
            block.header = range(place, block.statements[0].start)
            place = nodes[-1].end_lineno or place

    def _claim(self, statement: Statement) -> None:
        self._owners[statement.start : statement.end] = [statement] * (statement.end - statement.start)

    def _shares_line(self, node: ast.stmt) -> bool:
        """Whether something else stands before a statement on its first line."""
        first = min([node, *getattr(node, "decorator_list", [])], key=lambda part: (part.lineno, part.col_offset))
        before = self._lines[first.lineno - 1].encode("utf-8")[: first.col_offset]
        return before.strip(b" \t\f@") != b""


def _says_nothing(line: str) -> bool:
    return not (code := line.strip()) or code.startswith("#")


def _first_line(node: ast.stmt) -> int:
    return min([node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", []))]) - 1


def _parts(node: ast.stmt) -> list[tuple[bool, list[ast.stmt]]]:
    """The blocks of a statement in their order, and whether it cannot be without them."""
    parts: list[tuple[bool, list[ast.stmt]]] = [(True, getattr(node, "body", []))]
    parts += [(True, handler.body) for handler in getattr(node, "handlers", [])]
    parts += [(True, case.body) for case in getattr(node, "cases", [])]
    # An `else` after handlers or loops may go; a `finally` only where there are handlers.
    parts += [(False, getattr(node, "orelse", []))]
    parts += [(not getattr(node, "handlers", []), getattr(node, "finalbody", []))]
    return [(required, nodes) for required, nodes in parts if nodes]
