"""What streaming shards from a bucket costs, beside mosaicml-streaming, litdata and webdataset on the same JPEGs.

    uv venv build/peers && uv pip install --python build/peers/bin/python mosaicml-streaming litdata webdataset boto3 opencv-python-headless
    python -m benchmarks.streaming --peers build/peers/bin/python [--images 6144]

Photographs of 224×224 as JPEG, 64 a shard, in an S3 server on this machine; batches of 64, decoded; two decoding threads or
processes; a window of 6 shards; a cache of a third of the data, where one can be asked for. Each reading begins in a process of its own,
with an empty cache. A resume goes on in mid-epoch, elsewhere: with an empty cache, too. Writes benchmarks/results/streaming.json.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import s3fs
from skimage import data as photographs

from benchmarks.measuring.manifest import write_manifest
from mtl.data.codecs.pictures import Jpeg
from mtl.data.shards import coded, shards
from mtl.data.shards.manifest import ShardRecord
from mtl.data.shards.stream import publish
from mtl.data.spec import DatasetSpec, TargetSpec
from mtl.storage.store import Store
from tests.servers import object_store, running, s3_environment

SIDE, PER_SHARD, BATCH, WINDOW, WORKERS = 224, 64, 64, 6, 2
SPEC = DatasetSpec(name="x", targets={"label": TargetSpec(kind="label", classes=("a", "b"))})
RESULTS = Path(__file__).parent / "results" / "streaming.json"
LONGEST = 240
"""Seconds that one reading may take."""
ROOT = Path(__file__).parents[1]
READERS = Path(__file__).with_name("streaming_readers.py")
MAKE = """
import sys, json, io, tarfile
from pathlib import Path
from streaming import MDSWriter
from litdata.streaming import Cache
codes, per_shard = sorted(Path(sys.argv[1]).glob("*.jpg")), int(sys.argv[3])
out = Path(sys.argv[2])
size = sum(path.stat().st_size for path in codes) // len(codes) * per_shard
with MDSWriter(out=str(out / "mds"), columns={"image": "bytes", "label": "int"}, size_limit=size) as writer:
    for number, path in enumerate(codes):
        writer.write({"image": path.read_bytes(), "label": number})
cache = Cache(str(out / "lit"), chunk_size=per_shard)
for number, path in enumerate(codes):
    cache[number] = (path.read_bytes(), number)
cache.done()
cache.merge()
(out / "tars").mkdir()
for start in range(0, len(codes), per_shard):
    with tarfile.open(out / "tars" / f"{start:08d}.tar", "w") as tar:
        for number in range(start, min(start + per_shard, len(codes))):
            for name, content in ((f"{number:08d}.jpg", codes[number].read_bytes()), (f"{number:08d}.cls", b"%d" % number)):
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
"""


def make_codes(folder: Path, number: int) -> None:
    """Crops of photographs, as JPEG of quality 90."""
    folder.mkdir()
    whole = [photographs.chelsea(), photographs.coffee(), photographs.rocket(), photographs.astronaut()]
    rng, codec = np.random.default_rng(0), Jpeg(90)
    for index in range(number):
        image = whole[index % len(whole)]
        side = int(min(image.shape[:2]) * rng.uniform(0.5, 1.0))
        y, x = (int(rng.integers(0, full - side + 1)) for full in image.shape[:2])
        crop = cv2.resize(image[y : y + side, x : x + side], (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        (folder / f"{index:08d}.jpg").write_bytes(codec.encode(crop))


def make_shards(codes: Path, folder: Path) -> None:
    """The same JPEGs in a prepared folder."""
    folder.mkdir()
    paths, records = sorted(codes.glob("*.jpg")), list[ShardRecord]()
    for start in range(0, len(paths), PER_SHARD):
        part = paths[start : start + PER_SHARD]
        labels = np.arange(start, start + len(part))
        arrays = {"image": np.empty((len(part), SIDE, SIDE, 3), np.uint8), "label": labels}
        arrays["label.present"] = np.ones(len(part), np.bool_)
        file, ids = f"train-{start:08d}.safetensors", [path.stem for path in part]
        written = coded.coded(arrays, Jpeg(), [path.read_bytes() for path in part])
        sha256 = shards.write(folder / file, written, ids, ids, {})
        records.append(ShardRecord(split="train", file=file, sha256=sha256, num_samples=len(part)))
    write_manifest(folder, SPEC, SIDE, records)


def jobs(work: Path, peers: str) -> dict[str, dict[str, Any]]:
    """Everything in the bucket; reader → what it is told."""
    files = s3fs.S3FileSystem()
    if peers:
        words = [peers, "-P", "-c", MAKE, work / "codes", work / "made", PER_SHARD]
        subprocess.run([str(word) for word in words], check=True, stdout=subprocess.DEVNULL)
        for name in ("mds", "lit", "tars"):
            files.put(str(work / "made" / name), f"store/{name}", recursive=True)
    url = "s3://store/mtl"
    found: dict[str, dict[str, Any]] = {
        "mtl": {"url": url, "address": asdict(publish(work / "prepared", Store(f"{url}/shards"), None))}
    }
    if peers:
        tars = sorted(files.ls("store/tars"))
        found["mosaicml-streaming"] = {"url": "s3://store/mds"}
        found["litdata"] = {"url": "s3://store/lit"}
        found["webdataset"] = {"urls": [str(files.sign(name, expiration=7200)) for name in tars]}
    return found


def read(python: str, job: dict[str, Any]) -> dict[str, Any]:
    """One reading, in a process of its own with an empty cache."""
    with tempfile.TemporaryDirectory() as cache:
        words = [python, "-P", str(READERS), json.dumps(job | {"cache": f"{cache}/c"})]
        environment = os.environ | {"PYTHONPATH": str(ROOT) if python == sys.executable else ""}
        try:
            done = subprocess.run(words, capture_output=True, text=True, timeout=LONGEST, check=False, env=environment)
        except subprocess.TimeoutExpired:
            return {"failed": f"not done in {LONGEST} s"}
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT")]
    return json.loads(lines[-1][6:]) if lines else {"failed": (done.stderr or done.stdout)[-600:]}


def measured(reader: str, python: str, job: dict[str, Any], steps: int, repeats: int) -> dict[str, Any]:
    """The best of some readings of an epoch, a resume in its middle, and whether the order is the same with one decoder."""
    job = job | {"reader": reader, "start": 0, "half": steps // 2, "workers": WORKERS}
    runs = [read(python, job) for _ in range(repeats)]
    if any("failed" in run for run in runs):
        return next(run for run in runs if "failed" in run)
    found = max(runs, key=lambda run: run["images_per_second"])
    again, one = read(python, job | {"start": steps // 2}), read(python, job | {"workers": 1})
    if "failed" in one:
        found["with_one_worker"] = one["failed"]
    batches, steps_again = found.pop("batches"), again.pop("batches", [])
    return found | {
        "first_batch_seconds": min(run["first_batch_seconds"] for run in runs),
        "resume_seconds": again.get("first_batch_seconds", again.get("failed")),
        "resume_exact": steps_again == batches[steps // 2 :][: len(steps_again)] and bool(steps_again),
        "same_order_with_one_worker": one.get("order") == found["order"],
        "same_order_again": len({run["order"] for run in runs}) == 1,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", default="", help="a Python that has the peers; without it they are left out")
    parser.add_argument("--only", default="", help="one reader anew; the others' results stay")
    parser.add_argument("--images", type=int, default=6144)
    parser.add_argument("--repeats", type=int, default=2)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        make_codes(work / "codes", args.images)
        make_shards(work / "codes", work / "prepared")
        size = sum(path.stat().st_size for path in (work / "codes").iterdir())
        with running(object_store(work / "weed")) as server:
            os.environ |= s3_environment(server.address) | {"S3_ENDPOINT_URL": server.address}
            common = {
                "limit": size // 3,
                "window": WINDOW,
                "per_shard": PER_SHARD,
                "batch": BATCH,
                "state": str(work / "state.json"),
            }
            results: dict[str, Any] = {
                "images": args.images,
                "mib": round(size / 2**20, 1),
                "cache_mib": round(size / 3 / 2**20, 1),
            }
            if args.only:
                results = json.loads(RESULTS.read_text())
            for reader, job in jobs(work, args.peers).items():
                if args.only not in ("", reader):
                    continue
                python = sys.executable if reader == "mtl" else args.peers
                results[reader] = measured(reader, python, job | common, args.images // BATCH, args.repeats)
                print(reader, json.dumps(results[reader]), flush=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
