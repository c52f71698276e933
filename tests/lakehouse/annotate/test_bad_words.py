"""How often listed words occur in texts."""

from __future__ import annotations

import re
import time
import unicodedata
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.annotate.annotator import AnnotatorError
from lakehouse.annotate.bad_words import COLUMNS, MOST_FOUND, bad_words
from lakehouse.annotate.words import Batch

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data" / "quality"


@pytest.fixture
def lists(tmp_path: Path) -> Path:
    """A folder of small lists."""
    entries = {
        "en": "rot\nRotten egg\negg\nx-ray\n★\nÉclair\n",
        "de.txt": "mist\n\n",
        "ja": "悪い\n3p\ng スポット\nレイプ\n",
        "th": "แย่\n",
        "no": "søppel\n",
        "README.md": "egg",
        "LICENSE": "egg",
    }
    for name, text in entries.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def measure(texts: list[str], language: str | list[str], lists: Path | dict[str, str]) -> pl.DataFrame:
    documents = pl.DataFrame({"text": texts, "language": language}).with_columns(doc_id=pl.lit("x"))
    measured = bad_words(lists=lists if isinstance(lists, dict) else str(lists)).measure(Batch(documents))
    assert measured.to_arrow().cast(pa.schema(COLUMNS)).num_rows == len(texts)
    return measured


def test_words_are_matched_where_words_begin_and_end(lists: Path) -> None:
    found = measure(["Rot! A ROT-rot egg_egg carrot rotten eggs rot's", "nothing here"], "en", lists)
    # Rot, ROT, rot, egg, egg and the rot of rot's, in the eight words Rot A ROT-rot egg_egg carrot rotten eggs rot's
    assert found.rows() == [(6, 6 / 8, ["egg", "rot"]), (0, 0.0, [])]


def test_of_overlapping_entries_the_longest_counts_and_neighbours_all_do(lists: Path) -> None:
    found = measure(["rotten  EGG, egg egg; x ray X-RAY ★★ e\u0301clair"], "en", lists)
    assert found["bad_words"].item() == 8  # the phrase, two eggs, x-ray twice, two stars, and éclair in another form
    assert found["bad_words_found"].item().to_list() == ["egg", "rotten egg", "x-ray", "éclair", "★"]


def test_scripts_without_spaces_are_matched_inside_other_text(lists: Path) -> None:
    found = measure(["とても悪い悪いです。レイプーとmp3playerと3pとgスポットとg スポット"], "ja", lists)
    assert found["bad_words"].item() == 5  # 悪い twice, レイプ, 3p, and the phrase: not the 3p inside a Latin word
    assert measure(["มันแย่มาก"], "th", lists)["bad_words"].item() == 1
    assert measure(["悪い悪いです"], "en", lists)["bad_words"].item() == 0


def test_each_text_is_measured_by_the_list_of_its_language(lists: Path) -> None:
    found = measure(["mist egg"] * 3 + ["søppel"] * 2, ["de", "en", "fr", "nb", "no"], lists)
    assert found["bad_words"].to_list() == [1, 1, None, 1, 1]
    assert found.row(2) == (None, None, None)
    found = measure(["mist egg"], "fr", {"fr": str(lists / "de.txt")})
    assert found["bad_words_found"].item().to_list() == ["mist"]


def test_at_most_twenty_entries_are_named(tmp_path: Path) -> None:
    words = [f"word{number:02}" for number in range(30)]
    (tmp_path / "en").write_text("\n".join(words), encoding="utf-8")
    found = measure([" ".join(words[::-1])], "en", tmp_path)
    assert found["bad_words"].item() == 30
    assert found["bad_words_found"].item().to_list() == words[:MOST_FOUND]


@pytest.mark.parametrize("text", ["", "\0", "\n" * 1000, "\u200f\u202e", "😀😀", "--"])
def test_texts_without_words_have_no_ratio(text: str, lists: Path) -> None:
    assert measure([text], "en", lists).row(0) == (0, None, [])


def test_lists_that_are_missing_empty_or_no_text_are_named(tmp_path: Path) -> None:
    with pytest.raises(AnnotatorError, match="give a folder"):
        bad_words(lists="")
    with pytest.raises(AnnotatorError, match=r"False: 'x' is no language code with a path"):
        bad_words(lists={False: "x"})  # type: ignore[dict-item]  # what YAML makes of no
    with pytest.raises(AnnotatorError, match="holds no file named by a language's code"):
        measure(["x"], "en", tmp_path)
    with pytest.raises(AnnotatorError, match="absent cannot be read"):
        measure(["x"], "en", {"en": str(tmp_path / "absent")})
    (tmp_path / "en").write_text("\n \n", encoding="utf-8")
    with pytest.raises(AnnotatorError, match="en holds no words"):
        measure(["x"], "en", tmp_path)
    (tmp_path / "en").write_bytes(b"caf\xe9-long\n")
    with pytest.raises(AnnotatorError, match="en cannot be read as UTF-8"):
        measure(["x"], "en", tmp_path)


ENTRIES = ["rot", "rot egg", "egg rot egg", "é", "g-g"]


def slow_count(text: str) -> int:
    """Hits, by one regular expression that tries the longest entries first and looks at both neighbours."""
    gap = r"[^a-zé]+"
    entries = sorted(ENTRIES, key=lambda entry: -len(entry.replace("-", "").replace(" ", "")))
    either = "|".join(re.sub("[ -]", lambda _: gap, entry) for entry in entries)
    expression = rf"(?<![a-zé])(?:{either})(?![a-zé])"
    return len(re.findall(expression, unicodedata.normalize("NFC", text.lower())))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(["rot", "egg", "EGG", "g", "x", "é", " ", "-", ". ", "\n", "e\u0301"]), max_size=14))
def test_the_count_agrees_with_a_regular_expression(pieces: list[str]) -> None:
    from lakehouse.annotate.phrases import phrases

    text = "".join(pieces)
    assert phrases(ENTRIES, "en").count(pl.Series([text])).to_list() == [slow_count(text)]


@pytest.mark.parametrize("unit", ["rot ", "rot", "悪い", "3p", "a ", "\n", "é", "★", "悪a"])
@pytest.mark.parametrize("language", ["en", "ja"])
def test_long_texts_take_no_quadratic_time(unit: str, language: str, lists: Path) -> None:
    def seconds(repeats: int) -> float:
        start = time.perf_counter()
        measure([unit * repeats], language, lists)
        return time.perf_counter() - start

    seconds(10)
    assert seconds(100_000) < 0.5 + 12 * seconds(25_000)


@pytest.mark.skipif(not (SHARED / "ldnoobw").is_dir(), reason="the lists are not here")
def test_real_lists_find_each_of_their_own_entries() -> None:
    folder = SHARED / "ldnoobw"
    for code in ("en", "de", "ru", "ar", "hi", "ko", "ja", "zh", "th", "fil", "tlh"):
        entries = sorted({line.strip() for line in (folder / code).read_text("utf-8").splitlines()} - {""})
        found = measure([f"« {entry.upper()} »" for entry in entries], code, folder)
        assert (found["bad_words"] > 0).all(), code
    plain = measure(["The assassin of Essex classified the cockpit's documents."], "en", folder)
    assert plain["bad_words"].item() == 0
