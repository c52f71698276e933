"""Words of a text in other languages, by lexicon."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from lakehouse import identity
from lakehouse.generate.transforms.lexicon import Translations, load_lexicons
from lakehouse.generate.transforms.settings import Settings
from lakehouse.generate.transforms.units import Units, cut, folded, is_word


class CodeSwitch(Settings):
    """Which words are replaced by what.

    Attributes:
        lexicons: for each target language the path of its lexicon (see `lexicon.load_lexicons`).
        share: of the words of a text, 0..1, as far as the lexicons have them.
        languages: "per_word" draws the language of each word anew, "per_text" one for the whole text.
    """

    lexicons: dict[str, Path] = Field(min_length=1)
    share: float = Field(default=0.3, gt=0, le=1)
    languages: Literal["per_word", "per_text"] = "per_word"

    def files(self) -> list[Path]:
        """The lexicons."""
        return list(self.lexicons.values())


def code_switch(text: str, settings: CodeSwitch, seed: int) -> list[str]:
    """Replace words and phrases by their translations.

    Which ones, into which language, and which of several translations, is drawn by the seed. The longest phrase that a
    lexicon has is one; its words are replaced together or not at all. A translation takes on the capitals of what it
    replaces: all of them, or the first.

    Returns:
        One output; none where nothing is replaced: it would be a copy.

    Raises:
        LexiconError: a lexicon cannot be read. The message names file and line.

    Source: Li et al., PreAlign: Boosting Cross-Lingual Transfer by Early Establishment of Multilingual Alignment.
    """
    phrases = load_lexicons(settings.lexicons)
    units = cut(text)
    keys = [folded(unit) for unit in units.units]
    only = None
    if settings.languages == "per_text":
        languages = sorted(settings.lexicons)
        only = languages[identity.order_key(seed, "language") % len(languages)]
    found = [match for match in phrases.find(keys) if only is None or only in match[2]]
    wanted = int(settings.share * sum(map(is_word, units.units)) + 0.5)
    found.sort(key=lambda match: identity.order_key(seed, "place", str(match[0])))
    replaced: list[tuple[int, int, str]] = []
    for start, end, translations in found:
        words = sum(map(is_word, units.units[start:end]))
        if words <= wanted:
            wanted -= words
            source = Units(units.units[start:end], ["", *units.gaps[start + 1 : end], ""]).text()
            replaced.append((start, end, _cased(_drawn(translations, only, seed, start), source)))
    if not replaced:
        return []
    replaced.sort()
    joined = units.joined((start, end) for start, end, _ in replaced)
    shift = 0  # each phrase before a place has become one unit
    for start, end, target in replaced:
        joined.units[start - shift] = target
        shift += end - start - 1
    return [joined.text()]


def _drawn(translations: Translations, only: str | None, seed: int, place: int) -> str:
    languages = [only] if only is not None else sorted(translations)
    language = languages[identity.order_key(seed, "word_language", str(place)) % len(languages)]
    targets = translations[language]
    return targets[identity.order_key(seed, "target", str(place)) % len(targets)]


def _cased(target: str, source: str) -> str:
    """The translation with the capitals of what it replaces. Capitals of its own stay."""
    if source.isupper() and sum(character.isalpha() for character in source) > 1:
        return target.upper()
    return target[0].upper() + target[1:] if source[0].isupper() else target
