"""Unified diffs without context that only insert lines: write them, and apply them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_NO_END = "\\ No newline at end of file\n"


def insertion(lines: Sequence[str], before: frozenset[int], after: frozenset[int]) -> str:
    """The unified diff from one subset of a text's lines to a larger one, without file names and context.

    Args:
        lines: of the whole text, with their ends.
        before: places of the lines that there are.
        after: places of those that there shall be; `before` is among them.
    """
    hunks: list[str] = []
    kept = written = 0  # lines of either side so far
    run: list[str] = []
    for place in [*sorted(after), None]:
        if place is not None and place not in before:
            run.append(lines[place])
            continue
        if run:
            hunks.append(f"@@ -{_range(kept, 0)} +{_range(written, len(run))} @@\n")
            hunks += [f"+{line}" if line.endswith("\n") else f"+{line}\n{_NO_END}" for line in run]
            written += len(run)
            run = []
        kept += 1
        written += 1
    return "".join(hunks)


def apply_insertions(diffs: Iterable[str], text: str = "") -> str:
    """Apply diffs that `insertion` wrote, one after the other.

    Raises:
        ValueError: a diff has another form, or inserts beyond the end of the text.
    """
    lines = re.findall(r"[^\n]*\n|[^\n]+", text)
    for diff in diffs:
        place = 0
        for line in diff.split("\n")[:-1]:
            if line.startswith("@@ "):
                start, _, count = line.split(" ")[2][1:].partition(",")
                place = int(start) - 1 if count != "0" else int(start)
            elif line.startswith("+") and place <= len(lines):
                lines.insert(place, line[1:] + "\n")
                place += 1
            elif line + "\n" == _NO_END and 0 < place <= len(lines):
                lines[place - 1] = lines[place - 1].removesuffix("\n")
            else:
                raise ValueError(f"this is no diff that only inserts lines: {line[:80]!r}")
    return "".join(lines)


def _range(lines_before: int, count: int) -> str:
    """A hunk's range: where nothing is, the line before it is named, and a count of 1 is left out."""
    if count == 0:
        return f"{lines_before},0"
    return f"{lines_before + 1}" if count == 1 else f"{lines_before + 1},{count}"
