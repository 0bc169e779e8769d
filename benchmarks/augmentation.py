"""What each change of `augment` costs: milliseconds of one core per image.

    python -m benchmarks.augmentation [ROUNDS]

Batches of 32 drawn scenes with a class, boxes and a mask, of two sizes: gathered, changed, standardized. Each change beside none at
all, which already moves every image by its affine map. Prints them; writes benchmarks/results/augmentation.json.
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
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.measuring.scenes import write_scenes
from benchmarks.measuring.timing import in_turns
from mtl.config.augment import AugmentConfig
from mtl.data.loading.draws import draw_changes
from mtl.data.loading.layers import joined
from mtl.data.loading.loader import Split

BATCH, STEPS = 32, 8
SIDES = (64, 224)
NONE = dict.fromkeys(("flip", "translate", "scale", "rotate", "brightness", "contrast", "saturation"), 0.0)
CHANGES: dict[str, dict[str, Any]] = {
    "none": {},
    "crop": {"crop": {}},
    "rand_augment": {"rand_augment": {}},
    "erasing": {"erasing": {"probability": 1.0}},
    "mixup": {"mixup": {"probability": 1.0}},
    "cutmix": {"cutmix": {"probability": 1.0}},
    "mosaic": {"mosaic": {"probability": 1.0}},
}


def steps(split: Split) -> dict[str, Callable[[], object]]:
    """Change → what makes a batch with it in every image."""
    places = np.arange(BATCH)

    def make(config: AugmentConfig) -> object:
        return joined(split, places, draw_changes(config, 0, 0, 0, BATCH), places)

    configs = {name: AugmentConfig.model_validate(NONE | how, strict=False) for name, how in CHANGES.items()}
    return {name: partial(make, config) for name, config in configs.items()}


def main() -> None:
    """Measure, print, keep."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    torch.set_num_threads(1)
    document: dict[str, Any] = {
        "machine": {"cores": os.cpu_count(), "processor": platform.machine(), "torch": torch.__version__}
    }
    for side in SIDES:
        with tempfile.TemporaryDirectory() as folder:
            split = Split(write_scenes(Path(folder), side, 64, 8), "train")
            taken = in_turns(steps(split), STEPS, rounds, clock=time.process_time)
        document[str(side)] = {name: statistics.median(seconds) * 1000 / BATCH for name, seconds in taken.items()}
        print(f"{side}×{side}  " + "  ".join(f"{name} {ms:.3f} ms" for name, ms in document[str(side)].items()))
    path = Path(__file__).parent / "results" / "augmentation.json"
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
