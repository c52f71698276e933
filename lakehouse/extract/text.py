"""The text of a page: its main content, without menus, footers and comments."""

from __future__ import annotations

import itertools
import re
import unicodedata

from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.html import HTMLTree
from resiliparse.parse.html.node import ElementNode

from lakehouse.extract.errors import ExtractError

_TINY_CHARACTERS = 500
_MAX_OPEN_ELEMENTS_TIMES_TAGS = 100_000_000  # two seconds at most
_MAX_ATTRIBUTES = 10_000

_SHALLOW_LISTS = "body > ul, body > * > ul, body > * > * > ul"
_MAX_SHALLOW_LISTS = 1_000  # more would only cost time

# Tuned on benchmarks/extraction.py; resiliparse's own rules find the rest.
_BOILERPLATE = ["footer", "[class*=gallery]:not(body,article,main)"]

_EMPTY_ELEMENT = re.compile(
    r"<(a|div|p|span|script|title|em|strong|i|b|td|li)((?:\s+[\w:-]+\s*=\s*\"[^\"<>]*\")*\s*)/>"
)
# Elements without an end tag, or whose end tag may be left out, do not nest; nor do SVG's shapes.
_NESTING_TAG = re.compile(
    r"<(/?)(?=[a-z])(?!(?:area|base|br|col|dd|dt|embed|hr|img|input|li|link|meta|option|p|param|source|tbody|td|tfoot|th|thead"
    r"|tr|track|wbr|circle|ellipse|image|line|path|polygon|polyline|rect|stop|use)\b)",
    re.IGNORECASE,
)
_TAG_START = re.compile(r"<[a-zA-Z]")
_QUOTED = re.compile(r"\"[^\"]*\"|'[^']*'")

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ufeff]")
_BLANK_LINES = re.compile(r"\n{3,}")


def parse(html: str) -> HTMLTree:
    """Parse a page, unless parsing or extracting it would take more than a few seconds.

    The work grows with the square of what is nested or of a tag's attributes, and nothing can stop it once begun. The
    check is a count, not a parser: it stops accidents and simple attacks, not someone who writes pages against it.

    Raises:
        ExtractError: rule `hostile_markup`.
    """
    if "xhtml" in html[:1_000].lower():
        # An HTML parser reads XHTML's <a id="x"/> as a link that never ends, and links are boilerplate.
        html = _EMPTY_ELEMENT.sub(r"<\1\2></\1>", html)
    _check_nesting(html)
    _check_attributes(html)
    return HTMLTree.parse(html)


def _check_nesting(html: str) -> None:
    n_tags = html.count("<")
    if n_tags * n_tags <= _MAX_OPEN_ELEMENTS_TIMES_TAGS:
        return
    depth = deepest = 0
    for tag in _NESTING_TAG.finditer(html):
        depth = max(0, depth - 1) if tag[1] else depth + 1
        deepest = max(deepest, depth)
    if deepest * n_tags > _MAX_OPEN_ELEMENTS_TIMES_TAGS:
        raise ExtractError("hostile_markup", f"{deepest:,} elements are open at once in a page of {n_tags:,} tags")


def _check_attributes(html: str) -> None:
    place = 0
    while place < len(html):
        # Looking at one window after the other costs next to nothing, unlike looking at each tag.
        if html.find(">", place, place + _MAX_ATTRIBUTES) >= 0:
            place += _MAX_ATTRIBUTES
            continue
        end = html.find(">", place)
        end = len(html) if end < 0 else end
        start = _TAG_START.search(html, html.rfind(">", 0, place) + 1, end)
        if start is not None:
            n_attributes = len(_QUOTED.sub("", html[start.start() : end]).split())
            if n_attributes > _MAX_ATTRIBUTES:
                raise ExtractError("hostile_markup", f"a tag has {n_attributes:,} attributes")
        place = end + 1


def extract_text(tree: HTMLTree) -> str:
    """Text of a page's main content, or of the whole page where that is empty or next to nothing.

    Lists keep their bullets and numbers, preformatted text its lines and spaces, table cells are split by tabs.
    Changes `tree`.
    """
    _protect_content(tree)
    main = extract_plain_text(
        tree,
        main_content=True,
        alt_texts=False,
        comments=False,
        post_meta=False,
        skip_elements=_BOILERPLATE,
    )
    if len(main) < _TINY_CHARACTERS:
        whole = extract_plain_text(tree, main_content=False, alt_texts=False)
        if 10 * len(main) < len(whole):
            return normalise(whole)
    return normalise(main)


def _protect_content(tree: HTMLTree) -> None:
    """Rearrange what resiliparse takes for boilerplate by its place alone."""
    document, body = tree.document, tree.body
    if document is None or body is None:
        return
    # Every <ul> that is fewer than four levels deep counts as a menu: hand-written pages would lose all their lists.
    for listing in body.query_selector_all(_SHALLOW_LISTS).values()[:_MAX_SHALLOW_LISTS]:
        if not _is_menu(listing):
            frames = [document.create_element("div") for _ in range(3)]
            listing.before(frames[0])
            for outer, inner in itertools.pairwise([*frames, listing]):
                outer.append(inner)
    # Figures are dropped with the code and the tables in them.
    for content in body.query_selector_all("figure pre, figure table").values():
        if (figure := content.closest("figure")) is not None:
            figure.before(content)
    # DocBook's name for a table's frame is close to "table of contents".
    for frame in body.query_selector_all("div.table-contents").values():
        frame.remove_attribute("class")


def _is_menu(listing: ElementNode) -> bool:
    linked = sum(len((link.text_content or "").strip()) for link in listing.query_selector_all("a").values())
    return 2 * linked > len((listing.text_content or "").strip())


def normalise(text: str) -> str:
    """NFC; no control characters but line feeds and tabs; no trailing spaces; at most one blank line in a row."""
    text = unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n"))
    text = "\n".join([line.rstrip() for line in _CONTROL.sub("", text).split("\n")])
    return _BLANK_LINES.sub("\n\n", text).strip()
