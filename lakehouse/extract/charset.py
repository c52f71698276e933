"""Bytes to characters: which charset a page is in, whatever it says."""

from __future__ import annotations

import re
from collections.abc import Iterator

from resiliparse.parse.encoding import detect_encoding, map_encoding_to_html5

from lakehouse.extract.errors import ExtractError

_PRESCAN_BYTES = 4_096  # WHATWG asks for 1,024 at least; pages with much before their <meta> are common
_JUDGED_CHARACTERS = 10_000  # enough to tell text from something else
_FEW_ACCENTS = 10
_MAX_UNREADABLE = 0.05  # share of characters; text has none, random bytes have over a tenth

_BYTE_ORDER_MARKS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16le"), (b"\xfe\xff", "utf-16be"))

# resiliparse names codecs as Python does. Here they get WHATWG's name and the codec that reads what browsers read
# under that name: Python's own shift_jis, euc_kr and gbk know fewer characters. uchardet's cp949 is one such superset.
_ENCODINGS = {
    "ascii": ("windows-1252", "cp1252"),
    "big5": ("big5", "big5hkscs"),
    "cp866": ("ibm866", "cp866"),
    "cp949": ("euc-kr", "cp949"),
    "euc_jp": ("euc-jp", "euc_jp"),
    "euc_kr": ("euc-kr", "cp949"),
    "gbk": ("gbk", "gb18030"),
    "iso2022_jp": ("iso-2022-jp", "iso2022_jp_ext"),
    "iso8859-11": ("windows-874", "cp874"),
    "mac-roman": ("macintosh", "mac-roman"),
    "shift_jis": ("shift_jis", "cp932"),
    "utf-16-be": ("utf-16be", "utf-16-be"),
    "utf-16-le": ("utf-16le", "utf-16-le"),
}

_COMMENT = re.compile(rb"<!--.*?-->", re.DOTALL)
_META_CHARSET = re.compile(rb"<meta\b[^>]*?\bcharset\s*=\s*[\"']?\s*([\w.:-]+)", re.IGNORECASE)
_XML_ENCODING = re.compile(rb"<\?xml\b[^>]*?\bencoding\s*=\s*[\"']([\w.:-]+)", re.IGNORECASE)
_HEADER_CHARSET = re.compile(r"charset\s*=\s*[\"']?\s*([\w.:-]+)", re.IGNORECASE)
_ISO_2022_JP = re.compile(rb"\x1b(?:\$[@B]|\([JI])")
_UNREADABLE = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f\ufffd]")
_HIGH_BYTES = re.compile(rb"[\x80-\xff]+")


def decode(body: bytes, content_type: str | None) -> tuple[str, str]:
    """Decode a page.

    A byte order mark is believed; so are bytes that are valid UTF-8, since text in another charset almost never is.
    Then come the HTTP header, the page's own declaration (<meta> or XML), and detection by uchardet. The first of
    them that decodes nearly without errors wins; if none does, the one with the fewest errors.

    Args:
        content_type: value of the HTTP header, where there is one.

    Returns:
        The text (U+FFFD for what could not be decoded) and WHATWG's name, in lower case, of the charset used.

    Raises:
        ExtractError: rule `undecodable`: the bytes are no text in any charset.

    Source: WHATWG Encoding Standard (names and labels); HTML Standard, 13.2.3.2 (prescan of the byte stream).
    """
    text, charset = _decode(body, content_type)
    beginning = text[:_JUDGED_CHARACTERS]
    unreadable = len(_UNREADABLE.findall(beginning))
    if unreadable > _MAX_UNREADABLE * len(beginning):
        share = unreadable / len(beginning)
        raise ExtractError("undecodable", f"{share:.0%} of the characters are control or replacement characters")
    return text, charset


def _decode(body: bytes, content_type: str | None) -> tuple[str, str]:
    for mark, charset in _BYTE_ORDER_MARKS:
        if body.startswith(mark):
            return body[len(mark) :].decode(charset, "replace"), charset
    evident = _evident(body)
    if evident is None and (text := _as_utf8(body)) is not None:
        return text, "utf-8"
    attempts: list[tuple[int, int, str, str]] = []
    for name in filter(None, [evident, *_candidates(body, content_type)]):
        same = name.replace("iso8859", "iso-8859").replace("cp125", "windows-125")
        charset, codec = _ENCODINGS.get(name, (same, name))
        text = body.decode(codec, "replace")
        if _is_clean(text):
            return text, charset
        attempts.append((text.count("\ufffd"), len(attempts), text, charset))
    _, _, text, charset = min(attempts)
    return text, charset


def _as_utf8(body: bytes) -> str | None:
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        text = body.decode("utf-8", "replace")
        return text if _is_clean(text) else None


def _evident(body: bytes) -> str | None:
    """The charset that the bytes alone give away, though they are valid UTF-8 too."""
    beginning = body[:_PRESCAN_BYTES]
    if 4 * beginning.count(0) > len(beginning):
        return "utf-16-le" if beginning[1::2].count(0) > beginning[::2].count(0) else "utf-16-be"
    return "iso2022_jp" if b"\x1b" in body and _ISO_2022_JP.search(body) else None


def _is_clean(text: str) -> bool:
    """Whether at most a tenth of what is not ASCII failed to decode: a few damaged bytes are no other charset."""
    errors = text.count("\ufffd")
    return errors == 0 or 10 * errors <= len(text) - len(text.encode("ascii", "ignore"))


def _candidates(body: bytes, content_type: str | None) -> Iterator[str]:
    """Python names of the charsets to try, most credible first."""
    header = _python_name(_HEADER_CHARSET.search(content_type or ""))
    head = _COMMENT.sub(b"", body[:_PRESCAN_BYTES])
    meta = _python_name(_XML_ENCODING.match(head.lstrip()) or _META_CHARSET.search(head))
    if meta is not None and meta.startswith("utf-16"):
        meta = "utf-8"  # the declaration could be read, so it is wrong (HTML Standard, prescan, step 15)
    declared = [name for name in (header, meta) if name is not None]
    detected = _detect(body)
    # Servers send their default, Latin-1, with pages in any script; and header and page contradict each other.
    contradicted = len(set(declared)) > 1 and detected == meta
    if contradicted or (declared[:1] == ["cp1252"] and not _looks_latin(_HIGH_BYTES.findall(body))):
        declared.insert(0, detected)
    yield from dict.fromkeys([*declared, detected, "cp1252"])


def _python_name(label: re.Match[str] | re.Match[bytes] | None) -> str | None:
    if label is None:
        return None
    name = label[1] if isinstance(label[1], str) else label[1].decode("ascii", "ignore")
    mapped: str | None = map_encoding_to_html5(name, fallback_utf8=False)
    return mapped


def _detect(body: bytes) -> str:
    accents = _HIGH_BYTES.findall(body)
    if len(accents) < _FEW_ACCENTS and _looks_latin(accents):
        return "cp1252"  # too little to go by
    # With WHATWG names on, uchardet's answer for Korean (cp949) would become UTF-8.
    name: str | None = detect_encoding(body, html5_compatible=False)
    if name is None:
        return "cp1252"
    return name if name in _ENCODINGS else map_encoding_to_html5(name, fallback_utf8=False) or "cp1252"


def _looks_latin(accents: list[bytes]) -> bool:
    """Whether accented letters stand alone, as in Western languages, and not in whole words, as in other scripts."""
    return 4 * sum(len(run) > 3 for run in accents) <= len(accents)
