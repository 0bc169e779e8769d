"""Where files are: a folder, an archive or a bucket, or a folder in either, listed and read alike. Nothing is ever unpacked or
written.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import io
import os
import threading
import time
from bisect import bisect_left
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property
from itertools import islice, pairwise, takewhile
from pathlib import Path, PurePosixPath
from typing import Any

import fsspec
import orjson
from fsspec.implementations.tar import TarFileSystem
from fsspec.implementations.zip import ZipFileSystem
from pathspec import GitIgnoreSpec

from mtl.codecs.header import IMAGES, Header, read_header
from mtl.errors import DataError
from mtl.storage.addresses import options
from mtl.storage.bucket_pages import RANGES, bounds, is_paged, listed
from mtl.storage.digest import SHA256, DigestCache
from mtl.storage.links import check_file, check_link
from mtl.storage.members import Member, Table, refuse_cut_off
from mtl.storage.unpacked import refuse_bomb, unpacked
from mtl.storage.walk import File, walk

ARCHIVES = {".zip": "zip", ".tar": "tar", ".tgz": "tar", ".tar.gz": "tar"}
NAMED = "the path (in params.yaml it is data.source.sets.….path)"
"""Where a person says where data are."""
BUCKETS = {"s3", "s3a", "gs", "gcs", "abfs", "az"}
"""File systems whose listings have an ETag per file, which changes with its content."""

HEAD = 1 << 18
"""Bytes of a bucket's file in which most formats say all that a header has; of others, the whole file is read."""

MAX_FILE_BYTES = 1 << 30
"""A file above it is not read: no image is so large, and an archive's member may claim to be."""


class FileTree:
    """Files under one path, by their names relative to it, with `/` between the parts. A path may go on inside an archive:
    `photos.zip/train`.

    Args:
        cache: what is known of files from before, so that unchanged ones need not be read for it again.

    Raises:
        DataError: the path is not there, or cannot be listed.
    """

    def __init__(self, path: str, cache: DigestCache | None = None) -> None:
        self.path, self.cache = path, cache
        self._lock = threading.Lock()
        self._table: tuple[str, Table] | None = None
        self._originals: dict[str, str] = {}
        self._outer, inner = split_archive(path)
        with _explained(f"{path} cannot be opened"):
            self._fs, self._root = _opened(self._outer)
            if inner:
                self._root = f"{self._root}/{inner}".lstrip("/")

    def without(self, patterns: Sequence[str]) -> FileTree:
        """The same place, in whose listings files are left out, as .gitignore has them: they are no part of a set."""
        other = copy.copy(self)
        ignored = GitIgnoreSpec.from_lines(patterns) if patterns else None
        if ignored is not None:
            other._shown = [name for name in self._shown if not ignored.match_file(name)]  # noqa: SLF001 (its own class)
            other.__dict__.pop("_by_extension", None)
        return other

    @cached_property
    def versions(self) -> Mapping[str, str]:
        """Name → what changes when the file does, without reading it: size and time, or the bucket's ETag."""
        with _explained(f"{self.path} cannot be listed"):
            found = self._listed()
        if not found:
            raise self._empty()
        return found

    def _empty(self) -> DataError:
        return DataError(
            f"{self.path} holds no files", found="it is empty", fix=f"put the data there, or correct {NAMED}"
        )

    def walk(self) -> Iterator[File]:
        """What `versions` has, in its order; of a folder and of S3 without keeping it.

        Raises:
            DataError: it cannot be listed, or holds no files.
        """
        for ranged in self.ranges():
            yield from ranged

    def ranges(self, known: Sequence[str] = ()) -> list[Iterator[File]]:
        """The same in one or more ranges, which may be read side by side.

        Args:
            known: names in order, evenly spread, from an earlier listing.
        """
        if is_paged(self._fs):
            cuts = ["", *bounds(self._fs, self._root, known), ""]
            return [self._listing(listed(self._fs, self._root, *cut)) for cut in pairwise(cuts)]
        return [self._listing(self._walked())]

    def _listing(self, files: Iterator[File]) -> Iterator[File]:
        with _explained(f"{self.path} cannot be listed"):
            yield from files

    def _walked(self) -> Iterator[File]:
        if self._fs is not None:
            yield from self.versions.items()
            return
        first = None
        for first in walk(Path(self._root), lambda name: check_link(self._root, name)):
            yield first
        if first is None:
            raise self._empty()

    @property
    def _is_archive(self) -> bool:
        return type(self._fs).__name__ in ("ZipFileSystem", "TarFileSystem")

    @property
    def has_etags(self) -> bool:
        """Whether versions tell contents apart by themselves, as a bucket's do."""
        protocols = getattr(self._fs, "protocol", ())
        return bool(BUCKETS & {protocols, *protocols})

    @property
    def identity(self) -> str:
        """What names this place in a cache: the absolute path, and an archive's own version."""
        if "://" in self.path:
            return self.path
        path = Path(self.path).absolute()
        if self._fs is None:
            return str(path)
        stat = Path(self._outer).stat()
        return f"{path}:{stat.st_size}:{stat.st_mtime_ns}"

    def names(self, folder: str = "", suffixes: tuple[str, ...] = ()) -> list[str]:
        """Files in a folder and those below it, sorted; hidden ones left out."""
        found = self._shown
        if suffixes:
            kinds = {_extension(suffix) for suffix in suffixes}
            some = [name for kind in kinds for name in self._by_extension.get(kind, ())]
            found = sorted(some if kinds >= {*suffixes} else (n for n in some if n.lower().endswith(suffixes)))
        prefix = f"{folder.strip('/')}/" if folder.strip("/.") else ""
        start = bisect_left(found, prefix)
        return list(takewhile(lambda name: name.startswith(prefix), islice(found, start, None))) if prefix else [*found]

    @cached_property
    def _by_extension(self) -> dict[str, list[str]]:
        """Extension in lower case, with its dot → files that have it."""
        found: dict[str, list[str]] = {}
        for name in self._shown:
            found.setdefault(_extension(name), []).append(name)
        return found

    @cached_property
    def _shown(self) -> list[str]:
        """All files but hidden ones, sorted: asked for again and again, and there may be millions."""
        return sorted(n for n in self.versions if "/." not in n and n[0] != "." and not _is_hidden(n))

    def images(self, folder: str = "") -> list[str]:
        """Images in a folder and below it, sorted."""
        return self.names(folder, IMAGES)

    def headers(self, names: Iterable[str], threads: int = 16) -> dict[str, Header | DataError]:
        """Size, orientation and format of images, or why an image says none."""
        versions = {name: self.versions[name] for name in names if name in self.versions}
        errors: dict[str, Header | DataError] = {}
        digests: dict[str, bytes] = {}

        def look(name: str) -> bytes | None:
            try:
                header, digests[name] = self._header(name)
            except DataError as error:
                errors[name] = error
                return None
            return orjson.dumps([*header])

        asked = time.time_ns()
        if self.cache is not None:
            found = self.cache.facts("header 3", self.identity, versions, look, threads)
            whole = {name: digest for name, digest in digests.items() if digest}
            self.cache.remember(SHA256, self.identity, versions, whole, asked)
        else:
            with ThreadPoolExecutor(threads) as pool:
                looked = zip(versions, pool.map(look, versions), strict=True)
                found = {name: value for name, value in looked if value is not None}
        return errors | {name: Header(*orjson.loads(value)) for name, value in found.items()}

    def _header(self, name: str) -> tuple[Header, bytes]:
        """An image's header; and the SHA-256 of its bytes, if it took them all: who reads them here need not again."""
        if self.has_etags:
            with contextlib.suppress(DataError), _explained(f"{name} cannot be read"):
                return read_header(self._fs.cat_file(f"{self._root}/{name}", start=0, end=HEAD)), b""
        data = self.read(name)
        return read_header(data), hashlib.sha256(data).digest()

    def __contains__(self, name: str) -> bool:
        return name in self.versions

    @property
    def has_parts(self) -> bool:
        """Whether parts of files can be read: of a folder's and a bucket's, not of an archive's and a web server's."""
        return self._fs is None or self.has_etags

    @contextmanager
    def opened(self, name: str) -> Generator[Any]:
        """A file to be read from its beginning, without all of it in memory where parts can be read.

        Raises:
            DataError: it is not there.
        """
        if not self.has_parts:
            yield io.BytesIO(self.read(name))
            return
        with _explained(f"{name} cannot be read"):
            file = self._open(name)
        with file:
            yield file

    def _open(self, name: str) -> Any:
        self._refuse_outside(name)
        path = f"{self._root}/{name}"
        return open(path, "rb") if self._fs is None else self._fs.open(path, "rb")  # noqa: PTH123  # a third of a Path's time

    def _refuse_outside(self, name: str) -> None:
        """Names come from annotations too.

        Raises:
            DataError: it lies outside, or is a link that leads there.
        """
        if name.startswith("/") or ".." in name.split("/") or "\0" in name:
            raise DataError(f"{name!r} lies outside {self.path}", fix="name files relative to it")
        if self._fs is None and name not in self.__dict__.get("versions", ()):  # whose links were looked at
            check_file(self._root, name)

    def table(self, name: str) -> Table:
        """A Parquet or Arrow file, of a place that has parts.

        Raises:
            DataError: it is none, or cannot be read.
        """
        self._refuse_outside(name)
        arrow = name.endswith(".arrow")
        with _explained(f"{name} cannot be read"):
            if self._fs is None:
                return Table(str(Path(self._root, name)), arrow=arrow)
            if arrow:
                return Table(self.read(name), arrow=True)
            return Table(self._open(name), arrow=False)

    def _part(self, member: Member) -> bytes:
        with self._lock, _explained(f"{member.name or member.location} of {member.container} cannot be read"):
            if not member.container.endswith(".tar"):
                if self._table is None or self._table[0] != member.container:
                    self._table = (member.container, self.table(member.container))
                return member.checked(self._table[1].bytes_at(*member.cell))
            start, size = member.span
            if self._fs is not None:
                return member.checked(
                    self._fs.cat_file(f"{self._root}/{member.container}", start=start, end=start + size)
                )
            with self._open(member.container) as file:
                file.seek(start)
                return member.checked(file.read(size))

    def read(self, name: str) -> bytes:
        """A file's bytes, or those of a member.

        Raises:
            DataError: it is not there, is too large or cannot be read; or the member has changed.
        """
        member = Member.parse(name)
        self._refuse_outside(name if member is None else member.container)
        if member is not None:
            return self._part(member)
        try:
            if self._fs is None:
                with self._open(name) as file:
                    size = os.fstat(file.fileno()).st_size
                    if size > MAX_FILE_BYTES:
                        raise DataError(f"{name} is too large", found=f"{size} bytes")
                    return file.read()
            if not self._is_archive:
                return self._fs.cat_file(f"{self._root}/{name}" if self._root else name)
            target = self._originals[name] if name in self.versions else f"{self._root}/{name}".lstrip("/")
            with self._lock:  # an archive is one stream with one position
                return self._member(target)
        except DataError:
            raise
        except (FileNotFoundError, KeyError) as error:
            fix = "correct the annotation, or add the file"
            raise DataError(f"{name} is not in {self.path}", fix=fix) from error
        except Exception as error:
            raise DataError(f"{name} cannot be read", found=f"{type(error).__name__}: {error}") from error

    def read_or_none(self, name: str) -> bytes | None:
        """A file's bytes, or None if they cannot be read."""
        try:
            return self.read(name)
        except DataError:
            return None

    def contents(self, names: Iterable[str], threads: int = 16) -> Iterator[tuple[str, bytes | DataError]]:
        """Files with their bytes, or why they cannot be read, in the order of the names: small ones, read several at a time."""

        def read(name: str) -> bytes | DataError:
            try:
                return self.read(name)
            except DataError as error:
                return error

        wanted = list(names)
        with ThreadPoolExecutor(threads) as pool:
            yield from zip(wanted, pool.map(read, wanted), strict=True)

    def _member(self, target: str) -> bytes:
        size = self._fs.size(target) or 0
        if size > MAX_FILE_BYTES:
            raise DataError(f"{target} is too large", found=f"{size} bytes")
        data: bytes = self._fs.cat_file(target)
        return data

    def _side_by_side(self) -> Iterator[File]:
        with ThreadPoolExecutor(RANGES) as pool:
            for files in pool.map(list[File], self.ranges()):
                yield from files

    def _listed(self) -> dict[str, str]:
        if self._fs is None:
            return dict(walk(Path(self._root), lambda name: check_link(self._root, name)))
        if is_paged(self._fs) and (files := dict(self._side_by_side())):
            return files
        found: dict[str, str] = {}
        details: dict[str, dict[str, Any]] = self._fs.find("" if self._is_archive else self._root, detail=True)
        if type(self._fs).__name__ == "TarFileSystem":
            refuse_cut_off(self._fs.tar)
        called = _plain_members([*details]) if self._is_archive else {path: path for path in details}
        inside = f"{self._root}/" if self._root and self._is_archive else ""
        for path, original in sorted(called.items()):
            if not path.startswith(inside):
                continue
            info = details[original]
            name = path.removeprefix(self._root).lstrip("/") if self._root else path
            self._originals[name] = original
            if ".." in PurePosixPath(name).parts or PurePosixPath(name).is_absolute():
                raise DataError(
                    f"{self.path} has a member that lies outside it", found=name, fix="make the archive again without"
                )
            mark = (
                info.get("md5Hash")
                or info.get("ETag")
                or info.get("etag")
                or info.get("CRC")
                or info.get("chksum")
                or info.get("mtime")
            )
            found[name] = f"{info.get('size')}:{mark}"
        return found


def _extension(name: str) -> str:
    """From the last dot, in lower case; the whole of a name without one."""
    place = name.rfind(".")
    return name[place:].lower() if place >= 0 else name.lower()


def _is_hidden(name: str) -> bool:
    """Whether macOS has put it beside a file that it packed."""
    return "__MACOSX" in name and any(part.startswith("__MACOSX") for part in name.split("/"))


@contextmanager
def _explained(what: str) -> Generator[None]:
    """Every file system has errors of its own."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:
        raise DataError(
            what,
            found=f"{type(error).__name__}: {error}",
            fix=f"check {NAMED}, the network and the credentials in the environment",
        ) from error


def split_archive(path: str) -> tuple[str, str]:
    """A path up to and with its archive, and the folder inside; of a path without one, the path and nothing."""
    parts = path.rstrip("/").split("/")
    for count in range(1, len(parts) + 1):
        outer = "/".join(parts[:count])
        if outer.lower().endswith(tuple(ARCHIVES)) and ("://" in path or not Path(outer).is_dir()):
            return outer, "/".join(parts[count:])
    return path, ""


def _opened(path: str) -> tuple[Any, str]:
    """A file system and the root in it; None for a local folder, which needs no library."""
    local = "://" not in path
    kind = next((kind for suffix, kind in ARCHIVES.items() if path.lower().endswith(suffix)), None)
    if local and not Path(path).exists():
        raise DataError(
            f"{path} is not there",
            found=f"looked for {Path(path).absolute()}",
            fix=f"correct {NAMED}, or bring the data back: dvc pull",
        )
    if kind:
        outer = Path(path).absolute().as_uri() if local else path
        file = fsspec.open(outer, "rb", **({} if local else options(path))).open()  # pyright: ignore[reportAttributeAccessIssue]
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        if kind == "tar":
            return TarFileSystem(fo=unpacked(path, file)), ""
        fs = ZipFileSystem(fo=file)
        refuse_bomb(path, sum(member.file_size for member in fs.zip.infolist()), size)
        return fs, ""
    if local:
        if not Path(path).is_dir():
            raise DataError(
                f"{path} is neither a folder nor an archive",
                found="a file of another kind",
                fix=f"name the folder that it lies in, or an archive ({', '.join(ARCHIVES)})",
            )
        return None, str(Path(path))
    fs, root = fsspec.core.url_to_fs(path, **options(path))
    fs.invalidate_cache()
    return fs, root.rstrip("/")


def _plain_members(members: Sequence[str]) -> dict[str, str]:
    """A member's name as files have it → as its archive has it: `tar -cf photos.tar .` puts `./` before it, and some of Windows'
    tools write backslashes, which then all members have.
    """
    windows = any("\\" in member for member in members) and not any("/" in member for member in members)
    slashed = {member.replace("\\", "/") if windows else member: member for member in members}
    return {name.removeprefix("./") or name: member for name, member in slashed.items()}
