"""The scripted model does what each recipe asks for: in its form, not as an echo, and the same in every process."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from functools import cache
from typing import Any

import pytest

from lakehouse import identity
from lakehouse.generate.answer_json import json_schema_of
from lakehouse.generate.answers import AnswerError, parse
from lakehouse.generate.mock.replies import BAD, reply
from lakehouse.generate.programs import numbered
from lakehouse.generate.recipe import Recipe, load_recipe, recipe_names

_SUBJECTS = [
    "the harbour of Eastmere", "a young baker", "the council of Northwick", "every second lamp", "old Professor Hale",
    "the bridge over the Tarn", "a team from Lindholm", "the library", "our slow ferry", "the museum of Port Ellery",
]  # fmt: skip
_VERBS = ["opened", "repaired", "described", "measured", "lost", "painted", "sold", "found", "moved", "counted"]
_OBJECTS = [
    "{} wooden boats", "a map of the coast", "{} sacks of flour", "the tower clock", "{} letters from Bergen",
    "the recipe for rye bread", "{} metres of rope", "a small engine", "the winter timetable", "{} apple trees",
]  # fmt: skip
_ENDS = [
    "because the river had frozen early", "although nobody had asked for it", "and wrote all of it into the register",
    "with the help of neighbours, carters and two children", "before the first snow of 18{} came down",
    "so that the market could begin on time", "while the wind turned to the north", "for about {} crowns a year",
]  # fmt: skip


def passage(number: int) -> str:
    """A made-up passage of four paragraphs with names and numbers."""

    def one(of: list[str], *parts: int) -> str:
        return of[identity.order_key(number, *map(str, parts)) % len(of)].format(11 + (number + sum(parts)) % 88)

    sentences = [
        f"{one(_SUBJECTS, place, 0)} {one(_VERBS, place, 1)} {one(_OBJECTS, place, 2)} {one(_ENDS, place, 3)}."
        for place in range(20)
    ]
    paragraphs = [sentences[start : start + 5] for start in range(0, 20, 5)]
    return "\n\n".join(" ".join(line[0].upper() + line[1:] for line in paragraph) for paragraph in paragraphs)


def code(number: int) -> str:
    """A made-up program that prints."""
    return f"""import math

LIMIT = {number + 3}


def area(radius):
    # of a circle
    return math.pi * radius ** 2


class Shelf:
    def __init__(self, books):
        self.books = books

    def longest(self): return max(self.books, key=len)


print([round(area(n), 2) for n in range(LIMIT)], Shelf(["a", "bcd"]).longest())
"""


def lines(number: int) -> str:
    """A made-up page: a menu, the passage, a doubled word, an address."""
    menu = "Home\nProducts\nLog in\n" + "More\n" * (number % 5) + "\n"
    return f"{menu}{passage(number)}\nWrite to the the office, {number}@eastmere.example.\nShare\n© Eastmere"


def source_of(recipe: Recipe) -> Any:
    if recipe.name == "swallow_code":
        return code
    return lines if recipe.units.lines else passage


def answers(recipe: Recipe, text: str) -> list[tuple[str, str, str, Any]]:
    """Each call's step, passage, answer and value, as far as the answers can be read."""
    drawn = {name: list(values)[len(text) % len(values)] for name, values in recipe.draw.items()}
    variables: dict[str, Any] = {
        "text": text,
        "numbered_text": numbered(text),
        "documents": [{"text": text}, {"text": passage(900)}],
        "language": "en",
        "n_words": len(text.split()),
        "item": None,
        "examples": [],
        **dict.fromkeys(recipe.columns, ""),
        **drawn,
    }
    calls = []
    for step in recipe.steps:
        if step.combine:
            variables[step.name] = [variables[step.combine.of][:2]]
        if not step.asks:
            continue
        if step.for_each:
            of = variables[step.for_each]
            variables["item"] = of[0] if isinstance(of, list) else of
        messages = recipe.messages(step, variables)
        said = reply(f"{recipe.name}/{step.name}", messages, {})
        shown = messages[-1]["content"].rpartition("<text>\n")[2].partition("\n</text>")[0]
        try:
            value = parse(step.answer, said, text)
        except AnswerError as error:
            return [*calls, (step.name, shown, said, error)]
        variables[step.name] = value
        calls.append((step.name, shown, said, value))
    return calls


def asking() -> list[str]:
    return [name for name in recipe_names() if load_recipe(name).asks]


@cache
def calls_of(name: str) -> list[list[tuple[str, str, str, Any]]]:
    recipe = load_recipe(name)
    return [answers(recipe, source_of(recipe)(number)) for number in range(50)]


def values_of(name: str) -> list[Any]:
    """The values of a recipe's last step, where it was reached."""
    last = [step.name for step in load_recipe(name).steps if step.asks][-1]
    return [
        calls[-1][3] for calls in calls_of(name) if calls[-1][0] == last and not isinstance(calls[-1][3], Exception)
    ]


@pytest.mark.parametrize("name", asking())
def test_replies_have_the_form_that_a_shipped_recipe_asks_for(name: str) -> None:
    units = calls_of(name)
    read = [calls for calls in units if not isinstance(calls[-1][3], AnswerError)]
    assert len(read) >= 0.85 * len(units)
    every = [call for calls in units for call in calls]
    refused = [call for call in every if isinstance(call[3], AnswerError)]
    assert len(refused) <= 0.1 * len(every)
    echoes = [call for call in every if call[2].strip() == call[1].strip()]
    assert len(echoes) <= 0.1 * len(every)
    assert len({call[2] for call in every}) > 1 or name == "prox_document"


def test_replies_are_the_same_in_every_process() -> None:
    script = "import json, sys; import test_mock_replies as own; json.dump(own.digest(), sys.stdout)"
    environment = {**os.environ, "PYTHONHASHSEED": "4711", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    environment["PYTHONPATH"] = os.path.dirname(__file__) + os.pathsep + environment["PYTHONPATH"]
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, check=True)
    assert json.loads(done.stdout) == digest()


def digest() -> dict[str, str]:
    """A hash of some replies of each recipe."""
    found = {}
    for name in asking():
        recipe = load_recipe(name)
        said = [call[2] for number in range(3) for call in answers(recipe, source_of(recipe)(number))]
        found[name] = identity.hash_of(*said)
    return found


def test_about_one_answer_in_twenty_is_bad_in_a_way_that_a_gate_catches() -> None:
    step = load_recipe("wrap_medium").steps[0]
    bad = {"verbatim": 0, "one sentence": 0, "preface": 0, "empty": 0, "invented number": 0}
    for number in range(600):
        text = f"{passage(number % 50)}\n\nThis was note {number}."
        said = reply(
            "wrap_medium/rewrite", load_recipe("wrap_medium").messages(step, {"text": text, "language": "en"}), {}
        )
        bad["verbatim"] += said == text
        bad["empty"] += said == ""
        bad["one sentence"] += 0 < len(said) < 200
        bad["preface"] += said.startswith(("Sure", "Here is"))
        bad["invented number"] += said[-2:-1].isdigit() and said[-7:-1].strip().isdigit()
    assert all(bad.values()), bad
    # 600 draws at BAD = 0.05: 30 are expected, and 3.3 standard deviations of 5.3 are 17.
    assert abs(sum(bad.values()) - 600 * BAD) < 17, bad


def test_pairs_are_about_the_passage_and_grow_with_it() -> None:
    step = load_recipe("nemotron_diverse_qa").steps[0]
    counts = []
    for text in (passage(1)[:400], passage(1)):
        messages = load_recipe("nemotron_diverse_qa").messages(step, {"text": text, "language": "en"})
        found = parse(step.answer, reply("nemotron_diverse_qa/pairs", messages, {}), text)
        counts.append(len(found))
        assert all(len(set(pair["answer"].lower().split()) & set(text.lower().split())) >= 3 for pair in found)
    assert 2 <= counts[0] < counts[1] <= 8


def test_second_answers_mostly_agree_with_the_first() -> None:
    agree = [
        calls[0][3] == calls[2][3] for calls in calls_of("round_trip_qa") if len(calls) == 3 and calls[2][3] is not None
    ]
    assert 0.7 <= sum(agree) / len(agree) < 1.0


def test_programs_remove_the_frame_of_a_page_and_keep_its_text() -> None:
    cleaned = [value for value in values_of("prox_chunk") if not value.dropped]
    assert len(cleaned) >= 40
    for value in cleaned:
        assert "Products" not in value.text
        assert value.text.count(".") >= 20


def test_masks_and_corrections_are_made_where_they_belong() -> None:
    masked = values_of("mask_names")
    assert sum("[EMAIL]" in value.text and "@" not in value.text for value in masked) >= 0.9 * len(masked)
    corrected = values_of("correct_spelling")
    assert sum("to the office" in value.text for value in corrected) >= 0.9 * len(corrected)


def test_rewritten_code_compiles_and_does_the_same() -> None:
    written = values_of("swallow_code")
    compiled = []
    for program in written:
        try:
            compiled.append(ast.parse(program))
        except SyntaxError:
            continue
    assert 0.8 * len(written) <= len(compiled)
    before = ast.unparse(_without_docstrings(ast.parse(code(7))))
    assert before in {ast.unparse(_without_docstrings(tree)) for tree in compiled}


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return tree


@cache
def identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE)


@pytest.mark.parametrize("language", ["de", "fr", "es"])
def test_translations_are_taken_for_texts_of_their_language(language: str) -> None:
    found = [identifier().classify(text)[0] for text in values_of(f"translate_{language}") if len(text) > 200]
    assert sum(name == language for name in found) >= 0.9 * len(found)


def test_a_json_schema_of_the_request_is_kept_to() -> None:
    schema = {
        "type": "object",
        "properties": {
            "names": {"type": "array", "items": {"type": "string"}, "minItems": 2, "maxItems": 4},
            "score": {"type": "integer", "minimum": 2, "maximum": 4},
            "kind": {"enum": ["news", "story"]},
            "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        },
        "required": ["names", "score", "kind", "note"],
    }
    asked = {"response_format": {"type": "json_schema", "json_schema": {"name": "it", "schema": schema}}}
    for number in range(20):
        said = json.loads(reply(None, [{"role": "user", "content": f"<text>\n{passage(number)}\n</text>"}], asked))
        assert 2 <= len(said["names"]) <= 4
        assert all(name in passage(number) for name in said["names"])
        assert said["score"] in {2, 3, 4}
        assert said["kind"] in {"news", "story"}
        assert said["note"] in passage(number)


@pytest.mark.parametrize("name", ["entigraph", "rate_documents", "synthllm"])
def test_what_a_recipe_asks_a_strict_server_for_is_read_back(name: str) -> None:
    step = load_recipe(name).steps[0]
    for number in range(20):
        text = passage(number)
        messages = load_recipe(name).messages(step, {"text": text, "language": "en", "level": "a pupil"})
        said = reply(f"{name}/{step.name}", messages, {"response_format": json_schema_of(step.answer, step.name)})
        assert parse(step.answer, said, text)


def test_json_is_given_to_those_who_ask_for_any() -> None:
    messages = [{"role": "user", "content": f"<text>\n{passage(3)}\n</text>"}]
    assert set(json.loads(reply(None, messages, {"response_format": {"type": "json_object"}}))) == {"text"}


@pytest.mark.parametrize(
    "step", [None, "", "wrap_medium", "wrap_medium/none", "my_own/step", "wrap_medium/rewrite/0a1b"]
)
def test_unknown_steps_get_a_rewriting(step: str | None) -> None:
    text = passage(3)
    said = reply(step, [{"role": "user", "content": f"Rewrite.\n\n<text>\n{text}\n</text>"}], {})
    assert said != text
    assert 0.7 < len(said) / len(text) < 1.5


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "\n\n",
        "word",
        "(an aside)",
        "...",
        "\ud800",
        "\0",
        "{0} {x} %s",
        "的" * 900,
        "a, " * 9_000,
        "1" * 9_000,
    ],
)
def test_strange_passages_are_answered(text: str) -> None:
    for name in asking():
        recipe = load_recipe(name)
        for step in recipe.steps:
            if step.asks:
                prompt = f"for this: x\n<text>\n{text}\n</text>"
                assert isinstance(reply(f"{name}/{step.name}", [{"role": "user", "content": prompt}], {}), str)
    assert isinstance(reply(None, [], {}), str)
