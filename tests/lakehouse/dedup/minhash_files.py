"""Data files of a `minhash` annotation, made the slow and obvious way from sets of numbers."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

import polars as pl

BANDS = 3

Documents = Mapping[str, frozenset[int]]


def key_of(band: int, shingles: frozenset[int]) -> int:
    """The key of a band of one row: the smallest value of the set in an order that is the band's own."""
    return min(number(band, shingle) for shingle in shingles)


def number(*parts: int) -> int:
    digest = hashlib.blake2b(struct.pack(f"<{len(parts)}q", *parts), digest_size=8).digest()
    return struct.unpack("<q", digest)[0]


def jaccard(a: AbstractSet[int], b: AbstractSet[int]) -> float:
    return len(a & b) / len(a | b)


def frame_of(documents: Documents, **replaced: Any) -> pl.DataFrame:
    """The columns as an annotator measures them; `replaced` says what whole columns are instead."""
    sets = list(documents.values())
    columns: dict[str, Any] = {
        "doc_id": list(documents),
        "n_shingles": [len(one) for one in sets],
        "shingle_set": [number(-1, *sorted(one)) if one else None for one in sets],
        **{f"band_{band:02d}": [key_of(band, one) if one else None for one in sets] for band in range(BANDS)},
        "shingles": [struct.pack(f"<{len(one)}I", *sorted(one)) for one in sets],
    }
    kinds: dict[str, Any] = dict.fromkeys(columns, pl.Int64) | {"doc_id": pl.String, "shingles": pl.Binary}
    return pl.DataFrame(columns | replaced, schema=kinds)


def write(path: Path, documents: Documents, rows_a_group: int = 1_000) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    frame_of(documents).write_parquet(path, row_group_size=rows_a_group)
    return path


def expected(documents: Documents, new: Sequence[str], floor: float) -> Iterator[tuple[str, str, float]]:
    """All pairs, by comparing each document with each other one."""
    names = list(documents)
    first = {one: name for name, one in reversed(documents.items())}
    for place, name in enumerate(names):
        own = documents[name]
        if name not in new or not own:
            continue
        if first[own] != name:
            yield name, first[own], 1.0
            continue
        for other in names[:place]:
            theirs = documents[other]
            if theirs and first[theirs] == other and any(key_of(b, own) == key_of(b, theirs) for b in range(BANDS)):
                similarity = jaccard(own, theirs)
                if similarity >= floor:
                    yield name, other, similarity
