"""Content hashes of files."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path


def file_sha256(path: Path) -> str:
    """The file's SHA-256 in hexadecimal, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_md5(path: Path) -> str:
    """The file's MD5 in hexadecimal, by which DVC names it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def bytes_sha256(data: bytes) -> str:
    """The SHA-256 of bytes in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def folder_versions(root: Path, link: Callable[[str], None] | None = None) -> dict[str, str]:
    """Every file below a folder, sorted: its name relative to it, and what changes when it does (size, time, inode).

    Links are followed: DVC may link its cache's files.

    Args:
        link: is called with the name of each of them, and may raise.
    """
    found: dict[str, str] = {}
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        with os.scandir(root / folder) as entries:
            for entry in entries:
                name = f"{folder}/{entry.name}" if folder else entry.name
                if link is not None and entry.is_symlink():
                    link(name)
                if entry.is_dir():
                    waiting.append(name)
                elif entry.is_file():
                    stat = entry.stat()
                    found[name] = f"{stat.st_size}:{stat.st_mtime_ns}:{stat.st_ino}"
    return dict(sorted(found.items()))


SHA256 = "sha256"
"""The fact that `DigestCache.digests` looks for."""


class DigestCache:
    """What is known of files whose version (size, time, inode) is as it was when they were last read: their SHA-256, and more.

    What DVC and git do: an unchanged file is not read again. The cache may be removed at any time.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(path, timeout=60.0)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = OFF")
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS facts "
            "(kind TEXT, root TEXT, name TEXT, version TEXT, value BLOB, PRIMARY KEY (kind, root, name)) WITHOUT ROWID"
        )

    def digests(
        self, root: str, versions: Mapping[str, str], read: Callable[[str], bytes | None], threads: int = 8
    ) -> dict[str, str]:
        """Name → SHA-256 in hexadecimal; what `read` gives None for is left out."""

        def digest(name: str) -> bytes | None:
            data = read(name)
            return None if data is None else hashlib.sha256(data).digest()

        return {name: value.hex() for name, value in self.facts(SHA256, root, versions, digest, threads).items()}

    def facts(
        self,
        kind: str,
        root: str,
        versions: Mapping[str, str],
        look: Callable[[str], bytes | None],
        threads: int = 8,
    ) -> dict[str, bytes]:
        """Name → what `look` says of the file; what it gives None for is left out, and looked at again the next time.

        Args:
            kind: of fact, and the version of the code that finds it: another one is found anew.
        """
        rows = self._database.execute(
            "SELECT name, version, value FROM facts WHERE kind = ? AND root = ?", (kind, root)
        )
        found = {name: value for name, version, value in rows if versions.get(name) == version}
        missing = [name for name in versions if name not in found]
        with ThreadPoolExecutor(threads) as pool:
            looked = zip(missing, pool.map(look, missing), strict=True)
            fresh = {name: value for name, value in looked if value is not None}
        self.remember(kind, root, versions, fresh)
        return found | fresh

    def remember(self, kind: str, root: str, versions: Mapping[str, str], facts: Mapping[str, bytes]) -> None:
        """Keep facts that were found on the way to others."""
        rows = [(kind, root, name, versions[name], value) for name, value in facts.items()]
        with self._database:
            self._database.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?, ?, ?, ?)", rows)

    def close(self) -> None:
        """Close the database."""
        self._database.close()
