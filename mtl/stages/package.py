"""Stage 5: weights → the model as users load it, as an MLflow model folder."""

from __future__ import annotations

import logging
import shutil

import torch

from mtl.config.checking import read
from mtl.config.trees.model import ModelTree
from mtl.data.shards import manifest
from mtl.package.bundle import EVALUATION, read_bundle, write_bundle
from mtl.package.drift_reference import write_reference
from mtl.package.mlflow_model import write_mlflow_model
from mtl.stages import OUTPUTS, run_stage

_LOG = logging.getLogger(__name__)


def main() -> None:
    """Package the model with its preprocessing."""
    out, bundle = OUTPUTS / "package", OUTPUTS / "package" / "bundle"
    shutil.rmtree(out, ignore_errors=True)
    config = read(ModelTree)
    write_bundle(bundle, config, manifest.read(OUTPUTS / "prepared"), OUTPUTS / "train" / "weights.safetensors")
    model, tasks, _ = read_bundle(bundle)
    # What it was made with travels with the model, so that production images can be compared with it anywhere.
    torch.set_num_threads(config.train.num_workers * config.train.threads_per_worker)
    write_reference(bundle, model, tasks, OUTPUTS / "prepared", config.evaluate.batch_size)
    # How good it is travels with the model.
    shutil.copyfile(OUTPUTS / "evaluate" / "report.json", bundle / EVALUATION)
    report = write_mlflow_model(out / "model", bundle)
    shutil.rmtree(bundle)
    (out / "report.json").write_text(report.model_dump_json(indent=1) + "\n", encoding="utf-8")
    _LOG.info(f"package: {report.num_bytes / 2**20:.1f} MiB, weights sha256 {report.weights_sha256}")


if __name__ == "__main__":
    run_stage(main)
