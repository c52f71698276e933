"""Lines that pages of one host share."""

from __future__ import annotations

import time

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from lakehouse import annotate
from lakehouse.annotate import Batch
from lakehouse.annotate.annotator import add_up

MENU = "Home | About | Contact"


def documents(texts: list[str], hosts: list[str | None] | None = None) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "doc_id": [str(place) for place in range(len(texts))],
            "text": texts,
            "language": "en",
            "host": pl.Series(hosts or ["a.test"] * len(texts), dtype=pl.String),
        }
    )


def measure(frame: pl.DataFrame, least: int = 2) -> pl.DataFrame:
    return annotate.measure_all(frame, [annotate.annotator({"shared_lines": {"min_documents": least}})])[0]


def left(text: str, edits: list[dict[str, int]]) -> str:
    for edit in reversed(edits):
        text = text[: edit["start"]] + text[edit["end"] :]
    return text


def test_a_line_of_two_pages_of_a_host_is_removed_from_both() -> None:
    texts = [f"{MENU}\nFirst story.\n\nEnd one", f"Second story.\n  {MENU}  \nEnd two"]
    measured = measure(documents(texts))
    found = [left(text, edits) for text, edits in zip(texts, measured["shared_line_edits"].to_list(), strict=True)]
    assert found == ["First story.\n\nEnd one", "Second story.\nEnd two"]
    # One of three lines that are not blank; its 22 characters of 22 + 12 + 7 and of 22 + 13 + 7.
    assert measured["shared_lines"].to_list() == [1 / 3, 1 / 3]
    assert measured["shared_line_characters"].to_list() == [22 / 41, 22 / 42]


def test_other_hosts_and_pages_without_one_share_nothing() -> None:
    measured = measure(documents([MENU, MENU, MENU, MENU], ["a.test", "b.test", None, None]))
    assert measured["shared_line_edits"].to_list() == [[], [], [], []]


def test_a_line_twice_in_one_page_is_not_shared() -> None:
    assert measure(documents([f"{MENU}\n{MENU}", "other"]))["shared_lines"].to_list() == [0.0, 0.0]


def test_a_text_without_lines_has_no_share() -> None:
    measured = measure(documents(["", "\n \n", MENU]))
    assert measured["shared_lines"].to_list() == [None, None, 0.0]
    assert measured["shared_line_edits"].to_list() == [[], [], []]


lines = st.lists(st.sampled_from(["a", "b", "ü 😀", "", " "]), min_size=1, max_size=5)


@given(st.lists(st.tuples(lines, st.sampled_from(["h", "i"])), min_size=1, max_size=6), st.integers(2, 3))
def test_it_agrees_with_counting_by_hand(pages: list[tuple[list[str], str]], least: int) -> None:
    texts, hosts = ["\n".join(page) for page, _ in pages], [host for _, host in pages]
    seen: dict[tuple[str, str], int] = {}
    for page, host in pages:
        for line in {line.strip() for line in page} - {""}:
            seen[host, line] = seen.get((host, line), 0) + 1
    measured = measure(documents(texts, list(hosts)), least)
    for (page, host), text, edits in zip(pages, texts, measured["shared_line_edits"].to_list(), strict=True):
        stays = [line for line in page if not line.strip() or seen[host, line.strip()] < least]
        gone = [line for line in page if line not in stays]
        assert left(text, edits).split("\n") == (stays if not gone or gone[-1] is not page[-1] else [*stays, ""]) or (
            left(text, edits).rstrip("\n") == "\n".join(stays).rstrip("\n")
        )


def test_counts_of_parts_add_up_to_those_of_the_whole() -> None:
    one = annotate.annotator({"shared_lines": {"min_documents": 2}})
    assert one.survey is not None
    frame = documents([f"{MENU}\nx{place}" for place in range(6)])
    parts = pl.concat(one.survey.count(Batch(part)) for part in frame.iter_slices(2))
    counts = add_up(parts).filter(pl.col("documents") >= 2).sort("key")
    pieces = pl.concat(one.survey.measure(Batch(part), counts) for part in frame.iter_slices(4))
    assert pieces.equals(one.measure(Batch(frame)))


def test_each_edit_says_in_how_many_documents_its_line_stands() -> None:
    measured = measure(documents([f"{MENU}\nold\nyes", f"yes\n{MENU}", f"{MENU}\nnew"]))
    assert measured["shared_line_counts"].to_list() == [[3, 2], [2, 3], [3]]


def test_time_grows_with_the_number_of_lines_not_its_square() -> None:
    def seconds(size: int) -> float:
        frame = documents(["\n" * size + "x\n" * size, MENU])
        start = time.perf_counter()
        measure(frame)
        return time.perf_counter() - start

    seconds(1_000)
    # Quadratic time would be 256 times as much.
    assert min(seconds(800_000) for _ in range(3)) < 100 * max(seconds(50_000), 0.02)
