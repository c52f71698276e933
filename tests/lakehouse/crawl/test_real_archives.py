"""Every archive of the shared data: what is in it was counted with zcat, grep and warcio, not with this code."""

from __future__ import annotations

import gzip
import time
from collections import Counter
from pathlib import Path

import pytest

from lakehouse.crawl import ArchiveReader, FetchedPage, RejectedRecord, read_record

# Format, records, documents, rejected, skipped, part of the error. Where warcio reads the whole file, the four counts
# agree with it; it stops at the first record of the two files that are one gzip member, and counts the end of
# clipped.warc.gz as a page.
OUTCOMES = {
    "dolma-warc/sample-0000.warc.gz": ("warc", 48, 22, 2, 24, None),
    "dolma-warc/sample-0001.warc.gz": ("warc", 34, 15, 2, 17, None),
    "iipc-webarchive-commons/format/arc/IAH-20080430204825-00000-blackbook-truncated.arc": ("arc", 0, 0, 0, 0, "ARC"),
    "iipc-webarchive-commons/format/gzip/IAH-urls-wget.warc.gz": ("warc", 36, 2, 17, 17, None),
    "iipc-webarchive-commons/format/gzip/abcd.gz": ("unknown", 0, 0, 0, 0, "begins with b'abcd'"),
    "iipc-webarchive-commons/format/gzip/double-single-inflate-error.gz": ("unknown", 0, 0, 0, 0, "corrupt from its"),
    "iipc-webarchive-commons/format/gzip/empty.gz": ("empty", 0, 0, 0, 0, "unpacks to nothing"),
    "iipc-webarchive-commons/format/gzip/hi-2.gz": ("unknown", 0, 0, 0, 0, r"begins with b'hi\n'"),
    "iipc-webarchive-commons/format/gzip/hi.gz": ("unknown", 0, 0, 0, 0, r"begins with b'hi\n'"),
    "iipc-webarchive-commons/format/warc/IAH-urls-wget.warc": ("warc", 36, 2, 17, 17, None),
    "iipc-webarchive-commons/format/warc/mutliple-headers.warc": ("warc", 1, 1, 0, 0, None),
    # One of the seven responses has no WARC-Target-URI.
    "iipc-webarchive-commons/resource/html/link-extraction-test.warc": ("warc", 8, 6, 1, 1, None),
    "miniweb-crawl/faq-first-crawl.cdx": ("unknown", 0, 0, 0, 0, "begins with b' CDX"),
    "miniweb-crawl/miniweb-crawl-00000.warc.gz": ("warc", 9418, 4191, 518, 4709, None),
    "miniweb-crawl/miniweb-recrawl-revisit.warc.gz": ("warc", 136, 0, 68, 68, None),
    "resiliparse-test-data/block-sized-records.warc": ("warc", 3, 0, 3, 0, None),
    "resiliparse-test-data/block-sized-records.warc.gz": ("warc", 3, 0, 3, 0, None),
    "resiliparse-test-data/block-sized-records.warc.lz4": ("warc", 3, 0, 3, 0, None),
    "resiliparse-test-data/clipped.warc.gz": ("warc", 1, 0, 1, 0, "cut off at byte 18,184"),
    "resiliparse-test-data/clueweb-quirk.warc.gz": ("warc", 30, 29, 0, 1, None),
    "resiliparse-test-data/warcfile.warc": ("warc", 50, 16, 0, 34, None),
    "resiliparse-test-data/warcfile.warc.gz": ("warc", 50, 16, 0, 34, None),
    "resiliparse-test-data/warcfile.warc.lz4": ("warc", 50, 16, 0, 34, None),
    "warcio-test-data/bad.arc": ("arc", 0, 0, 0, 0, "ARC"),
    "warcio-test-data/example-bad-non-chunked.warc.gz": ("warc", 6, 1, 1, 4, None),
    "warcio-test-data/example-bad.warc.gz.bad": ("warc", 6, 1, 2, 3, None),
    "warcio-test-data/example-digest.warc": ("warc", 4, 0, 0, 4, None),
    "warcio-test-data/example-iana.org-chunked.warc": ("warc", 3, 1, 0, 2, None),
    "warcio-test-data/example-resource.warc.gz": ("warc", 3, 1, 0, 2, None),
    "warcio-test-data/example-space-in-target-uri.warc.gz": ("warc", 2, 0, 1, 1, None),
    "warcio-test-data/example-space-in-url.arc": ("arc", 0, 0, 0, 0, "ARC"),
    # Four records; the third one's Content-Length is two too small, which leaves a damaged stretch behind it.
    "warcio-test-data/example-trunc.warc": ("warc", 5, 1, 1, 3, "damaged at bytes 2,560–2,566"),
    "warcio-test-data/example-wget-bad-target-uri.warc.gz": ("warc", 6, 1, 2, 3, None),
    "warcio-test-data/example-wrong-chunks.warc.gz": ("warc", 2, 1, 0, 1, None),
    "warcio-test-data/example.arc": ("arc", 0, 0, 0, 0, "ARC"),
    "warcio-test-data/example.arc.gz": ("arc", 0, 0, 0, 0, "ARC"),
    "warcio-test-data/example.warc": ("warc", 6, 1, 1, 4, None),
    "warcio-test-data/example.warc.gz": ("warc", 6, 1, 1, 4, None),
    "warcio-test-data/post-test.warc.gz": ("warc", 6, 0, 3, 3, None),
    "whirlwind-python/CC-MAIN-2024-22.warc.paths.gz": ("unknown", 0, 0, 0, 0, "begins with b'part-00000"),
    "whirlwind-python/whirlwind.warc": ("warc", 4, 1, 0, 3, None),
    "whirlwind-python/whirlwind.warc.gz": ("warc", 4, 1, 0, 3, None),
    "whirlwind-python/whirlwind.warc.wat": ("wat", 2, 0, 0, 2, None),
    "whirlwind-python/whirlwind.warc.wat.gz": ("wat", 2, 0, 0, 2, None),
    "whirlwind-python/whirlwind.warc.wet": ("wet", 2, 1, 0, 1, None),
    "whirlwind-python/whirlwind.warc.wet.gz": ("wet", 2, 1, 0, 1, None),
}
NOT_ARCHIVES = ("LICENSE", "NOTICE")


@pytest.fixture(scope="module")
def archives(shared: Path) -> Path:
    folder = shared / "warc"
    if not folder.is_dir():
        pytest.skip("no shared archives")
    return folder


def read(path: Path) -> tuple[list[FetchedPage | RejectedRecord], ArchiveReader]:
    reader = ArchiveReader(path)
    return list(reader), reader


def test_the_table_names_every_archive(archives: Path) -> None:
    found = {str(path.relative_to(archives)) for path in archives.rglob("*") if path.is_file()}
    assert {name for name in found if Path(name).name not in NOT_ARCHIVES} == set(OUTCOMES)


@pytest.mark.parametrize("name", sorted(OUTCOMES))
def test_every_record_of_a_real_archive_is_accounted_for(archives: Path, name: str) -> None:
    started = time.process_time()
    items, reader = read(archives / name)
    elapsed = time.process_time() - started
    outcome = reader.outcome
    *expected, error = OUTCOMES[name]
    found = [outcome.format, outcome.records, outcome.documents, outcome.rejected, outcome.skipped]
    assert found == expected
    assert (outcome.error is None) == (error is None)
    assert error is None or error in outcome.error
    assert (outcome.error_offset is None) == (error is None)
    assert sum(isinstance(item, FetchedPage) for item in items) == outcome.documents
    assert sum(isinstance(item, RejectedRecord) for item in items) == outcome.rejected
    assert outcome.bytes == (archives / name).stat().st_size
    assert error is not None or outcome.bytes_read == outcome.bytes
    assert elapsed < (3 if outcome.bytes > 20_000_000 else 2)


def test_files_of_other_kinds_say_so(archives: Path) -> None:
    for path in archives.rglob("*"):
        if path.name in NOT_ARCHIVES:
            items, reader = read(path)
            assert not items
            assert (reader.outcome.format, reader.outcome.records) == ("unknown", 0)
            assert reader.outcome.error.startswith("no WARC or WET archive: it begins with b'")


def test_the_miniweb_crawl_is_read_whole(archives: Path) -> None:
    items, _ = read(archives / "miniweb-crawl/miniweb-crawl-00000.warc.gz")
    pages = [item for item in items if isinstance(item, FetchedPage)]
    assert Counter((page.http_status, page.content_type) for page in pages) == {(200, "text/html"): 4191}
    rejected = Counter(
        (item.rule, item.value) for item in items if isinstance(item, RejectedRecord) and item.rule != "content_type"
    )
    assert rejected == {
        ("http_status", 404.0): 139,
        ("http_status", 403.0): 1,
        ("http_status", 410.0): 1,
        ("http_status", 500.0): 1,
        ("http_status", 503.0): 1,
        ("redirect", 301.0): 3,
        ("redirect", 302.0): 5,
    }
    # 4,617 responses: 4,191 pages, 143 errors, 8 redirects, 275 other files; 92 files that wget adds (arguments, log).
    assert sum(item.rule == "content_type" for item in items if isinstance(item, RejectedRecord)) == 275 + 92
    # The GIMP manual was served gzip-packed, in chunks: 252 pages of it, as grep counts Content-Encoding headers.
    unpacked = [page.body for page in pages if ("content-encoding", "gzip") in page.headers]
    assert len(unpacked) == 252
    assert all(body.lstrip().startswith(b"<") and body.rstrip().endswith(b"</html>") for body in unpacked)
    assert len({page.warc_offset for page in pages}) == 4191


def test_a_revisit_names_the_capture_that_it_repeats(archives: Path) -> None:
    items, _ = read(archives / "miniweb-crawl/miniweb-recrawl-revisit.warc.gz")
    revisits = [item for item in items if item.rule == "revisit"]
    assert len(revisits) == 54
    assert all(item.evidence and item.url and item.host for item in revisits)


def test_one_member_of_many_records_gives_each_record_an_offset_of_its_own(archives: Path) -> None:
    path = archives / "warcio-test-data/example-bad.warc.gz.bad"
    items, _ = read(path)
    assert len({item.warc_offset for item in items}) == 3
    assert [read_record(path, item.warc_offset) for item in items] == items


@pytest.mark.parametrize(
    "name", ["whirlwind-python/whirlwind.warc.gz", "dolma-warc/sample-0000.warc.gz", "whirlwind-python/whirlwind.warc"]
)
def test_offset_and_length_cut_the_record_out_of_the_file(archives: Path, name: str) -> None:
    items, _ = read(archives / name)
    data = (archives / name).read_bytes()
    for item in items:
        record = data[item.warc_offset : item.warc_offset + item.warc_length]
        record = gzip.decompress(record) if name.endswith(".gz") else record
        assert record.startswith(b"WARC/1.0\r\n")
        assert record.endswith(b"\r\n\r\n")
        assert record.count(b"WARC/1.0\r\n") == 1
        assert read_record(archives / name, item.warc_offset) == item


def test_the_same_records_come_out_of_every_packing(archives: Path) -> None:
    folder = archives / "resiliparse-test-data"
    bodies = [
        [(item.url, item.body) for item in read(folder / f"warcfile.warc{suffix}")[0]] for suffix in ("", ".gz", ".lz4")
    ]
    assert bodies[0] == bodies[1] == bodies[2]
    assert len(bodies[0]) == 16


def test_quirks_of_real_crawlers(archives: Path) -> None:
    page = read(archives / "warcio-test-data/example-wget-bad-target-uri.warc.gz")[0][0]
    assert (page.url, page.host) == ("http://example.com/", "example.com")
    image = read(archives / "warcio-test-data/example-space-in-target-uri.warc.gz")[0][0]
    assert (image.url, image.evidence) == ("file:///example%20with%20spaces.png", "image/png")
    chunked = read(archives / "warcio-test-data/example-iana.org-chunked.warc")[0][0]
    assert chunked.body.rstrip().endswith(b"</html>")
    # ClueWeb09 keeps "Content-Encoding: gzip" on bodies that are no longer packed, and ends header lines with LF.
    clueweb = read(archives / "resiliparse-test-data/clueweb-quirk.warc.gz")[0]
    assert all(page.content_type == "text/html" and page.http_status == 200 for page in clueweb)
    assert clueweb[0].body.startswith(b"<html>\n<head>")
    repeated = read(archives / "iipc-webarchive-commons/format/warc/mutliple-headers.warc")[0][0]
    assert [value for name, value in repeated.headers if name == "x-powered-by"] == ["PHP/8.3.11", "PleskLin"]


def test_a_page_whose_record_is_two_bytes_short_is_unpacked_as_far_as_it_goes(archives: Path) -> None:
    page = read(archives / "warcio-test-data/example-trunc.warc")[0][0]
    assert page.body.rstrip().endswith(b"</html>")
