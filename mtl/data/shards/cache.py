"""A folder of bounded size with shards of this node: whole and verified, or not there; none is removed while anybody reads it.

Many processes share it. A reader holds a shared lock on the file, which the system takes back if the process dies, and a file goes
only by an exclusive one. What is being fetched is a `.part` file that its process holds locked, with its size in its name: one that
nobody holds is what a killed process left. Room is made by one process at a time, of what was read longest ago.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import shutil
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from mtl.errors import DataError, StageError
from mtl.storage.digest import file_sha256
from mtl.storage.names import checked_name
from mtl.storage.store import cannot_write

PART = ".part"
PAUSE = 0.05
"""Seconds between two looks whether somebody has stopped reading."""
PATIENCE = 300
"""Seconds after which one that waits for room believes that it will come no more."""
STRIPES = 64
"""Locks by which two processes do not fetch the same shard; more shards than these may be fetched at once."""


@dataclass(frozen=True)
class Wanted:
    """A shard: its name, what it must hash to, its bytes, and what brings it to a path (raising OSError or MtlError)."""

    file: str
    sha256: str
    size: int
    bring: Callable[[Path], None]


class ShardCache:
    """Shards in a folder.

    Args:
        limit: bytes of all its files, of those that are being fetched, too.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder, self.limit = folder, limit
        self._locks = folder / "locks"
        self._locks.mkdir(exist_ok=True)

    @contextlib.contextmanager
    def reading(self, wanted: Wanted) -> Generator[Path]:
        """The path of a shard, which is fetched if it is not there, and stays for as long as the block.

        Raises:
            DataError: what came is not what was asked for, or a shard cannot have room.
            MtlError: it cannot be fetched or written.
        """
        path = self._path(wanted.file)
        while (handle := _hold(path, fcntl.LOCK_SH)) is None:
            self.fetch(wanted)
        try:
            os.utime(handle)
            yield path
        finally:
            os.close(handle)

    def has(self, file: str) -> bool:
        """Whether a shard is in the folder just now."""
        return self._path(file).exists()

    def fetch(self, wanted: Wanted) -> None:
        """Have a shard in the folder, whoever brings it. It may be gone again when this returns."""
        path = self._path(wanted.file)
        with FileLock(self._locks / f"{int(wanted.sha256[:8], 16) % STRIPES}.lock", thread_local=False):
            if path.exists():
                return
            with self._reserved(wanted) as part:
                wanted.bring(part)
                found = file_sha256(part)
                if found != wanted.sha256:
                    raise DataError(
                        f"the shard {wanted.file} that came is not the one that was prepared",
                        found=f"SHA-256 {found}; it should be {wanted.sha256}",
                        fix="it is not used; look who writes there, remove the object, and put it there again: "
                        "`mtl retrain` puts what cluster.storage lacks, `dvc push prepare` the DVC remote",
                    )
                _synced(part)
                with self._names():
                    part.replace(path)

    @contextlib.contextmanager
    def _reserved(self, wanted: Wanted) -> Generator[Path]:
        """A path to write a shard to, for which there is room; nothing is left there when the block ends."""
        refuse_too_small(self.limit, wanted.size)
        part = self._path(f"{wanted.file}.{secrets.token_hex(8)}.{wanted.size}{PART}")
        deadline = time.monotonic() + PATIENCE
        while (handle := self._room(wanted.size, part)) is None:
            if time.monotonic() > deadline:
                raise StageError(
                    f"the cache of shards {self.folder} is full of shards that others read, for {PATIENCE} s",
                    found=f"{self.limit / 2**20:,.1f} MiB",
                    fix="look whether a process hangs; raise cluster.shard_cache_gib",
                )
            time.sleep(PAUSE)
        try:
            yield part
        except OSError as error:
            raise cannot_write(self.folder, error) from error
        finally:
            with self._names():
                part.unlink(missing_ok=True)
                os.close(handle)

    def _room(self, size: int, part: Path) -> int | None:
        """Make room for a shard and take it by an empty file, held: its handle. None: too much is being read just now."""
        with self._names():
            files = [(Path(entry.path), entry.stat()) for entry in os.scandir(self.folder) if entry.is_file()]
            parts = [path for path, _ in files if path.suffix == PART and not _removed(path)]
            shards = sorted((s.st_mtime_ns, s.st_size, path) for path, s in files if path.suffix != PART)
            used = sum(int(path.name.split(".")[-2]) for path in parts) + sum(one for _, one, _ in shards)
            for _, freed, path in shards:
                if used + size <= self.limit:
                    break
                used -= freed if _removed(path) else 0
            if used + size > self.limit:
                return None
            if shutil.disk_usage(self.folder).free < size:
                raise cannot_write(self.folder, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
            part.touch(mode=0o600, exist_ok=False)
            return _hold(part, fcntl.LOCK_SH)

    def _names(self) -> FileLock:
        """Held wherever a name comes to the folder or leaves it: whoever counts what is there must not see it half changed."""
        return FileLock(self._locks / "room.lock", thread_local=False)

    def _path(self, file: str) -> Path:
        return self.folder / checked_name(file, str(self.folder))


def refuse_too_small(limit: int, largest: int) -> None:
    """Two shards must find room, or nothing is ever fetched ahead.

    Raises:
        DataError: they do not.
    """
    if 2 * largest > limit:
        raise DataError(
            "the cache of shards is too small for two of them",
            found=f"{limit / 2**20:,.1f} MiB, and a shard of {largest / 2**20:,.1f} MiB",
            fix=f"set cluster.shard_cache_gib to {max(2 * largest / 2**30 * 1.01, 0.001):.3f} or more, or lower data.shard_size",
        )


def _hold(path: Path, how: int) -> int | None:
    """A handle that locks a file; None if it is not there, or was removed before it was ours.

    Raises:
        BlockingIOError: somebody else holds it, where `how` says not to wait.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(handle, how)
        if os.fstat(handle).st_nlink:
            return handle
    except BaseException:
        os.close(handle)
        raise
    os.close(handle)
    return None


def _removed(path: Path) -> bool:
    """Remove a file that nobody holds; false if somebody does."""
    try:
        handle = _hold(path, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    if handle is not None:
        try:
            path.unlink()
        finally:
            os.close(handle)
    return True


def _synced(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
