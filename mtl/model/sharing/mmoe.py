"""Multi-gate mixture of experts (Ma et al. 2018, KDD), convolutional, on the neck's features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from mtl.config.model import MMoESharing, ModelConfig
from mtl.model.backbones import build_backbone
from mtl.model.blocks import conv_block
from mtl.model.necks import FPN
from mtl.model.sharing.base import HeadPlan, MultiTaskModel, stack


class Gate(nn.Module):
    """Features [n, channels, h, w] → the experts' shares for each image, [n, experts], by softmax."""

    def __init__(self, channels: int, num_experts: int) -> None:
        super().__init__()
        self.logits = nn.Linear(channels, num_experts)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.logits(features.mean((2, 3))).softmax(-1)


def mix(shares: torch.Tensor, experts: Sequence[torch.Tensor]) -> torch.Tensor:
    """Sum of the experts' features [n, c, h, w], each by its share [n, experts]."""
    mixed = torch.zeros_like(experts[0])
    for share, expert in zip(shares.unbind(1), experts, strict=True):
        mixed = mixed + share[:, None, None, None].to(expert) * expert
    return mixed


class MMoE(MultiTaskModel):
    """The cut is behind the experts: gate and head belong to a task."""

    def __init__(self, config: ModelConfig, in_channels: int, plans: Mapping[str, HeadPlan]) -> None:
        super().__init__(config, in_channels, plans)
        assert isinstance(config.sharing, MMoESharing)
        width, self.num_experts = config.neck_channels, config.sharing.num_experts
        self.backbone = build_backbone(config.backbone, in_channels)
        self.neck = FPN(self.backbone.channels, width, self.strides)
        self.experts = nn.ModuleDict(
            {str(s): nn.ModuleList([conv_block(width, width) for _ in range(self.num_experts)]) for s in self.strides}
        )
        self.gates = nn.ModuleDict({name: Gate(width, self.num_experts) for name in plans})
        self.heads = nn.ModuleDict({name: plan.build(width) for name, plan in plans.items()})

    def shared(self, images: torch.Tensor, views: Mapping[str, torch.Tensor]) -> list[torch.Tensor]:
        found: list[torch.Tensor] = []
        for stride, level in self.neck(self.backbone(stack(images, views))).items():
            experts: nn.ModuleList = self.experts[str(stride)]  # pyright: ignore[reportAssignmentType]
            found += [level, *(expert(level) for expert in experts)]
        return found

    def specific(
        self, features: Sequence[torch.Tensor], rows: Mapping[str, slice], only: Sequence[str]
    ) -> dict[str, torch.Tensor]:
        outputs: dict[str, torch.Tensor] = {}
        for name in only:
            start = self.neck.order.index(self.plans[name].stride) * (1 + self.num_experts)
            level, *experts = (f[rows[name]] for f in features[start : start + 1 + self.num_experts])
            outputs[name] = self.heads[name](mix(self.gates[name](level), experts))
        return outputs

    def own_modules(self, task: str) -> list[nn.Module]:
        return [self.gates[task], self.heads[task]]

    def before_cut(self) -> list[nn.Module]:
        return [self.backbone, self.neck, self.experts]
