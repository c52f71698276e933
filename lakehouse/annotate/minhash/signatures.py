"""MinHash: a short signature of each text, and keys that similar texts are likely to share.

The share of equal values in two signatures estimates the Jaccard similarity of the texts' shingles. A signature is cut
into bands; two texts are compared where all values of one band agree, which is as good as certain for similar texts and
as good as impossible for others (see `lakehouse.dedup.curve`).
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from lakehouse.annotate.annotator import Annotator, AnnotatorError
from lakehouse.annotate.minhash.shingles import Shingles, find_shingles, mix
from lakehouse.annotate.words import Batch

BANDS, ROWS = 14, 8
"""Without other settings, as FineWeb has them."""

MOST_BANDS = 100
MOST_HASHES = 1024
MOST_UNITS = 100
"""So many words or characters a shingle has at most."""

_NOTHING = np.uint32(0xFFFFFFFF)
_START = np.uint64(0x9E3779B97F4A7C15)


def minhash(*, words: int = 5, characters: int = 5, bands: int = BANDS, rows: int = ROWS, seed: int = 1) -> Annotator:
    """Measure what near duplicates are found by: shingles, and the bands of a MinHash signature.

    Args:
        words: words of a shingle, 1 to 100.
        characters: characters of a shingle in texts mostly of scripts written without spaces, 1 to 100.
        bands: keys a document, 1 to 100. More bands find more pairs of little similarity.
        rows: values of the signature that a key is made of. More rows find fewer. Bands times rows is 1024 at most.
        seed: which permutations are drawn, 0 to 4,294,967,295.

    Columns: n_shingles (distinct ones; 0 without a word), shingle_set (64-bit hash of the whole set; equal sets have
    equal ones), band_00 to band_13 or as many as there are bands (64-bit hashes of each band's values), shingles (the
    distinct 32-bit hashes, ascending, four bytes each, the lowest byte first). Without shingles shingle_set and the
    bands are null and shingles is empty.

    Raises:
        AnnotatorError: a setting is out of these bounds.
    """
    _check("words", words, 1, MOST_UNITS)
    _check("characters", characters, 1, MOST_UNITS)
    _check("bands", bands, 1, MOST_BANDS)
    _check("rows", rows, 1, MOST_HASHES)
    _check("seed", seed, 0, 2**32 - 1)
    if bands * rows > MOST_HASHES:
        raise AnnotatorError(f"{bands} bands of {rows} rows are {bands * rows} hashes; {MOST_HASHES} are the most.")
    names = tuple(f"band_{band:02d}" for band in range(bands))

    def measure(batch: Batch) -> pl.DataFrame:
        found = find_shingles(batch, words, characters)
        keys = band_keys(signatures(*found, seed, bands * rows), bands)
        none = pl.col("n_shingles") == 0
        columns = {
            "n_shingles": np.diff(found.bounds),
            "shingle_set": set_hashes(*found).view(np.int64),
            **{name: keys[band].view(np.int64) for band, name in enumerate(names)},
        }
        frame = pl.DataFrame(columns).with_columns(
            pl.when(~none).then(pl.col(name)).alias(name) for name in ("shingle_set", *names)
        )
        return frame.with_columns(_binary(found))

    return Annotator(
        "minhash",
        1,
        (
            pa.field("n_shingles", pa.int64()),
            pa.field("shingle_set", pa.int64()),
            *(pa.field(name, pa.int64()) for name in names),
            pa.field("shingles", pa.binary()),
        ),
        measure,
        f"Shingles of {words} words, and a MinHash signature of them in {bands} bands of {rows} rows.",
        hashes=("shingle_set", *names),
    )


def signatures(
    shingles: npt.NDArray[np.uint32], bounds: npt.NDArray[np.int64], seed: int, permutations: int
) -> npt.NDArray[np.uint32]:
    """The MinHash signatures of n sets, bit for bit those of datasketch 2.0 in its scheme `affine32`.

    Each value is mixed by the 32-bit finaliser of MurmurHash3; a permutation k maps it to a(k) · value + b(k) modulo
    2^32, where a(k) is odd, and what counts is the smallest value (Broder, On the Resemblance and Containment of
    Documents).

    Args:
        shingles: the 32-bit hashes of set t are shingles[bounds[t] : bounds[t + 1]].
        bounds: n + 1 places.
        seed: which permutations are drawn.
        permutations: how many of them.

    Returns:
        n rows of `permutations` values; all of them 4,294,967,295 for an empty set.
    """
    signed = np.empty((len(bounds) - 1, permutations), np.uint32)
    _sign(shingles, bounds, *_permutations(seed, permutations), signed)
    return signed


def band_keys(signed: npt.NDArray[np.uint32], bands: int) -> npt.NDArray[np.uint64]:
    """The 64-bit hash of each band of n signatures.

    Args:
        signed: n rows of signature values; each band takes as many of them in a row as the others.
        bands: how many bands, which divide the values evenly.

    Returns:
        A row of n keys for each band. A key begins with 0x9E3779B97F4A7C15; each value v makes mix(key + v) of it,
        where mix is the 64-bit finaliser of MurmurHash3.
    """
    keys = np.empty((bands, len(signed)), np.uint64)
    _hash_bands(signed, signed.shape[1] // bands, keys)
    return keys


def set_hashes(shingles: npt.NDArray[np.uint32], bounds: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    """The 64-bit hash of each of n sorted sets.

    It begins with 0x9E3779B97F4A7C15; each value v makes (hash ^ mix(v)) · 0x9E3779B97F4A7C15 of it, modulo 2^64, and
    the last one is mixed again; mix is the 64-bit finaliser of MurmurHash3.
    """
    hashes = np.empty(len(bounds) - 1, np.uint64)
    _hash_sets(shingles, bounds, hashes)
    return hashes


def _check(name: str, value: Any, least: int, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise AnnotatorError(f"{name} is {value!r}; it must be a whole number from {least} to {most}.")


def _binary(found: Shingles) -> pl.Series:
    """The shingles of each text as bytes."""
    data, offsets = found.values.astype("<u4", copy=False), found.bounds * 4
    array = pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), len(offsets) - 1, [None, pa.py_buffer(offsets), pa.py_buffer(data)]
    )
    return pl.Series("shingles", array)


@cache
def _permutations(seed: int, permutations: int) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32]]:
    """Factors and summands. NumPy promises that this generator's numbers never change."""
    drawn = np.random.RandomState(seed)
    factors = drawn.randint(0, 2**31, permutations, dtype=np.uint32) * np.uint32(2) + np.uint32(1)
    return factors, drawn.randint(0, 2**32, permutations, dtype=np.uint32)


@numba.njit(cache=True, nogil=True)
def _sign(shingles, bounds, factors, summands, signed):  # type: ignore[no-untyped-def]  # numba infers
    """Fill the signatures. The inner loop runs over shingles, for the processor to take several of them at a time."""
    longest = 0
    for text in range(len(bounds) - 1):
        longest = max(longest, bounds[text + 1] - bounds[text])
    scratch = np.empty(longest, np.uint32)
    for text in range(len(bounds) - 1):
        mixed = scratch[: bounds[text + 1] - bounds[text]]
        for place in range(len(mixed)):
            # Products of 32-bit numbers are 64-bit numbers here until they are cut.
            value = shingles[bounds[text] + place]
            value = np.uint32((value ^ (value >> np.uint32(16))) * np.uint32(0x85EBCA6B))
            value = np.uint32((value ^ (value >> np.uint32(13))) * np.uint32(0xC2B2AE35))
            mixed[place] = value ^ (value >> np.uint32(16))
        for permutation in range(len(factors)):
            factor, summand, smallest = factors[permutation], summands[permutation], _NOTHING
            for value in mixed:
                smallest = min(smallest, np.uint32(factor * value + summand))
            signed[text, permutation] = smallest


@numba.njit(cache=True, nogil=True)
def _hash_bands(signed, rows, keys):  # type: ignore[no-untyped-def]  # numba infers
    for text in range(len(signed)):
        for band in range(len(keys)):
            key = _START
            for row in range(band * rows, (band + 1) * rows):
                key = mix(key + np.uint64(signed[text, row]))
            keys[band, text] = key


@numba.njit(cache=True, nogil=True)
def _hash_sets(shingles, bounds, hashes):  # type: ignore[no-untyped-def]  # numba infers
    for text in range(len(hashes)):
        running = _START
        for place in range(bounds[text], bounds[text + 1]):
            running = (running ^ mix(np.uint64(shingles[place]))) * _START
        hashes[text] = mix(running)
