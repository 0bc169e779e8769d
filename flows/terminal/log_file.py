"""Where the engines' own lines go (Prefect's, DVC's, Ray's, MLflow's, warnings of libraries): a file per command in the home.

Their lines come by many ways: Python's log, its warnings, C++, child processes. What they have in common is standard error, so
that is what becomes the file; whoever is to read something on the terminal gets it from `Terminal`.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import time
from pathlib import Path

from flows.run_log import FOREIGN

FOLDER = "logs"
KEPT_FILES, KEPT_BYTES = 30, 256 * 2**20
"""Of the newest logs of a home; older ones are removed when the next one begins."""
FORMAT = "%(asctime)s | %(levelname)-7s | %(message)s"


def new_log(home: Path, command: str) -> Path:
    """The file of a command that begins now: its folder is there, old logs are gone."""
    folder = home / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    _prune(folder)
    return folder / f"{command}-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"


def keep_foreign(path: Path) -> logging.FileHandler:
    """Let what stages print beside our lines go to a file, which is made with the first line; once a process."""
    for handler in FOREIGN.handlers:
        if isinstance(handler, logging.FileHandler):
            return handler
    handler = logging.FileHandler(path, encoding="utf-8", delay=True)
    handler.setFormatter(logging.Formatter(FORMAT))
    FOREIGN.addHandler(handler)
    FOREIGN.setLevel(logging.INFO)
    return handler


def divert(path: Path) -> int:
    """Let standard error of this process and of its children be the file, until the process has ended; a descriptor of what it
    was. A file to which nobody wrote is removed at the end.
    """
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    before = os.dup(2)
    os.dup2(log, 2)
    os.close(log)
    atexit.register(_remove_empty, path)
    return before


def _remove_empty(path: Path) -> None:
    with contextlib.suppress(OSError):
        if path.stat().st_size == 0:
            path.unlink()


def _prune(folder: Path) -> None:
    kept = 0
    with contextlib.suppress(OSError):  # another command removes them, too
        files = sorted(folder.glob("*.log"), key=lambda path: path.stat().st_mtime, reverse=True)
        for number, path in enumerate(files, 2):  # the new one is the first
            kept += path.stat().st_size
            if number > KEPT_FILES or kept > KEPT_BYTES:
                path.unlink()
