"""Header blocks and HTTP messages as crawlers store them: lenient where the meaning is clear, bounded in size."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from io import BytesIO

from fastwarc.stream_io import BrotliReader, ZstdReader

Headers = tuple[tuple[str, str], ...]

_BLOCK_END = re.compile(rb"\n\r?\n")
_STATUS_LINE = re.compile(r"(?:HTTP/\d(?:\.\d+)?|ICY)\s+(\d{3})(?:\s+(.*))?")
_CHUNK_SIZE = re.compile(rb"\s*([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\r?\n")
_NO_CODINGS = frozenset({"", "identity", "none", "utf-8"})
_LAYERS = 4
_MEMBERS = 100
_PIECE = 1 << 16

# What browsers take for HTML where the server does not say what it sent (WHATWG MIME Sniffing, 7.1), and XHTML.
_HTML_START = re.compile(
    rb"\s*+(?:<\?xml[^>]{0,200}+>\s*+)?(?:<!--.*?-->\s*+)*+"
    rb"<(?:!doctype\s+html|html|head|script|iframe|h1|div|font|table|a|style|title|b|body|br|p|meta|link)[\s>/]",
    re.IGNORECASE | re.DOTALL,
)
_BYTE_ORDER_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")


class BodyError(ValueError):
    """A body that cannot be decoded: the message says why, in a few words."""


class BodyTooLargeError(BodyError):
    """A body that decodes to more bytes than are allowed."""


@dataclass(frozen=True, slots=True)
class HttpMessage:
    """An HTTP response: status, reason phrase, headers with lower-case names, and the body as it was sent."""

    status: int
    reason: str
    headers: Headers
    body: bytes

    def header(self, name: str) -> str | None:
        """The last value of a header that is not empty."""
        return header(self.headers, name)


def header(headers: Headers, name: str) -> str | None:
    """The last value of the header `name` (lower case) that is not empty: what browsers use where one is repeated."""
    return next((value for key, value in reversed(headers) if key == name and value), None)


def split_block(data: bytes) -> tuple[bytes, bytes]:
    """Split `data` behind the first empty line: a header block, and what follows. Lines end in CR LF or in LF."""
    end = _BLOCK_END.search(data)
    return (data[: end.end()], data[end.end() :]) if end else (data, b"")


def parse_header_block(block: bytes) -> tuple[str, Headers]:
    """Read a header block: its first line, and its fields in order with lower-case names.

    Lines that begin with white space continue the one before; lines without a colon are passed over.
    """
    try:
        text = block.decode("utf-8")
    except UnicodeDecodeError:
        text = block.decode("latin-1")
    first, *lines = text.split("\n")
    fields: list[tuple[str, str]] = []
    for line in lines:
        if line[:1] in (" ", "\t") and line.strip() and fields:
            name, value = fields[-1]
            fields[-1] = (name, f"{value} {line.strip()}")
            continue
        name, colon, value = line.partition(":")
        if colon:
            fields.append((name.strip().lower(), value.strip()))
    return first.strip(), tuple(fields)


def parse_response(block: bytes) -> HttpMessage | None:
    """Read the block of a response record, or return None where it does not begin with an HTTP status line."""
    head, body = split_block(block)
    line, headers = parse_header_block(head)
    status = _STATUS_LINE.fullmatch(line)
    if status is None:
        return None
    return HttpMessage(int(status[1]), status[2] or "", headers, body)


def looks_like_html(body: bytes) -> bool:
    """Whether the first bytes of `body` are markup that a browser would show as a page."""
    start = body[:8192]
    for mark in _BYTE_ORDER_MARKS:
        start = start.removeprefix(mark)
    return _HTML_START.match(start.replace(b"\0", b"")) is not None


def decode_body(message: HttpMessage, limit: int) -> bytes:
    """The body without transfer and content encodings.

    Crawlers often store a decoded body under the headers of the encoded one: a body that visibly is not in the encoding
    that its headers name is taken as it is. A body that ends early is decoded as far as it goes.

    Raises:
        BodyTooLargeError: more than `limit` bytes.
        BodyError: the encoding is unknown, or the encoded bytes are damaged.
    """
    transfer = _codings(message.header("transfer-encoding"))
    body = _join_chunks(message.body) if "chunked" in transfer else message.body
    encodings = _codings(message.header("content-encoding")) + [each for each in transfer if each != "chunked"]
    if len(encodings) > _LAYERS:
        raise BodyError(f"{len(encodings)} encodings, one in another")
    for encoding in reversed(encodings):
        body = _decode(body, encoding, limit)
    if len(body) > limit:
        raise BodyTooLargeError(f"more than {limit} bytes")
    return body


def _codings(value: str | None) -> list[str]:
    codings = [coding.strip().lower() for coding in (value or "").split(",")]
    return [coding for coding in codings if coding not in _NO_CODINGS]


def _join_chunks(body: bytes) -> bytes:
    """The data of the chunks; from the first thing on that is no chunk, the body as it is. Source: RFC 9112, 7.1."""
    parts: list[bytes] = []
    position = 0
    while size_line := _CHUNK_SIZE.match(body, position):
        size = int(size_line[1], 16)
        end = size_line.end() + size
        if size == 0:
            return b"".join(parts)
        if end < len(body) and body[end] not in b"\r\n":
            break
        parts.append(body[size_line.end() : end])
        position = end
    return b"".join(parts) + body[position:]


def _decode(body: bytes, encoding: str, limit: int) -> bytes:
    try:
        match encoding:
            case "gzip" | "x-gzip":
                return _inflate(body, 31, limit) if body.startswith(b"\x1f\x8b") else body
            case "deflate":
                # RFC 9110 means the zlib format; some servers send bare deflate.
                zlib_header = body[:1] == b"\x78" and int.from_bytes(body[:2], "big") % 31 == 0
                return _inflate(body, 15 if zlib_header else -15, limit)
            case "br":
                return _read(BrotliReader(BytesIO(body)), limit) if body else body
            case "zstd":
                return _read(ZstdReader(BytesIO(body)), limit) if body else body
    except (zlib.error, OSError) as error:
        if looks_like_html(body):
            return body
        raise BodyError(f"{encoding}: {error}") from error
    raise BodyError(f"{encoding[:40]}: unknown encoding")


def _inflate(body: bytes, window: int, limit: int) -> bytes:
    """Decode zlib, gzip (one or more members) or bare deflate, as `window` says; stop where `body` stops."""
    parts: list[bytes] = []
    room = limit
    while not parts or body.startswith(b"\x1f\x8b"):
        if len(parts) == _MEMBERS:
            raise BodyError(f"more than {_MEMBERS} gzip members")
        decoder = zlib.decompressobj(window)
        part = decoder.decompress(body, room + 1)
        parts.append(part)
        room -= len(part)
        if room < 0:
            raise BodyTooLargeError(f"more than {limit} bytes")
        body = decoder.unused_data
    return b"".join(parts)


def _read(reader: BrotliReader | ZstdReader, limit: int) -> bytes:
    parts: list[bytes] = []
    room = limit
    while part := reader.read(_PIECE):
        parts.append(part)
        room -= len(part)
        if room < 0:
            raise BodyTooLargeError(f"more than {limit} bytes")
    return b"".join(parts)
