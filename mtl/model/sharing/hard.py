"""Hard sharing: backbone and neck for all tasks, a head a task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from mtl.config import ModelConfig
from mtl.model.backbones import build_backbone
from mtl.model.necks import FPN
from mtl.model.sharing.base import HeadPlan, MultiTaskModel, stack


class Hard(MultiTaskModel):
    """The cut is behind the neck."""

    def __init__(self, config: ModelConfig, in_channels: int, plans: Mapping[str, HeadPlan]) -> None:
        super().__init__(config, in_channels, plans)
        self.backbone = build_backbone(config.backbone, in_channels)
        self.neck = FPN(self.backbone.channels, config.neck_channels, self.strides)
        self.heads = nn.ModuleDict({name: plan.build(config.neck_channels) for name, plan in plans.items()})

    def shared(self, images: torch.Tensor, views: Mapping[str, torch.Tensor]) -> list[torch.Tensor]:
        return list(self.neck(self.backbone(stack(images, views))).values())

    def specific(
        self, features: Sequence[torch.Tensor], rows: Mapping[str, slice], only: Sequence[str]
    ) -> dict[str, torch.Tensor]:
        levels = dict(zip(self.neck.order, features, strict=True))
        return {name: self.heads[name](levels[self.plans[name].stride][rows[name]]) for name in only}

    def own_modules(self, task: str) -> list[nn.Module]:
        return [self.heads[task]]

    def before_cut(self) -> list[nn.Module]:
        return [self.backbone, self.neck]
