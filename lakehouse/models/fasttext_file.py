"""fastText models, checked before they are loaded: the library itself trusts a file, and dies of a damaged one."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from lakehouse.models.errors import ModelFileError

_MAGIC = 793_712_314
_VERSIONS = (11, 12)
_LABEL = "__label__"
_SUPERVISED = 3
_LOSSES = (1, 2, 3, 4)  # hierarchical softmax, negative sampling, softmax, one against all
_CENTROIDS = 256
_MOST = 1 << 40  # more rows or columns than any file has; products of two stay inside 64 bits with room to spare
_MOST_COUNT = 10**15  # fastText's own infinity when it builds the tree of labels


@dataclass(frozen=True)
class Header:
    """What a supervised fastText model's file says of itself.

    Attributes:
        names: of the labels as they are written, the most frequent first.
        n_words: words in the dictionary.
        dimensions: of a vector.
        word_ngrams: longest run of words that has a vector.
        shortest, longest: characters of the parts of words that have vectors; 0: parts have none.
        bucket: vectors that runs and parts share.
        quantised: whether vectors are compressed.
    """

    names: tuple[str, ...]
    n_words: int
    dimensions: int
    word_ngrams: int
    shortest: int
    longest: int
    bucket: int
    quantised: bool

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels without `__label__`."""
        return tuple(name.removeprefix(_LABEL) for name in self.names)


def check_fasttext(path: Path) -> Header:
    """Walk through a model's file and make sure that fastText can load it.

    Raises:
        ModelFileError: it is missing, cut off, damaged, or no supervised fastText model.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            if not size:
                raise ModelFileError(f"{path} is empty: it is no fastText model.")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                return _Walk(path, content).model()
    except FileNotFoundError as error:
        raise ModelFileError(f"{path} is not there. Name the file of a fastText model (.bin or .ftz).") from error
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read: {error.strerror}.") from error


class FastTextModel:
    """A loaded model. `labels` are without `__label__`."""

    def __init__(self, path: Path, header: Header, model: Any) -> None:
        self.path = path
        self.header = header
        self.labels = header.labels
        self._model = model

    def probabilities(self, texts: pl.Series, label: str) -> npt.NDArray[np.float64]:
        """The probability of `label` (0..1) for each of n texts in the model's form; NaN where the model knows nothing.

        Raises:
            ModelFileError: the model lacks the label, or its weights are no numbers.
        """
        if label not in self.labels:
            raise ModelFileError(f"{self.path} has no label {label!r}: it has {self._listed()}.")
        wanted = self.header.names[self.labels.index(label)]
        found, scores = self._predict(texts, -1)
        values = (
            score[names.index(wanted)] if wanted in names else np.nan
            for names, score in zip(found, scores, strict=True)
        )
        return np.clip(np.fromiter(values, np.float64, len(texts)), 0, 1)

    def most_probable(self, texts: pl.Series) -> tuple[list[str | None], npt.NDArray[np.float64]]:
        """The most probable label of each of n texts and its probability; None and NaN where there is none.

        Raises:
            ModelFileError: the model's weights are no numbers.
        """
        found, scores = self._predict(texts, 1)
        labels = [names[0].removeprefix(_LABEL) if names else None for names in found]
        values = (score[0] if len(score) else np.nan for score in scores)
        return labels, np.clip(np.fromiter(values, np.float64, len(texts)), 0, 1)

    def _predict(self, texts: pl.Series, k: int) -> tuple[Sequence[Sequence[str]], Sequence[npt.NDArray[np.float32]]]:
        if texts.is_empty():
            return [], []
        try:
            return self._model.predict(texts.to_list(), k=k)
        except RuntimeError as error:
            raise ModelFileError(f"{self.path} cannot be used: {error}") from error

    def _listed(self) -> str:
        shown = ", ".join(self.labels[:10])
        return f"{shown} and {len(self.labels) - 10} more" if len(self.labels) > 10 else shown


def load_fasttext(path: Path) -> FastTextModel:
    """Load a supervised model.

    Raises:
        ModelFileError: see `check_fasttext`; also where there is too little memory.
    """
    import fasttext

    header = check_fasttext(path)
    try:
        return FastTextModel(path, header, fasttext.load_model(str(path)))
    except (ValueError, RuntimeError, MemoryError) as error:
        raise ModelFileError(f"{path} cannot be loaded: {error}") from error


class _Walk:
    """Reads a model's file from its beginning to its end, as fastText does, and believes nothing."""

    def __init__(self, path: Path, content: mmap.mmap) -> None:
        self._path = path
        self._content = content
        self._size = len(content)
        self._place = 0

    def model(self) -> Header:
        if self._size < 4 or struct.unpack_from("<i", self._content)[0] != _MAGIC:
            raise ModelFileError(f"{self._path} is no fastText model: {self._guess()}.")
        (_, version) = self._take("<2i")
        if version not in _VERSIONS:
            raise ModelFileError(f"{self._path} has version {version} of fastText's format; 11 and 12 can be read.")
        dimensions, *_, word_ngrams, loss, kind, bucket, shortest, longest, _, _ = self._take("<12id")
        if kind != _SUPERVISED:
            raise ModelFileError(
                f"{self._path} holds word vectors (it was trained without labels): a classifier is needed."
            )
        if version == 11:
            longest = 0  # as fastText reads it: classifiers had no parts of words then
        hashed = word_ngrams > 1 or longest > 0
        self._must(loss in _LOSSES, "its loss")
        self._must(0 < dimensions < 1 << 20 and 0 < word_ngrams < 100, "its settings")
        self._must(-1 < shortest < 1 << 20 and -1 < longest < 1 << 20, "its lengths of parts of words")
        self._must(bucket >= hashed, "its number of buckets")

        names, n_words, pruned = self._dictionary()
        rows = n_words + (bucket if pruned < 0 else pruned)
        (quantised,) = self._flag()
        self._must(bool(quantised) or pruned < 0, "its dictionary")
        (self._quantised_matrix if quantised else self._matrix)(rows, dimensions)
        (quantised_output,) = self._flag()
        output = self._quantised_matrix if quantised and quantised_output else self._matrix
        output(len(names), dimensions)
        if self._place != self._size:
            raise ModelFileError(f"{self._path} is damaged: the model ends at byte {self._place:,} of {self._size:,}.")
        return Header(names, n_words, dimensions, word_ngrams, shortest, longest, bucket, bool(quantised))

    def _dictionary(self) -> tuple[tuple[str, ...], int, int]:
        size, n_words, n_labels, n_tokens, pruned = self._take("<3i2q")
        self._must(size == n_words + n_labels and n_words >= 0 and n_tokens >= 0, "the size of its dictionary")
        self._must(n_labels > 0, "its labels")
        self._must(-1 <= pruned < _MOST, "the size of its pruned dictionary")
        names = []
        labelled = 0
        for entry in range(size):
            end = self._content.find(b"\0", self._place)
            if end < 0 or end + 10 > self._size:
                self._cut()
            count, kind = struct.unpack_from("<qb", self._content, end + 1)
            self._must(kind == (entry >= n_words) and 0 <= count < _MOST_COUNT, "its dictionary")
            if kind:
                names.append(self._label(self._content[self._place : end]))
                labelled += count
            self._place = end + 10
        distinct = {name.removeprefix(_LABEL) for name in names}
        self._must(len(distinct) == n_labels and labelled < _MOST_COUNT, "its labels")
        if pruned > 0:
            places = np.frombuffer(self._bytes(8 * pruned), "<i4").reshape(-1, 2)
            self._must(bool(((places >= 0) & (places[:, 1:] < pruned)).all()), "its pruned dictionary")
        return tuple(names), n_words, pruned

    def _label(self, word: bytes) -> str:
        try:
            return word.decode()
        except UnicodeDecodeError as error:
            raise ModelFileError(f"{self._path} is damaged: its label {word[:40]!r} is no text.") from error

    def _matrix(self, rows: int, columns: int) -> None:
        self._shape(rows, columns)
        self._skip(4 * rows * columns)

    def _quantised_matrix(self, rows: int, columns: int) -> None:
        (with_norms,) = self._flag()
        self._shape(rows, columns)
        (code_size,) = self._take("<i")
        place = self._place
        self._skip(max(code_size, 0))
        parts = self._quantiser(columns)
        self._must(code_size == rows * parts, f"its compressed matrix at byte {place:,}")
        if with_norms:
            self._skip(rows)
            self._quantiser(1)

    def _quantiser(self, dimensions: int) -> int:
        found, parts, width, last = self._take("<4i")
        fits = found == dimensions and parts > 0 and 0 < last <= width
        self._must(fits and (parts - 1) * width + last == dimensions, "its compression")
        self._skip(4 * dimensions * _CENTROIDS)
        return parts

    def _shape(self, rows: int, columns: int) -> None:
        found = self._take("<2q")
        self._must(found == (rows, columns), f"the shape {found} of a matrix, where {(rows, columns)} is needed")

    def _flag(self) -> tuple[int]:
        (flag,) = self._take("<B")
        self._must(flag in (0, 1), "a flag")
        return (flag,)

    def _take(self, layout: str) -> tuple[Any, ...]:
        return struct.unpack(layout, self._bytes(struct.calcsize(layout)))

    def _bytes(self, count: int) -> bytes:
        start = self._place
        self._skip(count)
        return self._content[start : self._place]

    def _skip(self, count: int) -> None:
        if self._place + count > self._size:
            self._cut()
        self._place += count

    def _cut(self) -> None:
        raise ModelFileError(
            f"{self._path} is cut off: the model goes on after byte {self._size:,}, where the file ends. "
            "Fetch it again."
        )

    def _must(self, holds: bool, what: str) -> None:
        if not holds:
            raise ModelFileError(f"{self._path} is damaged: {what} cannot be right (before byte {self._place:,}).")

    def _guess(self) -> str:
        start = self._content[:64]
        if start.startswith(b"PK\x03\x04"):
            return "it is a zip archive: unpack it"
        if start.startswith(b"\x1f\x8b"):
            return "it is a gzip file: unpack it"
        words = start.split(b"\n")[0].split()
        if len(words) == 2 and all(word.isdigit() for word in words):
            return "it holds word vectors as text"
        return "it begins with other bytes"
