"""Rebalanced components: in proportion to what each document is said to be worth, and never beyond a limit."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.mix import Component, MixtureError, MixtureOutcome, mix

WEB = "filtered/web"


def candidates(rows: list[tuple[int, float]], table: str = WEB, crawl: str = "first") -> pl.DataFrame:
    """Documents of so many tokens and relative repeats; a text is named after its component and place."""
    columns = {
        "doc_id": [f"{crawl}-{table}-{place}" for place in range(len(rows))],
        "snapshot": ["2026-11"] * len(rows),
        "component": [table] * len(rows),
        "text_id": [f"text-{table}-{place}" for place in range(len(rows))],
        "n_tokens": [tokens for tokens, _ in rows],
        "parents": [["parent"]] * len(rows),
        "relative_repeats": [float(relative) for _, relative in rows],
    }
    kinds = {"n_tokens": pl.Int64, "parents": pl.List(pl.String), "relative_repeats": pl.Float64}
    return pl.DataFrame(columns, schema_overrides=kinds)


def drawn(rows: list[tuple[int, float]], budget: int | None, most: int = 4, seed: int = 0) -> MixtureOutcome:
    return mix(candidates(rows), [Component(WEB, 1, most, rebalanced=True)], token_budget=budget, seed=seed)


def repeats(outcome: MixtureOutcome, rows: int, table: str = WEB) -> list[int]:
    """How often each document is read, in the order of the candidates."""
    found = dict(outcome.rows.select("doc_id", "repeats").iter_rows())
    return [found.get(f"first-{table}-{place}", 0) for place in range(rows)]


def test_without_a_budget_each_document_is_read_as_often_as_it_says() -> None:
    outcome = drawn([(10, 1), (10, 2), (10, 3), (10, 0), (10, 9)], None)
    assert repeats(outcome, 5) == [1, 2, 3, 0, 4]  # 9 is cut to 4
    # 10 + 20 + 30 + 40 tokens of 50
    assert outcome.summary.rows() == [(WEB, 1.0, 100, 50, 100, 4, 1.0, 2.0, False)]
    assert outcome.by_repeats.rows() == [
        (WEB, 0, 1, 10, 0),
        (WEB, 1, 1, 10, 10),
        (WEB, 2, 1, 10, 20),
        (WEB, 3, 1, 10, 30),
        (WEB, 4, 1, 10, 40),
    ]


def test_a_larger_budget_raises_all_in_proportion_up_to_the_limit() -> None:
    # 1, 2 and 3 doubled are 2, 4 and 6, of which 4 are allowed: 100 tokens. Of 90 the third has 40 and the others share
    # 50 as 1 to 2: 16.7 and 33.3 tokens, which is 1.67 and 3.33 repeats.
    assert repeats(drawn([(10, 1), (10, 2), (10, 3)], 90), 3) in ([2, 3, 4], [1, 4, 4])
    # 12 repeats are all there are.
    outcome = drawn([(10, 1), (10, 2), (10, 3)], 500)
    assert repeats(outcome, 3) == [4, 4, 4]
    assert outcome.summary["short"].to_list() == [True]
    assert not drawn([(10, 1), (10, 2), (10, 3)], 120).summary["short"].any()


def test_a_smaller_budget_draws_the_probable_more_often() -> None:
    # 4,000 documents at 1 and 1,000 at 4 share 40,000 tokens of 10 as 4,000 to 4,000: 0.5 and 2 repeats.
    outcome = drawn([(10, 1)] * 4_000 + [(10, 4)] * 1_000, 40_000, seed=3)
    found = np.array(repeats(outcome, 5_000))
    assert outcome.summary["tokens"].to_list() == [40_000]
    assert set(found[:4_000]) == {0, 1}
    assert set(found[4_000:]) == {2}
    assert found[:4_000].sum() == 2_000
    # At 30,000 they are read 0.375 and 1.5 times: standard deviations of the sums 31 and 16.
    found = np.array(repeats(drawn([(10, 1)] * 4_000 + [(10, 4)] * 1_000, 30_000), 5_000))
    assert found.sum() == 3_000
    assert abs(found[:4_000].sum() - 1_500) < 100
    assert abs(found[4_000:].sum() - 1_500) < 100


def test_long_documents_are_drawn_no_more_often_than_short_ones() -> None:
    rows = [(10, 1), (90, 1)] * 3_000
    found = np.array(repeats(drawn(rows, 90_000), 6_000))  # 0.3 repeats; standard deviation of a mean: 0.008
    assert abs(found[::2].mean() - 0.3) < 0.035
    assert abs(found[1::2].mean() - 0.3) < 0.035


@given(
    sizes=st.lists(st.integers(1, 60), min_size=1, max_size=50),
    most=st.integers(1, 4),
    budget=st.integers(1, 3_000),
    seed=st.integers(0, 2**31),
    relative=st.sampled_from([0.25, 1.0, 3.0]),
)
def test_where_all_are_worth_the_same_nothing_differs_from_a_plain_component(
    sizes: list[int], most: int, budget: int, seed: int, relative: float
) -> None:
    outcome = drawn([(size, relative) for size in sizes], budget, most, seed)
    plain = mix(candidates([(size, 0) for size in sizes]), [Component(WEB, 1, most)], token_budget=budget, seed=seed)
    assert outcome.rows.equals(plain.rows)
    assert outcome.summary.equals(plain.summary)


def expected(rows: list[tuple[int, float]], target: float, most: int) -> list[float]:
    """Repeats before rounding, found by halving the interval of the factor."""
    low, high = 0.0, 1e9
    for _ in range(200):
        factor = (low + high) / 2
        if sum(tokens * min(most, factor * relative) for tokens, relative in rows) < target:
            low = factor
        else:
            high = factor
    return [min(most, high * relative) for _, relative in rows]


@given(
    rows=st.lists(st.tuples(st.integers(1, 60), st.sampled_from([0, 0.1, 0.5, 1, 2, 3.5, 8])), min_size=1, max_size=40),
    most=st.integers(1, 5),
    budget=st.none() | st.integers(1, 6_000),
    seed=st.integers(0, 2**31),
)
def test_budget_limit_and_proportion_hold(
    rows: list[tuple[int, float]], most: int, budget: int | None, seed: int
) -> None:
    outcome = drawn(rows, budget, most, seed)
    found = repeats(outcome, len(rows))
    said = outcome.summary.row(0, named=True)
    capacity = most * sum(tokens for tokens, relative in rows if relative)
    target = min(said["target_tokens"], capacity)
    assert said["tokens"] == sum(tokens * times for (tokens, _), times in zip(rows, found, strict=True))
    assert abs(said["tokens"] - target) < max(tokens for tokens, _ in rows)
    assert said["short"] == (said["target_tokens"] > capacity)
    for (_, relative), times, share in zip(rows, found, expected(rows, target, most), strict=True):
        assert times <= most
        assert abs(times - share) < 1 + 1e-6, "the share, rounded up or down"
        assert times == 0 or relative > 0
    shuffled = candidates(rows).sample(fraction=1.0, shuffle=True, seed=seed)
    again = mix(shuffled, [Component(WEB, 1, most, rebalanced=True)], token_budget=budget, seed=seed)
    assert again.rows.equals(outcome.rows)
    assert again.by_repeats.equals(outcome.by_repeats)


def test_two_crawls_of_the_same_texts_are_drawn_alike_and_seeds_differ() -> None:
    rows = [(1 + place % 7, 1 + place % 3) for place in range(300)]
    part = [Component(WEB, 1, 3, rebalanced=True)]
    first = mix(candidates(rows), part, token_budget=700, seed=1)
    second = mix(candidates(rows, crawl="second"), part, token_budget=700, seed=1)
    assert first.rows.drop("doc_id").equals(second.rows.drop("doc_id"))
    other = mix(candidates(rows), part, token_budget=700, seed=2)
    assert repeats(other, 300) != repeats(first, 300)


def test_rebalanced_and_plain_components_share_a_budget_by_their_weights() -> None:
    both = pl.concat(
        [
            candidates([(10, 1)] * 100 + [(10, 3)] * 100),
            candidates([(10, 1)] * 100, "filtered/books").with_columns(relative_repeats=pl.lit(None, pl.Float64)),
        ]
    )
    parts = [Component(WEB, 3, 3, rebalanced=True), Component("filtered/books", 1, 2)]
    # Of web 1,000 + 3,000 tokens are offered, of books 2,000: at 3 to 1 web gives out first.
    outcome = mix(both, parts, token_budget=None, seed=0)
    assert outcome.summary["tokens"].to_list() == [4_000, 1_330]  # 1,333 is the target, and the nearest 1,330
    assert repeats(outcome, 200) == [1] * 100 + [3] * 100
    assert outcome.by_repeats.filter(pl.col("component") == "filtered/books")["repeats"].to_list() == [1, 2]
    alone = mix(both.filter(pl.col("component") == WEB), parts, token_budget=None, seed=0)
    assert alone.summary["tokens"].to_list() == [4_000, 0]


def test_a_component_whose_documents_are_all_worth_nothing_is_short_and_harms_nothing() -> None:
    both = pl.concat([candidates([(10, 0)] * 9), candidates([(10, 1)] * 9, "filtered/books")])
    parts = [Component(WEB, 1, 2, rebalanced=True), Component("filtered/books", 1)]
    outcome = mix(both, parts, token_budget=None, seed=0)
    assert outcome.summary.select("tokens", "short").rows() == [(0, True), (90, False)]


@pytest.mark.parametrize("wrong", [None, -1.0, math.nan, math.inf])
def test_repeats_that_are_no_numbers_name_a_document(wrong: float | None) -> None:
    documents = candidates([(10, 1), (10, 1)]).with_columns(relative_repeats=pl.Series([1.0, wrong], dtype=pl.Float64))
    with pytest.raises(MixtureError, match=r"of document first-filtered/web-1 are .* a number of 0 or more"):
        mix(documents, [Component(WEB, 1, 2, rebalanced=True)], token_budget=10, seed=0)


def test_a_declaration_that_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(MixtureError, match=r"none can be read 1\.5 times: give max_repeats a whole number"):
        mix(candidates([(10, 1)]), [Component(WEB, 1, 1.5, rebalanced=True)], token_budget=10, seed=0)
    plain = candidates([(10, 1)]).drop("relative_repeats")
    with pytest.raises(MixtureError, match="its candidates need relative_repeats"):
        mix(plain, [Component(WEB, 1, 2, rebalanced=True)], token_budget=10, seed=0)
