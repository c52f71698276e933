"""Reading an archive file from end to end, and one record of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from lakehouse.crawl.decompress import RECORD_MAGIC, ZSTD_MAGIC, decoded, is_compressed
from lakehouse.crawl.framing import Frame, Framing
from lakehouse.crawl.http_message import header
from lakehouse.crawl.records import FetchedPage, RejectedRecord, judge

MAX_BODY_BYTES = 16 << 20

_HTTP_HEADER_BYTES = 1 << 16
_MAX_DAMAGED_PLACES = 1000
_READ_AHEAD = 1 << 20
_ARC_MAGIC = b"filedesc:"


class ArchiveError(ValueError):
    """A record that was asked for cannot be read. The message names the file and the offset."""


@dataclass(frozen=True)
class FileOutcome:
    """What became of an archive file. Always: records = documents + rejected + skipped."""

    format: str  # warc, wet, wat, arc, empty or unknown
    bytes: int
    bytes_read: int  # without what is damaged
    records: int  # damaged stretches of the file included
    documents: int
    rejected: int
    skipped: int  # records of types that never hold a document
    error: str | None  # one line, without the file's name
    error_offset: int | None  # where in the file the first damage begins


class ArchiveReader:
    """Iterates over the pages and rejected records of one archive; `outcome` then says what became of the file.

    Reads WARC, WET and WAT: plain, gzip (one record a member or any other way), LZ4. A damaged stretch becomes one
    rejected record, and reading goes on at the next record behind it; the rest of a file with a thousand such places is
    rejected as one. A file in which no record begins has no records: its outcome says what it is. Iterating raises
    OSError where the file cannot be opened or read.

    Args:
        path: the file.
        max_body_bytes: larger bodies, packed or unpacked, are rejected; memory is bounded by a small multiple of it.
    """

    def __init__(self, path: Path, *, max_body_bytes: int = MAX_BODY_BYTES) -> None:
        self.path = path
        self.max_body_bytes = max_body_bytes
        self._reset(size=0)

    def _reset(self, size: int) -> None:
        self._size = size
        self._documents = self._rejected = self._skipped = 0
        self._types: set[str] = set()
        self._damaged_places = self._damaged_bytes = 0
        self._first_damaged: Frame | None = None
        self._foreign: tuple[str, str] | None = None  # format and error of a file that is no WARC file

    def __iter__(self) -> Iterator[FetchedPage | RejectedRecord]:
        with open(self.path, "rb", buffering=_READ_AHEAD) as file:
            self._reset(size=file.seek(0, 2))
            start = _first_bytes(file)
            self._foreign = _foreign_format(self._size, start)
            if self._foreign is not None:
                return
            unreadable: list[Frame] = []
            for frame in _frames(file, 0, self.max_body_bytes):
                if frame.headers is None and not self._types:
                    unreadable.append(frame)  # of a damaged archive, or of a file of another kind
                    continue
                self._types.add(_type_of(frame))
                for each in (*unreadable, frame):
                    yield from self._item(each)
                unreadable.clear()
                rest = self._size - frame.offset - frame.length
                if self._damaged_places >= _MAX_DAMAGED_PLACES and rest > 0:
                    yield from self._item(Frame(self._size - rest, rest, None, b"", 0, None, "corrupt"))
                    break
            if not self._types:
                self._foreign = _no_archive(start, unreadable)

    def _item(self, frame: Frame) -> Iterator[FetchedPage | RejectedRecord]:
        if frame.problem is not None:
            self._damaged_places += 1
            self._damaged_bytes += 0 if frame.complete else frame.length
            self._first_damaged = self._first_damaged or replace(frame, block=b"")
        item = judge(frame, self.max_body_bytes)
        if item is None:
            self._skipped += 1
            return
        if isinstance(item, FetchedPage):
            self._documents += 1
        else:
            self._rejected += 1
        yield item

    @property
    def outcome(self) -> FileOutcome:
        """What became of the file, as far as it has been read."""
        first = self._first_damaged
        file_format, error = self._foreign or (_format_of(self._types), self._damage())
        return FileOutcome(
            format=file_format,
            bytes=self._size,
            bytes_read=0 if self._foreign else max(0, self._size - self._damaged_bytes),
            records=self._documents + self._rejected + self._skipped,
            documents=self._documents,
            rejected=self._rejected,
            skipped=self._skipped,
            error=error,
            error_offset=first.offset if first is not None else 0 if error else None,
        )

    def _damage(self) -> str | None:
        first = self._first_damaged
        if first is None:
            return None
        end = first.offset + first.length
        if first.problem == "truncated" and end == self._size:
            what = f"cut off at byte {end:,}"
        elif first.problem == "truncated" and first.declared is not None:
            what = f"the record at byte {first.offset:,} has {first.block_size:,} of {first.declared:,} bytes"
        else:
            what = f"damaged at bytes {first.offset:,}–{end:,}"
        others = f" (damaged places: {self._damaged_places:,})" if self._damaged_places > 1 else ""
        return f"{what}{others}; pages kept: {self._documents:,}. Fetch it again."


def read_record(path: Path, offset: int, *, max_body_bytes: int = MAX_BODY_BYTES) -> FetchedPage | RejectedRecord:
    """Read the one record of a file that an `ArchiveReader` reports at `offset`.

    Reads no more than that record; only where several records share a compressed member, or the file is damaged
    there, is the file read from its beginning.

    Raises:
        ArchiveError: no page and no rejected record is at `offset`.
        OSError: the file cannot be opened or read.
    """
    with open(path, "rb") as file:
        file.seek(offset)
        magic = file.read(len(RECORD_MAGIC))
        if magic == RECORD_MAGIC or is_compressed(magic):
            frame = next(iter(_frames(file, offset, max_body_bytes)), None)
            if frame is not None and frame.headers is not None and frame.problem is None:
                item = judge(frame, max_body_bytes)
                if item is None:
                    raise ArchiveError(f"{path}: the {_type_of(frame)} record at byte {offset:,} holds no document.")
                return item
    for item in ArchiveReader(path, max_body_bytes=max_body_bytes):
        if item.warc_offset == offset:
            return item
    raise ArchiveError(f"{path}: no record begins at byte {offset:,}.")


def _frames(file: BinaryIO, offset: int, max_body_bytes: int) -> Iterator[Frame]:
    file.seek(offset)
    compressed = is_compressed(file.read(4))
    file.seek(offset)
    return iter(Framing(decoded(file), compressed=compressed, keep=max_body_bytes + _HTTP_HEADER_BYTES))


def _first_bytes(file: BinaryIO) -> bytes:
    file.seek(0)
    return next((piece.data[:24] for piece in decoded(file)), b"")


def _foreign_format(size: int, start: bytes) -> tuple[str, str] | None:
    """Format and error of a file that need not be read to be known."""
    if size == 0:
        return "empty", "empty: the file has no bytes. Fetch it again."
    if start.startswith(_ARC_MAGIC):
        return "arc", "ARC 1.0 archives are not read: convert them with `warcio recompress`."
    if start.startswith(ZSTD_MAGIC):
        return "unknown", "zstd archives are not read: unpack them with `zstd -d`."
    return None


def _no_archive(start: bytes, unreadable: list[Frame]) -> tuple[str, str]:
    """Format and error of a file in which no record begins."""
    if start:
        return "unknown", f"no WARC or WET archive: it begins with {start!r}."
    if unreadable:
        return "unknown", f"{unreadable[0].problem} from its first byte: no record could be read. Fetch it again."
    return "empty", "empty: the file unpacks to nothing."


def _type_of(frame: Frame) -> str:
    headers = frame.headers or ()
    return (header(headers, "warc-type") or "unknown").lower()


def _format_of(types: set[str]) -> str:
    if "conversion" in types and "response" not in types:
        return "wet"
    return "wat" if types == {"warcinfo", "metadata"} else "warc"
