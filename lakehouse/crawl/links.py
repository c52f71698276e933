"""Addresses: one spelling for each, and those that a page links to."""

from __future__ import annotations

import re
from urllib.parse import quote, urljoin, urlsplit

from resiliparse.parse.encoding import bytes_to_str, detect_encoding
from resiliparse.parse.html import ElementNode, HTMLTree

from lakehouse.crawl.http_message import HttpMessage, decode_body, looks_like_html

LONGEST_URL = 2_048
HTML_TYPES = ("text/html", "application/xhtml+xml")

_DEFAULT_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"[a-z0-9_.-]+|[0-9a-f:.]*:[0-9a-f:.]*")
_CHARSET = re.compile(r"charset\s*=\s*[\"']?([\w.:-]+)", re.IGNORECASE)
# Reserved characters and '%' stay as they are: an address that is already escaped must not be escaped again.
_KEPT = "%/:@!$&'()*+,;=~[]"
_DETECTION_BYTES = 1 << 16
_DECODED_LIMIT = 1 << 25


def canonical_url(reference: str, base: str = "") -> str | None:
    """The one spelling of the address that `reference` means on the page `base`.

    Scheme and host in lower case, international names as IDNA, no default port, no dot segments, no fragment, and
    everything else than ASCII escaped as UTF-8 (RFC 3986, 6.2).

    Returns:
        None for what a crawler does not fetch: other schemes than http and https, addresses with a user name, longer
        than 2,048 characters, or malformed.
    """
    try:
        parts = urlsplit(urljoin(base, reference.strip()))
        port = parts.port
        host = (parts.hostname or "").rstrip(".")
        host = host if ":" in host else host.encode("idna").decode("ascii").lower()
    except ValueError:  # a UnicodeError is one
        return None
    if parts.scheme not in _DEFAULT_PORTS or parts.username is not None or not _HOST.fullmatch(host):
        return None
    authority = f"[{host}]" if ":" in host else host
    if port not in (None, _DEFAULT_PORTS[parts.scheme]):
        authority += f":{port}"
    path = quote(_without_dot_segments(parts.path), safe=_KEPT, errors="replace")
    query = quote(parts.query, safe=_KEPT + "?", errors="replace")
    url = f"{parts.scheme}://{authority}{path}" + (f"?{query}" if query else "")
    return url if len(url) <= LONGEST_URL else None


def authority_of(url: str) -> str:
    """Host and port of a canonical address, the port only where it is not the scheme's own."""
    return url.split("/", 3)[2]


def origin_of(url: str) -> str:
    """Scheme, host and port of a canonical address: what one robots.txt speaks for."""
    return "/".join(url.split("/", 3)[:3])


def links_of(message: HttpMessage, url: str) -> list[str]:
    """The canonical addresses that an HTML page asks its readers to follow, in the page's order.

    None of a page that is not HTML or whose robots meta element says nofollow, and none of a link with rel=nofollow.

    Args:
        message: the response.
        url: its address, to resolve relative links where the page names no other base.

    Raises:
        BodyError: the content encoding is unknown or damaged, or the page is larger than 32 MiB.
    """
    content_type = message.header("content-type") or ""
    media_type = content_type.partition(";")[0].strip().lower()
    if not (media_type in HTML_TYPES or (not media_type and looks_like_html(message.body))):
        return []
    body = decode_body(message, _DECODED_LIMIT)
    document = HTMLTree.parse(_decoded(body, content_type)).document
    assert document is not None
    # `values()`, because resiliparse walks the whole document anew for each step through the list itself.
    for meta in document.query_selector_all("meta[name]").values():
        if _attribute(meta, "name").lower() == "robots":
            words = re.split(r"[\s,]+", _attribute(meta, "content").lower())
            if "nofollow" in words or "none" in words:
                return []
    base = document.query_selector("base[href]")
    base_url = _resolved(url, _attribute(base, "href")) if base else url
    followed = [
        element
        for element in document.query_selector_all("a[href], area[href]").values()
        if "nofollow" not in _attribute(element, "rel").lower().split()
    ]
    links = (canonical_url(_attribute(element, "href"), base_url) for element in followed)
    return [link for link in links if link is not None]


def _attribute(element: ElementNode, name: str) -> str:
    return (element.getattr(name) or "").strip()


def _resolved(url: str, reference: str) -> str:
    try:
        return urljoin(url, reference)
    except ValueError:
        return url


def _decoded(body: bytes, content_type: str) -> str:
    # Only addresses are read from this text, and nearly all of them are ASCII: a wrong guess costs no link.
    declared = _CHARSET.search(content_type)
    charset = declared[1] if declared else detect_encoding(body[:_DETECTION_BYTES])
    try:
        return bytes_to_str(body, charset or "utf-8")
    except (LookupError, UnicodeError):
        return body.decode("utf-8", "replace")


def _without_dot_segments(path: str) -> str:
    """RFC 3986, 5.2.4, for an absolute path; an empty one is '/'."""
    segments: list[str] = []
    *folders, last = path.split("/")[1:] or [""]
    for segment in folders:
        if segment == "..":
            del segments[-1:]
        elif segment != ".":
            segments.append(segment)
    if last == "..":
        del segments[-1:]
    segments.append("" if last in (".", "..") else last)
    return "/" + "/".join(segments)
