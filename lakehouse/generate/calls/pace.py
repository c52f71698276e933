"""How fast a server may be asked: a window of calls that adapts, pauses that it asks for, and buckets of tokens.

Nothing here knows HTTP or a clock: the time (seconds, of any steady clock) is handed in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

FIRST_WINDOW = 8  # calls under way before anything is known of a server
_GROWTH = 2  # by which each answer widens the window at first: it triples in the time of a call
_STEPS = 32  # after the first refusal: the whole window in so many times of a call
_DECREASE = 0.5
MOST_PAUSE = 60.0  # seconds, whatever the server says
_SILENT_TRIES = 3  # in a row, after which a replica is left alone
_FIRST_REST = 2.0  # seconds that it is left alone, doubled each time
_REFUSALS = 3  # windows in a row without one answer, after which the server gets a rest
_TOKENS_A_CALL = 1000  # before any is known


@dataclass
class Bucket:
    """So much a minute, at an even pace, a second's worth at once. A call may overdraw it; the next ones then wait."""

    per_minute: float
    filled: float = field(init=False)
    at: float = -math.inf

    def __post_init__(self) -> None:
        self.filled = self._most

    @property
    def _most(self) -> float:
        return max(1.0, self.per_minute / 60)

    def ready_at(self, amount: float, now: float) -> float:
        """When so much may be taken: `now` or later."""
        self._fill(now)
        lacking = min(amount, self._most) - self.filled
        return now + max(0.0, lacking) * 60 / self.per_minute if lacking > 1e-9 else now

    def take(self, amount: float, now: float) -> None:
        """Take so much, or give back (a negative amount) what an estimate took too much."""
        self._fill(now)
        self.filled = min(self._most, self.filled - amount)

    def _fill(self, now: float) -> None:
        if math.isfinite(self.at):
            self.filled = min(self._most, self.filled + (now - self.at) * self.per_minute / 60)
        self.at = max(self.at, now)


@dataclass(frozen=True)
class Allowance:
    """What a server says in its rate-limit headers: how much is left of a limit, and when it is whole again."""

    remaining: float
    reset: float  # seconds


@dataclass
class Replica:
    """One server: how many calls it may have under way, and when the next may begin.

    The window grows with the answers (at first it triples in the time of a call, after a refusal by a 32nd of the
    ceiling) and halves on a refusal, once for all the calls that were under way together: additive increase,
    multiplicative decrease, as in Chiu and Jain, Analysis of the Increase and Decrease Algorithms for Congestion
    Avoidance in Computer Networks.
    """

    base_url: str
    ceiling: int
    window: float = field(init=False)
    in_flight: int = 0
    begun: int = 0
    paused_until: float = -math.inf
    next_begin: float = -math.inf
    rests_until: float = -math.inf  # left alone: it does not answer
    _spacing: float = 0.0  # seconds between two calls
    _spaced_until: float = -math.inf
    _decreased_at: float = -math.inf
    _full_at: float = -math.inf
    _starting: bool = True
    _refused_windows: int = 0
    _silent: int = 0
    _rests: int = 0

    def __post_init__(self) -> None:
        self.window = float(min(FIRST_WINDOW, self.ceiling))

    @property
    def is_silent(self) -> bool:
        """Whether it did not answer several times in a row."""
        return self._silent >= _SILENT_TRIES

    def free_at(self, now: float) -> float:
        """When a call may begin: `now`, later, or infinity where a call has to end first."""
        if self.in_flight >= int(self.window):
            return math.inf
        return max(now, self.paused_until, self.next_begin)

    def begin(self, now: float) -> None:
        """A call begins."""
        self.in_flight += 1
        self.begun += 1
        self.next_begin = now + self._spacing if now < self._spaced_until else now
        if self.in_flight >= int(self.window):
            self._full_at = now

    def answered(self, began: float) -> None:
        """A call that began at `began` has its answer."""
        used = self._full_at >= began  # an idle window says nothing about what the server can do
        self.in_flight -= 1
        self._silent = self._rests = self._refused_windows = 0
        self.rests_until = -math.inf
        if used:
            step = _GROWTH if self._starting else max(1.0, self.ceiling / _STEPS) / self.window
            self.window = min(float(self.ceiling), self.window + step)

    def refused(self, began: float, now: float, pause: float | None = None) -> None:
        """A call that began at `began` was refused because the server has too much to do (or did not end in time).

        Args:
            pause: seconds for which the server asks to be left alone; None where it does not say.
        """
        self.in_flight -= 1
        self._starting = False
        if pause is not None:
            self.paused_until = max(self.paused_until, now + min(pause, MOST_PAUSE))
        if began < self._decreased_at:
            return  # one of those that were under way at the last decrease: it is known already
        self.window = max(1.0, self.window * _DECREASE)
        self._decreased_at = now
        self._refused_windows += 1
        if pause is None and self._refused_windows >= _REFUSALS:
            rest = min(0.25 * 2 ** min(self._refused_windows - _REFUSALS, 10), MOST_PAUSE)
            self.paused_until = max(self.paused_until, now + rest)

    def failed(self) -> None:
        """A call that was under way failed in a way that says nothing about how much the server can take."""
        self.in_flight -= 1

    def silent(self, now: float) -> None:
        """No answer came at all (to a call that `failed` or `refused` has counted)."""
        self._silent += 1
        if self.is_silent and now >= self.rests_until:
            self.rests_until = now + min(_FIRST_REST * 2 ** min(self._rests, 10), MOST_PAUSE)
            self._rests += 1

    def told(
        self, now: float, requests: Allowance | None, tokens: Allowance | None, tokens_a_call: float | None
    ) -> None:
        """Slow down before a limit is met, as the server's headers say: spread what is left until it is whole again."""
        spacing, until = 0.0, now
        for allowance, size in ((requests, 1.0), (tokens, tokens_a_call or _TOKENS_A_CALL)):
            if allowance is None or allowance.reset <= 0:
                continue
            reset = min(allowance.reset, MOST_PAUSE)
            if allowance.remaining < size:
                self.paused_until = max(self.paused_until, now + reset)
            else:
                spacing = max(spacing, reset * size / allowance.remaining)
            until = max(until, now + reset)
        self._spacing, self._spaced_until = spacing, until


def choose(replicas: list[Replica], now: float, avoid: Replica | None = None) -> tuple[Replica | None, float]:
    """The replica that the next call goes to, and, where there is none now, when there may be one.

    The least loaded of those that answer. One that does not is asked again by a single call when its rest is over;
    if none answers, all count.

    Args:
        avoid: where the call failed before: only if there is no other.
    """
    well = [replica for replica in replicas if not replica.is_silent]
    due = [r for r in replicas if r.is_silent and now >= r.rests_until and r.in_flight == 0]
    rests = [r.rests_until for r in replicas if r.is_silent and r.rests_until > now]
    usable = well + due if well else replicas
    others = [replica for replica in usable if replica is not avoid] or usable
    times = {replica.base_url: replica.free_at(now) for replica in others}
    free = [replica for replica in others if times[replica.base_url] <= now]
    if free:
        return min(free, key=lambda replica: (replica.in_flight, replica.begun)), now
    return None, min([*times.values(), *(rests if well else [])], default=math.inf)
