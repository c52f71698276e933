"""Small webs of made-up articles, written as WARC files."""

from __future__ import annotations

import gzip
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class WebPage:
    """What a server answered: an address, a status, headers and a body."""

    url: str
    body: str
    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "text/html; charset=utf-8"})


def write_archive(path: Path, pages: Iterable[WebPage]) -> None:
    """Write the pages as a WARC file: a response record each, one gzip member a record, always the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for number, page in enumerate(pages):
            head = "".join(f"{name}: {value}\r\n" for name, value in page.headers.items())
            http = f"HTTP/1.1 {page.status} Status\r\n{head}\r\n".encode() + page.body.encode()
            record = (
                "WARC/1.1\r\nWARC-Type: response\r\n"
                f"WARC-Record-ID: <urn:uuid:00000000-0000-4000-8000-{number:012d}>\r\n"
                f"WARC-Target-URI: {page.url}\r\nWARC-Date: 2026-11-0{1 + number % 9}T00:00:00Z\r\n"
                f"Content-Type: application/http; msgtype=response\r\nContent-Length: {len(http)}\r\n\r\n"
            ).encode()
            file.write(gzip.compress(record + http + b"\r\n\r\n", mtime=0))


_SUBJECTS = (
    "the river",
    "an old printer",
    "the village school",
    "a patient gardener",
    "the night train",
    "our neighbour",
)
_VERBS = (
    "has carried",
    "will remember",
    "had to repair",
    "was known to collect",
    "could not forget",
    "often described",
)
_OBJECTS = (
    "the stories of the valley",
    "a box of letters",
    "the colours of autumn",
    "maps that nobody reads",
    "bread and salt",
)
_ENDINGS = (
    "with the help of many hands",
    "and that is how the winter began",
    "because the bridge was closed to carts",
    "to the surprise of the whole town",
    "for as long as anyone can say",
)


def article(seed: int, sentences: int = 12) -> str:
    """English prose that passes the Gopher rules, another for every seed."""
    chance = random.Random(seed)
    parts = []
    for number in range(sentences):
        words = [chance.choice(choices) for choices in (_SUBJECTS, _VERBS, _OBJECTS, _ENDINGS)]
        sentence = f"{' '.join(words)} in the year {1500 + seed % 500} on day {number + chance.randrange(300)}."
        parts.append(sentence[0].upper() + sentence[1:])
    return "\n\n".join(" ".join(parts[start : start + 4]) for start in range(0, len(parts), 4))


def article_page(number: int, *, host: str = "news.test", seed: int | None = None) -> WebPage:
    """A page with one article; the same seed is the same text."""
    text = article(number if seed is None else seed)
    paragraphs = "".join(f"<p>{paragraph}</p>" for paragraph in text.split("\n\n"))
    html = (
        f"<html><head><title>Article {number}</title></head><body><main><h1>Story</h1>{paragraphs}</main></body></html>"
    )
    return WebPage(f"http://{host}/{number}.html", html)


def small_web(first: int = 0, articles: int = 12) -> Iterator[WebPage]:
    """Articles, a copy of the first, a thin page, a 404, a redirect and an image."""
    yield from (article_page(number) for number in range(first, first + articles))
    yield article_page(first + 900, host="copies.test", seed=first)
    yield WebPage(f"http://news.test/thin-{first}", "<html><body><p>The end of the story is here.</p></body></html>")
    yield WebPage(f"http://news.test/gone-{first}", "<html><body><p>Not here.</p></body></html>", status=404)
    yield WebPage(f"http://news.test/moved-{first}", "", status=301, headers={"Location": "http://news.test/0.html"})
    yield WebPage(f"http://news.test/picture-{first}.png", "no picture", headers={"Content-Type": "image/png"})
