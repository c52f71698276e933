"""What the recipes of the package make of good answers, and that they refuse bad ones."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from recipe_runs import ASKING, LIGHT, PAGE, PROGRAM, WRITTEN, Run, answers_of, passage_of, run, run_with, units

from lakehouse.generate.gates.tools import Tools
from lakehouse.generate.outputs import refusals
from lakehouse.generate.recipe import load_recipe
from lakehouse.generate.replay import Failure, State
from lakehouse.generate.units import Unit

REWRITTEN = WRITTEN["rewrite"]
OTHER_LANGUAGES = {"translate_fr", "translate_es"}  # as translate_de, but for the language
PAIRS = {"pairs": answers_of("wrap_qa")["pairs"]}


@pytest.mark.parametrize("name", [name for name in ASKING if name not in OTHER_LANGUAGES])
def test_a_good_answer_becomes_a_document(name: str) -> None:
    laid = run(name).laid()
    assert laid.judgements["failed"].explode().drop_nulls().to_list() == []
    assert laid.documents.height >= 1
    assert laid.documents["recipe"].unique().to_list() == [name]


@pytest.mark.parametrize("name", [name for name in ASKING if "rewrite" in answers_of(name)])
def test_a_copy_of_the_passage_and_its_first_words_are_rejected(name: str) -> None:
    assert run_with(name, rewrite=LIGHT)["accepted"].to_list() == [False]
    assert run_with(name, rewrite="The light was built long ago.")["accepted"].to_list() == [False]


@pytest.mark.parametrize("name", ["wrap_medium", "repro", "nemotron_distill", "rephrase_multilingual"])
def test_invented_figures_are_rejected(name: str) -> None:
    invented = answers_of(name)["rewrite"] + " It cost 4711 crowns, took 23 months and 650 men, and shook 9 houses."
    # The passage has nine numbers: 1871, 14, 32, 18, 90, 1902, 1966, 40, 148. With two of them changed and four more,
    # 6 of 13 are new: 0.46. The condensed version lacks 148: 5 of 12 are, 0.42.
    assert "numbers_added" in run_with(name, rewrite=invented.replace("148", "551").replace("32", "57"))["failed"][0]


def test_a_translation_into_another_language_is_rejected() -> None:
    assert run("translate_fr").judged()["failed"].to_list() == [["language"]]
    assert "language" in run_with("translate_de", translation=REWRITTEN)["failed"][0]


def test_pairs_are_labelled_in_english_texts_alone() -> None:
    recipe = load_recipe("wrap_qa")
    state = run("wrap_qa").states[0]
    english = run("wrap_qa").judged()["text"][0]
    assert english.startswith("Question: Who built the harbour light of Vessmark, and when?\nAnswer: The engineer Ida")
    assert english.count("\n\n") == 3
    assert english.endswith("for 40 hours.")
    other = Run(recipe, [LIGHT], PAIRS)
    other.states = [State(unit=Unit(**vars(state.unit) | {"language": "de"}), unit_id="0", values=state.values)]
    assert other.judged()["text"][0].startswith("Who built the harbour light of Vessmark, and when?\nThe engineer Ida")


def test_the_number_of_appended_questions_grows_with_the_text() -> None:
    # One pair for each 600 characters: 812 // 600 = 1, and the text twice, with two line feeds: 1,626 // 600 = 2.
    assert len(LIGHT) == 812
    for text, pairs in ((LIGHT, 1), (f"{LIGHT}\n\n{LIGHT}", 2)):
        document = Run(load_recipe("nemotron_diverse_qa"), [text], PAIRS).laid().documents["text"][0]
        assert document.startswith(f"{text}\n\nQuestion: Who built")
        assert document.count("Question: ") == pairs


def test_lists_lose_their_bullets() -> None:
    facts = run("nemotron_knowledge_list").laid().documents["text"][0].split("\n")
    assert (len(facts), facts[1]) == (6, "The tower of Vessmark is 32 metres high.")


def test_only_what_stands_in_the_tag_is_the_improved_text() -> None:
    assert run("rewire").laid().documents["text"].to_list() == [REWRITTEN]


def test_programs_change_what_they_name_and_nothing_else() -> None:
    lines = PAGE.split("\n")
    assert run("prox_chunk").laid().documents["text"][0] == "\n".join(lines[1:4])
    assert run("correct_spelling").laid().documents["text"][0] == PAGE.replace("teh tower", "the tower")
    assert run("mask_names").laid().documents["text"][0] == PAGE.replace("Ole Brandt", "[PERSON]")
    assert run("prox_document").laid().documents["text"][0] == LIGHT


def test_an_answer_that_is_no_program_leaves_a_page_as_it_is_but_no_name_unmasked() -> None:
    def documents(name: str) -> list[str]:
        return Run(load_recipe(name), [PAGE], {"program": "I removed the menu."}).laid().documents["text"].to_list()

    assert documents("prox_chunk") == [PAGE]
    assert documents("correct_spelling") == [PAGE]
    assert documents("mask_names") == []


def test_a_page_that_is_dropped_is_no_document() -> None:
    laid = Run(load_recipe("prox_document"), [LIGHT], {"program": "drop_doc()"}).laid()
    assert (laid.documents.height, laid.rejects["rule"].to_list()) == (0, ["gate_dropped_by_program"])


def test_code_is_rewritten_twice_and_must_compile_before_and_after() -> None:
    done = run("swallow_code")
    complete = answers_of("swallow_code")["complete"].removeprefix("```python\n").removesuffix("\n```")
    assert "def total(values: list[int])" in passage_of(done.prompts["complete"])
    assert done.laid().documents["text"][0].strip() == complete
    broken = run_with("swallow_code", complete="```python\ndef total(numbers:\n```")
    assert "compiles" in broken["failed"][0]
    recipe = load_recipe("swallow_code")
    refused: list[Failure | None] = refusals(units(recipe, ["def f(:\n    pass\n", PROGRAM]), recipe, Tools())
    assert refused[0] is not None
    assert refused[0].gate == "input_compiles"
    assert refused[1] is None


def test_each_pair_and_triple_of_entities_is_written_about() -> None:
    done = run("entigraph")
    # Of three entities there are three pairs and one triple.
    asked = [request.messages[-1]["content"] for request in done.requests.values() if request.step == "essay"]
    assert sorted(len(re.findall(r"^- (?:Vessmark|Ida Thoren|lead pipes)$", ask, re.MULTILINE)) for ask in asked) == [
        2, 2, 2, 3
    ]  # fmt: skip
    assert done.laid().documents.height == 4


def test_concepts_of_several_documents_become_problems_with_solutions() -> None:
    documents = run("synthllm").laid().documents
    answers = answers_of("synthllm")
    assert documents["text"].unique().to_list() == [f"{answers['problem']}\n\n{answers['solution']}"]


def test_a_second_call_must_give_the_same_answer() -> None:
    laid = run("round_trip_qa").laid()
    assert laid.documents["text"][0] == f"{LIGHT}\n\nWhich engineer built the harbour light of Vessmark?\nIda Thoren"
    assert "round_trip" in run_with("round_trip_qa", check="copper")["failed"][0]


def test_an_instruction_that_the_document_does_not_answer_is_rejected() -> None:
    text = run("long_instructions").laid().documents["text"][0]
    assert text == f"Write a short history of the light of Vessmark.\n\n{LIGHT}"
    assert "judge" in run_with("long_instructions", fit="3")["failed"][0]


def test_a_rated_document_stays_as_it_was_and_carries_its_rating() -> None:
    documents = run("rate_documents").laid().documents
    assert documents["text"].to_list() == [LIGHT]
    rating: dict[str, Any] = json.loads(documents["attributes"][0])["rating"]
    assert (rating["overall_score"], rating["domain"]) == (4, "culture")


def test_a_conversation_sees_all_documents_of_its_group() -> None:
    prompt = run("dialogue").prompts["conversation"]
    first, second = passage_of(prompt).split("Document 2\n")
    assert first.startswith("Document 1\n\nThe harbour light")
    assert second.strip().endswith("Its colour is red.")


def test_a_reversed_text_keeps_names_whole() -> None:
    text = Run(load_recipe("reversal"), ["In 1871 the engineer Ida Thoren built it"], {}).laid().documents["text"][0]
    assert text == "it built Ida Thoren engineer the 1871 In"


def test_a_program_is_built_up_by_edits_and_one_that_does_not_compile_is_refused() -> None:
    documents = Run(load_recipe("edit_sequence"), [PROGRAM], {}).laid().documents
    assert 1 <= documents.height <= 5
    for text in documents["text"]:
        # Insertions in an order of their own: together they are the lines of the program.
        added = [line[1:] for line in text.split("\n") if line.startswith("+") and not line.startswith("+++")]
        assert sorted(added) == sorted(PROGRAM.removesuffix("\n").split("\n"))
    recipe = load_recipe("edit_sequence")
    refused = refusals(units(recipe, ["def f(:\n    pass\n"]), recipe, Tools())
    assert [failure and failure.gate for failure in refused] == ["input_compiles"]


def test_words_are_switched_by_the_lexicon_of_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lexicons").mkdir()
    (tmp_path / "lexicons" / "en-de.tsv").write_text("tower\tTurm\nharbour light\tHafenfeuer\n", "utf-8")
    monkeypatch.chdir(tmp_path)
    laid = Run(load_recipe("code_switch"), ["The tower is high. The harbour light is on."], {}).laid()
    # Of nine words 2.7, so 3, may be replaced: the lexicon has one word and a phrase of two.
    assert laid.documents["text"][0] == "The Turm is high. The Hafenfeuer is on."
