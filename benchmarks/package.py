"""What packaging costs: loading, one image, many images, size — the package beside the bare module.

    python -m benchmarks.package [ROUNDS]      (in a checkout that has run: make run)

The bare module decodes, standardizes and runs the same network on the same threads, with nothing between: OpenCV, one
tensor, `forward`, and each task's own `predict`. The package gives typed rows. In turns, in one process; medians of ratios.
`mtl predict` reads files and writes Parquet on one core through Ray Data; what it takes to start is subtracted (the time of few
images from that of many), and the bare module reads the same files right after it. Writes benchmarks/results/package.json.
"""

from __future__ import annotations

import json
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from mtl.config.params import load
from mtl.data.loading.loader import as_images
from mtl.data.raw.rows import RawSplit, read_spec
from mtl.package.bundle import read_bundle
from mtl.package.predictor import BATCH, Predictor
from mtl.serving.batch import predict_all
from mtl.serving.sources import choose

PACKAGE = Path("outputs/package/model")
NUM_SINGLE, NUM_BATCH = 100, 1000
FEW, MANY = 256, 4352


def main() -> None:
    """Measure, print, keep."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    torch.set_num_threads(load().train.threads_per_worker)
    bundle = PACKAGE / "artifacts" / "bundle"
    images = read_images(NUM_BATCH)
    bare, loaded = bare_module(bundle), Predictor(bundle)
    ways: dict[str, Callable[[list[bytes]], Any]] = {"bare": bare, "package": loaded.predict, "pyfunc": pyfunc()}
    single = {name: list[float]() for name in ways}
    batch = {name: list[float]() for name in ways}
    for way in ways.values():
        way(images[:BATCH])
    for number in range(rounds):
        order = list(ways) if number % 2 else list(reversed(ways))
        for name in order:
            single[name].append(
                timed(lambda way=ways[name]: [way([image]) for image in images[:NUM_SINGLE]]) / NUM_SINGLE
            )
            batch[name].append(timed(lambda way=ways[name]: way(images)) / NUM_BATCH)
    folder_ratio = on_ray_data(images, bare)
    loads = {
        "bare": [timed(lambda: read_bundle(bundle)) for _ in range(3)],
        "package": [timed(lambda: Predictor(bundle)) for _ in range(3)],
    }
    weights = next(PACKAGE.rglob("weights.safetensors")).stat().st_size
    size = sum(path.stat().st_size for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    result: dict[str, Any] = {
        "machine": f"{platform.machine()}, one thread, torch {torch.__version__}",
        "single_ms": {name: 1000 * statistics.median(values) for name, values in single.items()},
        "single_ratio": ratios(single),
        "images_per_second": {name: 1 / statistics.median(values) for name, values in batch.items()},
        "batch_speed_ratio": {name: 1 / ratio for name, ratio in ratios(batch).items()},
        "mtl_predict_speed_ratio": folder_ratio,
        "load_ms": {name: 1000 * statistics.median(values) for name, values in loads.items()},
        "size": {"weights": weights, "package": size, "bar": 1.1 * weights + 2 * 2**20},
    }
    print(json.dumps(result, indent=1))
    Path("benchmarks/results/package.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def read_images(count: int) -> list[bytes]:
    """Encoded test images."""
    raw = Path("outputs/raw")
    rows = RawSplit(raw, "test", read_spec(raw))
    return [sample.image for sample in rows.samples(0, count) if isinstance(sample.image, bytes)]


def bare_module(bundle: Path) -> Callable[[list[bytes]], Any]:
    """Decode, standardize, forward, predict, and nothing more."""
    model, tasks, described = read_bundle(bundle)
    from mtl.data.shards.manifest import Statistics

    statistics_ = Statistics(mean=described.image.mean, std=described.image.std)
    size = (described.image.width, described.image.height)

    @torch.inference_mode()
    def run(images: list[bytes]) -> Any:
        found: list[Any] = []
        for start in range(0, len(images), BATCH):
            pixels = [
                cv2.resize(np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)), size)
                for data in images[start : start + BATCH]
            ]
            outputs = model(as_images(torch.from_numpy(np.stack(pixels)), statistics_))
            found.append({name: task.predict(outputs[name]) for name, task in tasks.items()})
        return found

    return run


def pyfunc() -> Callable[[list[bytes]], Any]:
    """The package as MLflow loads it."""
    import mlflow
    import pandas as pd

    model = mlflow.pyfunc.load_model(str(PACKAGE))
    return lambda images: model.predict(pd.DataFrame({"image": images}))


def on_ray_data(images: list[bytes], bare: Callable[[list[bytes]], Any]) -> float:
    """Images per second of `mtl predict` by those of the bare module, both from files."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "images")
        folder.mkdir()
        for i in range(MANY):
            (folder / f"{i:05d}.png").write_bytes(images[i % len(images)])
        chosen = choose([str(folder)])
        seconds = [
            timed(lambda n=n: predict_all(load(), PACKAGE, chosen[:n], f"{scratch}/out-{n}", ["parquet"]))
            for n in (FEW, MANY)
        ]
        files = sorted(folder.iterdir())[FEW:]
        plain = timed(
            lambda: [bare([f.read_bytes() for f in files[i : i + BATCH]]) for i in range(0, len(files), BATCH)]
        )
    return plain / (seconds[1] - seconds[0])


def timed(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def ratios(seconds: dict[str, list[float]]) -> dict[str, float]:
    """Median over rounds of each way's time by the bare module's in the same round."""
    return {
        name: statistics.median(v / b for v, b in zip(values, seconds["bare"], strict=True))
        for name, values in seconds.items()
    }


if __name__ == "__main__":
    main()
