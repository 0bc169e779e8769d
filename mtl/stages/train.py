"""Stage 3: shards → weights, with Ray Train."""

from __future__ import annotations

import csv
import os
import shutil

from mtl.config.checking import read
from mtl.config.trees.training import TrainingTree
from mtl.reports import TrainReport, read_report
from mtl.stages import OUTPUTS, home, run_stage
from mtl.train.launch import train


def main() -> None:
    """Train the model that params.yaml describes."""
    out = OUTPUTS / "train"
    from_scratch = bool(os.environ.get("MTL_FROM_SCRATCH"))
    final = train(read(TrainingTree), OUTPUTS / "prepared", home(), from_scratch=from_scratch)
    out.mkdir(parents=True, exist_ok=True)
    for name in ("weights.safetensors", "training.json"):
        shutil.copyfile(final / name, out / name)
    history = [row.as_json() for row in read_report(TrainReport, out / "training.json").history]
    with (OUTPUTS / "history.csv").open("w", newline="", encoding="utf-8") as file:
        columns = [key for key in history[0] if key != "cosines"]  # a matrix, which is in training.json
        writer = csv.DictWriter(file, fieldnames=columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(history)


if __name__ == "__main__":
    run_stage(main)
