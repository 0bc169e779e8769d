"""Preparing on a Ray cluster: samples go out; shards come back, or lie where this machine finds them. Images must be where the nodes
can read them.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from mtl.cluster.session import cluster
from mtl.config.trees.cluster import ClusterTree
from mtl.data.prepare.build import Builder
from mtl.data.prepare.cores import Each
from mtl.data.prepare.plan import Planned
from mtl.data.prepare.prepare import Old, Order, Runner
from mtl.data.raw.rows import RawSample
from mtl.data.shards.manifest import ShardRecord
from mtl.errors import StageError
from mtl.storage import atomic
from mtl.storage.shared import marked, sees
from mtl.storage.store import Store

AHEAD = 2
"""Orders in work per CPU of the cluster."""
Sent = tuple[Planned, list[RawSample], Old]
"""A shard, its samples, and where those of them lie that are prepared already."""
Given = TypeVar("Given")
Result = TypeVar("Result")


def on_cluster(config: ClusterTree) -> Runner:
    """Build on the cluster to which this machine belongs. A node that has the folder of shards, on a disk of the network, writes
    there and copies what is prepared already; of another the shard's bytes come back through Ray.
    """

    def run(builder: Builder, orders: Iterable[Order]) -> Iterator[ShardRecord]:
        with nodes(config) as each, marked(builder.folder) as mark:
            sent = ((planned, list(builder.samples(planned)), old) for planned, old in orders)
            for record, data in each(_Build(builder, mark), sent):
                path = builder.folder / record.file
                if data:
                    atomic.write(path, data)
                if record.num_samples and not path.exists():
                    fix = "is the folder the same for all nodes? run again: what is there is kept"
                    raise StageError(f"a node has written {path}, which is not there", fix=fix)
                yield record

    return run


def built(
    config: ClusterTree, builder: Builder, wanted: Iterable[Planned], url: str
) -> Iterator[tuple[ShardRecord, bytes]]:
    """Records of shards as they finish, without their bytes, which the nodes put into the store of `url`."""
    with nodes(config) as each:
        sent: Iterator[Sent] = ((planned, list(builder.samples(planned)), {}) for planned in wanted)
        yield from each(_Build(builder, None, url), sent)


@contextmanager
def nodes(config: ClusterTree) -> Generator[Each]:
    """What works on a cluster's CPUs; a node that is lost has its work done by another."""
    with cluster(config) as ray:
        yield partial(_each, ray)


def _each(ray: Any, work: Callable[[Given], Result], orders: Iterable[Given]) -> Iterator[Result]:
    waiting, sent = iter(orders), ray.put(work)
    do = ray.remote(num_cpus=1, max_retries=3)(_do)
    limit = AHEAD * max(int(ray.cluster_resources().get("CPU", 1)), 1)
    running: list[Any] = []
    while True:
        while len(running) < limit and (order := next(waiting, None)) is not None:
            running.append(do.remote(sent, order))
        if not running:
            return
        done, running = ray.wait(running, num_returns=1)
        yield ray.get(done[0])


def _do(work: Callable[[Given], Result], order: Given) -> Result:
    return work(order)


@dataclass(frozen=True)
class _Build:
    """Builds a shard: into the folder that is marked, where it is seen; into a store; or brings its bytes."""

    builder: Builder
    mark: Path | None
    url: str = ""

    def __call__(self, order: Sent) -> tuple[ShardRecord, bytes]:
        planned, samples, old = order
        if self.mark is not None and sees(self.mark):
            return self.builder.build_of(planned, samples, old, self.mark.parent), b""
        record, data = self.builder.build_elsewhere((planned, samples))
        if not self.url:
            return record, data
        if record.num_samples:
            Store(self.url).put(record.file, data)
        return record, b""
