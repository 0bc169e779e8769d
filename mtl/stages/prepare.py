"""Stage 2: outputs/raw → shards, by the operations of params.yaml."""

from __future__ import annotations

import json
import os
import shutil

from mtl.config.checking import read
from mtl.config.trees.prepare import PrepareTree
from mtl.data.prepare.job import by_job
from mtl.data.prepare.prepare import Runner, on_cores, prepare
from mtl.data.prepare.ray import on_cluster
from mtl.data.spec import SPLITS
from mtl.stages import OUTPUTS, home, run_stage


def main() -> None:
    """Prepare the raw data set for training."""
    if os.environ.get("MTL_FROM_SCRATCH"):
        shutil.rmtree(OUTPUTS / "prepared", ignore_errors=True)
    config = read(PrepareTree)
    manifest = prepare(config.data, OUTPUTS / "raw", OUTPUTS / "prepared", runner=runner_of(config))
    summary = {
        "samples": {split: manifest.num_samples(split) for split in SPLITS},
        "quarantined": len(manifest.quarantined),
        "shards": len(manifest.shards),
    }
    (OUTPUTS / "data.json").write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")


def runner_of(config: PrepareTree) -> Runner:
    """Where `cluster.prepare` says that shards are built."""
    if config.cluster.prepare == "cores":
        return on_cores
    return by_job(config, home()) if config.cluster.by_jobs else on_cluster(config)


if __name__ == "__main__":
    run_stage(main)
