"""GradNorm (Chen et al. 2018, arXiv 1711.02257)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from mtl.config import TaskConfig
from mtl.objective.weighting.base import TINY, Weighting, keep
from mtl.objective.weighting.learned import OwnAdam


class GradNorm(Weighting):
    """Learned weights that pull the norms of the weighted gradients together, slower tasks above the mean.

    Norms are those of `objective.level`: at the shared features, or of all shared parameters (the paper takes the last
    shared layer's). The weights sum to the number of tasks.
    """

    needs_losses = True
    needs_gramian = True
    first_losses: torch.Tensor

    def __init__(self, config: Any, tasks: Mapping[str, TaskConfig], seed: int = 0) -> None:
        super().__init__(config, tasks, seed)
        self.values = nn.Parameter(torch.ones(len(tasks), dtype=torch.float64), requires_grad=False)
        self.adam = OwnAdam(self.values, config.learning_rate)
        keep(self, "first_losses", torch.full((len(tasks),), torch.nan, dtype=torch.float64))
        self._gradient: torch.Tensor | None = None

    def factors(self, losses: torch.Tensor, present: torch.Tensor, gramian: torch.Tensor | None = None) -> torch.Tensor:
        assert gramian is not None
        first = torch.where(present & self.first_losses.isnan(), losses, self.first_losses)
        self.first_losses.copy_(first)
        lengths = gramian.diagonal().clamp(min=0).sqrt()
        norms = torch.where(present, self.values * lengths, 0.0)
        count = present.sum().clamp(min=1)
        ratio = torch.where(present, losses / first.clamp(min=TINY), 0.0)
        rate = ratio / (ratio.sum() / count).clamp(min=TINY)
        target = norms.sum() / count * rate**self.config.alpha
        self._gradient = torch.where(present, torch.sign(norms - target) * lengths, 0.0)
        return self.values.detach().clone()

    def after_step(self, before: torch.Tensor, after: torch.Tensor | None, present: torch.Tensor) -> None:
        assert self._gradient is not None
        self.adam.step(self._gradient)
        self.values.clamp_(min=TINY)
        self.values *= self.num_tasks / self.values.sum()
