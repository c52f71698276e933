"""Values of all kinds as HTML."""

from __future__ import annotations

import polars as pl

from lakehouse.explore import plain


def test_what_is_markup_is_shown_as_text() -> None:
    shown = plain.table(pl.DataFrame({"<b>": ["<script>alert(1)</script>", "a & 'b'"]}))
    assert "&lt;b&gt;" in shown
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in shown
    assert "<script" not in shown
    assert "a &amp; &#x27;b&#x27;" in shown
    assert "&lt;/pre&gt;" in plain.text("</pre><img>")


def test_numbers_are_grouped_and_nothing_is_told_from_the_text_none() -> None:
    shown = plain.table(pl.DataFrame({"tokens": [1234567, None], "rule": ["None", None], "kept": [True, False]}))
    assert ">1,234,567<" in shown
    assert shown.count(">NULL<") == 2
    assert ">None<" in shown
    assert ">True<" in shown


def test_a_long_value_is_cut_and_says_how_long_it_is() -> None:
    shown = plain.table(pl.DataFrame({"text": ["x" * 5_000]}))
    assert "x" * 2_000 + " … 5,000 characters" in shown
    assert "x" * 2_001 not in shown


def test_a_table_without_rows_has_its_head() -> None:
    assert ">tokens</th>" in plain.table(pl.DataFrame(schema={"tokens": pl.Int64}))
