"""Customized gate control and progressive layered extraction (Tang et al. 2020, RecSys), convolutional."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from mtl.config.model import CGCSharing, ModelConfig
from mtl.model.blocks import conv_block
from mtl.model.sharing.base import BehindNeck, HeadPlan, groups
from mtl.model.sharing.mmoe import Gate, mix


class CGC(BehindNeck):
    """Extraction levels of shared and own experts on the neck's features. The cut is behind the neck.

    Shared experts stand after the cut: they are trained by the weighted sum of the tasks' gradients, whatever the
    aggregator makes of the backbone's. Between levels the shared stream is gated from the shared experts alone (the
    paper's from all), so that tasks on images of their own can pass the same experts.
    """

    def __init__(self, config: ModelConfig, in_channels: int, plans: Mapping[str, HeadPlan]) -> None:
        super().__init__(config, in_channels, plans)
        assert isinstance(config.sharing, CGCSharing)
        self.sharing, width = config.sharing, config.neck_channels
        levels, shared, own = range(self.sharing.levels), self.sharing.num_shared, self.sharing.num_own

        def experts(count: int) -> nn.ModuleList:
            return nn.ModuleList([conv_block(width, width) for _ in range(count)])

        strides = [str(stride) for stride in self.neck.order]
        self.shared_experts = nn.ModuleList([nn.ModuleDict({s: experts(shared) for s in strides}) for _ in levels])
        # A task's experts and gates, level by level; with several strides a task has them at its own alone.
        self.own_experts = nn.ModuleDict({name: nn.ModuleList([experts(own) for _ in levels]) for name in plans})
        self.gates = nn.ModuleDict({name: nn.ModuleList([Gate(width, shared + own) for _ in levels]) for name in plans})
        self.shared_gates = nn.ModuleList(
            [nn.ModuleDict({s: Gate(width, shared) for s in strides}) for _ in levels[:-1]]
        )
        self.heads = nn.ModuleDict({name: plan.build(width) for name, plan in plans.items()})

    def specific(
        self, features: Sequence[torch.Tensor], rows: Mapping[str, slice], only: Sequence[str]
    ) -> dict[str, torch.Tensor]:
        outputs: dict[str, torch.Tensor] = {}
        by_stride = self.by_stride(features)
        for where, names in groups(rows, only):
            for stride in sorted({self.plans[name].stride for name in names}):
                here = [name for name in names if self.plans[name].stride == stride]
                for name, extracted in self._extract(by_stride[stride][where], stride, here).items():
                    outputs[name] = self.heads[name](extracted)
        return {name: outputs[name] for name in only}

    def _extract(self, level: torch.Tensor, stride: int, names: list[str]) -> dict[str, torch.Tensor]:
        """One stride's features through all extraction levels: task → features."""
        common, flows = level, dict.fromkeys(names, level)
        for depth in range(self.sharing.levels):
            shared = [expert(common) for expert in self.shared_experts[depth][str(stride)]]  # pyright: ignore[reportIndexIssue]
            for name in names:
                own = [expert(flows[name]) for expert in self.own_experts[name][depth]]  # pyright: ignore[reportIndexIssue]
                flows[name] = mix(self.gates[name][depth](flows[name]), [*shared, *own])  # pyright: ignore[reportIndexIssue]
            if depth + 1 < self.sharing.levels:
                common = mix(self.shared_gates[depth][str(stride)](common), shared)  # pyright: ignore[reportIndexIssue]
        return flows

    def own_modules(self, task: str) -> list[nn.Module]:
        return [self.own_experts[task], self.gates[task], self.heads[task]]
