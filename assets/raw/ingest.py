"""From one archive file to rows: records are read, pages are turned into text, languages are identified.

One unit of work is one file, read a batch of documents at a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl

from lakehouse import annotate, schema
from lakehouse.crawl import ArchiveReader, FetchedPage, RejectedRecord
from lakehouse.data_files import DataFile, DataFileWriter
from lakehouse.extract import ExtractError, Page, extract_page
from lakehouse.identity import hash_of, record_id, text_id
from lakehouse.lake import Lake

_BATCH_DOCUMENTS = 512
_POLARS = {name: schema.empty(layer) for name, layer in (("raw", schema.RAW), ("rejects", schema.REJECTS))}


@dataclass(frozen=True)
class ArchiveFile:
    """A file in the landing folder. `name` is its path below that folder, `ordinal` its place among its snapshot's."""

    root: Path
    source: str
    snapshot: str
    name: str
    ordinal: int


@dataclass(frozen=True)
class Ingested:
    """What became of one archive file: the data files written, and its row for `files/<source>`."""

    documents: list[DataFile]
    rejects: list[DataFile]
    outcome: dict[str, Any]


def landed_files(lake: Lake, source: str, snapshot: str) -> list[ArchiveFile]:
    """The files of one snapshot in the landing folder, sorted by name; unfinished downloads are left out.

    A link whose file is gone is one of them, so that its documents are missed, not forgotten.
    """
    folder = lake.landing / source / snapshot
    paths = sorted(path for path in folder.rglob("*") if not is_unfinished(path) and (path.is_file() or _is_dead(path)))
    return [
        ArchiveFile(lake.root, source, snapshot, path.relative_to(lake.landing).as_posix(), ordinal)
        for ordinal, path in enumerate(paths)
    ]


def is_unfinished(path: Path) -> bool:
    """Whether `path` is still being written, as crawlers and copying tools mark it."""
    return path.name.startswith(".") or path.suffix in {".partial", ".tmp", ".part", ".open"}


def landing_fingerprint(lake: Lake, source: str, snapshot: str) -> str:
    """A hash of the names, sizes and times of a snapshot's files: it changes when they do."""
    paths = [(file.name, lake.landing / file.name) for file in landed_files(lake, source, snapshot)]
    found = [(name, path.lstat() if _is_dead(path) else path.stat()) for name, path in paths]
    return hash_of(*(f"{name}:{stat.st_size}:{stat.st_mtime_ns}" for name, stat in found))


def _is_dead(path: Path) -> bool:
    """Whether `path` is a link to something that is not there."""
    return path.is_symlink() and not path.exists()


def ingest_file(file: ArchiveFile) -> Ingested:
    """Read one archive file into data files of `raw/<source>` and `rejects/<source>`."""
    lake = Lake(file.root)
    reader = ArchiveReader(lake.landing / file.name)
    with (
        lake.writer(f"raw/{file.source}", snapshot=file.snapshot, ordinal=file.ordinal) as documents,
        lake.writer(f"rejects/{file.source}", snapshot=file.snapshot, ordinal=file.ordinal) as rejects,
    ):
        pages: list[dict[str, Any]] = []
        ledger: list[dict[str, Any]] = []
        for record in reader:
            if isinstance(record, RejectedRecord):
                ledger.append(_ledger_row(file, record, "record", record.rule, asdict(record)))
            else:
                try:
                    pages.append(_document_row(file, record, extract_page(record.body, record.headers)))
                except ExtractError as error:
                    ledger.append(_ledger_row(file, record, "extract", error.rule, {"evidence": error.evidence}))
            if len(pages) + len(ledger) >= _BATCH_DOCUMENTS:
                _write(documents, rejects, pages, ledger)
                pages, ledger = [], []
        _write(documents, rejects, pages, ledger)
    outcome = asdict(reader.outcome) | {
        "snapshot": file.snapshot,
        "source": file.source,
        "warc_file": file.name,
        "documents": documents.rows,
        "rejected": rejects.rows,
    }
    return Ingested(documents.finished(), rejects.finished(), outcome)


def _write(
    documents: DataFileWriter, rejects: DataFileWriter, pages: list[dict[str, Any]], ledger: list[dict[str, Any]]
) -> None:
    if pages:
        languages = annotate.identify([page["text"] for page in pages])
        frame = pl.DataFrame(pages, schema_overrides=_overrides("raw", pages[0])).hstack(languages)
        documents.write(frame.with_columns(n_words=pl.col("text").str.count_matches(r"\S+").cast(pl.Int64)))
    if ledger:
        rejects.write(pl.DataFrame(ledger, schema_overrides=_overrides("rejects", ledger[0])))


def _overrides(table: str, row: Mapping[str, Any]) -> dict[str, Any]:
    # A column of a batch may hold nothing but nulls: types come from the schema, never from the values.
    return {name: kind for name, kind in _POLARS[table].schema.items() if name in row}


def _document_row(file: ArchiveFile, record: FetchedPage, page: Page) -> dict[str, Any]:
    return {
        "doc_id": record_id(file.source, file.name, record.warc_offset),
        "text_id": text_id(page.text),
        "snapshot": file.snapshot,
        "source": file.source,
        "text": page.text,
        "n_chars": len(page.text),
        "parents": [],
        "url": record.url,
        "host": record.host,
        "warc_file": file.name,
        "warc_offset": record.warc_offset,
        "warc_length": record.warc_length,
        "fetched_at": record.fetched_at,
        "http_status": record.http_status,
        "content_type": record.content_type,
        "charset": page.charset,
        "digest": record.digest,
        "title": page.title,
        "license": page.license,
        "consent": page.consent,
    }


def _ledger_row(
    file: ArchiveFile, record: FetchedPage | RejectedRecord, stage: str, rule: str, found: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "doc_id": record_id(file.source, file.name, record.warc_offset),
        "snapshot": file.snapshot,
        "source": file.source,
        "stage": stage,
        "rule": rule,
        "value": found.get("value"),
        "threshold": found.get("threshold"),
        "evidence": found.get("evidence"),
        "failed": [rule],
        "url": record.url,
        "host": record.host,
        "warc_file": file.name,
        "warc_offset": record.warc_offset,
        "warc_length": record.warc_length,
    }
