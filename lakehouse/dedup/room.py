"""Whether there is room for the work: it is refused before it begins, not when the disk is full."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lakehouse.dedup.errors import DedupError

_CONTROL_GROUPS = Path("/sys/fs/cgroup")
_OWN_GROUPS = Path("/proc/self/cgroup")
_UNITS = ("bytes", "kB", "MB", "GB", "TB")


@dataclass(frozen=True)
class Room:
    """What is free, in bytes.

    Attributes:
        disk: on the disk of the folder for intermediate files.
        memory: that this process may still take; None where the system does not say.
    """

    disk: int
    memory: int | None

    def require(self, folder: Path, purpose: str, *, disk: int = 0, memory: int = 0) -> None:
        """Refuse what needs more than there is.

        Args:
            folder: of the intermediate files, for the message.
            purpose: what it is needed for, as in "to compare 12 pairs".
            disk: bytes that will be written.
            memory: bytes that will be held.

        Raises:
            DedupError: there is less.
        """
        if disk > self.disk:
            raise DedupError(
                f"{folder}: {size(disk)} of disk are needed {purpose}, and {size(self.disk)} are free. Free some, or "
                "use a folder on another disk."
            )
        if self.memory is not None and memory > self.memory:
            raise DedupError(
                f"{size(memory)} of memory are needed {purpose}, and {size(self.memory)} are available. End other "
                "programs, use fewer workers, or take a larger machine."
            )


def measure(folder: Path) -> Room:
    """What is free now, for a process that writes to `folder`. Control groups (version 1 and 2) may limit memory."""
    limits = [left for left in (_available(Path("/proc/meminfo")), *_left_in_groups()) if left is not None]
    return Room(shutil.disk_usage(folder).free, min(limits, default=None))


def size(count: int) -> str:
    """A number of bytes, to be read: 1.5 GB."""
    amount, unit = float(count), 0
    while amount >= 1000 and unit < len(_UNITS) - 1:
        amount, unit = amount / 1000, unit + 1
    return f"{count} bytes" if unit == 0 else f"{amount:.1f} {_UNITS[unit]}"


def _available(meminfo: Path) -> int | None:
    """Memory that can be had without swapping, as Linux estimates it; None on other systems."""
    try:
        lines = meminfo.read_text(encoding="ascii").splitlines()
    except FileNotFoundError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)


def _left_in_groups() -> Iterator[int | None]:
    """What the control groups of this process leave, each of them and those above."""
    try:
        lines = _OWN_GROUPS.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers in ("", "memory"):
            root = _CONTROL_GROUPS / controllers
            group = root / path.lstrip("/")
            for folder in (group, *group.parents):
                if folder.is_relative_to(root):
                    yield _left(folder, "memory.max", "memory.current", "inactive_file")
                    yield _left(folder, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def _left(folder: Path, limit: str, usage: str, cached: str) -> int | None:
    """What one control group leaves: files that it holds in memory can go. None without a limit."""
    try:
        most = (folder / limit).read_text(encoding="ascii").strip()
        if most == "max":
            return None
        used = int((folder / usage).read_text(encoding="ascii"))
        statistics = dict(line.split() for line in (folder / "memory.stat").read_text(encoding="ascii").splitlines())
    except OSError:  # no such group here: containers see their own as the root
        return None
    return max(0, int(most) - used + int(statistics.get(cached, 0)))
