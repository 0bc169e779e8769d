"""Multi-task attention network (Liu, Johns, Davison 2019, arXiv 1803.10704), on a pyramid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import nn

from mtl.config.model import ModelConfig, MTANSharing
from mtl.model.backbones import Pyramid, build_backbone
from mtl.model.blocks import conv_block, group_norm
from mtl.model.necks import FPN
from mtl.model.sharing.base import HeadPlan, MultiTaskModel, stack


class Attention(nn.Module):
    """One task's attention over the levels of the backbone: a pyramid → a pyramid of the same shape.

    At each level a mask from 0 to 1 is computed from the level and from what was attended to at the finer one.
    """

    def __init__(self, channels: Mapping[int, int], hidden: int) -> None:
        super().__init__()
        self.strides = sorted(channels)
        self.masks = nn.ModuleDict()
        self.carry = nn.ModuleDict()
        for place, stride in enumerate(self.strides):
            width = channels[stride] + (hidden if place else 0)
            self.masks[str(stride)] = nn.Sequential(
                nn.Conv2d(width, hidden, 1, bias=False),
                group_norm(hidden),
                nn.SiLU(),
                nn.Conv2d(hidden, channels[stride], 1),
            )
            if place + 1 < len(self.strides):
                self.carry[str(stride)] = conv_block(channels[stride], hidden)

    def forward(self, pyramid: Pyramid) -> Pyramid:
        attended: Pyramid = {}
        carried: torch.Tensor | None = None
        for stride in self.strides:
            level = pyramid[stride]
            seen = level if carried is None else torch.cat([level, carried.to(level)], 1)
            attended[stride] = torch.sigmoid(self.masks[str(stride)](seen)) * level
            if str(stride) in self.carry:
                finer = self.carry[str(stride)](attended[stride])
                coarser = pyramid[self.strides[self.strides.index(stride) + 1]]
                carried = F.adaptive_avg_pool2d(finer, (coarser.shape[2], coarser.shape[3]))
        return attended


class MTAN(MultiTaskModel):
    """The cut is behind the backbone: attention, neck and head belong to a task."""

    def __init__(self, config: ModelConfig, in_channels: int, plans: Mapping[str, HeadPlan]) -> None:
        super().__init__(config, in_channels, plans)
        assert isinstance(config.sharing, MTANSharing)
        hidden = config.sharing.hidden
        self.backbone = build_backbone(config.backbone, in_channels)
        channels = self.backbone.channels
        self.attention = nn.ModuleDict({name: Attention(channels, hidden) for name in plans})
        self.necks = nn.ModuleDict({n: FPN(channels, config.neck_channels, {p.stride}) for n, p in plans.items()})
        self.heads = nn.ModuleDict({name: plan.build(config.neck_channels) for name, plan in plans.items()})

    def shared(self, images: torch.Tensor, views: Mapping[str, torch.Tensor]) -> list[torch.Tensor]:
        return list(self.backbone(stack(images, views)).values())

    def specific(
        self, features: Sequence[torch.Tensor], rows: Mapping[str, slice], only: Sequence[str]
    ) -> dict[str, torch.Tensor]:
        outputs: dict[str, torch.Tensor] = {}
        for name in only:
            mine = {s: f[rows[name]] for s, f in zip(self.backbone.channels, features, strict=True)}
            level = self.necks[name](self.attention[name](mine))[self.plans[name].stride]
            outputs[name] = self.heads[name](level)
        return outputs

    def own_modules(self, task: str) -> list[nn.Module]:
        return [self.attention[task], self.necks[task], self.heads[task]]

    def before_cut(self) -> list[nn.Module]:
        return [self.backbone]
