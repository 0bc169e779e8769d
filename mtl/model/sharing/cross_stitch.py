"""Cross-stitch networks (Misra et al. 2016, arXiv 1604.03539)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import nn

from mtl.config.model import CrossStitchSharing, ModelConfig
from mtl.errors import ConfigError
from mtl.model.backbones import Staged, build_backbone
from mtl.model.necks import FPN
from mtl.model.sharing.base import HeadPlan, MultiTaskModel, groups, stack


class CrossStitch(MultiTaskModel):
    """A backbone and a neck per task; after every stage each task's features become a learned mix of all tasks'.

    There is no cut: what one task's network computes reaches all others at every stage. Tasks that look at images of
    their own are not mixed.
    """

    def __init__(self, config: ModelConfig, in_channels: int, plans: Mapping[str, HeadPlan]) -> None:
        super().__init__(config, in_channels, plans)
        assert isinstance(config.sharing, CrossStitchSharing)
        backbones = {name: build_backbone(config.backbone, in_channels) for name in plans}
        self.backbones = nn.ModuleDict(backbones)
        first = next(iter(backbones.values()))
        if not isinstance(first, Staged):
            raise ConfigError(
                f"model.sharing: cross_stitch cannot open the backbone {config.backbone.type} between its stages",
                fix="choose a built-in backbone (compact, cnn, pyramid, mlp) or another sharing",
            )
        necks = {name: FPN(first.channels, config.neck_channels, {plan.stride}) for name, plan in plans.items()}
        self.necks = nn.ModuleDict(necks)
        self.heads = nn.ModuleDict({name: plan.build(config.neck_channels) for name, plan in plans.items()})
        count = len(plans)
        others = (1.0 - config.sharing.own) / max(count - 1, 1)
        start = torch.full((count, count), others).fill_diagonal_(config.sharing.own if count > 1 else 1.0)
        self.stitches = nn.ParameterList([nn.Parameter(start.clone()) for _ in first.stages])
        self.positions = {name: place for place, name in enumerate(plans)}
        self.all_strides = list(first.channels)

    def shared(self, images: torch.Tensor, views: Mapping[str, torch.Tensor]) -> list[torch.Tensor]:
        return [stack(images, views)]

    def specific(
        self, features: Sequence[torch.Tensor], rows: Mapping[str, slice], only: Sequence[str]
    ) -> dict[str, torch.Tensor]:
        outputs: dict[str, torch.Tensor] = {}
        for where, names in groups(rows, list(self.plans)):
            flows = dict.fromkeys(names, features[0][where])
            pyramids: dict[str, dict[int, torch.Tensor]] = {name: {} for name in names}
            for stage, stride in enumerate(self.all_strides):
                computed = {name: self.stages_of(name)[stage](flow) for name, flow in flows.items()}
                flows = self._stitch(stage, computed)
                for name, flow in flows.items():
                    pyramids[name][stride] = flow
            for name in names:
                if name in only:
                    level = self.necks[name](pyramids[name])[self.plans[name].stride]
                    outputs[name] = self.heads[name](level)
        return {name: outputs[name] for name in only}

    def _stitch(self, stage: int, computed: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        if len(computed) == 1:
            return computed
        places = [self.positions[name] for name in computed]
        rows = [self.stitches[stage][place] for place in places]  # by a list of places the host would wait
        factors = torch.stack([torch.stack([row[place] for place in places]) for row in rows])
        stacked = torch.stack(list(computed.values()))
        mixed = torch.einsum("ts,snchw->tnchw", factors.to(stacked), stacked)
        return dict(zip(computed, mixed.unbind(), strict=True))

    def stages_of(self, task: str) -> nn.ModuleList:
        """The stages of one task's backbone."""
        backbone = self.backbones[task]
        assert isinstance(backbone, Staged)
        return backbone.stages

    def own_modules(self, task: str) -> list[nn.Module]:
        return [self.necks[task], self.heads[task]]

    def blocks(self) -> Iterator[nn.Module]:
        for task in self.plans:
            yield from (*self.stages_of(task), self.necks[task], self.heads[task])

    def before_cut(self) -> list[nn.Module]:
        return []
