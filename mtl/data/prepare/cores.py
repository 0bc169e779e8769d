"""Many independent samples on all cores of this machine."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Protocol, TypeVar

import cv2

from mtl.config.workers import cores
from mtl.errors import DataError

Sample = TypeVar("Sample")

CHUNK = 256
"""Samples that a process makes before it sends them back; fewer than two chunks are made here."""

PATIENCE = 0.3
"""Seconds of work after which other processes are started: they take about as long to start."""

AHEAD = 2
"""Orders that wait for each of them."""

_make: Callable[[int], Any] | None = None


def made(make: Callable[[int], Sample], count: int) -> list[Sample]:
    """[make(0), make(1), …], in this order whatever finishes first.

    Processes are forked, so that `make` and all that it holds need not travel; elsewhere than on Linux it runs here.
    """
    processes = min(os.cpu_count() or 1, count // CHUNK)
    if processes < 2 or sys.platform != "linux":
        return [make(index) for index in range(count)]
    global _make
    _make = make
    try:
        with multiprocessing.get_context("fork").Pool(processes, _leave_quietly) as pool:
            chunks = pool.imap(_chunk, [(start, min(start + CHUNK, count)) for start in range(0, count, CHUNK)])
            return [sample for chunk in chunks for sample in chunk]
    finally:
        _make = None


def _leave_quietly() -> None:
    """The pool ends its processes by SIGTERM, which in a stage is Ctrl-C's way and would print a traceback from each."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _chunk(bounds: tuple[int, int]) -> list[Any]:
    assert _make is not None
    return [_make(index) for index in range(*bounds)]


Order = TypeVar("Order")
Result = TypeVar("Result")


class Each(Protocol):
    """work(order) of every order, as they finish, somewhere. The work travels there once, orders and results each time."""

    def __call__(self, work: Callable[[Order], Result], orders: Iterable[Order], /) -> Iterator[Result]:
        """Few orders are in memory at a time."""
        ...


def each(work: Callable[[Order], Result], orders: Iterable[Order]) -> Iterator[Result]:
    """work(order) of every order, on all cores, as they finish. Few orders are in memory at a time.

    This process works too, from the start; when the work takes longer than it takes to start others, they join. They
    are started afresh: threads and open files of this one do not travel.

    Raises:
        DataError: a process was killed; what is finished has been yielded.
    """
    waiting = iter(orders)
    num_cores = cores()
    began = time.monotonic()
    for order in waiting:
        yield work(order)
        if num_cores > 1 and time.monotonic() - began > PATIENCE:
            break
    context = multiprocessing.get_context("spawn")
    first = list(itertools.islice(waiting, AHEAD * (num_cores - 1)))
    if not first:
        return
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with ProcessPoolExecutor(num_cores - 1, context, initializer=_take_work, initargs=(work, os.getpid())) as pool:
            running = {pool.submit(_do_work, order) for order in first}
            while running:
                mine = next(waiting, None)
                if mine is not None:
                    yield work(mine)
                done, running = wait(running, 0.0 if mine is not None else None, FIRST_COMPLETED)
                running |= {pool.submit(_do_work, order) for order in itertools.islice(waiting, len(done))}
                for future in done:
                    yield future.result()
    except BrokenProcessPool as error:
        raise DataError(
            "a process that prepared images was killed",
            found=str(error),
            fix="is there enough memory? lower data.shard_size, and run again: what is finished is kept",
        ) from error
    finally:
        cv2.setNumThreads(threads)


_work: Callable[[Any], Any] | None = None


def _take_work(work: Callable[[Any], Any], parent: int) -> None:
    global _work
    _work = work
    cv2.setNumThreads(1)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    """A parent that was killed cannot end its children: they look for themselves."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _do_work(order: Any) -> Any:
    assert _work is not None
    return _work(order)
