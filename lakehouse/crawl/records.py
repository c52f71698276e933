"""What becomes of one WARC record: a page that may become a document, a rejected record, or nothing to keep."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

from lakehouse.crawl.framing import Frame
from lakehouse.crawl.http_message import (
    BodyError,
    BodyTooLargeError,
    Headers,
    HttpMessage,
    decode_body,
    header,
    looks_like_html,
    parse_response,
)

_HTML_TYPES = frozenset({"text/html", "application/xhtml+xml"})

# Servers say these when they do not know: the first bytes decide.
_UNHELPFUL_TYPES = frozenset({
    "", "*/*", "application/octet-stream", "binary/octet-stream", "application/unknown", "unknown/unknown",
    "application/x-unknown", "content/unknown",
})  # fmt: skip
_TEXT_TYPES = frozenset({"text/plain", ""})
_WITHOUT_DOCUMENT = frozenset({"warcinfo", "request", "metadata"})
_UNSAFE_IN_URL = re.compile(r"[\x00-\x20\x7f<>\"]")
_EVIDENCE_CHARACTERS = 200


@dataclass(frozen=True)
class FetchedPage:
    """A record whose payload can become a document."""

    url: str
    host: str | None  # lower case, without port; None where the URL has none
    fetched_at: datetime | None  # UTC
    http_status: int | None
    content_type: str | None  # media type in lower case, without parameters
    headers: Headers  # of the HTTP message, names in lower case
    body: bytes  # transfer and content encodings undone
    is_text: bool  # the body is UTF-8 text already: a conversion record of a WET file
    digest: str | None  # WARC-Payload-Digest
    warc_offset: int
    warc_length: int  # bytes in the file: of a compressed file, the compressed ones


@dataclass(frozen=True)
class RejectedRecord:
    """A record, or a damaged stretch of a file, that becomes no document; goes to the reject ledger, stage "record"."""

    rule: str
    value: float | None  # what was measured, where it is a number
    threshold: float | None
    evidence: str | None  # what was found, where it is not a number
    url: str | None
    host: str | None
    warc_offset: int
    warc_length: int  # bytes in the file


def judge(frame: Frame, max_body_bytes: int) -> FetchedPage | RejectedRecord | None:
    """Decide what becomes of a record; None where records of its type never hold a document.

    Rules, in order: corrupt, truncated, warc_malformed, record_type, revisit; then, for HTTP responses, http_malformed,
    redirect, http_status; then content_type, encoding, too_large, empty_body. Types that never hold a document are
    warcinfo, request and metadata (which is all that a WAT file has).
    """
    headers = frame.headers or ()
    url = _clean_url(header(headers, "warc-target-uri"))
    page = _Candidate(frame, url, max_body_bytes)
    if frame.problem is not None and not (frame.complete and frame.problem == "truncated"):
        return page.damaged()
    record_type = (header(headers, "warc-type") or "").lower()
    if record_type in _WITHOUT_DOCUMENT:
        return None
    match record_type:
        case "response" | "resource" | "conversion" if url is None:
            return page.reject("warc_malformed", evidence="no WARC-Target-URI")
        case "response":
            return _judge_response(page)
        case "resource":
            return _judge_payload(page, page.stored_message(), _HTML_TYPES)
        case "conversion":
            return _judge_payload(page, page.stored_message(), _TEXT_TYPES)
        case "revisit":
            return page.reject("revisit", evidence=_earlier_capture(headers))
    return page.reject("record_type", evidence=record_type or "no WARC-Type")


def _judge_response(page: _Candidate) -> FetchedPage | RejectedRecord:
    stored_type = _media_type(page.header("content-type"))
    if stored_type not in ("", "application/http"):  # such as text/dns
        return page.reject("content_type", evidence=stored_type)
    message = parse_response(page.frame.block)
    if message is None:
        found = page.frame.block[:40].decode("ascii", "backslashreplace").partition("\n")[0]
        return page.reject("http_malformed", evidence=f"no status line: {found!r}")
    if 300 <= message.status < 400 and (location := message.header("location")):
        return page.reject("redirect", message.status, evidence=location)
    if not 200 <= message.status < 300:
        return page.reject("http_status", message.status, evidence=message.reason or None)
    return _judge_payload(page, message, _HTML_TYPES, message.status)


def _judge_payload(
    page: _Candidate, message: HttpMessage, accepted: frozenset[str], status: int | None = None
) -> FetchedPage | RejectedRecord:
    content_type = _media_type(message.header("content-type"))
    to_sniff = accepted is _HTML_TYPES and content_type in _UNHELPFUL_TYPES
    if content_type not in accepted and not to_sniff:
        return page.reject("content_type", evidence=content_type)
    if page.frame.block_size > len(page.frame.block):
        return page.reject("too_large", page.frame.block_size, page.max_body_bytes)
    try:
        body = decode_body(message, page.max_body_bytes)
    except BodyTooLargeError as error:
        return page.reject("too_large", threshold=page.max_body_bytes, evidence=str(error))
    except BodyError as error:
        return page.reject("encoding", evidence=str(error))
    if not body.strip():
        return page.reject("empty_body", len(body))
    if to_sniff and not looks_like_html(body):
        return page.reject("content_type", evidence=content_type or "none, and the body does not begin like HTML")
    return page.accept(message, body, content_type or None, status, is_text=accepted is _TEXT_TYPES)


class _Candidate:
    """A record on its way to become a page: what pages and rejected records have in common."""

    def __init__(self, frame: Frame, url: str | None, max_body_bytes: int) -> None:
        self.frame = frame
        self.url = url
        self.host = _host_of(url)
        self.max_body_bytes = max_body_bytes

    def header(self, name: str) -> str | None:
        return header(self.frame.headers or (), name)

    def stored_message(self) -> HttpMessage:
        """The block of a record that holds a file and no HTTP message."""
        content_type = self.header("content-type")
        return HttpMessage(0, "", (("content-type", content_type),) if content_type else (), self.frame.block)

    def accept(
        self, message: HttpMessage, body: bytes, content_type: str | None, status: int | None, *, is_text: bool
    ) -> FetchedPage:
        assert self.url is not None
        return FetchedPage(
            url=self.url,
            host=self.host,
            fetched_at=_time(self.header("warc-date")),
            http_status=status,
            content_type=content_type,
            headers=message.headers if status is not None else (),
            body=body,
            is_text=is_text,
            digest=self.header("warc-payload-digest"),
            warc_offset=self.frame.offset,
            warc_length=self.frame.length,
        )

    def reject(
        self, rule: str, value: float | None = None, threshold: float | None = None, evidence: str | None = None
    ) -> RejectedRecord:
        return RejectedRecord(
            rule=rule,
            value=None if value is None else float(value),
            threshold=None if threshold is None else float(threshold),
            evidence=None if evidence is None else evidence[:_EVIDENCE_CHARACTERS],
            url=self.url,
            host=self.host,
            warc_offset=self.frame.offset,
            warc_length=self.frame.length,
        )

    def damaged(self) -> RejectedRecord:
        frame = self.frame
        if frame.declared is not None and frame.problem == "truncated":
            return self.reject("truncated", frame.block_size, frame.declared)
        return self.reject(
            str(frame.problem), evidence=f"bytes {frame.offset}–{frame.offset + frame.length} of the file"
        )


def _media_type(content_type: str | None) -> str:
    return (content_type or "").partition(";")[0].strip().lower()


def _clean_url(url: str | None) -> str | None:
    """The URL without the angle brackets that wget puts around it, and with blanks and control characters escaped."""
    if url is None:
        return None
    url = url.strip().removeprefix("<").removesuffix(">").strip()
    return _UNSAFE_IN_URL.sub(lambda found: quote(found[0]), url) or None


def _host_of(url: str | None) -> str | None:
    try:
        return urlsplit(url or "").hostname or None
    except ValueError:  # brackets that hold no IPv6 address
        return None


def _time(date: str | None) -> datetime | None:
    try:
        time = datetime.fromisoformat(date or "")
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _earlier_capture(headers: Headers) -> str | None:
    """What a revisit record refers to: the URL and time of the earlier capture, or its payload digest."""
    names = ("warc-refers-to-target-uri", "warc-refers-to-date")
    named = " ".join(value.strip("<>") for name in names if (value := header(headers, name)))
    return named or header(headers, "warc-refers-to") or header(headers, "warc-payload-digest")
