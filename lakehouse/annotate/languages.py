"""What the rules know of each language: `languages.yaml`, and a file of one's own whose entries count before it.

An entry has any of these keys; one that it lacks is as in the shipped file, or else empty.

    stop_words: function words, in lower case, separated by white space
    terminal: marks that end a sentence, beside those that Unicode says do
    line_endings: marks that may end a line of prose (C4's rule); without it Unicode's, quotation marks and brackets
    elision: true where a vowel is dropped before an apostrophe that belongs to the word before it, as in l'homme
    keep: words that are never taken apart, such as e.g. and o'clock
    contractions: list of {before: words, after: clitics}: every word before every clitic is taken apart in two, and
        where a clitic has a plus, there too; the word also counts with a capital, ' also as ’
    whole: words that look like contractions and are none

The entry `any` is of every language.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import yaml

from lakehouse.annotate.annotator import AnnotatorError

_SHIPPED = Path(__file__).with_name("languages.yaml")
EVERY = "any"
"""The entry that is of every language."""

_TEXTS = ("stop_words", "terminal", "line_endings", "keep", "whole")
_KEYS = (*_TEXTS, "elision", "contractions")


@dataclass(frozen=True)
class Language:
    """What is known of one language.

    Attributes:
        stop_words: function words in lower case.
        terminal: marks that end a sentence, beside those that Unicode says do.
        line_endings: marks that may end a line of prose; empty: Unicode's, quotation marks and brackets.
        elides: whether a vowel is dropped before an apostrophe, as in l'homme.
        exceptions: words that are kept or taken apart, and their parts.
    """

    stop_words: tuple[str, ...] = ()
    terminal: str = ""
    line_endings: str = ""
    elides: bool = False
    exceptions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Languages:
    """A table of languages; `entries` begins with the entry of every language."""

    entries: Mapping[str, Language]

    @property
    def elides(self) -> npt.NDArray[np.bool_]:
        """For each entry whether the language elides."""
        return np.array([language.elides for language in self.entries.values()])

    def numbers(self, codes: pl.Series | None, n_documents: int) -> npt.NDArray[np.int64]:
        """The number of each document's entry; 0, that of every language, where there is none of its own."""
        if codes is None:
            return np.zeros(n_documents, np.int64)
        numbers = codes.cast(pl.String).replace_strict(
            list(self.entries), list(range(len(self.entries))), default=0, return_dtype=pl.Int64
        )
        return numbers.fill_null(0).to_numpy()


def load(path: str | None = None) -> Languages:
    """Read the shipped table, and the file of one's own whose keys replace those of the same language in it.

    Raises:
        AnnotatorError: the file is missing, is no YAML or has a key or value that is not allowed.
    """
    return _load(None if path is None else Path(path).resolve(), path or "")


def check(path: str | None) -> tuple[Path, ...]:
    """The files that an annotator with this setting reads beside the shipped one.

    Raises:
        AnnotatorError: there is no such file.
    """
    if path is None:
        return ()
    if not isinstance(path, str) or not Path(path).is_file():
        raise AnnotatorError(f"languages: there is no file {path!r}. Name a YAML file, or leave the setting out.")
    return (Path(path),)


@cache
def _load(path: Path | None, shown: str) -> Languages:
    tables = _read(_SHIPPED, _SHIPPED.name)
    if path is not None:
        for code, entry in _read(path, shown).items():
            tables[code] = tables.get(code, {}) | entry
    entries = {code: _language(entry) for code, entry in tables.items()}
    return Languages(MappingProxyType({EVERY: entries.pop(EVERY, Language()), **entries}))


def _read(path: Path, shown: str) -> dict[str, dict[str, Any]]:
    try:
        table = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise AnnotatorError(f"{shown} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise AnnotatorError(f"{shown} is not in UTF-8: byte {error.start} is wrong.") from error
    except yaml.YAMLError as error:
        line = getattr(getattr(error, "problem_mark", None), "line", 0) + 1
        raise AnnotatorError(f"{shown}:{line}: this is no YAML: {getattr(error, 'problem', error)}.") from error
    if not isinstance(table, dict):
        raise AnnotatorError(f"{shown} is no mapping of language codes, such as `nl: {{stop_words: de van het}}`.")
    for code, entry in table.items():
        # YAML reads the code of Norwegian as a truth value.
        if not isinstance(code, str):
            raise AnnotatorError(f'{shown}: the language code {code!r} must be text: write it as "no".')
        _check_entry(entry, f"{shown}: {code}")
    return table


def _check_entry(entry: Any, where: str) -> None:
    if not isinstance(entry, dict):
        raise AnnotatorError(f"{where} is {entry!r}; it must be a mapping of {', '.join(_KEYS)}.")
    for key, value in entry.items():
        if key not in _KEYS:
            raise AnnotatorError(f"{where}: {key!r} is unknown. There are {', '.join(_KEYS)}.")
        if key in _TEXTS and not isinstance(value, str):
            raise AnnotatorError(f"{where}: {key} is {value!r}; it must be text.")
    if not isinstance(entry.get("elision", False), bool):
        raise AnnotatorError(f"{where}: elision is {entry['elision']!r}; it must be true or false.")
    contractions = entry.get("contractions", [])
    if not isinstance(contractions, list) or not all(
        isinstance(one, dict)
        and set(one) == {"before", "after"}
        and all(isinstance(part, str) for part in one.values())
        for one in contractions
    ):
        raise AnnotatorError(
            f"{where}: contractions must be a list of {{before: words, after: clitics}}, all of them text."
        )
    for word in entry.get("stop_words", "").split():
        if word != word.lower():
            raise AnnotatorError(f"{where}: the stop word {word!r} must be in lower case.")


def _language(entry: Mapping[str, Any]) -> Language:
    exceptions: dict[str, tuple[str, ...]] = {word: (word,) for word in entry.get("keep", "").split()}
    whole = set(entry.get("whole", "").split())
    for group in entry.get("contractions", ()):
        for parts in _contractions(group["before"].split(), group["after"].split()):
            if "".join(parts) not in whole:
                exceptions["".join(parts)] = parts
    curly = {
        word.replace("'", "’"): tuple(part.replace("'", "’") for part in parts) for word, parts in exceptions.items()
    }
    return Language(
        stop_words=tuple(dict.fromkeys(entry.get("stop_words", "").split())),
        terminal="".join(entry.get("terminal", "").split()),
        line_endings="".join(entry.get("line_endings", "").split()),
        elides=entry.get("elision", False),
        exceptions=MappingProxyType(curly | exceptions),
    )


def _contractions(before: Iterable[str], after: Iterable[str]) -> Iterable[tuple[str, ...]]:
    for word in before:
        for written in dict.fromkeys((word, word[0].upper() + word[1:])):
            for clitics in after:
                yield (written, *clitics.split("+"))
