"""`lakehouse dedup`: duplicates in files of JSON lines."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from lakehouse.annotate import AnnotatorError
from lakehouse.cli import app
from lakehouse.cli import dedup as command
from lakehouse.dedup import DedupError
from lakehouse.lake import LakeError

# Each word is a shingle and each band one hash, so what shares a third of its words is as good as sure to be compared.
SURE = ("--words", "1", "--bands", "100", "--rows", "1")
LETTERS = "one two three four five six seven eight nine ten"


def written(path: Path, texts: Iterable[str | tuple[str, str]]) -> Path:
    rows = [{"text": one} if isinstance(one, str) else {"id": one[0], "text": one[1]} for one in texts]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def dedup(*arguments: str | Path, given: str | None = None) -> list[dict[str, Any]]:
    command = ["dedup", "--workers", "1", *map(str, arguments)]
    done = CliRunner().invoke(app, command, input=given, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_each_document_is_told_what_stays_for_it(tmp_path: Path) -> None:
    texts = [
        ("a", LETTERS),
        ("b", LETTERS.replace("ten", "eleven")),
        ("c", "nothing of that is said here"),
        ("d", LETTERS.upper()),
    ]
    # b is the longest. 9 of the 11 words of a and b are in both; d is a in other letters.
    assert dedup(*SURE, written(tmp_path / "t.jsonl", texts)) == [
        {"id": "a", "cluster": "b", "kept": False, "kept_id": "b", "similarity": 9 / 11},
        {"id": "b", "cluster": "b", "kept": True, "kept_id": "b", "similarity": None},
        {"id": "c", "cluster": "c", "kept": True, "kept_id": "c", "similarity": None},
        {"id": "d", "cluster": "b", "kept": False, "kept_id": "b", "similarity": 9 / 11},
    ]
    first = dedup(*SURE, "--keep", "first", tmp_path / "t.jsonl")
    assert [row["kept_id"] for row in first] == ["a", "a", "c", "a"]
    assert [row["similarity"] for row in first] == [None, 9 / 11, None, 1.0]
    strict = dedup(*SURE, "--threshold", "0.9", tmp_path / "t.jsonl")
    assert [row["kept_id"] for row in strict] == ["a", "b", "c", "a"]


def test_drift_keeps_what_is_unlike_all_that_stays(tmp_path: Path) -> None:
    words = LETTERS.split()
    # Each step replaces two words of ten: neighbours share 8 of 12, those two steps apart 6 of 14.
    texts = [" ".join([*(f"w{place}" for place in range(2 * step)), *words[2 * step :]]) for step in range(3)]
    found = dedup(*SURE, "--threshold", "0.6", "--keep", "first", written(tmp_path / "t.jsonl", texts))
    assert [(row["cluster"], row["kept_id"]) for row in found] == [("1", "1"), ("1", "1"), ("1", "3")]
    assert found[1]["similarity"] == 8 / 12


def test_exact_copies_differ_in_case_and_white_space_at_most(tmp_path: Path) -> None:
    file = written(tmp_path / "t.jsonl", ["Same  text\n", "same text", "same text!", "", " \n", "...", "same TEXT "])
    found = dedup("--method", "exact", file)
    assert [row["kept_id"] for row in found] == ["1", "1", "3", "5", "5", "6", "1"]
    assert {row["similarity"] for row in found} == {None, 1.0}
    # For near duplicates punctuation makes no difference; texts without a word are like no other but the same text.
    assert [row["kept_id"] for row in dedup(file)] == ["1", "1", "1", "5", "5", "6", "1"]


def test_several_files_and_ids_that_repeat(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "b.jsonl.gz", "wt") as file:
        file.write(written(tmp_path / "b.jsonl", [("x", "other words"), ("x", LETTERS)]).read_text())
    given = json.dumps({"id": "y", "text": "other words"}) + "\n\n"
    written(tmp_path / "a.jsonl", [("x", LETTERS)])
    found = dedup(*SURE, tmp_path / "a.jsonl", tmp_path / "b.jsonl.gz", "-", given=given)
    assert [(row["id"], row["kept"], row["kept_id"]) for row in found] == [
        ("x", True, "x"),
        ("x", True, "x"),
        ("x", False, "x"),
        ("y", False, "x"),
    ]


def many(count: int) -> list[tuple[str, str]]:
    """17 families of texts; two of a family differ in the last of 40 words: 35 of their 37 shingles are in both."""
    return [
        (str(number), " ".join([*(f"w{number % 17}x{place}" for place in range(39)), "y" * (number + 1)]))
        for number in range(count)
    ]


def decisions(rows: Sequence[dict[str, Any]]) -> dict[str, tuple[str, str, float | None]]:
    return {row["id"]: (row["kept_id"], row["cluster"], row["similarity"]) for row in rows}


def test_neither_portions_nor_the_order_of_lines_make_a_difference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = many(200)
    found = dedup(written(tmp_path / "a.jsonl", texts))
    assert [row["id"] for row in found] == [name for name, _ in texts]
    assert sum(row["kept"] for row in found) == 17
    random.Random(1).shuffle(texts)
    monkeypatch.setattr(command, "_PART_BYTES", 1)
    monkeypatch.setattr("lakehouse.cli.texts._BATCH_DOCUMENTS", 9)
    monkeypatch.setattr(command, "_LINES_AT_ONCE", 7)
    assert decisions(dedup(written(tmp_path / "b.jsonl", texts))) == decisions(found)


def test_the_curve_is_explained_and_drawn(tmp_path: Path) -> None:
    alone = CliRunner().invoke(app, ["dedup", "--explain", "--bands", "20", "--plot", str(tmp_path / "curve.png")])
    assert alone.stdout.startswith("20 bands of 8 rows, 160 hashes")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
    file = written(tmp_path / "t.jsonl", [LETTERS])
    beside = CliRunner().invoke(app, ["dedup", "--workers", "1", "--explain", str(file)])
    assert json.loads(beside.stdout)["kept"]
    assert beside.stderr.startswith("14 bands of 8 rows")


def test_an_empty_file_has_no_lines(tmp_path: Path) -> None:
    assert dedup(written(tmp_path / "t.jsonl", [])) == []
    assert dedup("--method", "exact", tmp_path / "t.jsonl") == []


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ([], DedupError, "No files: name files of JSON lines with id and text, or - for standard input."),
        (["gone.jsonl"], LakeError, "gone.jsonl cannot be read: No such file or directory."),
        (["good.jsonl", "bad.jsonl"], LakeError, "bad.jsonl:2: this is no JSON object with a text: "),
        (["--threshold", "0", "good.jsonl"], DedupError, "--threshold is 0; it must be above 0 and at most 1."),
        (["--threshold", "nan", "good.jsonl"], DedupError, "--threshold is nan; it must be above 0 and at most 1."),
        (["--bands", "0", "good.jsonl"], AnnotatorError, "bands is 0; it must be a whole number from 1 to 100."),
        (["--plot", "no/such/folder.png"], LakeError, "no/such/folder.png cannot be written: No such file"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], kind: type[Exception], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    written(tmp_path / "good.jsonl", [LETTERS])
    (tmp_path / "bad.jsonl").write_text('{"text": "good"}\n{"text": "cut\n')
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "made"))
    (tmp_path / "made").mkdir()
    with pytest.raises(kind) as caught:
        dedup(*arguments)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "made").iterdir())
