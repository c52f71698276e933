"""Recipes run to their end on invented documents, with the answers that a good model would give."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from lakehouse.generate.documents import Laid, lay_out
from lakehouse.generate.gates.tools import Tools
from lakehouse.generate.journal.index import Answered
from lakehouse.generate.outputs import judged_outputs
from lakehouse.generate.recipe import Recipe, load_recipe
from lakehouse.generate.replay import State, replay
from lakehouse.generate.requests import Asking, Model, Request
from lakehouse.generate.units import Unit, units_of

WRITTEN: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("recipe_answers.yaml").read_text("utf-8"))
LIGHT, PAGE, PROGRAM = (WRITTEN["documents"][name] for name in ("light", "page", "program"))
ON_LINES = {"prox_chunk", "correct_spelling", "mask_names"}
WITHOUT_A_MODEL = ["reversal", "edit_sequence", "code_switch"]
ASKING = [
    *["rewrite_clearly", "wrap_easy", "wrap_medium", "wrap_hard", "wrap_qa", "rephrase_multilingual", "rewire"],
    *["repro", "nemotron_wikipedia", "nemotron_diverse_qa", "nemotron_distill", "nemotron_extract_knowledge"],
    *["nemotron_knowledge_list", "finephrase_faq", "finephrase_math", "finephrase_table", "finephrase_tutorial"],
    *[
        "prox_document",
        "prox_chunk",
        "swallow_code",
        "swallow_math",
        "entigraph",
        "synthllm",
        "instruction_pretraining",
    ],
    *["reading_comprehension", "thinking_augmented", "translate_de", "translate_fr", "translate_es"],
    *["long_instructions", "dialogue", "round_trip_qa", "rate_documents", "correct_spelling", "mask_names"],
]


def identify(texts: list[str]) -> pl.DataFrame:
    """German or English, by words that only one of them has."""
    german = [len(re.findall(r"\b(?:der|die|und|wurde|ist|mit)\b", text)) for text in texts]
    english = [len(re.findall(r"\b(?:the|of|and|was|is|with)\b", text, re.IGNORECASE)) for text in texts]
    languages = ["de" if one > other else "en" for one, other in zip(german, english, strict=True)]
    return pl.DataFrame({"language": languages, "language_score": [0.99] * len(texts)})


def units(recipe: Recipe, texts: Sequence[str]) -> list[Unit]:
    rows = [
        {"doc_id": f"{place:032x}", "snapshot": "s", "source": "raw/web", "language": "en", "depth": 0, "text": text}
        | {"group": "lights"}
        for place, text in enumerate(texts)
    ]
    return list(units_of(pl.DataFrame(rows), recipe))


class Run:
    """A recipe run to its end on documents, each request answered with what its step is said to answer."""

    def __init__(self, recipe: Recipe, texts: Sequence[str], answers: Mapping[str, str]) -> None:
        self.asking = Asking(recipe, {"default": Model("model")}, seed=17)
        self.requests: dict[str, Request] = {}
        self.states: list[State] = []
        while True:
            chunks = replay([units(recipe, texts)], self.asking, lambda ids: self._answered(ids, answers))
            self.states = [state for chunk in chunks for state in chunk]
            waiting = {state.waiting.request_id: state.waiting for state in self.states if state.waiting}
            if not waiting:
                return
            self.requests |= waiting

    def _answered(self, ids: Sequence[str], answers: Mapping[str, str]) -> dict[str, Answered]:
        known = {wanted: self.requests[wanted] for wanted in ids if wanted in self.requests}
        return {
            wanted: Answered(wanted, "ok", answers[request.step], "stop", None, 1) for wanted, request in known.items()
        }

    @property
    def prompts(self) -> dict[str, str]:
        """The last message of each step, once."""
        return {request.step: request.messages[-1]["content"] for request in self.requests.values()}

    def judged(self) -> pl.DataFrame:
        return judged_outputs(self.states, self.asking.recipe, Tools(identify=identify))

    def laid(self) -> Laid:
        return lay_out(self.states, self.judged(), self.asking)


def texts_of(name: str) -> list[str]:
    text = PROGRAM if name in {"swallow_code", "edit_sequence"} else PAGE if name in ON_LINES else LIGHT
    # What is grouped or combined needs a second document.
    return [text, text + "\n\nIts colour is red."] if name in {"dialogue", "synthllm"} else [text]


def answers_of(name: str) -> dict[str, str]:
    """What a good model answers, step by step; into French and Spanish what it answers into German."""
    answers: dict[str, dict[str, str]] = WRITTEN["answers"]
    return answers.get(re.sub("translate_..", "translate_de", name), {"rewrite": WRITTEN["rewrite"]})


@cache
def run(name: str) -> Run:
    return Run(load_recipe(name), texts_of(name), answers_of(name))


def run_with(name: str, **answers: str) -> pl.DataFrame:
    return Run(load_recipe(name), texts_of(name), answers_of(name) | answers).judged()


def passage_of(prompt: str) -> str:
    """What stands between the only line `<text>` and the only line `</text>`."""
    lines = prompt.split("\n")
    assert (lines.count("<text>"), lines.count("</text>")) == (1, 1)
    return "\n".join(lines[lines.index("<text>") + 1 : lines.index("</text>")])
