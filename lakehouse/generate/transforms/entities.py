"""Names of several words, found by how they are written."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from lakehouse.generate.transforms.units import Phrases, Units, cut, is_word

# What may stand inside of a name, between two words with capitals.
_LINKS = frozenset(
    [
        "of",
        "de",
        "la",
        "le",
        "du",
        "des",
        "da",
        "do",
        "dos",
        "di",
        "del",
        "della",
        "van",
        "von",
        "der",
        "den",
        "ter",
        "bin",
        "ibn",
        "al",
        "el",
        "y",
        "e",
        "und",
        "et",
    ]
)
_HYPHENS = frozenset("-‐–'’&")
_TITLES = frozenset({"Dr", "Mr", "Mrs", "Ms", "Prof", "Sr", "Jr", "St", "Mt", "Lt", "Gen", "Col", "Capt"})
_MAX_LINKS = 3


def entity_spans(units: Units, names: Path | None = None) -> list[tuple[int, int]]:
    """Names of several units: those of a list, and runs of words with capitals.

    Words of a run may have a hyphen, an apostrophe, `&` or particles such as "of" and "van" between them, and a dot
    after an initial or a title. A word at the start of a sentence joins the name that follows it. Scripts without
    capitals have the names of the list only.

    Args:
        units: a text, cut up.
        names: a text file of names, one a line.

    Returns:
        First unit and the one after the last of each name, in order, not overlapping.

    Raises:
        ValueError: the list cannot be read.
    """
    listed = [(start, end) for start, end, _ in _names(names).find(units.units)] if names else []
    taken = {place for start, end in listed for place in range(start, end)}
    found = list(listed)
    place = 0
    while place < len(units.units):
        end = place + 1
        if place not in taken and _has_capital(units.units[place]):
            while (more := _extended(units, end, taken)) > end:
                end = more
            if end > place + 1:
                found.append((place, end))
        place = end
    return sorted(found)


def _extended(units: Units, end: int, taken: set[int]) -> int:
    """Where the name that reaches to `end` ends with its next word; `end` if that is all."""
    for place in range(end, min(end + _MAX_LINKS + 1, len(units.units))):
        if place in taken or units.gaps[place] not in ("", " ", "\u00a0"):
            return end
        unit = units.units[place]
        if _has_capital(unit):
            return place + 1
        before = units.units[place - 1]
        is_abbreviation = unit == "." and _has_capital(before) and (len(before) == 1 or before in _TITLES)
        if not (unit in _LINKS or unit in _HYPHENS or is_abbreviation):
            return end
    return end


def _has_capital(unit: str) -> bool:
    return unit[0].isupper() or unit[0].istitle()


@lru_cache(maxsize=4)
def _names(path: Path) -> Phrases[bool]:
    try:
        lines = path.read_text("utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: the list of names cannot be read: {error}") from None
    keys = (tuple(cut(line.strip()).units) for line in lines if is_word(line))
    return Phrases({key: True for key in keys if len(key) > 1})
