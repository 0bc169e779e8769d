"""Random loss weighting (Lin et al. 2022, arXiv 2111.10603): the litmus test for cleverer methods."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from mtl.config.objective import RLWWeighting
from mtl.config.tasks import TaskConfig
from mtl.objective.memory import register_state
from mtl.objective.weighting.base import Gramian, PerTask, Presence, Weighting
from mtl.seeds import Stream, torch_seed


class RLW(Weighting[RLWWeighting]):
    """softmax of normal numbers, times the number of tasks; drawn from seed and step, so workers agree."""

    step: Tensor

    def __init__(self, config: RLWWeighting, tasks: Mapping[str, TaskConfig], seed: int = 0) -> None:
        super().__init__(config, tasks, seed)
        register_state(self, "step", torch.zeros((), dtype=torch.int64))

    def factors(self, losses: PerTask, present: Presence, gramian: Gramian | None = None) -> PerTask:
        random = torch.Generator().manual_seed(torch_seed(self.seed, Stream.WEIGHTING, int(self.step)))
        drawn = torch.randn(self.num_tasks, generator=random, dtype=torch.float64)
        return self.num_tasks * torch.softmax(drawn, 0).to(losses.device)

    def learn(self, before: PerTask, after: PerTask | None, present: Presence) -> None:
        self.step += 1
