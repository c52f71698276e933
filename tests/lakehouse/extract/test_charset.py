"""Bytes of a page to characters."""

import csv
import io
import tarfile
from pathlib import Path

import pyarrow as pa
import pytest

from lakehouse.extract import ExtractError, decode

RUSSIAN = "Съешь ещё этих мягких французских булок, да выпей же чаю. Широкая электрификация южных губерний."
FRENCH = "Le garçon a mangé une crêpe à l'hôtel; déjà l'été s'achève, où êtes-vous?"
JAPANESE = "これは日本語の文章です。文字コードを調べるために書きました。今日は天気がとても良いので、散歩に行きます。"
KOREAN = "이것은 한국어 문장입니다. 문자 인코딩을 확인하기 위해 썼습니다. 오늘은 날씨가 매우 좋습니다."
CHINESE = "这是一个中文句子。为了检查字符编码而写。今天天气很好，我们去公园散步吧。"


def html(text: str, meta: str = "") -> str:
    return f"<html><head>{meta}<title>t</title></head><body><p>{text}</p></body></html>"


@pytest.mark.parametrize(
    ("text", "codec", "charset"),
    [
        (RUSSIAN, "cp1251", "windows-1251"),
        (RUSSIAN, "koi8-r", "koi8-r"),
        (RUSSIAN, "utf-8", "utf-8"),
        (FRENCH, "latin-1", "windows-1252"),
        (JAPANESE, "euc_jp", "euc-jp"),
        (JAPANESE, "shift_jis", "shift_jis"),
        (JAPANESE, "iso2022_jp", "iso-2022-jp"),
        (KOREAN, "euc_kr", "euc-kr"),
        (CHINESE, "gb18030", "gb18030"),
    ],
)
@pytest.mark.parametrize("declared", [None, "utf-8", "ISO-8859-1", "no-such-charset"])
def test_the_charset_is_found_whatever_the_header_says(
    text: str, codec: str, charset: str, declared: str | None
) -> None:
    content_type = None if declared is None else f"text/html; charset={declared}"
    assert decode(html(text).encode(codec), content_type) == (html(text), charset)


@pytest.mark.parametrize(
    "meta",
    [
        '<meta charset="koi8-u">',
        "<meta charset=koi8-u>",
        "<META HTTP-EQUIV='Content-Type' CONTENT='text/html; charset=koi8-u'>",
        '<!-- <meta charset="utf-16"> --><meta charset="koi8-u">',
    ],
)
def test_a_meta_declaration_is_used(meta: str) -> None:
    page = html("Привіт, як справи?", meta)
    assert decode(page.encode("koi8-u"), "text/html") == (page, "koi8-u")


def test_an_xml_declaration_is_used() -> None:
    page = '<?xml version="1.0" encoding="iso-8859-2"?>' + html("Zażółć gęślą jaźń")
    assert decode(page.encode("iso-8859-2"), None) == (page, "iso-8859-2")


def test_the_header_comes_before_the_page() -> None:
    page = html("naïve café", '<meta charset="iso-8859-2">')
    assert decode(page.encode("latin-1"), 'text/html; charset="windows-1252"') == (page, "windows-1252")


def test_the_page_comes_before_a_header_that_the_bytes_contradict() -> None:
    page = html(RUSSIAN, '<meta charset="windows-1251">')
    assert decode(page.encode("cp1251"), "text/html; charset=koi8-r") == (page, "windows-1251")


@pytest.mark.parametrize(
    ("mark", "codec", "charset"),
    [
        (b"\xef\xbb\xbf", "utf-8", "utf-8"),
        (b"\xff\xfe", "utf-16-le", "utf-16le"),
        (b"\xfe\xff", "utf-16-be", "utf-16be"),
        (b"", "utf-16-le", "utf-16le"),
        (b"", "utf-16-be", "utf-16be"),
    ],
)
def test_utf_16_and_byte_order_marks(mark: bytes, codec: str, charset: str) -> None:
    page = html("Größe " * 100, '<meta charset="windows-1251">')
    assert decode(mark + page.encode(codec), "text/html; charset=latin1") == (page, charset)


def test_latin_1_means_windows_1252_as_in_browsers() -> None:
    assert decode(b"<p>\x93quoted\x94 caf\xe9</p>", "text/html; charset=latin1") == (
        "<p>“quoted” café</p>",
        "windows-1252",
    )


def test_one_damaged_byte_does_not_change_the_charset() -> None:
    damaged = html(RUSSIAN).encode().replace("булок".encode(), "бул\u043e".encode()[:-1] + "к".encode())
    text, charset = decode(damaged, "text/html; charset=utf-8")
    assert charset == "utf-8"
    assert text.count("\ufffd") == 1
    assert "электрификация" in text


def test_a_single_accent_that_is_not_utf_8_is_windows_1252() -> None:
    assert decode(b"<p>caf\xe9</p>", "text/html; charset=utf-8") == ("<p>café</p>", "windows-1252")


def test_nulls_in_utf_8_do_not_make_it_another_charset() -> None:
    text, charset = decode("<p>Grüße aus Köln, schöne Grüße</p>\x00".encode(), None)
    assert (text.rstrip("\x00"), charset) == ("<p>Grüße aus Köln, schöne Grüße</p>", "utf-8")


def test_nothing_is_ascii() -> None:
    assert decode(b"", None) == ("", "utf-8")


def test_an_image_is_not_text() -> None:
    with pytest.raises(ExtractError, match=r"undecodable: .*% of the characters") as error:
        decode(b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(range(256)) * 20, "text/html; charset=utf-8")
    assert error.value.rule == "undecodable"


def test_real_pages_in_18_charsets(shared: Path) -> None:
    archive = shared / "miniweb" / "miniweb.tar.zst"
    host = "miniweb/legacy-charset.test/"
    with pa.input_stream(archive, compression="zstd") as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
        pages = {
            member.name.removeprefix(host): tar.extractfile(member).read()  # type: ignore[union-attr]
            for member in tar
            if member.isfile() and member.name.startswith(host)
        }
    truth = list(csv.DictReader(io.StringIO(pages["truth.tsv"].decode()), delimiter="\t"))
    assert len(truth) == 216
    right = 0
    for row in truth:
        body = pages[row["path"]]
        right += decode(body, None)[0].lstrip("\ufeff") == body.decode(row["true_charset"]).lstrip("\ufeff")
    # Measured: 212. What is left: a Vietnamese page without a declaration, and the euro sign of ISO-8859-15.
    assert right >= 210
