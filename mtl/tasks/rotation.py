"""Rotation: by how many quarter turns an image was turned (Gidaris et al. 2018, 1803.07728). Self-supervised."""

from __future__ import annotations

import torch

from mtl.data.loading.loader import Batch
from mtl.data.spec import TargetSpec
from mtl.errors import ConfigError
from mtl.tasks.classification import Classification
from mtl.tasks.predictions import OneLabel

TURNS = TargetSpec(kind="label", classes=("0°", "90°", "180°", "270°"))


class Rotation(Classification):
    """Cross-entropy over four turns. Looks at turned copies of the batch's images, so the other tasks do not."""

    kind = None
    view = True

    def __post_init__(self) -> None:
        self.target = TURNS
        if self.image.height != self.image.width:
            raise ConfigError(
                f"tasks.{self.name}: a quarter turn changes the size of an image that is not square",
                found=f"{self.image.height}×{self.image.width}",
                fix="resize to a square, or leave the task out",
            )

    def derive(self, batch: Batch) -> None:
        turns = (batch.draws * 4).long().clamp(max=3)
        view = batch.images
        for turn in range(1, 4):
            chosen = (turns == turn).view(-1, 1, 1, 1)
            view = torch.where(chosen, torch.rot90(batch.images, turn, (2, 3)), view)
        batch.views[self.name] = view
        batch.targets[self.target_name] = turns
        batch.present[self.target_name] = torch.ones_like(turns, dtype=torch.bool)

    def caption(self, prediction: OneLabel, batch: Batch, index: int) -> str:
        truth = TURNS.classes[int(batch.targets[self.target_name][index])]
        return f"{self.name}: turned copy is {prediction['label']} (is {truth})"
