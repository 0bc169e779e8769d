"""Preparing on a cluster that this machine does not belong to, through Ray's Jobs API; there: `python -m mtl.data.prepare.job STORE`.

The raw rows of the shards to be built go out through the store, shards come back through it: DVC wants them here.
"""

from __future__ import annotations

import logging
import sys
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import groupby
from pathlib import Path

from pydantic import JsonValue, TypeAdapter

from mtl.cluster.handoff import do, result_of, store_of
from mtl.cluster.protocol import Job
from mtl.cluster.transfer import bring, send
from mtl.config.trees.prepare import PrepareTree
from mtl.data.prepare.build import Builder, with_added
from mtl.data.prepare.plan import Planned
from mtl.data.prepare.prepare import Order, Runner
from mtl.data.prepare.ray import built
from mtl.data.raw.rows import read_spec, write_rows, write_spec
from mtl.data.shards.manifest import ShardRecord
from mtl.errors import DataError, SealError, StageError
from mtl.storage import atomic
from mtl.storage.digest import bytes_sha256
from mtl.storage.seal import Seal, seal_of
from mtl.storage.store import Store

_LOG = logging.getLogger(__name__)

THREADS = 16
"""Shards fetched at a time."""
RAW, RECORDS, SHARDS = "raw", "records", "shards"
"""The last two are of all jobs: files are named by their content."""


class PrepareJob(Job):
    """Shards to be built."""

    wanted: tuple[Planned, ...]


Records = TypeAdapter(tuple[ShardRecord, ...])


def by_job(config: PrepareTree, home: Path) -> Runner:
    """Build on the cluster of `cluster.address`.

    The runner raises, before anything is built, DataError if images are files of this machine; and what the job wrote
    down, that another wrote in its place, or that the cluster refuses or is out of reach, as MtlError. What is built stays,
    and is not built again.
    """

    def run(builder: Builder, orders: Iterable[Order]) -> Iterator[ShardRecord]:
        here = next((root for root in builder.given.roots.values() if "://" not in root), None)
        if here is not None:
            raise DataError(
                f"the cluster at {config.cluster.address} cannot reach this machine's images",
                found=here,
                fix="put them in a bucket (s3://…), or set cluster.prepare to cores",
            )
        wanted = [planned for planned, _ in orders]
        job = PrepareJob(config=config.model_dump(mode="json"), wanted=tuple(_renumbered(wanted)))
        seal = seal_of("preparations", home)
        store = store_of(config, "preparations", job, seal)
        _send(builder, wanted, store.child(RAW), seal)
        found = result_of(config, "prepare", "mtl.data.prepare.job", job, store, seal)
        records = Records.validate_python(found, strict=False)
        results = store.parent
        with ThreadPoolExecutor(THREADS) as pool:
            yield from pool.map(partial(_fetched, results, builder.folder), records)
            list(pool.map(partial(_forget, results), records))
        results.remove(store.name)

    return run


def _renumbered(wanted: list[Planned]) -> list[Planned]:
    """The same shards in a raw data set that has nothing else."""
    found: list[Planned] = []
    for _, shards in groupby(wanted, lambda planned: planned.split):
        start = 0
        for planned in shards:
            stop = start + planned.stop - planned.start
            found.append(replace(planned, start=start, stop=stop))
            start = stop
    return found


def _send(builder: Builder, wanted: list[Planned], store: Store, seal: Seal) -> None:
    """The rows of the wanted shards, as a raw data set."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for split, shards in groupby(wanted, lambda planned: planned.split):
            rows = (sample for planned in shards for sample in builder.samples(planned))
            write_rows(folder / f"{split}.parquet", builder.given, rows)
        write_spec(folder, builder.given)
        send(store, folder, seal)


def _fetched(results: Store, folder: Path, record: ShardRecord) -> ShardRecord:
    if record.num_samples:
        try:
            data = results.get(f"{SHARDS}/{record.file}")
        except FileNotFoundError as error:
            raise StageError(f"{record.file} is not in {results.url}", fix="run again: it is built again") from error
        if bytes_sha256(data) != record.sha256:
            _forget(results, record)
            raise SealError(
                f"{results.url}/{SHARDS}/{record.file} is not what the cluster built",
                found=f"SHA-256 {bytes_sha256(data)}",
                fix="it is not used; look who writes there, and run again: it is built again",
            )
        atomic.write(folder / record.file, data)
    return record


def _forget(results: Store, record: ShardRecord) -> None:
    for name in (f"{RECORDS}/{record.file}.json", f"{SHARDS}/{record.file}"):
        results.remove(name)


def run(config: PrepareTree, job: PrepareJob, store: Store, seal: Seal) -> list[dict[str, JsonValue]]:
    """On the cluster: the shards that no job has built before; the records of all."""
    results = store.parent
    records = results.child(RECORDS)
    known = {planned.file for planned in job.wanted if _known(records, planned, seal)}
    with tempfile.TemporaryDirectory() as scratch:
        raw = Path(scratch)
        bring(store.child(RAW), raw, seal)
        given = read_spec(raw)
        builder = Builder(config.data, raw, given, with_added(given, config.data), raw)
        missing = [planned for planned in job.wanted if planned.file not in known]
        for record, _ in built(config, builder, missing, results.child(SHARDS).url):
            seal.write(records, f"{record.file}.json", record.model_dump(mode="json"))
            _LOG.info(f"prepare: {record.file} with {record.num_samples} images")
    return [seal.read(records, f"{planned.file}.json") for planned in job.wanted]


def _known(records: Store, planned: Planned, seal: Seal) -> bool:
    """Whether the shard was built by a job before."""
    try:
        return bool(seal.read(records, f"{planned.file}.json"))
    except FileNotFoundError:
        return False
    except SealError as error:
        _LOG.info(f"prepare: {error.line}; {planned.file} is built again")
        return False


if __name__ == "__main__":
    sys.exit(do(run, PrepareTree, PrepareJob))
