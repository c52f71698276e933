"""Execute programs on texts, and replay what they did.

Every statement speaks of the text as it was shown, whatever others do to it: line numbers and occurrences are those of
the original. Where edits overlap, lines that are removed win over everything in them; otherwise the earlier statement
wins, and the edit that loses leaves no trace.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from lakehouse.generate.programs.errors import ProgramError
from lakehouse.generate.programs.syntax import Drop, Keep, Mask, Normalize, Program, RemoveLines, Replace, Statement

MAX_EDITS = 10_000

Edit = dict[str, Any]
"""One edit in the form of `schema.EDITS`: start and end in code points, rule, replacement."""


@dataclass(frozen=True)
class DropRule:
    """When so little is left of an edited text that it is dropped. Words are runs between white space."""

    removed_share: float = 0.95  # of the words, or more
    words_left: int = 10  # or fewer


@dataclass(frozen=True)
class Executed:
    """What a program made of a text.

    Attributes:
        text: the text after the edits; `replay(original, edits)` gives it again.
        edits: in the form of `schema.EDITS`, in order, not overlapping; the rule is the operator's name.
        dropped: whether the text should go, edits or not.
        reason: why: "drop_doc", "drop_chunk", "removed_share" or "words_left"; None where it stays.
        program: what was executed, in its canonical form.
    """

    text: str
    edits: list[Edit]
    dropped: bool
    reason: str | None
    program: str = field(default="", compare=False)


def numbered(text: str) -> str:
    """The text as a prompt shows it: each line after its number, `[000] first line`. Only line feeds end lines."""
    return "\n".join(f"[{number:03d}] {line}" for number, line in enumerate(text.split("\n")))


def execute(program: Program, text: str, drop_rule: DropRule | None = None) -> Executed:
    """Execute a program on the text that it was written for.

    A text that the program keeps by a verdict is not dropped however short it is, nor one of which it only mends or
    masks words: the rule is about what is left when boilerplate is removed.

    Args:
        program: what `parse_program` gives.
        text: the text without line numbers.
        drop_rule: when to drop what is left; by default as in the paper (95 % of the words removed, 10 words left).

    Raises:
        ProgramError: a line that the text does not have, a string that does not occur (for `replace`: exactly once in
            its line), or more than 10,000 edits. Nothing was done then: keep the original.

    Source: Zhou et al., Programming Every Example: Lifting Pre-training Data Quality like Experts at Scale.
    """
    drop_rule = drop_rule or DropRule()
    verdict = program.statements[0]
    if isinstance(verdict, Keep):
        return Executed(text, [], dropped=False, reason=None, program=str(program))
    if isinstance(verdict, Drop):
        rule = f"drop_{verdict.scope}"
        edits = [_edit(0, len(text), rule, "")] if text else []
        return Executed("", edits, dropped=True, reason=rule, program=str(program))
    edits = _edits(program, text)
    result = replay(text, edits)
    reason = None
    if any(isinstance(statement, RemoveLines | Normalize) for statement in program.statements):
        reason = _too_little(len(text.split()), len(result.split()), drop_rule)
    return Executed(result, edits, dropped=reason is not None, reason=reason, program=str(program))


def replay(text: str, edits: Sequence[Edit]) -> str:
    """Apply stored edits to the text that they were made for.

    Raises:
        ProgramError: the edits are not in order, overlap, or lie outside of the text.
    """
    parts, place = [], 0
    for number, edit in enumerate(edits):
        if not place <= edit["start"] <= edit["end"] <= len(text):
            raise ProgramError(
                f"edit {number} ({edit['start']} to {edit['end']}) overlaps the one before it or lies outside of the "
                f"text of {len(text)} characters: these are not the edits of this text."
            )
        parts += [text[place : edit["start"]], edit["replacement"]]
        place = edit["end"]
    return "".join([*parts, text[place:]])


class _Lines:
    """Where the lines of a text lie."""

    def __init__(self, text: str) -> None:
        self.starts = [0]
        for line in text.split("\n"):
            self.starts.append(self.starts[-1] + len(line) + 1)

    def __len__(self) -> int:
        return len(self.starts) - 1

    def span(self, number: int, statement: Statement) -> tuple[int, int]:
        """First character of a line and the one after its last, its line feed apart."""
        if number >= len(self):
            raise ProgramError(
                f"the text has no line {number}: its lines are 0 to {len(self) - 1}.", statement.position
            )
        return self.starts[number], self.starts[number + 1] - 1


def _edits(program: Program, text: str) -> list[Edit]:
    lines = _Lines(text)
    edits = list(_removals(program, lines))
    starts = [edit["start"] for edit in edits]
    for statement in program.statements:
        for start, end, rule, replacement in _replacements(statement, text, lines):
            place = bisect_left(starts, end)
            if (place and edits[place - 1]["end"] > start) or text[start:end] == replacement:
                continue
            if len(edits) == MAX_EDITS:
                raise ProgramError(f"the program makes more than {MAX_EDITS:,} edits.", statement.position)
            starts.insert(place, start)
            edits.insert(place, _edit(start, end, rule, replacement))
    return edits


def _removals(program: Program, lines: _Lines) -> Iterator[Edit]:
    """Runs of removed lines. With each line goes its line feed; with the last line of the text the one before it."""
    spans = []
    for statement in program.statements:
        if isinstance(statement, RemoveLines):
            lines.span(statement.last, statement)
            spans.append((statement.first, statement.last + 1))
    runs: list[tuple[int, int]] = []
    for first, end in sorted(spans):
        if runs and first <= runs[-1][1]:
            runs[-1] = (runs[-1][0], max(end, runs[-1][1]))
        else:
            runs.append((first, end))
    for first, end in runs:
        start, stop = lines.starts[first], lines.starts[end]
        if end == len(lines):
            start, stop = max(0, start - 1), stop - 1
        if start < stop:
            yield _edit(start, stop, "remove_lines", "")


def _replacements(statement: Statement, text: str, lines: _Lines) -> Iterator[tuple[int, int, str, str]]:
    match statement:
        case Normalize(source, target):
            yield from _occurrences(text, source, (0, len(text)), statement, "normalize", target)
        case Mask(line, masked, kind):
            yield from _occurrences(text, masked, lines.span(line, statement), statement, "mask", f"[{kind}]")
        case Replace(line, old, new):
            start, end = lines.span(line, statement)
            found = text.find(old, start, end)
            if found >= 0 and text.find(old, found + 1, end) >= 0:
                raise ProgramError(
                    f"{_shown(old)} occurs several times in line {line}: give more of the line.", statement.position
                )
            yield from _occurrences(text, old, (start, end), statement, "replace", new)


def _occurrences(
    text: str, wanted: str, span: tuple[int, int], statement: Statement, rule: str, replacement: str
) -> Iterator[tuple[int, int, str, str]]:
    """Every occurrence from left to right; one that overlaps the occurrence before it is none."""
    place = text.find(wanted, *span)
    if place < 0:
        where = f"line {statement.line}" if isinstance(statement, Replace | Mask) else "the text"
        raise ProgramError(f"{_shown(wanted)} does not occur in {where}.", statement.position)
    while place >= 0:
        yield place, place + len(wanted), rule, replacement
        place = text.find(wanted, place + len(wanted), span[1])


def _too_little(words: int, left: int, rule: DropRule) -> str | None:
    if words and (words - left) / words >= rule.removed_share:
        return "removed_share"
    return "words_left" if left <= rule.words_left else None


def _edit(start: int, end: int, rule: str, replacement: str) -> Edit:
    return {"start": start, "end": end, "rule": rule, "replacement": replacement}


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:39] + "…")
