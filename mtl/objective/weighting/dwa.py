"""Dynamic weight average (Liu, Johns, Davison 2019, arXiv 1803.10704)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from mtl.config.objective import DWAWeighting
from mtl.config.tasks import TaskConfig
from mtl.objective.memory import register_state
from mtl.objective.weighting.base import Gramian, PerTask, Presence, Weighting


class DWA(Weighting[DWAWeighting]):
    """tasks · softmax(r / temperature), r the ratio of a task's mean losses over the last two epochs.

    Even in the first two epochs. A mean counts the steps in which the task was present.
    """

    sums: Tensor
    counts: Tensor
    averages: Tensor
    epochs: Tensor

    def __init__(self, config: DWAWeighting, tasks: Mapping[str, TaskConfig], seed: int = 0) -> None:
        super().__init__(config, tasks, seed)
        register_state(self, "sums", torch.zeros(self.num_tasks, dtype=torch.float64))
        register_state(self, "counts", torch.zeros(self.num_tasks, dtype=torch.float64))
        register_state(self, "averages", torch.ones(2, self.num_tasks, dtype=torch.float64))
        register_state(self, "epochs", torch.zeros((), dtype=torch.int64))

    def factors(self, losses: PerTask, present: Presence, gramian: Gramian | None = None) -> PerTask:
        older, newer = self.averages
        rates = torch.where(older > 0, newer / older, 1.0)
        found = self.num_tasks * torch.softmax(rates / self.config.temperature, 0)
        return torch.where(self.epochs < 2, 1.0, found)

    def learn(self, before: PerTask, after: PerTask | None, present: Presence) -> None:
        self.sums += before * present
        self.counts += present

    def end_epoch(self) -> None:
        mean = torch.where(self.counts > 0, self.sums / self.counts.clamp(min=1), self.averages[1])
        self.averages.copy_(torch.stack([self.averages[1], mean]))
        self.sums.zero_()
        self.counts.zero_()
        self.epochs += 1
