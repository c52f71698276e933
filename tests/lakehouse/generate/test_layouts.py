"""Layouts: what outputs become, and that every one of them is a document's or the ledger's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl
from recipes_of_tests import asking, documents, recipe, step
from test_replay import Answers, run, states_of

from lakehouse.generate.documents import Laid, lay_out, settled
from lakehouse.generate.gates.tools import Tools
from lakehouse.generate.outputs import judged_outputs
from lakehouse.generate.programs import replay
from lakehouse.generate.recipe import Recipe
from lakehouse.generate.replay import to_call
from lakehouse.generate.requests import Request

PASSAGES = {"passages": {"max_tokens": 3}}  # 12 bytes


def laid(made: Recipe, anchors: pl.DataFrame, model: Callable[[Request], str]) -> Laid:
    states, _ = run(made, anchors, model)
    result = lay_out(states, judged_outputs(states, made, Tools()), asking(made))
    in_documents = result.documents["outputs"].sum()
    assert result.outputs == in_documents + result.rejects.height
    assert result.judgements.filter("accepted").height == in_documents
    return result


def passage(request: Request) -> str:
    return request.messages[-1]["content"].partition("<text>\n")[2].partition("\n</text>")[0]


def shout(request: Request) -> str:
    """An answer in capitals; none for what is bad."""
    return "" if "bad" in passage(request) else passage(request).upper()


def texts(result: Laid) -> list[str]:
    return result.documents["text"].to_list()


def test_each_output_is_a_document_of_its_own() -> None:
    result = laid(recipe(units=PASSAGES), documents("First one.\nA bad one.\nThird one."), shout)
    assert texts(result) == ["FIRST ONE.", "THIRD ONE."]
    assert result.documents["parents"].to_list() == [["a"], ["a"]]
    assert result.documents["depth"].to_list() == [1, 1]
    assert result.documents["doc_id"].n_unique() == 2
    assert result.rejects.select("rule", "parents").rows() == [("gate_empty", ["a"])]


def test_the_outputs_of_a_document_are_joined_in_order() -> None:
    made = recipe(units=PASSAGES, layout={"as": "joined"})
    result = laid(made, documents("First one.\nA bad one.\nThird one.", "All bad."), shout)
    assert texts(result) == ["FIRST ONE.\n\nTHIRD ONE."]
    assert result.documents["outputs"].to_list() == [2]
    assert len(result.documents["request_ids"][0]) == 2
    assert result.rejects["parents"].to_list() == [["a"], ["b"]]


def test_outputs_are_appended_to_the_document() -> None:
    made = recipe(units=PASSAGES, layout={"as": "appended", "separator": "\n---\n"})
    result = laid(made, documents("First one.\nA bad one."), shout)
    assert texts(result) == ["First one.\nA bad one.\n---\nFIRST ONE."]


def test_an_output_takes_the_place_of_its_unit_and_what_was_rejected_stays() -> None:
    made = recipe(units=PASSAGES, layout={"as": "replaced"})
    original = "First one.\n\nA bad one.\nThird one.\n"
    result = laid(made, documents(original, "All bad."), shout)
    assert texts(result) == ["FIRST ONE.\n\nA bad one.\nTHIRD ONE.\n", "All bad."]
    assert result.documents["depth"].to_list() == [1, 0]  # what stayed as it was is no rewrite
    edits: list[dict[str, Any]] = result.documents["edits"][0].to_list()
    assert replay(original, edits) == texts(result)[0]
    assert [edit["start"] for edit in edits] == [0, 23]


def test_what_was_rejected_can_be_removed_instead() -> None:
    made = recipe(units=PASSAGES, layout={"as": "replaced", "rejected": "remove"})
    result = laid(made, documents("First one.\nA bad one.\nThird one."), shout)
    assert texts(result) == ["FIRST ONE.\n\nTHIRD ONE."]


def program(request: Request) -> str:
    said = passage(request)
    return (
        "drop_chunk()"
        if "drop" in said
        else "nonsense("
        if "bad" in said
        else 'normalize(source_str="a", target_str="b")'
    )


def test_programs_edit_their_unit_and_the_edits_of_the_whole_document_can_be_replayed() -> None:
    made = recipe(
        step(user="<text>\n{{ text }}\n</text>\n{{ numbered_text[:0] }}", answer="program"),
        units={"lines": {"max_tokens": 3}},
        layout={"as": "replaced"},
    )
    words = " and one more" * 4  # what is left must be more than ten words
    original = f"a first{words}\ndrop me.\na bad one\nthe lbst{words}"
    result = laid(made, documents(original), program)
    edited = original.replace("drop me.", "").replace("a", "b").replace("b bbd one", "a bad one")
    assert texts(result) == [edited]
    assert replay(original, result.documents["edits"][0].to_list()) == texts(result)[0]
    assert len(result.documents["programs"][0]) == 3
    assert sorted(result.rejects["rule"]) == ["gate_answer", "gate_dropped_by_program"]


def test_a_document_that_a_program_drops_is_no_document() -> None:
    made = recipe(step(answer="program"), layout={"as": "replaced"})
    kept = "keep this: one two three four five six seven eight nine ten a."
    result = laid(made, documents(kept, "drop."), lambda request: program(request).replace("chunk", "doc"))
    assert texts(result) == [kept.replace("a", "b")]
    assert result.rejects.select("rule", "evidence", "parents").rows() == [
        ("gate_dropped_by_program", "drop_doc", ["b"])
    ]


def test_a_document_that_is_too_short_is_rejected_for_its_words() -> None:
    made = recipe(units=PASSAGES, layout={"as": "joined", "min_words": 3})
    result = laid(made, documents("First one.\nThird one.", "Short one."), shout)
    assert texts(result) == ["FIRST ONE.\n\nTHIRD ONE."]
    assert result.rejects.select("rule", "value", "threshold").rows() == [("gate_min_words", 2.0, 3.0)]


def test_a_document_waits_until_all_its_units_are_answered() -> None:
    made = recipe(units=PASSAGES, layout={"as": "joined"})
    anchors, answers = documents("First one.\nThird one.", "Other."), Answers(shout)
    for request in to_call([states_of(made, anchors, answers)], set()):
        if passage(request) != "Third one.":
            answers.answer(request)
    ready, waiting = settled(states_of(made, anchors, answers), made)
    assert ([state.unit.text for state in ready], waiting) == (["Other."], 2)


def test_the_layout_says_what_the_text_is_and_what_is_kept_beside_it() -> None:
    made = recipe(
        step("question"),
        step("answer", "{{ question }}"),
        layout={"text": "Q: {{ question }}\nA: {{ answer }}", "attributes": ["question", "title"]},
        columns=["title"],
        draw={"style": ["plain"]},
    )
    result = laid(made, documents("One.", title=["T"]), lambda request: request.step)
    assert texts(result) == ["Q: question\nA: answer"]
    assert result.documents["attributes"].to_list() == ['{"question": "question", "style": "plain", "title": "T"}']


def test_each_pair_can_be_a_document() -> None:
    made = recipe(step("pairs", answer="pairs"), layout={"for_each": "pairs"})
    said = "Question: Why?\nAnswer: So.\n\nQuestion: When?\nAnswer: Now."
    result = laid(made, documents("One."), lambda request: said)
    assert texts(result) == ["Question: Why?\nAnswer: So.", "Question: When?\nAnswer: Now."]


def test_measures_of_a_document_are_the_mean_of_its_outputs() -> None:
    made = recipe(units=PASSAGES, layout={"as": "joined"})
    # 10 of 10 characters, and 20 of 10.
    result = laid(
        made, documents("First one.\nThird one."), lambda request: "x" * (10 if "F" in passage(request) else 20)
    )
    assert result.documents["length_ratio"].to_list() == [1.5]


def test_what_a_recipe_requires_is_looked_at_before_any_call() -> None:
    from lakehouse.generate.outputs import refusals
    from lakehouse.generate.units import units_of

    made = recipe(requires={"min_words": 3})
    found = refusals(list(units_of(documents("Too short.", "This is enough."), made)), made, Tools())
    assert found[1] is None
    assert found[0] is not None
    assert (found[0].gate, found[0].value, found[0].threshold) == ("input_min_words", 2.0, 3.0)
