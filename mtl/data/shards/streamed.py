"""The shards of a split that are fetched as they are read."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mtl.data.shards.cache import ShardCache, Wanted
from mtl.data.shards.lookahead import AHEAD, Lookahead
from mtl.data.shards.manifest import ShardRecord
from mtl.data.shards.shards import Shard, explained, mapped, read_header
from mtl.data.shards.stream import SAMPLES, SIZES, Stream
from mtl.errors import DataError
from mtl.storage.store import Store

REMEMBERED = 4096
"""Headers of shards."""


class StreamedShards:
    """As `mtl.data.shards.collection` asks them.

    Args:
        index: of the split.
    """

    def __init__(self, stream: Stream, index: Path, records: Sequence[ShardRecord], cache: ShardCache) -> None:
        facts = Shard(index)
        self.ids, self.keys, self._facts = facts.ids, facts.keys, facts
        self.sizes: list[int] = facts.arrays[SAMPLES].tolist()
        num_bytes: list[int] = facts.arrays[SIZES].tolist()
        store = Store(stream.url)
        self._cache = cache
        self._wanted = [
            Wanted(record.file, record.sha256, size, partial(_bring, store, stream.objects[record.file], record.file))
            for record, size in zip(records, num_bytes, strict=True)
        ]
        self._headers: dict[int, tuple[int, dict[str, Any]]] = {}
        self._expected = False
        self._ahead = Lookahead(self._fetch, self._here, AHEAD * max(self.sizes))

    def slices(self, attribute: str) -> list[str]:
        return self._facts.slices[attribute]

    def present(self, target: str) -> np.ndarray:
        return np.array(self._facts.arrays[f"{target}.present"])

    def row_of(self, name: str) -> tuple[tuple[int, ...], np.dtype]:
        array = self._facts.arrays[name]
        return tuple(array.shape[1:]), array.dtype

    @contextlib.contextmanager
    def borrowed(self, number: int) -> Generator[Mapping[str, Any]]:
        """The arrays of a shard: fetched now if they were not before; they stay in the cache for as long as the block."""
        if not self._expected and number + 1 < len(self._wanted):
            self._ahead.soon(number + 1)  # validation goes from one to the next
        with self._cache.reading(self._wanted[number]) as path:
            with explained(path):
                header = self._headers.get(number) or self._read_header(number, path)
                arrays = mapped(path, *header)
            yield arrays

    def expect(self, reading: Iterator[np.ndarray]) -> None:
        self._expected = True
        self._ahead.expect(reading)

    def advanced(self, samples: int) -> None:
        self._ahead.advanced(samples)

    def _read_header(self, number: int, path: Path) -> tuple[int, dict[str, Any]]:
        """Remembered without the facts of the samples, which are known: to read them takes longer than to map a shard."""
        begin, found = read_header(path)
        header = begin, {**found, "__metadata__": {"coded": found["__metadata__"].get("coded", "{}")}}
        if len(self._headers) >= REMEMBERED:
            self._headers.clear()
        self._headers[number] = header
        return header

    def _fetch(self, number: int) -> None:
        self._cache.fetch(self._wanted[number])

    def _here(self, number: int) -> bool:
        return self._cache.has(self._wanted[number].file)


def _bring(store: Store, name: str, file: str, path: Path) -> None:
    try:
        store.download(name, path)
    except FileNotFoundError as error:
        raise DataError(
            f"{file} is not in {store.url}",
            found=f"no object {name}",
            fix="`mtl retrain` puts what cluster.storage lacks, `dvc push prepare` the DVC remote",
        ) from error
