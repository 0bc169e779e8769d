"""Smooth Tchebycheff scalarization (Lin et al. 2024, arXiv 2402.19078)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from mtl.config.objective import STCHWeighting
from mtl.config.tasks import TaskConfig
from mtl.objective.memory import register_state
from mtl.objective.weighting.base import Gramian, PerTask, Presence, Weighting, shares


class STCH(Weighting[STCHWeighting]):
    """μ·log Σ exp(loss / (scale · tasks · μ)): its derivative by a loss is softmax / (scale · tasks).

    The scale of a task is its mean loss over the warm-up, in which the plain mean is trained; without warm-up it is 1.
    """

    sums: Tensor
    counts: Tensor

    def __init__(self, config: STCHWeighting, tasks: Mapping[str, TaskConfig], seed: int = 0) -> None:
        super().__init__(config, tasks, seed)
        register_state(self, "sums", torch.zeros(self.num_tasks, dtype=torch.float64))
        register_state(self, "counts", torch.zeros(self.num_tasks, dtype=torch.float64))

    def factors(self, losses: PerTask, present: Presence, gramian: Gramian | None = None) -> PerTask:
        count = present.sum().clamp(min=1)
        if self.step < self.config.warmup_steps:
            return torch.ones_like(losses) / count
        preference = 1.0 / (count * torch.where(self.sums > 0, self.sums / self.counts, 1.0))
        return preference * shares(preference * losses / self.config.mu, present)

    def learn(self, before: PerTask, after: PerTask | None, present: Presence) -> None:
        if self.step < self.config.warmup_steps:
            self.sums += before * present
            self.counts += present
