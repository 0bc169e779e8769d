"""Preparing on a Ray cluster: samples go out, shards come back. Images must be where the nodes can read them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from mtl.cluster.session import cluster
from mtl.config.trees.cluster import ClusterTree
from mtl.data.prepare.build import Builder
from mtl.data.prepare.plan import Planned
from mtl.data.prepare.prepare import Order, Runner
from mtl.data.raw.rows import RawSample
from mtl.data.shards.manifest import ShardRecord
from mtl.storage import atomic
from mtl.storage.store import Store

AHEAD = 2
"""Shards in work per CPU of the cluster."""


def on_cluster(config: ClusterTree) -> Runner:
    """Build on the cluster to which this machine belongs."""

    def run(builder: Builder, orders: Iterable[Order]) -> Iterator[ShardRecord]:
        for record, data in built(config, builder, (planned for planned, _ in orders)):
            if record.num_samples:
                atomic.write(builder.folder / record.file, data)
            yield record

    return run


def built(
    config: ClusterTree, builder: Builder, wanted: Iterable[Planned], url: str = ""
) -> Iterator[tuple[ShardRecord, bytes]]:
    """Records and bytes of shards as they finish; a node that is lost has its shards built by another.

    Args:
        url: of a store into which the nodes put the shards; then no bytes come back.
    """
    waiting = iter(wanted)
    with cluster(config) as ray:
        sent = ray.put(builder)
        build = ray.remote(num_cpus=1, max_retries=3)(_build)
        limit = AHEAD * max(int(ray.cluster_resources().get("CPU", 1)), 1)
        running: list[Any] = []
        while True:
            while len(running) < limit and (planned := next(waiting, None)) is not None:
                running.append(build.remote(sent, planned, list(builder.samples(planned)), url))
            if not running:
                return
            done, running = ray.wait(running, num_returns=1)
            yield ray.get(done[0])


def _build(builder: Builder, planned: Planned, samples: list[RawSample], url: str) -> tuple[ShardRecord, bytes]:
    record, data = builder.build_elsewhere((planned, samples))
    if not url:
        return record, data
    if record.num_samples:
        Store(url).put(record.file, data)
    return record, b""
