"""One reader of `benchmarks/streaming.py`, in a process of its own and, for the peers, in an environment without mtl.

    python benchmarks/streaming_readers.py '{"reader": "litdata", …}'

Reads an epoch from a bucket into an empty cache, or goes on in the middle of one, and prints what it took as JSON.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import resource
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

Batches = Iterator[tuple[np.ndarray, np.ndarray]]
"""uint8 [n, height, width, 3] and the numbers of the images."""


def began(job: dict[str, Any]) -> None:
    """Everything is imported: from here on it counts."""
    job["began"], job["cpu"] = time.perf_counter(), cpu_seconds()


def cpu_seconds() -> float:
    """Of this process and of its children that have ended: what a busy machine does not change."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def mtl(job: dict[str, Any], start: int) -> Batches:
    from mtl.config.cluster import ClusterConfig
    from mtl.config.order import WindowOrder
    from mtl.data.loading import sampler
    from mtl.data.loading.loader import Split
    from mtl.data.shards.node import shards_of_node
    from mtl.data.shards.stream import StreamAddress

    began(job)
    os.environ["MTL_SHARDS"] = job["cache"]
    cluster = ClusterConfig(
        address="local", storage=job["url"], use_gpu="never", shards="stream", shard_cache_gib=job["limit"] / 2**30
    )
    order = WindowOrder(type="window", shards=job["window"])
    split = Split(shards_of_node(cluster, order, Path("-"), None, StreamAddress(**job["address"])).folder, "train")
    epoch = sampler.order_of(order, 0, 0, split.shard_sizes())
    split.expect(sampler.of_worker(epoch, start, job["batch"], 0, 1))
    for at in sampler.of_worker(epoch, start, job["batch"], 0, 1):
        rows = split.rows(at)
        yield rows["image"], rows["label"]


def _decoded(code: bytes) -> np.ndarray:
    found = cv2.imdecode(np.frombuffer(code, np.uint8), cv2.IMREAD_COLOR_RGB)
    assert found is not None
    return found


def _joined(samples: Any) -> tuple[np.ndarray, np.ndarray]:
    return np.stack([image for image, _ in samples]), np.array([label for _, label in samples])


def mosaicml_streaming(job: dict[str, Any], start: int) -> Batches:
    from streaming import StreamingDataLoader, StreamingDataset  # pyright: ignore[reportMissingImports]
    from streaming.base.util import clean_stale_shared_memory  # pyright: ignore[reportMissingImports]

    class Images(StreamingDataset):
        def __getitem__(self, index: int) -> Any:
            found = super().__getitem__(index)
            return _decoded(found["image"]), found["label"]

    clean_stale_shared_memory()
    began(job)
    options = {"shuffle": True, "batch_size": job["batch"], "cache_limit": job["limit"], "num_canonical_nodes": 1}
    block = job["window"] * job["per_shard"]
    data = Images(remote=job["url"], local=job["cache"], shuffle_block_size=block, **options)
    loader = StreamingDataLoader(
        data, batch_size=job["batch"], num_workers=job["workers"], drop_last=True, collate_fn=_joined
    )
    if start:
        state = {"epoch": 0, "sample_in_epoch": start * job["batch"], "num_canonical_nodes": 1}
        loader.load_state_dict(state | {"shuffle_seed": data.shuffle_seed, "initial_physical_nodes": 1})
    yield from loader


def litdata(job: dict[str, Any], start: int) -> Batches:
    from litdata import StreamingDataLoader, StreamingDataset  # pyright: ignore[reportMissingImports]
    from litdata.streaming import downloader  # pyright: ignore[reportMissingImports]

    began(job)
    downloader._OBSTORE_CLIENT_OPTIONS["allow_http"] = True  # noqa: SLF001 (it has no setting; our bucket is without TLS)

    class Images(StreamingDataset):
        def __getitem__(self, index: Any) -> Any:
            image, label = super().__getitem__(index)
            return _decoded(image), label

    data = Images(
        job["url"],
        cache_dir=job["cache"],
        shuffle=True,
        drop_last=False,
        max_cache_size=job["limit"],
        force_override_state_dict=True,  # or it goes on in the same cache alone
        storage_options={"endpoint_url": os.environ["AWS_ENDPOINT_URL"]},
    )
    loader = StreamingDataLoader(data, batch_size=job["batch"], num_workers=job["workers"], collate_fn=_joined)
    kept = Path(job["state"])
    if start:
        loader.load_state_dict(json.loads(kept.read_text()))
    for step, batch in enumerate(loader, 1):
        yield batch
        if step == job["half"] and not start:
            kept.write_text(json.dumps(loader.state_dict()))


def webdataset(job: dict[str, Any], start: int) -> Batches:
    import torch
    from webdataset.compat import WebDataset

    began(job)
    data = WebDataset(
        job["urls"], shardshuffle=len(job["urls"]), seed=0, cache_dir=job["cache"], empty_check=False
    ).shuffle(job["window"] * job["per_shard"])
    samples = data.map(lambda found: (_decoded(found["jpg"]), int(found["cls"])))
    batches: Any = samples.batched(job["batch"], collation_fn=_joined, partial=False)
    loader = torch.utils.data.DataLoader(batches, batch_size=None, num_workers=job["workers"])
    yield from itertools.islice(loader, start, None)  # it has no state: what was read before is read again


READERS = {"mtl": mtl, "mosaicml-streaming": mosaicml_streaming, "litdata": litdata, "webdataset": webdataset}


def watch(folder: Path, found: list[int]) -> None:
    """The most bytes that were in a folder."""
    while True:
        sizes = [0]
        for path in folder.rglob("*"):
            try:
                sizes.append(path.stat().st_blocks * 512 if path.is_file() else 0)
            except OSError:  # it has gone
                continue
        found[0] = max(found[0], sum(sizes))
        time.sleep(0.02)


def measure(job: dict[str, Any]) -> dict[str, Any]:
    """Seconds to the first batch, images per second, bytes on disk, and what was read in which order."""
    disk = [0]
    Path(job["cache"]).mkdir(parents=True, exist_ok=True)
    threading.Thread(target=watch, args=(Path(job["cache"]), disk), daemon=True).start()
    first, images, labels, total = 0.0, 0, [], 0
    for pixels, numbers in READERS[job["reader"]](job, job["start"]):
        first = first or time.perf_counter() - job["began"]
        images += len(pixels)
        total += int(pixels[:, 0, 0, 0].sum())
        labels.append([int(number) for number in numbers])
        if job["start"] and len(labels) == 3:
            break
    seconds = time.perf_counter() - job["began"]
    flat = [number for batch in labels for number in batch]
    return {
        "first_batch_seconds": round(first, 3),
        "images_per_second": round(images / seconds),
        "cpu_ms_per_image": round((cpu_seconds() - job["cpu"]) * 1000 / images, 3),
        "disk_mib": round(disk[0] / 2**20, 1),
        "each_once": sorted(flat) == list(range(len(flat))),
        "images": images,
        "order": hashlib.sha256(json.dumps(flat).encode()).hexdigest()[:16],
        "batches": labels,
    }


if __name__ == "__main__":
    print("RESULT" + json.dumps(measure(json.loads(sys.argv[1]))), flush=True)
    os._exit(0)
