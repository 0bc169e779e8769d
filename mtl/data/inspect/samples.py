"""A prepared data set's samples by their place, counted through its splits and their shards. Shards are opened when they are asked for,
and few of them stay open.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from mtl.data.inspect.report import Name
from mtl.data.shards.manifest import Manifest, ShardRecord
from mtl.data.shards.shards import Shard
from mtl.data.spec import SPLITS

OPEN = 8
"""Shards that stay open."""


class Samples:
    """Of the folder that `prepare` wrote."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder, self.spec = folder, manifest.spec
        self.records: list[ShardRecord] = [record for split in SPLITS for record in manifest.of(split)]
        self.starts = np.cumsum([0, *(record.num_samples for record in self.records)])
        self.ends = np.cumsum([manifest.num_samples(split) for split in SPLITS])
        self._shard = lru_cache(OPEN)(self._opened)

    def _opened(self, number: int) -> Shard:
        return Shard(self.folder / self.records[number].file)

    def __len__(self) -> int:
        return int(self.starts[-1])

    def at(self, place: int) -> tuple[Shard, int]:
        """The shard that a sample is in, and its index there."""
        number = int(np.searchsorted(self.starts, place, side="right")) - 1
        return self._shard(number), place - int(self.starts[number])

    def split(self, place: int) -> str:
        """The split that a sample is in."""
        return SPLITS[int(np.searchsorted(self.ends, place, side="right"))]

    def names(self, places: Iterable[int]) -> dict[int, Name]:
        """Place → split and id."""
        found: dict[int, Name] = {}
        for place in sorted({*places}):
            shard, index = self.at(place)
            found[place] = (self.split(place), shard.ids[index])
        return found

    def kept(self, dtype: Any) -> np.ndarray:
        """An array with an element for each sample, zeros, in a file without a name beside the shards."""
        with tempfile.TemporaryFile(dir=self.folder) as file:
            return np.memmap(file, dtype, "w+", shape=max(len(self), 1))[: len(self)]
