"""What programs do to texts: every edit is a span that can be replayed."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse import schema
from lakehouse.generate.programs import (
    DropRule,
    Executed,
    Mask,
    Normalize,
    Program,
    ProgramError,
    RemoveLines,
    execute,
    numbered,
    parse_program,
    replay,
)

ALL_STAYS = DropRule(removed_share=2.0, words_left=-1)
PAGE = "Home | Login\nSalt is harvested in autumn.\nClick here!\nThe pans are 3 m wide."


def run(source: str, text: str = PAGE, drop_rule: DropRule = ALL_STAYS) -> Executed:
    return execute(parse_program(source), text, drop_rule)


def edit(start: int, end: int, rule: str, replacement: str = "") -> dict[str, Any]:
    return {"start": start, "end": end, "rule": rule, "replacement": replacement}


def removals(*spans: tuple[int, int]) -> list[dict[str, Any]]:
    return [edit(start, end, "remove_lines") for start, end in spans]


def test_lines_are_numbered_from_zero_in_three_digits() -> None:
    assert numbered("first line\n\nthird") == "[000] first line\n[001] \n[002] third"
    assert numbered("") == "[000] "
    assert numbered("x\n" * 1000).split("\n")[999:] == ["[999] x", "[1000] "]
    assert numbered("a\x85b\u2028c") == "[000] a\x85b\u2028c"  # these end no line: executing would count otherwise


@pytest.mark.parametrize(
    ("source", "text", "edits"),
    [
        # "Home | Login\n" are 13 characters.
        ("remove_lines(0, 0)", PAGE[13:], [edit(0, 13, "remove_lines")]),
        # Line 3 starts at 13 + 29 + 12 = 54; with it goes the line feed at 53, or the text would end in an empty line.
        ("remove_lines(3, 3)", PAGE[:53], [edit(53, 76, "remove_lines")]),
        # Neighbouring and overlapping removals are one edit, in whatever order they stand.
        ("remove_lines(2, 3); remove_lines(1, 2)", "Home | Login", [edit(12, 76, "remove_lines")]),
        ("remove_lines(2, 2)\nremove_lines(0, 0)", PAGE[13:42] + PAGE[54:], removals((0, 13), (42, 54))),
        ("remove_lines(0, 3)", "", [edit(0, 76, "remove_lines")]),
        ('normalize("e", "E")', PAGE.replace("e", "E"), None),
        ('normalize(" | ", "\\n")', "Home\nLogin" + PAGE[12:], [edit(4, 7, "normalize", "\n")]),
        ('replace(1, "autumn", "May")', PAGE.replace("autumn", "May"), [edit(34, 40, "replace", "May")]),
        ('mask(3, "3 m", "WIDTH")', PAGE.replace("3 m", "[WIDTH]"), [edit(67, 70, "mask", "[WIDTH]")]),
        # Removed lines win; what else stands in them is not edited.
        ('normalize("Home", "House"); remove_lines(0, 0)', PAGE[13:], [edit(0, 13, "remove_lines")]),
        # The earlier statement wins.
        ('normalize("Home |", "x"); normalize("| Login", "y")', "x" + PAGE[6:], [edit(0, 6, "normalize", "x")]),
        ('normalize("| Login", "y"); normalize("Home |", "x")', "Home y" + PAGE[12:], [edit(5, 12, "normalize", "y")]),
        # Every statement speaks of the original: the second one changes what the first one left alone, not its result.
        ('normalize("Home", "Login"); normalize("Login", "Exit")', "Login | Exit" + PAGE[12:], None),
        # What stays the same is no edit.
        ('normalize("Home", "Home")', PAGE, []),
    ],
)  # fmt: skip
def test_edits_are_spans_of_the_original(source: str, text: str, edits: list[dict[str, Any]] | None) -> None:
    executed = run(source)
    assert executed.text == text
    assert not executed.dropped
    if edits is not None:
        assert executed.edits == edits


def test_edits_count_code_points_and_fit_the_schema() -> None:
    executed = run('normalize("é", "e")', "😀 café\ncafé")
    # 😀 (0), space, c a f, é at 5; then the line feed, c a f, é at 10.
    assert executed.edits == [edit(5, 6, "normalize", "e"), edit(10, 11, "normalize", "e")]
    assert pa.array([executed.edits], schema.EDITS).to_pylist() == [executed.edits]


def test_verdicts_keep_or_drop_the_whole() -> None:
    assert run("keep_doc()", "Short.", DropRule()) == Executed("Short.", [], dropped=False, reason=None)
    assert run("drop_doc()") == Executed("", [edit(0, 76, "drop_doc")], dropped=True, reason="drop_doc")
    assert run("remove_lines(all=True)").reason == "drop_chunk"
    assert run("drop_chunk()", "") == Executed("", [], dropped=True, reason="drop_chunk")


def test_too_little_left_is_dropped_as_in_the_paper() -> None:
    # 400 words; 380 removed are 95 %, and the 20 that stay would be enough.
    text = "word " * 19 + "word\n" + "noise " * 379 + "noise\n"
    assert run("remove_lines(1, 1)", text, DropRule()).reason == "removed_share"
    assert run("remove_lines(1, 1)", text.replace("noise", "", 1), DropRule()).reason is None  # 379 of 399: 94.99 %
    # 11 of 20 words stay, then 10 of them.
    text = "one two three four five six seven eight nine ten eleven\n" + "x " * 9
    assert run("remove_lines(1, 1)", text, DropRule()).dropped is False
    dropped = run("remove_lines(1, 1)", text.replace("eleven", ""), DropRule())
    assert (dropped.dropped, dropped.reason) == (True, "words_left")
    assert dropped.text == "one two three four five six seven eight nine ten "  # what it was dropped for can be seen
    assert run('normalize("ten", "")', text, DropRule(removed_share=0.05)).reason == "removed_share"  # 1 of 20 words


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("remove_lines(2, 4)", "line 1, column 1: the text has no line 4: its lines are 0 to 3"),
        ('remove_lines(0, 0)\nnormalize("absent")', "line 2, column 1: 'absent' does not occur in the text"),
        ('replace(0, "autumn", "May")', "'autumn' does not occur in line 0"),
        ('replace(1, "a", "o")', "'a' occurs several times in line 1: give more of the line"),
        ('mask(9, "a", "A")', "no line 9"),
        ('mask(0, "Login\\nSalt", "A")', "does not occur in line 0"),
    ],
)
def test_what_the_text_does_not_have_is_an_error(source: str, message: str) -> None:
    with pytest.raises(ProgramError) as caught:
        run(source)
    assert message in str(caught.value)


def test_edits_without_end_are_an_error() -> None:
    with pytest.raises(ProgramError, match="more than 10,000 edits"):
        run('normalize("a", "b")', "a" * 10_001)
    assert run('normalize("a", "b")', "a" * 10_000).text == "b" * 10_000


@pytest.mark.parametrize(
    "edits",
    [[edit(0, 3, "x"), edit(2, 4, "x")], [edit(2, 3, "x"), edit(0, 1, "x")], [edit(0, 77, "x")], [edit(3, 2, "x")]],
)
def test_edits_of_another_text_are_not_replayed(edits: list[dict[str, Any]]) -> None:
    with pytest.raises(ProgramError, match="not the edits of this text"):
        replay(PAGE, edits)


def slow(program: Program, text: str) -> str:
    """Which statement each character belongs to, one character at a time."""
    owner: list[tuple[int, int] | None] = [None] * len(text)
    new: dict[tuple[int, int], str] = {}
    lines = text.split("\n")
    gone = {n for s in program.statements if isinstance(s, RemoveLines) for n in range(s.first, s.last + 1)}
    line_of = [text[:place].count("\n") for place in range(len(text))]
    # A line feed goes with the line before it, and where everything after a line goes, with that too.
    tail = {n for n in range(len(lines)) if all(later in gone for later in range(n + 1, len(lines)))} - {len(lines) - 1}
    for place, character in enumerate(text):
        if line_of[place] in gone or (character == "\n" and line_of[place] in tail):
            owner[place] = (-1, 0)
    for number, statement in enumerate(program.statements):
        if isinstance(statement, RemoveLines):
            continue
        wanted = statement.source if isinstance(statement, Normalize) else statement.text  # type: ignore[union-attr]
        replacement = statement.target if isinstance(statement, Normalize) else f"[{statement.kind}]"  # type: ignore[union-attr]
        place = 0
        while place + len(wanted) <= len(text):
            inside = isinstance(statement, Normalize) or line_of[place] == statement.line  # type: ignore[union-attr]
            if not inside or text[place : place + len(wanted)] != wanted:
                place += 1
                continue
            span = range(place, place + len(wanted))
            if all(owner[character] is None for character in span) and wanted != replacement:
                new[number, place] = replacement
                for character in span:
                    owner[character] = (number, place)
            place += len(wanted)
    result, written = [], set()
    for character, who in zip(text, owner, strict=True):
        if who is None:
            result.append(character)
        elif who not in written:
            written.add(who)
            result.append(new.get(who, ""))
    return "".join(result)


STRINGS = st.text("ab \n", min_size=1, max_size=3).filter(lambda text: text != " ")
STATEMENTS = st.one_of(
    st.tuples(st.integers(0, 5), st.integers(0, 5)).map(lambda pair: RemoveLines(min(pair), max(pair))),
    st.builds(Normalize, STRINGS, st.text("ab", max_size=2)),
    st.builds(Mask, st.integers(0, 3), st.text("ab", min_size=1, max_size=2), st.just("K")),
)


@given(st.text("ab \n", max_size=20), st.lists(STATEMENTS, min_size=1, max_size=4))
@settings(max_examples=500, deadline=None)
def test_every_result_can_be_replayed_and_equals_the_slow_one(text: str, statements: list[Any]) -> None:
    program = Program(tuple(statements))
    try:
        executed = execute(program, text, ALL_STAYS)
    except ProgramError:
        return
    assert executed.text == replay(text, executed.edits)
    assert executed.text == slow(program, text)
    ends = [0, *(change["end"] for change in executed.edits)]
    assert all(end <= change["start"] < change["end"] for end, change in zip(ends, executed.edits, strict=False))


@given(st.text("ab\n", max_size=20), st.sets(st.integers(0, 6), min_size=1))
@settings(max_examples=200, deadline=None)
def test_removed_lines_leave_the_other_lines(text: str, gone: set[int]) -> None:
    lines = text.split("\n")
    gone = {number for number in gone if number < len(lines)}
    if gone:
        program = Program(tuple(RemoveLines(number, number) for number in gone))
        kept = [line for number, line in enumerate(lines) if number not in gone]
        assert execute(program, text, ALL_STAYS).text == "\n".join(kept)
