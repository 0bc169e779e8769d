"""Preparing on a Ray cluster: samples go out, shards come back. Images must be where the nodes can read them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from mtl.cluster import cluster
from mtl.config import Config
from mtl.data.build import Builder
from mtl.data.manifest import ShardRecord
from mtl.data.prepare import Order, Runner, on_cores

AHEAD = 2
"""Shards in work a CPU of the cluster."""


def runner(config: Config) -> Runner:
    """Where `cluster.prepare` says that shards are built."""
    if config.cluster.prepare == "cores":
        return on_cores

    def on_cluster(builder: Builder, orders: Iterable[Order]) -> Iterator[ShardRecord]:
        with cluster(config) as ray:
            yield from _built(ray, builder, iter(orders))

    return on_cluster


def _built(ray: Any, builder: Builder, orders: Iterator[Order]) -> Iterator[ShardRecord]:
    """Records as shards finish; a node that is lost has its shards built by another."""
    sent = ray.put(builder)
    build = ray.remote(num_cpus=1, max_retries=3)(_build)
    limit = AHEAD * max(int(ray.cluster_resources().get("CPU", 1)), 1)
    running: list[Any] = []
    while True:
        while len(running) < limit and (order := next(orders, None)) is not None:
            planned, _ = order
            running.append(build.remote(sent, planned, list(builder.samples(planned))))
        if not running:
            return
        done, running = ray.wait(running, num_returns=1)
        for record, data in ray.get(done):
            if record.num_samples:
                path = builder.folder / record.file
                scratch = path.with_suffix(".tmp")
                scratch.write_bytes(data)
                scratch.replace(path)
            yield record


def _build(builder: Builder, planned: Any, samples: Any) -> tuple[ShardRecord, bytes]:
    return builder.build_elsewhere((planned, samples))
