"""The shards of one split, as a loader asks them: facts of all samples, and the arrays of one shard at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from mtl.data.shards.manifest import ShardRecord
from mtl.data.shards.shards import Shard


class ShardCollection(Protocol):
    """Where they lie is its own business. Any thread may ask."""

    ids: list[str]
    """Of all samples, in the order of their shards; so are all other facts."""
    keys: list[str]
    sizes: list[int]
    """Samples of each shard."""

    def slices(self, attribute: str) -> list[str]:
        """The values of an attribute."""
        ...

    def present(self, target: str) -> np.ndarray:
        """Which samples have a target: bool [samples]."""
        ...

    def row_of(self, name: str) -> tuple[tuple[int, ...], np.dtype]:
        """Shape and type of a sample's part of an array."""
        ...

    def borrowed(self, number: int) -> contextlib.AbstractContextManager[Mapping[str, Any]]:
        """The arrays of a shard, there for as long as the block."""
        ...

    def expect(self, reading: Iterator[np.ndarray]) -> None:
        """What will be read next: the number of the shard of each sample, a step after the other."""
        ...

    def advanced(self, samples: int) -> None:
        """So many samples of it were read."""
        ...


class LocalShards:
    """Shards in a folder of this node, all mapped."""

    def __init__(self, folder: Path, records: Sequence[ShardRecord]) -> None:
        self._shards = [Shard(folder / record.file) for record in records]
        self._lent = [contextlib.nullcontext(shard.arrays) for shard in self._shards]
        self.ids = [identifier for shard in self._shards for identifier in shard.ids]
        self.keys = [key for shard in self._shards for key in shard.keys]
        self.sizes = [len(shard.ids) for shard in self._shards]

    def slices(self, attribute: str) -> list[str]:
        return [value for shard in self._shards for value in shard.slices[attribute]]

    def present(self, target: str) -> np.ndarray:
        return np.concatenate([shard.arrays[f"{target}.present"] for shard in self._shards])

    def row_of(self, name: str) -> tuple[tuple[int, ...], np.dtype]:
        array = self._shards[0].arrays[name]
        return array.shape[1:], array.dtype

    def borrowed(self, number: int) -> contextlib.AbstractContextManager[Mapping[str, Any]]:
        return self._lent[number]

    def expect(self, reading: Iterator[np.ndarray]) -> None:
        """They are here already."""

    def advanced(self, samples: int) -> None:
        """They are here already."""
