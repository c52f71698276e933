"""Texts to train on: files and folders of plain text, JSON lines and Parquet."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from lakehouse.train.errors import TrainingError

_TEXT = (".txt", ".text", ".md", ".rst")
_JSON_LINES = (".jsonl", ".ndjson", ".json")
_COMPRESSED = {".gz": "gzip", ".zst": "zstd"}
_BATCH_ROWS = 1_024
_BATCH_CHARACTERS = 8_000_000
TEXTS = {"text": pl.String, "source": pl.String}


def read_texts(paths: Sequence[Path], *, column: str = "text") -> Iterator[pl.DataFrame]:
    """Read texts from files and from folders with files, in batches.

    Args:
        paths: files of plain text (one text a line), JSON lines or Parquet, the first two also as .gz or .zst; or
            folders with such files in any depth, where a file of plain text is one text. Files whose names begin with
            a dot are left out.
        column: the key of JSON lines and the column of Parquet files that has the text.

    Yields:
        Frames of text and source (the file).

    Raises:
        TrainingError: a file is missing, of another kind, or damaged.
    """
    for path in paths:
        for file in files_of(path):
            yield from _of_file(file, column, is_one_text=path.is_dir())


def files_of(path: Path) -> list[Path]:
    """The files that are read of a file or a folder.

    Raises:
        TrainingError: there is no such file or folder, or the folder holds none.
    """
    if not path.is_dir():
        if not path.exists():
            raise TrainingError(f"{path} is not there.")
        return [path]
    found = sorted(file for file in path.rglob("*") if file.is_file() and not _hidden(file, path))
    if not found:
        raise TrainingError(f"{path} is a folder without files.")
    return found


def _hidden(file: Path, folder: Path) -> bool:
    return any(part.startswith(".") for part in file.relative_to(folder).parts)


def _of_file(file: Path, column: str, *, is_one_text: bool) -> Iterator[pl.DataFrame]:
    compression = _COMPRESSED.get(file.suffix.lower())
    kind = (file.with_suffix("") if compression else file).suffix.lower()
    try:
        if kind == ".parquet" and not compression:
            yield from _of_parquet(file, column)
        elif kind in _JSON_LINES:
            yield from _batches(_of_json_lines(file, compression, column), file)
        elif kind in _TEXT:
            yield from _batches(_of_text(file, compression, is_one_text), file)
        else:
            known = ", ".join((*_TEXT, *_JSON_LINES, ".parquet"))
            raise TrainingError(f"{file} is of a kind that cannot be read: use {known}.")
    except UnicodeDecodeError as error:
        raise TrainingError(f"{file} is not UTF-8: {error.reason} ({error.object[error.start]:#x}).") from error
    except (pa.ArrowException, OSError) as error:
        raise TrainingError(f"{file} cannot be read: {error}") from error


def _of_text(file: Path, compression: str | None, is_one_text: bool) -> Iterator[str]:
    with _opened(file, compression) as stream:
        if is_one_text:
            yield stream.read()
        else:
            yield from stream


def _of_json_lines(file: Path, compression: str | None, column: str) -> Iterator[str]:
    with _opened(file, compression) as stream:
        for number, line in enumerate(stream, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise TrainingError(f"{file}:{number}: this is no JSON: {error}.") from error
            if not isinstance(row, dict) or not isinstance(row.get(column), str):
                raise TrainingError(f"{file}:{number}: this is no JSON object whose key {column!r} is a text.")
            yield row[column]


def _of_parquet(file: Path, column: str) -> Iterator[pl.DataFrame]:
    with pq.ParquetFile(file) as parquet:
        names = parquet.schema_arrow.names
        if column not in names:
            raise TrainingError(f"{file} has no column {column!r}: it has {', '.join(names)}.")
        kind = parquet.schema_arrow.field(column).type
        if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
            raise TrainingError(f"{file}: the column {column!r} is of the type {kind}, not text.")
        for batch in parquet.iter_batches(batch_size=_BATCH_ROWS, columns=[column]):
            texts = pl.from_arrow(batch.column(0))
            assert isinstance(texts, pl.Series)
            yield _frame(texts.fill_null(""), file)


@contextmanager
def _opened(file: Path, compression: str | None) -> Iterator[io.TextIOWrapper]:
    # A universal newline would also cut at the line separators that stand inside of JSON texts.
    with pa.input_stream(str(file), compression=compression) as stream:
        raw: Any = stream
        yield io.TextIOWrapper(raw, encoding="utf-8", newline="\n")


def _batches(texts: Iterable[str], file: Path) -> Iterator[pl.DataFrame]:
    batch: list[str] = []
    characters = 0
    for text in texts:
        batch.append(text.encode("utf-8", "replace").decode("utf-8"))  # JSON can name surrogates, UTF-8 cannot
        characters += len(text)
        if len(batch) == _BATCH_ROWS or characters > _BATCH_CHARACTERS:
            yield _frame(pl.Series(batch), file)
            batch, characters = [], 0
    if batch:
        yield _frame(pl.Series(batch), file)


def _frame(texts: pl.Series, file: Path) -> pl.DataFrame:
    return pl.DataFrame({"text": texts.cast(pl.String), "source": pl.repeat(str(file), len(texts), eager=True)})
