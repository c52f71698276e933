"""Markdown: how much of its structure an answer keeps, and how it is taken away."""

from __future__ import annotations

import math

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.generate.gates.markdown import without_markdown
from lakehouse.generate.gates.structure import structure_kept

PASSAGE = """# Tides
Water *rises* and falls, see [the table](https://tides.test/a_(b)) of $h = A \\cos t$.

- spring tide
- neap tide

| day | height |
|-----|--------|
| 1   | 2.5    |

```python
# no heading
- no item
```
"""


def share(text: str, passage: str) -> float | None:
    value = structure_kept(pl.Series([text]), pl.Series([passage]))[0]
    return None if math.isnan(value) else float(value)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        # a heading, 2 items, 3 rows, a block, a link, a formula: 9 parts
        (PASSAGE, 1),
        (PASSAGE.replace("# Tides", "Tides"), 8 / 9),
        (PASSAGE.replace("tides.test/a_(b)", "tides.test/other"), 8 / 9),
        (PASSAGE.replace("$h = A \\cos t$", "$h=A\\cos t$"), 1),
        (PASSAGE.replace("- ", "* "), 1),
        (PASSAGE.replace("```", "~~~"), 1),
        (PASSAGE + "\n## More\n- and\n- more", 1),
        ("", 0),
    ],
)
def test_structure_is_kept_part_by_part(text: str, kept: float) -> None:
    assert share(text, PASSAGE) == pytest.approx(kept)


def test_a_passage_without_structure_has_nothing_to_keep() -> None:
    assert share("# Heading", "Plain words, 2 * 3, it costs $5 or 6.") is None


def test_rows_do_not_mix() -> None:
    texts, passages = pl.Series(["# A", "", "- b\n- c"]), pl.Series(["# B", "- x", "- y\n- z\n- w"])
    assert structure_kept(texts, passages).tolist() == pytest.approx([1, 0, 2 / 3])


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("Use `snake_case` and snake_case_too.", "Use snake_case and snake_case_too."),
        ("2 * 3 * 4 = 24, a*b*c", "2 * 3 * 4 = 24, a*b*c"),
        ('See [the manual](https://a.test/x_(y)_z "Title").', "See the manual."),
        ("![A dog](dog.png) barks", "A dog barks"),
        ("**Bold**, __two words__, *it*, _it_, ***all***, ~~gone~~", "Bold, two words, it, it, all, gone"),
        ("*one* *two* *three*", "one two three"),
        ("def __init__(self)", "def __init__(self)"),
        ("**`code`: what it does**", "code: what it does"),
        ("`**kept**` and ``a ` b``", "**kept** and a ` b"),
        ("## Heading ##", "Heading"),
        ("# C#", "C#"),
        ("#hashtag", "#hashtag"),
        ("- item\n  * inner\n1. first\n- [x] done", "item\n  inner\n1. first\ndone"),
        ("> quoted\n> > twice", "quoted\ntwice"),
        ("| a | b |\n|:--|--:|\n| 1 | **2** |", "a\tb\n1\t2"),
        ("above\n\n---\n\nbelow", "above\n\n\nbelow"),
        ("```py\n# comment *x*\n  - y\n```\nafter", "# comment *x*\n  - y\nafter"),
        ("````\n```\n*x*\n````", "```\n*x*"),
        (r"5 \* 4 and \_x\_", "5 * 4 and _x_"),
        ("中文**粗体**文字", "中文粗体文字"),
        ("<https://a.test/b>", "https://a.test/b"),
        ("5 < 6 > 4, x_1 and f(x)[0](y", "5 < 6 > 4, x_1 and f(x)[0](y"),
        ("**unclosed, * lone", "**unclosed, * lone"),
        ("", ""),
    ],
)
def test_marks_go_and_what_they_mark_stays(text: str, plain: str) -> None:
    assert without_markdown(text) == plain


@given(st.text(alphabet="ab 中.,:;?!0'\n", max_size=80))
def test_plain_prose_stays_as_it_is(text: str) -> None:
    assert without_markdown(text) == text


@given(st.text(alphabet="ab *_`~[]()#>-|\\\n1.", max_size=80))
def test_letters_never_go(text: str) -> None:
    def letters(words: str) -> str:
        return "".join(letter for letter in words if letter in "ab")

    # Addresses of links and languages of fences are the only words that go.
    if "](" not in text and "`" not in text and "~~~" not in text:
        assert letters(without_markdown(text)) == letters(text)


@pytest.mark.parametrize("piece", ["**a ", "*a ", "_a ", "[a](", "`a``", "# #", "|-", "~~a", "\\_1", "__a b"])
def test_hostile_lines_end_soon(piece: str) -> None:
    assert without_markdown(piece * (19_000 // len(piece))) is not None
    data = piece * 10_000  # too long for prose
    assert without_markdown(data) == data
