"""Texts that commands read: JSON lines, plain text, and tables of the lake."""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import polars as pl

from lakehouse.lake import Lake, LakeError, default_root

BATCH_DOCUMENTS = 1_000


def text_batches(source: str, *columns: str) -> Iterator[pl.DataFrame]:
    """Documents of a file or of a table of the lake, in batches: doc_id, text, and those of `columns` that there are.

    Args:
        source: a file of JSON lines (id, text and other keys) or of plain text (.txt: one document), either with .gz; a
            folder of such files; `-` for JSON lines on standard input; or a table such as filtered/web_clean.

    Raises:
        LakeError: it cannot be read; the message names the file and the line.
    """
    path = Path(source)
    if source != "-" and not path.exists():
        yield from _of_table(source, columns)
        return
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    batch: list[dict[str, Any]] = []
    for file in files:
        for row in _rows(file):
            batch.append({"doc_id": row[0], "text": row[1]} | {name: row[2].get(name) for name in columns})
            if len(batch) == BATCH_DOCUMENTS:
                yield _frame(batch, columns)
                batch = []
    if batch:
        yield _frame(batch, columns)


def _of_table(table: str, columns: tuple[str, ...]) -> Iterator[pl.DataFrame]:
    lake = Lake(default_root())
    if table.split("/")[0] not in ("raw", "filtered", "synthetic") or not lake.exists(table):
        raise LakeError(f"{table} is neither a file nor a text table of the lake at {lake.root}.")
    wanted = ["doc_id", "text", *(name for name in columns if name in lake.schema(table).names)]
    from lakehouse.data_files import read_batches

    for file in lake.files(table):
        yield from read_batches(file, wanted)


def _frame(batch: list[dict[str, Any]], columns: tuple[str, ...]) -> pl.DataFrame:
    return pl.DataFrame(batch, schema={"doc_id": pl.String, "text": pl.String, **dict.fromkeys(columns, pl.String)})


def _rows(file: Path) -> Iterator[tuple[str, str, dict[str, Any]]]:
    try:
        stream = _opened(file)
    except OSError as error:
        raise LakeError(f"{file} cannot be read: {error.strerror}.") from error
    with stream:
        if file.name.removesuffix(".gz").endswith(".txt"):
            yield str(file), encodable(stream.read()), {}
            return
        for number, line in enumerate(stream, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                yield encodable(str(row.get("id", row.get("doc_id", number)))), encodable(str(row["text"])), row
            except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
                raise LakeError(f"{file}:{number}: this is no JSON object with a text: {error}.") from error


def _opened(file: Path) -> TextIO:
    if str(file) == "-":
        return sys.stdin
    if file.suffix == ".gz":
        return gzip.open(file, "rt", encoding="utf-8", errors="replace")
    return file.open(encoding="utf-8", errors="replace")


def encodable(text: str) -> str:
    """`text` without lone surrogates, which JSON can name and UTF-8 cannot hold."""
    return text.encode("utf-8", "replace").decode("utf-8")
