"""What a page says about itself: its title, its licence, and whether it may be used for training."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from resiliparse.parse.html import HTMLTree
from resiliparse.parse.html.node import ElementNode

ALLOWED = "allowed"

_MAX_CHARACTERS = 1_000  # of a title or licence: longer ones are attacks or accidents

_LICENSE_METAS = ("dcterms.license", "dc.rights", "dcterms.rights", "dc.license", "license")
_LICENSE_LINKS = (
    "link[rel~=license i][href], a[rel~=license i][href], "
    "a[href*='creativecommons.org/licenses/'], a[href*='creativecommons.org/publicdomain/']"
)
_FOOTER = "footer, [role=contentinfo], [id*=foot], [class*=foot], [class*=copyright]"
_LICENSE_HEADER = re.compile(
    r"<([^<>]*)>(?:[^,<\"]|\"[^\"]*\")*?;\s*rel\s*=\s*(?:\"[^\"]*\blicense\b[^\"]*\"|license\b)", re.IGNORECASE
)

_ROBOTS_META = re.compile(r"robots|.*bot|google-extended|applebot-extended|claude-web|anthropic-ai|cohere-ai")
_NO_AI = re.compile(r"\b(noai|noimageai)\b")
_NO_TRAINING = re.compile(r"\b(?:ai-train|train-ai|train-genai)\s*=\s*(?:no?\b|\?0)")


def metas(tree: HTMLTree) -> dict[str, list[str]]:
    """Contents of the page's <meta> elements by their `name`, `property` or `http-equiv`, in lower case."""
    found: dict[str, list[str]] = {}
    for meta in _select(tree, "meta[content]"):
        name = meta.get_attribute("name") or meta.get_attribute("property") or meta.get_attribute("http-equiv")
        if name and (content := meta.get_attribute("content")):
            found.setdefault(name.strip().lower(), []).append(content)
    return found


def find_title(tree: HTMLTree, metas: dict[str, list[str]]) -> str | None:
    """The page's <title>, else its og:title, else its first <h1>."""
    return _first(_titles(tree, metas))


def _titles(tree: HTMLTree, metas: dict[str, list[str]]) -> Iterator[str | None]:
    yield tree.title
    yield from metas.get("og:title", ())
    yield from (heading.text_content for heading in _select(tree, "h1"))


def find_license(tree: HTMLTree, metas: dict[str, list[str]], headers: Sequence[tuple[str, str]]) -> str | None:
    """The licence, an address or a name, that the page or its headers declare for the page as a whole.

    That is the first of: a link with rel=license in the page, one in the HTTP header, Dublin Core metadata, a link to
    Creative Commons in the page's footer. A licence that the text only speaks of does not count. An address is as the
    page has it: it may be relative.
    """
    in_page, in_footer = [], []
    for link in _select(tree, _LICENSE_LINKS):
        if "license" in (link.get_attribute("rel") or "").lower().split():
            in_page.append(link.get_attribute("href"))
        elif link.closest(_FOOTER) is not None:
            in_footer.append(link.get_attribute("href"))
    in_headers = [match[1] for value in _values(headers, "link") for match in _LICENSE_HEADER.finditer(value)]
    in_metas = [content for name in _LICENSE_METAS for content in metas.get(name, ())]
    return _first([*in_page, *in_headers, *in_metas, *in_footer])


def find_consent(metas: dict[str, list[str]], headers: Sequence[tuple[str, str]]) -> str:
    """`allowed`, or every signal that forbids training and its place: "noai (meta robots); ai-train=no (…)".

    Sources: the noai and noimageai directives (DeviantArt, 2022), TDM Reservation Protocol (W3C Community Group),
    Content Signals (contentsignals.org), AI Preferences (IETF draft-ietf-aipref-attach).
    """
    return "; ".join(dict.fromkeys(_objections(metas, headers))) or ALLOWED


def _objections(metas: dict[str, list[str]], headers: Sequence[tuple[str, str]]) -> Iterator[str]:
    # A directive addressed to one crawler still tells what the publisher wants.
    for value in _values(headers, "x-robots-tag"):
        yield from (f"{word} (X-Robots-Tag)" for word in _NO_AI.findall(value.lower()))
    for header in ("Content-Signal", "Content-Usage"):
        for value in _values(headers, header.lower()):
            yield from (f"{match[0]} ({header})" for match in _NO_TRAINING.finditer(value.lower()))
    if any(value.strip() == "1" for value in _values(headers, "tdm-reservation")):
        yield "tdm-reservation: 1 (header)"
    for name, contents in metas.items():
        if _ROBOTS_META.fullmatch(name):
            for content in contents:
                yield from (f"{word} (meta {name})" for word in _NO_AI.findall(content.lower()))
        elif name == "tdm-reservation" and any(content.strip() == "1" for content in contents):
            yield "tdm-reservation: 1 (meta)"


def _select(tree: HTMLTree, selector: str) -> list[ElementNode]:
    # Iterating over a collection would look up each element from the first; values() does not.
    return [] if tree.document is None else tree.document.query_selector_all(selector).values()


def _values(headers: Sequence[tuple[str, str]], name: str) -> list[str]:
    return [value for header, value in headers if header.lower() == name]


def _first(candidates: Iterable[str | None]) -> str | None:
    """The first candidate that has text, with white space collapsed."""
    for candidate in candidates:
        if candidate and (text := " ".join(candidate.replace("\0", "").split())):
            return text[:_MAX_CHARACTERS]
    return None
