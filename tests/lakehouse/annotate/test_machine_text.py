"""Signs of machine-written text."""

from __future__ import annotations

import time
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.annotate.annotator import AnnotatorError
from lakehouse.annotate.machine_text import COLUMNS, OWN_PATTERNS, SCORE, machine_text
from lakehouse.annotate.words import Batch


def measure(texts: list[str], language: str | list[str] = "en", patterns: str | None = None) -> pl.DataFrame:
    documents = pl.DataFrame({"text": pl.Series(texts, dtype=pl.String), "language": language}).with_columns(
        doc_id=pl.lit("x")
    )
    measured = machine_text(patterns=patterns).measure(Batch(documents))
    assert measured.to_arrow().cast(pa.schema(COLUMNS)).num_rows == len(texts)
    return measured


def test_stock_phrases_are_counted_per_hundred_words_of_their_language() -> None:
    text = "It’s important to note that salt is white. In  Conclusion: salt."  # 2 phrases, 11 words
    found = measure([text, text, text, "In today's world the world is round"], ["en", "de", "ja", "en"])
    assert found["stock_phrases"].to_list() == pytest.approx([200 / 11, 0.0, None, 100 / 7])


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("I'm sorry, but I can’t assist with that.", "en"),
        ("As an AI language model, I have no taste.", "fi"),  # in a text of another language too
        ("Als KI-Sprachmodell esse ich nichts.", "de"),
        ("En tant qu’intelligence artificielle, je ne mange pas.", "fr"),
        ("Lo siento, pero no puedo hacerlo.", "es"),
    ],
)
def test_refusals_are_counted_in_every_language(text: str, language: str) -> None:
    assert measure([text], language)["refusals"].item() >= 1
    assert measure(["The assistant professor was sorry that he could not come."])["refusals"].item() == 0


@pytest.mark.parametrize(
    "text",
    [
        "<|im_start|>user",
        "[INST] Write [/INST]",
        "<<SYS>>",
        "a\n### Response:\nb",
        "Human: hi",
        "x\nUSER: hi",
        "</think>",
    ],
)
def test_marks_of_prompts_are_found(text: str) -> None:
    assert measure([text])["prompt_markers"].item() >= 1


def test_what_looks_like_marks_but_is_none_is_left_alone() -> None:
    text = "# Responses\nThe human: a history. He asked the user: why? a <| b |> c [install] {{}} [1] [edit] [name]d"
    assert measure([text]).select("prompt_markers", "placeholders").row(0) == (0, 1)  # [name]


def test_placeholders_are_found() -> None:
    text = "Dear [Customer Name], I am [Your Name] of <insert company>. {{ first }} [Ihr Name] [Votre nom] [Su nombre]"
    assert measure([text])["placeholders"].item() == 7


def test_sentences_that_open_alike_and_are_equally_long_are_measured() -> None:
    text = "The cat sat. The cat ran! A dog came? The cat hid… The dog left.\nthe CAT won"
    found = measure([text]).row(0, named=True)
    assert found["opening_repetition"] == pytest.approx(4 / 6)  # of six sentences four open with "the cat"
    # Lengths without their full stops: 11, 11, 10, 11, 12, 11, so mean 11 and variance (0+0+1+0+1+0)/6.
    assert found["sentence_length_spread"] == pytest.approx((2 / 6) ** 0.5 / 11)
    few = measure(["The cat sat. The cat ran. The cat hid. Pi is 3.14159 and e is 2.71828."]).row(0, named=True)
    assert (few["opening_repetition"], few["sentence_length_spread"]) == (None, None)  # four sentences


def test_lines_of_an_outline_are_a_share_of_all_lines() -> None:
    text = "# Salt\n\nSalt is white.\n**Uses**\n- **Food:** to taste\n2. **Roads**\n- plain item\n#tag\n"
    assert measure([text])["heading_lines"].item() == pytest.approx(4 / 7)


def test_the_score_is_what_each_sign_leaves() -> None:
    # One refusal: 0.9 of 1 / 2. One mark: 0.8 of 1 / 2. No sentences, no outline, no stock phrase.
    assert measure(["<|user|> I am an AI"])["machine_score"].item() == pytest.approx(1 - (1 - 0.45) * (1 - 0.4))
    assert measure(["Salt is white and the sea is full of it."])["machine_score"].item() == 0
    assert set(SCORE) < {field.name for field in COLUMNS}


@pytest.mark.parametrize("text", ["", "\n" * 1000, "--", "😀", "\0", "\u200f"])
def test_a_text_without_words_has_no_score(text: str) -> None:
    found = measure([text]).row(0, named=True)
    assert (found["machine_score"], found["stock_phrases"], found["refusals"]) == (None, None, 0)


def test_further_patterns_add_to_our_own(tmp_path: Path) -> None:
    file = tmp_path / "more.yaml"
    more = {
        "stock_phrases": {"fi": ["kuten tiedämme"]},
        "refusals": {"fi": ["en voi auttaa"]},
        "prompt_markers": ["^@@ "],
    }
    file.write_text(yaml.safe_dump(more, allow_unicode=True), encoding="utf-8")
    found = measure(["Kuten tiedämme, en voi auttaa.\n@@ x [INST]"], "fi", str(file)).row(0, named=True)
    assert (found["stock_phrases"], found["refusals"], found["prompt_markers"]) == (pytest.approx(100 / 7), 1, 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a", "holds no mapping"),
        ("a: [", "cannot be read"),
        ("stock: {}", "key 'stock' is unknown"),
        ("refusals: [a]", "key 'refusals' is unknown or no mapping of languages"),
        ("refusals: {en: [1]}", "refusals: en is no list of strings"),
        ("prompt_markers: ['(']", r"prompt_markers: '\(' is no regular expression"),
    ],
)
def test_wrong_pattern_files_are_told(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "more.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(AnnotatorError, match=message):
        measure(["x"], patterns=str(file))


def test_a_missing_pattern_file_is_named() -> None:
    with pytest.raises(AnnotatorError, match=r"pattern file absent\.yaml cannot be read"):
        measure(["x"], patterns="absent.yaml")
    with pytest.raises(AnnotatorError, match="give the path of a YAML file"):
        machine_text(patterns=7)  # type: ignore[arg-type]


def test_our_own_patterns_have_no_phrase_twice_and_find_themselves() -> None:
    patterns = yaml.safe_load(OWN_PATTERNS.read_text("utf-8"))
    for name in ("stock_phrases", "refusals"):
        assert set(patterns[name]) >= {"en", "de", "fr", "es"}
        for language, listed in patterns[name].items():
            assert len(set(listed)) == len(listed)
            found = measure([phrase.upper() for phrase in listed], language)
            assert (found[name] > 0).all()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=200), max_size=4))
def test_shares_and_scores_are_between_0_and_1(texts: list[str]) -> None:
    found = measure(texts, ["en"] * len(texts))
    for name in ("machine_score", "opening_repetition", "heading_lines"):
        assert found[name].drop_nulls().is_between(0, 1).all()


@pytest.mark.parametrize("unit", ["a", "a. ", ".", "\n", "**a", "[your ", "<|a", "{{ a", "- **", "...a", "x\n# "])
def test_long_texts_take_no_quadratic_time(unit: str) -> None:
    def seconds(repeats: int) -> float:
        start = time.perf_counter()
        measure([unit * repeats])
        return time.perf_counter() - start

    seconds(10)
    assert seconds(100_000) < 0.5 + 12 * seconds(25_000)
