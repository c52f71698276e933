"""The journal at its limits: many requests, many files, a full disk."""

from __future__ import annotations

import resource
import signal
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_journal import ORIGIN, TABLE, call

from lakehouse import identity
from lakehouse.generate.errors import GenerationError
from lakehouse.generate.journal import index as journal_index
from lakehouse.generate.journal import keys as journal_keys
from lakehouse.generate.journal import recorder as journal_recorder
from lakehouse.generate.journal import spool
from lakehouse.generate.journal.index import Index
from lakehouse.generate.journal.keys import Keys, key_of
from lakehouse.generate.journal.recorder import Recorder
from lakehouse.lake import Lake

KEYS = st.integers(0, 2**60 - 1) | st.integers(0, 40)


@given(st.lists(KEYS), st.lists(KEYS))
def test_a_set_of_keys_holds_what_a_set_holds(first: list[int], second: list[int]) -> None:
    with patch.object(journal_keys, "_LOOSE", 3):
        keys = Keys()
        for key in first:
            keys.add(key)
        copied = keys.copy()
        for key in second:
            copied.add(key)
    assert (len(keys), len(copied)) == (len({*first}), len({*first, *second}))
    assert all(key in copied for key in (*first, *second))
    assert [key in keys for key in second] == [key in set(first) for key in second]


def test_the_greatest_key_is_sixty_bits() -> None:
    keys = Keys()
    for digit in "0123456789abcdef":
        keys.add(key_of(digit * 32))
    assert key_of("f" * 32) == 2**60 - 1
    assert len(keys) == 16
    assert key_of("f" * 32) - 1 not in keys


@pytest.mark.parametrize("held", [1, 2**25])
def test_answers_of_several_steps_are_found_in_blocks_of_many_files(tmp_path: Path, held: int) -> None:
    lake = Lake(tmp_path)
    prompts = [f"{step} {unit}" for step in range(3) for unit in range(40)]
    for start in range(0, len(prompts), 50):
        with Recorder(lake, TABLE, ORIGIN, "s1") as recorder:
            recorder.record([call(prompt) for prompt in prompts[start : start + 50]])
    with patch.object(journal_index, "_BLOCK_ROWS", 7), patch.object(journal_index, "_HELD_BYTES", held):
        index = Index(lake, TABLE)
        for unit in range(0, 40, 8):
            asked = [f"{step} {one}" for one in range(unit, unit + 8) for step in range(4)]  # a fourth was never asked
            found = index.find([identity.hash_of(prompt) for prompt in asked])
            there = {answered.response for answered in found.values()}
            assert there == {f"re: {prompt}" for prompt in asked if not prompt.startswith("3")}


def test_long_answers_reach_the_table_before_there_are_many(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    with patch.object(journal_recorder, "_COMMIT_BYTES", 10_000), Recorder(lake, TABLE, ORIGIN, "s1") as recorder:
        for place in range(5):
            recorder.record([call(str(place), response="long " * 1_000)])
    assert len(lake.files(TABLE)) == 3  # a row has 5 kB: two make a commit
    assert len(Index(lake, TABLE)) == 5


def test_a_call_that_a_full_disk_took_half_of_spoils_no_other(tmp_path: Path) -> None:
    """Calls that were under way end after the disk was full: they are recorded if there is room again."""
    rows: list[dict[str, Any]] = [call(str(place), response="x" * 1_000) for place in range(4)]
    kept = spool.Spool(tmp_path)
    kept.append(rows[:1])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (kept.path.stat().st_size + 700, before[1]))
    try:
        with pytest.raises(GenerationError, match=r"answers cannot be kept"):
            kept.append(rows[1:3])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    kept.append(rows[3:])
    kept.close()
    assert list(spool.read(kept.path)) == [rows[0], rows[3]]
