"""Semantic duplicates: every pair that is near enough within clusters, once, whatever the files and the workers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse import compute
from lakehouse.dedup import DedupError, cosines, room, semantic
from lakehouse.dedup.clustering import fit, nearest_clusters
from lakehouse.dedup.semantic import SemanticPairs, find_semantic_pairs

Rows = list[tuple[str, list[float] | None]]
Found = dict[tuple[str, str], float]


def write(folder: Path, *files: Rows) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for place, rows in enumerate(files):
        paths.append(folder / f"{place}.parquet")
        columns = {"doc_id": [row[0] for row in rows], "embedding": [row[1] for row in rows]}
        schema = {"doc_id": pl.String, "embedding": pl.List(pl.Float32)}
        pl.DataFrame(columns, schema=schema).write_parquet(paths[-1])
    return paths


def search(paths: Sequence[Path], folder: Path, workers: int = 1, **settings: Any) -> SemanticPairs:
    run = partial(compute.run, workers=workers)
    return find_semantic_pairs(paths, **{"floor": 0.9, "scratch": folder / "scratch", "run": run} | settings)


def collect(found: SemanticPairs) -> tuple[pl.DataFrame, Found]:
    """All pairs as they came, and by their documents without regard to which stands first."""
    frames = list(found)
    frame = pl.concat(frames) if frames else pl.DataFrame(schema=semantic.PAIRS)
    named = {}
    for doc_id, other_id, similarity in frame.select("doc_id", "other_id", "similarity").iter_rows():
        key = (min(doc_id, other_id), max(doc_id, other_id))
        assert key not in named, "each pair once"
        named[key] = similarity
    return frame, named


def cosines_of(rows: Rows, floor: float) -> Found:
    """All pairs, all with all."""
    ids = [doc_id for doc_id, vector in rows if vector is not None]
    vectors = np.array([vector for _, vector in rows if vector is not None], np.float64)
    vectors = vectors.reshape(len(ids), -1) if ids else np.ones((0, 1))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = vectors @ vectors.T
    pairs = np.argwhere(np.triu(cosines >= floor, 1)).tolist()
    return {(min(ids[a], ids[b]), max(ids[a], ids[b])): cosines[a, b] for a, b in pairs}


def around(topics: int, rows: int, dimensions: int, seed: int = 0, spread: float = 0.3) -> Rows:
    """Vectors around a few directions."""
    chance = np.random.default_rng(seed)
    centres = chance.standard_normal((topics, dimensions))
    found = centres[chance.integers(topics, size=rows)] + spread * chance.standard_normal((rows, dimensions))
    return [(f"d{place:05}", vector.astype(np.float32).tolist()) for place, vector in enumerate(found)]


def test_angles_that_are_small_enough_are_pairs(tmp_path: Path) -> None:
    # At 0, 20, 40 and 90 degrees; cos 20 = 0.939693, cos 40 = 0.766044.
    rows: Rows = [(f"at {angle}", [np.cos(np.radians(angle)), np.sin(np.radians(angle))]) for angle in (0, 20, 40, 90)]
    frame, pairs = collect(search(write(tmp_path, rows), tmp_path))
    assert pairs == {("at 0", "at 20"): 0.939693, ("at 20", "at 40"): 0.939693}
    assert frame.columns == ["file", "doc_id", "other_file", "other_id", "similarity"]
    assert frame.select("doc_id", "other_id").rows() == [("at 20", "at 0"), ("at 40", "at 20")]
    _, wider = collect(search(write(tmp_path, rows), tmp_path, floor=0.766))
    assert wider[("at 0", "at 40")] == 0.766044


def test_the_same_vector_is_compared_once_and_alone_has_similarity_one(tmp_path: Path) -> None:
    rows: Rows = [("a", [3.0, 4.0]), ("b", [3.0, 4.0]), ("c", [3.0001, 4.0]), ("d", None), ("e", [3.0, 4.0])]
    found = search(write(tmp_path, rows), tmp_path)
    _, pairs = collect(found)
    # The cosine of a and c is 0.9999999997: it is not the same vector.
    assert pairs == {("a", "b"): 1.0, ("a", "e"): 1.0, ("a", "c"): 0.999999}
    assert (found.report.documents, found.report.copies, found.report.verified) == (4, 2, 1)


@settings(max_examples=25)
@given(
    files=st.lists(st.integers(0, 40), min_size=1, max_size=4),
    new=st.integers(0, 3),
    topics=st.integers(1, 6),
    floor=st.sampled_from([0.5, 0.9, 0.99]),
    seed=st.integers(0, 1000),
)
def test_in_one_cluster_every_pair_with_a_new_document_is_found(
    tmp_path_factory: pytest.TempPathFactory, files: list[int], new: int, topics: int, floor: float, seed: int
) -> None:
    folder = tmp_path_factory.mktemp("pairs")
    rows = around(topics, sum(files), 8, seed)
    cuts = np.cumsum([0, *files])
    parts = [rows[begin:end] for begin, end in pairwise(cuts)]
    first_new = min(new, len(files))
    frame, pairs = collect(search(write(folder, *parts), folder, first_new=first_new, floor=floor, clusters=1))
    names = {doc_id for part in parts[first_new:] for doc_id, _ in part}
    truth = {pair: cosine for pair, cosine in cosines_of(rows, floor).items() if names & set(pair)}
    near_floor = {pair for pair in truth.keys() ^ pairs.keys() if pair not in cosines_of(rows, floor - 1e-6)}
    assert truth.keys() ^ pairs.keys() == near_floor
    assert all(abs(pairs[pair] - truth[pair]) < 2e-6 for pair in truth.keys() & pairs.keys())
    place = {doc_id: at for at, (doc_id, _) in enumerate(rows)}
    for file, doc_id, other_file, other_id, _ in frame.iter_rows():
        assert place[doc_id] > place[other_id], "the later document first"
        assert doc_id in names
        assert cuts[file] <= place[doc_id] < cuts[file + 1]
        assert cuts[other_file] <= place[other_id] < cuts[other_file + 1]


def test_one_snapshot_after_the_other_gives_the_pairs_of_all_at_once(tmp_path: Path) -> None:
    rows = around(4, 300, 8)
    parts = [rows[:120], rows[120:250], rows[250:]]
    paths = write(tmp_path, *parts)
    _, at_once = collect(search(paths, tmp_path, clusters=1))
    found: Found = {}
    for place in range(3):
        _, pairs = collect(search(paths[: place + 1], tmp_path, first_new=place, clusters=1))
        assert not found.keys() & pairs.keys()
        found |= pairs
    assert found == at_once
    assert len(found) > 100


def test_what_clusters_miss_is_little_and_what_they_find_is_right(tmp_path: Path) -> None:
    rows = around(40, 3_000, 24, spread=0.2)
    truth = cosines_of(rows, 0.97)
    found = search(write(tmp_path, rows), tmp_path, floor=0.97, clusters=30)
    _, pairs = collect(found)
    assert pairs.keys() <= cosines_of(rows, 0.97 - 1e-6).keys()
    assert len(pairs) > 0.99 * len(truth) > 1_000
    assert found.report.clusters == 30
    assert found.report.compared < 0.5 * 3_000 * 2_999 / 2


def test_pairs_depend_on_neither_files_nor_rows_nor_workers_nor_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = around(10, 900, 12)
    names = [doc_id for doc_id, _ in rows]
    ways = {"one": [rows], "two": [rows[500:], rows[:500]], "mixed": [rows[1::2], [], rows[::2][::-1]]}
    assert sorted(doc_id for part in ways["mixed"] for doc_id, _ in part) == names
    found = {
        way: collect(search(write(tmp_path / way, *parts), tmp_path, clusters=8, seed=5))[1]
        for way, parts in ways.items()
    }
    assert found["one"] == found["two"] == found["mixed"]
    two, _ = collect(search(write(tmp_path / "one", rows), tmp_path, 2, clusters=8, seed=5))
    one, _ = collect(search(write(tmp_path / "one", rows), tmp_path, 1, clusters=8, seed=5))
    assert one.equals(two)
    for name, number in (("_ROWS", 7), ("_COLUMNS", 11), ("_EXACT_AT_ONCE", 3)):
        monkeypatch.setattr(cosines, name, number)
    for name, number in (("_CELLS_A_UNIT", 500), ("_PAIRS_AT_ONCE", 13), ("_ASSIGNED_AT_ONCE", 100)):
        monkeypatch.setattr(semantic, name, number)
    _, in_parts = collect(search(write(tmp_path / "one", rows), tmp_path, clusters=8, seed=5))
    assert in_parts == found["one"]


def test_centroids_are_unit_vectors_and_no_cluster_stays_empty() -> None:
    chance = np.random.default_rng(0)
    centres = np.eye(4, dtype=np.float32)
    sample = centres[chance.integers(4, size=400)] + 0.05 * chance.standard_normal((400, 4)).astype(np.float32)
    sample = (sample / np.linalg.norm(sample, axis=1, keepdims=True)).astype(np.float32)
    # To begin with all centroids lie in the direction that the first vectors have.
    first = np.argsort(-sample[:, 0], kind="stable")
    centroids = fit(sample[first], 4)
    np.testing.assert_allclose(np.linalg.norm(centroids, axis=1), 1, atol=1e-6)
    assert sorted(centroids.argmax(axis=1)) == [0, 1, 2, 3]
    assert len(set(nearest_clusters(sample, centroids, 9.0)[:, 0].tolist())) == 4


def test_a_cluster_that_is_too_far_away_is_left_out() -> None:
    # At 0 and 90 degrees; a vector at 30 degrees is 60 - 30 = 30 degrees farther from the second one.
    centroids = np.array([[1, 0], [0, 1]], np.float32)
    vector = np.array([[np.cos(np.radians(30)), np.sin(np.radians(30))]], np.float32)
    assert nearest_clusters(vector, centroids, np.radians(29.9)).tolist() == [[0, -1, -1]]
    assert nearest_clusters(vector, centroids, np.radians(30.1)).tolist() == [[0, 1, -1]]


def test_nothing_to_compare_is_no_pair(tmp_path: Path) -> None:
    for parts in ([], [[]], [[("a", None), ("b", None)]], [[("a", [1.0, 0.0])]]):
        found = search(write(tmp_path, *parts), tmp_path)
        assert list(found) == []
    paths = write(tmp_path, [("a", [1.0, 0.0]), ("b", [1.0, 0.0])])
    assert list(search(paths, tmp_path, first_new=1)) == []
    assert collect(search(paths, tmp_path))[1] == {("a", "b"): 1.0}
    assert not (tmp_path / "scratch").exists(), "nothing is left behind"


def test_input_that_makes_no_sense_is_refused_in_one_line(tmp_path: Path) -> None:
    for wrong, message in (
        ({"floor": 0}, "floor is 0"),
        ({"floor": 1.1}, "floor is 1.1"),
        ({"first_new": 2}, "first_new is 2; there are 1 files"),
        ({"clusters": 0}, "clusters is 0"),
    ):
        with pytest.raises(DedupError, match=message):
            search([tmp_path / "a.parquet"], tmp_path, **wrong)
    paths = write(tmp_path, [("a", [1.0, 0.0])], [("b", [1.0, 0.0]), ("c", [1.0, 0.0, 0.0])])
    with pytest.raises((DedupError, compute.ComputeError), match=r"1\.parquet: the vector of row 1 has 3 numbers"):
        list(search(paths, tmp_path))
    paths = write(tmp_path, [("a", [0.0, 0.0])])
    with pytest.raises((DedupError, compute.ComputeError), match=r"0\.parquet: the vector of row 0 has no direction"):
        list(search(paths, tmp_path))
    pl.DataFrame({"doc_id": ["a"], "score": [1.0]}).write_parquet(tmp_path / "other.parquet")
    with pytest.raises(DedupError, match=r"other\.parquet has no column 'embedding'"):
        list(search([tmp_path / "other.parquet"], tmp_path))
    with pytest.raises(DedupError, match="of disk are needed to compare the embeddings of 1 documents"):
        list(search(write(tmp_path, [("a", [1.0])]), tmp_path, measure_room=lambda _: room.Room(10, None)))
