"""Files that are there as a whole or not at all, whenever this process or the machine ends."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Generator
from pathlib import Path


def beside(path: Path) -> Path:
    """A path in the same folder that nobody has, or could guess and put a link there."""
    return path.with_name(f"{path.name}.{secrets.token_hex(8)}.tmp")


def move(written: Path, path: Path) -> None:
    """Put a finished file of the same disk in its place, in place of what is there; both are on the disk then."""
    _sync(written)
    written.replace(path)
    _sync(path.parent)  # a rename is on the disk once its folder is


@contextlib.contextmanager
def replacing(path: Path) -> Generator[Path]:
    """A path to write to; when the block ends the file takes its place, and if it fails nothing is left of it."""
    scratch = beside(path)
    try:
        yield scratch
        move(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)


def write(path: Path, content: str | bytes, mode: int = 0o666) -> None:
    """Write a file; an older one is there until the new one is whole.

    Args:
        mode: its permissions, less the umask: never for a moment more.
    """
    with replacing(path) as scratch:
        number = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(number, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
