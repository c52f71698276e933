"""Recipes are read strictly: what is wrong with one is said with file, line and key."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest

from lakehouse.generate import RecipeError, load_recipe, recipe_names

SHIPPED = files("lakehouse.generate").joinpath("recipes", "rewrite_clearly.yaml").read_text("utf-8")


def written(folder: Path, change: tuple[str, str] = ("", "")) -> Path:
    assert change[0] in SHIPPED
    path = folder / "mine.yaml"
    path.write_text(SHIPPED.replace(*change, 1) if change[0] else SHIPPED, "utf-8")
    return path


def line_of(path: Path, beginning: str) -> int:
    return next(
        n for n, line in enumerate(path.read_text("utf-8").splitlines(), 1) if line.strip().startswith(beginning)
    )


def test_every_shipped_recipe_is_valid_names_its_paper_and_carries_its_file_name() -> None:
    assert "rewrite_clearly" in recipe_names()
    for name in recipe_names():
        recipe = load_recipe(name)
        assert recipe.name == name
        assert recipe.paper


def test_a_passage_is_put_into_the_prompt_as_it_is_even_if_it_looks_like_a_template() -> None:
    passage = "{{ 7 * 7 }} {% for x in y %} & < > \u00e9"
    recipe = load_recipe("rewrite_clearly")
    system, user = recipe.messages(recipe.steps[0], {"text": passage})
    assert (system["role"], user["role"]) == ("system", "user")
    assert f"<text>\n{passage}\n</text>" in user["content"]


def test_a_recipe_of_ones_own_is_read_from_its_path(tmp_path: Path) -> None:
    own = load_recipe(written(tmp_path, ("name: rewrite_clearly", "name: mine")))
    assert own.name == "mine"
    assert own.sampling_of(own.steps[0]).temperature == 0.7


def test_the_version_follows_the_content_and_nothing_else(tmp_path: Path) -> None:
    shipped = load_recipe("rewrite_clearly").version
    assert len(shipped) == 12
    assert load_recipe(written(tmp_path)).version == shipped
    assert load_recipe(written(tmp_path, ("gates:", "# a remark\ngates:"))).version == shipped
    assert load_recipe(written(tmp_path, ("max: 0.8", "max: 0.7"))).version != shipped
    assert load_recipe(written(tmp_path, ("careful editor", "careless editor"))).version != shipped


@pytest.mark.parametrize(
    ("change", "line", "says"),
    [
        (("temperature:", "temprature:"), "tempra", "'sampling.temprature' is unknown. Did you mean 'temperature'?"),
        (("length_ratio:", "lenght_ratio:"), "lenght", "'gates.lenght_ratio' is unknown. Did you mean 'length_ratio'?"),
        (("min: 0.5", "mn: 0.5"), "length_ratio", "key 'gates.length_ratio.mn' is unknown. Did you mean 'min'?"),
        (("gates:", "gate:"), "gate:", "Did you mean 'gates'?"),
        (("  top_p: 0.9\n", ""), "sampling", "key 'sampling.top_p' is missing."),
        (("top_p: 0.9", "top_p: 1.9"), "top_p", "sampling.top_p: Input should be less than or equal to 1."),
        (
            ("max_tokens: 750", "max_tokens: none"),
            "document",
            "units.document.max_tokens: Input should be a valid integer",
        ),
        (
            ("document: {max_tokens: 750}", "documents: {}"),
            "documents",
            "'units.documents' is unknown. Did you mean 'document'?",
        ),
        (("  - name: rewrite", "  - name: text"), "- name", "steps.0.name: 'text' is a variable already"),
        (("    system:", "    sistem:"), "sistem", "key 'steps.0.sistem' is unknown. Did you mean 'system'?"),
        (
            ("gates:", "layout: {for_each: rewrit}\ngates:"),
            "layout",
            "there is no step 'rewrit' before it. Did you mean 'rewrite'?",
        ),
        (
            ("    user:", "    transform: {reversl: {}}\n    user:"),
            "transform",
            "transform 'reversl' is unknown. Did you mean 'reversal'?",
        ),
        (("    user:", "    transform: {reversal: {}}\n    user:"), "- name", "a step has one of user, completion"),
        (("    user:", "    answer: choice\n    user:"), "answer", "steps.0.answer: `of` lists what a choice may be"),
        (("{min: 0.5, max: 2.0}", "{min: 2.0, max: 0.5}"), "length_ratio", "min 2 is above max 0.5"),
        (("{{ text }}", "{{ txt }}"), "user", "variable 'txt' is unknown. Did you mean 'text'?"),
        (("{{ text }}", "{{ language }}"), "user", "the template must use {{ text }}"),
        (("{{ text }}", "{{ text"), "user", "line 12 of the template"),
        (("name: rewrite_clearly", "name: Rewrite Clearly"), "name", "recipe 'Rewrite Clearly' is not allowed"),
    ],
)  # fmt: skip
def test_a_mistake_is_reported_with_file_line_and_key(
    tmp_path: Path, change: tuple[str, str], line: str, says: str
) -> None:
    path = written(tmp_path, change)
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    message = str(caught.value)
    assert message.startswith(f"{path}:{line_of(path, line)}: ")
    assert says in message
    assert "\n" not in message


def test_a_file_that_is_no_recipe_is_one_clear_line(tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text("name: x\nunits: {document: 3\n", "utf-8")
    with pytest.raises(RecipeError, match=r"broken\.yaml:3: this is not YAML"):
        load_recipe(broken)
    broken.write_text("just words", "utf-8")
    with pytest.raises(RecipeError, match="a recipe is a mapping"):
        load_recipe(broken)
    broken.write_bytes(b"\xff\xfe\xff")
    with pytest.raises(RecipeError, match="cannot be read"):
        load_recipe(broken)
    with pytest.raises(RecipeError, match=r"nowhere\.yaml: the recipe cannot be read"):
        load_recipe(tmp_path / "nowhere.yaml")
    with pytest.raises(RecipeError, match="Did you mean 'rewrite_clearly'"):
        load_recipe("rewrite_clearely")
