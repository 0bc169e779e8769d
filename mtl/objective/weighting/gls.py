"""Geometric loss strategy (Chennupati et al. 2019, "MultiNet++", CVPR workshops)."""

from __future__ import annotations

import torch

from mtl.config.objective import GLSWeighting
from mtl.objective.weighting.base import Gramian, PerTask, Presence, Weighting


class GLS(Weighting[GLSWeighting]):
    """The geometric mean of the present tasks' losses: its derivative by a loss is mean / (tasks · loss).

    One loss of 0 would make the mean 0 for all: such a task waits.
    """

    def factors(self, losses: PerTask, present: Presence, gramian: Gramian | None = None) -> PerTask:
        known = present & (losses > 0)
        count = known.sum().clamp(min=1)
        losses = torch.where(known, losses, 1.0)
        mean = torch.exp(torch.log(losses).sum() / count)
        return torch.where(known, mean / (count * losses), 0.0)
