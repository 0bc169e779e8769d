"""What loading costs a training: batches made by the thread that trains, beside batches made ahead by threads of their own.

    python -m benchmarks.loading [ROUNDS]      (in a checkout whose data are prepared: dvc repro prepare)

Turns of some steps of params.yaml's training with one worker of one thread, in one process: with `cluster.prefetch` 0 and
with its default. Prints the share of a step that waits for its batch, images per second and their ratio; writes
benchmarks/results/loading.json. On a machine without an idle core nothing can be gained.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import torch

from mtl.config.params import load
from mtl.data.loading import sampler
from mtl.train.process_group import ProcessGroup
from mtl.train.training import Training

STEPS = 20
CASES = {
    "default network": [],
    "small network": [
        "model.backbone.widths=[8, 16, 16, 16]",
        "model.backbone.depths=[1, 1, 1, 1]",
        "model.neck_channels=16",
    ],
}


class Timed:
    """A training whose waiting for batches is measured."""

    def __init__(self, overrides: list[str]) -> None:
        self.training = Training(load(overrides=overrides), Path("outputs/prepared"), ProcessGroup())
        self.order = sampler.epoch_order(0, 0, len(self.training.train_split))
        self.waited, take = 0.0, self.training.feed.take

        def timed(*given: Any) -> Any:
            began = time.perf_counter()
            found = take(*given)
            self.waited += time.perf_counter() - began
            return found

        self.training.feed.take = timed  # type: ignore[method-assign]
        self.turn()

    def turn(self) -> tuple[float, float]:
        """Seconds of some steps, and of these for waiting; what is loaded ahead before them counts for nothing."""
        progress = self.training.progress
        if progress.step + STEPS > self.training.steps_per_epoch:
            progress.step = 0
        self.waited, began = 0.0, time.perf_counter()
        for _ in range(STEPS):
            self.training.one_step(self.order)
        self.training.read()
        return time.perf_counter() - began, self.waited


def main() -> None:
    """Measure, print, keep."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    document: dict[str, Any] = {
        "machine": {"cores": os.cpu_count(), "processor": platform.machine(), "torch": torch.__version__},
        "steps": STEPS,
    }
    for case, overrides in CASES.items():
        base = ["train.num_workers=1", *overrides]
        ways = {"in turn": Timed([*base, "cluster.prefetch=0"]), "ahead": Timed(base)}
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, way in ways.items():
                taken[name].append(way.turn())
        images = STEPS * ways["ahead"].training.config.train.batch_size
        row: dict[str, Any] = {
            name: {
                "images_per_second": images / statistics.median(seconds for seconds, _ in turns),
                "waiting": statistics.median(waited / seconds for seconds, waited in turns),
            }
            for name, turns in taken.items()
        }
        pairs = zip(taken["in turn"], taken["ahead"], strict=True)
        row["ratio"] = statistics.median(before / after for (before, _), (after, _) in pairs)
        document[case] = row
        shown = "  ".join(
            f"{n}: {r['images_per_second']:.0f} images/s, {r['waiting']:.1%} waiting"
            for n, r in row.items()
            if n in ways
        )
        print(f"{case:<16} {shown}  ratio {row['ratio']:.2f}")
    path = Path(__file__).parent / "results" / "loading.json"
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
