"""Hard sharing: backbone and neck for all tasks, a head per task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from mtl.config.model import ModelConfig
from mtl.model.sharing.base import BehindNeck, HeadPlan


class Hard(BehindNeck):
    """The cut is behind the neck."""

    def __init__(self, config: ModelConfig, in_channels: int, plans: Mapping[str, HeadPlan]) -> None:
        super().__init__(config, in_channels, plans)
        self.heads = nn.ModuleDict({name: plan.build(config.neck_channels) for name, plan in plans.items()})

    def specific(
        self, features: Sequence[torch.Tensor], rows: Mapping[str, slice], only: Sequence[str]
    ) -> dict[str, torch.Tensor]:
        levels = self.by_stride(features)
        return {name: self.heads[name](levels[self.plans[name].stride][rows[name]]) for name in only}

    def own_modules(self, task: str) -> list[nn.Module]:
        return [self.heads[task]]
