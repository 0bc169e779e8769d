"""What lies outside `data/`: buckets, URLs and other disks. Their listings are kept in `data/.remote`, so that DVC and
the fingerprint see a new arrival as they see a new file in `data/`.

A listing has a digest for every thousand files or so, in order of their names: it stays small however many there are.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from mtl.config.data import Source
from mtl.config.files import FilesSource
from mtl.storage.bucket_pages import RANGES
from mtl.storage.digest import DigestCache
from mtl.storage.file_tree import FileTree
from mtl.storage.walk import File, Part, joined, piece

FOLDER = "data"
"""Where a checkout's own data lie; the fetch stage depends on it."""


def sync_listings(source: Source, root: Path, home: Path) -> list[str]:
    """Bring the listings up to date; which sets changed. `home` has the cache of digests.

    Raises:
        DataError: a set cannot be listed.
    """
    folder = root / FOLDER / ".remote"
    wanted: dict[str, str] = {}
    if isinstance(source, FilesSource):
        for name, chosen in source.sets.items():
            if "://" in chosen.path or not _inside(root, chosen.path):
                path = chosen.path if "://" in chosen.path else str((root / chosen.path).resolve())
                wanted[f"{name}.json"] = _listing(chosen.path, FileTree(path), home, folder / f"{name}.json")
    changed = [n for n, text in wanted.items() if not (folder / n).exists() or (folder / n).read_text() != text]
    stale = [path for path in folder.glob("*.json") if path.name not in wanted]
    for path in stale:
        path.unlink()
    if changed:
        folder.mkdir(parents=True, exist_ok=True)
    for name in changed:
        (folder / name).write_text(wanted[name], encoding="utf-8")
    return sorted({name.removesuffix(".json") for name in changed} | {path.stem for path in stale})


def _listing(path: str, tree: FileTree, home: Path, before: Path) -> str:
    """`parts` has of each the first name, how many files there are and their digest.

    Args:
        before: where the last one is: what it says of names cuts a bucket into ranges of a size.
    """
    parts = [(first, number, value.hex()) for first, number, value in _parts(tree, home, before)]
    if not parts:
        _ = tree.versions  # which says what is wrong with a place that holds nothing
    lines = ",\n".join(json.dumps(part) for part in parts)
    files = sum(number for _, number, _ in parts)
    return f'{{\n"path": {json.dumps(path)},\n"files": {files},\n"parts": [\n{lines}\n]\n}}\n'


def _parts(tree: FileTree, home: Path, before: Path) -> Iterator[Part]:
    """By content where a listing does not tell it: times and inodes differ from machine to machine."""
    if tree.has_etags:
        with ThreadPoolExecutor(RANGES) as pool:
            pieces = pool.map(partial(piece, say=_part), tree.ranges(_firsts(before)))
            yield from joined(pieces, _part)
        return
    cache = DigestCache(home / "digests.sqlite")
    try:
        yield from cache.parts("digest of digests", tree.identity, tree.walk(), tree.read_or_none, _digest)
    finally:
        cache.close()


def _part(files: list[File]) -> Part:
    return Part(files[0][0], len(files), _digest(dict(files)))


def _digest(told: Mapping[str, str]) -> bytes:
    """SHA-256 of names and what is known of each."""
    lines = "".join(f"{name}\0{what}\0" for name, what in told.items())
    return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).digest()


def _firsts(listing: Path) -> list[str]:
    """The first name of each part of a listing; none if it is not there or an older version wrote it."""
    try:
        parts: Iterable[Any] = json.loads(listing.read_bytes())["parts"]
        return [first for first, _, _ in parts]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _inside(root: Path, path: str) -> bool:
    return (root / path).absolute().is_relative_to((root / FOLDER).absolute())
