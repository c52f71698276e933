"""Replay: how far units have come follows from the answers alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import polars as pl
import pytest
from recipes_of_tests import asking, documents, recipe, step

from lakehouse.generate.errors import RecipeError
from lakehouse.generate.journal.index import Answered
from lakehouse.generate.recipe import Recipe
from lakehouse.generate.replay import State, replay, to_call
from lakehouse.generate.requests import Request
from lakehouse.generate.units import units_of

Model = Callable[[Request], str]


class Answers:
    """A journal in memory, which a function answers for."""

    def __init__(self, model: Model) -> None:
        self.model, self.rows, self.asked = model, dict[str, Answered](), list[Request]()

    def find(self, request_ids: Sequence[str]) -> dict[str, Answered]:
        return {one: self.rows[one] for one in request_ids if one in self.rows}

    def answer(self, request: Request, *, reason: str = "stop", status: str = "ok") -> None:
        self.asked.append(request)
        calls = self.rows[request.request_id].calls if request.request_id in self.rows else 0
        said = self.model(request) if status == "ok" else None
        error = None if status == "ok" else "HTTP 400"
        self.rows[request.request_id] = Answered(request.request_id, status, said, reason, error, calls + 1)


def states_of(made: Recipe, anchors: pl.DataFrame, answers: Answers) -> list[State]:
    chunks = [list(units_of(batch, made)) for batch in anchors.iter_slices(2)]
    return [state for states in replay(chunks, asking(made), answers.find) for state in states]


def run(made: Recipe, anchors: pl.DataFrame, model: Model) -> tuple[list[State], list[Request]]:
    """Answer everything that waits until nothing does."""
    answers, asked = Answers(model), set[int]()
    while requests := list(to_call([states_of(made, anchors, answers)], asked)):
        for request in requests:
            answers.answer(request)
    return states_of(made, anchors, answers), answers.asked


def prompt(request: Request) -> str:
    return request.messages[-1]["content"]


def test_steps_follow_each_other_and_see_what_came_before() -> None:
    made = recipe(
        step("question", "Ask about:\n<text>\n{{ text }}\n</text>"),
        step("answer", "Answer {{ question }} from:\n<text>\n{{ text }}\n</text>"),
    )
    states, asked = run(made, documents("One."), lambda request: f"({request.step})")
    assert [(request.step, prompt(request)) for request in asked] == [
        ("question", "Ask about:\n<text>\nOne.\n</text>"),
        ("answer", "Answer (question) from:\n<text>\nOne.\n</text>"),
    ]
    assert states[0].values == {"question": "(question)", "answer": "(answer)"}
    assert states[0].calls == [request.request_id for request in asked]


def test_nothing_is_asked_twice_also_not_for_documents_with_the_same_text() -> None:
    states, asked = run(recipe(), documents("One.", "Two.", "One."), lambda request: "x")
    assert [prompt(request).split("\n")[2] for request in asked] == ["One.", "Two."]
    assert all(state.values["rewrite"] == "x" for state in states)


def test_an_answer_depends_on_prompt_model_parameters_and_nothing_else() -> None:
    (one,) = to_call([states_of(recipe(), documents("One."), Answers(prompt))], set())
    (same,) = to_call([states_of(recipe(name="other", purpose="x"), documents("One."), Answers(prompt))], set())
    assert one.request_id == same.request_id
    warm = {"temperature": 0.5, "top_p": 1.0, "max_tokens": 100}
    (other,) = to_call([states_of(recipe(sampling=warm), documents("One."), Answers(prompt))], set())
    assert one.request_id != other.request_id


def test_a_failed_call_is_made_again_by_the_next_run_and_once_in_a_run() -> None:
    answers = Answers(lambda request: "x")
    (request,) = to_call([states_of(recipe(), documents("One."), answers)], set())
    answers.answer(request, status="error")
    (state,) = states_of(recipe(), documents("One."), answers)
    assert (state.failure and state.failure.gate, state.failure and state.failure.evidence) == (
        "call_failed",
        "HTTP 400",
    )
    assert list(to_call([[state]], {int(request.request_id[:15], 16)})) == []
    assert list(to_call([[state]], set())) == [request]


def test_an_answer_that_was_cut_off_is_asked_for_once_more_and_then_stays() -> None:
    answers = Answers(lambda request: "x")
    for calls_left in (1, 0):
        (request,) = to_call([states_of(recipe(), documents("One."), answers)], set())
        answers.answer(request, reason="length")
        (state,) = states_of(recipe(), documents("One."), answers)
        assert state.failure is not None
        assert (state.failure.gate, state.failure.evidence) == ("finish_reason", "length")
        assert len(list(to_call([[state]], set()))) == calls_left


def test_for_each_gives_every_item_a_state_of_its_own() -> None:
    made = recipe(
        step("facts", answer="lines"), step("essay", "About {{ item }}.", for_each="facts"), layout={"as": "documents"}
    )
    states, asked = run(made, documents("One."), lambda request: "- a\n- b" if request.step == "facts" else "x")
    assert [prompt(request) for request in asked[1:]] == ["About a.", "About b."]
    assert len({state.unit_id for state in states}) == 2


def test_a_unit_in_which_nothing_was_found_is_not_lost() -> None:
    made = recipe(
        step("facts", answer={"form": "lines", "least": 0}), step("essay", "About {{ item }}.", for_each="facts")
    )
    (state,), _ = run(made, documents("One."), lambda request: "")
    assert state.failure is not None
    assert state.failure.gate == "nothing_found"


def test_pairs_and_triples_of_a_unit_are_drawn_by_seed() -> None:
    def of(seed: int, most: int) -> list[list[str]]:
        made = recipe(
            step("names", answer="lines"),
            {"name": "pairs", "combine": {"of": "names", "sizes": [2, 3], "most": most, "seed": seed}},
            step("essay", "{{ item | join(' and ') }}", for_each="pairs"),
        )
        states, _ = run(made, documents("One."), lambda request: "a\nb\nc\nd" if request.step == "names" else "x")
        return [state.item for state in states]

    everything = of(0, 100)
    assert sorted(map(len, everything)) == [2] * 6 + [3] * 4  # 4 choose 2 and 4 choose 3
    assert len({tuple(item) for item in everything}) == 10
    some = of(0, 4)
    assert sorted(map(len, some)) == [2, 2, 3, 3]
    assert some == of(0, 4)
    assert some != of(1, 4)
    assert [item for item in everything if item in some] == everything[:4]


def test_concepts_are_combined_across_documents_once_all_are_known() -> None:
    made = recipe(
        step("concepts", answer="lines"),
        {"name": "mix", "combine": {"of": "concepts", "across": "set", "most": 2}},
        step("essay", "{{ item | join('+') }}", for_each="mix"),
    )
    found = {"One.": "light\nprism", "Two.": "prism\nglass", "Three.": "glass\nlight"}
    anchors = documents(*found)
    answers = Answers(
        lambda request: found.get(prompt(request).split("\n")[2], "x") if "\n" in prompt(request) else "y"
    )
    first, second, third = to_call([states_of(made, anchors, answers)], set())
    answers.answer(first)
    answers.answer(second)
    # One document still waits: no combination is made, or it would be another one afterwards.
    assert list(to_call([states_of(made, anchors, answers)], set())) == [third]
    states, _ = run(made, anchors, answers.model)
    assert {state.unit.anchors for state in states if len(state.unit.anchors) > 1}
    assert all(len(set(state.item if isinstance(state.item, list) else [state.item])) == 2 for state in states)
    again, _ = run(made, anchors.reverse(), answers.model)
    assert {state.unit_id for state in again} == {state.unit_id for state in states}


def test_attributes_are_drawn_for_each_unit_and_sample_by_weight() -> None:
    made = recipe(
        step(user="{{ style }}\n<text>\n{{ text }}\n</text>"), draw={"style": {"plain": 3, "odd": 1}}, samples=2
    )
    anchors = pl.concat([documents(f"Text {n}.").with_columns(doc_id=pl.lit(f"d{n}")) for n in range(500)])
    states, _ = run(made, anchors, prompt)
    odd = sum(state.drawn["style"] == "odd" for state in states) / len(states)
    assert len(states) == 1000
    assert odd == pytest.approx(0.25, abs=0.05)
    assert any(a.drawn != b.drawn for a, b in zip(states[::2], states[1::2], strict=True))


def test_several_answers_to_the_same_prompt_are_several_calls() -> None:
    _, asked = run(recipe(samples=3), documents("One."), lambda request: "x")
    assert len({request.request_id for request in asked}) == 3
    assert len({request.prompt_hash for request in asked}) == 1


def test_the_outcome_does_not_depend_on_how_units_are_batched() -> None:
    made = recipe(units={"passages": {"max_tokens": 4}})
    anchors = documents("One two three. Four five six.", "Seven.", "Eight nine ten.")
    outcome = []
    for size in (1, 3):
        answers = Answers(prompt)
        chunks = [list(units_of(batch, made)) for batch in anchors.iter_slices(size)]
        waiting = [r.request_id for r in to_call(replay(chunks, asking(made), answers.find), set())]
        outcome.append(waiting)
    assert outcome[0] == outcome[1]
    assert len(outcome[0]) == 4


def test_a_template_that_meets_something_it_cannot_show_is_named() -> None:
    made = recipe(step("facts", answer="lines"), step("essay", "{{ facts.nothing.here }}"))
    with pytest.raises(RecipeError, match="test: step 'essay': the template cannot be filled in"):
        run(made, documents("One."), lambda request: "a")


def test_reversal_needs_no_model() -> None:
    made = recipe({"name": "reversed", "transform": {"reversal": {}}}, sampling=None)
    states, asked = run(made, documents("One two three."), lambda request: "never")
    assert asked == []
    assert states[0].values["reversed"] != ["One two three."]
