"""What checkpoints cost a training: none, in the background, and waited for, in turns in one process.

    python -m benchmarks.checkpoint [ROUNDS]      (in a checkout whose data are prepared: dvc repro prepare)

Each turn is 50 steps of params.yaml's training with one worker; a checkpoint at its beginning. Prints medians and ratios,
and writes benchmarks/results/checkpoint.json.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mtl.config.params import load
from mtl.data.loading import sampler
from mtl.storage.store import Store
from mtl.train.checkpoint import Checkpoints
from mtl.train.process_group import ProcessGroup
from mtl.train.training import Training

STEPS = 50


def main() -> None:
    """Measure, print, keep."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 6
    training = Training(load(), Path("outputs/prepared"), ProcessGroup())
    order = sampler.epoch_order(0, 0, len(training.train_split))
    seconds: dict[str, list[float]] = {"none": [], "background": [], "waited for": []}
    with tempfile.TemporaryDirectory(dir=".") as scratch:
        checkpoints = Checkpoints(Store(scratch), keep=2)
        turn(training, order, lambda: None)
        for number in range(rounds):
            for name in list(seconds) if number % 2 else reversed(seconds):
                step = training.progress.total_steps

                def save(kind: str = name, step: int = step) -> None:
                    if kind != "none":
                        checkpoints.save(step, training.state())
                    if kind == "waited for":
                        checkpoints.flush()

                seconds[name].append(turn(training, order, save))
                checkpoints.flush()
        size = sum(p.stat().st_size for p in Path(scratch).rglob("state-*")) / 2
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    ratios = {
        name: statistics.median(v / n for v, n in zip(values, seconds["none"], strict=True))
        for name, values in seconds.items()
    }
    for name, value in medians.items():
        print(f"{name:<12} {value:6.2f} s for {STEPS} steps   {ratios[name]:.3f} × none")
    print(f"a checkpoint has {size / 2**20:.1f} MiB")
    document = {
        "machine": {"cores": os.cpu_count(), "python": platform.python_version()},
        "steps": STEPS,
        "bytes": size,
        "seconds": seconds,
        "ratios": ratios,
    }
    Path("benchmarks/results/checkpoint.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def turn(training: Training, order: np.ndarray, save: Callable[[], None]) -> float:
    """Seconds of some steps after a checkpoint."""
    began = time.perf_counter()
    save()
    for _ in range(STEPS):
        if training.progress.step >= training.steps_per_epoch:
            training.progress.step = 0
        training.one_step(order)
    training.read()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
