"""Documents that commands read as JSON lines, with an id each."""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import polars as pl

from lakehouse.lake import LakeError

_BATCH_DOCUMENTS = 1_000


def documents(file: Path, *columns: str) -> Iterator[pl.DataFrame]:
    """The documents of JSON lines, in batches: doc_id, text and `columns`, which are null where a line lacks them.

    Args:
        file: one object a line with a text and an id (its line's number without one), also as .gz; `-` for standard
            input.

    Raises:
        LakeError: it cannot be read; the message names the file and the line.
    """
    schema = {"doc_id": pl.String, "text": pl.String, **dict.fromkeys(columns, pl.String)}
    batch: list[dict[str, Any]] = []
    for doc_id, text, row in _rows(file):
        batch.append({"doc_id": doc_id, "text": text} | {name: row.get(name) for name in columns})
        if len(batch) == _BATCH_DOCUMENTS:
            yield pl.DataFrame(batch, schema=schema)
            batch = []
    if batch:
        yield pl.DataFrame(batch, schema=schema)


def _rows(file: Path) -> Iterator[tuple[str, str, dict[str, Any]]]:
    try:
        with _opened(file) as stream:
            for number, line in enumerate(stream, 1):
                if not line.strip():
                    continue
                try:
                    row = json.loads(line)
                    yield _encodable(str(row.get("id", number))), _encodable(str(row["text"])), row
                except (json.JSONDecodeError, KeyError, TypeError, AttributeError, RecursionError) as error:
                    raise LakeError(f"{file}:{number}: this is no JSON object with a text: {error}.") from error
    except (OSError, EOFError) as error:
        raise LakeError(f"{file} cannot be read: {getattr(error, 'strerror', None) or error}.") from error


def _opened(file: Path) -> TextIO:
    if str(file) == "-":
        return sys.stdin
    if file.suffix == ".gz":
        return gzip.open(file, "rt", encoding="utf-8", errors="replace")
    return file.open(encoding="utf-8", errors="replace")


def _encodable(text: str) -> str:
    """`text` without lone surrogates, which JSON can name and UTF-8 cannot hold."""
    return text.encode("utf-8", "replace").decode("utf-8")
