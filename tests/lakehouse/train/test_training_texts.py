"""Texts to train on, from files and folders."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from lakehouse.train import TrainingError, read_texts


def texts(*paths: Path, column: str = "text") -> list[str]:
    frames = list(read_texts(paths, column=column))
    return [text for frame in frames for text in frame["text"]]


def test_a_file_of_text_has_one_text_a_line_and_a_file_in_a_folder_is_one(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("first\nsecond\n", encoding="utf-8")
    assert [text.strip() for text in texts(tmp_path / "a.txt")] == ["first", "second"]
    assert texts(tmp_path) == ["first\nsecond\n"]


def test_json_lines_and_parquet_have_one_text_a_row_wherever_they_lie(tmp_path: Path) -> None:
    lines = "\n".join(json.dumps({"text": text, "id": 1}, ensure_ascii=False) for text in ("eins", "zwei\u2028drei"))
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "b.jsonl").write_text(lines + "\n\n", encoding="utf-8")
    pl.DataFrame({"text": ["vier", None]}).write_parquet(tmp_path / "c.parquet")
    (tmp_path / ".hidden.bin").write_bytes(b"\xff")
    assert texts(tmp_path) == ["vier", "", "eins", "zwei\u2028drei"]
    frames = pl.concat(read_texts([tmp_path]))
    assert frames["source"].unique().sort().to_list() == [
        str(tmp_path / "c.parquet"),
        str(tmp_path / "deep" / "b.jsonl"),
    ]


def test_compressed_files_are_read_as_they_are(tmp_path: Path) -> None:
    line = json.dumps({"body": "a text"}) + "\n"
    with gzip.open(tmp_path / "a.jsonl.gz", "wt", encoding="utf-8") as file:
        file.write(line)
    with pa.output_stream(str(tmp_path / "b.jsonl.zst"), compression="zstd") as stream:
        stream.write(line.encode())
    assert texts(tmp_path / "a.jsonl.gz", tmp_path / "b.jsonl.zst", column="body") == ["a text", "a text"]


def test_a_lone_surrogate_does_not_end_the_reading(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "a \\ud800 b"}', encoding="utf-8")
    assert texts(tmp_path / "a.jsonl") == ["a ? b"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b'{"text": "x"}\nnonsense\n', r"a\.jsonl:2: this is no JSON"),
        ("a.jsonl", b'{"text": "x"}\n{"body": "y"}\n', r"a\.jsonl:2: this is no JSON object whose key 'text'"),
        ("a.jsonl", b"[1, 2]\n", r"a\.jsonl:1: this is no JSON object"),
        ("a.txt", b"fine\n\xff\xfe\n", r"a\.txt is not UTF-8"),
        ("a.pdf", b"%PDF", r"a\.pdf is of a kind that cannot be read"),
        ("a.parquet", b"no parquet", r"a\.parquet cannot be read"),
        ("a.jsonl.gz", b"no gzip", r"a\.jsonl\.gz cannot be read"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TrainingError, match=message):
        texts(tmp_path / name)


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"absent\.txt is not there"):
        texts(tmp_path / "absent.txt")
    with pytest.raises(TrainingError, match="is a folder without files"):
        texts(tmp_path)
    pl.DataFrame({"text": [1]}).write_parquet(tmp_path / "a.parquet")
    with pytest.raises(TrainingError, match="has no column 'body': it has text"):
        texts(tmp_path / "a.parquet", column="body")
    with pytest.raises(TrainingError, match="is of the type int64, not text"):
        texts(tmp_path / "a.parquet")
