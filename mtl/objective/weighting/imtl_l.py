"""IMTL-L (Liu et al. 2021, "Towards impartial multi-task learning"): losses scaled to a comparable size."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from mtl.config.objective import IMTLLWeighting
from mtl.config.tasks import TaskConfig
from mtl.objective.weighting.base import Gramian, PerTask, Presence, Weighting


class IMTLL(Weighting[IMTLLWeighting]):
    """exp(s)·loss - s, s learned for each task; it settles where every scaled loss is 1."""

    def __init__(self, config: IMTLLWeighting, tasks: Mapping[str, TaskConfig], seed: int = 0) -> None:
        super().__init__(config, tasks, seed)
        self.log_scale = nn.Parameter(torch.zeros(self.num_tasks, dtype=torch.float64))

    def factors(self, losses: PerTask, present: Presence, gramian: Gramian | None = None) -> PerTask:
        return torch.exp(self.log_scale.detach())

    def own_terms(self, losses: PerTask) -> PerTask:
        return torch.exp(self.log_scale) * losses - self.log_scale

    def parameter_group(self) -> dict[str, object]:
        return {"params": [self.log_scale], "lr": self.config.learning_rate, "weight_decay": 0.0}
