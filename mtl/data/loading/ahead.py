"""Batches made in background threads, ahead of whoever takes them: in the same order and of the same bits, however many threads
there are and however far ahead they are.

A thread gathers, copies and augments: on a GPU on a stream of its own, beside the one that trains.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol, TypeVar

import torch


class OnDevice(Protocol):
    """What has tensors."""

    def tensors(self) -> Iterable[torch.Tensor]:
        """All of them."""
        ...


Wanted = TypeVar("Wanted")
Made = TypeVar("Made", bound=OnDevice)
THREADS, PREFETCH = 2, 4
"""Where nothing is said of them."""
_own = threading.local()


def ahead(
    make: Callable[[Wanted], Made],
    wanted: Iterable[Wanted],
    device: torch.device,
    *,
    threads: int = THREADS,
    prefetch: int = PREFETCH,
) -> Iterator[Made]:
    """`make` of each in turn.

    Args:
        make: called in several threads at once.
        wanted: taken `prefetch` items ahead of what is given.
        device: where `make` has its results.
        prefetch: 0 makes each when it is asked for, in the thread that asks.
    """
    if not prefetch:
        yield from map(make, wanted)
        return
    items, waiting = iter(wanted), deque[Future[tuple[Made, torch.cuda.Event | None]]]()
    pool = ThreadPoolExecutor(threads, "loader")
    try:
        while True:
            for item in items:
                waiting.append(pool.submit(_made, make, item, device))
                if len(waiting) > prefetch:
                    break
            if not waiting:
                return
            yield _taken(*waiting.popleft().result())
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _made(make: Callable[[Wanted], Made], item: Wanted, device: torch.device) -> tuple[Made, torch.cuda.Event | None]:
    """In a loader's thread. On a GPU what is made may be launched and not done: the event tells."""
    if device.type != "cuda":
        return make(item), None
    if not hasattr(_own, "stream"):
        _own.stream = torch.cuda.Stream(device)
    with torch.cuda.stream(_own.stream):
        found, event = make(item), torch.cuda.Event()
        event.record(_own.stream)
        return found, event


def _taken(found: Made, event: torch.cuda.Event | None) -> Made:
    """In the thread that trains: its stream waits for the copy, not the thread itself."""
    if event is not None:
        stream = torch.cuda.current_stream()
        stream.wait_event(event)
        for tensor in found.tensors():
            tensor.record_stream(stream)
    return found
