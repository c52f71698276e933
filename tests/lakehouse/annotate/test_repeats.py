"""Paragraphs and sentences that documents share, and what stays of them."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse import annotate
from lakehouse.annotate import AnnotatorError

ANN, BEN, COY, DEE = "Ann rows.", "Ben sits still.", "Coy is out!", "Dee went home"


def documents(texts: list[str], hosts: list[str | None] | None = None, ids: list[str] | None = None) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "doc_id": ids or [f"{place:08x}" * 4 for place in range(len(texts))],
            "text": texts,
            "language": "en",
            "host": pl.Series(hosts or ["a.test"] * len(texts), dtype=pl.String),
        }
    )


def measure(frame: pl.DataFrame, **settings: Any) -> pl.DataFrame:
    return annotate.measure_all(frame, [annotate.annotator({"shared_lines": settings})])[0]


def left(frame: pl.DataFrame, edits: pl.Series) -> list[str]:
    texts = []
    for text, spans in zip(frame["text"], edits.to_list(), strict=True):
        for span in reversed(spans):
            text = text[: span["start"]] + text[span["end"] :]
        texts.append(text)
    return texts


def test_a_paragraph_stays_where_it_is_first_and_its_spacing_does_not_matter() -> None:
    notice = "All rights\n of this  text"
    frame = documents(
        [f"{notice}\n\nOne.", f"Two.\n \n  {notice}  \n\n\nThree.\n", f"Four.\n\n{notice.replace('  ', ' ')}"]
    )
    measured = measure(frame, unit="paragraph")
    assert left(frame, measured["shared_paragraph_edits"]) == [f"{notice}\n\nOne.", "Two.\n \nThree.\n", "Four.\n\n"]
    assert measured["shared_paragraph_counts"].to_list() == [[], [3], [3]]
    # One of two paragraphs, one of three, one of two; 25 characters of 25 + 4 + 6, 24 of 24 + 5.
    assert measured["shared_paragraphs"].to_list() == [0.0, 1 / 3, 1 / 2]
    assert measured["shared_paragraph_characters"].to_list() == [0.0, 25 / 35, 24 / 29]


def test_a_line_break_inside_does_not_end_a_paragraph_and_is_a_space_to_its_hash() -> None:
    frame = documents(["a b\nc", "a\nb c", "a b"])
    assert left(frame, measure(frame, unit="paragraph")["shared_paragraph_edits"]) == ["a b\nc", "", "a b"]


def test_three_sentences_in_a_row_that_stood_before_are_removed() -> None:
    frame = documents([f"{ANN} {BEN} {COY} {DEE}.", f"Start. {ANN} {BEN}  {COY} End.", f"{ANN} {BEN} {DEE}. {COY}"])
    measured = measure(frame, unit="sentences", across="corpus")
    kept = frame["text"].to_list()
    assert left(frame, measured["shared_sentence_edits"]) == [kept[0], "Start. End.", kept[2]]
    assert measured["shared_sentence_counts"].to_list() == [[], [2, 2, 2], []]
    # Three of five; 9 + 15 + 11 characters of those and 6 + 4.
    assert measured["shared_sentences"].to_list() == [0.0, 3 / 5, 0.0]
    assert measured["shared_sentence_characters"].to_list() == [0.0, 35 / 45, 0.0]


def test_what_ends_a_line_goes_without_its_line_feed_and_a_whole_line_with_it() -> None:
    frame = documents([f"{ANN}\n{BEN}", f"One. {ANN}\n  {BEN} \nTwo.", f"{ANN}\n{BEN} Three.\n"])
    edits = measure(frame, unit="sentences", sentences=2, across="corpus")["shared_sentence_edits"]
    assert left(frame, edits) == [f"{ANN}\n{BEN}", "One.\nTwo.", "Three.\n"]


def test_without_a_first_one_every_copy_goes_and_with_it_the_smallest_doc_id_stays() -> None:
    ids = ["f" * 32, "0" * 32, "7" * 32]
    frame = documents([f"{ANN} {BEN} {COY}"] * 3, ids=ids)
    every = measure(frame, unit="sentences", keep_first=False)
    assert left(frame, every["shared_sentence_edits"]) == ["", "", ""]
    first = measure(frame, unit="sentences")
    assert left(frame, first["shared_sentence_edits"]) == ["", frame["text"][1], ""]
    turned = frame.reverse()
    assert measure(turned, unit="sentences").reverse().equals(first)


def test_hosts_are_apart_unless_the_corpus_is_one() -> None:
    frame = documents([BEN] * 4, ["a.test", "b.test", None, None])
    apart = measure(frame, min_documents=2)
    assert apart["shared_line_counts"].to_list() == [[], [], [], []]
    together = measure(frame, min_documents=2, across="corpus")
    assert together["shared_line_counts"].to_list() == [[4], [4], [4], [4]]
    assert "host" not in annotate.annotator({"shared_lines": {"across": "corpus"}}).needs


sentence = st.sampled_from([ANN, BEN, DEE + "."])
page = st.lists(st.lists(sentence, max_size=4), max_size=4)


@given(st.lists(page, min_size=1, max_size=5), st.integers(1, 3), st.integers(2, 3), st.booleans())
def test_sentences_agree_with_counting_by_hand(
    pages: list[list[list[str]]], size: int, least: int, keep_first: bool
) -> None:
    frame = documents(["\n".join(" ".join(line) for line in page) for page in pages])
    settings = {"sentences": size, "min_documents": least, "keep_first": keep_first}
    measured = measure(frame, unit="sentences", across="corpus", **settings)
    seen = defaultdict(list)
    for number, page in enumerate(pages):
        whole = [one for line in page for one in line]
        for place in range(len(whole) - size + 1):
            seen[tuple(whole[place : place + size])].append((number, place))
    gone = set()
    for places in seen.values():
        if len({number for number, _ in places}) >= least:
            first, at = places[0]
            for number, place in places[1:] if keep_first else places:
                begin = max(place, at + size) if keep_first and number == first else place
                gone |= {(number, one) for one in range(begin, place + size)}
    for number, (page, text) in enumerate(zip(pages, left(frame, measured["shared_sentence_edits"]), strict=True)):
        place, stays = 0, []
        for line in page:
            stays.append([one for offset, one in enumerate(line) if (number, place + offset) not in gone])
            place += len(line)
        assert [line.strip() for line in text.split("\n") if line.strip()] == [" ".join(line) for line in stays if line]


@pytest.mark.parametrize("unit", ["line", "paragraph", "sentences"])
def test_odd_texts_are_measured(unit: str) -> None:
    texts = ["", "\n" * 50_000, "x" * 500_000, "a\n" * 20_000, "Yes. " * 20_000, "\r\n\x1c\u2028 \x00", "."]
    frame = documents(texts + texts)
    measured = measure(frame, unit=unit, min_documents=2, keep_first=False)
    shares = measured.to_series(2).to_list()
    assert shares[0] is None
    assert shares[1] is None
    assert shares[2] == (0.0 if unit == "sentences" else 1.0)
    assert left(frame, measured.to_series(0))[4].strip() == ""


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"unit": "word"}, "unit is 'word'; it must be one of line, paragraph, sentences."),
        ({"across": "web"}, "across is 'web'; it must be host"),
        ({"min_documents": 1}, "min_documents is 1; it must be a whole number of 2 or more."),
        ({"unit": "sentences", "sentences": 0}, "sentences is 0; it must be a whole number of 1 or more."),
        ({"keep_first": "no"}, "keep_first is 'no'; it must be true or false."),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(AnnotatorError, match=message):
        annotate.annotator({"shared_lines": settings})
