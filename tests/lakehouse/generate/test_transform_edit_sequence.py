"""Programs as sequences of edits: the diffs make the program, and each of them leaves one without errors."""

from __future__ import annotations

import ast
import shutil
import subprocess
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.generate.transforms import EditSequence, apply_insertions, edit_diffs, edit_sequence
from lakehouse.generate.transforms.diffs import insertion

PROGRAM = '''"""Greets."""

import sys
from math import (
    floor,
    sqrt,
)


# How loud.
LOUD = floor(sqrt(9)); QUIET = 1


@staticmethod
def greet(name, volume=LOUD):
    text = f"""Hello,
    {name}"""
    try:
        if volume > QUIET:
            text = text.upper()
        elif volume < 0:
            # never
            return None
        else:
            text = text.lower()
    except (TypeError, ValueError):
        text = ""
    else:
        text += "!"
    finally:
        print(volume)
    for letter in text: print(letter)
    match volume:
        case 1:
            return 2
        case _:
            pass
    return text


class Greeter:
    def run(self):
        count = 0
        def more():
            nonlocal count
            count += 1
        more()
        return greet(sys.argv[1])

# The end.
'''


def states(diffs: list[str]) -> Iterator[str]:
    text = ""
    for diff in diffs:
        text = apply_insertions([diff], text)
        yield text


def undefined(text: str) -> set[str]:
    """Names that a program uses and pyflakes does not find."""
    from pyflakes import checker, messages

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compile(text, "text", "exec")
        found = checker.Checker(ast.parse(text)).messages
    kinds = (messages.UndefinedName, messages.UndefinedLocal, messages.UndefinedExport)
    return {str(message.message_args[0]) for message in found if isinstance(message, kinds)}


def test_a_definition_comes_before_its_use_whatever_the_seed() -> None:
    # "b" needs "a": either both lines come at once, or "a" before "b".
    both, first, second = "@@ -0,0 +1,2 @@\n+a = 1\n+b = a\n", "@@ -0,0 +1 @@\n+a = 1\n", "@@ -1,0 +2 @@\n+b = a\n"
    outcomes = {tuple(edit_diffs("a = 1\nb = a\n", EditSequence(), seed)) for seed in range(30)}
    assert outcomes == {(both,), (first, second)}


def test_the_text_of_a_sequence_has_the_separator_before_each_diff() -> None:
    (output,) = edit_sequence("a = 1\n", EditSequence(separator="<edit>"), 1)
    assert output == "<edit>\n@@ -0,0 +1 @@\n+a = 1\n"
    several = edit_sequence("a = 1\nb = 2\n", EditSequence(sequences=20), 1)
    assert len(several) == 2  # a first or b first


@pytest.mark.parametrize("seed", range(25))
def test_every_state_is_a_program_without_new_errors(seed: int) -> None:
    diffs = edit_diffs(PROGRAM, EditSequence(), seed)
    *between, last = states(diffs)
    assert last == PROGRAM
    for text in between:
        assert undefined(text) <= undefined(PROGRAM)
    assert diffs == edit_diffs(PROGRAM, EditSequence(), seed)


def test_programs_are_taken_apart_inside_of_functions_too() -> None:
    seen = {text for seed in range(60) for text in states(edit_diffs(PROGRAM, EditSequence(), seed))}
    assert len(seen) > 60
    assert any("def greet" in text and "text.upper()" not in text for text in seen)
    assert any("    else:\n        text += " not in text and "except" in text for text in seen)  # an else goes alone
    assert any("floor" not in text and "class" not in text for text in seen)
    assert not any("more()" in text and "count = 0" not in text for text in seen)  # nonlocal needs what it names


def test_long_chains_of_names_are_taken_apart() -> None:
    text = "a0 = 1\n" + "".join(f"a{number} = a{number - 1}\n" for number in range(1, 60))
    lengths = [len(edit_diffs(text, EditSequence(), seed)) for seed in range(5)]
    # Each state is a beginning of the program. The place drawn halves what is left on average: about ln 60 = 4 times.
    assert 2 <= sum(lengths) / 5 <= 9
    for seed in range(5):
        assert all(text.startswith(state) for state in states(edit_diffs(text, EditSequence(), seed)))


def test_what_python_warns_of_is_not_said_of_this_process() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert edit_diffs("a = '\\d'\nb = 1 is 1\n", EditSequence(), 1)


def test_errors_that_the_program_has_may_stay() -> None:
    text = "print(unknown)\na = 1\nprint(a)\n"
    diffs = {diff for seed in range(20) for diff in edit_diffs(text, EditSequence(), seed)}
    assert "@@ -0,0 +1 @@\n+print(unknown)\n" in diffs


@pytest.mark.parametrize(
    "text",
    [
        "",
        "def f(:\n",
        "print 'old'\n",
        "a = 1\rb = 2\n",
        "\x00",
        "return 1\n",
        "x = " + "(" * 500,
        "x = " + "-" * 50_000 + "1",
        "a = 1\n" * 1001,
        f"a = '{'1' * 100_000}'\n",
        "a = '\ud800'\n",
        "if 1:\n pass\n" + "elif 1:\n pass\n" * 450,
    ],
)
def test_what_is_no_program_or_too_long_has_no_sequence(text: str) -> None:
    assert edit_sequence(text, EditSequence(), 1) == []


@pytest.mark.parametrize(
    "text",
    [
        "a = 1",
        "a = 1\nb = 2",
        "if True: a = 1; b = 2\nc = 3; d = 4; e = 5\n",
        "a = 1\r\nb = 2\r\n",
        "x = '\x0c'\n\x0c\ndef f(): pass\n",
        "s = '''\n# no comment\n\n'''\n# a comment",
        "é = 1; ü = 2\nif é:\n\tü = 3\n",
        "a = 1; \\\nb = 2\nc = \\\n  3\n",
        "try:\n    a = 1\nfinally:\n    b = 2\n",
        "while True:\n    break\nelse:\n    a = 1\n",
        "def f(\n    a,\n    b\n): return a\n@f\n# between\n@f\nclass C: x = 1\n",
        "async def f():\n    async with f as g, f:\n        await g\n    async for x in g:\n        pass\n",
        "# only a comment\n",
        "__all__ = ['a']\na = 1\n",
        "from os import *\nprint(path)\n",
    ],
)
def test_every_way_to_write_a_program_survives(text: str) -> None:
    for seed in range(10):
        diffs = edit_diffs(text, EditSequence(), seed)
        assert apply_insertions(diffs) == text
        for state in states(diffs):
            compile(state, "text", "exec")


def test_long_programs_lose_several_lines_at_a_time() -> None:
    text = "".join(f"a{number} = {number}\n" for number in range(400))
    diffs = edit_diffs(text, EditSequence(max_edits=8), 1)
    # 50 lines are drawn at a time, some of them twice: more than 8 steps are possible, but not many.
    assert 8 <= len(diffs) < 40
    assert apply_insertions(diffs) == text


@pytest.mark.skipif(shutil.which("patch") is None, reason="the system has no patch")
@pytest.mark.parametrize("text", [PROGRAM, PROGRAM.rstrip("\n") + "\nx = 1"])
def test_patch_applies_the_diffs(tmp_path: Path, text: str) -> None:
    (tmp_path / "program.py").write_text("")
    for diff in edit_diffs(text, EditSequence(), 4):
        whole = f"--- program.py\n+++ program.py\n{diff}"
        subprocess.run(["patch", "-s", "-p0"], input=whole, text=True, check=True, cwd=tmp_path)
    assert (tmp_path / "program.py").read_text() == text


@given(
    st.lists(
        st.sampled_from(["a\n", "\n", "+\n", "@@ -1 +1 @@\n", "é\r\n", "\\ No newline at end of file\n"]), max_size=8
    ),
    st.data(),
)
@settings(max_examples=200, deadline=None)
def test_applying_an_insertion_gives_the_larger_text(lines: list[str], data: st.DataObject) -> None:
    if lines and data.draw(st.booleans()):
        lines[-1] = "end"
    places = st.sets(st.integers(0, len(lines) - 1)) if lines else st.just(set())
    before = frozenset(data.draw(places))
    after = before | data.draw(places)
    diff = insertion(lines, before, after)
    smaller, larger = ("".join(lines[place] for place in sorted(some)) for some in (before, after))
    assert apply_insertions([diff], smaller) == larger
    assert (diff == "") == (before == after)


@pytest.mark.parametrize("diff", ["nonsense\n", "@@ -5,0 +6 @@\n+late\n", "-a\n", "\\ No newline at end of file\n"])
def test_other_diffs_are_refused(diff: str) -> None:
    with pytest.raises(ValueError, match="no diff that only inserts"):
        apply_insertions([diff], "")
