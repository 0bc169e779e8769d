"""What runs on the cluster when a training was handed over: `python -m mtl.train.job STORE`."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from pathlib import Path

from mtl.cluster.handoff import do
from mtl.config.trees.training import TrainingTree
from mtl.storage.seal import Seal
from mtl.storage.store import Store
from mtl.train.launch import attempts
from mtl.train.worker import TrainJob


def run(config: TrainingTree, job: TrainJob, store: Store, seal: Seal) -> None:
    """Train on the cluster that this process runs on; the weights are in the store."""
    with tempfile.TemporaryDirectory() as scratch, contextlib.suppress(KeyboardInterrupt):
        here = job.model_copy(update={"cache": f"{scratch}/downloads"})
        attempts(config, here, Path(scratch, "trainings", store.parent.name), store, seal)


if __name__ == "__main__":
    sys.exit(do(run, TrainingTree, TrainJob))
