"""Requests as whole numbers, and sets of them that may hold millions."""

from __future__ import annotations

import numpy as np

KEY_DIGITS = 15
"""Hexadecimal digits of a request's id that fit into an int64."""

_LOOSE = 4_096


def key_of(request_id: str) -> int:
    """The number that stands for a request: the first 60 bits of its id."""
    return int(request_id[:KEY_DIGITS], 16)


class Keys:
    """A set of requests that grows, about ten bytes each: a tenth of what a `set` takes.

    Most are in sorted arrays, each at least twice as long as the next; those added last are loose.
    """

    def __init__(self) -> None:
        self._sorted: list[np.ndarray] = []
        self._loose: set[int] = set()

    def __len__(self) -> int:
        return len(self._loose) + sum(map(len, self._sorted))

    def __contains__(self, key: object) -> bool:
        return isinstance(key, int) and (key in self._loose or any(_holds(some, key) for some in self._sorted))

    def add(self, key: int) -> None:
        """Add a request."""
        if key in self:
            return
        self._loose.add(key)
        if len(self._loose) >= _LOOSE:
            latest = np.sort(np.fromiter(self._loose, np.int64, len(self._loose)))
            self._loose.clear()
            while self._sorted and len(self._sorted[-1]) < 2 * len(latest):
                latest = np.sort(np.concatenate([self._sorted.pop(), latest]), kind="stable")
            self._sorted.append(latest)

    def copy(self) -> Keys:
        """The same requests; what is added to one set is not in the other."""
        copied = Keys()
        # The arrays never change.
        copied._sorted, copied._loose = list(self._sorted), set(self._loose)
        return copied


def _holds(some: np.ndarray, key: int) -> bool:
    place = int(some.searchsorted(key))
    return place < len(some) and int(some[place]) == key
