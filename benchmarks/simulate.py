"""Ten million images that nobody has: everything before the first of them is read, on a bucket whose listing is made up.

    python -m benchmarks.simulate [--images 10000000] [--only look index plan manifest near]

The listing is the only thing that is not real. What reads it is what reads a bucket's: a look for changes, and another when nothing is
new; the index with its splits; the plan of shards; their manifest; near duplicates among hashes that are made up, of which one in a
hundred has a partner. Each step is a process of its own; seconds of processor time and peak memory are kept in
benchmarks/results/simulate.json. The files themselves, and the time that a server takes to answer, are not in it: see
benchmarks/scale.py and docs/sizing.md.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
from fsspec import AbstractFileSystem

from benchmarks import scale

FOLDER = 1000
"""Images in a folder."""
CLASSES = 10
PAGE = 1000
SHARD = 2048
"""Samples of a shard, as in params.yaml."""
PATH = "s3://made/photos"


class S3FileSystem(AbstractFileSystem):
    """A bucket of so many objects: of S3's questions it answers the one that lists a page."""

    protocol = ("s3", "s3a")
    images = 0

    def call_s3(self, question: str, **asked: Any) -> dict[str, Any]:
        """A page of ListObjectsV2, or the folders on top."""
        assert question == "list_objects_v2"
        if "Delimiter" in asked:
            return {"CommonPrefixes": [{"Prefix": f"photos/class{number}/"} for number in range(CLASSES)]}
        after = asked.get("ContinuationToken") or asked.get("StartAfter", "")
        first = self._first(after.removeprefix("photos/"))
        last = min(first + PAGE, self.images)
        found = {"Contents": [self._object(index) for index in range(first, last)], "IsTruncated": last < self.images}
        return found | {"NextContinuationToken": found["Contents"][-1]["Key"] if found["Contents"] else ""}

    @property
    def req_kw(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def _first(self, after: str) -> int:
        """The first object behind a name or a folder's."""
        if after.endswith(".jpg"):
            return int(after[-13:-4]) + 1
        return -(-int(after[5:-1]) * self.images // CLASSES) if after else 0

    def _object(self, index: int) -> dict[str, Any]:
        name = f"photos/class{index * CLASSES // self.images}/{index // FOLDER:07d}/{index:09d}.jpg"
        return {"Key": name, "Size": 150_000, "ETag": f'"{index * 0x9E3779B97F4A7C15 % 2**128:032x}"'}


def _made(images: int) -> None:
    """From now on the bucket has so many."""
    S3FileSystem.images = images
    fsspec.register_implementation("s3", S3FileSystem, clobber=True)


def look(images: int, home: Path) -> None:
    """For changes."""
    _made(images)
    scale.look(PATH, home)


def index(images: int, home: Path) -> None:
    """Names, ids, splits and keys, written as Parquet."""
    _made(images)
    scale.fetch(PATH, home)


def plan(images: int, home: Path) -> None:
    """Which image is in which shard."""
    assert sum(stop - start for _, _, start, stop in _planned(home)) == images


def _planned(home: Path) -> Iterable[tuple[str, str, int, int]]:
    from mtl.data.prepare.plan import plan as planned
    from mtl.data.raw.rows import RawSplit, read_spec
    from mtl.data.spec import SPLITS

    spec = read_spec(home / "raw")
    for split in SPLITS:
        rows = RawSplit(home / "raw", split, spec)
        for one in planned(split, rows.identities(), SHARD, "recipe"):
            yield split, one.file, one.start, one.stop


def manifest(images: int, home: Path) -> None:
    """Of all shards, with records as prepare writes them: written, and read again."""
    from mtl.data.raw.rows import read_spec
    from mtl.data.shards.manifest import NAME, Manifest, Moments, ShardRecord, Statistics, read

    moments = Moments(count=10**8, sum=(10**10,) * 3, squares=(10**12,) * 3)
    records = [
        ShardRecord(split=split, file=file, sha256="0" * 64, num_samples=stop - start, moments=moments)
        for split, file, start, stop in _planned(home)
    ]
    made = Manifest(
        spec=read_spec(home / "raw"),
        recipe="recipe",
        operations=(),
        height=224,
        width=224,
        channels=3,
        statistics=Statistics(mean=(0.5,) * 3, std=(0.2,) * 3),
        shards=tuple(records),
        split_sha256={},
    )
    (home / NAME).write_text(made.model_dump_json(indent=1), encoding="utf-8")
    assert read(home) == made


def near(images: int, home: Path) -> None:
    """Near duplicates, of hashes in a file as the check has them."""
    from mtl.data.inspect.near_duplicates import near_duplicates

    hashes = np.memmap(home / "hashes", np.uint64, "w+", shape=images)
    draw = np.random.default_rng(0)
    for start in range(0, images, 1 << 20):
        some = hashes[start : start + (1 << 20)]
        some[:] = draw.integers(1, 2**64, len(some), np.uint64)
        pairs = len(some) // 200
        some[:pairs] = some[-pairs:] ^ np.uint64(5)
    ends = [images * 8 // 10, images * 9 // 10, images]
    found = near_duplicates(hashes, ends, lambda places: {i: ("train", str(i)) for i in places}, home)
    assert found.num_pairs >= images // 250


STEPS = {"look": (look, look), "index": (index,), "plan": (plan,), "manifest": (manifest,), "near": (near,)}


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=10**7)
    parser.add_argument("--only", nargs="+", default=[*STEPS], choices=[*STEPS])
    options = parser.parse_args()
    rows: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        for name in options.only:
            for number, work in enumerate(STEPS[name]):
                called = f"{name}, nothing new" if number else name
                rows[called] = scale.measured(called, options.images, work, options.images, home)
    path = Path(__file__).parent / "results" / "simulate.json"
    before = json.loads(path.read_text())["rows"] if path.exists() else {}
    document = {"machine": {"cores": os.cpu_count()}, "rows": before | rows}
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
