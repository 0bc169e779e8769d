"""Homoscedastic uncertainty (Kendall, Gal, Cipolla 2018, arXiv 1705.07115), in the log-variance form."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from mtl.config.objective import UncertaintyWeighting
from mtl.config.tasks import TaskConfig
from mtl.objective.weighting.base import Gramian, PerTask, Presence, Weighting


class Uncertainty(Weighting[UncertaintyWeighting]):
    """exp(-s)·loss + s, s a learned log variance for each task; the task's declared `weight` scales both terms."""

    def __init__(self, config: UncertaintyWeighting, tasks: Mapping[str, TaskConfig], seed: int = 0) -> None:
        super().__init__(config, tasks, seed)
        self.log_variance = nn.Parameter(torch.zeros(self.num_tasks, dtype=torch.float64))

    def factors(self, losses: PerTask, present: Presence, gramian: Gramian | None = None) -> PerTask:
        return torch.exp(-self.log_variance.detach())

    def own_terms(self, losses: PerTask) -> PerTask:
        return torch.exp(-self.log_variance) * losses + self.log_variance

    def parameter_group(self) -> dict[str, object]:
        return {"params": [self.log_variance], "lr": self.config.learning_rate, "weight_decay": 0.0}
