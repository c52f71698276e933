"""Stable identifiers of documents and texts: the same on every machine, for every version of a library."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import xxhash

_SEPARATOR = "\x1f"
_READ_AT_ONCE = 1 << 20


def hash_of(*parts: str | int) -> str:
    """Hash of the parts in their order: 32 hexadecimal digits (XXH3, 128 bits)."""
    joined = _SEPARATOR.join(str(part) for part in parts)
    return xxhash.xxh3_128_hexdigest(joined.encode("utf-8", "surrogatepass"))


def hash_of_file(file: Path) -> str:
    """Hash of what is in a file: 32 hexadecimal digits (XXH3, 128 bits)."""
    digest = xxhash.xxh3_128()
    with file.open("rb") as content:
        while part := content.read(_READ_AT_ONCE):
            digest.update(part)
    return digest.hexdigest()


def record_id(source: str, warc_file: str, offset: int) -> str:
    """The `doc_id` of a WARC record: `warc_file` is its path below the landing folder, `offset` is in bytes."""
    return hash_of(source, warc_file, offset)


def normalised(text: str) -> str:
    """The form in which two texts count as the same: NFC, case folded, runs of white space as one space."""
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())


def text_id(text: str) -> str:
    """Content address of a text: the hash of its normalised form."""
    return hash_of(normalised(text))


def order_key(seed: int, *parts: str) -> int:
    """A place in a seeded shuffle: 63 bits that depend on the seed and the parts alone."""
    joined = _SEPARATOR.join((str(seed), *parts))
    return xxhash.xxh3_64_intdigest(joined.encode("utf-8", "surrogatepass")) >> 1
