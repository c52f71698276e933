"""Edits of texts: put together from several annotators, and made."""

from __future__ import annotations

import itertools
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse import schema, select
from lakehouse.select import Edits, Measured, RuleError

EDITS = schema.empty(pa.schema([pa.field("edits", schema.EDITS)])).schema["edits"]


def edit(start: int, end: int, replacement: str = "", rule: str = "r") -> dict[str, Any]:
    return {"start": start, "end": end, "rule": rule, "replacement": replacement}


def column(*edits: list[dict[str, Any]] | None) -> pl.Series:
    return pl.Series("edits", list(edits), dtype=EDITS)


def test_spans_are_removed_and_replaced_by_characters_not_bytes() -> None:
    texts = pl.Series(["Zoë’s mail is zoe@x.test, 😀 ok", "unchanged", "all of it"])
    edits = column([edit(0, 6, "Her "), edit(14, 24, "<EMAIL>")], [], [edit(0, 9)])
    assert select.apply_edits(texts, edits).to_list() == ["Her mail is <EMAIL>, 😀 ok", "unchanged", ""]


def test_edits_of_another_text_are_refused() -> None:
    with pytest.raises(ValueError, match="an edit from 3 to 9 does not fit a text of 5 characters"):
        select.apply_edits(pl.Series(["short"]), column([edit(3, 9)]))


def test_an_edit_inside_another_goes_and_one_that_overlaps_begins_later() -> None:
    line, address, citation = edit(0, 20, rule="line"), edit(5, 10, "<EMAIL>"), edit(18, 25, rule="citation")
    merged = select.merge_edits([column([line]), column([address, citation])]).to_list()
    assert merged == [[line, edit(20, 25, rule="citation")]]
    # The order in which annotators are named does not matter.
    assert select.merge_edits([column([address, citation]), column([line])]).to_list() == merged


spans = st.lists(st.tuples(st.integers(0, 30), st.integers(1, 8)), max_size=6)


@given(spans, spans)
def test_merged_edits_change_exactly_the_characters_that_some_edit_changes(
    first: list[tuple[int, int]], second: list[tuple[int, int]]
) -> None:
    def apart(found: list[tuple[int, int]]) -> list[dict[str, Any]]:
        made: list[dict[str, Any]] = []
        for start, size in sorted(found):
            if not made or start >= made[-1]["end"]:
                made.append(edit(start, start + size))
        return made

    columns = [column(apart(first)), column(apart(second))]
    (merged,) = select.merge_edits(columns).to_list()
    changed = {place for one in merged for place in range(one["start"], one["end"])}
    wanted = {place for one in columns for e in one.to_list()[0] for place in range(e["start"], e["end"])}
    assert changed == wanted
    assert all(a["end"] <= b["start"] for a, b in itertools.pairwise(merged))


MEASURED = Measured(annotators={"c4": (pa.field("line_edits", schema.EDITS), pa.field("n_sentences", pa.int64()))})


def test_only_columns_of_edits_can_be_edits() -> None:
    assert Edits.declared("c4.line_edits", MEASURED) == Edits("c4", "line_edits")
    with pytest.raises(RuleError, match=r"'c4.line_edit' are unknown. Did you mean 'c4.line_edits'"):
        Edits.declared("c4.line_edit", MEASURED)
    with pytest.raises(RuleError, match=r"'c4.n_sentences' are unknown"):
        Edits.declared("c4.n_sentences", MEASURED)
    with pytest.raises(RuleError, match="the only key is only"):
        Edits.declared({"c4.line_edits": {"olny": []}}, MEASURED)


def test_a_rule_that_edits_cannot_have_is_refused() -> None:
    measured = Measured(annotators=MEASURED.annotators, edit_rules={"c4": ("policy", "citation")})
    with pytest.raises(RuleError, match=r"have no rule 'polcy'\. Did you mean 'policy'"):
        Edits.declared({"c4.line_edits": {"only": ["polcy"]}}, measured)
    assert Edits.declared({"c4.line_edits": {"only": ["policy"]}}, measured).only == ("policy",)


def test_the_edits_of_some_rules_can_be_chosen() -> None:
    chosen = Edits.declared({"c4.line_edits": {"only": ["a"]}}, MEASURED)
    frame = pl.DataFrame({"line_edits": column([edit(0, 1, rule="a"), edit(2, 3, rule="b")], None)})
    assert chosen.of(frame).to_list() == [[edit(0, 1, rule="a")], None]
