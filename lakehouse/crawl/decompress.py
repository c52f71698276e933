"""Archive files as pieces of decoded bytes: plain files, gzip members, LZ4 frames.

The members are walked here and not by fastwarc's iterator, because that one ends without an error where a file is cut
inside a record's header, cannot go on behind a damaged member, and gives all records of a file that is one gzip member
the same offset. fastwarc decodes the LZ4 frames.
"""

from __future__ import annotations

import zlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from io import UnsupportedOperation
from typing import BinaryIO, Literal

from fastwarc.stream_io import Lz4Reader

RECORD_MAGIC = b"WARC/"
GZIP_MAGIC = b"\x1f\x8b\x08"
LZ4_MAGIC = b"\x04\x22\x4d\x18"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"

Problem = Literal["truncated", "corrupt"]

_INPUT = 1 << 14
_OUTPUT = 1 << 18
_SCAN = 1 << 20
_PROBE = 1 << 12
_GZIP_WINDOW = 31  # zlib: expect a gzip header, check CRC-32 and length


@dataclass(frozen=True, slots=True)
class Piece:
    """Decoded bytes and where in the file they come from.

    A section is a stretch of the file that decodes as one stream: a plain file is one, and so is each compressed
    member that begins with a record. A member that goes on with a record belongs to the section before it.
    """

    data: bytes
    end: int  # file offset behind the bytes read so far
    begins: int | None = None  # on the first piece of a section: its file offset
    problem: Problem | None = None  # on the last piece of a section that could not be decoded to its end


def is_compressed(magic: bytes) -> bool:
    """Whether bytes that begin with `magic` (at least 4) are read through a decoder."""
    return magic.startswith((GZIP_MAGIC, LZ4_MAGIC))


def decoded(file: BinaryIO) -> Iterator[Piece]:
    """Decode `file` from its current position to its end, whatever it holds, at most 256 KiB at a time."""
    start = file.tell()
    magic = file.read(4)
    file.seek(start)
    if magic.startswith(GZIP_MAGIC):
        return _gzip_pieces(file, start)
    if magic.startswith(LZ4_MAGIC):
        return _lz4_pieces(file, start)
    return _plain_pieces(file, start)


def _plain_pieces(file: BinaryIO, start: int) -> Iterator[Piece]:
    begins: int | None = start
    while data := file.read(_OUTPUT):
        yield Piece(data, file.tell(), begins)
        begins = None


def _gzip_pieces(file: BinaryIO, start: int) -> Iterator[Piece]:
    first = start
    size = file.seek(0, 2)
    while start < size:
        end, problem = yield from _gzip_member(file, start, opens=start == first)
        if problem is not None:
            end, problem = _behind_damage(file, start, size, problem)
            yield Piece(b"", end, problem=problem)
        start = end


def _gzip_member(file: BinaryIO, start: int, *, opens: bool) -> Generator[Piece, None, tuple[int, Problem | None]]:
    """Decode the member at `start`; return where it ends, or what is wrong with it."""
    file.seek(start)
    decoder = zlib.decompressobj(_GZIP_WINDOW)
    begins: int | None = start
    waiting = data = b""
    problem: Problem | None = None
    while not decoder.eof and problem is None:
        waiting = waiting or file.read(_INPUT)
        try:
            part = decoder.decompress(waiting, _OUTPUT)
        except zlib.error:
            part, problem = b"", "corrupt"
        else:
            if not waiting and not part and not decoder.eof:
                problem = "truncated"
        waiting = decoder.unconsumed_tail or decoder.unused_data
        data += part
        if len(data) < len(RECORD_MAGIC) and not decoder.eof and problem is None:
            continue
        # A damaged member may have held a record of its own, so it opens a section even if nothing of it was decoded.
        if begins is not None and not (opens or problem or data.startswith(RECORD_MAGIC)):
            begins = None
        yield Piece(data, file.tell() - len(waiting), begins)
        begins, data = None, b""
    return file.tell() - len(waiting), problem


def _behind_damage(file: BinaryIO, start: int, size: int, problem: Problem) -> tuple[int, Problem]:
    """Where reading can go on behind a damaged member at `start`, and whether it is damaged or merely cut off."""
    position = start + 1
    while position + len(GZIP_MAGIC) <= size:
        file.seek(position)
        window = file.read(_SCAN)
        at = window.find(GZIP_MAGIC)
        while at >= 0:
            if _begins_record(file, position + at):
                return position + at, "corrupt"
            at = window.find(GZIP_MAGIC, at + 1)
        position += len(window) - len(GZIP_MAGIC) + 1
    return size, problem


def _begins_record(file: BinaryIO, offset: int) -> bool:
    file.seek(offset)
    try:
        head = zlib.decompressobj(_GZIP_WINDOW).decompress(file.read(_PROBE), len(RECORD_MAGIC))
    except zlib.error:
        return False
    return head == RECORD_MAGIC


def _lz4_pieces(file: BinaryIO, start: int) -> Iterator[Piece]:
    first = start
    size = file.seek(0, 2)
    while start < size:
        end, problem = _lz4_frame_end(file, start, size)
        begins: int | None = start
        reader = Lz4Reader(_Span(file, start, end))
        while True:
            try:
                data = reader.read(_OUTPUT)
            except OSError:
                data, problem = b"", problem or "corrupt"
            if begins is not None and not (start == first or problem or data.startswith(RECORD_MAGIC)):
                begins = None
            yield Piece(data, end, begins)
            begins = None
            if not data:
                break
        if problem is not None:
            yield Piece(b"", size, problem=problem)
            return
        start = end


def _lz4_frame_end(file: BinaryIO, start: int, size: int) -> tuple[int, Problem | None]:
    """Where the frame at `start` ends. Source: LZ4 Frame Format Description 1.6.4."""
    file.seek(start)
    header = file.read(5)
    if header[:4] != LZ4_MAGIC[: len(header)]:
        return size, "corrupt"
    flags = header[4] if len(header) == 5 else 0
    # Magic number, flags, block size; content size and dictionary id where the flags say so; header checksum.
    position = start + 7 + (8 if flags & 0x08 else 0) + (4 if flags & 0x01 else 0)
    block_checksum, content_checksum = (4 if flags & 0x10 else 0), (4 if flags & 0x04 else 0)
    while True:
        file.seek(position)
        block = int.from_bytes(word := file.read(4), "little")
        if len(word) < 4:
            return size, "truncated"
        if block == 0:
            break
        position += 4 + (block & 0x7FFF_FFFF) + block_checksum
    end = position + 4 + content_checksum
    return (end, None) if end <= size else (size, "truncated")


class _Span:
    """The bytes of a file from `start` to `end` as a file of their own."""

    def __init__(self, file: BinaryIO, start: int, end: int) -> None:
        self._file, self._position, self._end = file, start, end

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = 0) -> int:
        raise UnsupportedOperation("a span is read from its start to its end")

    def close(self) -> None:
        """Leave the file open: others read on in it."""

    def read(self, size: int = -1) -> bytes:
        left = self._end - self._position
        self._file.seek(self._position)
        data = self._file.read(left if size < 0 else min(size, left))
        self._position += len(data)
        return data
