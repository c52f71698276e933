"""Gates measure well, name the first that failed, and every unit is accepted or in the ledger."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse import identity, schema
from lakehouse.generate import (
    GenerationError,
    accepted_documents,
    generations_for,
    judge,
    load_recipe,
    missing,
    rejected_rows,
    requests_for,
)
from lakehouse.generate.gates import copied_share
from lakehouse.generate.recipe import Bounds

RECIPE = load_recipe("rewrite_clearly")
ANCHOR = "The river rises in the hills, and it reaches the sea after ninety miles."
REWRITE = "From the hills the river runs for ninety miles until it comes to the sea."


def generation(doc_id: str = "a", response: str | None = REWRITE, **changes: Any) -> dict[str, Any]:
    return {
        "request_id": f"r-{doc_id}",
        "doc_id": doc_id,
        "snapshot": "S",
        "recipe": RECIPE.name,
        "recipe_version": RECIPE.version,
        "model": "m",
        "params_hash": "p",
        "prompt_hash": "q",
        "status": "ok",
        "response": response,
        "finish_reason": "stop",
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "cost_usd": Decimal(0),
        "latency_ms": 1.0,
        "error": None,
        "created_at": datetime(2026, 1, 1, tzinfo=UTC),
        **changes,
    }


def journal(*rows: dict[str, Any]) -> pl.DataFrame:
    return pl.concat([schema.empty(schema.GENERATIONS), pl.DataFrame(list(rows))], how="vertical_relaxed")


def anchors(*doc_ids: str, text: str = ANCHOR) -> pl.DataFrame:
    columns = {"doc_id": doc_ids, "text": [text] * len(doc_ids), "source": ["web"] * len(doc_ids)}
    return pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String))


def judged(row: dict[str, Any], recipe: Any = RECIPE, **anchor: Any) -> dict[str, Any]:
    (result,) = judge(journal(row), anchors(row["doc_id"], **anchor), recipe).to_dicts()
    return result


# Letters and digits in lower case; Chinese, Japanese and Thai characters stand alone: the slow, obvious version.
def slow_share(text: str, anchor: str) -> float | None:
    def grams(words: list[str]) -> list[tuple[str, ...]]:
        return [tuple(words[place : place + 5]) for place in range(len(words) - 4)]

    pattern = r"[\u4e00-\u9fff\u3040-\u30ff\u0e00-\u0e7f]|[a-z0-9]+"
    own, standing = (grams(re.findall(pattern, part.lower())) for part in (text, anchor))
    return sum(gram in standing for gram in own) / len(own) if own else None


def test_copied_share_of_a_sentence_worked_out_by_hand() -> None:
    # 7 words, so 3 grams: "the old mill by the" and "old mill by the river" stand in the anchor, the third does not
    text, anchor = "The old mill by the river stands", "In spring the old mill, by the River, turned."
    assert copied_share(pl.Series([text]), pl.Series([anchor])).to_list() == [pytest.approx(2 / 3)]


def test_copied_share_counts_characters_where_words_have_no_spaces() -> None:
    # 8 characters, 4 grams: 我们今天去, 们今天去公, 今天去公园, 天去公园玩; the anchor holds the first three
    assert copied_share(pl.Series(["我们今天去公园玩"]), pl.Series(["我们今天去公园吗"])).to_list() == [0.75]


WORDS = st.lists(st.sampled_from(["a", "b", "C", "d1", "我", "们", "ไ", ",", "."]), max_size=25).map(" ".join)


@given(st.lists(st.tuples(WORDS, WORDS), max_size=5))
def test_copied_share_agrees_with_the_slow_version(pairs: list[tuple[str, str]]) -> None:
    texts, standing = (pl.Series([pair[side] for pair in pairs], dtype=pl.String) for side in (0, 1))
    assert copied_share(texts, standing).to_list() == pytest.approx([slow_share(*pair) for pair in pairs])


def test_copied_share_does_not_depend_on_where_batches_end() -> None:
    texts = [f"one two three four five six {place % 7}" for place in range(2500)]
    standing = ["one two three four five"] * len(texts)
    # 7 words, 3 grams, the first stands in the anchor
    assert copied_share(pl.Series(texts), pl.Series(standing)).to_list() == pytest.approx([1 / 3] * len(texts))


def test_a_good_rewrite_is_accepted_with_its_measures() -> None:
    result = judged(generation(response=f"  <text>\r\n{REWRITE}\r\n</text> "))
    assert result["accepted"]
    assert result["text"] == REWRITE
    assert (result["gate"], result["value"], result["threshold"], result["failed"]) == (None, None, None, [])
    assert result["length_ratio"] == pytest.approx(73 / 72)
    assert result["copied_share"] == 0


@pytest.mark.parametrize(
    ("row", "gate", "value", "threshold", "evidence", "failed"),
    [
        ({"finish_reason": "length"}, "finish_reason", None, None, "length", ["finish_reason"]),
        ({"finish_reason": None}, "finish_reason", None, None, "none given", ["finish_reason"]),
        ({"response": "  \n "}, "empty", None, None, None, ["empty", "length_ratio"]),
        ({"response": None}, "empty", None, None, None, ["empty"]),
        # 7 characters for the anchor's 72
        ({"response": "A river"}, "length_ratio", 7 / 72, 0.5, None, ["length_ratio"]),
        ({"response": (REWRITE + " ") * 3}, "length_ratio", 221 / 72, 2.0, None, ["length_ratio"]),
        ({"response": ANCHOR.upper()}, "copied_share", 1.0, 0.8, None, ["copied_share"]),
        ({"response": ANCHOR[:33], "finish_reason": "length"}, "finish_reason", None, None, "length",
         ["finish_reason", "length_ratio", "copied_share"]),
        ({"response": None, "status": "error", "error": "HTTP 500", "finish_reason": None},
         "call_failed", None, None, "HTTP 500", ["call_failed"]),
    ],
)  # fmt: skip
def test_a_bad_answer_is_rejected_by_the_first_gate_it_fails(
    row: dict[str, Any],
    gate: str,
    value: float | None,
    threshold: float | None,
    evidence: str | None,
    failed: list[str],
) -> None:
    result = judged(generation(**row))
    assert not result["accepted"]
    assert (result["gate"], result["evidence"], result["failed"]) == (gate, evidence, failed)
    assert result["value"] == pytest.approx(value)
    assert result["threshold"] == threshold


def test_an_answer_is_compared_with_the_passage_that_was_sent_not_with_the_whole_document() -> None:
    recipe = RECIPE.model_copy(update={"unit": RECIPE.unit.model_copy(update={"max_chars": 80})})
    result = judged(generation(), recipe, text=f"{ANCHOR}\n" + "Then something else follows. " * 50)
    assert result["length_ratio"] == pytest.approx(73 / 72)


def test_bounds_include_their_limits_and_moving_one_needs_no_model() -> None:
    row = generation(response=ANCHOR)
    for limit, accepted in ((1.0, True), (0.99, False)):
        bounds = Bounds(max=limit)
        recipe = RECIPE.model_copy(update={"gates": RECIPE.gates.model_copy(update={"copied_share": bounds})})
        assert judged(row, recipe)["accepted"] is accepted
    ungated = RECIPE.model_copy(update={"gates": RECIPE.gates.model_copy(update={"copied_share": None})})
    assert judged(row, ungated)["accepted"]


def test_a_generation_without_its_anchor_is_an_error_that_names_it() -> None:
    with pytest.raises(GenerationError, match="document a was rewritten but is not among the 1 anchors"):
        judge(journal(generation("a")), anchors("b"), RECIPE)


def test_accepted_and_rejected_add_up_and_fit_their_tables() -> None:
    rows = [
        generation("good"),
        generation("cut", finish_reason="length"),
        generation("copy", ANCHOR),
        generation("gone", None, status="error", finish_reason=None, error="HTTP 500"),
        generation("again"),
    ]
    standing = anchors("again", "gone", "copy", "cut", "good").with_columns(depth=pl.Series([1, 0, 0, 0, 0]))
    result = judge(journal(*rows), standing, RECIPE)
    documents, rejects = accepted_documents(result), rejected_rows(result)
    assert len(documents) + len(rejects) == len(rows)

    assert documents.get_column("parents").to_list() == [["good"], ["again"]]
    assert documents.get_column("depth").to_list() == [1, 2]
    first = documents.row(0, named=True)
    assert first["doc_id"] == identity.hash_of("synthetic", "rewrite_clearly", "r-good", "good")
    assert first["text_id"] == identity.text_id(REWRITE)
    assert (first["n_chars"], first["n_words"]) == (73, 15)
    assert (first["source"], first["snapshot"], first["request_id"]) == ("web", "S", "r-good")
    schema.conform(documents, schema.SYNTHETIC)  # language and language_score are filled in later

    assert rejects.get_column("rule").to_list() == ["gate_finish_reason", "gate_copied_share", "call_failed"]
    assert rejects.get_column("failed").to_list() == [["gate_finish_reason"], ["gate_copied_share"], ["call_failed"]]
    assert rejects.get_column("evidence").to_list() == ["length", None, "HTTP 500"]
    assert rejects.get_column("stage").unique().to_list() == ["gate"]
    assert rejects.columns == schema.REJECTS.names
    assert not set(rejects.get_column("doc_id")) & set(standing.get_column("doc_id"))


def test_no_generations_give_no_documents_and_no_rejects() -> None:
    result = judge(schema.empty(schema.GENERATIONS), anchors(), RECIPE)
    assert accepted_documents(result).is_empty()
    assert rejected_rows(result).is_empty()


def asked(*texts: str) -> list[Any]:
    doc_ids = [f"d{place}" for place in range(len(texts))]
    frame = pl.DataFrame({"doc_id": doc_ids, "snapshot": "S", "text": texts, "language": "en"})
    return list(requests_for(frame, RECIPE, "m"))


def test_only_what_no_row_of_the_journal_answers_is_missing_and_each_request_once() -> None:
    requests = asked("One.", "Two.", "Three.", "Two.")
    answered = journal(
        generation("d0", request_id=requests[0].request_id),
        generation("d1", None, request_id=requests[1].request_id, status="error"),
    )
    assert missing(requests, answered) == [requests[1], requests[2]]
    assert missing(requests, schema.empty(schema.GENERATIONS)) == requests[:3]


def test_documents_that_share_a_call_both_get_its_answer() -> None:
    requests = asked("One.", "Two.", "One.")
    early, late = (datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2))
    one, two = requests[0].request_id, requests[1].request_id
    calls = journal(
        generation("d0", "second", request_id=one, created_at=late),
        generation("d0", "first", request_id=one, created_at=early),
        generation("d0", None, request_id=one, created_at=early, status="error", error="HTTP 500"),
        generation("d1", None, request_id=two, created_at=late, status="error", error="HTTP 503"),
        generation("d1", None, request_id=two, created_at=early, status="error", error="HTTP 500"),
        generation("x", "not asked for", request_id="other"),
    )
    found = generations_for(requests, calls)
    assert found.select("doc_id", "response", "error").rows() == [
        ("d0", "first", None),
        ("d1", None, "HTTP 503"),
        ("d2", "first", None),
    ]
    assert found.columns == schema.GENERATIONS.names


def test_a_request_that_was_never_made_is_not_passed_over() -> None:
    requests = asked("One.", "Two.")
    calls = journal(generation("d0", request_id=requests[0].request_id))
    with pytest.raises(GenerationError, match="1 of 2 requests are not in the journal"):
        generations_for(requests, calls)
