"""Fetches what will be read next, in the background, a few shards ahead of whoever reads."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator

import numpy as np

from mtl.errors import MtlError

_LOG = logging.getLogger(__name__)

AHEAD = 4
"""Shards that a process has fetched, or is fetching, before they are needed; so many at a time."""


class Lookahead:
    """Follows what one process reads of a split. Any thread may call it.

    Args:
        fetch: brings the shard of a number.
        here: whether it is there already.
        horizon: samples beyond the one that is read now, as far as is looked.
    """

    def __init__(self, fetch: Callable[[int], None], here: Callable[[int], bool], horizon: int) -> None:
        self._fetch, self._here, self._horizon = fetch, here, horizon
        self._changed = threading.Condition()
        self._reading: Iterator[np.ndarray] = iter(())
        self._position = self._seen = 0  # samples that were read, and looked at, since they are expected
        self._waiting: deque[int] = deque()
        self._ahead: dict[int, int] = {}  # number → at which sample it is needed
        self._threads: list[threading.Thread] = []

    def expect(self, reading: Iterator[np.ndarray]) -> None:
        """From now on this will be read: the shard of each sample, a step after the other."""
        with self._changed:
            self._reading, self._position, self._seen = reading, 0, 0
            self._waiting.clear()
            self._ahead.clear()
            self._look()

    def advanced(self, samples: int) -> None:
        """So many samples were read."""
        with self._changed:
            self._position += samples
            self._ahead = {number: at for number, at in self._ahead.items() if at >= self._position}
            self._look()

    def soon(self, number: int) -> None:
        """A shard that is read next, of what nobody expected."""
        with self._changed:
            if number not in self._ahead and len(self._ahead) < AHEAD and not self._here(number):
                self._want(number, self._position + self._horizon)

    def _look(self) -> None:
        """Look on until there is enough to fetch; the lock is held."""
        while len(self._ahead) < AHEAD and self._seen - self._position < self._horizon:
            step = next(self._reading, None)
            if step is None:
                return
            for number in dict.fromkeys(step.tolist()):
                if number not in self._ahead and not self._here(number):
                    self._want(number, self._seen + len(step))
            self._seen += len(step)

    def _want(self, number: int, at: int) -> None:
        self._ahead[number] = at
        self._waiting.append(number)
        if len(self._threads) < AHEAD:
            self._threads.append(threading.Thread(target=self._work, name="shards", daemon=True))
            self._threads[-1].start()
        self._changed.notify()

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._waiting:
                    self._changed.wait()
                number = self._waiting.popleft()
            try:
                self._fetch(number)
            except MtlError as error:  # whoever needs it meets the same, and says so
                _LOG.debug(f"a shard could not be fetched ahead: {error.line}")
            except Exception:
                _LOG.warning("a shard could not be fetched ahead; it is fetched when it is read", exc_info=True)
