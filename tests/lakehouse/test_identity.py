"""Identifiers: what they depend on, and that they never change."""

from __future__ import annotations

import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from lakehouse import identity


def test_identifiers_are_the_same_on_every_machine_and_in_every_process() -> None:
    # XXH3-128 of the UTF-8 bytes, as `xxhsum -H2` prints it: a change here breaks every lake.
    assert identity.hash_of("abc") == "06b05ab6733a618578af5f94892f3950"
    script = "from lakehouse import identity; print(identity.order_key(7, 'a'), identity.text_id('A b'))"
    runs = {
        subprocess.run(
            [sys.executable, "-c", script], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert runs == {f"{identity.order_key(7, 'a')} {identity.text_id('A b')}\n"}


def test_texts_that_differ_in_case_white_space_or_composition_are_the_same() -> None:
    assert identity.text_id("Caf\u00e9  au\nlait") == identity.text_id("cafe\u0301 AU LAIT ")
    assert identity.text_id("cafe au lait") != identity.text_id("caf\u00e9 au lait")


@given(st.lists(st.text(), max_size=4), st.lists(st.text(), max_size=4))
def test_parts_do_not_run_into_each_other(left: list[str], right: list[str]) -> None:
    separated = [part for part in left + right if "\x1f" in part]
    if left != right and not separated and left and right:
        assert identity.hash_of(*left) != identity.hash_of(*right)


@given(st.integers(), st.text())
def test_an_order_key_fits_a_signed_column(seed: int, text: str) -> None:
    assert 0 <= identity.order_key(seed, text) < 2**63


def test_a_record_has_an_id_of_its_own() -> None:
    ids = {identity.record_id("web", file, offset) for file in ("a", "b") for offset in (0, 1)}
    assert len(ids) == 4
