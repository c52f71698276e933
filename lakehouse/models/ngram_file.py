"""A character n-gram model: its file, and how surprising a text is to it."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
import polars as pl
import xxhash

from lakehouse.models.errors import ModelFileError
from lakehouse.models.symbols import FIRST, OTHER, encode
from lakehouse.unicode import CODE_POINTS

_MAGIC = b"\x89NGRAM1\n"
_CHECKSUM = 16
_PREFIX = struct.Struct("<8sI")
LENGTH_SHIFT = 60
"""A key holds the symbols of an n-gram in its low bits, the last one lowest, and from this bit on its length."""
UNLISTED = 1 << 17
"""How many characters share the probability of those that a model does not list: about as many as Unicode has."""
_ARRAYS: dict[str, np.dtype[Any]] = {
    "code_points": np.dtype("<u4"),
    "symbols": np.dtype("<u2"),
    "keys": np.dtype("<u8"),
    "log_probabilities": np.dtype("<f4"),
    "log_backoffs": np.dtype("<f4"),
}


@dataclass(frozen=True)
class NgramModel:
    """Probabilities of characters after up to `order - 1` others.

    Attributes:
        order: characters of the longest n-grams.
        bits: of a symbol in a key.
        code_points: characters that have a symbol of their own; rising.
        symbols: of these characters: those that the model does not tell apart have the same.
        keys: of the n-grams and contexts that the model knows (see `LENGTH_SHIFT`); rising.
        log_probabilities: of the last character after those before it.
        log_backoffs: what the shorter context's probability is multiplied by where the longer n-gram is unknown.
        facts: what the model was trained on, as JSON-able values.
    """

    order: int
    bits: int
    code_points: npt.NDArray[np.uint32]
    symbols: npt.NDArray[np.uint16]
    keys: npt.NDArray[np.uint64]
    log_probabilities: npt.NDArray[np.float32]
    log_backoffs: npt.NDArray[np.float32]
    facts: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def symbol_of(self) -> npt.NDArray[np.uint16]:
        """For each code point its symbol."""
        table = np.full(CODE_POINTS, OTHER, np.uint16)
        table[self.code_points] = self.symbols
        return table

    @property
    def space(self) -> int:
        """The symbol of the space."""
        return int(self.symbol_of[0x20])

    @property
    def n_symbols(self) -> int:
        """How many symbols there are, the one of unlisted characters included."""
        return int(self.symbols.max(initial=FIRST)) + 1 - OTHER

    @cached_property
    def _table(self) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.float32]]:
        slots = 1 << max(4, int(2 * len(self.keys) - 1).bit_length())
        return _hash_table(self.keys, self.log_probabilities, self.log_backoffs, slots)

    def score(self, texts: pl.Series) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
        """How surprising n texts are.

        Returns:
            For each text the natural logarithm of its probability, and how many characters it has in the model's eyes
            (runs of spaces count as one). `exp(-log_probability / n_characters)` is the perplexity.
        """
        symbols, offsets = encode(texts, self.symbol_of, self.space)
        keys, values = self._table
        found = np.zeros(len(texts), np.float64)
        _score(symbols, offsets, self.order, self.bits, keys, values, np.log(1 / UNLISTED), found)
        return found, np.diff(offsets)


def save_ngram(model: NgramModel, path: Path) -> None:
    """Write a model to a file; equal models give equal files."""
    arrays = {name: np.ascontiguousarray(getattr(model, name), kind) for name, kind in _ARRAYS.items()}
    header = {
        "order": model.order,
        "bits": model.bits,
        "lengths": {name: len(array) for name, array in arrays.items()},
        "facts": dict(model.facts),
    }
    text = json.dumps(header, sort_keys=True, ensure_ascii=False).encode()
    digest = xxhash.xxh3_128()
    part = path.with_name(f".{path.name}.part")
    with part.open("wb") as file:
        for content in (_PREFIX.pack(_MAGIC, len(text)), text, *(array.tobytes() for array in arrays.values())):
            digest.update(content)
            file.write(content)
        file.write(digest.digest())
    os.replace(part, path)


def load_ngram(path: Path) -> NgramModel:
    """Read a model from a file.

    Raises:
        ModelFileError: the file is missing, cut off, damaged, or of another kind.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise ModelFileError(f"{path} is not there. Name a file that `lakehouse train-perplexity` wrote.") from error
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read: {error.strerror}.") from error
    if len(content) < _PREFIX.size + _CHECKSUM or not content.startswith(_MAGIC):
        raise ModelFileError(f"{path} is no n-gram model: name a file that `lakehouse train-perplexity` wrote.")
    if xxhash.xxh3_128_digest(content[:-_CHECKSUM]) != content[-_CHECKSUM:]:
        raise ModelFileError(f"{path} is damaged or cut off: its checksum is another. Copy or train it again.")
    try:
        return _parse(content, path)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, ModelFileError):
            raise
        raise ModelFileError(f"{path} is no n-gram model that can be used: {error!r}.") from error


def _parse(content: bytes, path: Path) -> NgramModel:
    _, header_length = _PREFIX.unpack_from(content)
    place, end = _PREFIX.size + header_length, len(content) - _CHECKSUM
    header = json.loads(content[_PREFIX.size : min(place, end)])
    arrays: dict[str, npt.NDArray[Any]] = {}
    for name, kind in _ARRAYS.items():
        length = header["lengths"][name]
        if not isinstance(length, int) or not 0 <= length <= (end - place) // kind.itemsize:
            raise ModelFileError(f"{path} is no n-gram model that can be used: {name} has the length {length!r}.")
        arrays[name] = np.frombuffer(content, kind, length, place)
        place += length * kind.itemsize
    if place != end:
        raise ModelFileError(f"{path} is no n-gram model that can be used: {end - place:,} bytes too many.")
    model = NgramModel(int(header["order"]), int(header["bits"]), **arrays, facts=header["facts"])
    if not _is_sound(model):
        raise ModelFileError(f"{path} is no n-gram model that can be used: its arrays do not fit together.")
    return model


def _is_sound(model: NgramModel) -> bool:
    """Whether looking up keys of the model stays inside its arrays and ends."""
    numbers = model.log_probabilities, model.log_backoffs
    return bool(
        1 <= model.order <= 6
        and 2 <= model.bits <= 16
        and model.order * model.bits <= LENGTH_SHIFT
        and len(model.code_points) == len(model.symbols) > 0
        and (np.diff(model.code_points.astype(np.int64)) > 0).all()
        and model.code_points[-1] < CODE_POINTS
        and model.symbols.min() >= FIRST
        and model.symbols.max() < 1 << model.bits
        and 0x20 in model.code_points
        and len(model.keys) == len(numbers[0]) == len(numbers[1])
        and len(model.keys) > 0
        and model.keys[0] > 0
        and (model.keys[1:] > model.keys[:-1]).all()
        and all((np.isfinite(array) & (array <= 0)).all() for array in numbers)
        and _has_all_symbols(model)
    )


def _has_all_symbols(model: NgramModel) -> bool:
    """Whether each symbol has a probability by itself, with which every chain of contexts ends."""
    wanted = (np.uint64(1) << np.uint64(LENGTH_SHIFT)) | np.arange(OTHER, OTHER + model.n_symbols, dtype=np.uint64)
    return bool(np.isin(wanted, model.keys).all())


@numba.njit(cache=True, nogil=True)
def _hash_table(keys, log_probabilities, log_backoffs, slots):  # type: ignore[no-untyped-def]  # numba infers
    """Open addressing over a power of two of slots, of which at most half are taken; key 0 is an empty slot."""
    table, values = np.zeros(slots, np.uint64), np.zeros((slots, 2), np.float32)
    for number in range(len(keys)):
        slot = _home(keys[number], slots)
        while table[slot] != 0:
            slot = (slot + 1) & (slots - 1)
        table[slot] = keys[number]
        values[slot, 0], values[slot, 1] = log_probabilities[number], log_backoffs[number]
    return table, values


@numba.njit(cache=True, nogil=True, inline="always")
def _home(key, slots):  # type: ignore[no-untyped-def]  # numba infers
    mixed = (key ^ (key >> np.uint64(31))) * np.uint64(0x9E3779B97F4A7C15)
    return np.int64((mixed ^ (mixed >> np.uint64(32))) & np.uint64(slots - 1))


@numba.njit(cache=True, nogil=True, inline="always")
def _find(table, key):  # type: ignore[no-untyped-def]  # numba infers
    slot = _home(key, len(table))
    while table[slot] != key:
        if table[slot] == 0:
            return -1
        slot = (slot + 1) & (len(table) - 1)
    return slot


@numba.njit(cache=True, nogil=True)
def _score(symbols, offsets, order, bits, table, values, unlisted, found):  # type: ignore[no-untyped-def]
    shift, tag = np.uint64(bits), np.uint64(LENGTH_SHIFT)
    masks = np.array([(np.uint64(1) << np.uint64(bits * length)) - np.uint64(1) for length in range(order + 1)])
    for text in range(len(offsets) - 1):
        history = np.uint64(0)  # the last order - 1 symbols
        known = order - 1  # length of the longest end of the history that may be a context
        total = 0.0
        for place in range(offsets[text], offsets[text + 1]):
            symbol = np.uint64(symbols[place])
            length = known + 1
            while True:
                context = history & masks[length - 1]
                slot = _find(table, (np.uint64(length) << tag) | (context << shift) | symbol)
                if slot >= 0:
                    total += values[slot, 0]
                    break
                length -= 1
                slot = _find(table, (np.uint64(length) << tag) | context)
                if slot >= 0:
                    total += values[slot, 1]
            if symbol == OTHER:
                total += unlisted
            known = min(length, order - 1)
            history = ((history << shift) | symbol) & masks[order - 1]
        found[text] = total
