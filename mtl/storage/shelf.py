"""A dictionary by names that may have more entries than memory has room for."""

from __future__ import annotations

import pickle
import sqlite3
from collections.abc import Iterator, MutableMapping
from typing import Any, Generic, TypeVar

Value = TypeVar("Value")

NEAR = 100_000
"""Entries that are kept in memory; when there are more, all go into a file, which nobody else sees and which ends with us."""


class Shelf(MutableMapping[str, Value], Generic[Value]):
    """As a dictionary; in the order of its names. What was taken out is changed by putting it in again, and not otherwise."""

    def __init__(self) -> None:
        self._near: dict[str, Value] = {}
        self._far: sqlite3.Connection | None = None

    def __setitem__(self, name: str, value: Value) -> None:
        self._near[name] = value
        if len(self._near) > NEAR:
            self._put_away()

    def __getitem__(self, name: str) -> Value:
        if name in self._near or self._far is None:
            return self._near[name]
        found = self._far.execute("SELECT value FROM shelf WHERE name = ?", (_key(name),)).fetchone()
        if found is None:
            raise KeyError(name)
        return _value(found[0])

    def __contains__(self, name: object) -> bool:
        if name in self._near or self._far is None:
            return name in self._near
        key = (_key(str(name)),)
        return self._far.execute("SELECT 1 FROM shelf WHERE name = ?", key).fetchone() is not None

    def __delitem__(self, name: str) -> None:
        self._put_away()
        assert self._far is not None
        if not self._far.execute("DELETE FROM shelf WHERE name = ?", (_key(name),)).rowcount:
            raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        if self._far is None:
            yield from sorted(self._near)
            return
        self._put_away()
        for (key,) in self._far.execute("SELECT name FROM shelf ORDER BY name"):
            yield key.decode("utf-8", "surrogatepass")

    def pairs(self) -> Iterator[tuple[str, Value]]:
        """Names with values, each read once."""
        if self._far is None:
            yield from ((name, self._near[name]) for name in sorted(self._near))
            return
        self._put_away()
        for key, value in self._far.execute("SELECT name, value FROM shelf ORDER BY name"):
            yield key.decode("utf-8", "surrogatepass"), _value(value)

    def __len__(self) -> int:
        if self._far is None:
            return len(self._near)
        self._put_away()
        return self._far.execute("SELECT count(*) FROM shelf").fetchone()[0]

    def _put_away(self) -> None:
        if self._far is None:
            self._far = sqlite3.connect(
                "", isolation_level=None
            )  # a file without a name, in the system's folder of such
            self._far.execute("PRAGMA journal_mode = OFF")
            self._far.execute("PRAGMA cache_size = -65536")
            self._far.execute("CREATE TABLE shelf (name BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID")
            self._far.execute("BEGIN")
        rows = ((_key(name), _stored(self._near[name])) for name in sorted(self._near))
        self._far.executemany("INSERT OR REPLACE INTO shelf VALUES (?, ?)", rows)
        self._near.clear()


def _key(name: str) -> bytes:
    """Bytes in the order of the names, of any text at all: files of other systems have names that are no UTF-8."""
    return name.encode("utf-8", "surrogatepass")


def _stored(value: object) -> bytes | None:
    return None if value is None else pickle.dumps(value, 5)


def _value(stored: bytes | None) -> Any:
    """Our own pickle: the file has no name, nobody else writes to it."""
    return None if stored is None else pickle.loads(stored)  # noqa: S301
