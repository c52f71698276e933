"""Archives that the tests write themselves: what becomes of each kind of record, and of damaged files."""

from __future__ import annotations

import gzip
import io
import tracemalloc
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fastwarc.stream_io import BrotliWriter, Lz4Writer, ZstdWriter
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lakehouse.crawl import ArchiveError, ArchiveReader, FetchedPage, FileOutcome, RejectedRecord, read_record

PAGE = b"<!doctype html><title>A page</title><p>Some text.</p>"
Items = list[FetchedPage | RejectedRecord]


def gzipped(data: bytes) -> bytes:
    """A gzip member, the same at every time: test ids are made of it."""
    return gzip.compress(data, mtime=0)


def record(block: bytes, record_type: str = "response", **fields: str) -> bytes:
    """A WARC record. Field names are written with underscores; one that is given as "" is left out."""
    named = {
        "WARC-Type": record_type,
        "WARC-Date": "2026-02-03T04:05:06Z",
        "WARC-Target-URI": "http://example.org/",
        "Content-Type": "application/http; msgtype=response",
        "Content-Length": str(len(block)),
        **{name.replace("_", "-"): value for name, value in fields.items()},
    }
    lines = [f"{name}: {value}\r\n" for name, value in named.items() if value]
    return b"WARC/1.1\r\n" + "".join(lines).encode() + b"\r\n" + block + b"\r\n\r\n"


def response(
    body: bytes = PAGE, status: str = "200 OK", content_type: str | None = "text/html", headers: bytes = b""
) -> bytes:
    """An HTTP response as a response record stores it."""
    typed = f"Content-Type: {content_type}\r\n".encode() if content_type is not None else b""
    return f"HTTP/1.1 {status}\r\n".encode() + typed + headers + b"\r\n" + body


def page(number: int) -> bytes:
    return record(response(b"<p>Page %d.</p>" % number), WARC_Target_URI=f"http://example.org/{number}")


def read(path: Path, data: bytes, **options: int) -> tuple[Items, FileOutcome]:
    """Write `data`, read it as an archive, and check what must hold for every file."""
    path.write_bytes(data)
    reader = ArchiveReader(path, **options)
    items = list(reader)
    outcome = reader.outcome
    assert outcome.records == outcome.documents + outcome.rejected + outcome.skipped
    assert outcome.documents == sum(isinstance(item, FetchedPage) for item in items)
    assert outcome.rejected == sum(isinstance(item, RejectedRecord) for item in items)
    offsets = [item.warc_offset for item in items]
    assert offsets == sorted(set(offsets))
    assert 0 <= outcome.bytes_read <= outcome.bytes == len(data)
    return items, outcome


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "crawl.warc"


def only(path: Path, data: bytes, **options: int) -> FetchedPage | RejectedRecord:
    items, outcome = read(path, data, **options)
    assert outcome.error is None
    assert len(items) == outcome.records == 1
    return items[0]


def test_a_page_carries_what_the_crawler_saw(path: Path) -> None:
    headers = b"X-Robots-Tag: noai\r\nLink: <a>\r\nlink: <b>\r\nX-Long: one\r\n  two\r\nX-Name: caf\xe9\r\n"
    data = record(
        response(headers=headers), WARC_Target_URI="https://Example.ORG:8443/a b", WARC_Payload_Digest="sha1:ABC"
    )
    assert only(path, data) == FetchedPage(
        url="https://Example.ORG:8443/a%20b",
        host="example.org",
        fetched_at=datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC),
        http_status=200,
        content_type="text/html",
        headers=(
            ("content-type", "text/html"),
            ("x-robots-tag", "noai"),
            ("link", "<a>"),
            ("link", "<b>"),
            ("x-long", "one two"),
            ("x-name", "café"),
        ),
        body=PAGE,
        is_text=False,
        digest="sha1:ABC",
        warc_offset=0,
        warc_length=len(data),
    )


@pytest.mark.parametrize(
    ("data", "rule", "value", "evidence"),
    [
        (record(response(status="404 Not Found")), "http_status", 404, "Not Found"),
        (record(response(status="503")), "http_status", 503, None),
        (record(response(status="304 Not Modified")), "http_status", 304, "Not Modified"),
        (record(response(b"", "301 Moved", headers=b"Location: /new\r\n")), "redirect", 301, "/new"),
        (record(response(b"\x89PNG", content_type="image/png")), "content_type", None, "image/png"),
        (record(response(b"a,b\n1,2\n", content_type="Text/CSV; charset=utf-8")), "content_type", None, "text/csv"),
        (
            record(response(b"just words", content_type=None)),
            "content_type",
            None,
            "none, and the body does not begin like HTML",
        ),
        (record(response(b" \r\n ")), "empty_body", 4, None),
        (record(response(b"")), "empty_body", 0, None),
        (record(b"<html>no header at all"), "http_malformed", None, "no status line: '<html>no header at all'"),
        (record(b""), "http_malformed", None, "no status line: ''"),
        (record(response(), WARC_Target_URI=""), "warc_malformed", None, "no WARC-Target-URI"),
        (record(b"\0" * 9, Content_Type="text/dns"), "content_type", None, "text/dns"),
        (record(b"\x89PNG", "resource", Content_Type="image/png"), "content_type", None, "image/png"),
        (record(b"%PDF", "conversion", Content_Type="application/pdf"), "content_type", None, "application/pdf"),
        (record(PAGE, "continuation"), "record_type", None, "continuation"),
        (record(PAGE, ""), "record_type", None, "no WARC-Type"),
        (
            record(
                response(b""),
                "revisit",
                WARC_Refers_To_Target_URI="http://example.org/old",
                WARC_Refers_To_Date="2025-01-01T00:00:00Z",
            ),
            "revisit",
            None,
            "http://example.org/old 2025-01-01T00:00:00Z",
        ),
        (record(b"", "revisit", WARC_Payload_Digest="sha1:ABC"), "revisit", None, "sha1:ABC"),
    ],
)
def test_what_is_no_page_is_rejected_with_its_reason(
    path: Path, data: bytes, rule: str, value: float | None, evidence: str | None
) -> None:
    item = only(path, data)
    assert isinstance(item, RejectedRecord)
    assert (item.rule, item.value, item.evidence) == (rule, value, evidence)
    assert (item.warc_offset, item.warc_length) == (0, len(data))
    assert item.host == (None if rule == "warc_malformed" else "example.org")


@pytest.mark.parametrize("record_type", ["warcinfo", "request", "metadata"])
def test_records_that_never_hold_a_document_are_skipped(path: Path, record_type: str) -> None:
    items, outcome = read(path, record(b"software: test\r\n", record_type) + page(1))
    assert [item.url for item in items] == ["http://example.org/1"]
    assert (outcome.records, outcome.skipped) == (2, 1)


def test_a_text_extract_is_text(path: Path) -> None:
    items, outcome = read(path, record("Grüße".encode(), "conversion", Content_Type="text/plain"))
    assert (items[0].body.decode(), items[0].is_text, items[0].http_status) == ("Grüße", True, None)
    assert outcome.format == "wet"


def test_a_stored_html_file_is_a_page_without_status(path: Path) -> None:
    item = only(path, record(PAGE, "resource", Content_Type="text/html; charset=utf-8"))
    assert (item.body, item.http_status, item.headers) == (PAGE, None, ())


@pytest.mark.parametrize("content_type", [None, "", "application/octet-stream", "*/*"])
@pytest.mark.parametrize(
    "body",
    [PAGE, b"\xef\xbb\xbf\n<HTML>", b"<?xml version='1.0'?>\n<html>", b"<!-- a --><p>", "<p>".encode("utf-16")],
)
def test_where_the_server_does_not_know_the_first_bytes_decide(
    path: Path, content_type: str | None, body: bytes
) -> None:
    item = only(path, record(response(body, content_type=content_type)))
    assert isinstance(item, FetchedPage)
    assert item.body == body


def through(writer: type, data: bytes) -> bytes:
    class Kept(io.BytesIO):
        def close(self) -> None:
            self.kept = self.getvalue()

    file = Kept()
    with writer(file) as stream:
        stream.write(data)
    return file.getvalue() if not file.closed else file.kept


def bare_deflate(data: bytes) -> bytes:
    return zlib.compress(data)[2:-4]


CHUNKS = b"5\r\n<!doc\r\n%x;ext=1\r\n%b\r\n0\r\nTrailer: x\r\n\r\n" % (len(PAGE) - 5, PAGE[5:])


@pytest.mark.parametrize(
    ("header", "body"),
    [
        (b"Content-Encoding: gzip", gzipped(PAGE)),
        (b"Content-Encoding: GZIP", gzipped(PAGE[:9]) + gzipped(PAGE[9:])),
        (b"Content-Encoding: gzip", gzipped(PAGE)[:-6]),
        (b"Content-Encoding: gzip", PAGE),
        (b"Content-Encoding: deflate", zlib.compress(PAGE)),
        (b"Content-Encoding: deflate", bare_deflate(PAGE)),
        (b"Content-Encoding: deflate", PAGE),
        (b"Content-Encoding: br", through(BrotliWriter, PAGE)),
        (b"Content-Encoding: br", PAGE),
        (b"Content-Encoding: zstd", through(ZstdWriter, PAGE)),
        (b"Content-Encoding: deflate, gzip", gzipped(zlib.compress(PAGE))),
        (b"Content-Encoding: identity", PAGE),
        (b"Transfer-Encoding: chunked", CHUNKS),
        (b"Transfer-Encoding: gzip, chunked", b"%x\r\n%b\r\n0\r\n\r\n" % (len(z := gzipped(PAGE)), z)),
        (b"Transfer-Encoding: chunked", PAGE),
        (b"Transfer-Encoding: chunked", b"%x\r\n%b" % (len(PAGE) + 9, PAGE)),
        (b"Transfer-Encoding: chunked\r\nContent-Encoding: gzip", b"%x\r\n%b\r\n0\r\n\r\n" % (len(z), z)),
        (b"Content-Length: 7", PAGE),
    ],
)
def test_the_body_is_what_a_browser_would_show(path: Path, header: bytes, body: bytes) -> None:
    item = only(path, record(response(body, headers=header + b"\r\n")))
    assert isinstance(item, FetchedPage)
    assert item.body == PAGE


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        (b"gzip", b"\x1f\x8b\x08" + b"\xff" * 60),
        (b"deflate", b"\xff" * 60),
        (b"br", b"\xff" * 60),
        (b"zstd", b"\xff" * 60),
        (b"rot13", PAGE),
        (b"gzip,gzip,gzip,gzip,gzip", PAGE),
        (b"gzip", gzipped(b"") * 200),
    ],
)
def test_a_body_that_cannot_be_decoded_is_rejected(path: Path, encoding: bytes, body: bytes) -> None:
    item = only(path, record(response(body, headers=b"Content-Encoding: " + encoding + b"\r\n")))
    assert (item.rule, bool(item.evidence)) == ("encoding", True)


def test_header_lines_may_end_in_a_line_feed_alone(path: Path) -> None:
    block = b"HTTP/1.0 200 OK\nContent-Type: text/html\n\n" + PAGE
    head = b"WARC/0.18\nWARC-Type: response\nWARC-Target-URI: <http://example.org/>\nContent-Length: %d\n\n" % len(
        block
    )
    item = only(path, head + block + b"\n\n")
    assert (item.url, item.body, item.fetched_at) == ("http://example.org/", PAGE, None)


def test_a_body_that_the_crawler_cut_off_is_kept(path: Path) -> None:
    item = only(path, record(response(PAGE[:30]), WARC_Truncated="length"))
    assert item.body == PAGE[:30]


@pytest.mark.parametrize("url", ["http://[broken/", "urn:x", "file:///a.html"])
def test_a_url_without_a_host_has_none(path: Path, url: str) -> None:
    item = only(path, record(response(), WARC_Target_URI=url))
    assert (item.url, item.host) == (url, None)


@pytest.mark.parametrize(
    ("date", "time"),
    [
        ("2026-02-03T04:05:06.789012345Z", datetime(2026, 2, 3, 4, 5, 6, 789012, tzinfo=UTC)),
        ("2026-02-03T04:05:06+02:00", datetime(2026, 2, 3, 2, 5, 6, tzinfo=UTC)),
        ("2026-02-03", datetime(2026, 2, 3, tzinfo=UTC)),
        ("0001-01-01T00:00:00+23:00", None),
        ("2008-10-294T05:21:46-0700", None),
        ("", None),
    ],
)
def test_times_are_utc(path: Path, date: str, time: datetime | None) -> None:
    assert only(path, record(response(), WARC_Date=date)).fetched_at == time


def test_large_bodies_are_rejected_packed_or_unpacked(path: Path) -> None:
    plain = only(path, record(response(PAGE + b" " * 200_000)), max_body_bytes=1000)
    assert (plain.rule, plain.threshold) == ("too_large", 1000)
    assert plain.value > 200_000
    bomb = response(gzipped(b"<p>" + b" " * 5_000_000), headers=b"Content-Encoding: gzip\r\n")
    assert only(path, record(bomb), max_body_bytes=1000).rule == "too_large"
    assert only(path, record(response(PAGE)), max_body_bytes=len(PAGE)).body == PAGE


def test_a_record_that_unpacks_to_200_megabytes_does_not_fill_the_memory(path: Path) -> None:
    size = 200 << 20
    packer = zlib.compressobj(9, wbits=31)
    head = record(response(PAGE), Content_Length=str(size + len(response(PAGE)))).removesuffix(b"\r\n\r\n")
    data = packer.compress(head) + b"".join(packer.compress(bytes(1 << 20)) for _ in range(200))
    data += packer.compress(b"\r\n\r\n") + packer.flush()
    tracemalloc.start()
    items, outcome = read(path, data + gzipped(page(1)), max_body_bytes=1 << 20)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [getattr(item, "rule", None) for item in items] == ["too_large", None]
    assert outcome.error is None
    assert peak < 20 << 20


def plain(records: list[bytes]) -> bytes:
    return b"".join(records)


def members(records: list[bytes]) -> bytes:
    return b"".join(gzipped(each) for each in records)


def frames(records: list[bytes]) -> bytes:
    return b"".join(through(Lz4Writer, each) for each in records)


def one_member(records: list[bytes]) -> bytes:
    return gzipped(b"".join(records))


RECORDS = [record(b"software: test\r\n", "warcinfo", WARC_Target_URI=""), page(1), page(2)]


@pytest.mark.parametrize("pack", [plain, members, frames])
def test_a_file_cut_anywhere_keeps_what_is_before_the_cut_and_says_so(path: Path, pack: Callable) -> None:
    ends = [len(pack(RECORDS[:count])) for count in range(len(RECORDS) + 1)]
    data = pack(RECORDS)
    whole = {item.url: item.body for item in read(path, data)[0]}
    for cut in range(1, len(data)):
        items, outcome = read(path, data[:cut])
        complete = sum(end <= cut for end in ends[1:])
        assert (outcome.error is None) == (cut in ends), cut
        pages = [item for item in items if isinstance(item, FetchedPage)]
        # The last record counts as read if only the end mark behind its block is missing.
        assert len(pages) in (max(0, complete - 1), complete), cut
        assert all(whole[item.url] == item.body for item in pages)
        assert all(item.rule == "truncated" for item in items if isinstance(item, RejectedRecord))
        if outcome.error is not None and outcome.records:
            assert f"cut off at byte {cut:,}" in outcome.error
            assert outcome.error_offset == ends[complete]


def test_records_split_over_members_are_joined(path: Path) -> None:
    data = plain(RECORDS)
    split = b"".join(gzipped(data[at : at + 100]) for at in range(0, len(data), 100))
    items, outcome = read(path, split)
    assert [item.url for item in items] == ["http://example.org/1", "http://example.org/2"]
    assert outcome.error is None
    assert [read_record(path, item.warc_offset) for item in items] == items


def test_a_file_that_is_one_member_gives_each_record_its_own_offset(path: Path) -> None:
    items, _ = read(path, one_member(RECORDS))
    assert [item.warc_offset for item in items] == [1, 2]
    assert [read_record(path, item.warc_offset) for item in items] == items


def test_reading_goes_on_behind_a_damaged_member(path: Path) -> None:
    packed_records = [gzipped(page(number)) for number in range(4)]
    start = len(packed_records[0])
    end = start + len(packed_records[1])
    data = bytearray(b"".join(packed_records))
    data[end - 30 : end - 10] = b"\xff" * 20
    items, outcome = read(path, bytes(data))
    assert [item.url for item in items] == [
        "http://example.org/0",
        None,
        "http://example.org/2",
        "http://example.org/3",
    ]
    assert (items[1].rule, items[1].warc_offset, items[1].warc_length) == ("corrupt", start, end - start)
    assert items[1].evidence == f"bytes {start}–{end} of the file"
    assert outcome.error == f"damaged at bytes {start:,}–{end:,}; pages kept: 3. Fetch it again."
    assert (outcome.error_offset, outcome.bytes_read) == (start, len(data) - (end - start))


def test_a_member_whose_checksum_fails_is_not_trusted(path: Path) -> None:
    data = bytearray(members([page(1), page(2)]))
    at = len(members([page(1)])) - 8  # CRC-32 of the first member
    data[at] ^= 1
    items, _ = read(path, bytes(data))
    assert [getattr(item, "rule", None) for item in items] == ["corrupt", None]


def test_junk_between_records_is_reported_and_passed_over(path: Path) -> None:
    first, second = page(1), page(2)
    items, outcome = read(path, first + b"junk\0junk" * 50_000 + second)
    assert [getattr(item, "rule", item.url) for item in items] == [
        "http://example.org/1",
        "corrupt",
        "http://example.org/2",
    ]
    assert (items[1].warc_offset, items[1].warc_length) == (len(first), 450_000)
    assert outcome.error_offset == len(first)


def test_a_length_that_is_too_large_does_not_swallow_the_next_record(path: Path) -> None:
    wrong = record(response(), Content_Length="600")
    for pack in (plain, members, one_member):
        items, outcome = read(path, pack([wrong, page(1), page(2), page(3)]))
        kept = [item.url for item in items if isinstance(item, FetchedPage)]
        assert kept == ["http://example.org/1", "http://example.org/2", "http://example.org/3"]
        assert (items[0].rule, items[0].url) == (
            ("truncated" if pack is members else "corrupt"),
            "http://example.org/",
        )
        assert outcome.error is not None


@pytest.mark.parametrize("length", ["", "many", "-1", "9" * 5000])
def test_a_record_without_a_length_is_damaged(path: Path, length: str) -> None:
    items, outcome = read(path, record(response(), Content_Length=length) + page(1))
    assert [getattr(item, "rule", item.url) for item in items] == ["corrupt", "http://example.org/1"]
    assert items[0].url == "http://example.org/"
    assert outcome.error_offset == 0


def test_a_file_of_nothing_but_damage_ends(path: Path) -> None:
    items, outcome = read(path, b"WARC/1.0\r\nX: y\r\n\r\n" * 5000)
    assert len(items) == 1001
    assert items[-1].evidence == "bytes 18000–90000 of the file"  # 18 bytes a place
    assert "damaged places: 1,001" in outcome.error


@pytest.mark.parametrize(
    ("data", "file_format", "error"),
    [
        (b"", "empty", "the file has no bytes"),
        (gzipped(b""), "empty", "the file unpacks to nothing"),
        (b"filedesc://a.arc 0.0.0.0 20260101000000 text/plain 9\n", "arc", "`warcio recompress`"),
        (gzipped(b"filedesc://a.arc 0.0.0.0"), "arc", "`warcio recompress`"),
        (through(ZstdWriter, page(1)), "unknown", "`zstd -d`"),
        (b"\x89PNG\r\n\x1a\n", "unknown", r"begins with b'\x89PNG\r\n\x1a\n'"),
        (gzipped(b"name,size\n"), "unknown", r"begins with b'name,size\n'"),
        (b"\x1f\x8b\x08\x00", "unknown", "truncated from its first byte"),
        (b"\x04\x22\x4d\x18zzzzzzzzzzzzzzzz", "unknown", "from its first byte"),
    ],
)
def test_other_files_hold_no_records_and_are_named(path: Path, data: bytes, file_format: str, error: str) -> None:
    items, outcome = read(path, data)
    assert (items, outcome.records, outcome.format) == ([], 0, file_format)
    assert error in outcome.error
    assert outcome.error_offset == 0


def test_reading_twice_gives_the_same(path: Path) -> None:
    path.write_bytes(members(RECORDS))
    reader = ArchiveReader(path)
    assert list(reader) == list(reader)
    assert reader.outcome.records == 3


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"missing\.warc"):
        list(ArchiveReader(tmp_path / "missing.warc"))


def test_reading_one_record_says_what_is_wrong_with_the_offset(path: Path) -> None:
    path.write_bytes(plain(RECORDS))
    with pytest.raises(ArchiveError, match="the warcinfo record at byte 0 holds no document"):
        read_record(path, 0)
    with pytest.raises(ArchiveError, match=r"crawl\.warc: no record begins at byte 7"):
        read_record(path, 7)
    with pytest.raises(ArchiveError, match="no record begins at byte 99,999"):
        read_record(path, 99_999)


@given(st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_damaged_nothing_is_lost_silently(tmp_path: Path, data: st.DataObject) -> None:
    pack = data.draw(st.sampled_from([plain, members, frames, one_member]))
    archive = bytearray(pack([page(number) for number in range(3)]))
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(archive) - 1))
        archive[start : start + data.draw(st.integers(0, 40))] = data.draw(st.binary(max_size=40))
        if not archive:
            return
    path = tmp_path / "damaged.warc"
    items, outcome = read(path, bytes(archive))
    assert outcome.records >= 3 or outcome.error is not None
    for item in items:
        assert read_record(path, item.warc_offset) == item
