"""What finders find, and which of two that overlap stays."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterable
from typing import NamedTuple

LETTERS = "A-Za-z0-9\u00c0-\u05ff"
"""Letters and digits that join a neighbour to a word, inside a character class. A Chinese, Thai or Arabic neighbour
does not: those scripts write numbers and addresses without a space before them."""


class Span(NamedTuple):
    """A piece of personal data.

    Attributes:
        start: its first character.
        end: the one after its last.
        kind: what it is, such as email_address.
    """

    start: int
    end: int
    kind: str


# From the most to the least specific. National identity numbers, which are not listed, stand after card_number.
_SPECIFIC = ("secret", "iban", "card_number")
_GENERAL = ("email_address", "ip_address", "private_ip_address", "reserved_ip_address", "phone_number", "person_name")


def specificity(kind: str) -> int:
    """The rank of a kind: of two spans of the same length the one of the lower rank stays."""
    if kind in _SPECIFIC:
        return _SPECIFIC.index(kind)
    return len(_SPECIFIC) + 1 + _GENERAL.index(kind) if kind in _GENERAL else len(_SPECIFIC)


def without_overlaps(spans: Iterable[Span]) -> list[Span]:
    """Keep the longest of spans that overlap, among equally long ones the most specific, among those the first.

    Returns:
        Spans in order that do not overlap.
    """
    kept: list[Span] = []
    group: list[Span] = []  # spans of which each overlaps one before it
    end = -1
    for span in sorted(set(spans)):
        if span.start >= end:
            kept += _best(group)
            group = []
        group.append(span)
        end = max(end, span.end)
    return kept + _best(group)


def _best(group: list[Span]) -> list[Span]:
    kept: list[Span] = []  # in order
    for span in sorted(group, key=lambda span: (span.start - span.end, specificity(span.kind), span)):
        place = bisect(kept, span)
        if (place == 0 or kept[place - 1].end <= span.start) and (place == len(kept) or span.end <= kept[place].start):
            kept.insert(place, span)
    return kept
