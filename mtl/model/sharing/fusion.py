"""Task fusion: predictions distilled into each other before the final heads (PAD-Net, Xu et al. 2018, 1805.04409)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import nn

from mtl.config.model import FusionSharing, ModelConfig
from mtl.model.blocks import conv_block
from mtl.model.sharing.base import INITIAL, BehindNeck, HeadPlan, groups


class Message(nn.Module):
    """A task's initial prediction, of whatever shape, as features at the cells of another task.

    Maps [n, k, h, w] are brought to the cells' size; vectors [n, k] and numbers [n] hold for all cells.
    """

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.project = nn.LazyConv2d(hidden, 1)
        self.block = conv_block(hidden, hidden)

    def forward(self, prediction: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        if prediction.ndim == 1:
            prediction = prediction[:, None]
        if prediction.ndim == 2:
            prediction = prediction[:, :, None, None].expand(-1, -1, *size)
        elif tuple(prediction.shape[2:]) != size:
            prediction = F.adaptive_avg_pool2d(prediction, size)
        return self.block(self.project(prediction))


class Fusion(BehindNeck):
    """Two heads per task, the first supervised too; between them each task takes in the others' first predictions.

    A message is added where the receiving task's own features open a gate for it. The cut is behind the neck; all
    after it but the final heads is trained by several tasks. Tasks that look at images of their own take no part.
    """

    def __init__(self, config: ModelConfig, in_channels: int, plans: Mapping[str, HeadPlan]) -> None:
        super().__init__(config, in_channels, plans)
        assert isinstance(config.sharing, FusionSharing)
        width, hidden = config.neck_channels, config.sharing.hidden
        self.meeting = [name for name, plan in plans.items() if not plan.view]
        self.initial = nn.ModuleDict({name: plans[name].build(width) for name in self.meeting})
        self.messages = nn.ModuleDict({name: Message(hidden) for name in self.meeting})
        others = max(len(self.meeting) - 1, 1) * hidden
        self.gates = nn.ModuleDict({name: nn.Conv2d(width, others, 1) for name in self.meeting})
        self.merge = nn.ModuleDict({name: nn.Conv2d(others, width, 1) for name in self.meeting})
        self.heads = nn.ModuleDict({name: plan.build(width) for name, plan in plans.items()})

    def specific(
        self, features: Sequence[torch.Tensor], rows: Mapping[str, slice], only: Sequence[str]
    ) -> dict[str, torch.Tensor]:
        levels = self.by_stride(features)
        outputs: dict[str, torch.Tensor] = {}
        for where, names in groups(rows, list(self.plans)):
            meeting = [name for name in names if name in self.meeting]
            first = {n: self.initial[n](levels[self.plans[n].stride][where]) for n in meeting}
            for name in names:
                if name not in only:
                    continue
                level = levels[self.plans[name].stride][where]
                if name in meeting:
                    outputs[f"{name}{INITIAL}"] = first[name]
                    level = self._fused(name, level, {n: p for n, p in first.items() if n != name})
                outputs[name] = self.heads[name](level)
        return outputs

    def _fused(self, name: str, level: torch.Tensor, others: dict[str, torch.Tensor]) -> torch.Tensor:
        if not others:
            return level
        sent = [self.messages[n](p.to(level), (level.shape[2], level.shape[3])) for n, p in others.items()]
        return level + self.merge[name](torch.sigmoid(self.gates[name](level)) * torch.cat(sent, 1))

    def own_modules(self, task: str) -> list[nn.Module]:
        if task not in self.meeting:
            return [self.heads[task]]
        return [self.gates[task], self.merge[task], self.heads[task]]
