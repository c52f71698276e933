"""Room on disk and in memory: measured as the system tells, and refused in one line that says what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from lakehouse.dedup import room
from lakehouse.dedup.errors import DedupError


def test_there_is_some_room_here(tmp_path: Path) -> None:
    found = room.measure(tmp_path)
    assert found.disk > 0
    assert found.memory is None or found.memory > 0


def test_a_control_group_leaves_its_limit_less_what_cannot_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    group = tmp_path / "memory" / "outer" / "inner"
    group.mkdir(parents=True)
    for folder, limit in ((group, 9_000), (group.parent, 5_000)):
        (folder / "memory.limit_in_bytes").write_text(f"{limit}\n")
        (folder / "memory.usage_in_bytes").write_text("4000\n")
        (folder / "memory.stat").write_text("cache 5\ntotal_inactive_file 1500\n")
    listing = tmp_path / "cgroup"
    listing.write_text("4:memory:/outer/inner\n3:cpu:/\n")
    monkeypatch.setattr(room, "_CONTROL_GROUPS", tmp_path)
    monkeypatch.setattr(room, "_OWN_GROUPS", listing)
    assert room.measure(tmp_path).memory == 5_000 - 4_000 + 1_500
    (group / "memory.limit_in_bytes").unlink()
    (group.parent / "memory.limit_in_bytes").unlink()
    listing.write_text("0::/second\n")
    second = tmp_path / "second"
    second.mkdir()
    (second / "memory.max").write_text("700\n")
    (second / "memory.current").write_text("650\n")
    (second / "memory.stat").write_text("inactive_file 20\n")
    assert room.measure(tmp_path).memory == 70
    (second / "memory.max").write_text("max\n")
    assert room.measure(tmp_path).memory != 70


def test_what_does_not_fit_is_refused_in_one_line() -> None:
    there = room.Room(disk=1_500, memory=2_000_000)
    there.require(Path("/scratch"), "to try", disk=1_500, memory=2_000_000)
    with pytest.raises(DedupError) as caught:
        there.require(Path("/scratch"), "for 7 documents", disk=3_400_000_000)
    assert str(caught.value) == (
        "/scratch: 3.4 GB of disk are needed for 7 documents, and 1.5 kB are free. "
        "Free some, or use a folder on another disk."
    )
    with pytest.raises(DedupError) as caught:
        there.require(Path("/scratch"), "for 7 documents", memory=2_000_001)
    assert str(caught.value).startswith("2.0 MB of memory are needed for 7 documents, and 2.0 MB are available. ")
    room.Room(0, None).require(Path("/scratch"), "to try", memory=1 << 60)
