"""Programs as sequences of edits, each of which leaves a program that a linter finds no errors in."""

from __future__ import annotations

import ast
import functools
import re
import warnings
from collections.abc import Iterator
from typing import Any

from pydantic import Field

from lakehouse import identity
from lakehouse.generate.transforms.diffs import insertion
from lakehouse.generate.transforms.python_blocks import PythonBlocks
from lakehouse.generate.transforms.settings import Settings

MAX_CHARACTERS = 100_000
"""Longer programs are left out, however few their lines: they are data."""

# What makes a program fail when it runs. The published method too lets pass what is only untidy.
_ERRORS = frozenset(
    {
        "BreakOutsideLoop",
        "ContinueOutsideLoop",
        "DefaultExceptNotLast",
        "DuplicateArgument",
        "ReturnOutsideFunction",
        "UndefinedExport",
        "UndefinedLocal",
        "UndefinedName",
        "YieldOutsideFunction",
    }
)
_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_BARE_RETURN = re.compile(r"\r(?!\n)")  # Python ends lines there, diffs do not
_MAX_CHECKS = 300  # of a sequence: what bounds its time
_Problem = tuple[str, str]


class EditSequence(Settings):
    """How programs are taken apart.

    Attributes:
        sequences: different ways to write each program, drawn by the seed.
        max_edits: of a sequence. Programs with more lines than this lose several at a time.
        max_lines: longer programs are left out.
        separator: the line between two diffs.
    """

    sequences: int = Field(default=1, ge=1, le=100)
    max_edits: int = Field(default=32, ge=1, le=1000)
    max_lines: int = Field(default=1000, ge=1, le=10_000)
    separator: str = "<|diff|>"


def edit_sequence(text: str, settings: EditSequence, seed: int) -> list[str]:
    """Write a Python program as a sequence of insertions that lead from nothing to the whole of it.

    Returns:
        A text a sequence: its unified diffs without context, each after a line with the separator. Sequences that are
        the same are given once. None for what does not compile, is too long or has carriage returns without
        line feeds.

    Source: Piterbarg, Pinto and Fergus, Training Language Models on Synthetic Edit Sequences Improves Code Synthesis.
    """
    written: dict[str, None] = {}
    for number in range(settings.sequences):
        diffs = edit_diffs(text, settings, identity.order_key(seed, "sequence", str(number)))
        if diffs:
            written["".join(f"{settings.separator}\n{diff}" for diff in diffs)] = None
    return list(written)


def edit_diffs(text: str, settings: EditSequence, seed: int) -> list[str]:
    """One sequence of diffs; `diffs.apply_insertions` gives the program again. Empty where there is none.

    Drawn backwards: a line is deleted, and with it what cannot be without it and what the linter (pyflakes) then finds
    an error in, until nothing is left. What the whole program does wrong already may stay wrong.
    """
    lines = _LINE.findall(text)
    states = [frozenset(range(len(lines))), *_states(lines, settings, seed)]
    if len(states) == 1:
        return []
    return [insertion(lines, before, after) for after, before in zip(states[-2::-1], states[:0:-1], strict=True)]


def _states(lines: list[str], settings: EditSequence, seed: int) -> Iterator[frozenset[int]]:
    """What is left of a program after each deletion; the last one has no lines. Nothing for an unusable program."""
    whole = "".join(lines)
    if len(lines) > settings.max_lines or len(whole) > MAX_CHARACTERS or _BARE_RETURN.search(whole):
        return
    known = _problems(whole)
    if known is None:
        return
    blocks = PythonBlocks(lines, _parsed(whole))
    at_once = -(-len(lines) // settings.max_edits)
    order = list(range(len(lines)))
    step = checks = 0
    while order:
        drawn = {order[identity.order_key(seed, str(step), str(draw)) % len(order)] for draw in range(at_once)}
        while drawn:
            order = sorted(blocks.without(drawn, frozenset(order)))
            problems = _problems("".join(lines[place] for place in order))
            checks += 1
            if problems is None or checks > _MAX_CHECKS:
                order = []  # a larger edit is better than a wrong one
                break
            drawn = {order[line] for problem, found in problems.items() if problem not in known for line in found}
        yield frozenset(order)
        step += 1


def _problems(text: str) -> dict[_Problem, list[int]] | None:
    """The errors of a program and their lines, from 0; None where it does not compile or the linter gives up."""
    try:
        messages = _checker()(_parsed(text), filename="text").messages
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    problems: dict[_Problem, list[int]] = {}
    for message in messages:
        if (name := type(message).__name__) in _ERRORS:
            problems.setdefault((name, repr(message.message_args)), []).append(message.lineno - 1)
    return problems


def _parsed(text: str) -> ast.Module:
    """The tree of a program that compiles; the compiler refuses more than the parser."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escapes and the like: about the text, not about this process
        tree = ast.parse(text)
        compile(tree, "text", "exec", dont_inherit=True, optimize=0)
    return tree


@functools.cache
def _checker() -> Any:
    from pyflakes import checker  # only where there is Python

    class Checker(checker.Checker):
        """Pyflakes without its search for repeated keys, which takes the square of their number."""

        DICT = checker.Checker.handleChildren

    return Checker
