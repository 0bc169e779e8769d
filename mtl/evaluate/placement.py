"""Where a model is scored: in this process, or over the workers of a Ray cluster; decided by what must be computed, never by a
clock, so that the same evaluation is always made in the same place.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from mtl.config.trees.evaluation import EvaluationTree
from mtl.model.cost import multiply_adds
from mtl.tasks.base import ImageSpec

MULTIPLY_ADDS, SCORING_SECONDS = 4e10, 1.5e-3
"""Of one core: multiply-adds a second, and seconds to load one image and score its answers beside. Measured (docs/measurements.md)."""
JOIN_SECONDS, START_SECONDS = 30.0, 60.0
"""Until workers of a cluster that runs have begun to score: assumed; and those of one that is started here, one for each of many GPUs:
twice what two workers took."""


@dataclass(frozen=True)
class Place:
    """Where; workers: over those of the cluster, else in this process on `device`; said: for whoever watches."""

    workers: bool
    device: torch.device
    said: str


def place(config: EvaluationTree, model: nn.Module, image: ImageSpec, images: int, *, clusters: bool) -> Place:
    """Where some images are scored.

    A cluster does it if this process would take longer than its workers take to begin. On one machine without GPUs this
    process does: Ray takes longer to start than it saves on the same cores. With several GPUs it uses one, or, for so many images
    that it pays, all.

    Args:
        clusters: whether more than this process may be used.
    """
    wished = config.cluster.use_gpu == "auto"
    gpu = wished and torch.cuda.is_available() and torch.cuda.device_count() >= config.train.num_workers
    device = torch.device("cuda" if gpu else "cpu")
    here = f"{images} images in this process, on {'a GPU' if gpu else 'the CPU'}"
    if not clusters:
        return Place(False, device, here)
    if config.cluster.address == "local":
        saved = images * SCORING_SECONDS * (1 - 1 / config.train.num_workers) if gpu else 0.0
        if saved > START_SECONDS:
            return Place(True, device, f"{images} images over {config.train.num_workers} GPUs")
        return Place(False, device, here)
    example = torch.zeros(1, image.channels, image.height, image.width)
    seconds = images * (multiply_adds(model, example) / MULTIPLY_ADDS + SCORING_SECONDS)
    if seconds > JOIN_SECONDS:
        return Place(True, device, f"{images} images over the workers of {config.cluster.address}")
    return Place(False, device, f"{here}: some {seconds:.0f} s, sooner than the cluster's workers have begun")


def as_served(threads: int) -> None:
    """Let torch compute in full float32, and the same bits whenever it is asked on a kind of machine."""
    torch.set_num_threads(threads)
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = False, True
