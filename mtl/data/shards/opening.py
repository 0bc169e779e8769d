"""A split's shards, by what its folder has: the shards, or what is needed to stream them."""

from __future__ import annotations

from pathlib import Path

from mtl.config.section import Section
from mtl.data.shards.cache import ShardCache
from mtl.data.shards.collection import LocalShards, ShardCollection
from mtl.data.shards.manifest import Manifest
from mtl.data.shards.stream import DESCRIPTION, Stream
from mtl.data.shards.streamed import StreamedShards

CACHE = "cache.json"


class CacheSettings(Section):
    """Where a node's cache is, and how many bytes it may have."""

    folder: str
    limit: int


def open_shards(folder: Path, manifest: Manifest, split: str) -> ShardCollection:
    """The shards of a split.

    Raises:
        DataError: a shard is missing or damaged.
    """
    records = manifest.of(split)
    if not records or not (folder / DESCRIPTION).exists():
        return LocalShards(folder, records)
    stream = Stream.model_validate_json((folder / DESCRIPTION).read_bytes(), strict=False)
    settings = CacheSettings.model_validate_json((folder / CACHE).read_bytes())
    return StreamedShards(stream, folder / f"{split}.index", records, ShardCache(Path(settings.folder), settings.limit))
