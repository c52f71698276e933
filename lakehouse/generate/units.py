"""Units: what one call is about. A document, a passage of it, some of its lines, or several documents."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import polars as pl

from lakehouse import identity
from lakehouse.generate.errors import GenerationError
from lakehouse.generate.recipe import Recipe

_BYTES_PER_TOKEN = 4
_LINE = re.compile(r"[^\n]+")
_SENTENCE = re.compile(r".+?(?:[.!?…][\"'”’»)\]]*(?=\s)|[。！？][”’」』）]*|[।؟۔]|$)\s*", re.DOTALL)
_WORD = re.compile(r"\S+\s*")

Span = tuple[int, int]
"""First character and the one after the last, in code points."""


@dataclass(frozen=True)
class Unit:
    """A part of one anchor document, or several anchor documents together.

    `document` is the anchor's whole text and `start` to `end` the unit's place in it.
    """

    anchors: tuple[str, ...]
    snapshot: str
    source: str
    language: str | None
    depth: int  # of the deepest anchor; 0: natural
    document: str
    start: int
    end: int
    place: int = 0  # among the units of its anchor, from 0
    columns: Mapping[str, Any] = field(default_factory=dict)
    documents: tuple[Mapping[str, Any], ...] = ()  # of a group: text, and the recipe's columns

    @property
    def text(self) -> str:
        """What the model is shown."""
        return self.document[self.start : self.end]


def estimated_tokens(text: str) -> int:
    """About how many tokens a text has: a quarter of its bytes in UTF-8, rounded up. It needs no tokenizer."""
    return -(-len(text.encode("utf-8", "replace")) // _BYTES_PER_TOKEN)


def units_of(anchors: pl.DataFrame, recipe: Recipe) -> Iterator[Unit]:
    """The units of each document, or of each group of documents that follow each other, in order.

    Args:
        anchors: doc_id, snapshot, source, language, depth and text, the recipe's columns, and `group` for groups.
        recipe: how documents are cut.

    Raises:
        GenerationError: a document has no text.
    """
    rows = anchors.iter_rows(named=True)
    if recipe.units.group:
        for _, members in groupby(rows, key=lambda row: row["group"]):
            together = list(members)
            for start in range(0, len(together), recipe.units.group.documents):
                group = together[start : start + recipe.units.group.documents]
                if len(group) > 1:
                    yield _group(group, recipe, recipe.units.group.max_tokens)
        return
    for row in rows:
        text = row["text"] or ""
        if not text.strip():
            raise GenerationError(f"document {row['doc_id']} has no text: leave empty documents out of the source.")
        for place, (start, end) in enumerate(_spans(text, recipe)):
            yield Unit(
                anchors=(row["doc_id"],),
                snapshot=row["snapshot"],
                source=row["source"],
                language=row["language"],
                depth=row["depth"],
                document=text,
                start=start,
                end=end,
                place=place,
                columns={name: row[name] for name in recipe.columns},
            )


def cut(text: str, max_tokens: int) -> Span:
    """The beginning of a text, without outer white space: at most `max_tokens`.

    A longer text is cut at the last end of a paragraph in the second half of that length; failing that at the last end
    of a sentence there, then at white space, then anywhere.
    """
    start, end = _stripped(text, 0, len(text))
    most = max_tokens * _BYTES_PER_TOKEN
    limit = start + _fitting(text[start : start + most + 1], most)
    if limit >= end:
        return start, end
    half = start + (limit - start) // 2
    sentences = [start + match.end() for match in _SENTENCE.finditer(text[start:limit]) if match.end() < limit - start]
    ends = [text.rfind("\n", half, limit + 1), *[last for last in sentences[-1:] if last > half]]
    ends += [text.rfind(" ", half, limit + 1), limit]
    return _stripped(text, start, next(end for end in ends if end > start))


def passages(text: str, max_tokens: int, min_tokens: int = 0) -> list[Span]:
    """Cut a text into passages of at most `max_tokens` that hold all of it but white space between them.

    Paragraphs stay whole where they fit, then sentences, then words; a word that is longer is cut too: nothing is left
    out for being one long line. What is left at the end and has fewer than `min_tokens` joins the passage before it.
    """
    most = max_tokens * _BYTES_PER_TOKEN
    spans = _packed(text, list(_pieces(text, 0, len(text), most, (_LINE, _SENTENCE, _WORD))), most)
    if len(spans) > 1 and estimated_tokens(text[slice(*spans[-1])]) < min_tokens:
        spans[-2:] = [(spans[-2][0], spans[-1][1])]
    return spans


def line_chunks(text: str, max_tokens: int) -> list[Span]:
    """Cut a text at line ends into chunks of at most `max_tokens`; a longer line is a chunk by itself."""
    most = max_tokens * _BYTES_PER_TOKEN
    return _packed(text, [match.span() for match in _LINE.finditer(text) if match[0].strip()], most, strip=False)


def _spans(text: str, recipe: Recipe) -> list[Span]:
    kind = recipe.units
    if kind.passages:
        return passages(text, kind.passages.max_tokens, kind.passages.min_tokens)
    if kind.lines:
        return line_chunks(text, kind.lines.max_tokens)
    assert kind.document is not None
    return [cut(text, kind.document.max_tokens)]


def _group(rows: Sequence[Mapping[str, Any]], recipe: Recipe, max_tokens: int) -> Unit:
    share = max(1, max_tokens // len(rows))
    texts = [(row["text"] or "")[slice(*cut(row["text"] or "", share))] for row in rows]
    document = "\n\n".join(texts)
    languages = {row["language"] for row in rows}
    return Unit(
        anchors=tuple(row["doc_id"] for row in rows),
        snapshot=rows[0]["snapshot"],
        source=rows[0]["source"],
        language=rows[0]["language"] if len(languages) == 1 else None,
        depth=max(row["depth"] for row in rows),
        document=document,
        start=0,
        end=len(document),
        documents=tuple(
            {"text": text} | {name: row[name] for name in recipe.columns} for text, row in zip(texts, rows, strict=True)
        ),
    )


def _pieces(text: str, start: int, end: int, most: int, kinds: Sequence[re.Pattern[str]]) -> Iterator[Span]:
    """Cut text[start:end] into pieces of at most `most` bytes, at the first of `kinds` that makes them small enough."""
    for match in kinds[0].finditer(text, start, end):
        first, last = _stripped(text, *match.span())
        if first == last:
            continue
        if len(text[first:last].encode("utf-8", "replace")) <= most:
            yield first, last
        elif len(kinds) > 1:
            yield from _pieces(text, first, last, most, kinds[1:])
        else:
            while first < last:
                length = _fitting(text[first : min(last, first + most)], most) or 1
                yield first, first + length
                first += length


def _packed(text: str, pieces: Sequence[Span], most: int, *, strip: bool = True) -> list[Span]:
    """Join pieces that follow each other while they have at most `most` bytes together."""
    spans: list[Span] = []
    size = 0
    for start, end in pieces:
        if spans:
            added = len(text[spans[-1][1] : end].encode("utf-8", "replace"))
            if size + added <= most:
                spans[-1], size = (spans[-1][0], end), size + added
                continue
        spans.append((start, end))
        size = len(text[start:end].encode("utf-8", "replace"))
    return [_stripped(text, *span) for span in spans] if strip else spans


def _fitting(text: str, most: int) -> int:
    """How many characters of `text` fit into `most` bytes."""
    encoded = text.encode("utf-8", "replace")
    return len(text) if len(encoded) <= most else len(encoded[:most].decode("utf-8", "ignore"))


def _stripped(text: str, start: int, end: int) -> Span:
    part = text[start:end]
    first = start + len(part) - len(part.lstrip())
    return first, max(first, first + len(part.strip()))


def unit_id(recipe: str, unit: Unit, sample: int) -> str:
    """Identity of one question about a unit: where it comes from, not what it says."""
    return identity.hash_of("unit", recipe, *unit.anchors, unit.place, sample)
