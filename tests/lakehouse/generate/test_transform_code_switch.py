"""Words in other languages, by lexicon."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.generate.transforms import CodeSwitch, LexiconError, code_switch

GERMAN = "salt\tSalz\nthe\tdie\nthe\tder\nthe\tdas\nsea salt\tMeersalz\nevening\tAbend\n\n"
FRENCH = "salt\tsel\nevening\tsoir\nl'eau\twater\n"
TEXT = "The salt is sold in the evening, and salt keeps. SALT!"  # 10 words


@pytest.fixture
def german(tmp_path: Path) -> Path:
    return written(tmp_path / "german.tsv", GERMAN)


def written(path: Path, content: str) -> Path:
    path.write_text(content, "utf-8")
    return path


def test_all_that_the_lexicon_has_takes_on_the_capitals(tmp_path: Path) -> None:
    lexicon = written(tmp_path / "x.tsv", "salt\tsal\nthe\tla\nevening\ttarde\n")
    assert code_switch(TEXT, CodeSwitch(lexicons={"es": lexicon}, share=1.0), 1) == [
        "La sal is sold in la tarde, and sal keeps. SAL!"
    ]


def test_the_longest_phrase_wins_and_is_replaced_as_one(german: Path) -> None:
    every = CodeSwitch(lexicons={"de": german}, share=1.0)
    assert code_switch("Sea  salt, sea and SEA SALT", every, 1) == ["Meersalz, sea and MEERSALZ"]
    # Four words, of which a share of 0.3 is 1: the phrase has two, and one word of it is none.
    assert code_switch("sea salt of course", CodeSwitch(lexicons={"de": german}, share=0.3), 1) == []


@pytest.mark.parametrize(("share", "replaced"), [(0.01, 0), (0.1, 1), (0.25, 3), (0.45, 5), (1.0, 6)])
def test_the_share_counts_all_words_as_far_as_the_lexicon_goes(german: Path, share: float, replaced: int) -> None:
    # 11 words, 6 of them in the lexicon: 0.11 rounds to 0, 1.1 to 1, 2.75 to 3, 4.95 to 5, and of 11 there are 6.
    text = "the salt of the salt is the salt of one day"
    outputs = code_switch(text, CodeSwitch(lexicons={"de": german}, share=share), 7)
    changed = sum(a != b for output in outputs for a, b in zip(output.split(), text.split(), strict=True))
    assert changed == replaced
    assert len(outputs) == (replaced > 0)


def test_translations_and_languages_are_drawn_by_the_seed(tmp_path: Path, german: Path) -> None:
    french = written(tmp_path / "french.tsv", FRENCH)
    both = {"de": german, "fr": french}
    text = "salt evening " * 200
    (mixed,) = code_switch(text, CodeSwitch(lexicons=both, share=1.0), 1)
    # 400 draws between two languages: 200, and six standard deviations are 60.
    assert 140 < sum(word in ("Salz", "Abend") for word in mixed.split()) < 260
    assert code_switch(text, CodeSwitch(lexicons=dict(reversed(both.items())), share=1.0), 1) == [mixed]
    assert code_switch(text, CodeSwitch(lexicons=both, share=1.0), 2) != [mixed]
    whole = CodeSwitch(lexicons=both, share=1.0, languages="per_text")
    outputs = {code_switch(text, whole, seed)[0] for seed in range(20)}
    assert outputs == {"Salz Abend " * 200, "sel soir " * 200}
    (articles,) = code_switch("the " * 300, CodeSwitch(lexicons={"de": german}, share=1.0), 1)
    # 300 draws of three: 100 each, and six standard deviations are 49.
    assert all(51 < articles.split().count(article) < 149 for article in ("der", "die", "das"))


def test_words_of_other_scripts_and_forms_are_found(tmp_path: Path) -> None:
    lexicon = written(tmp_path / "x.tsv", "\ufeffcafe\u0301\tKaffee\n北京\tPeking\nl'eau\tWasser\nSTRASSE\troad\n")
    every = CodeSwitch(lexicons={"x": lexicon}, share=1.0)
    assert code_switch("caf\u00e9 我在北京 L'EAU Straße", every, 1) == ["Kaffee 我在Peking WASSER Road"]


def test_where_nothing_is_replaced_there_is_no_copy(german: Path) -> None:
    for text in ("", "nothing here", "…"):
        assert code_switch(text, CodeSwitch(lexicons={"de": german}, share=1.0), 1) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"salt\tSalz\nsea Meer\n", "bad.tsv:2: expected a word, a tab and its translation, found 1 columns"),
        (b"a\tb\tc\n", "bad.tsv:1: expected a word, a tab and its translation, found 3 columns"),
        (b"\n\tSalz\n", "bad.tsv:2: the word is empty"),
        (b"salt\t \n", "bad.tsv:1: the translation is empty"),
        (b"salt\tSalz\nse\xe9\tx\n", "bad.tsv:2: the line is not UTF-8"),
        (b"\n", "bad.tsv: the lexicon has no words"),
    ],
)
def test_a_wrong_lexicon_is_one_line_with_its_place(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "bad.tsv"
    path.write_bytes(content)
    with pytest.raises(LexiconError) as caught:
        code_switch("salt", CodeSwitch(lexicons={"de": path}), 1)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_lexicon_that_is_missing_or_has_changed(tmp_path: Path, german: Path) -> None:
    with pytest.raises(LexiconError, match=r"none\.tsv: the lexicon cannot be read"):
        code_switch("salt", CodeSwitch(lexicons={"de": tmp_path / "none.tsv"}), 1)
    every = CodeSwitch(lexicons={"de": german}, share=1.0)
    assert code_switch("salt", every, 1) == ["Salz"]
    written(german, "salt\tKochsalz\n")
    assert code_switch("salt", every, 1) == ["Kochsalz"]
    assert every.files() == [german]


@given(
    st.lists(st.sampled_from(["salt", "The", "evening", "we", ",", "\n", "sea salt"]), max_size=20), st.integers(0, 5)
)
@settings(max_examples=100, deadline=None)
def test_what_is_not_replaced_stays_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, parts: list[str], seed: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "known.tsv"
    if not path.exists():
        path.write_text("salt\t<1>\nthe\t<2>\nevening\t<3>\nsea salt\t<4>\n", "utf-8")
    text = " ".join(parts)
    back = {"<1>": "salt", "<2>": "The", "<3>": "evening", "<4>": "sea salt"}
    for output in code_switch(text, CodeSwitch(lexicons={"x": path}, share=0.5), seed):
        for target, source in back.items():
            output = output.replace(target, source)
        assert output == text
