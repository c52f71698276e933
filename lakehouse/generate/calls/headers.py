"""What a server says in its headers about when to ask again, and how much it still allows."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from lakehouse.generate.calls.pace import MOST_PAUSE, Allowance

_DURATION = re.compile(r"(\d{1,12}(?:\.\d{1,12})?)(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_EPOCH = 1e9  # a larger number of seconds is a time, not a duration
_LONGEST = 64  # characters of a header that means something


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Seconds to wait as `retry-after-ms` or `Retry-After` says, at most `pace.MOST_PAUSE`; None where neither does.

    Args:
        headers: of an answer, by lower-case names.
        now: what an HTTP date is compared with.
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return min(milliseconds / 1000, MOST_PAUSE)
    said = headers.get("retry-after")
    seconds = _number(said)
    if seconds is None and said is not None and len(said) <= _LONGEST:
        try:
            date = parsedate_to_datetime(said)
        except (ValueError, OverflowError):
            return None
        date = date if date.tzinfo else date.replace(tzinfo=UTC)
        seconds = max(0.0, (date - (now or datetime.now(UTC))).total_seconds())
    return None if seconds is None else min(seconds, MOST_PAUSE)


def allowance(headers: Mapping[str, str], of: str, now: datetime | None = None) -> Allowance | None:
    """How many `of` ("requests" or "tokens") the server still allows; None where it does not say."""
    remaining = _number(headers.get(f"x-ratelimit-remaining-{of}"))
    if remaining is None:
        return None
    reset = _duration(headers.get(f"x-ratelimit-reset-{of}"), now)
    return None if reset is None else Allowance(remaining, reset)


def _duration(said: str | None, now: datetime | None) -> float | None:
    """Seconds of "6m0s", "20ms" or "12.5", or until a time in seconds since 1970."""
    number = _number(said)
    if number is not None:
        since = (now or datetime.now(UTC)).timestamp()
        return max(0.0, number - since) if number > _EPOCH else number
    if said is None or len(said) > _LONGEST:
        return None
    parts = _DURATION.findall(said)
    if not parts or "".join(amount + unit for amount, unit in parts) != said.strip():
        return None
    return sum(float(amount) * _SECONDS[unit] for amount, unit in parts)


def _number(said: str | None) -> float | None:
    if said is None or len(said) > _LONGEST:
        return None
    try:
        number = float(said)
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None
