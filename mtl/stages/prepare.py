"""Stage 2: outputs/raw → shards, by the operations of params.yaml."""

from __future__ import annotations

import json
import os
import shutil

from mtl.config import load
from mtl.data.on_ray import runner
from mtl.data.prepare import prepare
from mtl.data.spec import SPLITS
from mtl.stages import OUTPUTS, run_stage


def main() -> None:
    """Prepare the raw data set for training."""
    if os.environ.get("MTL_FROM_SCRATCH"):
        shutil.rmtree(OUTPUTS / "prepared", ignore_errors=True)
    config = load()
    manifest = prepare(config.data, OUTPUTS / "raw", OUTPUTS / "prepared", runner=runner(config))
    summary = {
        "samples": {split: manifest.num_samples(split) for split in SPLITS},
        "quarantined": len(manifest.quarantined),
        "shards": len(manifest.shards),
    }
    (OUTPUTS / "data.json").write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    run_stage(main)
