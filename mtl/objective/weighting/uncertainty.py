"""Homoscedastic uncertainty (Kendall, Gal, Cipolla 2018, arXiv 1705.07115), in the log-variance form."""

from __future__ import annotations

import torch
from torch import nn

from mtl.config import TaskConfig
from mtl.config.model import UncertaintyWeighting
from mtl.objective.weighting.base import Weighting


class Uncertainty(Weighting):
    """weight · (exp(-s)·loss + s), s a learned log variance for each task.

    The task's declared `weight` scales its term, so an auxiliary task can be held small.
    """

    def __init__(self, config: UncertaintyWeighting, tasks: dict[str, TaskConfig]) -> None:
        super().__init__(config, tasks)
        self.learning_rate = config.learning_rate
        self.log_variance = nn.Parameter(torch.zeros(len(tasks)))

    def weights(self, losses: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
        return self.fixed * torch.exp(-self.log_variance.detach()) * present

    def own_loss(self, losses: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
        terms = torch.exp(-self.log_variance) * losses + self.log_variance
        return (self.fixed * terms * present).sum()

    def parameter_group(self) -> dict[str, object]:
        return {"params": [self.log_variance], "lr": self.learning_rate, "weight_decay": 0.0}
