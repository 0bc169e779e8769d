"""What reading in training costs: images per second of the loader, beside a plain copy of the same bytes and webdataset.

    python -m benchmarks.reading [--images 20000]

The same uint8 images of 64×64 in every form, batches of 32, one process. Writes benchmarks/results/reading.json.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from webdataset.compat import WebDataset
from webdataset.writer import ShardWriter

from benchmarks.measuring.manifest import write_manifest
from mtl.data.loading.loader import Split, collate
from mtl.data.shards import shards
from mtl.data.shards.manifest import ShardRecord
from mtl.data.spec import DatasetSpec, TargetSpec

BATCH, SIDE = 32, 64
SPEC = DatasetSpec(name="x", targets={"label": TargetSpec(kind="label", classes=("a", "b"))})


def write_shards(folder: Path, images: np.ndarray, size: int) -> Split:
    """The images as the loader reads them, in shards of `size`."""
    folder.mkdir()
    records: list[ShardRecord] = []
    for start in range(0, len(images), size):
        part = images[start : start + size]
        file = f"train-{start:07d}.safetensors"
        arrays = shards.pack(SPEC, [{"image": image, "label": 0} for image in part], SIDE, SIDE)
        ids = [f"{start + i:07d}" for i in range(len(part))]
        sha = shards.write(folder / file, arrays, ids, ids, {})
        records.append(ShardRecord(split="train", file=file, sha256=sha, num_samples=len(part)))
    write_manifest(folder, SPEC, SIDE, records)
    return Split(folder, "train")


def write_tars(folder: Path, images: np.ndarray) -> str:
    """The images as webdataset reads them, bytes as they are."""
    folder.mkdir()
    with ShardWriter(str(folder / "%06d.tar"), maxcount=1000, verbose=0) as writer:
        for number, image in enumerate(images):
            writer.write({"__key__": f"{number:07d}", "bin": image.tobytes(), "cls": b"0"})
    last = (len(images) - 1) // 1000
    return str(folder / f"{{000000..{last:06d}}}.tar")


def from_tars(url: str) -> Iterator[np.ndarray]:
    """Batches as webdataset's users make them: shards in random order, a shuffle buffer, batches."""
    data = WebDataset(url, shardshuffle=100, empty_check=False, seed=0).shuffle(1000)
    samples = data.map(lambda s: np.frombuffer(s["bin"], np.uint8).reshape(SIDE, SIDE, 3))
    yield from (np.stack(batch) for batch in samples.batched(BATCH, collation_fn=list))  # pyright: ignore[reportGeneralTypeIssues]  # it is iterable


def rate(images: int, read: Callable[[], Any]) -> float:
    """Images per second, the best of three: what else the machine does only adds."""
    seconds: list[float] = []
    for _ in range(3):
        began = time.perf_counter()
        read()
        seconds.append(time.perf_counter() - began)
    return images / min(seconds)


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=20_000)
    count = parser.parse_args().images
    images = np.random.default_rng(0).integers(0, 255, (count, SIDE, SIDE, 3), np.uint8)
    order = np.random.default_rng(1).permutation(count)
    batches = [order[i : i + BATCH] for i in range(0, count, BATCH)]
    found: dict[str, float] = {"plain copy, random": rate(count, lambda: [images[b] for b in batches])}
    with tempfile.TemporaryDirectory() as scratch:
        for size in (64, 2048):
            split = write_shards(Path(scratch, str(size)), images, size)
            in_order = [np.sort(order)[i : i + BATCH] for i in range(0, count, BATCH)]
            found[f"shards of {size}, random"] = rate(count, lambda s=split: [s.rows(b) for b in batches])
            found[f"shards of {size}, in order"] = rate(count, lambda s=split, o=in_order: [s.rows(b) for b in o])
            found[f"shards of {size}, random, as float batches"] = rate(
                count, lambda s=split: [collate(s, b) for b in batches]
            )
        url = write_tars(Path(scratch, "tars"), images)
        found["webdataset, shuffle buffer"] = rate(count, lambda: [None for _ in from_tars(url)])
    copy = found["plain copy, random"]
    for name, value in found.items():
        print(f"{name:<44} {value:10.0f} images/s {value / copy:6.2f} × the plain copy")
    document = {"images": count, "side": SIDE, "batch": BATCH, "images_per_second": found}
    path = Path(__file__).parent / "results" / "reading.json"
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
