"""What one Ray Train process does: join the group, train, write the outcome."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from mtl.config import MtlError, TrainingError, parse
from mtl.data.staging import at_hand
from mtl.reports import EVENT
from mtl.tasks import network_cost
from mtl.train.checkpoint import Checkpoints, cannot_write, write_manifest
from mtl.train.distributed import World
from mtl.train.loop import run
from mtl.train.training import Progress, Training, parameter_counts

FINAL, ERROR = "final", "error.json"


def say(line: str) -> None:
    """One line at once: the driver streams it."""
    print(line, flush=True)


def train_worker(job: dict[str, Any]) -> None:
    """Ray Train's loop function.

    Args:
        job: `config` (a tree as in params.yaml); `folder`, a path that every node sees; `prepared`, and `shipment`, by which a
            node that does not see it fetches it.

    An error that the user must mend is written to `folder`, not raised: Ray would try again in vain.
    """
    import ray.train

    context = ray.train.get_context()
    rank, size = context.get_world_rank(), context.get_world_size()
    device = torch.device("cuda", torch.cuda.current_device()) if job["gpu"] else torch.device("cpu")
    folder = Path(job["folder"])

    def report(row: dict[str, Any]) -> None:
        if rank == 0:
            _announce(row, job["config"]["train"]["epochs"])
        ray.train.report(row)

    try:
        world = World(rank, size, device)
        prepared = at_hand(Path(job["prepared"]), job["shipment"])
        training = Training(parse(job["config"]), prepared, world, Path(job["cache"]))
        checkpoints = Checkpoints(folder / "checkpoints", training.config.train.keep_checkpoints)
        progress = run(training, checkpoints, report=report, say=say)
        if world.first:
            write_final(folder / FINAL, training, progress)
    except MtlError as error:
        _write_error(folder, error)
    except torch.OutOfMemoryError as error:
        batch = job["config"]["train"]["batch_size"]
        fix = f"set train.batch_size to {max(size, batch // 2 // size * size)}"
        _write_error(folder, TrainingError(f"out of memory with batches of {batch} images", found=str(error), fix=fix))


def write_final(folder: Path, training: Training, progress: Progress) -> None:
    """The best averaged weights and the history; complete once its manifest is there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_file({n: v.cpu().contiguous() for n, v in sorted(training.best.items())}, folder / "weights.safetensors")
        document = {
            "history": progress.history,
            "best_epoch": progress.best_epoch,
            "steps": progress.total_steps,
            "seconds": round(progress.seconds, 1),
            "bf16": training.method.bf16,
            "world_size": training.world.size,
            "device": torch.cuda.get_device_name() if training.world.device.type == "cuda" else "cpu",
            "parameters": parameter_counts(training.model),
            "cost": network_cost(training.config.model, training.tasks),
            "pretrained": training.pretrained,
        }
        (folder / "training.json").write_text(json.dumps(document, indent=1), encoding="utf-8")
        write_manifest(folder, {})
    except OSError as error:
        raise cannot_write(folder, error) from error


def _announce(row: dict[str, Any], epochs: int) -> None:
    metrics = [
        f"{key.split('/')[1]} {value:.3f}" for key, value in row.items() if key.count("/") == 2 and "val/" in key
    ]
    say(f"train: epoch {row['epoch'] + 1}/{epochs} · score {row['val/score']:.4f} · " + " · ".join(metrics))
    if os.environ.get("MTL_EVENTS"):
        say(EVENT + json.dumps(row))


def _write_error(folder: Path, error: MtlError) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    document = {"kind": type(error).__name__, "what": error.what, "found": error.found, "fix": error.fix}
    try:
        (folder / ERROR).write_text(json.dumps(document), encoding="utf-8")
    except OSError:
        print(error, file=sys.stderr, flush=True)
        raise error from None
