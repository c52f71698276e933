"""The recipes of the package: their parameters are those that papers publish, their prompts say what is read."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from recipe_runs import ASKING, PAGE, WITHOUT_A_MODEL, passage_of, run, run_with, texts_of

from lakehouse.generate.programs import parse_program
from lakehouse.generate.recipe import load_recipe, recipe_names
from lakehouse.generate.sections import Step

DOCS = Path(__file__).parents[3] / "docs" / "recipes.md"
SHIPPED = [*ASKING, *WITHOUT_A_MODEL]
STEPS = [(name, step) for name in ASKING for step in load_recipe(name).steps if step.asks]
NAMES_OF_STEPS = [f"{name}-{step.name}" for name, step in STEPS]
MARKS = [
    *["accuracy", "coherence", "language_consistency", "semantic_density", "knowledge_novelty", "topic_focus"],
    *["creativity", "professionalism", "style_consistency", "grammatical_diversity", "structural_standardization"],
    *["originality", "sensitivity", "overall_score"],
]


def test_the_package_ships_these_recipes() -> None:
    assert sorted(SHIPPED) == recipe_names()


@pytest.mark.parametrize("name", SHIPPED)
def test_a_recipe_carries_its_files_name_and_names_a_paper_with_its_year(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.purpose
    assert re.search(r", 20\d\d", recipe.paper)


@pytest.mark.parametrize(("name", "step"), STEPS, ids=NAMES_OF_STEPS)
def test_a_prompt_shows_what_it_is_about_between_text_lines(name: str, step: Step) -> None:
    prompt = run(name).prompts[step.name]
    passage = passage_of(prompt)
    shown_elsewhere = {"complete": "def total", "problem": "height of a tower", "solution": "148 steps"}
    numbered = "\n".join(f"[{number:03d}] {line}" for number, line in enumerate(PAGE.split("\n")))
    expected = numbered if "lines" in load_recipe(name).units.model_fields_set else texts_of(name)[0]
    assert shown_elsewhere.get(step.name, expected.strip()) in passage
    assert not re.search(r"\{\{|\{%|\bNone\b|Undefined", prompt)


def test_a_prompt_says_that_the_passage_gives_no_orders() -> None:
    silent = [(name, step.name) for name, step in STEPS if "do not follow them" not in run(name).prompts[step.name]]
    # Their passages are what another step answered.
    assert silent == [("synthllm", "problem"), ("synthllm", "solution")]


@pytest.mark.parametrize(("name", "step"), STEPS, ids=NAMES_OF_STEPS)
def test_a_prompt_describes_the_answer_that_is_read(name: str, step: Step) -> None:
    prompt = run(name).prompts[step.name]
    asked = prompt[: prompt.index("<text>\n")]
    answer = step.answer
    if answer.tag:
        assert f"<{answer.tag}>" in asked
        assert f"</{answer.tag}>" in asked
    else:
        assert re.search(r"[Aa]nswer with|Begin with the first", asked)
    if answer.form == "pairs":
        assert re.search(r"^Question: .+\nAnswer: .+$", asked, re.MULTILINE)
        # As many pairs as are read, at most and at least.
        assert not answer.most or answer.most == 1 or re.search(rf"\b{answer.most} (?:pairs|questions|tasks)\b", asked)
    if answer.form == "lines":
        assert "\n- …\n" in asked
    if answer.form == "number":
        assert f"from {answer.min:g} to {answer.max:g}" in asked
    if answer.form == "code":
        assert "```python" in asked
    if answer.form == "json":
        assert "JSON" in asked
        example = asked[max(asked.rfind("\n["), asked.rfind("\n{")) :]
        assert isinstance(json.loads(example), list | dict)


@pytest.mark.parametrize(
    ("name", "operators"),
    [
        ("prox_document", {"keep_doc", "drop_doc"}),
        ("prox_chunk", {"remove_lines", "normalize", "keep_all"}),
        ("correct_spelling", {"replace", "keep_all"}),
        ("mask_names", {"mask", "keep_all"}),
    ],
)
def test_the_calls_that_a_prompt_shows_are_programs(name: str, operators: set[str]) -> None:
    prompt = run(name).prompts["program"]
    calls = re.findall(r"^[a-z_]+\(.*\)$", prompt, re.MULTILINE)
    assert {call.split("(")[0] for call in calls} == operators
    for call in calls:
        assert len(parse_program(call).statements) == 1


def test_the_rating_that_the_prompt_shows_is_one_that_is_read() -> None:
    prompt = run("rate_documents").prompts["rating"]
    shown = prompt[prompt.rindex("\n{") : prompt.index("\n<text>\n")]
    schema = load_recipe("rate_documents").step("rating").answer.json_schema
    assert schema is not None
    assert list(json.loads(shown)) == schema["required"] == [*MARKS, "domain"] == list(schema["properties"])
    assert len(MARKS) == 14
    domains = schema["properties"]["domain"]["enum"]
    assert len(set(domains)) == 15
    # Each domain and each criterion is explained before it is asked for.
    for said in (*domains, *(f"- {mark}:" for mark in MARKS)):
        assert said in prompt[: prompt.rindex("\n{")]
    for bad in ({"accuracy": 6}, {"accuracy": 3.5}, {"domain": "sports"}, {"more": 1}):
        judged = run_with("rate_documents", rating=json.dumps(json.loads(shown) | bad))
        assert judged["gate"].to_list() == ["answer"]


# Units (kind, most tokens, least tokens); temperature, top-p and most tokens of an answer; the documents' layout.
PUBLISHED: dict[str, tuple[tuple[str, int, int], tuple[float | None, float | None, int | None], str]] = {
    "wrap_easy": (("passages", 300, 0), (None, None, None), "joined"),
    "wrap_medium": (("passages", 300, 0), (None, None, None), "joined"),
    "wrap_hard": (("passages", 300, 0), (None, None, None), "joined"),
    "wrap_qa": (("passages", 300, 30), (None, None, None), "joined"),
    "rephrase_multilingual": (("passages", 350, 0), (None, None, None), "joined"),
    "nemotron_wikipedia": (("passages", 512, 0), (0.5, 0.9, 512), "joined"),
    "nemotron_diverse_qa": (("passages", 1000, 30), (0.5, 0.9, 600), "appended"),
    "nemotron_distill": (("passages", 2000, 30), (0.5, 0.9, 1600), "joined"),
    "nemotron_extract_knowledge": (("passages", 1400, 30), (0.5, 0.9, 1400), "joined"),
    "nemotron_knowledge_list": (("passages", 1000, 30), (0.5, 0.9, 600), "joined"),
    "prox_document": (("document", 2000, 0), (0.0, None, None), "replaced"),
    "prox_chunk": (("lines", 1500, 0), (0.0, None, None), "replaced"),
    "swallow_code": (("document", 8000, 0), (0.2, 0.7, 8192), "documents"),
    "swallow_math": (("document", 6000, 0), (0.2, 0.7, 8192), "documents"),
    "entigraph": (("document", 8000, 0), (1.0, None, None), "documents"),
    "thinking_augmented": (("document", 6000, 0), (None, None, None), "appended"),
    "rate_documents": (("document", 2000, 0), (0.0, None, None), "replaced"),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_those_of_the_paper(name: str) -> None:
    recipe = load_recipe(name)
    (kind, most, least), sampling, layout = PUBLISHED[name]
    units_section = getattr(recipe.units, kind)
    assert units_section is not None
    assert (units_section.max_tokens, getattr(units_section, "min_tokens", 0)) == (most, least)
    assert recipe.sampling is not None
    own = (recipe.sampling.temperature, recipe.sampling.top_p, recipe.sampling.max_tokens)
    assert [mine for mine, theirs in zip(own, sampling, strict=True) if theirs is not None] == [
        theirs for theirs in sampling if theirs is not None
    ]
    assert recipe.layout.form == layout


def test_single_figures_of_the_papers() -> None:
    def words(name: str) -> int:
        return load_recipe(name).layout.min_words

    # Three quarters of a word a token: 50 tokens are 37.5 words, 100 are 75.
    for kind in ("wikipedia", "distill", "extract_knowledge", "knowledge_list"):
        assert words(f"nemotron_{kind}") == 38
    assert words("nemotron_diverse_qa") == 75
    assert load_recipe("nemotron_diverse_qa").step("pairs").answer.most == 8
    code = load_recipe("swallow_code")
    assert (code.requires.compiles, code.gates.compiles) != (None, None)
    assert (code.requires.lint.min, code.gates.lint.min) == (7, 7)  # type: ignore[union-attr]
    assert load_recipe("entigraph").step("connected").combine.sizes == (2, 3)  # type: ignore[union-attr]
    assert load_recipe("synthllm").step("combined").combine.across == "set"  # type: ignore[union-attr]


@pytest.mark.parametrize("name", SHIPPED)
def test_the_page_on_recipes_says_what_is_in_the_file(name: str) -> None:
    recipe = load_recipe(name)
    row = next(line for line in DOCS.read_text("utf-8").splitlines() if line.startswith(f"| `{name}` |"))
    year = re.findall(r", (20\d\d)", recipe.paper)[0]
    assert year in row
    if recipe.sampling is not None:
        sampling = recipe.sampling
        assert f"T {sampling.temperature:g}, p {sampling.top_p:g}, {sampling.max_tokens:,}" in row
    for gate in recipe.gates.model_dump(exclude_none=True):
        value = getattr(recipe.gates, gate)
        if gate not in ("refusal", "preface", "language") and hasattr(value, "min"):
            for bound in (value.min, value.max):
                assert bound is None or f"{bound:g}" in row
