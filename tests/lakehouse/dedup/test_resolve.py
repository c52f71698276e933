"""Which copies are dropped, for which others: by key, by similarity, through what a rule dropped."""

from __future__ import annotations

import random

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.dedup import DROPPED, Shingles, key_edges, resolve
from lakehouse.identity import text_id

UNKNOWN = float("nan")


def documents(*ids: str) -> pl.DataFrame:
    """Documents in the order of the policy; the text of `a` is `text a`."""
    return pl.DataFrame({"doc_id": list(ids)}, schema={"doc_id": pl.String}).with_columns(
        text_id=pl.lit("text ") + pl.col("doc_id")
    )


def edges(*pairs: tuple[str, str, float]) -> pl.DataFrame:
    schema = {"doc_id": pl.String, "other_id": pl.String, "similarity": pl.Float64}
    return pl.DataFrame(list(pairs), schema=schema, orient="row")


def dropped(found: pl.DataFrame) -> dict[str, tuple[str, float]]:
    return {row["doc_id"]: (row["kept_id"], row["similarity"]) for row in found.iter_rows(named=True)}


def keyed(*pairs: tuple[str, str | None]) -> pl.DataFrame:
    schema = {"doc_id": pl.String, "key": pl.String}
    return pl.DataFrame(list(pairs), schema=schema, orient="row").with_columns(
        text_id=pl.lit("text ") + pl.col("doc_id")
    )


def test_of_copies_of_a_key_the_first_stays_and_a_document_without_a_key_is_no_copy() -> None:
    rows = keyed(("a", "x"), ("b", "y"), ("c", "x"), ("d", None), ("e", "x"), ("f", None))
    assert dropped(resolve(rows, key_edges(rows))) == {"c": ("a", 1.0), "e": ("a", 1.0)}


def test_what_was_kept_before_wins_against_a_better_copy_and_is_no_copy_of_itself() -> None:
    rows = keyed(("a", "x"), ("b", "y"), ("k", "z"))
    kept = keyed(("k", "x"), ("l", "y"))
    assert dropped(resolve(rows, key_edges(rows, kept), kept=kept)) == {"a": ("k", 1.0), "b": ("l", 1.0)}


def test_the_cluster_is_named_after_the_text_of_its_best_document() -> None:
    rows = keyed(("a", "x"), ("b", "x"))
    assert resolve(rows, key_edges(rows))["cluster_id"].to_list() == ["text a"]


def test_texts_that_differ_in_case_and_spacing_are_copies() -> None:
    texts = {"a": "Hello  World", "b": "hello world\n", "c": "Hello, world"}
    rows = pl.DataFrame({"doc_id": list(texts), "text_id": [text_id(text) for text in texts.values()]})
    rows = rows.with_columns(key="text_id")
    assert dropped(resolve(rows, key_edges(rows))) == {"b": ("a", 1.0)}


def test_a_document_is_dropped_for_the_most_alike_of_those_that_stay() -> None:
    # c is unlike a, so it stays; b is alike to both, and more so to c, which comes after it: b goes for a, c stays.
    found = resolve(
        documents("a", "b", "c", "d"), edges(("a", "b", 0.7), ("b", "c", 0.9), ("c", "d", 0.8), ("a", "d", 0.75))
    )
    assert found.is_empty()  # the threshold is 1.0 unless another is set
    found = resolve(
        documents("a", "b", "c", "d"),
        edges(("a", "b", 0.7), ("b", "c", 0.9), ("c", "d", 0.8), ("a", "d", 0.75)),
        threshold=0.7,
    )
    assert dropped(found) == {"b": ("a", 0.7), "d": ("c", 0.8)}


def test_a_chain_of_small_changes_does_not_carry_away_what_is_unlike_all_that_is_kept() -> None:
    chain = edges(*((f"v{place}", f"v{place + 1}", 0.9) for place in range(9)))
    found = resolve(documents(*(f"v{place}" for place in range(10))), chain, threshold=0.8)
    assert set(found["kept_id"]) == {"v0", "v2", "v4", "v6", "v8"}
    assert found["cluster_id"].unique().to_list() == ["text v0"]


def test_a_copy_of_a_document_that_a_rule_dropped_is_compared_through_it() -> None:
    # r was dropped by a rule. a and b have its very shingles, c is alike to it: so c is a copy of a.
    found = resolve(documents("a", "b", "c"), edges(("a", "r", 1.0), ("b", "r", 1.0), ("c", "r", 0.8)), threshold=0.7)
    assert dropped(found) == {"b": ("a", 1.0), "c": ("a", 0.8)}


def test_nothing_is_dropped_for_a_document_that_a_rule_dropped() -> None:
    assert resolve(documents("a"), edges(("a", "r", 0.9)), threshold=0.7).is_empty()
    assert resolve(documents(), edges(("q", "r", 1.0)), threshold=0.7).is_empty()


def test_members_of_a_cluster_that_were_not_compared_are_compared_by_their_shingles() -> None:
    sets = {"a": {1, 2, 3, 4}, "b": {1, 2, 3, 4, 5}, "c": {1, 2, 3, 5}}

    def shingles_of(ids: pl.Series) -> Shingles:
        import numpy as np

        found = [sorted(sets[doc_id]) for doc_id in ids]
        bounds = np.cumsum([0, *map(len, found)])
        return Shingles(np.array([one for part in found for one in part], np.uint32), bounds)

    # a and c share 3 of 5 shingles: 0.6. Hashing brought only b together with each of them (4 of 5: 0.8).
    pairs = edges(("b", "a", 0.8), ("c", "b", 0.8))
    assert dropped(resolve(documents("a", "b", "c"), pairs, threshold=0.6)) == {"b": ("a", 0.8)}
    found = resolve(documents("a", "b", "c"), pairs, threshold=0.6, shingles_of=shingles_of)
    assert dropped(found) == {"b": ("a", 0.8), "c": ("a", 0.6)}
    found = resolve(documents("a", "b", "c"), pairs, threshold=0.65, shingles_of=shingles_of)
    assert dropped(found) == {"b": ("a", 0.8)}
    # What belongs to a cluster without having been compared with it is compared, too.
    kept = documents("a")
    found = resolve(documents("c"), edges(("c", "a", UNKNOWN)), kept=kept, threshold=0.6, shingles_of=shingles_of)
    assert dropped(found) == {"c": ("a", 0.6)}


def test_without_edges_the_table_is_empty_and_typed() -> None:
    assert dict(resolve(documents("a"), edges()).schema) == DROPPED


@given(
    st.integers(1, 12),
    st.lists(
        st.tuples(st.integers(0, 15), st.integers(0, 15), st.sampled_from([0.5, 0.7, 0.8, 0.9, 1.0])), max_size=30
    ),
    st.integers(0, 3),
    st.randoms(use_true_random=False),
)
def test_what_is_dropped_is_alike_to_what_stays_whatever_the_order_of_the_edges(
    n: int, numbers: list[tuple[int, int, float]], n_kept: int, shuffler: random.Random
) -> None:
    # Documents 0 to n - 1 in the order of the policy; 12 and 13 may have been kept before, the rest rules dropped.
    pairs = [(f"d{a:02}", f"d{b:02}", similarity) for a, b, similarity in numbers if a != b]
    rows, kept = documents(*(f"d{place:02}" for place in range(n))), documents(*("d12", "d13")[:n_kept])
    found = resolve(rows, edges(*pairs), kept=kept, threshold=0.7)
    mirrored = [(b, a, similarity) for a, b, similarity in pairs]
    shuffler.shuffle(mirrored)
    again = resolve(rows, edges(*mirrored), kept=kept, threshold=0.7)
    assert again.sort("doc_id").equals(found.sort("doc_id"))

    # The slow version: classes of one text by repeated merging, then one by one.
    of = {f"d{place:02}": frozenset([f"d{place:02}"]) for place in range(16)}
    for _ in range(16):
        for a, b, similarity in pairs:
            if similarity == 1.0:
                merged = of[a] | of[b]
                of |= dict.fromkeys(merged, merged)
    alike: dict[tuple[frozenset[str], frozenset[str]], float] = {}
    for a, b, similarity in pairs:
        for key in ((of[a], of[b]), (of[b], of[a])):
            alike[key] = max(alike.get(key, 0), similarity)
    stay: list[frozenset[str]] = [of[doc_id] for doc_id in kept["doc_id"]]
    expected: dict[str, tuple[float, bool]] = {}
    for doc_id in rows["doc_id"]:
        if of[doc_id] in stay:
            expected[doc_id] = (1.0, True)
            continue
        similar = max((alike.get((of[doc_id], one), 0) for one in stay), default=0)
        if similar >= 0.7:
            expected[doc_id] = (similar, True)
        else:
            stay.append(of[doc_id])
    assert {doc_id: similarity for doc_id, (_, similarity) in dropped(found).items()} == {
        doc_id: similarity for doc_id, (similarity, _) in expected.items()
    }
    still = set(rows["doc_id"]) - set(found["doc_id"]) | set(kept["doc_id"])
    assert set(found["kept_id"]) <= still
