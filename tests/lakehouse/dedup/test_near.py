"""Pairs of similar documents: exact, each once, the same however the documents are spread, and in bounded room."""

from __future__ import annotations

import itertools
import pickle
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from minhash_files import Documents, expected, frame_of, jaccard, write

from lakehouse import compute
from lakehouse.dedup import near
from lakehouse.dedup.errors import DedupError
from lakehouse.dedup.near import find_pairs
from lakehouse.dedup.room import Room

Found = list[tuple[str, str, float]]


def run(function: Callable[[Any], Any], units: Sequence[Any], *, task: str) -> Iterator[Any]:
    """Work as other processes do it: what goes there and what comes back is pickled, and the last unit ends first."""
    function, copies = pickle.loads(pickle.dumps((function, list(units))))
    results = [pickle.loads(pickle.dumps(function(unit))) for unit in reversed(copies)]
    return reversed(results)


def rows(files: Sequence[Path], scratch: Path, **asked: Any) -> Found:
    frames = list(find_pairs(files, scratch=scratch, run=run, **asked))
    if not frames:
        return []
    found = pl.concat(frames)
    assert dict(found.schema) == near.PAIRS
    return list(found.select("doc_id", "other_id", "similarity").iter_rows())


@st.composite
def collections(draw: st.DrawFn) -> Documents:
    """Families of sets that differ in a few numbers, with copies and empty sets, in any order."""
    sets: list[frozenset[int]] = [frozenset()]
    for root in draw(st.lists(st.frozensets(st.integers(0, 60), min_size=1, max_size=12), max_size=4)):
        for change in draw(st.lists(st.frozensets(st.integers(0, 60), max_size=2), min_size=1, max_size=5)):
            sets.append(root ^ change)
    chosen = draw(st.lists(st.sampled_from(sets), max_size=20))
    return {f"d{number}{'x' * (number % 3)}": one for number, one in enumerate(chosen)}


def portions(documents: Documents, cuts: Sequence[int]) -> list[dict[str, frozenset[int]]]:
    names = list(documents)
    bounds = [0, *sorted(min(cut, len(names)) for cut in cuts), len(names)]
    return [{name: documents[name] for name in names[first:end]} for first, end in itertools.pairwise(bounds)]


@settings(max_examples=40)
@given(
    collections(),
    st.lists(st.integers(0, 20), max_size=4),
    st.sampled_from([0.3, 0.5, 0.75, 1.0]),
    st.integers(1, 7),
    st.booleans(),
)
def test_pairs_are_those_of_comparing_all_with_all_however_the_documents_are_spread(
    documents: Documents, cuts: list[int], floor: float, rows_a_group: int, scarce: bool
) -> None:
    with tempfile.TemporaryDirectory() as made, pytest.MonkeyPatch.context() as patch:
        if scarce:  # a few rows, pairs and codes at a time
            patch.setattr(near, "_ROWS_AT_LEAST", 3)
            patch.setattr(near, "_CODES_AT_ONCE", 4)
            patch.setattr(near, "_PAIRS_AT_ONCE", 2)
        # What 3 rows and 4 codes take beside 25 bytes a document, and a little more: two to six rows are a part.
        room = Room(1 << 40, 25 * len(documents) + 96 * 3 + 24 * 4 + 1_000 if scarce else None)
        folder, scratch = Path(made), Path(made) / "scratch"
        files = [
            write(folder / f"{number}.parquet", portion, rows_a_group)
            for number, portion in enumerate(portions(documents, cuts))
        ]

        at_once = rows(files, scratch, floor=floor, measure_room=lambda _: room)
        assert at_once == sorted(
            expected(documents, list(documents), floor),
            key=lambda pair: [list(documents).index(one) for one in pair[:2]],
        )
        one_by_one: Found = []
        for number in range(len(files)):
            one_by_one += rows(files[: number + 1], scratch, first_new=number, floor=floor, measure_room=lambda _: room)
        assert one_by_one == at_once
        assert not scratch.exists()


@given(collections(), st.randoms(use_true_random=False))
def test_the_order_of_documents_makes_no_difference_to_what_is_similar(documents: Documents, random: Any) -> None:
    def similar(order: list[str]) -> set[tuple[frozenset[frozenset[int]], float]]:
        with tempfile.TemporaryDirectory() as made:
            file = write(Path(made) / "a.parquet", {name: documents[name] for name in order})
            found = rows([file], Path(made) / "scratch")
            return {(frozenset((documents[a], documents[b])), similarity) for a, b, similarity in found}

    shuffled = list(documents)
    random.shuffle(shuffled)
    assert similar(shuffled) == similar(list(documents))


def test_the_new_document_comes_first_and_files_are_named_by_their_place(tmp_path: Path) -> None:
    # {1, 2, 3, 4} and {1, 2, 3, 5} share 3 of 5 shingles. All share key 7 of the first band.
    base, changed = frozenset({1, 2, 3, 4}), frozenset({1, 2, 3, 5})
    first = tmp_path / "first.parquet"
    frame_of({"old": base, "same": base, "other": frozenset({8})}, band_00=[7, 7, 9]).write_parquet(first)
    second = tmp_path / "second.parquet"
    frame_of({"new": changed, "copy": base}, band_00=[7, 7]).write_parquet(second)
    pairs = find_pairs([first, second], first_new=1, scratch=tmp_path / "scratch", run=run)
    assert pl.concat(list(pairs)).rows() == [(1, "new", 0, "old", 3 / 5), (1, "copy", 0, "old", 1.0)]
    report = pairs.report
    assert (report.documents, report.earlier, report.candidates, report.verified, report.copies) == (2, 3, 1, 1, 1)
    assert report.thinned == []


def test_workers_make_no_difference(tmp_path: Path) -> None:
    def of_workers(function: Callable[[Any], Any], units: Sequence[Any], *, task: str) -> Iterator[Any]:
        return compute.run(function, units, task=task, workers=2)

    files = []
    for number in range(3):
        documents = {f"{number}-{one}": frozenset({*range(9), 10 + one % 5, 100 + number}) for one in range(30)}
        files.append(write(tmp_path / f"{number}.parquet", documents))
    with_two = pl.concat(list(find_pairs(files, scratch=tmp_path / "scratch", run=of_workers)))
    assert list(with_two.select("doc_id", "other_id", "similarity").iter_rows()) == rows(files, tmp_path / "scratch")
    # Each file has 5 sets, and 25 copies of them.
    assert with_two.filter(pl.col("similarity") == 1).height == 75 < with_two.height


def test_a_million_copies_would_be_a_million_pairs(tmp_path: Path) -> None:
    documents = {str(number): frozenset({1, 2, 3}) for number in range(2_000)}
    found = rows([write(tmp_path / "a.parquet", documents)], tmp_path / "scratch")
    assert found == [(str(number), "0", 1.0) for number in range(1, 2_000)]


def test_documents_without_words_are_like_no_other(tmp_path: Path) -> None:
    files = [write(tmp_path / f"{name}.parquet", {f"{name}{n}": frozenset() for n in range(5)}) for name in "ab"]
    assert rows(files, tmp_path / "scratch") == []
    assert rows(files, tmp_path / "scratch", first_new=1) == []


def test_no_files_and_no_new_files_have_no_pairs(tmp_path: Path) -> None:
    file = write(tmp_path / "a.parquet", {"a": frozenset({1}), "b": frozenset({1})})
    assert rows([], tmp_path / "scratch") == []
    assert rows([file], tmp_path / "scratch", first_new=1) == []


def crowd(tmp_path: Path, order: Sequence[int]) -> tuple[Path, dict[str, frozenset[int]]]:
    """2,000 documents that are alike in nothing but the key of a band, and a family of 100 with that key."""
    documents = {f"u{n}": frozenset(range(1_000 + 10 * n, 1_010 + 10 * n)) for n in range(2_000)}
    documents |= {f"f{n}": frozenset([*range(50), 100 + n]) for n in range(100)}
    names = [list(documents)[place] for place in order]
    documents = {name: documents[name] for name in names}
    file = tmp_path / f"{len(list(tmp_path.iterdir()))}.parquet"
    frame_of(documents, band_00=[7] * len(names)).write_parquet(file)
    return file, documents


def test_a_key_that_thousands_share_is_thinned_and_told(tmp_path: Path) -> None:
    file, documents = crowd(tmp_path, range(2_100))
    pairs = find_pairs([file], scratch=tmp_path / "scratch", run=run, max_group=64)
    found = pl.concat(list(pairs))
    # Each is compared with the first and three neighbours. The other bands of the family have a hundred members too.
    assert pairs.report.candidates <= 4 * 2_100 + 2 * 4 * 100
    thinned = pairs.report.thinned[0]
    assert (thinned.band, thinned.groups, thinned.documents, thinned.largest) == ("band_00", 1, 2_100, 2_100)
    assert all(jaccard(documents[a], documents[b]) == s for a, b, s in found[:, [1, 3, 4]].iter_rows())
    # The family hangs together: what is similar stands side by side in the order of the next keys.
    families: dict[str, str] = {name: name for name in documents}
    for a, b in found.select("doc_id", "other_id").iter_rows():
        old, new = families[a], families[b]
        families = {name: new if one == old else one for name, one in families.items()}
    assert len({families[f"f{n}"] for n in range(100)}) == 1


def test_what_is_compared_of_a_thinned_key_depends_on_the_documents_alone(tmp_path: Path) -> None:
    def similar(order: Sequence[int]) -> set[frozenset[str]]:
        return {frozenset(pair[:2]) for pair in rows([crowd(tmp_path, order)[0]], tmp_path / "scratch")}

    assert similar(range(2_100)) == similar(range(2_099, -1, -1))


def test_a_search_leaves_nothing_behind(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    leftover = scratch / "pairs-killed" / "candidates"
    leftover.parent.mkdir(parents=True)
    leftover.write_bytes(b"half a number")
    file = write(tmp_path / "a.parquet", {name: frozenset({1, 2}) for name in "abc"})
    assert len(rows([file], scratch)) == 2
    early = iter(find_pairs([file], scratch=scratch, run=run))
    next(early)
    early.close()  # type: ignore[attr-defined]

    def fails(*_: object, **__: object) -> Iterator[Any]:
        raise RuntimeError("no worker")

    with pytest.raises(RuntimeError, match="no worker"):
        list(find_pairs([file], scratch=scratch, run=fails))
    assert [path.name for path in scratch.iterdir()] == ["pairs-killed"]


@pytest.mark.parametrize(
    ("room", "message"),
    [
        (Room(1 << 40, 1_000), r"of memory are needed to look for pairs among 9 documents, and 1.0 kB are available"),
        (Room(10, 1 << 40), r"of disk are needed for candidates, and 10 bytes are free. Free some"),
    ],
)
def test_it_is_refused_where_there_is_no_room(tmp_path: Path, room: Room, message: str) -> None:
    documents = {str(n): frozenset([*range(9), 20 + n]) for n in range(9)}
    file = write(tmp_path / "a.parquet", documents)
    with pytest.raises(DedupError, match=message):
        rows([file], tmp_path / "scratch", measure_room=lambda _: room)
    assert not (tmp_path / "scratch").exists()


def test_files_that_are_something_else_are_named(tmp_path: Path) -> None:
    good = write(tmp_path / "good.parquet", {"a": frozenset({1}), "b": frozenset({2})})
    bad = tmp_path / "bad.parquet"

    def message() -> str:
        with pytest.raises(DedupError) as caught:
            rows([good, bad], tmp_path / "scratch")
        assert "\n" not in str(caught.value)
        return str(caught.value).replace(str(tmp_path), "")

    bad.write_text("no Parquet")
    assert message().startswith("/bad.parquet is no Parquet file: ")
    frame = frame_of({"c": frozenset({1, 2}), "d": frozenset({1, 2, 3})}, band_00=[5, 5])
    frame.drop("shingles").write_parquet(bad)
    assert message() == "/bad.parquet has no column 'shingles': give files of a minhash annotation."
    frame.drop("band_02").write_parquet(bad)
    assert message() == "/bad.parquet has 2 bands, " + "/good.parquet has 3: measure one of them again."
    frame.with_columns(shingle_set=pl.lit(None, pl.Int64)).write_parquet(bad)
    assert message() == "/bad.parquet: row 0 has shingles and no shingle_set: measure the file again."
    frame.with_columns(n_shingles=pl.Series([2, 4])).write_parquet(bad)
    assert message() == "/bad.parquet: row 1 has other shingles than its n_shingles says: measure it again."
    bad.unlink()
    with pytest.raises(FileNotFoundError, match=r"bad\.parquet"):
        rows([good, bad], tmp_path / "scratch")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"floor": 0.0}, "floor is 0.0; it must be above 0 and at most 1."),
        ({"floor": float("nan")}, "floor is nan; it must be above 0 and at most 1."),
        ({"first_new": 2}, "first_new is 2; there are 0 files."),
        ({"max_group": 1}, "max_group is 1; it must be 2 or more."),
    ],
)
def test_arguments_out_of_bounds_are_refused(tmp_path: Path, asked: dict[str, Any], message: str) -> None:
    with pytest.raises(DedupError) as caught:
        find_pairs([], scratch=tmp_path, run=run, **asked)
    assert str(caught.value) == message
