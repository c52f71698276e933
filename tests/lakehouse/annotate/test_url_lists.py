"""What lists say of addresses."""

from __future__ import annotations

import gzip
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse.annotate.addresses import split_addresses
from lakehouse.annotate.annotator import AnnotatorError
from lakehouse.annotate.url.host_table import NO_ORIGIN, host_table
from lakehouse.annotate.url.lists import COLUMNS, url_lists
from lakehouse.annotate.words import Batch

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data" / "quality"

Write = Callable[[str, str], str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a file and returns its path."""

    def write(name: str, text: str) -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


def measure(addresses: list[str | None], **settings) -> pl.DataFrame:  # type: ignore[no-untyped-def]
    documents = pl.DataFrame(
        {"doc_id": list(map(str, range(len(addresses)))), "url": addresses}, schema_overrides={"url": pl.String}
    ).with_columns(text=pl.lit(""), language=pl.lit("en"))
    annotator = url_lists(**settings)
    measured = annotator.measure(Batch(documents))
    assert measured.to_arrow().cast(pa.schema(COLUMNS)).num_rows == len(addresses)
    return measured


def categories(addresses: list[str | None], **lists) -> list[str | None]:  # type: ignore[no-untyped-def]
    return measure(addresses, lists=lists)["url_category"].to_list()


@pytest.mark.parametrize(
    ("address", "host", "rest"),
    [
        ("HTTP://user:se@cret@WWW.Bücher.example.:8080/A%62c/?X=1#top", "www.xn--bcher-kva.example", "/abc/?x=1"),
        ("example.com", "example.com", ""),
        ("example.com:80/x", "example.com", "/x"),
        ("//example.com\\x", "example.com", "/x"),
        ("  http://exam\nple.com/\t", "example.com", "/"),
        ("http://good.test\\@evil.test/", "good.test", "/@evil.test/"),
        ("https://[2001:db8::1]:443/x", "[2001:db8::1]", "/x"),
        ("http://ex%61mple.com?q", "example.com", "?q"),
        ("http://例え。テスト/", "xn--r8jz45g.xn--zckzah", "/"),
        ("http://a.test/%e4%b8%ad%", "a.test", "/中%"),
        ("http://a.test/%ff", "a.test", "/\ufffd"),
        ("", "", ""),
        ("?", "", "?"),
        ("http:///example.com/x", "example.com", "/x"),  # as browsers read it
        (None, None, None),
    ],
)
def test_an_address_has_one_form(address: str | None, host: str | None, rest: str | None) -> None:
    assert split_addresses(pl.Series([address], dtype=pl.String)).rows() == [(host, rest)]


def test_a_host_stands_for_itself_and_all_below_it(write: Write) -> None:
    hosts = write("hosts.txt", "example.com\nBÜCHER.example\n5.6.7.8\n")
    listed = ["http://example.com", "https://WWW.Example.com:8080/x", "http://u:p@a.b.example.com./", "example.com?x"]
    listed += ["http://xn--bcher-kva.example/", "http://bücher.example", "http://5.6.7.8/x"]
    others = ["http://notexample.com", "http://example.com.evil.test", "http://a.test/example.com", "http://com"]
    others += ["http://example.co", "http://15.6.7.8", "", "http://", "file:///x", None]
    assert categories([*listed, *others], bad=hosts) == ["bad"] * len(listed) + [None] * len(others)


def test_an_entry_with_www_stands_for_the_host_without_it_alone(write: Write) -> None:
    hosts = write("hosts.txt", "www.blog.test\n")
    addresses = ["http://blog.test/", "http://www.blog.test/x", "http://a.www.blog.test", "http://alice.blog.test/"]
    assert categories(addresses, bad=hosts) == ["bad", "bad", "bad", None]


def test_the_beginning_of_an_address_ends_where_a_part_does(write: Write) -> None:
    urls = write("urls.txt", "https://www.example.com/Ads/\nshop.test/view?id=1\n")
    listed = ["http://example.com/ads", "http://WWW.example.com/ads/x", "http://example.com/%61ds?x"]
    listed += ["http://shop.test/view?id=1", "http://shop.test/view?id=1&page=2"]
    others = ["http://example.com/adsense", "http://a.example.com/ads", "http://example.com/x/ads"]
    others += ["http://shop.test/view?id=12", "http://shop.test/view"]
    measured = measure([*listed, *others], lists={"bad": urls})
    assert measured["url_category"].to_list() == ["bad"] * 5 + [None] * 5
    assert measured["url_entry"].to_list()[:2] == ["example.com/ads", "example.com/ads"]
    assert measured["url_list"].to_list()[3] == f"{urls}:2"


def test_the_first_category_counts_and_the_evidence_names_file_line_and_entry(write: Write) -> None:
    first = write("first", "# comment\n\na.test\nx.a.test\nx.a.test\n")
    second = write("second", "a.test\nb.test")
    measured = measure(["http://y.x.a.test/", "http://b.test"], lists={"one": first, "two": second})
    assert measured.select("url_category", "url_list", "url_entry").rows() == [
        ("one", f"{first}:3", "a.test"),  # the first line of the file, as both fit
        ("two", f"{second}:2", "b.test"),
    ]
    assert categories(["http://y.x.a.test/"], two=second, one=first) == ["two"]


def test_a_folder_in_the_format_of_ut1_has_domains_urls_and_expressions(write: Write, tmp_path: Path) -> None:
    write("adult/domains", "sex.test\n")
    write("adult/urls", "videos.test/adult\n")
    write("adult/expressions", "(/xxx/|porn[0-9]+)\n(\n")
    write("adult/usage", "black\n")
    addresses = [
        "http://sex.test",
        "http://videos.test/adult/1",
        "http://a.test/XXX/1",
        "http://porn12.test",
        "http://usage.test",
    ]
    assert categories(addresses, adult=str(tmp_path / "adult")) == ["adult"] * 4 + [None]
    evidence = measure(addresses[3:4], lists={"adult": str(tmp_path / "adult")}).row(0)
    assert evidence[1:3] == (f"{tmp_path}/adult/expressions:1", "(/xxx/|porn[0-9]+)")


def test_adblock_rules_are_asked_as_if_the_page_were_framed(write: Write) -> None:
    rules = write(
        "easy.txt",
        "[Adblock Plus 2.0]\n! title\n||ads.test^\n/banner/*$subdocument\n@@||ads.test/about^\n||img.test^$image\n"
        "||third.test^$third-party\nexample.com##.ad\n||named.test^$domain=other.test\n",
    )  # fmt: skip
    addresses = [
        "http://x.ads.test/1",
        "ads.test",
        "http://a.test/banner/x",
        "http://ads.test/about/",
        "http://img.test/",
    ]
    addresses += ["http://third.test/", "http://named.test/", "http://badsads.test/", "no address at all", "", None]
    measured = measure(addresses, lists={"ads": rules})
    assert measured["url_category"].to_list() == ["ads"] * 3 + [None, None, "ads"] + [None] * 5
    assert measured.row(0)[1:3] == (f"{rules}:3", "||ads.test^")


def test_hosts_files_zones_and_comments_are_read(write: Write) -> None:
    own = "127.0.0.1 localhost\r\n::1 ip6-localhost\r\n"
    text = f"\ufeff## List ##\r\n! note\r\n{own}0.0.0.0 a.test b.test # both\r\n*.c.test\r\n.xxx\r\n"
    addresses = [
        "http://a.test",
        "http://b.test/",
        "http://x.c.test",
        "http://site.xxx/",
        "http://localhost/",
        "http://xxx.test",
    ]
    assert categories(addresses, bad=write("hosts", text)) == ["bad"] * 4 + [None] * 2


def test_a_compressed_list_is_read_and_the_format_can_be_given(tmp_path: Path) -> None:
    path = tmp_path / "list.gz"
    path.write_bytes(gzip.compress(b"||ads.test^\n"))
    assert categories(["http://ads.test/"], ads={"path": str(path), "format": "adblock"}) == ["ads"]
    assert categories(["http://ads.test/"], ads=[str(path)]) == ["ads"]
    with pytest.raises(AnnotatorError, match=r"list\.gz:1 is no entry"):
        categories(["http://ads.test/"], ads={"path": str(path), "format": "plain"})


def test_a_changed_list_is_read_again(write: Write) -> None:
    annotator = url_lists(lists={"bad": write("hosts", "a.test\n")})
    batch = Batch(pl.DataFrame({"doc_id": ["1"], "text": [""], "language": ["en"], "url": ["http://longer.test"]}))
    assert annotator.measure(batch)["url_category"].item() is None
    write("hosts", "longer.test\n")
    assert annotator.measure(batch)["url_category"].item() == "bad"


def test_unreadable_lines_are_told_and_a_file_of_them_is_an_error(
    write: Write, caplog: pytest.LogCaptureFixture
) -> None:
    some = write("some", "a.test\nno host\nb.test\n\ufffd.test\nc.test\n")
    assert categories(["http://c.test"], bad=some) == ["bad"]
    assert f"{some}: 2 of 5 lines are no entries and were left out; the first is line 2." in caplog.text
    page = write("page", "<html>\n<body>\n<h1>Not found</h1>\nwww.a.test\n</body>\n")
    with pytest.raises(AnnotatorError, match=r"page:1 is no entry of a list, nor are 4 of the file's 5 lines"):
        categories(["http://c.test"], bad=page)


def test_wrong_settings_and_missing_files_are_named(write: Write, tmp_path: Path) -> None:
    with pytest.raises(AnnotatorError, match="needs lists or words"):
        url_lists()
    with pytest.raises(AnnotatorError, match="7 names no list"):
        url_lists(lists={"bad": 7})
    with pytest.raises(AnnotatorError, match="format 'csv' of x is unknown: use ut1, adblock, plain"):
        url_lists(lists={"bad": {"path": "x", "format": "csv"}})
    with pytest.raises(AnnotatorError, match="words has no key 'hard'"):
        url_lists(words={"hard": ["x"]})
    with pytest.raises(AnnotatorError, match=r"soft is \[True\]"):
        url_lists(words={"soft": [True]})
    missing = url_lists(lists={"bad": str(tmp_path / "absent")})  # to declare it costs no look at the file
    batch = Batch(pl.DataFrame({"doc_id": ["1"], "text": [""], "language": ["en"], "url": ["http://a.test"]}))
    with pytest.raises(AnnotatorError, match="absent"):
        missing.measure(batch)
    write("empty/readme", "")
    with pytest.raises(AnnotatorError, match="holds none of the files domains, urls, expressions"):
        url_lists(lists={"bad": str(tmp_path / "empty")}).measure(batch)
    with pytest.raises(AnnotatorError, match="'--' has neither letters nor digits"):
        url_lists(words={"soft": ["x", "--"]}).measure(batch)


def test_words_are_matched_at_the_boundaries_of_an_addresss_parts(write: Write) -> None:
    words = {"strict": ["sex", "Sex-Toy"], "soft": write("soft", "# soft\nfree\nbücher\nvideo\n")}
    addresses = [
        "http://sex-free.test/free/video?x=VIDEO",  # sex; free and video once each
        "http://essex.test/sextant/videos",  # inside other words
        "http://a.test/sex_toy.html",  # the word and the phrase
        "http://xn--bcher-kva.test/b%C3%BCcher",
        "http://a.test/",
        "",
        None,
    ]
    assert measure(addresses, words=words).rows() == [
        (None, None, None, 1, 2, ["free", "sex", "video"]),
        (None, None, None, 0, 0, []),
        (None, None, None, 2, 0, ["sex", "sex-toy"]),
        (None, None, None, 0, 1, ["bücher"]),
        (None, None, None, 0, 0, []),
        (None, None, None, 0, 0, []),
        (None, None, None, None, None, None),
    ]
    lists = {"bad": write("hosts", "a.test\n")}
    assert measure(addresses[:1], lists=lists).row(0) == (None,) * 6  # no words are given: nothing is counted


def slow_match(host: str, rest: str, entries: list[tuple[str, str]]) -> int | None:
    """The first entry that an address falls under, by comparing strings."""
    bare = host.removeprefix("www.")
    for place, (entry_host, entry_rest) in enumerate(entries):
        if entry_rest:
            bounded = rest == entry_rest or (rest.startswith(entry_rest) and rest[len(entry_rest)] in "/?&;")
            if bare == entry_host.removeprefix("www.") and bounded:
                return place
        elif host == entry_host or host.endswith(f".{entry_host}") or host == entry_host.removeprefix("www."):
            return place
    return None


HOSTS = st.lists(st.sampled_from(["a", "b", "www", "com"]), min_size=1, max_size=4).map(".".join)
RESTS = st.text("/?&ax", max_size=6).map(lambda text: f"/{text}") | st.just("")


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(HOSTS, RESTS.map(lambda rest: rest.rstrip("/"))), max_size=8),
    st.lists(st.tuples(HOSTS, RESTS), max_size=8),
)
def test_the_table_agrees_with_comparing_strings(
    entries: list[tuple[str, str]], addresses: list[tuple[str, str]]
) -> None:
    columns = {"host": pl.String, "rest": pl.String}
    frame = pl.DataFrame(entries, schema=columns, orient="row").with_columns(origin=pl.int_range(pl.len()))
    parts = pl.DataFrame(addresses, schema=columns, orient="row")
    origins, places = host_table([frame]).find(parts)
    expected = [slow_match(host, rest, entries) for host, rest in addresses]
    assert [None if origin == NO_ORIGIN else origin for origin in origins.tolist()] == expected
    assert places.is_null().to_list() == [place is None for place in expected]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=60), max_size=5))
def test_any_text_can_stand_for_an_address(addresses: list[str | None]) -> None:
    measured = measure(addresses, words={"soft": ["a b"]})
    assert measured["url_soft_words"].is_null().to_list() == [address is None for address in addresses]


@pytest.mark.parametrize("unit", ["a.", "/a", "%41", "@", "ü.", "http://", "a/b?c&d;", "\n", "😀", "\u200f", "\0"])
def test_long_addresses_take_no_quadratic_time(unit: str, write: Write) -> None:
    lists = {"bad": write("l", "a.test/x\n"), "ads": {"path": write("e", "||ads.test^\n"), "format": "adblock"}}

    def seconds(repeats: int) -> float:
        address = "http://a.test/" + unit * repeats
        start = time.perf_counter()
        measure([address, unit * repeats], lists=lists, words={"soft": ["a b"]})
        return time.perf_counter() - start

    seconds(100)
    size = 100_000 // len(unit)
    assert seconds(4 * size) < 0.3 + 12 * seconds(size)


@pytest.mark.skipif(not (SHARED / "ut1-blacklists").is_dir(), reason="the lists are not here")
def test_real_lists_are_read_and_their_own_entries_match(tmp_path: Path) -> None:
    archive = next((SHARED / "ut1-blacklists").glob("*.tar.zst"))
    with pa.input_stream(str(archive), compression="zstd") as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
        for member in tar:
            if "/gambling/" in member.name or "/phishing/" in member.name:
                tar.extract(member, tmp_path, filter="data")
    folders = {path.name: str(path) for path in tmp_path.glob("*/*") if path.is_dir()}
    domains = (Path(folders["gambling"]) / "domains").read_text().split()[:5_000]
    urls = (Path(folders["phishing"]) / "urls").read_text().splitlines()[:5_000]
    hosts = measure([f"https://m.{domain}/x" for domain in domains], lists={"gambling": folders["gambling"]})
    assert hosts["url_category"].null_count() < 0.001 * len(domains)
    pages = measure([f"https://www.{url}" for url in urls], lists={"phishing": folders["phishing"]})
    assert pages["url_category"].null_count() < 0.01 * len(urls)
    assert measure([f"http://not{domain}" for domain in domains], lists=folders)["url_category"].count() < 50


@pytest.mark.skipif(not (SHARED / "dolma-samples").is_dir(), reason="the list is not here")
def test_a_real_adblock_list_is_told_from_its_content() -> None:
    path = SHARED / "dolma-samples" / "urls" / "easylist.txt.gz"
    addresses = ["https://cdn.test/x-ad-300x600-y.html", "https://en.wikipedia.org/wiki/Salt"]
    measured = measure(addresses, lists={"ads": str(path)})
    assert measured["url_category"].to_list() == ["ads", None]
    assert measured["url_list"].to_list()[0].startswith(f"{path}:")
