"""Folders and files that this user alone can read and write, also where others were there first."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from pathlib import Path

from filelock import FileLock

from mtl.errors import DataError
from mtl.storage import atomic


def private_folder(path: Path) -> Path:
    """A folder of this user's own, made if there is none: what it has, nobody else has put there.

    Raises:
        DataError: something else has its name, or it is another user's, or others may write there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
    status = path.lstat()  # not of what a link leads to
    if not stat.S_ISDIR(status.st_mode) or (hasattr(os, "getuid") and status.st_uid != os.getuid()):
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "a link" if path.is_symlink() else "a file"
        raise DataError(
            f"{path} is not this user's own folder",
            found=f"{kind} of the user {status.st_uid}",
            fix="another user may have put it there: remove it, or name another place",
        )
    if stat.S_IMODE(status.st_mode) & 0o022:
        raise DataError(
            f"others may write to {path}",
            found=f"mode {stat.S_IMODE(status.st_mode):o}",
            fix="look what it has, and remove it; it is made again",
        )
    return path


def write_private(path: Path, content: str | bytes) -> None:
    """Write a file that its owner alone can read, never for a moment readable by others, and whole or not at all."""
    atomic.write(path, content, 0o600)


def secret_of(path: Path, size: int = 32) -> bytes:
    """Random bytes in a file that this user alone can read, made at the first time.

    Raises:
        DataError: the file is damaged.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with FileLock(f"{path}.lock"):
            if not path.exists():
                write_private(path, secrets.token_bytes(size))
    found = path.read_bytes()
    if len(found) != size:
        raise DataError(
            f"{path} is damaged", found=f"{len(found)} bytes", fix="remove it: unfinished trainings then begin anew"
        )
    return found
