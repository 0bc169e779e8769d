"""The project's own training as benchmarks drive it: all that they know of it stands here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch

from benchmarks.measuring.scenes import PARAMS
from mtl.config.params import Config, load
from mtl.data.loading.loader import Batch
from mtl.evaluate.evaluator import score
from mtl.train.process_group import ProcessGroup
from mtl.train.training import Training


def settings(overrides: Sequence[str], compiled: str = "") -> Config:
    """params.yaml with these settings, one worker.

    Args:
        compiled: a mode of torch.compile; empty: none.
    """
    fixed = ["train.num_workers=1", "train.patience=1000", f"train.compile={compiled or 'off'}"]
    return load(PARAMS, [*overrides, *fixed])


READ_EVERY = 10
"""Steps between two looks at their losses, as in a training."""


@dataclass
class Product:
    """A training, step by step."""

    config: Config
    prepared: Path
    device: torch.device
    training: Training = field(init=False)
    order: np.ndarray = field(init=False)
    stays: bool = field(init=False, default=False)
    """Whether `stay` does what it says: steps took the batch that it gave them."""

    def __post_init__(self) -> None:
        self.training = Training(self.config, self.prepared, ProcessGroup(0, 1, self.device))
        self.order = np.random.default_rng(0).permutation(len(self.training.train_split))

    def step(self) -> None:
        """One optimizer step, as a user gets it; an epoch follows on another without being scored."""
        progress = self.training.progress
        if progress.step >= self.training.steps_per_epoch:
            progress.epoch, progress.step = progress.epoch + 1, 0
        self.training.one_step(self.order)
        if progress.total_steps % READ_EVERY == 0:
            self.training.read()

    @cached_property
    def batch(self) -> Batch:
        """A step's whole batch, on the device."""
        return self.load()

    def load(self) -> Batch:
        """The first batch, loaded again: gathered, augmented, standardized, brought to the device."""
        (found,) = self.training.batches(self.order[: self.config.train.batch_size], 0, 0)
        return found

    def stay(self) -> None:
        """A step on a batch that is on the device already, so that it waits for none."""
        held = [self.batch]

        def take(*_: object) -> list[Batch]:
            self.stays = True
            return held

        with patch.object(self.training.feed, "take", take):
            self.step()

    def score(self) -> int:
        """Score the validation split; how many images that are."""
        training = self.training
        size = self.config.evaluate.batch_size
        score(training.model, training.tasks, training.val_split, size, device=self.device)
        return len(training.val_split)
