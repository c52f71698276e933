"""What lists say of a document's address: the category of its host or address, and words in it.

See `url_entries` for the formats of lists, `host_table` for how millions of hosts are held, `url_words` for words.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from lakehouse.annotate.addresses import split_addresses
from lakehouse.annotate.annotator import Annotator, AnnotatorError
from lakehouse.annotate.url.entries import (
    ListFile,
    list_files,
    named_files,
    read_adblock,
    read_expressions,
    read_hosts,
)
from lakehouse.annotate.url.host_table import NO_ORIGIN, HostTable, host_table
from lakehouse.annotate.url.words import AddressWords, address_words, word_files
from lakehouse.annotate.words import Batch

COLUMNS = (
    pa.field("url_category", pa.string()),
    pa.field("url_list", pa.string()),
    pa.field("url_entry", pa.string()),
    pa.field("url_strict_words", pa.int64()),
    pa.field("url_soft_words", pa.int64()),
    pa.field("url_words", pa.list_(pa.string())),
)

_FILE_BITS, _LINE_BITS = 16, 32  # an entry's origin is its category, file and line in one number: the lowest counts
_MATCHED = {"row": pl.Int64, "category": pl.Int64, "list": pl.String, "entry": pl.String}
# A list for browsers speaks of what a page loads. It is asked what it would ask if another site showed this page in a
# frame: rules for scripts or images alone say nothing of a page.
_FRAMED_BY, _FRAME = "https://lakehouse.invalid/", "subdocument"


def url_lists(
    *,
    lists: Mapping[str, Any] | None = None,
    words: Mapping[str, Any] | None = None,
) -> Annotator:
    """Look each document's address up in lists of hosts and addresses, and look for words in it.

    Args:
        lists: for each category a path, {path, format} or a list of those. A path is a folder in UT1's format (files
            domains, urls, expressions), or a file in adblock or plain format, also compressed (.gz, .zst, .bz2). The
            format is told from the content unless it is given: ut1, adblock or plain. Of several categories that match
            an address, the first in this mapping counts.
        words: `strict` and `soft`, each a list of words or the path of a file with one a line.

    Returns:
        Annotator of url_category, url_list (file and line of the entry), url_entry (the part of the address that an
        entry names, or the expression or rule), url_strict_words and url_soft_words (how many distinct words of the
        list stand in the address), url_words (those words, sorted). Null without an address; the first three are null
        where nothing matches or no lists are given, the others where no words are given.

    Raises:
        AnnotatorError: the settings are wrong. Measuring raises it for a file that is missing or is no list.

    Source: Penedo et al., The RefinedWeb Dataset for Falcon LLM, appendix G.1 (strict and soft words in addresses).
    """
    lists, words = dict(lists or {}), dict(words or {})
    if not lists and not words:
        raise AnnotatorError("url_lists needs lists or words: there is nothing to look up.")
    files = [file for setting in lists.values() for file in named_files(setting)] + word_files(words)

    def measure(batch: Batch) -> pl.DataFrame:
        addresses = batch.documents["url"]
        parts = split_addresses(addresses)
        looked_up = _lists_of(_frozen(lists), _versions(files)).look_up(addresses, parts) if lists else None
        found = _words_of(_frozen(words), _versions(files)).count(parts) if words else None
        categories = looked_up if looked_up is not None else _nothing(3, len(addresses))
        counts = found if found is not None else _nothing(6, len(addresses)).select(pl.all().exclude(_NAMES[:3]))
        return categories.hstack(counts).select(_NAMES)

    return Annotator(
        "url_lists",
        1,
        COLUMNS,
        measure,
        "Category of the address by lists of hosts and addresses, and listed words in it.",
        needs=("url",),
        settings={"lists": lists, "words": words},
        files=tuple(files),
    )


_NAMES = [field.name for field in COLUMNS]


def _nothing(columns: int, rows: int) -> pl.DataFrame:
    frame = pl.from_arrow(pa.schema(COLUMNS[:columns]).empty_table())
    assert isinstance(frame, pl.DataFrame)
    return frame.clear(rows)


def _frozen(setting: Any) -> Any:
    """The setting as a key of a cache; what keeps its order there is a mapping."""
    if isinstance(setting, Mapping):
        return ("mapping", *((name, _frozen(value)) for name, value in setting.items()))
    return ("list", *map(_frozen, setting)) if isinstance(setting, list) else setting


def _thawed(frozen: Any) -> Any:
    if not isinstance(frozen, tuple):
        return frozen
    kind, *values = frozen
    return {name: _thawed(value) for name, value in values} if kind == "mapping" else [_thawed(one) for one in values]


def _versions(files: Iterable[Path]) -> tuple[tuple[str, int, int], ...]:
    """Which files, as they are now: a list that changes is read again, also by a process that lives on."""
    found = []
    for file in files:
        try:
            state = file.resolve().stat()
        except OSError as error:
            raise AnnotatorError(f"list {file} cannot be read: {error.strerror}.") from error
        found.append((str(file.resolve()), state.st_mtime_ns, state.st_size))
    return tuple(found)


@functools.lru_cache(maxsize=8)
def _words_of(words: Any, _: tuple[tuple[str, int, int], ...]) -> AddressWords:
    return address_words(_thawed(words))


@functools.lru_cache(maxsize=2)
def _lists_of(lists: Any, _: tuple[tuple[str, int, int], ...]) -> AddressLists:
    return read_address_lists(_thawed(lists))


@dataclass(frozen=True)
class AddressLists:
    """The lists of some categories, ready to be asked.

    Attributes:
        categories: in the order in which they count.
        files: what the entries were read from.
        hosts: entries that name hosts or beginnings of addresses.
        expressions: (category, place in `files`, line, pattern).
        rules: (category, file, engine that decides, engine that names the rule, line of each rule).
    """

    categories: tuple[str, ...]
    files: tuple[Path, ...]
    hosts: HostTable
    expressions: tuple[tuple[int, int, int, str], ...]
    rules: tuple[tuple[int, Path, Any, Any, dict[str, int]], ...]

    def look_up(self, addresses: pl.Series, parts: pl.DataFrame) -> pl.DataFrame:
        """The category, list and entry of n addresses, given also as `split_addresses` takes them apart."""
        matched = pl.concat([self._by_host(parts), self._by_expression(parts), self._by_rule(addresses)])
        first = matched.sort("row", "category", maintain_order=True).unique("row", keep="first", maintain_order=True)
        names = pl.Series(self.categories, dtype=pl.String)
        first = first.with_columns(names.gather(first["category"]).alias("category"))
        rows = pl.DataFrame({"row": pl.int_range(len(addresses), eager=True)})
        return rows.join(first, on="row", how="left", maintain_order="left").select(
            pl.col(name).alias(f"url_{name}") for name in ("category", "list", "entry")
        )

    def _by_host(self, parts: pl.DataFrame) -> pl.DataFrame:
        origins, entries = self.hosts.find(parts)
        rows = np.flatnonzero(origins != NO_ORIGIN)
        origin = origins[rows]
        files = pl.Series([str(file) for file in self.files], dtype=pl.String)
        found = {
            "row": rows,
            "category": origin >> (_LINE_BITS + _FILE_BITS),
            "file": files.gather(origin >> _LINE_BITS & (1 << _FILE_BITS) - 1),
            "line": origin & (1 << _LINE_BITS) - 1,
            "entry": entries.gather(rows),
        }
        return pl.DataFrame(found).select("row", "category", pl.format("{}:{}", "file", "line").alias("list"), "entry")

    def _by_expression(self, parts: pl.DataFrame) -> pl.DataFrame:
        found = [pl.DataFrame(schema=_MATCHED)]
        whole = parts.select(pl.col("host") + pl.col("rest")).to_series()
        for category, file, line, pattern in self.expressions:
            rows = whole.str.contains(f"(?i){pattern}").fill_null(value=False).arg_true().cast(pl.Int64)
            evidence = {"category": category, "list": f"{self.files[file]}:{line}", "entry": pattern}
            found.append(
                pl.DataFrame({"row": rows}).with_columns(
                    pl.lit(value, _MATCHED[name]).alias(name) for name, value in evidence.items()
                )
            )
        return pl.concat(found)

    def _by_rule(self, addresses: pl.Series) -> pl.DataFrame:
        found = []
        for category, path, engine, naming, lines in self.rules:
            for row, address in enumerate(addresses):
                if address is None:
                    continue
                with_scheme = address if "://" in address[:16] else f"http://{address.lstrip('/')}"
                if not engine.check_network_urls(with_scheme, _FRAMED_BY, _FRAME).matched:
                    continue
                rule = naming.check_network_urls(with_scheme, _FRAMED_BY, _FRAME).filter
                found.append((row, category, f"{path}:{lines[rule]}" if rule in lines else str(path), rule))
        return pl.DataFrame(found, schema=_MATCHED, orient="row")


def read_address_lists(lists: Mapping[str, Any]) -> AddressLists:
    """Read the lists of each category.

    Raises:
        AnnotatorError: a file is missing, cannot be read, or is mostly something else.
    """
    files: list[ListFile] = []
    category_of: list[int] = []
    for category, setting in enumerate(lists.values()):
        of_category = list_files(setting)
        files += of_category
        category_of += [category] * len(of_category)
    expressions, rules = [], []
    for place, (file, category) in enumerate(zip(files, category_of, strict=True)):
        if file.format == "expressions":
            expressions += [(category, place, line, pattern) for line, pattern in read_expressions(file.path)]
        elif file.format == "adblock":
            lines = read_adblock(file.path)
            rules.append((category, file.path, *_engines(lines), lines))

    def entries() -> Iterator[pl.DataFrame]:
        for place, (file, category) in enumerate(zip(files, category_of, strict=True)):
            if file.format == "hosts":
                origin = (category << _FILE_BITS | place) << _LINE_BITS
                yield from (found.with_columns(origin=origin + pl.col("line")) for found in read_hosts(file.path))

    paths = tuple(file.path for file in files)
    return AddressLists(tuple(lists), paths, host_table(entries()), tuple(expressions), tuple(rules))


def _engines(rules: Iterable[str]) -> tuple[Any, Any]:
    """One that decides, and one that names the rule: that takes twice the time, for few addresses."""
    import adblock  # only where a list is in its format

    filters = adblock.FilterSet(debug=True)
    filters.add_filters(list(rules))
    return adblock.Engine(filters), adblock.Engine(filters, optimize=False)
