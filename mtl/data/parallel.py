"""Many independent samples on all cores of this machine."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable
from typing import Any, TypeVar

Sample = TypeVar("Sample")

CHUNK = 256
"""Samples that a process makes before it sends them back; fewer than two chunks are made here."""

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
