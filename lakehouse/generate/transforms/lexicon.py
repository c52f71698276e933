"""Read lexicons: words and phrases of one language, and what they are in another."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from lakehouse.generate.transforms.units import Phrases, cut, folded, is_word

Translations = dict[str, tuple[str, ...]]
"""For each language the translations of one word or phrase, in the order of the file."""


class LexiconError(ValueError):
    """A lexicon that cannot be used. The message names the file and the line."""


def load_lexicons(files: Mapping[str, Path]) -> Phrases[Translations]:
    """Read one lexicon a language.

    A line has a word or phrase, a tab and its translation; a word with several translations has several lines. Empty
    lines are left out. Upper and lower case of the first column count as the same.

    Args:
        files: language → path of a UTF-8 text file. Files are read again when they have changed.

    Raises:
        LexiconError: a file cannot be read, or a line of it has another form.
    """
    states = []
    for language, path in sorted(files.items()):
        try:
            state = path.stat()
        except OSError as error:
            raise LexiconError(f"{path}: the lexicon cannot be read: {error.strerror}.") from None
        states.append((language, path, state.st_mtime_ns, state.st_size))
    return _load(tuple(states))


@lru_cache(maxsize=8)
def _load(states: tuple[tuple[str, Path, int, int], ...]) -> Phrases[Translations]:
    entries: dict[tuple[str, ...], dict[str, dict[str, None]]] = {}
    for language, path, _, _ in states:
        for key, target in _pairs(path):
            entries.setdefault(key, {}).setdefault(language, {})[target] = None
    return Phrases(
        {
            key: {language: tuple(targets) for language, targets in languages.items()}
            for key, languages in entries.items()
        }
    )


def _pairs(path: Path) -> list[tuple[tuple[str, ...], str]]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise LexiconError(f"{path}: the lexicon cannot be read: {error.strerror}.") from None
    pairs = []
    for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        try:
            columns = [column.strip() for column in line.decode("utf-8").split("\t")]
        except UnicodeDecodeError:
            raise LexiconError(f"{path}:{number}: the line is not UTF-8.") from None
        if columns == [""]:
            continue
        if len(columns) != 2:
            raise LexiconError(
                f"{path}:{number}: expected a word, a tab and its translation, found {len(columns)} columns."
            )
        source, target = columns
        key = (folded(source),) if source.isascii() and source.isalpha() else tuple(map(folded, cut(source).units))
        if not is_word(source) or not target:
            raise LexiconError(f"{path}:{number}: the {'translation' if is_word(source) else 'word'} is empty.")
        pairs.append((key, target))
    if not pairs:
        raise LexiconError(f"{path}: the lexicon has no words.")
    return pairs
