"""What near duplicates are found by: shingles, MinHash signatures and bands."""

import json
import random
import re
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakehouse import annotate
from lakehouse.annotate.annotator import AnnotatorError
from lakehouse.annotate.minhash.shingles import find_shingles
from lakehouse.annotate.minhash.signatures import band_keys, set_hashes, signatures
from lakehouse.annotate.words import Batch

FULL = 2**64 - 1
GOLDEN_RATIO = 0x9E3779B97F4A7C15
ENGLISH = "The miller's wheel turned all night, and nobody in the village slept until the river fell at dawn."
CHINESE = "磨坊的水车整夜转动，直到黎明河水退去，村里没有人睡着。"
ENGLISH_HASHES = (-7936498122921817191, -3871327311513968250, 5443843492219509824)
CHINESE_HASHES = (-1207676427241492881, 8603425584859893556, -6778444418136337847)


def measure(*texts: str, **setting: int) -> pl.DataFrame:
    documents = pl.DataFrame({"text": texts}, schema={"text": pl.String}).with_columns(
        doc_id=pl.int_range(pl.len()).cast(pl.String), language=pl.lit("en")
    )
    declared = {"minhash": setting} if setting else "minhash"
    return annotate.measure_all(documents, [annotate.annotator(declared)])[0]


def shingles(*texts: str, words: int = 5, characters: int = 5) -> list[set[int]]:
    values, bounds = find_shingles(Batch(pl.DataFrame({"text": texts})), words, characters)
    sets = [values[start:end].tolist() for start, end in pairwise(bounds.tolist())]
    assert all(one == sorted(set(one)) for one in sets)
    return [set(one) for one in sets]


def similarity(one: set[int], other: set[int]) -> float:
    return len(one & other) / len(one | other)


def in_one_piece(sets: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    bounds = np.cumsum([0, *map(len, sets)])
    return np.array([value for one in sets for value in one], np.uint32), bounds


# The slow, obvious version of every hash.


def mix(value: int) -> int:
    value = (value ^ value >> 33) * 0xFF51AFD7ED558CCD & FULL
    value = (value ^ value >> 33) * 0xC4CEB9FE1A85EC53 & FULL
    return value ^ value >> 33


def hash_of_word(word: str) -> int:
    found = 0xCBF29CE484222325
    for character in word:
        found = (found ^ ord(character)) * 0x100000001B3 & FULL
    return found


def hash_of_shingle(units: list[int]) -> int:
    powers = range(len(units) - 1, -1, -1)
    return mix(sum(mix(unit) * GOLDEN_RATIO**power for unit, power in zip(units, powers, strict=True)) & FULL) >> 32


def runs(units: list[int], size: int) -> set[int]:
    size = min(size, len(units))
    return {hash_of_shingle(units[start : start + size]) for start in range(len(units) - size + 1)} if units else set()


def slow_shingles(text: str, size: int) -> set[int]:
    cores = [re.sub(r"^[^a-zé0-9]+|[^a-zé0-9]+$", "", word.lower()) for word in text.split()]
    return runs([hash_of_word(core) for core in cores if core], size)


# Shingles.


@given(st.lists(st.text("aBé1.,- \n", max_size=40), max_size=5), st.integers(1, 7))
@settings(max_examples=150, deadline=None)
def test_shingles_are_those_of_the_slow_version(texts: list[str], size: int) -> None:
    assert shingles(*texts, words=size) == [slow_shingles(text, size) for text in texts]


@given(st.text("磨坊的水车，。 Aa1", min_size=1, max_size=30), st.integers(1, 7))
@settings(max_examples=100, deadline=None)
def test_scripts_without_spaces_have_shingles_of_characters(text: str, size: int) -> None:
    text += "整夜转动" * 10  # so that most letters are Chinese
    units = [ord(character) for character in text.lower() if character.isalnum()]
    assert shingles(text, characters=size) == [runs(units, size)]


def test_case_white_space_and_punctuation_around_words_make_no_difference() -> None:
    plain, shouted, quoted = shingles(
        "the miller slept until the river fell",
        "THE\tMILLER -- slept\n\n   UNTIL the river FELL!!",
        "“The miller” slept, until (the river) fell …",
    )
    assert plain == shouted == quoted
    assert len(plain) == 3  # seven words
    chinese, spread = shingles(CHINESE, "「" + "  ".join(CHINESE.replace("，", "\n——")) + "」")
    assert chinese == spread


def test_order_makes_a_difference_and_a_changed_word_changes_the_shingles_it_is_in() -> None:
    # Words 1 to 9 make 5 shingles; the last word is in the last one only: 4 of 6 are in both.
    one, other, turned = shingles("a b c d e f g h i", "a b c d e f g h X", "i h g f e d c b a")
    assert similarity(one, other) == pytest.approx(4 / 6)
    # The fifth word is in all of the five.
    assert similarity(one, shingles("a b c d X f g h i")[0]) == 0
    assert similarity(one, turned) == 0


def test_a_text_of_fewer_words_than_a_shingle_has_is_one_shingle() -> None:
    three, same, other, one_word, chinese = shingles("Out of stock", "out of STOCK.", "out of order", "404", "水车")
    assert [len(found) for found in (three, same, other, one_word, chinese)] == [1] * 5
    assert three == same != other


def test_what_a_text_measures_does_not_depend_on_the_texts_beside_it() -> None:
    texts = [ENGLISH, "", CHINESE, "a b", " -- ", ENGLISH + CHINESE, CHINESE * 3 + ENGLISH]
    together = measure(*texts)
    assert together.equals(pl.concat(measure(text) for text in texts))
    assert together.reverse().equals(measure(*reversed(texts)))


def test_long_texts_take_no_more_than_their_share_of_time() -> None:
    """A sort whose time grows with the square of its input would take minutes for either of these."""
    letters = random.Random(1)
    once, many = "ab " * 1_000_000, " ".join(str(letters.random()) for _ in range(500_000))
    measure("ready")
    start = time.process_time()
    repeated, long = measure(once, many)["n_shingles"]
    assert repeated == 1
    assert long == pytest.approx(499_996, abs=100)  # 32 bits: about 500,000² / 2^33 = 29 pairs collide
    assert time.process_time() - start < 5


# Signatures.


@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1])
@pytest.mark.parametrize("permutations", [1, 13, 112, 256])
def test_signatures_are_those_of_datasketch(seed: int, permutations: int) -> None:
    datasketch = pytest.importorskip("datasketch", minversion="2.0")
    numbers = np.random.default_rng(seed)
    sets = [numbers.integers(0, 2**32, size).tolist() for size in (1, 2, 7, 8, 9, 33, 400)]
    sets += [[], [0], [2**32 - 1], list(range(100)), sorted(shingles(ENGLISH)[0]), sorted(shingles(CHINESE)[0])]
    found = signatures(*in_one_piece(sets), seed, permutations)
    for one, signature in zip(sets, found, strict=True):
        expected = datasketch.MinHash(permutations, seed, hashfunc=int, scheme="affine32")
        expected.update_batch(one)
        assert signature.tolist() == expected.digest().tolist()


def test_a_signature_is_the_smallest_value_of_each_permutation() -> None:
    """The arithmetic without any library: the finaliser of MurmurHash3, then a · h + b modulo 2^32."""
    drawn = np.random.RandomState(1)
    factors = [2 * int(factor) + 1 for factor in drawn.randint(0, 2**31, 6, dtype=np.uint32)]
    summands = drawn.randint(0, 2**32, 6, dtype=np.uint32).tolist()

    def finalised(value: int) -> int:
        value = (value ^ value >> 16) * 0x85EBCA6B % 2**32
        value = (value ^ value >> 13) * 0xC2B2AE35 % 2**32
        return value ^ value >> 16

    values = [3, 2**31, 4_000_000_000]
    expected = [
        min((factor * finalised(value) + summand) % 2**32 for value in values)
        for factor, summand in zip(factors, summands, strict=True)
    ]
    assert signatures(*in_one_piece([values]), 1, 6).tolist() == [expected]


@pytest.mark.parametrize("shared", [100, 200, 320])
def test_the_estimate_is_as_good_as_theory_says(shared: int) -> None:
    pairs, hashes, size = 400, 112, 400
    numbers = np.random.default_rng(shared)
    values = numbers.integers(0, 2**32, (pairs, 2 * size - shared), dtype=np.uint32)
    sets = [one for row in values for one in (row[:size], row[size - shared :])]
    signed = signatures(np.concatenate(sets), np.arange(2 * pairs + 1) * size, 1, hashes)
    exact = shared / (2 * size - shared)
    errors = (signed[::2] == signed[1::2]).mean(axis=1) - exact
    expected = np.sqrt(exact * (1 - exact) / hashes)
    assert abs(errors.mean()) < 4 * expected / np.sqrt(pairs)
    assert np.sqrt((errors**2).mean()) == pytest.approx(expected, rel=0.15)


def test_pairs_share_a_band_as_often_as_the_curve_says() -> None:
    # 400 values each, 320 of them in both: 320 / 480 = 0.667; 1 - (1 - 0.667^8)^14 = 0.428.
    pairs, size, shared = 1_000, 400, 320
    values = np.random.default_rng(1).integers(0, 2**32, (pairs, 2 * size - shared), dtype=np.uint32)
    sets = [one for row in values for one in (row[:size], row[size - shared :])]
    keys = band_keys(signatures(np.concatenate(sets), np.arange(2 * pairs + 1) * size, 1, 112), 14)
    share = (keys[:, ::2] == keys[:, 1::2]).any(axis=0).mean()
    assert share == pytest.approx(0.428, abs=4 * np.sqrt(0.428 * 0.572 / pairs))


def test_a_band_key_is_a_hash_of_that_bands_values() -> None:
    signed = np.array([[1, 2, 3, 4], [1, 2, 4, 3], [2, 1, 3, 4]], np.uint32)
    first, second = band_keys(signed, 2).tolist()
    assert first[0] == first[1] != first[2]
    assert second[0] == second[2] != second[1]
    assert first[0] == mix(mix(GOLDEN_RATIO + 1) + 2)


# The annotator.


def test_columns_are_what_near_duplicates_need() -> None:
    found = measure(ENGLISH, " -- ")
    bands = [f"band_{band:02d}" for band in range(14)]
    assert found.schema == {
        "n_shingles": pl.Int64,
        "shingle_set": pl.Int64,
        **dict.fromkeys(bands, pl.Int64),
        "shingles": pl.Binary,
    }
    full, empty = found.iter_rows(named=True)
    assert full["n_shingles"] == 14  # 18 words
    assert set(np.frombuffer(full["shingles"], "<u4").tolist()) == slow_shingles(ENGLISH, 5)
    assert len(set(full.values())) == len(full)
    assert empty == {**dict.fromkeys(full), "n_shingles": 0, "shingles": b""}
    made = annotate.annotator("minhash")
    assert made.hashes == ("shingle_set", *bands)
    assert [field.type for field in made.columns] == [pa.int64()] * 16 + [pa.binary()]


def test_no_documents_measure_as_no_rows() -> None:
    assert measure().height == 0


def test_equal_sets_have_the_same_hash_and_others_have_not() -> None:
    found = measure("a b c d e f", "A b, c d e f!", "a b c d e f a b c d e f", "a b c d e g", "f")["shingle_set"]
    assert found[0] == found[1]
    assert found.n_unique() == 4
    one, other = (sorted(one) for one in shingles("a b c d e f", "a b c d e g"))
    hashes = set_hashes(*in_one_piece([one, other]))
    assert hashes.view(np.int64).tolist() == [found[0], found[3]]
    running = GOLDEN_RATIO
    for value in one:
        running = (running ^ mix(value)) * GOLDEN_RATIO & FULL
    assert hashes[0] == mix(running)


def test_bands_are_named_after_how_many_there_are_and_depend_on_the_seed() -> None:
    few, many = measure(ENGLISH, bands=3, rows=2), measure(ENGLISH, bands=100, rows=10)
    assert [name for name in few.columns if name.startswith("band")] == ["band_00", "band_01", "band_02"]
    assert many.columns[2] == "band_00"
    assert many.columns[101] == "band_99"
    assert few["band_00"].item() != measure(ENGLISH, bands=3, rows=2, seed=2)["band_00"].item()
    assert few["shingle_set"].item() == measure(ENGLISH, seed=2)["shingle_set"].item()


def test_what_is_measured_stays_the_same_from_version_to_version() -> None:
    """Whoever changes these values must raise the annotator's version: tables hold the old ones."""
    english, chinese = measure(ENGLISH, CHINESE).iter_rows(named=True)
    assert annotate.annotator("minhash").version == 1
    assert (english["shingle_set"], english["band_00"], english["band_13"]) == ENGLISH_HASHES
    assert (chinese["shingle_set"], chinese["band_00"], chinese["band_13"]) == CHINESE_HASHES


def test_revisions_of_real_pages_are_about_as_similar_as_they_were_measured_elsewhere(shared: Path) -> None:
    """The other measurement counts case, punctuation and words of nothing else, which tables are full of."""
    folder = shared / "neardup" / "ota-revisions"
    lines = pa.input_stream(str(folder / "ota-revisions.jsonl.zst"), compression="zstd").read().decode().split("\n")
    revisions = [json.loads(line) for line in lines if line]
    measured = measure(*(one["text"] for one in revisions))
    places = {(one["repo"], one["path"], one["seq"]): place for place, one in enumerate(revisions)}
    sets = [set(np.frombuffer(one, "<u4").tolist()) for one in measured["shingles"]]
    bands = measured.select("^band_.*$").to_numpy()
    elsewhere = pl.read_csv(folder / "consecutive-pairs.tsv", separator="\t", quote_char=None)
    pairs = [
        (places[row["repo"], row["path"], row["seq_a"]], places[row["repo"], row["path"], row["seq_b"]])
        for row in elsewhere.iter_rows(named=True)
    ]
    found = np.array([similarity(sets[one], sets[other]) for one, other in pairs])
    expected = elsewhere["word5gram_jaccard"].to_numpy()
    assert (np.abs(found - expected) < 0.02).mean() > 0.9
    assert ((found >= 0.8) == (expected >= 0.8)).mean() > 0.97
    similar = [pair for pair, one in zip(pairs, found, strict=True) if one >= 0.8]
    assert np.mean([(bands[one] == bands[other]).any() for one, other in similar]) > 0.98


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"words": 0}, "words is 0; it must be a whole number from 1 to 100"),
        ({"characters": -1}, "characters is -1"),
        ({"bands": 0}, "bands is 0"),
        ({"bands": 101}, "bands is 101; it must be a whole number from 1 to 100"),
        ({"rows": 0}, "rows is 0"),
        ({"rows": 2.5}, "rows is 2.5"),
        ({"rows": True}, "rows is True"),
        ({"seed": 2**32}, "seed is 4294967296"),
        ({"bands": 100, "rows": 11}, "100 bands of 11 rows are 1100 hashes; 1024 are the most"),
    ],
)
def test_silly_settings_are_refused(setting: dict[str, int], message: str) -> None:
    with pytest.raises(AnnotatorError, match=message):
        annotate.annotator({"minhash": setting})
