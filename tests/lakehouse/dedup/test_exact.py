"""Exact duplicates: which copy stays, and that nothing depends on chance."""

from __future__ import annotations

import random

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.dedup import copies, exact_duplicates
from lakehouse.identity import text_id

SCHEMA = {"doc_id": pl.String, "text_id": pl.String, "n_chars": pl.Int64, "url": pl.String}
Row = tuple[str, str, int, str | None]


def documents(rows: list[Row]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


ROWS = st.lists(
    st.tuples(
        st.integers(0, 99).map(str),
        st.sampled_from(["t1", "t2", "t3", "t4"]),
        st.integers(1, 3),
        st.sampled_from([None, "http://a.test/", "http://b.test/"]),
    ),
    max_size=20,
    unique_by=lambda row: row[0],
)
EARLIER = st.one_of(
    st.none(), st.lists(st.tuples(st.sampled_from(["t1", "t2", "t9"]), st.integers(90, 120).map(str)), max_size=4)
)


def test_texts_that_differ_in_case_and_spacing_are_copies() -> None:
    texts = ["Hello  World", "hello world\n", "Hello, world"]
    rows: list[Row] = [(f"d{place}", text_id(text), len(text), None) for place, text in enumerate(texts)]
    # Both have 12 characters, so the smaller doc_id stays.
    assert exact_duplicates(documents(rows)).rows() == [("d1", "d0", text_id("hello world"), 1.0)]


def test_the_longest_stays_then_the_smallest_url_then_the_smallest_id() -> None:
    def kept(*rows: Row) -> set[str]:
        return set(exact_duplicates(documents(list(rows)))["kept_id"])

    assert kept(("1", "t", 5, "http://a.test/"), ("2", "t", 6, "http://z.test/"), ("3", "t", 4, None)) == {"2"}
    assert kept(("1", "t", 5, None), ("2", "t", 5, "http://b.test/"), ("3", "t", 5, "http://a.test/")) == {"3"}
    assert kept(("2", "t", 5, None), ("1", "t", 5, None)) == {"1"}


def test_a_text_kept_earlier_wins_against_a_longer_copy() -> None:
    new = documents([("n1", "t", 9, "http://a.test/"), ("n2", "t", 8, None), ("n3", "u", 1, None)])
    earlier = pl.DataFrame({"text_id": ["t", "t"], "doc_id": ["e2", "e1"]})
    assert exact_duplicates(new, earlier).rows() == [("n1", "e1", "t", 1.0), ("n2", "e1", "t", 1.0)]


def test_a_document_is_no_copy_of_itself() -> None:
    new = documents([("a", "t", 9, None), ("b", "t", 8, None)])
    earlier = pl.DataFrame({"text_id": ["t"], "doc_id": ["b"]})
    assert exact_duplicates(new, earlier).rows() == [("b", "a", "t", 1.0)]


def test_without_documents_or_copies_the_table_is_empty_and_typed() -> None:
    lone = documents([("a", "t", 1, None), ("b", "u", 1, None)])
    columns = {"doc_id": pl.String, "kept_id": pl.String, "cluster_id": pl.String, "similarity": pl.Float64}
    for given_documents in (lone, lone.clear()):
        for earlier in (None, pl.DataFrame(schema={"text_id": pl.String, "doc_id": pl.String})):
            found = exact_duplicates(given_documents, earlier)
            assert dict(found.schema) == columns
            assert found.is_empty()
            assert copies(found).is_empty()


@settings(max_examples=200, deadline=None)
@given(ROWS, EARLIER, st.randoms(use_true_random=False))
def test_any_order_gives_the_same_answer_and_one_copy_of_each_text_is_left(
    rows: list[Row], earlier_rows: list[tuple[str, str]] | None, shuffler: random.Random
) -> None:
    columns = {"text_id": pl.String, "doc_id": pl.String}
    earlier = None if earlier_rows is None else pl.DataFrame(earlier_rows, schema=columns, orient="row")
    found = exact_duplicates(documents(rows), earlier)
    shuffled = shuffler.sample(rows, len(rows))
    turned = None if earlier is None else earlier.reverse()
    assert exact_duplicates(documents(shuffled), turned).equals(found)

    ids = {row[0] for row in rows}
    known = {text: doc_id for text, doc_id in earlier_rows or [] if doc_id not in ids}
    dropped = set(found["doc_id"])
    left = [text for doc_id, text, _, _ in rows if doc_id not in dropped]
    assert sorted(left) == sorted({row[1] for row in rows} - set(known))
    assert found["doc_id"].is_unique().all()
    assert not dropped & set(found["kept_id"])  # what a copy points to stays
    texts = {row[0]: row[1] for row in rows}
    assert all(texts[row["doc_id"]] == row["cluster_id"] for row in found.iter_rows(named=True))


@settings(max_examples=50, deadline=None)
@given(ROWS)
def test_kept_documents_stand_for_every_document(rows: list[Row]) -> None:
    found = exact_duplicates(documents(rows))
    stands_for = dict(copies(found).iter_rows())
    assert all(count > 1 for count in stands_for.values())
    dropped = set(found["doc_id"])
    assert sum(stands_for.get(row[0], 1) for row in rows if row[0] not in dropped) == len(rows)
