"""The whole network, with what is shared and what belongs to a task known."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from mtl.config import ModelConfig
from mtl.model.backbones import BACKBONES
from mtl.model.necks import FPN


class MultiTaskModel(nn.Module):
    """Hard sharing: backbone and neck for all tasks, a head a task.

    Args:
        in_channels: channels of the image.
        heads: task → (head that takes `config.neck_channels` channels, stride of the features it reads).
    """

    def __init__(self, config: ModelConfig, in_channels: int, heads: dict[str, tuple[nn.Module, int]]) -> None:
        super().__init__()
        self.backbone = BACKBONES[config.backbone.type](config.backbone, in_channels)
        self.strides = {name: stride for name, (_, stride) in heads.items()}
        self.neck = FPN(self.backbone.channels, config.neck_channels, set(self.strides.values()))
        self.heads = nn.ModuleDict({name: head for name, (head, _) in heads.items()})

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """images: float32 [n, channels, height, width] → each task's raw output, in the tasks' order."""
        features = self.neck(self.backbone(images))
        return {name: head(features[self.strides[name]]) for name, head in self.heads.items()}

    def shared_parameters(self) -> Iterator[nn.Parameter]:
        """Parameters that every task trains."""
        yield from self.backbone.parameters()
        yield from self.neck.parameters()

    def task_parameters(self, task: str) -> Iterator[nn.Parameter]:
        """Parameters of one task's head."""
        yield from self.heads[task].parameters()
