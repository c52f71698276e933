"""Listed words in addresses, matched at the boundaries of the address's parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from lakehouse.annotate.addresses import readable_hosts
from lakehouse.annotate.annotator import AnnotatorError
from lakehouse.annotate.url.entries import read_lines

KINDS = ("strict", "soft")
_BETWEEN = r"[^\p{L}\p{M}\p{N}]+"
_COMMENT = r"^#"


@dataclass(frozen=True)
class AddressWords:
    """Words to look for, as hashes.

    Attributes:
        entries: word (as it is listed) and whether it is listed as strict, as soft.
        by_size: for words of one part, of two parts and so on: the sorted hashes and the place of each in `entries`.
    """

    entries: pl.DataFrame
    by_size: Mapping[int, tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]]

    def count(self, parts: pl.DataFrame) -> pl.DataFrame:
        """Distinct words in n addresses, taken apart by `split_addresses`.

        Returns:
            n rows: url_strict_words, url_soft_words, url_words (sorted); null where the address is.
        """
        spelled = parts.select(text=pl.concat_str(readable_hosts(parts["host"]), "rest", separator=" "))["text"]
        hashes, sizes = _hashed_parts(spelled.fill_null(""))
        rows = np.repeat(np.arange(parts.height), sizes)
        hits = pl.concat(
            pl.DataFrame(_hits(hashes, rows, size, *table), schema={"row": pl.Int64, "entry": pl.Int64})
            for size, table in self.by_size.items()
        ).unique()
        listed = self.entries.select(pl.all().gather(hits["entry"])) if hits.height else self.entries.clear()
        found = (
            hits.hstack(listed)
            .group_by("row")
            .agg(
                url_strict_words=pl.col("strict").sum(),
                url_soft_words=pl.col("soft").sum(),
                url_words=pl.col("word").sort(),
            )
        )
        every = pl.DataFrame({"row": np.arange(parts.height), "known": parts["host"].is_not_null()})
        found = every.join(found, on="row", how="left", maintain_order="left")
        count = {name: pl.col(name).cast(pl.Int64).fill_null(0) for name in ("url_strict_words", "url_soft_words")}
        nothing = pl.lit([], pl.List(pl.String))
        filled = count | {"url_words": pl.col("url_words").fill_null(nothing)}
        return found.select(pl.when("known").then(column).alias(name) for name, column in filled.items())


def word_files(words: Mapping[str, Any]) -> list[Path]:
    """The files that the setting names, whether they are there or not.

    Raises:
        AnnotatorError: the setting is not made of strict and soft, each a path or a list of words.
    """
    for name, listed in words.items():
        if name not in KINDS:
            raise AnnotatorError(f"words has no key {name!r}: use {' and '.join(KINDS)}.")
        strings = isinstance(listed, list) and listed and all(isinstance(word, str) for word in listed)
        if not strings and not (isinstance(listed, str) and listed):
            raise AnnotatorError(f"words: {name} is {listed!r}: give a list of words (in quotes) or a file's path.")
    return [Path(listed) for listed in words.values() if isinstance(listed, str)]


def address_words(words: Mapping[str, Any]) -> AddressWords:
    """Read the words.

    Raises:
        AnnotatorError: a file is missing or holds no words, or a word has no letter or digit.
    """
    kinds: dict[str, set[str]] = {}
    for kind in KINDS:
        for word in _listed(words.get(kind, [])):
            kinds.setdefault(word, set()).add(kind)
    entries = pl.DataFrame(
        [(word, "strict" in of, "soft" in of) for word, of in sorted(kinds.items())],
        schema={"word": pl.String, "strict": pl.Boolean, "soft": pl.Boolean},
        orient="row",
    )
    part_hashes, sizes = _hashed_parts(entries["word"])
    begins = np.cumsum(sizes) - sizes
    if (sizes == 0).any():
        raise AnnotatorError(f"words: {entries['word'][int(np.argmin(sizes))]!r} has neither letters nor digits.")
    by_size = {}
    for size in sorted(set(sizes.tolist())):
        places = np.flatnonzero(sizes == size)
        hashes = _joined(np.concatenate([part_hashes[begins[at] :][:size] for at in places]), size)[::size]
        order = np.argsort(hashes)
        by_size[size] = hashes[order], places[order]
    return AddressWords(entries, by_size)


def _listed(listed: str | list[str]) -> list[str]:
    if isinstance(listed, list):
        return [word.strip().lower() for word in listed]
    words = [word.lower() for lines in read_lines(Path(listed), _COMMENT) for word in lines["entry"]]
    if not words:
        raise AnnotatorError(f"{listed} holds no words: put one on each line.")
    return words


def _hashed_parts(texts: pl.Series) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
    """The hash of each part of n texts, one text's after another's, and how many parts each text has."""
    spaced = texts.str.to_lowercase().str.replace_all(_BETWEEN, " ").str.strip_chars(" ")
    parts = spaced.str.split(" ")
    each = parts.explode(empty_as_null=True)
    sizes = pl.select(pl.when(spaced == "").then(0).otherwise(parts.list.len())).to_series()  # "" splits into one part
    # Hashes are compared within one process alone: Polars may compute others in another version.
    return each.filter(each != "").hash().to_numpy(), sizes.cast(pl.Int64).to_numpy()


def _joined(hashes: npt.NDArray[np.uint64], size: int) -> npt.NDArray[np.uint64]:
    """One hash for each `size` neighbours."""
    joined = hashes[: len(hashes) - size + 1].copy()
    for later in range(1, size):
        joined = joined * np.uint64(0x100000001B3) ^ hashes[later : len(hashes) - size + 1 + later]
    return joined


def _hits(
    hashes: npt.NDArray[np.uint64],
    rows: npt.NDArray[np.int64],
    size: int,
    listed: npt.NDArray[np.uint64],
    entries: npt.NDArray[np.int64],
) -> dict[str, npt.NDArray[np.int64]]:
    """The row and entry of each `size` neighbouring parts of one address that are listed."""
    if len(hashes) < size:
        return {"row": np.empty(0, np.int64), "entry": np.empty(0, np.int64)}
    joined = _joined(hashes, size)
    place = np.searchsorted(listed, joined)
    place[place == len(listed)] = 0
    hit = (listed[place] == joined) & (rows[: len(joined)] == rows[size - 1 :])
    return {"row": rows[: len(joined)][hit], "entry": entries[place[hit]]}
