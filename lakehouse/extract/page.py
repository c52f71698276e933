"""A fetched page to a document: its text and what it says about itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lakehouse.extract import declarations
from lakehouse.extract.charset import decode
from lakehouse.extract.errors import ExtractError
from lakehouse.extract.text import extract_text, normalise, parse

MAX_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True)
class Page:
    """What was found in a page.

    Attributes:
        text: normalised (see `text.normalise`), never empty.
        title: one line; None where the page has none.
        charset: WHATWG's name of the charset that the page was decoded with, in lower case.
        license: address or name of the licence that the page declares.
        consent: "allowed", or the signal that forbids training, such as "noai (meta robots)".
    """

    text: str
    title: str | None
    charset: str
    license: str | None
    consent: str


def extract_page(body: bytes, headers: Sequence[tuple[str, str]] = ()) -> Page:
    """Extract a page's text.

    Args:
        body: the page, without transfer or content encoding: HTML, or plain text where the Content-Type says so.
        headers: of the HTTP response, as (name, value).

    Raises:
        ExtractError: there is nothing to get. Rules: `too_large` (over 16 MiB), `undecodable` (no text in any charset),
            `hostile_markup` (would take minutes to parse), `no_text` (nothing is left).
    """
    if len(body) > MAX_BYTES:
        raise ExtractError("too_large", f"{len(body):,} bytes are more than {MAX_BYTES:,}")
    content_type = next((value for name, value in headers if name.lower() == "content-type"), None)
    characters, charset = decode(body, content_type)
    is_plain = content_type is not None and content_type.strip().lower().startswith("text/plain")
    tree = parse("" if is_plain else characters)
    metas = declarations.metas(tree)
    title = declarations.find_title(tree, metas)
    license_ = declarations.find_license(tree, metas, headers)
    text = normalise(characters) if is_plain else extract_text(tree)
    if not text:
        raise ExtractError("no_text", f"{len(body):,} bytes of {charset} hold no text")
    return Page(
        text=text,
        title=None if title is None else normalise(title),
        charset=charset,
        license=license_,
        consent=declarations.find_consent(metas, headers),
    )
