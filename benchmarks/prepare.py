"""What preparing costs: beside a bare OpenCV loop, on more cores, when a few images are new, and in memory.

    python benchmarks/prepare.py [--photos 10000] [--images 50000] [--rows 1000000]

Everything in one run, on JPEGs made from scikit-image's photographs. Writes benchmarks/results/prepare.json.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from skimage import data as photographs

from mtl.config.data import DataConfig
from mtl.config.files import FilesSource
from mtl.data.prepare import cores as parallel
from mtl.data.prepare.prepare import on_cores, prepare
from mtl.data.raw.rows import FileRef, RawSample, write_spec, write_split
from mtl.data.sources.files import fetch_files
from mtl.data.spec import DatasetSpec, TargetSpec

ROUNDS = 3
NAMES = ("astronaut", "chelsea", "coffee", "rocket", "cat", "hubble_deep_field")


def write_photos(folder: Path, count: int, size: tuple[int, int], start: int = 0) -> None:
    """JPEGs, each another crop of a real photograph, in ten folders."""
    images = [getattr(photographs, name)() for name in NAMES]
    rng = np.random.default_rng(start)
    for number in range(start, start + count):
        image = images[number % len(images)]
        scale = rng.uniform(0.3, 1.0)
        height, width = int(image.shape[0] * scale), int(image.shape[1] * scale)
        top, left = rng.integers(image.shape[0] - height + 1), rng.integers(image.shape[1] - width + 1)
        crop = cv2.resize(image[top : top + height, left : left + width], size[::-1])
        crop = np.ascontiguousarray(crop)
        cv2.putText(crop, str(number), (4, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (255, 255, 0), 2)  # no two are the same
        path = folder / f"class{number % 10}" / f"{number:07d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), crop[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])


def write_many(folder: Path, count: int, start: int = 0) -> None:
    """JPEGs of 640×480: a few hundred, each many times with another comment in its bytes, which decoding passes over."""
    base = folder.parent / "base"
    if not base.exists():
        write_photos(base, 300, (480, 640))
    photos = [path.read_bytes() for path in sorted(base.rglob("*.jpg"))]
    for number in range(start, start + count):
        data = photos[number % len(photos)]
        comment = b"\xff\xfe\x00\x0a%08d" % number
        path = folder / f"class{number % 10}" / f"{number:07d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data[:2] + comment + data[2:])


def settings(folder: Path, side: int, shard_size: int) -> DataConfig:
    """A folder per class, resized."""
    return DataConfig.model_validate(
        {
            "source": {"type": "files", "sets": {"own": {"format": "image_folder", "path": str(folder)}}},
            "operations": (
                {"type": "decode"},
                {"type": "orient"},
                {"type": "resize", "height": side, "width": side},
                {"type": "standardize"},
            ),
            "shard_size": shard_size,
        }
    )


def bare(folder: Path, out: Path, side: int) -> None:
    """What anybody would write: decode, resize, write."""
    paths = sorted(folder.rglob("*.jpg"))
    with out.open("wb") as file:
        for path in paths:
            image = np.asarray(cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR_RGB))
            file.write(cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA).tobytes())


def bare_half(folder: Path, out: Path, half: int) -> None:
    """Every other image."""
    cv2.setNumThreads(1)
    with out.open("wb") as file:
        for path in sorted(folder.rglob("*.jpg"))[half::2]:
            image = np.asarray(cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR_RGB))
            file.write(cv2.resize(image, (224, 224), interpolation=cv2.INTER_AREA).tobytes())


def bare_twice(folder: Path, scratch: Path) -> None:
    """What this machine's two cores give a loop that shares nothing: forked, so that nothing is imported again."""
    processes = [
        multiprocessing.get_context("fork").Process(target=bare_half, args=(folder, scratch / f"half{n}.bin", n))
        for n in (0, 1)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()


def timed(work: Callable[[], Any]) -> float:
    """Seconds."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def full(config: DataConfig, scratch: Path, name: str) -> float:
    """Seconds of fetch and prepare together."""
    assert isinstance(config.source, FilesSource)
    source = config.source

    def both() -> None:
        fetch_files(source, 0, scratch / f"{name}-raw", scratch / "cache" / "downloads")
        prepare(config, scratch / f"{name}-raw", scratch / f"{name}-prepared")

    return timed(both)


def throughput(scratch: Path, count: int) -> dict[str, Any]:
    """Images per second on photographs of 640×480 to 224×224: a bare loop, one core, all cores."""
    folder = scratch / "photos"
    write_photos(folder, count, (480, 640))
    config = settings(folder, 224, 64)
    assert isinstance(config.source, FilesSource)
    fetch_files(config.source, 0, scratch / "raw", scratch / "cache" / "downloads")
    found: dict[str, list[float]] = {"bare": [], "bare, two processes": [], "one core": [], "all cores": []}
    cv2.setNumThreads(1)
    for turn in range(ROUNDS):
        loop = scratch / f"bare-{turn}.bin"  # a new file, as prepare's: memory that was never used costs, too
        found["bare"].append(timed(lambda o=loop: bare(folder, o, 224)))
        loop.unlink()
        found["bare, two processes"].append(timed(lambda: bare_twice(folder, scratch)))
        one = lambda builder, orders: map(builder.build, orders)  # noqa: E731
        for name, runner in (("one core", one), ("all cores", on_cores)):
            out = scratch / f"out-{name}-{turn}"
            found[name].append(timed(lambda o=out, r=runner: prepare(config, scratch / "raw", o, r)))
            shutil.rmtree(out)

    def ratio(name: str, other: str) -> float:
        return statistics.median(a / b for a, b in zip(found[name], found[other], strict=True))

    return {
        "images": count,
        "rounds": ROUNDS,
        "images_per_second": {name: count / statistics.median(seconds) for name, seconds in found.items()},
        "one core against the bare loop": ratio("bare", "one core"),
        "all cores against one": ratio("one core", "all cores"),
        "two bare loops against one": ratio("bare", "bare, two processes"),
    }


def increment(scratch: Path, count: int) -> dict[str, Any]:
    """1 % new images, as a sequence goes on and scattered by name: time and bytes against all."""
    result: dict[str, Any] = {"images": count}
    folder = scratch / "many"
    write_many(folder, count)
    config = settings(folder, 64, 32)
    result["seconds of all"] = full(config, scratch, "many")
    before = sizes(scratch / "many-prepared")
    result["seconds of none new"] = full(config, scratch, "many")
    write_many(folder, count // 100, start=count)
    result["seconds of 1 % new"] = full(config, scratch, "many")
    after = sizes(scratch / "many-prepared")
    result["share of the time"] = result["seconds of 1 % new"] / result["seconds of all"]
    result["share of the bytes"] = sum(s for n, s in after.items() if n not in before) / sum(after.values())
    prepare(config, scratch / "many-raw", scratch / "rebuilt")
    same = {p.name: p.read_bytes() for p in (scratch / "rebuilt").iterdir()}
    result["equal to a rebuild"] = same == {p.name: p.read_bytes() for p in (scratch / "many-prepared").iterdir()}
    del same
    # Scattered: the same number of images, with names all over the old ones'.
    rng = np.random.default_rng(7)
    for number in rng.choice(count, count // 100, replace=False):
        path = folder / f"class{number % 10}" / f"{number:07d}.jpg"
        path.with_name(f"{number:07d}-new.jpg").write_bytes(path.read_bytes() + b"\0")
    result["seconds of 1 % scattered"] = full(config, scratch, "many")
    scattered = sizes(scratch / "many-prepared")
    result["share of the time, scattered"] = result["seconds of 1 % scattered"] / result["seconds of all"]
    new = sum(s for n, s in scattered.items() if n not in after)
    result["share of the bytes, scattered"] = new / sum(scattered.values())
    return result


def sizes(folder: Path) -> dict[str, int]:
    """File → bytes; the manifest changes always, so it counts as new."""
    return {
        (p.name if p.suffix == ".safetensors" else f"{p.name}-{p.stat().st_mtime_ns}"): p.stat().st_size
        for p in folder.iterdir()
    }


def memory(rows: int, queue: Any) -> None:
    """Peak MiB of preparing a generated list of this many samples of one small image, in a process of its own."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "files").mkdir()
        cv2.imwrite(str(folder / "files" / "a.png"), np.full((8, 8, 3), 90, np.uint8))
        spec = DatasetSpec(name="files", targets={"x": TargetSpec(kind="value")}, roots={"own": str(folder / "files")})
        samples = generated(rows)
        for split, part in (("train", samples[200:]), ("val", samples[:100]), ("test", samples[100:200])):
            write_split(folder / "raw", split, spec, part)
        write_spec(folder / "raw", spec)
        del samples, part
        queue.put(measured_in_child(folder))


def generated(rows: int) -> list[RawSample]:
    """Samples that all name one file."""
    image = FileRef("a.png", "own")
    return [RawSample(f"{n:08d}", image, {"x": float(n)}, key=f"{n:064d}") for n in range(rows)]


def measured_in_child(folder: Path) -> dict[str, float]:
    """Prepare in a fresh process: its seconds and its peak memory."""
    script = (
        "import json, re, sys, time; from pathlib import Path; from benchmarks.prepare import settings; "
        "from mtl.data.prepare.prepare import prepare; f = Path(sys.argv[1]); began = time.monotonic(); "
        "prepare(settings(f / 'files', 8, 256), f / 'raw', f / 'out'); "
        # Not ru_maxrss: it counts the memory of the process that started this one.
        "peak = re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text()); "
        "print(json.dumps({'seconds': time.monotonic() - began, 'MiB': int(peak.group(1)) / 1024}))"
    )
    root = str(Path(__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", script, str(folder)], cwd=root, capture_output=True, text=True, check=True
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def peak(rows: int) -> dict[str, float]:
    """`memory` in a process of its own, so that making the list does not count."""
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=memory, args=(rows, queue))
    process.start()
    found: dict[str, float] = queue.get()
    process.join()
    return found


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--photos", type=int, default=10_000)
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--rows", type=int, default=1_000_000)
    options = parser.parse_args()
    found: dict[str, Any] = {"cores": os.cpu_count(), "patience": parallel.PATIENCE}
    with tempfile.TemporaryDirectory() as scratch:
        found["throughput"] = throughput(Path(scratch), options.photos)
        print(json.dumps(found["throughput"], indent=1), flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        found["increment"] = increment(Path(scratch), options.images)
        print(json.dumps(found["increment"], indent=1), flush=True)
    found["memory"] = {str(rows): peak(rows) for rows in (10_000, 100_000, options.rows)}
    print(json.dumps(found["memory"], indent=1), flush=True)
    path = Path(__file__).parent / "results" / "prepare.json"
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
