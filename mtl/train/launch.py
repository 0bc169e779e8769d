"""Start Ray, or join it, and train. The only ray import of training, beside the worker's own context."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mtl.cluster import cluster
from mtl.config import Config, TrainingError
from mtl.config import errors as errors_module
from mtl.data.staging import shipment
from mtl.train.checkpoint import MANIFEST
from mtl.train.worker import ERROR, FINAL

# Sections of params.yaml on which the weights depend.
SECTIONS = ("seed", "tasks", "model", "objective", "augment", "train", "evaluate")
# Unfinished trainings hold checkpoints; finished ones only their weights and history.
KEEP_UNFINISHED, KEEP_FINISHED = 4, 64


def training_key(config: Config, prepared: Path) -> str:
    """Content key of a training: what it computes depends on this alone, so a resume can never mix two."""
    digest = hashlib.sha256((prepared / "manifest.json").read_bytes())
    values = config.model_dump(mode="json")
    digest.update(json.dumps({name: values[name] for name in SECTIONS}, sort_keys=True).encode())
    package = Path(__file__).parents[1]
    for path in sorted(package.rglob("*.py")):
        digest.update(path.relative_to(package).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def train(
    config: Config, prepared: Path, home: Path, *, from_scratch: bool, say: Callable[[str], None] = print
) -> Path:
    """Train and return the folder with `weights.safetensors` and `training.json`.

    A training that was interrupted goes on from its last complete checkpoint; one that is complete is taken as it is.

    Raises:
        TrainingError: the training cannot go on; the message says why.
    """
    trainings = home / "trainings"
    folder = trainings / training_key(config, prepared)
    if from_scratch:
        shutil.rmtree(folder, ignore_errors=True)
    final = folder / FINAL
    if (final / MANIFEST).exists():
        say(f"train: complete already ({folder.name})")
        return final
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ERROR).unlink(missing_ok=True)
    os.utime(folder)
    _prune(trainings)
    failure = _fit(config, prepared.resolve(), folder.resolve(), say)
    if (folder / ERROR).exists():
        saved = json.loads((folder / ERROR).read_text())
        raise getattr(errors_module, saved["kind"])(saved["what"], found=saved["found"], fix=saved["fix"])
    if not (final / MANIFEST).exists():
        raise TrainingError(
            "the training ended without a result",
            found=str(failure or "no error from Ray"),
            fix="see the lines above; run again to go on from the last checkpoint",
        )
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    return final


def _prune(trainings: Path) -> None:
    """Remove the oldest trainings beyond what is kept."""
    folders = sorted((p for p in trainings.iterdir() if p.is_dir()), key=lambda p: p.stat().st_mtime)
    finished = [p for p in folders if (p / FINAL / MANIFEST).exists()]
    unfinished = [p for p in folders if p not in finished]
    for old in finished[:-KEEP_FINISHED] + unfinished[:-KEEP_UNFINISHED]:
        shutil.rmtree(old, ignore_errors=True)


def _fit(config: Config, prepared: Path, folder: Path, say: Callable[[str], None]) -> Exception | None:
    """Run Ray Train once; what went wrong, if anything did."""
    with cluster(config, config.train.num_workers) as ray:
        from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig, TrainingFailedError
        from ray.train.torch import TorchTrainer

        from mtl.train.worker import train_worker

        gpu = _enough_gpus(ray, config)
        say(f"train: {config.train.num_workers} workers on {'GPUs' if gpu else 'CPUs'} ({config.cluster.address})")
        trainer = TorchTrainer(
            train_worker,
            train_loop_config={
                "config": config.model_dump(mode="json"),
                "prepared": str(prepared),
                "shipment": ship.as_json() if (ship := shipment(Path.cwd(), prepared)) else None,
                "folder": str(folder),
                "cache": str(folder.parents[1] / "downloads"),
                "gpu": gpu,
            },
            scaling_config=ScalingConfig(
                num_workers=config.train.num_workers,
                use_gpu=gpu,
                resources_per_worker={"GPU": 1, "CPU": 1} if gpu else {"CPU": 1},
            ),
            run_config=RunConfig(
                # A name that was never used: resuming is our checkpoints' business, whose manifests are written last.
                name=f"{folder.name}-{uuid.uuid4().hex[:8]}",
                storage_path=str(folder / "ray"),
                failure_config=FailureConfig(max_failures=config.train.max_failures),
                checkpoint_config=CheckpointConfig(num_to_keep=1),
            ),
        )
        try:
            trainer.fit()
        except TrainingFailedError as error:
            return error
        finally:
            shutil.rmtree(folder / "ray", ignore_errors=True)
    return None


def _enough_gpus(ray: Any, config: Config) -> bool:
    found = ray.cluster_resources().get("GPU", 0)
    return config.cluster.use_gpu == "auto" and found >= config.train.num_workers
