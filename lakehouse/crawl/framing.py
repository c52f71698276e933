"""WARC records found in the decoded bytes of an archive, damaged stretches included.

Source: WARC File Format 1.1 (IIPC, 2017), sections 4 and 5, annexe A.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from lakehouse.crawl.decompress import RECORD_MAGIC, Piece, Problem
from lakehouse.crawl.http_message import Headers, header, parse_header_block

_MAX_HEADER_BYTES = 1 << 16
_HEADER_END = re.compile(rb"\n\r?\n")
_RECORD_START = re.compile(rb"WARC/[01]\.\d{1,2}\r?\n[A-Za-z-]{1,60}:")
_RECORD_START_BYTES = 80  # no match of _RECORD_START is longer
_NEWLINES = re.compile(rb"[\r\n]*")
_LENGTH = re.compile(r"\d{1,18}")


@dataclass(frozen=True, slots=True)
class Frame:
    """One record as it lies in the file, or a stretch of the file that is no readable record (`headers` is None).

    In a plain file the bytes [offset, offset + length) are the record; in a compressed one they are its member. Where a
    member holds several records, each one behind the first gets the next free offset, so that offsets are unique and
    ascend, and its length reaches to where the decoder was when the record ended.
    """

    offset: int
    length: int
    headers: Headers | None
    block: bytes  # as much of it as was asked for
    block_size: int  # bytes that are there
    declared: int | None  # bytes that should be there: Content-Length; None where that is not known
    problem: Problem | None  # also where the block is complete, but its member's checksum or end is not

    @property
    def complete(self) -> bool:
        """Whether all of the block is there."""
        return self.block_size == self.declared


class Framing:
    """Iterates over the frames of an archive: every byte of it lies in one, but for line ends between records.

    Args:
        pieces: the decoded file.
        compressed: whether the file is compressed, so that offsets name members.
        keep: how many bytes of a block are kept; more are read and counted only.
    """

    def __init__(self, pieces: Iterator[Piece], *, compressed: bool, keep: int) -> None:
        self._pieces = pieces
        self._compressed = compressed
        self._keep = keep
        self._next = next(pieces, None)
        self._buffer = bytearray()
        self._section = 0  # file offset of the section
        self._decoded = 0  # bytes of the section that came before the buffer
        self._end = 0  # file offset behind what was read of the section
        self._problem: Problem | None = None  # how the section ended
        self._last_offset = -1

    def __iter__(self) -> Iterator[Frame]:
        while self._next is not None:
            self._section = self._next.begins if self._next.begins is not None else self._end
            self._decoded, self._problem = 0, None
            self._absorb(self._next)
            frame = None
            while self._skip_newlines():
                frame = self._frame(alone=frame is None)
                yield frame
            if self._problem is not None and (frame is None or frame.problem is None):
                yield self._damage(self._place(), None, self._problem)

    def _frame(self, *, alone: bool) -> Frame:
        offset = self._place()
        header_end = self._header_end()
        if header_end is None:
            return self._skip_damage(offset, None)
        _, headers = parse_header_block(self._cut(header_end))
        length = header(headers, "content-length") or ""
        if not _LENGTH.fullmatch(length):
            return self._skip_damage(offset, headers)
        declared = int(length)
        block, size = self._read_block(declared)
        newlines, following = self._look_behind_record()
        problem: Problem | None = None
        if size < declared or following not in (b"", RECORD_MAGIC):
            # A length that is too large swallows the records behind this one: give them back.
            swallowed = _RECORD_START.search(block) if size == len(block) else None
            if swallowed is not None:
                self._give_back(block[swallowed.start() :])
                block, problem = block[: swallowed.start()], "corrupt"
                size = len(block)
            elif size < declared:
                problem = self._problem or "truncated"
        elif not following and self._problem is not None:
            # One record a member: the member's checksum is the record's. Of several, any may be the damaged one.
            problem = self._problem if alone or self._problem == "truncated" else None
        elif not following and not self._compressed and newlines < 2:
            problem = "truncated"
        self._skip_newlines()
        return Frame(offset, self._length(offset), headers, block, size, declared, problem)

    def _skip_damage(self, offset: int, headers: Headers | None) -> Frame:
        """Go to the next record of the section, or to its end."""
        cut = headers is None and RECORD_MAGIC.startswith(self._buffer[: len(RECORD_MAGIC)])
        if headers is None:
            self._cut(1)
        while (found := _RECORD_START.search(self._buffer)) is None:
            self._cut(max(0, len(self._buffer) - _RECORD_START_BYTES))
            if not self._fill():
                self._cut(len(self._buffer))
                return self._damage(offset, headers, self._problem or ("truncated" if cut else "corrupt"))
        self._cut(found.start())
        return self._damage(offset, headers, "corrupt")

    def _damage(self, offset: int, headers: Headers | None, problem: Problem) -> Frame:
        return Frame(offset, self._length(offset), headers, b"", 0, None, problem)

    def _place(self) -> int:
        offset = self._section if self._compressed else self._section + self._decoded
        self._last_offset = max(offset, self._last_offset + 1)
        return self._last_offset

    def _length(self, offset: int) -> int:
        end = self._end if self._compressed else self._section + self._decoded
        return max(1, end - offset)

    def _header_end(self) -> int | None:
        """Where in the buffer the record's header ends, or None where there is no such header."""
        while len(self._buffer) < len(RECORD_MAGIC) and self._fill():
            pass
        searched = 0
        while self._buffer.startswith(RECORD_MAGIC) and searched < _MAX_HEADER_BYTES:
            found = _HEADER_END.search(self._buffer, searched)
            if found is not None:
                return found.end()
            searched = max(0, len(self._buffer) - 2)
            if not self._fill():
                break
        return None

    def _read_block(self, declared: int) -> tuple[bytes, int]:
        """Read `declared` bytes, or as many as the section has: those that are kept, and how many there were."""
        kept = bytearray()
        size = 0
        while size < declared and (self._buffer or self._fill()):
            part = self._cut(min(declared - size, len(self._buffer)))
            size += len(part)
            kept += part[: max(0, self._keep - len(kept))]
        return bytes(kept), size

    def _look_behind_record(self) -> tuple[int, bytes]:
        """How many line ends follow, and the first bytes behind them; no bytes if the section ends."""
        while True:
            newlines = _NEWLINES.match(self._buffer)
            assert newlines is not None
            following = bytes(self._buffer[newlines.end() : newlines.end() + len(RECORD_MAGIC)])
            enough = len(following) == len(RECORD_MAGIC) or newlines.end() > _MAX_HEADER_BYTES
            if enough or not self._fill():
                return newlines[0].count(b"\n"), following

    def _skip_newlines(self) -> bool:
        """Whether the section goes on behind the line ends."""
        while True:
            newlines = _NEWLINES.match(self._buffer)
            assert newlines is not None
            self._cut(newlines.end())
            if self._buffer:
                return True
            if not self._fill():
                return False

    def _cut(self, size: int) -> bytes:
        with memoryview(self._buffer) as view:
            data = bytes(view[:size])
        del self._buffer[:size]
        self._decoded += len(data)
        return data

    def _give_back(self, data: bytes) -> None:
        self._buffer[0:0] = data
        self._decoded -= len(data)

    def _fill(self) -> bool:
        """Read on in the section; False where it ends."""
        while self._next is not None and self._next.begins is None:
            if self._absorb(self._next):
                return True
        return False

    def _absorb(self, piece: Piece) -> bool:
        self._buffer += piece.data
        self._end = piece.end
        self._problem = piece.problem or self._problem
        self._next = next(self._pieces, None)
        return bool(piece.data)
