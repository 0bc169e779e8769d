"""Content hashes of files."""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mtl.storage.shelf import batched
from mtl.storage.walk import File, Part, parts


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


SHA256 = "sha256"
"""The fact that `DigestCache.digests` looks for."""
MOMENT = 2 * 10**9
"""Nanoseconds in which a file may be written twice and show one time: disks and file servers count as coarsely as that."""


LOOKED_UP = 512
"""Files that are looked up together."""


def _settled(version: str, now: int) -> bool:
    """Whether a file that was read now shows another version whenever it is written again. One that was written a moment ago may
    not: what is known of it is not kept, and it is read once more (as git does).
    """
    _, *times = version.split(":")
    return len(times) != 2 or not times[0].isdecimal() or abs(now - int(times[0])) > MOMENT


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
        self._database.execute(
            "CREATE TABLE IF NOT EXISTS parts "
            "(kind TEXT, root TEXT, first TEXT, version BLOB, value BLOB, PRIMARY KEY (kind, root, first)) WITHOUT ROWID"
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
        rows = (row for names in batched(versions, LOOKED_UP) for row in self._asked(kind, root, names))
        found = {name: value for name, version, value in rows if versions.get(name) == version}
        missing = [name for name in versions if name not in found]
        now = time.time_ns()
        with ThreadPoolExecutor(threads) as pool:
            looked = zip(missing, pool.map(look, missing), strict=True)
            fresh = {name: value for name, value in looked if value is not None}
        self.remember(kind, root, versions, fresh, now)
        return found | fresh

    def _asked(self, kind: str, root: str, names: list[str]) -> list[tuple[str, str, bytes]]:
        number = 1 << (len(names) - 1).bit_length()  # few forms of one question: SQLite keeps each that it was asked
        names = names + names[-1:] * (number - len(names))
        marks = ", ".join("?" * number)
        query = f"SELECT name, version, value FROM facts WHERE kind = ? AND root = ? AND name IN ({marks})"
        return self._database.execute(query, (kind, root, *names)).fetchall()

    def remember(
        self, kind: str, root: str, versions: Mapping[str, str], facts: Mapping[str, bytes], asked: int
    ) -> None:
        """Keep facts, of files that were not read before the time `asked` (ns)."""
        rows = [(kind, root, n, versions[n], value) for n, value in facts.items() if _settled(versions[n], asked)]
        with self._database:
            self._database.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?, ?, ?, ?)", rows)

    def parts(
        self,
        kind: str,
        root: str,
        files: Iterable[File],
        read: Callable[[str], bytes | None],
        say: Callable[[dict[str, str]], bytes],
    ) -> Iterator[Part]:
        """What `say` makes of the digests of a listing's files, part by part: of a part in which no version has changed it is
        kept, and no file of it looked up. In memory is one part at a time.

        Args:
            kind: of what `say` makes, and the version of its code.
            files: all that are there, in order of their names.
            read: as of `digests`.
        """
        before = ""
        for part in parts(files):
            versions = dict(part)
            listed = "\0".join(f"{name}\0{version}" for name, version in part)
            version = hashlib.sha256(listed.encode("utf-8", "surrogateescape")).digest()
            key = (kind, root, part[0][0])
            known = self._database.execute(
                "SELECT version, value FROM parts WHERE kind = ? AND root = ? AND first = ?", key
            ).fetchone()
            if known is not None and known[0] == version:
                before = part[-1][0]
                yield Part(part[0][0], len(part), known[1])
                continue
            now = time.time_ns()
            digests = self.digests(root, versions, read)
            value = say({name: digests[name] for name in versions if name in digests})
            if len(digests) == len(part) and all(_settled(one, now) for one in versions.values()):
                self._keep(key, before, part[-1][0], version, value)
            before = part[-1][0]
            yield Part(part[0][0], len(part), value)

    def _keep(self, key: tuple[str, str, str], before: str, last: str, version: bytes, value: bytes) -> None:
        """A part, in place of all that began behind the one before it, where its files are now."""
        with self._database:
            self._database.execute(
                "DELETE FROM parts WHERE kind = ? AND root = ? AND first > ? AND first <= ?", (*key[:2], before, last)
            )
            self._database.execute("INSERT INTO parts VALUES (?, ?, ?, ?, ?)", (*key, version, value))

    def close(self) -> None:
        """Close the database."""
        self._database.close()
