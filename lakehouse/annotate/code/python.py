"""Whether Python parses, and what pyflakes says of it."""

from __future__ import annotations

import ast
import functools
import warnings
from typing import Any

MAX_CHARACTERS = 500_000
"""Longer files are not parsed: they are data, and take seconds and much memory."""

# What makes a program fail when it runs, rather than untidy. Pylint weighs such messages five times, and so do we.
_ERRORS = frozenset(
    {
        "BreakOutsideLoop",
        "ContinueOutsideLoop",
        "DefaultExceptNotLast",
        "DuplicateArgument",
        "ReturnOutsideFunction",
        "TooManyExpressionsInStarredAssignment",
        "TwoStarredExpressions",
        "UndefinedExport",
        "UndefinedLocal",
        "UndefinedName",
        "YieldOutsideFunction",
    }
)
_ERROR_WEIGHT = 5


def judge(text: str, comment_share: float) -> tuple[bool | None, float | None]:
    """Parse and lint a Python file.

    Args:
        text: the file.
        comment_share: share of its characters that are in comments, 0..1.

    Returns:
        Whether the parser of the Python that runs accepts it (False also where it gives up: nesting beyond its limits;
        None for more than 500,000 characters), and the lint score: 10 − 10 × (5 × errors + warnings) / statements, at
        least 0, times 1 − comment_share. Errors and warnings are pyflakes' messages. The score is None for what does
        not parse or has no statements, and where pyflakes gives up.

    Source: the formula is pylint's, the factor that of Fujii et al., Rewriting Pre-Training Data Boosts LLM Performance
    in Math and Code.
    """
    if len(text) > MAX_CHARACTERS:
        return None, None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escapes and the like: about the file, not about this process
        try:
            tree = ast.parse(text.removeprefix("\ufeff"))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return False, None
        return True, _lint_score(tree, comment_share)


def _lint_score(tree: ast.Module, comment_share: float) -> float | None:
    statements = sum(isinstance(node, ast.stmt) for node in ast.walk(tree))
    if not statements:
        return None
    try:
        messages = _checker()(tree, filename="text").messages
    except RecursionError:
        return None
    errors = sum(type(message).__name__ in _ERRORS for message in messages)
    penalty = (_ERROR_WEIGHT * errors + len(messages) - errors) / statements
    return max(0.0, 10 - 10 * penalty) * (1 - comment_share)


@functools.cache
def _checker() -> Any:
    from pyflakes import checker  # only where there is Python

    class Checker(checker.Checker):
        """Pyflakes without its search for repeated keys, which takes the square of their number."""

        DICT = checker.Checker.handleChildren

    return Checker
