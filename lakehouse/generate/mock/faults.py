"""What a model server and its model do wrong, by seed and rate: the same prompts meet the same fault every time."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import cycle
from typing import Self

from lakehouse import identity
from lakehouse.generate.errors import GenerationError

MET_AND_GONE = (
    "rate_limited",
    "server_errors",
    "cut_connections",
    "rate_limited_bare",
    "rate_limited_ms",
    "unavailable",
    "timeouts",
    "closed_connections",
    "malformed_json",
    "half_json",
    "error_objects",
    "slow",
)
"""Faults of the server: a request meets its own `times` times, then it is answered."""

BAD_ANSWERS = ("truncated", "refusals", "prefaces", "wrong_language", "empty")
"""Faults of the model: such a prompt is answered badly whenever it is asked, whatever form it asks for."""

_PREFACES = (
    "Sure, here is the text that you asked for:",
    "Of course! Here's another version of the passage:",
    "Certainly. Below you will find the rewritten text.",
    "Here is the result, as requested:",
)
_REFUSALS = (
    "I'm sorry, but I can't help with this text.",
    "I cannot assist with that request.",
    "As an AI language model, I am not able to rewrite this passage.",
    "Sorry, I'm unable to process content of this kind.",
)
_GREEK = (
    "Το χωριό απλώνεται πίσω από τον λόφο και οι δρόμοι του είναι στενοί.",
    "Κάθε πρωί οι κάτοικοι ανοίγουν τα παράθυρα και χαιρετούν τους γείτονες.",
    "Όταν βρέχει, το νερό κυλά αργά προς το παλιό γεφύρι.",
    "Το βράδυ όλοι μαζεύονται στην πλατεία και συζητούν για τη δουλειά τους.",
)
_FINNISH = (
    "Kylä sijaitsee mäen takana, ja sen kadut ovat kapeita.",
    "Joka aamu asukkaat avaavat ikkunat ja tervehtivät naapureitaan.",
    "Kun sataa, vesi valuu hitaasti kohti vanhaa siltaa.",
    "Illalla kaikki kokoontuvat torille ja keskustelevat työstään.",
)
_GREEK_LETTER = re.compile(r"[\u0370-\u03ff\u1f00-\u1fff]")


@dataclass(frozen=True)
class Faults:
    """Which shares (0..1) of all prompts meet which fault. A prompt meets one at most, the same for the same seed.

    In a batch, whose lines have no connection of their own, any fault of the server but `slow` is a line in the error
    file.

    Raises:
        GenerationError: a share is no number in 0..1, all shares together exceed 1, or a setting is negative.
    """

    rate_limited: float = 0.0  # 429, with Retry-After
    server_errors: float = 0.0  # 500
    cut_connections: float = 0.0  # closed in the middle of the answer
    truncated: float = 0.0  # half an answer, with finish_reason "length"
    rate_limited_bare: float = 0.0  # 429 that does not say how long to wait
    rate_limited_ms: float = 0.0  # 429, with retry-after-ms
    unavailable: float = 0.0  # 503
    timeouts: float = 0.0  # silence, until the client hangs up or `silence` has passed
    closed_connections: float = 0.0  # closed before the first byte
    malformed_json: float = 0.0  # 200, with a body that is no JSON
    half_json: float = 0.0  # 200, with half of the body, of which Content-Length is right
    error_objects: float = 0.0  # 200, with the error of another status in it
    slow: float = 0.0  # the answer takes `slowness` longer; streamed, it trickles
    refusals: float = 0.0
    prefaces: float = 0.0  # the answer, after a sentence that announces it
    wrong_language: float = 0.0
    empty: float = 0.0
    expired: float = 0.0  # lines that a batch does not get to in time; beside the other faults
    times: int = 1  # how often a request meets its fault of the server before it is answered
    heals: bool = False  # truncated answers, too, end after so many times
    retry_after: float = 0.05  # seconds
    silence: float = 30.0  # seconds
    slowness: float = 1.0  # seconds
    seed: int = 0

    def __post_init__(self) -> None:
        rates = {kind: getattr(self, kind) for kind in (*_KINDS, "expired")}
        for kind, rate in rates.items():
            if not 0.0 <= rate <= 1.0:
                raise GenerationError(f"faults: {kind} is {rate}: give a share of all prompts, 0 to 1.")
        if (total := sum(rates.values()) - self.expired) > 1.0 + 1e-9:
            raise GenerationError(f"faults: the shares add up to {total:g}: a prompt meets one fault at most.")
        for setting in ("times", "retry_after", "silence", "slowness"):
            if not getattr(self, setting) >= 0:
                raise GenerationError(f"faults: {setting} is {getattr(self, setting)}: it cannot be negative.")

    @classmethod
    def evenly(cls, rate: float, *, seed: int = 0, **kinds: float) -> Self:
        """Faults of all kinds, each of them with an equal part of `rate`, but for those given by name."""
        unknown = sorted(kinds.keys() - {*_KINDS, "expired"})
        if unknown:
            raise GenerationError(f"faults: there is no kind {unknown[0]!r}. There are: {', '.join(_KINDS)}, expired.")
        if not 0.0 <= rate <= 1.0:
            raise GenerationError(f"faults: the rate is {rate}: give a share of all prompts, 0 to 1.")
        return replace(cls(seed=seed), **{**dict.fromkeys(_KINDS, rate / len(_KINDS)), **kinds})  # type: ignore[arg-type]

    def of(self, prompt: str) -> str:
        """The fault that a prompt meets, or "". A prompt is the last message of a request."""
        draw = identity.order_key(self.seed, prompt) / 2**63
        for kind in _KINDS:
            draw -= getattr(self, kind)
            if draw < 0:
                return kind
        return ""

    def expires(self, prompt: str) -> bool:
        """Whether a batch does not get to a line in time."""
        return identity.order_key(self.seed, "expired", prompt) / 2**63 < self.expired


# The order decides which prompts meet which fault.
_KINDS = (
    *MET_AND_GONE[:3],
    "truncated",
    *MET_AND_GONE[3:],
    *BAD_ANSWERS[1:],
)


def spoilt(answer: str, kind: str, prompt: str) -> str:
    """An answer as a bad model gives it: refused, announced, in another language or empty (see `BAD_ANSWERS`)."""
    choice = identity.order_key(0, "spoilt", prompt)
    if kind == "refusals":
        return _REFUSALS[choice % len(_REFUSALS)]
    if kind == "prefaces":
        return f"{_PREFACES[choice % len(_PREFACES)]}\n\n{answer}"
    if kind == "wrong_language":
        return _elsewhere(answer, choice)
    return "" if kind == "empty" else answer


def _elsewhere(answer: str, choice: int) -> str:
    """Sentences of another language, about as long as the answer."""
    sentences = _FINNISH if _GREEK_LETTER.search(answer) else _GREEK
    told: list[str] = []
    length = 0
    for sentence in cycle(sentences[choice % len(sentences) :] + sentences[: choice % len(sentences)]):
        told.append(sentence)
        length += len(sentence) + 1
        if length >= len(answer):
            break
    return " ".join(told)
