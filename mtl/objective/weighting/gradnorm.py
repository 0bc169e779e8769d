"""GradNorm (Chen et al. 2018, arXiv 1711.02257)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mtl.config.objective import GradNormWeighting
from mtl.config.tasks import TaskConfig
from mtl.objective.memory import register_state
from mtl.objective.weighting.base import Gramian, PerTask, Presence, Weighting
from mtl.objective.weighting.learned import OwnAdam

LEAST = 1e-8
"""Of a weight."""


class GradNorm(Weighting[GradNormWeighting]):
    """Learned weights that pull the norms of the weighted gradients together, slower tasks above the mean.

    Norms are those of `objective.level`: at the shared features, or of all shared parameters (the paper takes the last
    shared layer's). The weights sum to the number of tasks.
    """

    first_losses: Tensor

    def __init__(self, config: GradNormWeighting, tasks: Mapping[str, TaskConfig], seed: int = 0) -> None:
        super().__init__(config, tasks, seed)
        self.values = nn.Parameter(torch.ones(self.num_tasks, dtype=torch.float64), requires_grad=False)
        self.adam = OwnAdam(self.values, config.learning_rate, epsilon=0.0)  # gradients have the unit of the losses
        register_state(self, "first_losses", torch.zeros(self.num_tasks, dtype=torch.float64))
        self._gradient: Tensor | None = None

    def factors(self, losses: PerTask, present: Presence, gramian: Gramian | None = None) -> PerTask:
        assert gramian is not None
        first = torch.where(present & (self.first_losses == 0), losses, self.first_losses)
        self.plan(first_losses=first)
        lengths = gramian.diagonal().clamp(min=0).sqrt()
        norms = torch.where(present, self.values * lengths, 0.0)
        count = present.sum().clamp(min=1)
        ratio = torch.where(present & (first > 0), losses / first, 0.0)
        mean = ratio.sum() / count
        rate = torch.where(mean > 0, ratio / mean, 1.0)
        target = norms.sum() / count * rate**self.config.alpha
        self._gradient = torch.where(present, torch.sign(norms - target) * lengths, 0.0)
        return self.values.detach().clone()

    def learn(self, before: PerTask, after: PerTask | None, present: Presence) -> None:
        assert self._gradient is not None
        self.adam.step(self._gradient)
        self.values.clamp_(min=LEAST)
        self.values *= self.num_tasks / self.values.sum()
