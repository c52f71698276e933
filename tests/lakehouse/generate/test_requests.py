"""A request's identity is what is asked of which model, and nothing else."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from lakehouse.generate import GenerationError, load_recipe, requests_for
from lakehouse.generate.requests import cut

RECIPE = load_recipe("rewrite_clearly")


def documents(*texts: str) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "doc_id": [f"d{place}" for place in range(len(texts))],
            "snapshot": [f"S{place}" for place in range(len(texts))],
            "text": texts,
            "language": ["en"] * len(texts),
        }
    )


def ids(texts: list[str], recipe: Any = RECIPE, model: str = "m") -> list[str]:
    return [request.request_id for request in requests_for(documents(*texts), recipe, model)]


def test_documents_with_the_same_text_ask_the_same_and_keep_their_own_names() -> None:
    first, second, other = requests_for(documents("One text.", " One text.\n", "Another."), RECIPE, "m")
    assert first.request_id == second.request_id != other.request_id
    assert (first.doc_id, second.doc_id, second.snapshot) == ("d0", "d1", "S1")
    assert first.params == {"temperature": 0.7, "top_p": 0.9, "max_tokens": 3000}


def test_model_prompt_and_sampling_change_the_identity_but_gates_do_not() -> None:
    changed = {
        "sampling": RECIPE.sampling.model_copy(update={"temperature": 0.1}),
        "prompt": RECIPE.prompt.model_copy(update={"system": "Be brief."}),
    }
    known = [*ids(["One."]), *ids(["One."], model="n")]
    known += [ids(["One."], RECIPE.model_copy(update={key: value}))[0] for key, value in changed.items()]
    assert len(set(known)) == 4
    gates = RECIPE.gates.model_copy(update={"copied_share": None})
    assert ids(["One."], RECIPE.model_copy(update={"gates": gates})) == ids(["One."])


def test_the_identity_is_the_same_on_every_machine() -> None:
    recipe = RECIPE.model_copy(
        update={"prompt": RECIPE.prompt.model_copy(update={"system": "S", "user": "{{ text }}"})}
    )
    # xxh3_128 of: prompt_hash 0x1f "m" 0x1f params_hash, each a hash of the JSON with sorted keys
    prompt = '[{"content": "S", "role": "system"}, {"content": "One.", "role": "user"}]'
    params = '{"max_tokens": 3000, "temperature": 0.7, "top_p": 0.9}'

    def hashed(text: str) -> str:
        return xxhash.xxh3_128_hexdigest(text.encode())

    assert ids(["One."], recipe) == [hashed(f"{hashed(prompt)}\x1fm\x1f{hashed(params)}")]


def test_a_document_without_text_is_an_error_that_names_it() -> None:
    with pytest.raises(GenerationError, match="document d1 has no text"):
        ids(["One.", " \n "])


@pytest.mark.parametrize(
    ("text", "max_chars", "expected"),
    [
        ("  short \n", 20, "short"),
        ("First one.\nSecond. Third is cut", 20, "First one."),  # the paragraph's end is worth more than the sentence's
        ("First one. Second. Third is cut", 20, "First one. Second."),
        ("One! Two three", 4, "One!"),  # a sentence that ends at the limit
        ("a.b.c version 1.2.3 of it", 20, "a.b.c version 1.2.3"),  # a full stop within a word ends no sentence
        ("第一句。第二句。第三句没有完", 10, "第一句。第二句。"),
        ("no sentence ends here at all", 16, "no sentence ends"),
        ("x" * 30, 20, "x" * 20),
        ("Hi.\n" + "y" * 30, 20, "Hi.\n" + "y" * 16),  # an end in the first half would leave too little
    ],
)
def test_a_long_text_is_cut_at_a_paragraph_a_sentence_or_a_word(text: str, max_chars: int, expected: str) -> None:
    assert cut(text, max_chars) == expected


@given(st.text(), st.integers(1, 40))
def test_a_cut_text_is_a_beginning_of_the_text_that_fits(text: str, max_chars: int) -> None:
    passage = cut(text, max_chars)
    assert len(passage) <= max_chars
    assert text.strip().startswith(passage)
    assert bool(passage) == bool(text.strip())
