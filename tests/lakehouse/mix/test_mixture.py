"""What a mixture promises: the declared shares, whole documents, the same draw from the same texts."""

from __future__ import annotations

import math

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse import schema
from lakehouse.mix import Component, MixtureError, mix


def candidates(sizes: dict[str, list[int]], crawl: str = "first") -> pl.DataFrame:
    """Documents of the given numbers of tokens; a text is named after its component and place, not after its crawl."""
    rows = [
        (f"{crawl}-{table}-{i}", "2026-11", table, f"text-{table}-{i}", n, [f"parent-{i}"])
        for table, numbers in sizes.items()
        for i, n in enumerate(numbers)
    ]
    columns = {
        "doc_id": pl.String,
        "snapshot": pl.String,
        "component": pl.String,
        "text_id": pl.String,
        "n_tokens": pl.Int64,
        "parents": pl.List(pl.String),
    }
    return pl.DataFrame(rows, schema=columns, orient="row")


def line(outcome, table: str) -> dict:
    return outcome.summary.row(by_predicate=pl.col("component") == table, named=True)


def test_tokens_follow_the_weights_and_the_budget():
    # Weights 3 and 1 of 40,000 tokens: 30,000 and 10,000. All documents have 10 tokens, so both are met exactly.
    outcome = mix(
        candidates({"filtered/web": [10] * 5_000, "filtered/books": [10] * 2_000}),
        [Component("filtered/web", 3), Component("filtered/books", 1)],
        token_budget=40_000,
        seed=7,
    )
    assert outcome.summary.rows() == [
        ("filtered/web", 0.75, 30_000, 50_000, 30_000, 3_000, 0.75, 0.6, False),
        ("filtered/books", 0.25, 10_000, 20_000, 10_000, 1_000, 0.25, 0.5, False),
    ]
    assert outcome.rows["repeats"].to_list() == [1] * 4_000
    assert outcome.rows["doc_id"].n_unique() == 4_000


def test_rows_have_the_schema_of_mixtures_and_keep_what_came_in():
    documents = candidates({"filtered/web": [10, 20, 30]})
    rows = mix(documents, [Component("filtered/web", 1)], token_budget=None, seed=7).rows
    table = schema.conform(rows, schema.MIXTURES)
    assert table.schema == schema.MIXTURES
    kept = rows.rename({"tokens": "n_tokens"}).select(documents.columns).sort("doc_id")
    assert kept.equals(documents.sort("doc_id"))
    assert rows["order_key"].is_sorted()
    assert rows["stage"].to_list() == [1, 1, 1]


def test_two_crawls_of_the_same_texts_give_the_same_mixture():
    sizes = {"filtered/web": list(range(1, 400)), "synthetic/web": list(range(5, 300))}
    parts = [Component("filtered/web", 2), Component("synthetic/web", 1)]
    first = mix(candidates(sizes), parts, token_budget=9_000, seed=3)
    second = mix(
        candidates(sizes, "second").sample(fraction=1.0, shuffle=True, seed=1), parts, token_budget=9_000, seed=3
    )
    columns = ["text_id", "repeats", "tokens", "order_key"]
    assert first.rows.select(columns).equals(second.rows.select(columns))
    assert first.summary.equals(second.summary)
    other = mix(candidates(sizes), parts, token_budget=9_000, seed=4)
    assert set(other.rows["text_id"]) != set(first.rows["text_id"])


def test_the_training_order_says_nothing_about_how_sparsely_a_component_was_drawn():
    # Of "small" 1 in 100 documents is drawn, of "whole" all. Were the order the order of the draw, all of "small" would
    # come in the first hundredth; a fair shuffle has its mean place at 0.5, standard error 0.29 / sqrt(200) = 0.02.
    outcome = mix(
        candidates({"filtered/small": [1] * 20_000, "filtered/whole": [1] * 200}),
        [Component("filtered/small", 1), Component("filtered/whole", 1)],
        token_budget=400,
        seed=1,
    )
    places = outcome.rows.with_row_index("place").filter(pl.col("component") == "filtered/small")["place"] / 400
    assert len(places) == 200
    assert 0.4 < places.mean() < 0.6


def test_repeats_are_whole_epochs_and_then_a_part_of_the_next():
    # 10 documents of 10 tokens and a target of 230: twice all (200), and 3 of them a third time.
    outcome = mix(
        candidates({"filtered/books": [10] * 10}),
        [Component("filtered/books", 1, max_repeats=4)],
        token_budget=230,
        seed=0,
    )
    assert sorted(outcome.rows["repeats"]) == [2] * 7 + [3] * 3
    assert line(outcome, "filtered/books")["tokens"] == 230
    assert line(outcome, "filtered/books")["repeats"] == 2.3


@pytest.mark.parametrize(
    ("target", "tokens"),
    [(4, 0), (5, 0), (6, 10), (14, 10), (15, 10), (16, 20)],  # at the middle between 0 and 10, 10 and 20: the smaller
)
def test_the_last_document_is_taken_if_it_brings_the_total_nearer(target, tokens):
    outcome = mix(candidates({"filtered/web": [10] * 5}), [Component("filtered/web", 1)], token_budget=target, seed=0)
    assert line(outcome, "filtered/web")["tokens"] == tokens


def test_a_component_that_runs_out_is_short_and_the_others_keep_their_targets():
    # Half of 1,000 is 500; books can give 2 × 100 = 200.
    outcome = mix(
        candidates({"filtered/web": [10] * 1_000, "filtered/books": [10] * 10}),
        [Component("filtered/web", 1), Component("filtered/books", 1, max_repeats=2)],
        token_budget=1_000,
        seed=0,
    )
    assert line(outcome, "filtered/books") | {"share": None} == {
        "component": "filtered/books",
        "weight": 0.5,
        "target_tokens": 500,
        "available_tokens": 100,
        "tokens": 200,
        "documents": 10,
        "share": None,
        "repeats": 2.0,
        "short": True,
    }
    assert line(outcome, "filtered/web")["tokens"] == 500
    assert not line(outcome, "filtered/web")["short"]
    assert line(outcome, "filtered/web")["share"] == 5 / 7


def test_without_a_budget_the_scarcest_component_sets_the_total():
    # books: 100 tokens × 3 repeats at a share of 0.2 allow 1,500 tokens; web alone would allow 10,000 / 0.8.
    outcome = mix(
        candidates({"filtered/web": [10] * 1_000, "filtered/books": [10] * 10}),
        [Component("filtered/web", 0.8), Component("filtered/books", 0.2, max_repeats=3)],
        token_budget=None,
        seed=0,
    )
    assert outcome.summary["tokens"].to_list() == [1_200, 300]
    assert not outcome.summary["short"].any()


@pytest.mark.parametrize("budget", [None, 1_000])
def test_a_component_without_documents_is_short_and_harms_nothing(budget):
    outcome = mix(
        candidates({"filtered/web": [10] * 90}),
        [Component("filtered/web", 0.9), Component("synthetic/web", 0.1)],
        token_budget=budget,
        seed=0,
    )
    assert line(outcome, "filtered/web")["tokens"] == 900
    assert line(outcome, "synthetic/web")["short"]
    assert line(outcome, "synthetic/web")["tokens"] == 0


def test_no_candidates_at_all_give_an_empty_mixture():
    outcome = mix(candidates({}), [Component("filtered/web", 1)], token_budget=None, seed=0)
    assert schema.conform(outcome.rows, schema.MIXTURES).num_rows == 0
    assert line(outcome, "filtered/web")["tokens"] == 0


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.dictionaries(
        st.sampled_from(["a/a", "b/b", "c/c"]), st.lists(st.integers(1, 50), min_size=1, max_size=40), min_size=1
    ),
    weights=st.lists(st.floats(0.01, 100), min_size=3, max_size=3),
    limits=st.lists(st.floats(0.1, 5), min_size=3, max_size=3),
    budget=st.none() | st.integers(1, 4_000),
    seed=st.integers(0, 2**31),
)
def test_every_mixture_is_within_its_limits_and_as_near_to_its_targets_as_documents_allow(
    sizes, weights, limits, budget, seed
):
    parts = [Component(table, weight, limit) for table, weight, limit in zip(sizes, weights, limits, strict=False)]
    outcome = mix(candidates(sizes), parts, token_budget=budget, seed=seed)
    for part in parts:
        rows = outcome.rows.filter(pl.col("component") == part.table)
        said = line(outcome, part.table)
        assert said["tokens"] == (rows["tokens"] * rows["repeats"]).sum()
        assert said["tokens"] <= said["available_tokens"] * part.max_repeats
        if budget is None:
            assert not said["short"]
        reachable = min(said["target_tokens"], math.floor(said["available_tokens"] * part.max_repeats))
        assert abs(said["tokens"] - reachable) < max(sizes[part.table])
        all_repeats = rows["repeats"].to_list() + [0] * (len(sizes[part.table]) - len(rows))
        assert max(all_repeats) - min(all_repeats) <= 1


@pytest.mark.parametrize(
    ("parts", "budget", "message"),
    [
        ([], 10, "at least one component"),
        ([Component("filtered/web", 0)], 10, "weight is 0"),
        ([Component("filtered/web", -1)], 10, "weight is -1"),
        ([Component("filtered/web", math.nan)], 10, "weight is nan"),
        ([Component("filtered/web", 1, max_repeats=0)], 10, "max_repeats is 0"),
        ([Component("filtered/web", 1), Component("filtered/web", 2)], 10, "declared 2 times"),
        ([Component("filtered/web", 1)], 0, "token_budget is 0"),
        ([Component("filtered/books", 1)], 10, "candidates of 'filtered/web', which is no component"),
    ],
)
def test_a_declaration_that_makes_no_sense_is_refused(parts, budget, message):
    with pytest.raises(MixtureError, match=message):
        mix(candidates({"filtered/web": [10]}), parts, token_budget=budget, seed=0)


def test_components_that_share_a_document_are_refused():
    documents = candidates({"filtered/web": [10, 10], "filtered/edu": [10]}).with_columns(
        doc_id=pl.Series(["x", "y", "y"])
    )
    parts = [Component("filtered/web", 1), Component("filtered/edu", 1)]
    with pytest.raises(
        MixtureError, match="document y is a candidate more than once, in filtered/edu and filtered/web"
    ):
        mix(documents, parts, token_budget=None, seed=0)


def test_a_document_without_tokens_is_refused():
    with pytest.raises(MixtureError, match="first-filtered/web-1 has 0 tokens"):
        mix(candidates({"filtered/web": [10, 0]}), [Component("filtered/web", 1)], token_budget=None, seed=0)
