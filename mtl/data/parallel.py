"""Many independent samples on all cores of this machine."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from typing import Any, TypeVar

import cv2

Sample = TypeVar("Sample")

CHUNK = 256
"""Samples that a process makes before it sends them back; fewer than two chunks are made here."""

PATIENCE = 1.0
"""Seconds of work after which other processes are started."""

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
        with multiprocessing.get_context("fork").Pool(processes) as pool:
            chunks = pool.imap(_chunk, [(start, min(start + CHUNK, count)) for start in range(0, count, CHUNK)])
            return [sample for chunk in chunks for sample in chunk]
    finally:
        _make = None


def _chunk(bounds: tuple[int, int]) -> list[Any]:
    assert _make is not None
    return [_make(index) for index in range(*bounds)]


Order = TypeVar("Order")
Result = TypeVar("Result")


def each(work: Callable[[Order], Result], orders: Iterable[Order]) -> Iterator[Result]:
    """work(order) of every order, on all cores, as they finish. Few orders are in memory at a time.

    Processes are started afresh: threads and open files of this one do not travel. The first second's orders are worked
    on here, for the others take as long to start.
    """
    waiting = iter(orders)
    began = time.monotonic()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for order in waiting:
        yield work(order)
        if cores > 1 and time.monotonic() - began > PATIENCE:
            break
    context = multiprocessing.get_context("spawn")
    rest = list(itertools.islice(waiting, 2 * cores))
    if not rest:
        return
    with ProcessPoolExecutor(cores, context, initializer=_take_work, initargs=(work,)) as pool:
        running = {pool.submit(_do_work, order) for order in rest}
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
            running |= {pool.submit(_do_work, order) for order in itertools.islice(waiting, len(done))}


_work: Callable[[Any], Any] | None = None


def _take_work(work: Callable[[Any], Any]) -> None:
    global _work
    _work = work
    cv2.setNumThreads(1)


def _do_work(order: Any) -> Any:
    assert _work is not None
    return _work(order)
