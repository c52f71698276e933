"""What a recipe made of plain files, as JSON lines: the documents, and the outputs that were rejected."""

from __future__ import annotations

import gzip
import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import polars as pl

from lakehouse.generate import Laid
from lakehouse.lake import LakeError

_DOCUMENT = ("text", "parents", "recipe", "recipe_version", "model", "depth", "language", "language_score", "outputs")
_FURTHER = ("programs", "edits", "request_ids")
_REJECT = ("parents", "recipe", "recipe_version", "model", "gate", "value", "threshold", "evidence", "failed")


@dataclass
class Written:
    """What was written."""

    documents: int = 0
    outputs: int = 0
    accepted: int = 0
    gates: Counter[str] = field(default_factory=Counter)  # rejected outputs, by the first gate that failed


def write_lines(laid: Iterable[Laid], output: Path | None, rejects: Path | None) -> Written:
    """Write documents and rejected outputs as they are judged. Files appear when they are whole.

    Args:
        laid: what became of the units, a chunk at a time.
        output: a file, also .gz; None: standard output.
        rejects: a file, also .gz; None: they are only counted.

    Raises:
        LakeError: a file cannot be written.
    """
    written = Written()
    with ExitStack() as stack:
        documents = stack.enter_context(_opened(output)) if output else sys.stdout
        ledger = stack.enter_context(_opened(rejects)) if rejects else None
        for chunk in laid:
            documents.writelines(_lines(_documents(chunk.documents)))
            rejected = chunk.judgements.filter(~pl.col("accepted"))
            if ledger:
                ledger.writelines(_lines(_rejects(rejected)))
            written.documents += chunk.documents.height
            written.outputs += chunk.outputs
            written.accepted += chunk.outputs - rejected.height
            written.gates.update(rejected["gate"])
    return written


def check_readable(files: Sequence[Path]) -> None:
    """Make sure, before any work, that files are there.

    Raises:
        LakeError: one is not.
    """
    for file in files:
        if str(file) != "-" and (file.is_dir() or not file.exists()):
            raise LakeError(f"{file} cannot be read: {'it is a folder' if file.is_dir() else 'there is no such file'}.")


def check_writable(outputs: Sequence[Path | None], inputs: Sequence[Path]) -> None:
    """Make sure, before any work, that files can be written where they are wanted, and that none is one that is read.

    Raises:
        LakeError: otherwise.
    """
    taken = {file.resolve(): f"{file} is read" for file in inputs if str(file) != "-"}
    for file in outputs:
        if file is None:
            continue
        if not file.absolute().parent.is_dir():
            raise LakeError(f"{file}: there is no folder {file.absolute().parent}.")
        if file.is_dir():
            raise LakeError(f"{file} is a folder: give the name of a file.")
        if problem := taken.get(file.resolve()):
            raise LakeError(f"{problem}: write to another file.")
        taken[file.resolve()] = f"{file} is written already"


def _documents(documents: pl.DataFrame) -> Iterator[dict[str, Any]]:
    from lakehouse import annotate

    rows = documents.hstack(annotate.identify(documents["text"].to_list()))
    for row in rows.iter_rows(named=True):
        attributes = json.loads(row["attributes"]) if row["attributes"] else {}
        yield {
            "id": row["doc_id"],
            **{name: row[name] for name in _DOCUMENT},
            "attributes": attributes,
            **{name: row[name] for name in _FURTHER},
            "scores": _scores(row),
        }


def _rejects(rejected: pl.DataFrame) -> Iterator[dict[str, Any]]:
    for row in rejected.iter_rows(named=True):
        ids = {"id": row["unit_id"]}
        yield ids | {name: row[name] for name in (*_REJECT, "request_ids")} | {"scores": _scores(row)}


def _scores(row: dict[str, Any]) -> dict[str, float]:
    from lakehouse.generate.documents import MEASURES

    return {name: row[name] for name in MEASURES if row[name] is not None}


def _lines(rows: Iterable[dict[str, Any]]) -> Iterator[str]:
    for row in rows:
        yield json.dumps(row, ensure_ascii=False, default=str) + "\n"


@contextmanager
def _opened(file: Path) -> Iterator[TextIO]:
    """A file that gets its name once all of it is written."""
    part = file.with_name(f".{file.name}.part")
    try:
        try:
            with _begun(part, compressed=file.suffix == ".gz") as stream:
                yield stream
            os.replace(part, file)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise LakeError(f"{file} cannot be written: {error.strerror}.") from error


def _begun(part: Path, *, compressed: bool) -> TextIO:
    return gzip.open(part, "wt", encoding="utf-8") if compressed else part.open("w", encoding="utf-8")
