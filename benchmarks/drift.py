"""Alarms of the monitor on real images: without a shift, and by its kind and strength.

    python -m benchmarks.drift [BATCHES]      (in a checkout that has run: make run)

Batches of test images that are not in the package's reference against it. Writes benchmarks/results/drift.json.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from mtl.config.params import load
from mtl.data.loading.loader import Split
from mtl.monitor import profile as profiles
from mtl.monitor.drift import compare, usual_indices
from mtl.package.drift_reference import NUM_REFERENCE, profile
from mtl.package.predictor import Predictor

SHIFTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "none": lambda x: x,
    "4 % brighter": lambda x: np.clip(x.astype(np.float32) + 10, 0, 255).astype(np.uint8),
    "8 % brighter": lambda x: np.clip(x.astype(np.float32) + 20, 0, 255).astype(np.uint8),
    "slightly blurred": lambda x: np.stack([np.asarray(cv2.GaussianBlur(i, (0, 0), 0.5)) for i in x]),
    "blurred": lambda x: np.stack([np.asarray(cv2.GaussianBlur(i, (0, 0), 1.0)) for i in x]),
    "upside down": lambda x: x[:, ::-1].copy(),
}


def main() -> None:
    """Measure, print, keep."""
    num_batches = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    config = load()
    torch.set_num_threads(config.train.num_workers * config.train.threads_per_worker)
    bundle = Path("outputs/package/model/artifacts/bundle")
    predictor, reference = Predictor(bundle), profiles.read(bundle / profiles.NAME)
    split = Split(Path("outputs/prepared"), "test")
    fresh = np.setdiff1d(np.arange(len(split)), split.spread(NUM_REFERENCE))
    pixels = split.rows(fresh)["image"]
    sizes = {size: usual_indices(reference, size) for size in (50, 100, 200)}
    rows: list[dict[str, Any]] = []
    for name, change in SHIFTS.items():
        shifted = change(pixels)
        parts = [
            profile(predictor.model, predictor.tasks, predictor.statistics, shifted[i : i + 100])
            for i in range(0, len(shifted), 100)
        ]
        everything = profiles.join(parts)
        for size, usual in sizes.items():
            alarms = 0
            for number in range(num_batches):
                rng = np.random.default_rng(number)
                batch = everything.take(rng.choice(len(everything), size, replace=False))
                settings = config.monitor
                found = compare(reference, batch, alpha=settings.alpha, min_psi=settings.min_psi, usual=usual)
                alarms += any(one.shifted for one in found)
            rows.append({"shift": name, "images": size, "alarms": alarms / num_batches})
            print(rows[-1], flush=True)
    Path("benchmarks/results/drift.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
