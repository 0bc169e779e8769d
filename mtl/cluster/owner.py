"""A stage ends with the flow that wants it, even if that was killed without a word to anybody."""

from __future__ import annotations

import os
import signal
import threading
import time

import psutil

VARIABLE = "MTL_OWNER"
"""Of the environment: the flow's process id and the time at which it began, by which a reused id is told apart."""
POLL_SECONDS, GRACE_SECONDS = 1.0, 20.0


def watch_owner() -> None:
    """Interrupt this process once the one named in the environment is gone; end it if that takes too long."""
    named = os.environ.get(VARIABLE)
    if named:
        threading.Thread(target=_watch, args=(named,), daemon=True).start()


def _watch(named: str) -> None:
    while name(int(named.split(":")[0])) == named:
        time.sleep(POLL_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os._exit(1)


def name(process: int) -> str:
    """A process as the variable has it; empty if there is none."""
    try:
        found = psutil.Process(process)
        return f"{process}:{found.create_time()}" if found.status() != psutil.STATUS_ZOMBIE else ""
    except psutil.NoSuchProcess:
        return ""
