"""WARC files as a crawler writes them: version 1.1, one gzip member a record, complete or not there."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from fastwarc.warc import WarcRecord, WarcRecordType

from lakehouse.crawl.errors import CrawlError
from lakehouse.crawl.fetch import Exchange

_LEVEL = 6


class WarcWriter:
    """Writes `<path>.partial`, which becomes `path` when the `with` block ends without an error.

    Whatever ends the block, the file holds whole records only. Source: ISO 28500:2017 (WARC 1.1).
    """

    def __init__(self, path: Path, information: Mapping[str, str]) -> None:
        """Open the file and write its warcinfo record with the fields of `information`.

        Raises:
            CrawlError: `path` exists, or cannot be written.
        """
        if path.exists():
            raise CrawlError(f"{path} exists: a crawl never overwrites another. Choose another name.")
        self._path = path
        self._partial = path.with_name(path.name + ".partial")
        self._end = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._partial.open("wb", buffering=0)
        except OSError as error:
            raise self._unwritable(error) from error
        block = "".join(f"{name}: {value}\r\n" for name, value in information.items()).encode()
        record = _record(WarcRecordType.warcinfo, "application/warc-fields", block)
        record.headers["WARC-Filename"] = path.name
        self._append(_member(record))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            with self._file:
                self._file.truncate(self._end)
                os.fsync(self._file.fileno())
            if kind is None:
                self._partial.replace(self._path)
        except OSError as failure:
            raise self._unwritable(failure) from failure

    def write(self, exchange: Exchange) -> None:
        """Append the request and the response of `exchange` as two records.

        Raises:
            CrawlError: the file cannot be written.
        """
        date = exchange.fetched_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        response = _record(WarcRecordType.response, "application/http; msgtype=response", exchange.response)
        request = _record(WarcRecordType.request, "application/http; msgtype=request", exchange.request)
        for record in (request, response):
            record.headers["WARC-Target-URI"] = exchange.url
            record.headers["WARC-Date"] = date
            if exchange.address:
                record.headers["WARC-IP-Address"] = exchange.address
        request.headers["WARC-Concurrent-To"] = str(response.record_id)
        if exchange.truncated:
            response.headers["WARC-Truncated"] = exchange.truncated
        payload_digest = hashlib.sha1(exchange.message.body, usedforsecurity=False).digest()
        # One write for both, so that an interruption leaves no request without its response.
        self._append(_member(request) + _member(response, payload_digest))

    def discard(self) -> None:
        """Delete what was written; the `with` block must end with an error after this."""
        self._partial.unlink(missing_ok=True)

    def _append(self, members: bytes) -> None:
        try:
            written = self._file.write(members)
            while written < len(members):
                written += self._file.write(members[written:])
        except OSError as error:
            raise self._unwritable(error) from error
        self._end += written

    def _unwritable(self, error: OSError) -> CrawlError:
        return CrawlError(f"{self._partial} cannot be written: {error.strerror}.")


def _record(record_type: WarcRecordType, content_type: str, block: bytes) -> WarcRecord:
    record = WarcRecord()
    record.init_headers(record_type=record_type)
    record.headers["Content-Type"] = content_type
    record.set_bytes_content(block)
    return record


def _member(record: WarcRecord, payload_digest: bytes | None = None) -> bytes:
    plain = io.BytesIO()
    record.write(plain, checksum_data=True, payload_digest=payload_digest)
    return gzip.compress(plain.getvalue(), _LEVEL, mtime=0)
