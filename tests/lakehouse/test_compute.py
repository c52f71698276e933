"""Units of work in processes: order, errors, progress."""

from __future__ import annotations

import os
import time

import pytest

from lakehouse import compute


def square_slowly_first(number: int) -> int:
    time.sleep(0.2 if number == 0 else 0)
    return number * number


def fail_at_three(number: int) -> int:
    if number == 3:
        raise ValueError("three is wrong")
    return number


def die(number: int) -> int:
    os._exit(1)


class Recorder(compute.Progress):
    def __init__(self) -> None:
        self.seen: list[object] = []

    def start(self, task: str, total: int) -> None:
        self.seen.append((task, total))

    def advance(self, task: str, units: int = 1) -> None:
        self.seen.append(units)

    def finish(self, task: str) -> None:
        self.seen.append("finished")


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_the_order_of_the_units(workers: int) -> None:
    results = compute.run(square_slowly_first, range(10), task="Squaring", workers=workers)
    assert list(results) == [0, 1, 4, 9, 16, 25, 36, 49, 64, 81]


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_names_the_unit(workers: int) -> None:
    results = compute.run(fail_at_three, [1, 3], task="Counting", workers=workers, name=lambda number: f"file {number}")
    with pytest.raises(compute.ComputeError, match="Counting: file 3: ValueError: three is wrong"):
        list(results)


def test_a_worker_that_dies_is_an_error_and_the_next_run_works() -> None:
    with pytest.raises(compute.ComputeError, match="a worker process died near 1"):
        list(compute.run(die, [1], task="Dying", workers=2))
    assert list(compute.run(square_slowly_first, [2], task="Squaring", workers=2)) == [4]


def test_progress_is_told_of_every_unit_and_of_the_end() -> None:
    recorder = Recorder()
    with compute.reporting_to(recorder):
        list(compute.run(square_slowly_first, [1, 2], task="Squaring"))
    assert recorder.seen == [("Squaring", 2), 1, 1, "finished"]


def test_no_more_units_are_started_than_needed() -> None:
    started: list[int] = []

    def note(number: int) -> int:
        started.append(number)
        return number

    results = compute.run(note, range(100), task="Noting")
    next(results)
    assert started == [0]
