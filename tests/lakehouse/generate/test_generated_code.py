"""Python that a model wrote: compiled without being run, and scored."""

from __future__ import annotations

from pathlib import Path

import pytest

from lakehouse.generate.code import compiles, lint_scores
from lakehouse.generate.code.lint import _weights

GOOD = '''"""Salt."""


def weigh(grains):
    """Weigh grains."""
    return sum(grains)
'''


def verdicts(*texts: str) -> list[bool | None]:
    return [answer.compiles for answer in compiles(texts)]


def test_programs_compile_or_say_in_which_line_they_do_not() -> None:
    answers = compiles([GOOD, "a = 1\nprint 'old'\n", "a = 1\nreturn a\n", "def f():\n    nonlocal a\n", ""])
    assert [answer.compiles for answer in answers] == [True, False, False, False, True]
    assert answers[1].message is not None
    assert answers[1].message.startswith("line 2: Missing parentheses in call to 'print'")
    assert answers[2].message == "line 2: 'return' outside function"
    assert answers[3].message == "line 2: no binding for nonlocal 'a' found"
    assert answers[0].message is None


def test_nothing_is_run(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    texts = [f"open({str(trace)!r}, 'w').close()\n", f"# -*- coding: utf-8 -*-\nimport os; os.mkdir({str(trace)!r})"]
    assert verdicts(*texts) == [True, True]
    assert len(lint_scores(texts)) == 2
    assert not trace.exists()


def test_statements_are_counted_as_pylint_counts_them() -> None:
    text = '"""Text."""\ntry:\n    a = 1; b = 2\nexcept ValueError:\n    "no documentation"\n'
    # try, a, b, the handler and the string in it; the documentation of the module is none.
    assert compiles([text])[0].statements == 5


def test_comments_are_a_share_of_the_tokens() -> None:
    # Tokens: the comment, the end of its line; a, =, 1, the end of the line; the end of the text: 1 of 7.
    assert compiles(["# one\na = 1\n"])[0].comment_share == pytest.approx(1 / 7)
    assert compiles(["a = '# none'\n"])[0].comment_share == 0


@pytest.mark.parametrize(
    "text",
    [
        "x = " + "(" * 5000,
        "x = " + "-" * 100_000 + "1",
        "x = " + "a." * 50_000 + "a",
        "x = " + "1+" * 100_000 + "1",
        "x" + "[0]" * 50_000,
        "if 1:\n pass\n" + "elif 1:\n pass\n" * 20_000,
        "x = " + "9" * 10_000,
        "\x00",
        "x = '\ud800'",
        "\n".join(" " * depth + "if 1:" for depth in range(150)) + "\n" + " " * 200 + "pass",
    ],
)
def test_hostile_texts_do_not_compile_and_harm_no_neighbour(text: str) -> None:
    before, hostile, after = compiles(["a = 1", text, "b 2"])
    assert (before.compiles, after.compiles) == (True, False)
    assert not hostile.compiles
    assert hostile.message is not None
    assert len(hostile.message) <= 200


def test_bombs_of_constants_are_not_lit() -> None:
    assert verdicts("x = 'a' * 10**12\ny = 1 << 10**10\nz = (1,) * 10**10\nv = 10**10**10\n") == [True]


def test_a_text_that_kills_the_compiler_costs_its_own_answer_alone() -> None:
    long = "\n".join(f"x{number} = {number}" for number in range(30_000))
    answers = compiles(["a = 1", long, "b 2", long, "c = 3"], seconds=0.02)  # the long one takes some 0.3 s
    assert [answer.compiles for answer in answers] == [True, None, False, None, True]
    assert answers[1].message == "the compiler died of it: too much time, memory or nesting"


def test_what_is_too_long_is_not_tried() -> None:
    assert verdicts("a" * 500_001, "a" * 500_000) == [None, True]


def test_scores_follow_the_formula_of_pylint() -> None:
    texts = [
        GOOD,
        "a = 1\nb = 2\nc = undefined\nd = 4\n",  # 1 error of 4 statements: 10 − 10 × 5/4 is below 0
        "\n".join(["import os"] + [f"A{number} = {number}" for number in range(9)]) + "\n",  # 1 warning of 10: 9
        "\n".join([f"A{number} = {number}" for number in range(9)] + ["B = missing"]) + "\n",  # 1 error of 10: 5
        # 1 warning of 2 statements: 5; 1 of 10 tokens is a comment: import os line, A = 1 line, comment line, end
        "import os\nA = 1\n# No.\n",
        "print 1",
        "",
        '"""Only documentation."""\n',
    ]
    scores = lint_scores(texts)
    # Tokens of the fifth: import, os, end of line; A, =, 1, end of line; comment, end of line; end of the text: 10.
    assert scores == [10.0, 0.0, 9.0, 5.0, pytest.approx(5 * (1 - 1 / 10)), None, None, None]


def test_a_text_cannot_silence_the_linter(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "ruff.toml").write_text('[lint]\nignore = ["F401"]\n')
    monkeypatch.chdir(tmp_path)
    assert lint_scores(["import os\n"]) == [0.0]
    assert lint_scores(["# ruff: noqa\nimport os  # noqa: F401\n"]) == [0.0]


def test_scores_do_not_depend_on_the_others() -> None:
    texts = [GOOD, "import os\nA = 1\n", "x =", "def f(a):\n    return 1\n"] * 3
    assert lint_scores(texts) == [score for text in texts for score in lint_scores([text])]
    assert lint_scores([]) == []


def test_a_text_that_kills_the_linter_costs_its_own_score_alone() -> None:
    # Deeper than the compiler lets through, so it never gets here by itself.
    deep = "x = " + "-" * 60_000 + "1\n"
    assert _weights({3: "import os\n", 4: deep, 7: "a = 1\n", 9: "import os\n"}) == {3: 1, 7: 0, 9: 1}
