"""What lies outside `data/`: buckets, URLs and other disks. Their listings are kept in `data/.remote`, so that DVC and
the fingerprint see a new arrival as they see a new file in `data/`.
"""

from __future__ import annotations

import json
from pathlib import Path

from mtl.config.data import Source
from mtl.config.files import FilesSource
from mtl.storage.digest import DigestCache
from mtl.storage.file_tree import FileTree

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
                listing = {"path": chosen.path, "files": _versions(FileTree(path), home)}
                wanted[f"{name}.json"] = json.dumps(listing, indent=0, sort_keys=True) + "\n"
    changed = [n for n, text in wanted.items() if not (folder / n).exists() or (folder / n).read_text() != text]
    stale = [path for path in folder.glob("*.json") if path.name not in wanted]
    for path in stale:
        path.unlink()
    if changed:
        folder.mkdir(parents=True, exist_ok=True)
    for name in changed:
        (folder / name).write_text(wanted[name], encoding="utf-8")
    return sorted({name.removesuffix(".json") for name in changed} | {path.stem for path in stale})


def _versions(tree: FileTree, home: Path) -> dict[str, str]:
    """By content where a listing does not tell it: times and inodes differ from machine to machine."""
    if tree.has_etags:
        return dict(tree.versions)
    cache = DigestCache(home / "digests.sqlite")
    try:
        return cache.digests(tree.identity, tree.versions, tree.read_or_none)
    finally:
        cache.close()


def _inside(root: Path, path: str) -> bool:
    return (root / path).absolute().is_relative_to((root / FOLDER).absolute())
