"""Programs that a model writes: what reads, what does not, and that nothing else than an error comes of nonsense."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.generate.programs import (
    Drop,
    Keep,
    Mask,
    Normalize,
    Program,
    ProgramError,
    RemoveLines,
    Replace,
    parse_program,
)

NUMBERS = st.integers(0, 999_999_999)
STRINGS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
SOUGHT = STRINGS.filter(lambda text: text not in ("", " "))
EDITS = st.one_of(
    st.tuples(NUMBERS, NUMBERS).map(lambda pair: RemoveLines(min(pair), max(pair))),
    st.builds(Normalize, SOUGHT, STRINGS),
    st.builds(Replace, NUMBERS, SOUGHT, STRINGS),
    st.builds(Mask, NUMBERS, SOUGHT, st.from_regex(r"[A-Z][A-Z0-9_]{0,39}", fullmatch=True)),
)
VERDICTS = st.sampled_from([Keep("doc"), Keep("chunk"), Keep("all"), Drop("doc"), Drop("chunk")])
PROGRAMS = st.one_of(VERDICTS.map(lambda verdict: (verdict,)), st.lists(EDITS, min_size=1, max_size=6).map(tuple)).map(
    Program
)


@pytest.mark.parametrize(
    ("source", "statements"),
    [
        ("keep_doc()", [Keep("doc")]),
        ("untouch_doc()", [Keep("doc")]),
        ("drop_chunk()", [Drop("chunk")]),
        ("remove_lines(all=True)", [Drop("chunk")]),
        ("remove_lines(3, 7)", [RemoveLines(3, 7)]),
        ("remove_lines(line_start=[018], line_end=[020])", [RemoveLines(18, 20)]),
        ("remove_lines(line_end = 020, start = 018,)", [RemoveLines(18, 20)]),
        ("remove_lines(\n    1,  # the menu\n    2\n)", [RemoveLines(1, 2)]),
        ('normalize(source_str="a, b)", target_str=\'"\')', [Normalize("a, b)", '"')]),
        ('normalize("advert")', [Normalize("advert", "")]),
        (
            'replace(0, "teh", "the"); mask(4, "a@b.org", "EMAIL")',
            [Replace(0, "teh", "the"), Mask(4, "a@b.org", "EMAIL")],
        ),
        ("```python\nkeep_all()\n```\n", [Keep("all")]),
        ("# nothing to do\n\n;keep_all();;\r\nkeep_all()", [Keep("all"), Keep("all")]),
        (r'normalize("\t\\n\"", "\u00e9\x41\U0001f600")', [Normalize('\t\\n"', "éA😀")]),
        (r'normalize("\ud83d\ude00", "\frac")', [Normalize("😀", r"\frac")]),
    ],
)
def test_a_program_reads_as_its_statements(source: str, statements: list[object]) -> None:
    assert parse_program(source) == Program(tuple(statements))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("source", "line", "column", "message"),
    [
        ("", 1, 1, "empty"),
        ("```\n```", 2, 4, "empty"),
        ("I would keep this", 1, 1, "operator 'I' is unknown"),
        ("keep_all()\nremove_line(1, 2)", 2, 1, "Did you mean 'remove_lines'?"),
        ("keep_all", 1, 9, "expected '(' after keep_all, found the end of the program"),
        ("keep_all() keep_all()", 1, 12, "expected a line break or ';'"),
        ("keep_all(1)", 1, 10, "takes nothing: 1 arguments are too many"),
        ("remove_lines(1)", 1, 1, "line_end is missing"),
        ("remove_lines(1, 2, 3)", 1, 20, "3 arguments are too many"),
        ("remove_lines(1, start=2)", 1, 23, "line_start is given twice"),
        ("remove_lines(start=1, 2)", 1, 23, "an argument without a name"),
        ("remove_lines(first=1, last=2)", 1, 20, "'first' is no argument"),
        ('remove_lines("1", 2)', 1, 14, "line_start is a number"),
        ("remove_lines(True, 2)", 1, 14, "line_start is a number"),
        ("remove_lines(7, 3)", 1, 1, "line_end 3 is before line_start 7"),
        ("remove_lines(-1, 3)", 1, 14, "'-' starts neither"),
        ("remove_lines([1, 3)", 1, 16, "expected ']'"),
        ("remove_lines(1234567890, 3)", 1, 14, "at most 9 digits"),
        ("remove_lines(range(3))", 1, 14, "expected a number or a string, found 'range'"),
        ("normalize(1)", 1, 11, "source_str is a string"),
        ('normalize("")', 1, 1, "source_str is empty"),
        ('normalize(" ", "")', 1, 1, "a single space"),
        ('normalize("a', 1, 11, 'no closing "'),
        ('normalize("a\nb")', 1, 11, 'no closing "'),
        (r'normalize("\ud83d")', 1, 11, "half a character"),
        ('normalize("\ud83d")', 1, 11, "half a character"),
        (r'normalize("\u12")', 1, 12, "\\u needs the code"),
        (r'normalize("\UFFFFFFFF")', 1, 12, "\\U needs the code"),
        ('mask(1, "x", "e-mail")', 1, 1, "'e-mail' is not a name"),
        ('mask(1, "", "X")', 1, 1, "empty"),
        ("drop_doc()\nremove_lines(1, 2)", 2, 1, "remove_lines() contradicts drop_doc()"),
        ("keep_doc(); drop_doc()", 1, 13, "drop_doc() contradicts keep_doc()"),
        ("keep_all(); \u0661", 1, 13, "starts neither"),
        ("\x00keep_all()", 1, 1, "starts neither"),
        (";".join(["remove_lines(1,1)"] * 501), 1, 501 * 18 - 17, "more than 500 statements"),
    ],
)
def test_what_is_no_program_is_one_line_that_says_where(source: str, line: int, column: int, message: str) -> None:
    with pytest.raises(ProgramError) as caught:
        parse_program(source)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"line {line}, column {column}: ")
    assert caught.value.position == (line, column)
    assert "\n" not in str(caught.value)


def test_a_program_without_end_is_refused_unread() -> None:
    with pytest.raises(ProgramError, match="1,000,000 characters"):
        parse_program("[" * 1_000_000)


@pytest.mark.parametrize("sign", ["(", "[", '"', ";", "keep_all(", "=", ",", "#", "```", "\\", "a", "\n", "9"])
def test_many_of_one_sign_are_an_error_and_no_crash(sign: str) -> None:
    with pytest.raises(ProgramError):
        parse_program(sign * (50_000 // len(sign)))


@given(PROGRAMS)
@settings(max_examples=300, deadline=None)
def test_a_printed_program_reads_back_equal(program: Program) -> None:
    assert parse_program(str(program)) == program
    assert str(program).count("\n") == len(program.statements) - 1


WORDS = [
    "remove_lines",
    "normalize",
    "keep_all",
    "mask",
    "line_start",
    "=",
    "(",
    ")",
    "[",
    "]",
    ",",
    ";",
    "\n",
    '"',
    "'",
]
WORDS += ["\\", "\\u", "7", "018", "True", "#", "```", " ", "é", "\x00", "\ud800"]


@given(st.one_of(st.text(max_size=60), st.lists(st.sampled_from(WORDS), max_size=30).map("".join)))
@settings(max_examples=500, deadline=None)
def test_of_any_text_comes_a_program_or_a_program_error(source: str) -> None:
    try:
        program = parse_program(source)
    except ProgramError as problem:
        error = problem
    else:
        assert parse_program(str(program)) == program
        return
    assert error.position is not None
    assert 1 <= error.position.line <= source.count("\n") + 1
    assert str(error).encode("utf-8")
