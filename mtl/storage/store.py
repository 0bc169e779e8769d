"""Files by name in a folder or a bucket. Each is there as a whole or not at all."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import fsspec
from tenacity import RetryError, Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from mtl.errors import StageError, TrainingError
from mtl.storage import atomic
from mtl.storage.names import checked_name, confined

ATTEMPTS = 5
"""Of one request to a bucket, with growing pauses; its client tries some errors again by itself."""
PIECE = 1 << 20
"""Bytes copied at a time."""
Result = TypeVar("Result")
REFUSED = (
    *("NoCredentialsError", "Unable to locate credentials", "InvalidAccessKeyId", "SignatureDoesNotMatch"),
    *("ExpiredToken", "RequestTimeTooSkewed", "AccessDenied", "Forbidden"),
)
"""What stands in the error of a bucket that asking again will not open."""


class Store:
    """A place for files, by name with `/` between the parts.

    Args:
        url: a folder, or what fsspec opens: s3://bucket/prefix.

    Every method raises StageError where another try may help (a bucket out of reach), and TrainingError where its user
    must mend something (credentials, a disk that is full or read-only). A name that leads out of the place, given or found
    there, is refused by all of them with DataError.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self.local = None if "://" in url else Path(url)
        if self.local is None:
            self._fs, self._root = fsspec.core.url_to_fs(self.url, use_listings_cache=False)

    def child(self, name: str) -> Store:
        """The files below a name."""
        if self.local:
            confined(self.local / checked_name(name, self.url), self.local)
        return Store(f"{self.url}/{checked_name(name, self.url)}")

    @property
    def name(self) -> str:
        """The last part of its address."""
        return self.url.rpartition("/")[2]

    @property
    def parent(self) -> Store:
        """The place in which it is, with what lies beside it."""
        return Store(self.url.rpartition("/")[0])

    def _key(self, name: str) -> str:
        """A name's path in the bucket's file system."""
        return f"{self._root}/{checked_name(name, self.url)}"

    def _path(self, name: str) -> Path:
        """A name's path in the folder; links in it must not lead out: others may write there too."""
        assert self.local is not None
        path = self.local / checked_name(name, self.url)
        confined(path.parent, self.local)
        return path

    def arrow(self, name: str) -> tuple[str, object]:
        """A name's path, and pyarrow's file system in which it is one; None: the local one."""
        if self.local:
            return str(self._path(name)), None
        from pyarrow.fs import FSSpecHandler, PyFileSystem

        return self._key(name), PyFileSystem(FSSpecHandler(self._fs))

    def put(self, name: str, data: bytes) -> None:
        """Write a file; an older one of its name is there until the new one is whole."""
        if self.local is None:
            key = self._key(name)
            self._ask(lambda: self._fs.pipe_file(key, data), name)
            return
        scratch = self._scratch(name)
        try:
            scratch.write_bytes(data)
        except OSError as error:
            scratch.unlink(missing_ok=True)
            raise cannot_write(scratch.parent, error) from error
        self.put_file(name, scratch)

    def put_file(self, name: str, path: Path) -> None:
        """Take over a finished file of this machine; a local one is moved and synced."""
        if self.local is None:
            key = self._key(name)
            self._ask(lambda: self._fs.put_file(str(path), key), name)
            path.unlink()
            return
        target = self._path(name)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            atomic.move(path, target)
        except OSError as error:
            path.unlink(missing_ok=True)
            raise cannot_write(target.parent, error) from error

    def _scratch(self, name: str) -> Path:
        path = atomic.beside(self._path(name))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(path.parent, error) from error
        return path

    def scratch(self, name: str, fallback: Path) -> Path:
        """Where to write a large file before it is put: beside its place, so that it can be moved; else in a folder."""
        return self._scratch(name) if self.local else fallback / checked_name(name, self.url).rsplit("/", 1)[-1]

    def get(self, name: str) -> bytes:
        """A file's bytes.

        Raises:
            FileNotFoundError: there is none.
        """
        if self.local:
            path = self._path(name)
            confined(path, self.local)
            return path.read_bytes()
        key = self._key(name)
        return self._ask(lambda: self._fs.cat_file(key), name)

    def upload(self, name: str, path: Path) -> None:
        """Write a copy of a file of this machine; an older one of its name is there until the new one is whole."""
        if self.local is None:
            key = self._key(name)
            self._ask(lambda: self._fs.put_file(str(path), key), name)
            return
        scratch = self._scratch(name)
        try:
            shutil.copyfile(path, scratch)
        except OSError as error:
            scratch.unlink(missing_ok=True)
            raise cannot_write(scratch.parent, error) from error
        self.put_file(name, scratch)

    def download(self, name: str, path: Path) -> None:
        """Copy a file to a path of this machine, in pieces: it need not fit in memory, and half of it is there if this fails.

        Raises:
            FileNotFoundError: there is none.
        """
        if self.local is None:
            key = self._key(name)
            self._ask(lambda: self._fs.get_file(key, str(path)), name)
            return
        found = self._path(name)
        confined(found, self.local)
        with found.open("rb") as there, path.open("wb") as here:
            shutil.copyfileobj(there, here, PIECE)

    def __contains__(self, name: str) -> bool:
        if self.local:
            return self._path(name).exists()
        key = self._key(name)
        return self._ask(lambda: bool(self._fs.exists(key)), name)

    def names(self) -> list[str]:
        """All files, sorted; unfinished local ones too."""
        if self.local:
            found = (p.relative_to(self.local).as_posix() for p in self.local.rglob("*") if p.is_file())
            return sorted(checked_name(name, self.url) for name in found)
        listed = self._ask(lambda: self._fs.find(self._root), "")
        inside = f"{self._root}/"  # some stores list a folder that was emptied
        names = (path.removeprefix(inside) for path in listed if path.startswith(inside))
        return sorted(checked_name(name, self.url) for name in names if not name.endswith("/"))  # a folder's own mark

    def remove(self, name: str) -> None:
        """Remove a file, or all below a name; nothing happens if there is none."""
        if self.local:
            path = self._path(name)
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
            return

        key = self._key(name)

        def gone() -> None:
            if self._fs.exists(key):
                self._fs.rm(key, recursive=True)

        self._ask(gone, name)

    def _ask(self, request: Callable[[], Result], name: str) -> Result:
        """A request to a bucket, tried again while another try may help."""
        pauses = wait_random_exponential(multiplier=0.5, max=10)
        try:
            for attempt in Retrying(stop=stop_after_attempt(ATTEMPTS), wait=pauses, retry=retry_if_exception(_passing)):
                with attempt:
                    return request()
        except FileNotFoundError:
            raise
        except RetryError as error:
            cause = error.last_attempt.exception()
            raise StageError(
                f"{self.url}/{name} is out of reach, {ATTEMPTS} times in a row",
                found=f"{type(cause).__name__}: {cause}"[:300],
                fix="check the network and that the bucket's server runs; run again to go on",
            ) from error
        except Exception as error:  # every file system has errors of its own
            raise refused(f"{self.url}/{name}", error) from error
        raise AssertionError("unreachable")


def refused(what: str, error: Exception | None) -> TrainingError:
    """The error for a bucket that does not let us in."""
    return TrainingError(
        f"{what} is refused",
        found=f"{type(error).__name__}: {error}"[:300],
        fix="check the credentials, the clock and the rights of this machine and of the cluster's nodes",
    )


def _passing(error: BaseException) -> bool:
    """Whether it may be over when asked again."""
    if isinstance(error, FileNotFoundError | PermissionError) or not isinstance(error, Exception):
        return False
    return not any(sign in str(error) for sign in REFUSED)


def cannot_write(folder: Path, error: Exception) -> TrainingError:
    """A message for a disk that is full, read-only or too slow to exist."""
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    # torch's zip writer hides the errno of a full disk behind a RuntimeError.
    full = full or any(sign in str(error) for sign in ("PytorchStreamWriter", "inline_container", "file write failed"))
    place = folder if folder.exists() else next(p for p in folder.parents if p.exists())
    free = shutil.disk_usage(place).free / 2**20
    return TrainingError(
        f"cannot write to {folder}" + (": no space left" if full else ""),
        found=f"{error}; {free:,.0f} MiB free on that disk",
        fix="free some space or set MTL_HOME to a larger disk, then run again: it goes on from the "
        "last complete checkpoint",
    )
