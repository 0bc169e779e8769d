"""A folder's files in the order of their names, a few at a time: neither the tree nor a listing of it is ever in memory whole."""

from __future__ import annotations

import os
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

File = tuple[str, str]
"""A name, relative to what is listed, and what changes when the file does."""
Link = Callable[[str], None]

PART = 1024
"""Files of a part of a listing, on average."""
LARGEST = 8
"""A part ends at this multiple of it at the latest."""
THREADS = 8
"""That ask for sizes and times: on a disk of the network each question waits for an answer."""


class Part(NamedTuple):
    """Some files of a listing, in order of their names: the first name, how many there are, and what was made of them."""

    first: str
    number: int
    value: bytes


def walk(root: Path, link: Link | None = None) -> Iterator[File]:
    """Every file below a folder, sorted by its whole name; its version is its size, time and inode.

    Each file is asked for, every time: the time of a folder says what came, went and was renamed in it, and nothing of a
    file that was written over. Links are followed: DVC may link its cache's files. Of memory it takes the names of one folder, and
    of those that it lies in.

    Args:
        link: is called with the name of each of them, and may raise.
    """
    base = str(root)
    ahead: deque[tuple[list[str], Future[list[str]]]] = deque()
    runs = _runs(base, link)
    names = next(runs, [])
    rest = next(runs, None)
    if rest is None:  # too few for threads to be worth their start
        yield from zip(names, _versions(base, names), strict=True)
        return
    with ThreadPoolExecutor(THREADS) as pool:
        waiting: list[str] | None = names
        while waiting is not None or ahead:
            while waiting is not None and len(ahead) < 2 * THREADS:
                ahead.append((waiting, pool.submit(_versions, base, waiting)))
                waiting, rest = rest, next(runs, None)
            names, versions = ahead.popleft()
            yield from zip(names, versions.result(), strict=True)


def _runs(base: str, link: Link | None) -> Iterator[list[str]]:
    """The names in order, some at a time."""
    run: list[str] = []
    for name in _names(base, "", link):
        run.append(name)
        if len(run) == PART:
            yield run
            run = []
    if run:
        yield run


def _names(base: str, folder: str, link: Link | None) -> Iterator[str]:
    """The files in a folder and below it: a folder's place among files is that of its name with a slash behind it."""
    found: list[str] = []
    with os.scandir(f"{base}/{folder}") as entries:
        for entry in entries:
            name = folder + entry.name
            if link is not None and entry.is_symlink():
                link(name)
            if entry.is_dir():
                found.append(f"{name}/")
            elif entry.is_file():
                found.append(name)
    for name in sorted(found):
        if name.endswith("/"):
            yield from _names(base, name, link)
        else:
            yield name


def _versions(base: str, names: Iterable[str]) -> list[str]:
    found: list[str] = []
    for name in names:
        stat = os.stat(f"{base}/{name}")  # noqa: PTH116  # a third of a Path's time
        found.append(f"{stat.st_size}:{stat.st_mtime_ns}:{stat.st_ino}")
    return found


def parts(files: Iterable[File]) -> Iterator[list[File]]:
    """A listing, cut after every name whose hash says so: a file that comes or goes changes the one part that it lies in, whether
    it is one of ten million in a folder or alone in one of ten million folders.
    """
    part: list[File] = []
    for file in files:
        part.append(file)
        if len(part) == LARGEST * PART or _ends(file):
            yield part
            part = []
    if part:
        yield part


def _ends(file: File) -> bool:
    return zlib.crc32(file[0].encode("utf-8", "surrogateescape")) % PART == 0


@dataclass
class Piece:
    """What stands for a range of a listing: the files up to where its first part ends, what was made of those that lie in it whole,
    and the files behind them, whose part may go on in the next range. `ends`: whether a part ends in it at all.
    """

    head: list[File] = field(default_factory=list[File])
    whole: list[Part] = field(default_factory=list[Part])
    tail: list[File] = field(default_factory=list[File])
    ends: bool = False


def piece(files: Iterable[File], say: Callable[[list[File]], Part]) -> Piece:
    """Of a range, which may begin in the middle of a part."""
    found, rest = Piece(), iter(files)
    for file in rest:
        found.head.append(file)
        if _ends(file):
            found.ends = True
            break
    for part in parts(rest):
        if _ends(part[-1]) or len(part) == LARGEST * PART:
            found.whole.append(say(part))
        else:
            found.tail = part
    return found


def joined(pieces: Iterable[Piece], say: Callable[[list[File]], Part]) -> Iterator[Part]:
    """The parts of a whole listing, wherever its ranges were cut."""
    begun: list[File] = []
    for one in pieces:
        begun += one.head
        if one.ends:
            yield from map(say, parts(begun))
            yield from one.whole
            begun = one.tail
    yield from map(say, parts(begun))
