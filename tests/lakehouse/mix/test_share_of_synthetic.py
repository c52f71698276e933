"""Who wrote a mixture: shares by recipe, generator and depth, and the limits on them."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.mix import ORIGIN, MixtureError, SyntheticLimits, share_of_synthetic, synthetic_shares

Origin = tuple[str, str, int]


def shares_of(documents: list[tuple[int, int, Origin | None]]) -> pl.DataFrame:
    """The shares of documents of so many tokens, read so often, by this recipe, model and depth."""
    numbered = [(f"d{place}", *document) for place, document in enumerate(documents)]
    rows = pl.DataFrame(
        [(doc_id, tokens, repeats) for doc_id, tokens, repeats, _ in numbered],
        schema={"doc_id": pl.String, "tokens": pl.Int64, "repeats": pl.Int64},
        orient="row",
    )
    origins = pl.DataFrame(
        [(doc_id, *origin) for doc_id, _, _, origin in numbered if origin], schema=ORIGIN, orient="row"
    )
    return synthetic_shares(rows, origins)


def test_tokens_count_with_repeats_and_documents_once() -> None:
    shares = shares_of(
        [
            (10, 3, None),
            (5, 2, ("wrap", "small", 1)),
            (10, 1, ("wrap", "small", 1)),
            (20, 1, ("wrap", "large", 1)),
            (30, 1, ("wrap", "small", 2)),
        ]
    )
    # 30 + 10 + 10 + 20 + 30 = 100 tokens
    assert shares.rows() == [
        (None, None, 0, 1, 30, 0.3),
        ("wrap", "large", 1, 1, 20, 0.2),
        ("wrap", "small", 1, 2, 20, 0.2),  # 5 * 2 + 10
        ("wrap", "small", 2, 1, 30, 0.3),
    ]
    assert shares.columns == ["recipe", "model", "depth", "documents", "tokens", "share"]
    assert share_of_synthetic(shares) == 0.7


def test_natural_text_alone_is_one_row_and_an_empty_mixture_has_none() -> None:
    assert shares_of([(4, 2, None), (1, 1, None)]).rows() == [(None, None, 0, 2, 9, 1.0)]
    assert shares_of([]).is_empty()
    assert share_of_synthetic(shares_of([])) == 0.0
    assert SyntheticLimits(0.0, 0).broken_by(shares_of([])) == []


def test_what_a_recipe_left_as_it_was_is_natural() -> None:
    shares = shares_of([(10, 1, None), (30, 1, ("prox", "small", 0)), (10, 1, ("prox", "small", 1))])
    # 10 of 50 tokens were changed
    assert shares.rows() == [
        (None, None, 0, 1, 10, 0.2),
        ("prox", "small", 0, 1, 30, 0.6),
        ("prox", "small", 1, 1, 10, 0.2),
    ]
    assert share_of_synthetic(shares) == 0.2
    assert SyntheticLimits(max_share=0.2, max_depth=1).broken_by(shares) == []


def test_a_document_must_not_have_two_origins() -> None:
    rows = pl.DataFrame({"doc_id": ["d"], "tokens": [1], "repeats": [1]})
    twice = pl.DataFrame([("d", "wrap", "small", 1), ("d", "wrap", "large", 1)], schema=ORIGIN, orient="row")
    with pytest.raises(pl.exceptions.ComputeError):
        synthetic_shares(rows, twice)


def test_a_share_above_its_limit_is_named_with_the_recipe_that_has_most() -> None:
    shares = shares_of(
        [
            (40, 1, None),
            (25, 1, ("wrap", "small", 1)),
            (15, 1, ("faq", "small", 1)),
            (20, 1, ("faq", "large", 1)),
        ]
    )
    # wrap has 25, the most of one row; faq has 15 + 20 = 35
    assert SyntheticLimits(max_share=0.5).broken_by(shares) == [
        "synthetic tokens are 0.6 of the mixture, max_share is 0.5, and recipe faq (model large, small) has most of "
        "them, 0.35 of the mixture. Give synthetic components less weight, or raise max_share."
    ]
    assert SyntheticLimits(max_share=0.6).broken_by(shares) == []
    assert SyntheticLimits().broken_by(shares) == []


def test_a_limit_that_is_missed_by_little_is_not_rounded_to_it() -> None:
    shares = shares_of([(399_999, 1, None), (600_001, 1, ("wrap", "small", 1))])
    (sentence,) = SyntheticLimits(max_share=0.6).broken_by(shares)
    assert "are 0.600001 of the mixture, max_share is 0.6," in sentence


def test_a_limit_is_met_exactly_where_floats_add_up_to_more() -> None:
    shares = shares_of([(7, 1, None), (1, 1, ("a", "small", 1)), (2, 1, ("b", "small", 1))])
    assert sum(shares["share"][1:]) > 0.3  # 0.1 + 0.2
    assert SyntheticLimits(max_share=0.3).broken_by(shares) == []


def test_documents_that_are_too_deep_are_counted() -> None:
    shares = shares_of(
        [
            (70, 1, ("wrap", "small", 1)),
            (10, 1, ("wrap", "small", 2)),
            (10, 1, ("faq", "small", 2)),
            (10, 1, ("faq", "small", 3)),
        ]
    )
    assert SyntheticLimits(max_depth=1).broken_by(shares) == [
        "3 documents are of depth 3, max_depth is 1, and recipe faq (model small) has most of them, 0.2 of the "
        "mixture. Leave that set out of the components, or raise max_depth."
    ]
    assert SyntheticLimits(max_depth=3).broken_by(shares) == []
    assert len(SyntheticLimits(max_share=0.9, max_depth=0).broken_by(shares)) == 2


def test_of_two_recipes_with_as_many_tokens_the_first_by_name_is_named() -> None:
    both: list[tuple[int, int, Origin | None]] = [(5, 1, ("wrap", "small", 1)), (5, 1, ("faq", "small", 1))]
    for documents in (both, both[::-1]):
        assert "recipe faq (model small)" in SyntheticLimits(max_share=0.1).broken_by(shares_of(documents))[0]


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"max_share": 1.5}, "max_share is 1.5: give a share from 0 to 1"),
        ({"max_share": -0.1}, "max_share is -0.1"),
        ({"max_share": float("nan")}, "max_share is nan"),
        ({"max_depth": -1}, "max_depth is -1: give 0 or more"),
    ],
)
def test_a_limit_that_cannot_be_one_is_an_error(limits: dict[str, Any], message: str) -> None:
    with pytest.raises(MixtureError, match=message):
        SyntheticLimits(**limits)


ORIGINS = st.none() | st.tuples(st.sampled_from("ab"), st.sampled_from("mn"), st.integers(1, 3))


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(1, 4), ORIGINS), max_size=20), st.randoms())
def test_shares_are_those_of_a_count_by_hand_in_any_order(
    documents: list[tuple[int, int, Origin | None]], chance: Any
) -> None:
    counted: dict[Any, list[int]] = {}
    for tokens, repeats, origin in documents:
        row = counted.setdefault(origin or (None, None, 0), [0, 0])
        row[0] += 1
        row[1] += tokens * repeats
    shares = shares_of(documents)
    assert {row[:3]: list(row[3:5]) for row in shares.rows()} == counted
    if documents:
        assert shares["share"].sum() == pytest.approx(1)
    shuffled = documents[:]
    chance.shuffle(shuffled)
    assert shares_of(shuffled).equals(shares)
