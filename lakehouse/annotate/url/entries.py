"""Lists of addresses as people publish them, read block by block into entries.

Three formats: `ut1` (a folder with the files domains, urls and expressions), `adblock` (EasyList and its kin) and
`plain` (a host or the beginning of an address a line, also as a hosts file).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from lakehouse.annotate.addresses import split_addresses
from lakehouse.annotate.annotator import AnnotatorError

_log = logging.getLogger(__name__)

FORMATS = ("ut1", "adblock", "plain")
_UT1_FILES = ("domains", "urls", "expressions")
_BLOCK = 1 << 24  # bytes that are read at a time: a list of millions of hosts is never whole in memory as text
_SAMPLE = 1 << 16

_COMMENT = r"^(?:[#!;]|//)"
_ADBLOCK_COMMENT = r"^[!\[]"
# A hosts file gives names to an address; several names may follow it.
_HOSTS_LINE = r"^(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9a-fA-F:]*:[0-9a-fA-F:.]*(?:%\w+)?)\s+(.+)$"
_HOST = r"^(?:[\w\-]+\.)+[\w\-]+$|^\[[0-9a-f:.]+\]$"
_WHOLE_ZONE = r"^\*?\.([^\s./]+)\.?$"  # `.xxx`: every host below a top-level domain
_ADBLOCK = r"^\[Adblock|^!\s*(?:Title|Version|Expires|Checksum)\b|^\|\||^@@|(?:^|\w)##[.#\[]"
# Rules that hide elements, and those that add a security policy.
_NOT_OF_PAGES = r"#@?[?$%]?#|\$(?:.*,)?csp\b"


@dataclass(frozen=True)
class ListFile:
    """One file of a category's list.

    Attributes:
        path: as the settings name it.
        format: "hosts" (plain and UT1's domains and urls), "expressions" or "adblock".
    """

    path: Path
    format: str


@dataclass
class Tally:
    """How many lines of a file could be read, and which could not."""

    path: Path
    lines: int = 0
    malformed: int = 0
    first_malformed: int = field(default=0)

    def add(self, lines: pl.DataFrame, malformed: pl.Series) -> None:
        """Count `lines` (with their number) of which those are malformed for which `malformed` is true."""
        self.lines += lines.height
        self.malformed += int(malformed.sum())
        if not self.first_malformed and malformed.any():
            self.first_malformed = int(lines["line"].gather(malformed.arg_true()[:1]).item())

    def check(self) -> None:
        """Say what could not be read.

        Raises:
            AnnotatorError: it is more than half of the file.
        """
        if 2 * self.malformed > self.lines:
            raise AnnotatorError(
                f"{self.path}:{self.first_malformed} is no entry of a list, nor are {self.malformed:,} of the file's "
                f"{self.lines:,} lines: is this another kind of file? The formats are {', '.join(FORMATS)}."
            )
        if self.malformed:
            _log.warning(
                "%s: %d of %d lines are no entries and were left out; the first is line %d.",
                self.path,
                self.malformed,
                self.lines,
                self.first_malformed,
            )


def named_files(setting: Any) -> list[Path]:
    """The files that a category's setting names, whether they are there or not.

    Raises:
        AnnotatorError: the setting is neither a path, {path, format} nor a list of those.
    """
    return [file for path, _ in _declared(setting) for file in _files_of(path)]


def list_files(setting: Any) -> list[ListFile]:
    """The files of a category's list with their formats, told from their content where it is not given.

    Raises:
        AnnotatorError: a file is missing or cannot be read, or a folder is not in UT1's format.
    """
    found = []
    for path, kind in _declared(setting):
        files = _files_of(path)
        if path.is_dir() and not files:
            raise AnnotatorError(f"{path} holds none of the files {', '.join(_UT1_FILES)}: name the list's files.")
        found += [ListFile(file, _format(file, kind)) for file in files]
    return found


def _declared(setting: Any) -> list[tuple[Path, str | None]]:
    if isinstance(setting, list) and setting:
        return [pair for one in setting for pair in _declared(one)]
    if isinstance(setting, str) and setting:
        return [(Path(setting), None)]
    if isinstance(setting, dict) and setting.keys() <= {"path", "format"} and isinstance(setting.get("path"), str):
        kind = setting.get("format")
        if kind is not None and kind not in FORMATS:
            raise AnnotatorError(f"format {kind!r} of {setting['path']} is unknown: use {', '.join(FORMATS)}.")
        return [(Path(setting["path"]), kind)]
    raise AnnotatorError(f"{setting!r} names no list: give a path, {{path: …, format: …}} or a list of those.")


def _files_of(path: Path) -> list[Path]:
    return [file for name in _UT1_FILES if (file := path / name).is_file()] if path.is_dir() else [path]


def _format(path: Path, kind: str | None) -> str:
    if path.name == "expressions" and kind != "plain":
        return "expressions"
    if kind == "adblock":
        return "adblock"
    if kind is None:
        sample = pl.Series(next(_blocks(path, _SAMPLE), "").split("\n")[:1000])
        if sample.str.contains(_ADBLOCK).any():
            return "adblock"
    return "hosts"


def read_lines(path: Path, comment: str = _COMMENT) -> Iterator[pl.DataFrame]:
    """The lines of a file that are neither empty nor comments, some at a time: line (its number, from 1) and entry.

    Raises:
        AnnotatorError: the file is missing or cannot be read.
    """
    number = 1
    for block in _blocks(path, _BLOCK):
        lines = block.split("\n")
        frame = pl.DataFrame({"entry": lines}).with_row_index("line", offset=number)
        number += len(lines) - 1  # a block ends behind the line break of its last line
        entry = pl.col("entry").str.strip_chars()
        yield frame.select(pl.col("line").cast(pl.Int64), entry).filter(
            pl.col("entry") != "", ~pl.col("entry").str.contains(comment)
        )


def read_hosts(path: Path) -> Iterator[pl.DataFrame]:
    """The entries of a plain list or of UT1's domains and urls, some at a time.

    Yields:
        line (its number), host and rest (as `addresses` writes them; the rest is "" where all of the host is meant).

    Raises:
        AnnotatorError: the file is missing, cannot be read, or is mostly something else.
    """
    tally = Tally(path)
    for lines in read_lines(path):
        entry = pl.col("entry").str.replace(r"\s+#.*$", "")
        names = entry.str.extract(_HOSTS_LINE)
        split = lines.select("line", entry=pl.coalesce(names.str.extract_all(r"\S+"), pl.concat_list(entry)),
                             named=names.is_not_null()).explode("entry", empty_as_null=True)  # fmt: skip
        zone = split["entry"].str.extract(_WHOLE_ZONE)
        parts = split_addresses(split["entry"].str.replace(r"^\*?\.", ""))
        spaced = split["entry"].str.contains(r"[\s\x{FFFD}]")
        good = (parts["host"].str.contains(_HOST) | zone.is_not_null()) & ~spaced
        # Hosts files name the machine itself (localhost, broadcasthost): those are not meant.
        own = split["named"] & ~split["entry"].str.contains(".", literal=True)
        tally.add(split, ~good & ~own)
        rest = parts["rest"].str.strip_chars_end("/")
        yield pl.DataFrame({"line": split["line"], "host": parts["host"], "rest": rest}).filter(good & ~own)
    tally.check()


def read_expressions(path: Path) -> list[tuple[int, str]]:
    """Regular expressions with the numbers of their lines; those that cannot be compiled are left out and counted.

    Raises:
        AnnotatorError: the file is missing, cannot be read, or is mostly something else.
    """
    found: list[tuple[int, str]] = []
    tally = Tally(path)
    for lines in read_lines(path):
        good = [_compiles(pattern) for pattern in lines["entry"]]
        tally.add(lines, ~pl.Series(good, dtype=pl.Boolean))
        found += list(lines.filter(pl.Series(good, dtype=pl.Boolean)).iter_rows())
    tally.check()
    return found


def read_adblock(path: Path) -> dict[str, int]:
    """The network rules of an adblock list with the numbers of their lines; rules about parts of pages are left out.

    Raises:
        AnnotatorError: the file is missing, cannot be read, or is mostly something else.
    """
    rules: dict[str, int] = {}
    tally = Tally(path)
    for lines in read_lines(path, _ADBLOCK_COMMENT):
        network = lines.filter(~pl.col("entry").str.contains(_NOT_OF_PAGES))
        malformed = network["entry"].str.contains(r"\s|\x{FFFD}") | (network["entry"].str.len_chars() < 3)
        tally.add(network, malformed)
        for number, rule in network.filter(~malformed).iter_rows():
            rules.setdefault(rule, number)
    tally.check()
    return rules


def _compiles(pattern: str) -> bool:
    try:
        pl.Series([""]).str.contains(f"(?i){pattern}")
    except pl.exceptions.ComputeError:
        return False
    return True


def _blocks(path: Path, size: int) -> Iterator[str]:
    """The text of a file in pieces that end with a line, except the last; bytes that are no UTF-8 become U+FFFD."""
    try:
        with pa.input_stream(str(path), compression="detect") as stream:
            rest, first = b"", True
            while block := stream.read(size):
                if first:
                    block, first = block.removeprefix(b"\xef\xbb\xbf"), False
                head, separator, tail = (rest + block).rpartition(b"\n")
                if separator:
                    yield (head + separator).decode("utf-8", "replace")
                rest = tail
                if len(rest) > _BLOCK:
                    raise AnnotatorError(f"list {path} has a line of over {_BLOCK:,} bytes: it is no list.")
            if rest:
                yield rest.decode("utf-8", "replace")
    except (OSError, pa.ArrowInvalid) as error:
        reason = "there is no such file" if isinstance(error, FileNotFoundError) else error
        raise AnnotatorError(f"list {path} cannot be read: {reason}.") from error
