"""A dictionary by names that may have more entries than memory has room for."""

from __future__ import annotations

import itertools
import pickle
import sqlite3
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from typing import Any, Generic, TypeVar

Value = TypeVar("Value")
Thing = TypeVar("Thing")

NEAR = 100_000
"""Entries that are kept in memory; when there are more, all go into a file, which nobody else sees and which ends with us."""
SOME = 4096
"""Names that are looked up together: one by one each takes as long as ten of them."""
CACHE_KIB = 16 * 1024
"""Of the file, in memory."""


def batched(things: Iterable[Thing], number: int) -> Iterator[list[Thing]]:
    """All of them in their order, at most so many at a time."""
    rest = iter(things)
    while some := list(itertools.islice(rest, number)):
        yield some


class Shelf(MutableMapping[str, Value], Generic[Value]):
    """As a dictionary; in the order of its names. What was taken out is changed by putting it in again, and not otherwise.

    Args:
        store, restore: a value as bytes and back; a pickle of our own, for the file has no name and nobody else writes to it.
    """

    def __init__(
        self, store: Callable[[Value], bytes] = pickle.dumps, restore: Callable[[bytes], Value] = pickle.loads
    ) -> None:
        self._store, self._restore = store, restore
        self._near: dict[str, Value] = {}
        self._ready: dict[str, bytes | None] = {}
        self._absent: set[str] = set()
        self._far: sqlite3.Connection | None = None
        self._last = ""  # no name behind it is in the file: most come in order, and need not be looked for

    def ready(self, names: Iterable[str]) -> None:
        """Look up names of which several are asked for next; at most some thousand."""
        if self._far is None:
            return
        wanted = [name for name in names if name <= self._last and name not in self._near]
        self._ready, self._absent = {}, set(wanted)
        for some in batched(wanted, SOME):
            marks = ", ".join("?" * len(some))
            rows = self._far.execute(f"SELECT name, value FROM shelf WHERE name IN ({marks})", [*map(_key, some)])
            self._ready |= {_name(key): value for key, value in rows}
        self._absent -= self._ready.keys()

    def __setitem__(self, name: str, value: Value) -> None:
        self._near[name] = value
        if len(self._near) > NEAR:
            self._put_away()

    def __getitem__(self, name: str) -> Value:
        if name in self._near or self._far is None:
            return self._near[name]
        if name in self._ready:
            return self._value(self._ready[name])
        if name > self._last or name in self._absent:
            raise KeyError(name)
        found = self._far.execute("SELECT value FROM shelf WHERE name = ?", (_key(name),)).fetchone()
        if found is None:
            raise KeyError(name)
        return self._value(found[0])

    def __contains__(self, name: object) -> bool:
        if name in self._near or self._far is None:
            return name in self._near
        if str(name) > self._last or name in self._ready or name in self._absent:
            return name in self._ready
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
            yield _name(key)

    def pairs(self) -> Iterator[tuple[str, Value]]:
        """Names with values, each read once."""
        if self._far is None:
            yield from ((name, self._near[name]) for name in sorted(self._near))
            return
        self._put_away()
        for key, value in self._far.execute("SELECT name, value FROM shelf ORDER BY name"):
            yield _name(key), self._value(value)

    def __len__(self) -> int:
        """It counts them: not for every entry."""
        if self._far is None:
            return len(self._near)
        self._put_away()
        return self._far.execute("SELECT count(*) FROM shelf").fetchone()[0]

    def _put_away(self) -> None:
        if self._far is None:
            # A file without a name, in the system's folder of such.
            self._far = sqlite3.connect("", isolation_level=None)
            self._far.execute("PRAGMA journal_mode = OFF")
            self._far.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
            self._far.execute("CREATE TABLE shelf (name BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID")
            self._far.execute("BEGIN")
        names = sorted(self._near)
        rows = ((_key(name), self._stored(self._near[name])) for name in names)
        self._far.executemany("INSERT OR REPLACE INTO shelf VALUES (?, ?)", rows)
        self._last = max([self._last, *names[-1:]])
        self._near.clear()
        self._ready.clear()
        self._absent.clear()

    def _stored(self, value: Value) -> bytes | None:
        return None if value is None else self._store(value)

    def _value(self, stored: bytes | None) -> Any:
        return None if stored is None else self._restore(stored)

    @classmethod
    def of_texts(cls) -> Shelf[str]:
        """One whose values are texts, which need no pickle."""
        return Shelf[str](_key, _name)


def _key(name: str) -> bytes:
    """Bytes in the order of the names, of any text at all: files of other systems have names that are no UTF-8."""
    return name.encode("utf-8", "surrogatepass")


def _name(key: bytes) -> str:
    return key.decode("utf-8", "surrogatepass")
