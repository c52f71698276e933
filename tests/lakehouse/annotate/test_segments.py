"""Segments: what a word tokenizer would cut apart, and that nothing of the text is lost or takes long."""

from __future__ import annotations

import time
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.annotate import languages
from lakehouse.annotate.annotator import AnnotatorError
from lakehouse.annotate.segmenting.segments import AFTER_GAP, HAS_LETTER, IS_PUNCTUATION, IS_SYMBOL, IS_TERMINAL
from lakehouse.annotate.words import Batch, tokenise

LANGUAGES = languages.load()
SEPARATORS = " \t\n\r\x0b\x0c\x1c\x1d\x1e\x1f\x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, range(0x2000, 0x200B))
)


def batch(texts: list[str], language: str | None = "en") -> Batch:
    return Batch(
        pl.DataFrame({"text": texts, "language": [language] * len(texts)}, schema_overrides={"text": pl.String})
    )


def segments(text: str, language: str | None = "en", table: languages.Languages = LANGUAGES) -> list[str]:
    found = batch([text], language).segments(table)
    encoded = text.encode()
    return [
        encoded[start:].decode()[:length] for start, length in zip(found.starts, found.lengths.tolist(), strict=True)
    ]


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ('He said: "Stop!"', 'He said : " Stop ! "'),
        ("don't can't I'll've Smith's dogs'", "do n't ca n't I 'll 've Smith 's dogs '"),
        ("DON’T won’t it’s", "DON’T wo n’t it ’s"),
        ("Mr. Smith of the U.S. and Dr. Who.", "Mr. Smith of the U.S. and Dr. Who ."),
        ("e.g. (i.e. this)", "e.g. ( i.e. this )"),
        ("well-known 1-2 a--b x-", "well - known 1 - 2 a -- b x-"),
        ("wait... what..? no…", "wait ... what .. ? no …"),
        ("see https://a.example.org/x-y?z=1, or me@mail.org.", "see https://a.example.org/x-y?z=1 , or me@mail.org ."),
        ("end.Start 3.14 1,000 a,b", "end . Start 3.14 1,000 a , b"),
        ("5km 10% $5 US$10 5$ 20°C.", "5 km 10 % $ 5 US$ 10 5 $ 20 ° C ."),
        ("(see below): fine :) <3", "( see below ): fine :) <3"),
        ("this/that and/or 10am 9a.m.", "this / that and/or 10 am 9 a.m."),
        ("cannot gonna Its its were", "can not gon na Its its were"),
        ("#tag @name C++ {x}", "# tag @name C++ { x }"),
        ("10.0.0.1/x 8.8.8.8/x", "10.0.0.1 / x 8.8.8.8/x"),
    ],
)
def test_english_is_cut_like_this(text: str, cut: str) -> None:
    assert segments(text) == cut.split()


def test_a_vowel_that_is_dropped_stays_with_its_word_where_the_language_drops_vowels() -> None:
    assert segments("L'homme d’hier, qu'il", "fr") == ["L'", "homme", "d’", "hier", ",", "qu'", "il"]
    assert segments("l'homme", "en") == ["l'homme"]


def test_contractions_are_of_their_language() -> None:
    assert segments("cannot Mr.", "de") == ["cannot", "Mr", "."]
    assert segments("a. :)", None) == ["a.", ":)"]


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("我们今天去北京吃饭。", "我们 今天 去 北京 吃饭 。"),
        ("😀我们去。 ok", "😀 我们 去 。 ok"),  # ICU counts the face as two units
        ("ฉันรักภาษาไทย", "ฉัน รัก ภาษา ไทย"),
        ("ຂ້ອຍຢາກໄປຕະຫຼາດ", "ຂ້ອຍ ຢາກ ໄປ ຕະຫຼາດ"),
    ],
)
def test_scripts_without_spaces_are_cut_by_dictionaries_words_and_segments_alike(text: str, cut: str) -> None:
    assert segments(text, "zh") == cut.split()
    assert len(tokenise(pl.Series([text])).hashes) == len(cut.split())


def test_an_unspaced_text_among_others_changes_nothing() -> None:
    texts = ["don't go", "今天天气很好", "", "we can't"]
    together = batch(texts).segments(LANGUAGES)
    apart = [batch([text]).segments(LANGUAGES) for text in texts]
    assert together.hashes.tolist() == [value for one in apart for value in one.hashes.tolist()]
    assert [len(one.hashes) for one in apart] == (together.offsets[1:] - together.offsets[:-1]).tolist() == [3, 3, 0, 3]


PIECES = [
    "don't",
    "'s",
    "...",
    "U.S.",
    "a.",
    "http://a.bc/d",
    "x@y.zz",
    ":)",
    "8)",
    "…",
    "–",
    "é",
    "１",
    "北京",
    " ",
    "\n",
]
TEXTS = st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=4)), max_size=25).map("".join)


@settings(max_examples=300, deadline=None)
@given(TEXTS, st.sampled_from(["en", "fr", None]))
def test_segments_are_the_text_without_its_white_space(text: str, language: str | None) -> None:
    text = text.encode("utf-8", "ignore").decode()
    found = segments(text, language)
    assert "".join(found) == "".join(character for character in text if character not in SEPARATORS)
    assert all(found)
    for one in found:
        assert not set(one) & set(SEPARATORS)


@settings(max_examples=50, deadline=None)
@given(st.lists(TEXTS, max_size=5))
def test_equal_segments_have_equal_hashes_and_others_have_not(texts: list[str]) -> None:
    texts = [text.encode("utf-8", "ignore").decode() for text in texts]
    hashes = batch(texts).segments(LANGUAGES).hashes.tolist()
    written = [one for text in texts for one in segments(text)]
    assert len(hashes) == len(written)
    assert len(set(zip(hashes, written, strict=True))) == len(set(hashes)) == len(set(written))


def test_flags_tell_letters_marks_and_gaps() -> None:
    found = batch(["Go!  --  §9 ."]).segments(LANGUAGES)  # Go ! -- § 9 .
    assert found.flags.tolist() == [
        HAS_LETTER,
        IS_SYMBOL | IS_PUNCTUATION | IS_TERMINAL,
        IS_SYMBOL | IS_PUNCTUATION | AFTER_GAP,  # two spaces before it
        IS_PUNCTUATION | AFTER_GAP,  # § is punctuation, but makes a word by DataTrove's marks
        0,
        IS_SYMBOL | IS_PUNCTUATION | IS_TERMINAL,
    ]


@pytest.mark.parametrize(
    "unit", ["(", "a.", "@", "a@b.", "...", "'s", "x-", "￿", "1,", "://", "[1", "字", "\u200f", "\0"]
)
def test_a_long_line_without_spaces_takes_linear_time(unit: str) -> None:
    segments_of = [batch([unit * (size // len(unit))]) for size in (60_000, 240_000)]
    batch([unit]).segments(LANGUAGES)
    taken = []
    for one in segments_of:
        start = time.perf_counter()
        one.segments(LANGUAGES)
        taken.append(time.perf_counter() - start)
    assert taken[1] < 12 * taken[0] + 0.1


def test_a_table_of_ones_own_counts_before_the_shipped_one(tmp_path: Path) -> None:
    own = tmp_path / "languages.yaml"
    own.write_text("tlh: {stop_words: je vaj}\nen: {keep: foo-bar, stop_words: ye olde}\n")
    table = languages.load(str(own))
    assert table.entries["tlh"].stop_words == ("je", "vaj")
    assert table.entries["en"].stop_words == ("ye", "olde")
    assert table.entries["de"] == LANGUAGES.entries["de"]
    assert segments("foo-bar don't", table=table) == ["foo-bar", "do", "n't"]
    assert segments("foo-bar") == ["foo", "-", "bar"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("en: {stop_words: [the]}", r"own.yaml: en: stop_words is \['the'\]; it must be text"),
        ("en: {stopwords: the}", "own.yaml: en: 'stopwords' is unknown. There are stop_words,"),
        ("en: {stop_words: The}", "own.yaml: en: the stop word 'The' must be in lower case"),
        ("no: {stop_words: og}", "own.yaml: the language code False must be text"),
        ("en:\n  keep: 'a\n", "own.yaml:3: this is no YAML"),
        ("- en", "own.yaml is no mapping"),
        ("en: {elision: maybe}", "own.yaml: en: elision is 'maybe'; it must be true or false"),
        ("en: {contractions: [{before: a}]}", "own.yaml: en: contractions must be a list"),
        ("en: stop", "own.yaml: en is 'stop'; it must be a mapping"),
    ],
)
def test_a_wrong_table_is_refused_with_file_and_key(tmp_path: Path, content: str, message: str) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(content)
    with pytest.raises(AnnotatorError, match=message):
        languages.load(str(own))
    with pytest.raises(AnnotatorError, match=r"there is no file 'missing\.yaml'"):
        languages.check("missing.yaml")


def test_every_language_is_known_by_eight_words_and_thirty_languages_are() -> None:
    listed = {code: language.stop_words for code, language in LANGUAGES.entries.items() if code != languages.EVERY}
    assert len(listed) >= 30
    assert {code: len(words) for code, words in listed.items() if len(words) != 8} == {}


def test_words_of_scripts_without_spaces_can_be_set_apart() -> None:
    texts = ["我们今天去学校。", "We walk to school.", "", "𠮷野家で食べる"]
    documents = pl.DataFrame({"doc_id": list("abcd"), "text": texts, "language": ["zh", "en", "en", "ja"]})
    spaced = Batch(documents).spaced().to_list()
    assert "学校" in spaced[0].split()
    assert spaced[1:3] == texts[1:3]
    # Nothing is lost, also where a character takes two UTF-16 units and four bytes.
    assert [part.replace(" ", "") for part in spaced] == [text.replace(" ", "") for text in texts]
