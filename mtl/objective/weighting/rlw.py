"""Random loss weighting (Lin et al. 2022, arXiv 2111.10603): the litmus test for cleverer methods."""

from __future__ import annotations

import torch

from mtl.config.objective import RLWWeighting
from mtl.objective.weighting.base import Gramian, PerTask, Presence, Weighting
from mtl.seeds import Stream, torch_seed


class RLW(Weighting[RLWWeighting]):
    """softmax of normal numbers, times the number of tasks; drawn from seed and step, so workers agree."""

    def factors(self, losses: PerTask, present: Presence, gramian: Gramian | None = None) -> PerTask:
        random = torch.Generator().manual_seed(torch_seed(self.seed, Stream.WEIGHTING, self.step))
        drawn = torch.randn(self.num_tasks, generator=random, dtype=torch.float64)
        return self.num_tasks * torch.softmax(drawn, 0).to(losses.device, non_blocking=True)
