"""Run a pure function over units of work: a WARC file, a Delta data file, a hash bucket.

Results come back in the order of the units, so nothing that is built from them depends on the number of workers.
"""

from __future__ import annotations

import atexit
import contextlib
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextvars import ContextVar
from typing import TypeVar

Unit = TypeVar("Unit")
Result = TypeVar("Result")


class ComputeError(RuntimeError):
    """A unit could not be processed. The message names the unit."""


class Progress:
    """Told how a run goes: how many units there are, and each one that is done. This one shows nothing."""

    def start(self, task: str, total: int) -> None:
        """A run over `total` units begins."""

    def advance(self, task: str, units: int = 1) -> None:
        """More units are done."""

    def note(self, task: str, text: str) -> None:
        """There is something to say of the run, such as what it has cost so far."""

    def finish(self, task: str) -> None:
        """The run is over, whether it succeeded or not."""


_progress: ContextVar[Progress] = ContextVar("progress", default=Progress())  # noqa: B039 (it holds no state)


@contextlib.contextmanager
def reporting_to(listener: Progress) -> Iterator[None]:
    """Tell `listener` of every run inside the `with` block."""
    token = _progress.set(listener)
    try:
        yield
    finally:
        _progress.reset(token)


def progress() -> Progress:
    """Whom to tell of long work outside `run`."""
    return _progress.get()


def available_workers() -> int:
    """How many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run(
    function: Callable[[Unit], Result],
    units: Sequence[Unit],
    *,
    task: str,
    workers: int = 1,
    name: Callable[[Unit], str] = str,
) -> Iterator[Result]:
    """Apply `function` to every unit and yield the results in the order of the units.

    At most twice as many units as workers are under way or waiting to be yielded, so memory is bounded by the size of
    that many results. With one worker everything runs in this process.

    Args:
        function: a module-level function; what it takes and returns must be picklable.
        task: what is being done, for progress and errors.
        name: how a unit is called in an error.

    Raises:
        ComputeError: the function raised, or its process died; the cause is chained.
    """
    _progress.get().start(task, len(units))
    try:
        for unit, result in _results(function, units, workers):
            try:
                value = result()
            except BrokenProcessPool as error:
                _drop_pool(workers)
                raise ComputeError(
                    f"{task}: a worker process died near {name(unit)} (out of memory?). Try fewer workers."
                ) from error
            except ComputeError:
                raise
            except Exception as error:
                if isinstance(error, OSError) and error.filename:
                    raise
                raise ComputeError(f"{task}: {name(unit)}: {type(error).__name__}: {error}") from error
            except BaseException:  # Ctrl-C, whatever the orchestrator makes of it
                _end_workers()
                raise
            _progress.get().advance(task)
            yield value
    finally:
        _progress.get().finish(task)


def _results(
    function: Callable[[Unit], Result], units: Iterable[Unit], workers: int
) -> Iterator[tuple[Unit, Callable[[], Result]]]:
    if workers <= 1:
        for unit in units:
            yield unit, lambda unit=unit: function(unit)  # type: ignore[misc]
        return
    pool = _pool(workers)
    waiting: deque[tuple[Unit, Future[Result]]] = deque()
    try:
        for unit in units:
            waiting.append((unit, pool.submit(function, unit)))
            if len(waiting) >= 2 * workers:
                done, future = waiting.popleft()
                yield done, future.result
        while waiting:
            done, future = waiting.popleft()
            yield done, future.result
    finally:
        for _, future in waiting:
            future.cancel()


_pools: dict[int, ProcessPoolExecutor] = {}


def _pool(workers: int) -> ProcessPoolExecutor:
    # Polars, DuckDB and delta-rs run threads, so a forked child can deadlock: children start from a clean process.
    # Starting one costs more than a second of imports, so a pool serves every run of this process.
    if workers not in _pools:
        context = multiprocessing.get_context("spawn")
        _pools[workers] = ProcessPoolExecutor(workers, mp_context=context, initializer=_follow_parent)
    return _pools[workers]


def _follow_parent() -> None:
    """Let a worker end when the process that started it does, even killed, and leave Ctrl-C to that process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def wait() -> None:
        parent = multiprocessing.parent_process()
        assert parent is not None
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, name="follow parent", daemon=True).start()


def _end_workers() -> None:
    """Stop units under way: what they have written is part of no version."""
    for worker in multiprocessing.active_children():
        worker.terminate()
    _pools.clear()


def _drop_pool(workers: int) -> None:
    pool = _pools.pop(workers, None)
    if pool is not None:
        pool.shutdown(wait=False, cancel_futures=True)


@atexit.register
def _shut_down() -> None:
    for workers in list(_pools):
        _drop_pool(workers)
