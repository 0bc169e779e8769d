"""How a node gets its shards: it sees them, or has all of them before it trains, or streams them."""

from __future__ import annotations

import math
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from mtl.config.cluster import ClusterConfig
from mtl.config.order import WholeOrder, WindowOrder
from mtl.data.shards.cache import refuse_too_small
from mtl.data.shards.lookahead import AHEAD
from mtl.data.shards.manifest import NAME
from mtl.data.shards.opening import CACHE, CacheSettings
from mtl.data.shards.staging import ShardManifest, ensure_local, node_folder, object_name, seen
from mtl.data.shards.stream import DESCRIPTION, Stream, StreamAddress, checked, describe, publish
from mtl.errors import DataError
from mtl.storage import atomic
from mtl.storage.digest import file_sha256
from mtl.storage.names import checked_name
from mtl.storage.store import Store

PUBLISHED = "shards"
"""In cluster.storage."""
SHARE = 0.5
"""Of the free disk, that shards may take where nobody said how much."""


@dataclass(frozen=True)
class Found:
    """The folder with a node's shards, or with what is needed to stream them, and what is to be said of it."""

    folder: Path
    said: str = ""


def published(
    cluster: ClusterConfig, order: WholeOrder | WindowOrder, prepared: Path, given: ShardManifest | None
) -> StreamAddress | None:
    """What nodes may stream from; None if they are not to, or cannot.

    Args:
        given: the DVC remote's list of the shards, if it is in a bucket: then they are not put into cluster.storage, too.

    Raises:
        MtlError: cluster.storage is out of reach or full.
    """
    if not cluster.storage or cluster.shards == "local":
        return None
    if cluster.shards == "auto" and (cluster.address == "local" or (given is None and isinstance(order, WholeOrder))):
        return None
    names = None if given is None else (given.url, {file: object_name(md5) for file, md5 in given.files.items()})
    return publish(prepared, Store(cluster.storage).child(PUBLISHED), names)


def shards_of_node(
    cluster: ClusterConfig,
    order: WholeOrder | WindowOrder,
    prepared: Path,
    given: ShardManifest | None,
    address: StreamAddress | None,
) -> Found:
    """Have this node's shards, or what is needed to stream them, in a folder.

    Raises:
        DataError: neither is possible, or they do not fit and the order needs all of them.
        MtlError: what is needed is out of reach.
    """
    if address is None or cluster.shards == "local" or (cluster.shards == "auto" and seen(prepared, given)):
        return Found(ensure_local(prepared, given))
    stream, parent = describe(address), node_folder()
    why = "cluster.shards: stream"
    if cluster.shards == "auto":
        free = shutil.disk_usage(parent).free + _bytes_below(parent / stream.manifest[:32])
        if given is not None and stream.num_bytes <= SHARE * free:
            return Found(ensure_local(prepared, given))
        why = f"{_gib(stream.num_bytes)} of shards, {_gib(free)} free in {parent}"
        if isinstance(order, WholeOrder):
            raise DataError(
                "the shards take more than half of this node's free disk, and train.order: whole needs all of them",
                found=why,
                fix="set train.order to {type: window, shards: 64} to stream them, or cluster.shards to local, or MTL_SHARDS to a "
                "folder of a larger disk",
            )
    folder = parent / checked_name(f"{stream.manifest[:32]}-streamed", str(parent))
    limit = _limit(cluster, parent / "cache")
    refuse_too_small(limit, stream.largest)
    with FileLock(parent / f"{folder.name}.lock"):
        _describe_here(folder, stream, address, CacheSettings(folder=str(parent / "cache"), limit=limit))
    said = f"streams {len(stream.objects)} shards ({_gib(stream.num_bytes)}) from {stream.url}"
    return Found(folder, f"{said} into {parent / 'cache'}, at most {_gib(limit)} ({why}){_doubt(stream, order, limit)}")


def _describe_here(folder: Path, stream: Stream, address: StreamAddress, cache: CacheSettings) -> None:
    """The manifest and what is known of each split, verified; the description last."""
    folder.mkdir(exist_ok=True)
    Path(cache.folder).mkdir(exist_ok=True)
    store = Store(address.url)
    for name, sha256 in {
        NAME: stream.manifest,
        **{f"{s}.index": digest for s, digest in stream.indexes.items()},
    }.items():
        path = folder / name
        if not path.exists() or file_sha256(path) != sha256:
            atomic.write(path, checked(store, name, sha256))
    atomic.write(folder / CACHE, cache.model_dump_json())
    atomic.write(folder / DESCRIPTION, stream.model_dump_json())


def _limit(cluster: ClusterConfig, cache: Path) -> int:
    if cluster.shard_cache_gib is not None:
        return int(cluster.shard_cache_gib * 2**30)
    return int(SHARE * (shutil.disk_usage(cache.parent).free + _bytes_below(cache)))


def _doubt(stream: Stream, order: WholeOrder | WindowOrder, limit: int) -> str:
    """What is to be said where a node's part of the window does not fit: every shard is then fetched many times."""
    workers, here = (int(os.environ.get(name, "1")) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    if isinstance(order, WholeOrder):
        return ""
    lanes = min(order.lanes, here * order.lanes // math.gcd(order.lanes, workers))
    open_shards = min(order.shards // order.lanes * lanes + here * AHEAD, len(stream.objects))
    needed = open_shards * stream.num_bytes // max(len(stream.objects), 1)
    if needed <= limit:
        return ""
    return (
        f"; its part of the window takes {_gib(needed)} with what is fetched ahead, more than that: shards will be fetched again "
        "and again. Raise cluster.shard_cache_gib, or lower train.order.shards"
    )


def _bytes_below(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*") if path.is_file()) if folder.exists() else 0


def _gib(number: float) -> str:
    return f"{number / 2**30:.2f} GiB"
