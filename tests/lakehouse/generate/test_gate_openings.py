"""Template collapse is of a whole set: neither batches nor order change what is rejected."""

from __future__ import annotations

import random
from collections import Counter

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakehouse import identity
from lakehouse.generate.gates.openings import Openings, collapsed, openings
from lakehouse.generate.gates.settings import TemplateCollapse


def judged(texts: list[str], rejected: frozenset[int] = frozenset()) -> pl.DataFrame:
    """Verdicts about texts; those at the places `rejected` failed another gate."""
    rows = [
        {
            "unit_id": f"u{place}", "text": text, "accepted": place not in rejected,
            "failed": ["empty"] if place in rejected else [], "gate": "empty" if place in rejected else None,
            "value": None, "threshold": None, "evidence": None,
        }
        for place, text in enumerate(texts)
    ]  # fmt: skip
    kinds = {"unit_id": pl.String, "text": pl.String, "accepted": pl.Boolean, "failed": pl.List(pl.String)}
    kinds |= {"gate": pl.String, "value": pl.Float64, "threshold": pl.Float64, "evidence": pl.String}
    return pl.DataFrame(rows, schema=kinds)


def decided(frame: pl.DataFrame, settings: TemplateCollapse, batch: int = 10_000) -> pl.DataFrame:
    counted = Openings(settings)
    for part in frame.iter_slices(batch):
        counted.add(part)
    return pl.concat([collapsed(part, counted, settings) for part in frame.iter_slices(batch)] or [frame])


def test_openings_are_counted_without_case_and_punctuation() -> None:
    texts = pl.Series(["In the old days, when it rained.", "in the OLD days – when: it", "Other words.", "…", None])
    assert openings(texts, 6).rows() == [("in the old days when it", 2), ("other words", 1)]
    assert openings(pl.Series(["今天天气很好。我们去"]), 4).rows() == [("今天天气", 1)]
    assert openings(texts, 2, at="end").rows() == [("it rained", 1), ("other words", 1), ("when it", 1)]


def test_outputs_that_open_alike_are_rejected_but_for_as_many_as_are_allowed() -> None:
    # 100 outputs, 30 open alike; a tenth is allowed: 10 stay, 20 go
    texts = ["Have you ever thought about rivers?"] * 30 + [f"{place} has its own opening words" for place in range(70)]
    settings = TemplateCollapse(max=0.1, least=5, words=5)
    result = decided(judged(texts), settings)
    gone = result.filter(~pl.col("accepted"))
    assert gone.height == 20
    assert gone.select("gate", "failed", "value", "threshold", "evidence").unique().rows() == [
        ("template_collapse", ["template_collapse"], 0.3, 0.1, "have you ever thought about")
    ]
    order = sorted(range(30), key=lambda place: identity.order_key(0, f"u{place}"))
    stay = result.filter("accepted")["unit_id"].to_list()[:10]
    assert sorted(stay) == sorted(f"u{place}" for place in order[:10])


@pytest.mark.parametrize(("alike", "gone"), [(19, 0), (20, 1), (25, 6)])
def test_few_outputs_may_open_alike_in_a_small_set(alike: int, gone: int) -> None:
    # Of 40 outputs 5 % are 2, but fewer than `least`, which is 20, are never too many: 19 stay
    texts = ["All of them open like this one"] * alike + [f"{place} other" for place in range(40 - alike)]
    assert decided(judged(texts), TemplateCollapse()).filter(~pl.col("accepted")).height == gone


def test_what_failed_another_gate_is_not_counted_and_keeps_its_gate() -> None:
    texts = ["the same words as always here"] * 10
    result = decided(judged(texts, frozenset(range(4))), TemplateCollapse(max=0, least=3))
    assert result["gate"].to_list()[:4] == ["empty"] * 4
    assert result["gate"].to_list()[4:].count("template_collapse") == 4  # of 6, 2 stay: one less than `least`


TEXTS = st.lists(st.sampled_from(["a b", "a c", "b b", "A, b!", "", "…"]), max_size=40)


@given(TEXTS, st.sampled_from([0.0, 0.1, 0.3]), st.integers(1, 4), st.integers(0, 9))
def test_neither_batches_nor_order_change_what_is_rejected(
    texts: list[str], most: float, least: int, seed: int
) -> None:
    settings = TemplateCollapse(max=most, least=least, words=2)
    frame = judged(texts)
    whole = decided(frame, settings)
    shuffled = frame.sample(fraction=1, shuffle=True, seed=random.Random(seed).randrange(1000))
    assert decided(shuffled, settings, batch=7).sort("unit_id").equals(whole.sort("unit_id"))

    allowed = max(int(most * len(texts) + 1e-9), least - 1)
    kept = Counter(text.lower().strip("!…").replace(",", "") for text in whole.filter("accepted")["text"])
    every = Counter(text.lower().strip("!…").replace(",", "") for text in texts)
    assert kept == Counter({opening: min(count, allowed) if opening else count for opening, count in every.items()})
