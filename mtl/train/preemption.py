"""Notices that a training hears between two steps: this machine goes away soon, or the run is to stop.

A machine's notice comes as SIGTERM to its worker process (spot instances, Kubernetes) or as Ray's drain of its node; the
run's as a file in the training's store, which its driver puts there when it is interrupted. Any worker's notice is
every worker's: they write a checkpoint together.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable

from mtl.cluster.protocol import STOP
from mtl.errors import MtlError
from mtl.storage.store import Store

POLL_SECONDS = 1.0
NONE, SAVE, END = 0, 1, 2
EXIT_CODE = 143
"""Of a process that ended because of SIGTERM."""

_leaving = threading.Event()


def listen() -> None:
    """Take SIGTERM for a notice. Called in a worker's main thread: the training runs in another one."""

    def leave(number: int, frame: object) -> None:
        _leaving.set()

    signal.signal(signal.SIGTERM, leave)


class Preemption:
    """What one worker has heard.

    Args:
        store: the training's; None if nobody can stop it there.
        first: whether this worker looks there for all.
        drained: whether the cluster is about to take away a worker's node.
    """

    def __init__(
        self, store: Store | None = None, first: bool = True, drained: Callable[[], bool] = lambda: False
    ) -> None:
        self._drained = drained
        self._stop = threading.Event()
        self._done = threading.Event()
        self._saved = False
        if store is not None and first:
            threading.Thread(target=self._watch, args=(store,), daemon=True).start()

    def _watch(self, store: Store) -> None:
        while not self._done.wait(POLL_SECONDS):
            with contextlib.suppress(MtlError):  # asked again soon
                if STOP in store:
                    self._stop.set()
                    return

    def level(self) -> int:
        """NONE, SAVE (a machine leaves: a checkpoint now) or END (the run stops: a checkpoint, and no further step)."""
        if self._stop.is_set():
            return END
        return SAVE if (_leaving.is_set() or self._drained()) and not self._saved else NONE

    def saved(self) -> None:
        """The checkpoint is written: a machine that was told to leave does."""
        self._saved = True
        if _leaving.is_set():
            os._exit(EXIT_CODE)  # Ray's own shutdown would wait for the others

    def close(self) -> None:
        """Look no longer."""
        self._done.set()
