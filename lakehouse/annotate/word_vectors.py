"""fastText files of word vectors, checked before they are loaded: fastText trusts a file, and dies of a damaged one."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

from lakehouse.annotate.annotator import AnnotatorError
from lakehouse.models import ModelFileError, check_fasttext

_MAGIC = 793_712_314
_VERSIONS = (11, 12)
_UNSUPERVISED = (1, 2)  # cbow and skipgram
_HEAD = struct.Struct("<2i12id")
_COUNTS = struct.Struct("<3i2q")
_SHAPE = struct.Struct("<?2q")
_AFTER_WORD = 9  # bytes: a count and a kind


def check_word_vectors(file: Path) -> None:
    """Make sure that fastText can load a model, one of word vectors or a classifier.

    Raises:
        AnnotatorError: it is missing, cut off, damaged, or no fastText model.
    """
    try:
        with file.open("rb") as opened:
            head = opened.read(_HEAD.size)
            if len(head) == _HEAD.size and _is_of_words(head):
                with mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
                    _check(file, content, head)
                return
    except FileNotFoundError as error:
        raise AnnotatorError(f"{file} is not there. Name the file of a fastText model (.bin).") from error
    except OSError as error:
        raise AnnotatorError(f"{file} cannot be read: {error.strerror}.") from error
    try:
        check_fasttext(file)
    except ModelFileError as error:
        raise AnnotatorError(str(error)) from error


def _is_of_words(head: bytes) -> bool:
    magic, version, *settings = _HEAD.unpack(head)
    return magic == _MAGIC and version in _VERSIONS and settings[7] in _UNSUPERVISED


def _check(file: Path, content: mmap.mmap, head: bytes) -> None:
    """Walk through the file as fastText does: its size must be what its counts and shapes say."""
    _, version, dimensions, _, _, _, _, _, _, _, bucket, shortest, longest, _, _ = _HEAD.unpack(head)
    damaged = AnnotatorError(f"{file} is damaged or cut off: its parts do not fit together. Fetch it again.")
    try:
        size, words, labels, _, pruned = _COUNTS.unpack_from(content, _HEAD.size)
        # A bucket of 0 with parts of words would be divided by.
        parts = version == 11 or longest > 0
        if not (0 < dimensions < 1 << 20 and 0 < size == words and labels == 0 and pruned == -1 and bucket >= parts):
            raise damaged
        if shortest < 0 or longest < 0:
            raise damaged
        place = _HEAD.size + _COUNTS.size
        for _ in range(size):
            end = content.find(b"\0", place)
            if end < 0:
                raise damaged
            place = end + 1 + _AFTER_WORD
        for rows in (words + bucket, words):
            if _SHAPE.unpack_from(content, place) != (False, rows, dimensions):
                raise damaged
            place += _SHAPE.size + 4 * rows * dimensions
    except struct.error:
        raise damaged from None
    if place != len(content):
        raise damaged
