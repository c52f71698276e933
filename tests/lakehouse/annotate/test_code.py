"""What is measured of source files."""

from __future__ import annotations

import ast
import io
import time
import tokenize
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.annotate.code.python import MAX_CHARACTERS
from lakehouse.annotate.code.shape import STYLES, comment_shares, shapes
from lakehouse.annotate.code.source_files import COLUMNS, code
from lakehouse.annotate.words import Batch

PROSE = "Salt was dear once. People carried it over the pass in autumn, and came back in spring with wool.\n" * 5
PYTHON = '''"""A module."""
import os


def area(width, height):
    # Both in metres.
    return width * height


class Box:
    def __init__(self, width):
        self.width = width
'''
JAVA = """package a.b;

import java.util.List;

public class Box {
    private final int width;

    @Override
    public String toString() { return "Box"; }
}
"""
# fmt: off
FILES = {
    "python": PYTHON,
    "java": JAVA,
    "go": 'package main\n\nimport (\n\t"fmt"\n)\n\nfunc main() {\n\tx := 1\n\tfmt.Println(x)\n}\n',
    "rust": "use std::fs;\n\npub fn main() {\n    let mut x = 1;\n    println!(\"{}\", x);\n}\n",
    "c": "#include <stdio.h>\n#define N 3\n\nint main(void) {\n    int x = N;\n    printf(\"%d\", x);\n}\n",
    "cpp": "#include <vector>\nusing namespace std;\n\ntemplate <class T>\nclass B {\npublic:\n  vector<T> x;\n};\n",
    "sql": "CREATE TABLE box (width INT);\nSELECT width\nFROM box\nWHERE width > 3\nGROUP BY width;\n",
    "perl": "use strict;\nuse warnings;\nmy $x = 3;\nsub area {\n  my ($w) = @_;\n}\n",
    "css": "body {\n  color: red;\n  margin: 0;\n}\n.box > a {\n  font-size: 2em;\n}\n",
}
# fmt: on


def measure(texts: list[str], urls: list[str | None] | None = None) -> pl.DataFrame:
    documents = pl.DataFrame(
        {"text": pl.Series(texts, dtype=pl.String), "url": pl.Series(urls or [None] * len(texts), dtype=pl.String)}
    ).with_columns(doc_id=pl.lit("x"), language=pl.lit("en"))
    measured = code().measure(Batch(documents))
    assert measured.to_arrow().cast(pa.schema(COLUMNS)).num_rows == len(texts)
    return measured


def of(text: str, url: str | None = None) -> dict[str, object]:
    return measure([text], [url]).row(0, named=True)


@pytest.mark.parametrize(
    ("url", "language"),
    [
        ("https://a.test/x/box.py", "python"),
        ("https://a.test/x/BOX.PY?raw=1#L3", "python"),
        ("https://a.test/x/box.tsx", "typescript"),
        ("https://a.test/Dockerfile", "dockerfile"),
        ("https://a.test/CMakeLists.txt", "cmake"),
        ("https://py.test", None),
        ("https://a.py/", None),
        ("https://a.test/x.html", None),  # a page, unless it begins like one's source
        (None, None),
    ],
)
def test_the_address_tells_the_language_of_what_looks_like_code(url: str | None, language: str | None) -> None:
    assert of("x = f(y); {1}\n", url)["code_language"] == language
    assert of(PROSE, url)["code_language"] is None


def test_the_source_of_a_page_is_told_by_its_beginning() -> None:
    assert of("<!DOCTYPE html>\n<p>x</p>", "https://a.test/x.html")["code_language"] == "html"
    assert of("<?php\necho 1;", "https://a.test/x.php")["code_language"] == "php"
    assert of("f(x); {1} // a page about php", "https://a.test/x.php")["code_language"] is None


@pytest.mark.parametrize("language", FILES)
def test_the_content_tells_the_language_without_an_address(language: str) -> None:
    assert of(FILES[language])["code_language"] == language


@pytest.mark.parametrize(
    ("line", "language"),
    [
        ("#!/usr/bin/env python3", "python"),
        ("#!/bin/sh -e", "shell"),
        ("#! /usr/bin/env -S node --x", "javascript"),
        ('<?xml version="1.0"?>', "xml"),
    ],
)
def test_the_first_line_tells_the_language(line: str, language: str) -> None:
    assert of(f"{line}\n")["code_language"] == language


def test_text_that_is_no_code_has_null_where_a_language_is_needed() -> None:
    found = of(PROSE)
    for name in ("code_language", "parses", "lint_score", "comment_share", "generated", "license_header"):
        assert found[name] is None
    assert (found["max_line_length"], found["mean_line_length"]) == (97, pytest.approx(97 * 5 / 6))  # the last is empty


def test_lines_and_characters_are_counted_in_characters() -> None:
    # Lines of 3, 0 and 4 characters; alphanumerics é b c 1 中 of 7 characters; symbols = and ;
    found = shapes(pl.Series(["é=;\n\nbc1中", "\n\n", ""])).rows()
    assert found[0] == (9, 4, pytest.approx(7 / 3), pytest.approx(5 / 7), pytest.approx(2 / 7))
    assert found[1:] == [(2, None, None, None, None), (0, None, None, None, None)]


def test_the_lint_score_follows_its_formula() -> None:
    # Statements: docstring, import, def, return, class, def, assignment: 7. `os` is imported but not used: one warning.
    # The comment `# Both in metres.` has 17 of the characters.
    score = (10 - 10 * 1 / 7) * (1 - 17 / len(PYTHON))
    assert of(PYTHON)["lint_score"] == pytest.approx(score)
    # Two statements, one undefined name that weighs five: 10 - 10 * 5 / 2 is below 0.
    assert of("x = 1\ny = z\n", "http://a.test/a.py")["lint_score"] == 0
    assert of("x = (1, 2)\ny = x\n", "http://a.test/a.py")["lint_score"] == 10


@pytest.mark.parametrize(
    "text",
    [
        "print 'x'; x = 1",
        "x = (1,\n",
        "x = 1\0;",
        "(" * 100_000,
        "~" * 100_000 + "1",
        "x" + "._" * 50_000,
        "x = 1" + " + (1)" * 50_000,
        "if x: pass\n" + "elif (x): pass\n" * 20_000,
        "".join(" " * depth + "if (x):\n" for depth in range(150)),
        "x = [" + "9" * 5_000 + "]" + "[()]" * 50,
        "f'{" * 10_000,
        "😀 = (1)",
    ],
)
def test_what_python_does_not_parse_is_told_without_a_crash(text: str) -> None:
    found = of(text, "https://a.test/a.py")
    assert (found["parses"], found["lint_score"]) == (False, None)


def test_what_python_parses_may_be_odd(recwarn: pytest.WarningsRecorder) -> None:
    for text in (
        "\ufeffx = (1)",
        "# coding: latin-1\nx = '\\d' is ()",
        "#()\n#{}",
        "x = 1;" * 500,
        "(" * 90 + ")" * 90,
    ):
        assert of(text, "https://a.test/a.py")["parses"] is True
    assert not recwarn.list
    comments = of("#()\n#{}", "https://a.test/a.py")
    assert (comments["lint_score"], comments["comment_share"]) == (None, pytest.approx(6 / 7))


def test_files_that_are_too_long_are_not_parsed() -> None:
    found = of("x = (1)\n" * (MAX_CHARACTERS // 8 + 1), "https://a.test/a.py")
    assert (found["code_language"], found["parses"], found["lint_score"]) == ("python", None, None)


def test_many_repeated_keys_are_linted_in_linear_time() -> None:
    text = "x = {" + ", ".join(f"({key}): {value}" for value in (1, 2) for key in range(20_000)) + "}"
    start = time.perf_counter()
    assert of(text, "https://a.test/a.py")["lint_score"] == 10
    assert time.perf_counter() - start < 10


@pytest.mark.parametrize(
    ("language", "text", "comments"),
    [
        ("python", "x = '#' # a\n", "# a"),
        ("python", '\'\'\'#\n\'\'\' # a\n"""\\""""#b', "# a#b"),
        ("python", "x = '# not closed\n# a", "# a"),
        ("c", 'x; // a\n/* b\n */ char *s = "/* no */";', "// a/* b\n */"),
        ("c", "/* é", "/* é"),
        ("javascript", "`//\n//` // a", "// a"),
        ("rust", "fn f<'a>() {} // 'x", "// 'x"),
        ("shell", "echo ${#x} $# # a\n#b", "# a#b"),
        ("sql", "SELECT '--' -- a", "-- a"),
        ("lua", "--[[ a\n]] x --b", "--[[ a\n]]--b"),
        ("html", "<p>it's</p><!-- a -->", "<!-- a -->"),
        ("php", "# a\n// b\n/* c */", "# a// b/* c */"),
    ],
)
def test_comments_are_told_from_strings(language: str, text: str, comments: str) -> None:
    assert comment_shares(pl.Series([text]), STYLES[language]).to_list() == [pytest.approx(len(comments) / len(text))]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(["x", "=1", "\n", "'a'", '"#"', "'''#\n'''", "# é", "#'", "(", ")", " "]), max_size=12))
def test_python_comments_agree_with_its_tokenizer(pieces: list[str]) -> None:
    text = "".join(pieces)
    try:
        ast.parse(text)
        tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    except (SyntaxError, tokenize.TokenError):
        return
    comments = sum(len(token.string) for token in tokens if token.type == tokenize.COMMENT)
    expected = comments / len(text) if text else None
    assert comment_shares(pl.Series([text]), STYLES["python"]).to_list() == [pytest.approx(expected)]


@pytest.mark.parametrize(
    ("text", "generated"),
    [
        (PYTHON, False),
        ("# Code generated by protoc. DO NOT EDIT.\n" + PYTHON, True),
        ("# @generated\n" + PYTHON, True),
        (PYTHON + "x = [" + "[1], " * 400 + "]\n", True),  # a line of over 1,000 characters
        ("x = [\n" + "(((((-)))))\n" * 20 + "]", True),  # hardly a letter
    ],
)
def test_generated_files_are_told(text: str, generated: bool) -> None:
    assert of(text, "https://a.test/a.py")["generated"] is generated


@pytest.mark.parametrize(
    ("header", "identifier"),
    [
        ("# SPDX-License-Identifier: Apache-2.0", "Apache-2.0"),
        ("/* SPDX-License-Identifier: (GPL-2.0 OR MIT) */", "GPL-2.0 OR MIT"),
        ("# SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note", "GPL-2.0 WITH Linux-syscall-note"),
        ("# Licensed under the Apache License,\n# Version 2.0 (the License)", "Apache-2.0"),
        ("# Permission is hereby granted, free of\n#   charge, to any person obtaining a copy", "MIT"),
        ("# under the terms of the GNU General Public License as published by\n# x, version 3, or any later version",
         "GPL-3.0-or-later"),
        ("# the GNU Lesser General Public\n# License x version 2.1 or (at your option) any later version",
         "LGPL-2.1-or-later"),
        ("# Redistribution and use in source and binary forms\n# * Neither the name of x", "BSD-3-Clause"),
        ("# Redistribution and use in source and binary forms", "BSD-2-Clause"),
        ("# All rights reserved.", None),
    ],
)  # fmt: skip
def test_licence_headers_are_named(header: str, identifier: str | None) -> None:
    assert of(f"{header}\n{PYTHON}", "https://a.test/a.py")["license_header"] == identifier
    assert of(f"{header}\n{PROSE}")["license_header"] is None


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=100), max_size=3),
    st.sampled_from(["py", "c", "html"]),
)
def test_any_text_is_measured(texts: list[str], extension: str) -> None:
    found = measure(texts, [f"https://a.test/x.{extension}"] * len(texts))
    assert found["alphanumeric_share"].drop_nulls().is_between(0, 1).all()
    assert found["comment_share"].drop_nulls().is_between(0, 1).all()


@pytest.mark.parametrize(
    "unit", ["x = (1)\n", "(", "'", "# ()\n", "{\n", "a ", "/*", "SELECT (\n", "\n", "import x;{\n", "\\"]
)
@pytest.mark.parametrize("extension", ["py", "c", ""])
def test_long_files_take_no_quadratic_time(unit: str, extension: str) -> None:
    def seconds(repeats: int) -> float:
        start = time.perf_counter()
        of(unit * repeats, f"https://a.test/a.{extension}")
        return time.perf_counter() - start

    seconds(10)
    assert seconds(20_000) < 0.5 + 12 * seconds(5_000)


def test_a_long_line_without_spaces_is_measured() -> None:
    found = of("x=1;" * 2_500_000, "https://a.test/a.min.js")
    assert (found["code_language"], found["generated"], found["max_line_length"]) == ("javascript", True, 10_000_000)


def test_the_files_of_the_python_that_runs_parse() -> None:
    files = sorted(Path(ast.__file__).parent.glob("*.py"))[::8]
    texts = [file.read_text("utf-8") for file in files]
    found = measure(texts, [f"https://a.test/{file.name}" for file in files])
    assert found["code_language"].eq("python").mean() > 0.9
    assert found["parses"].drop_nulls().all()
    assert found["lint_score"].median() > 8
