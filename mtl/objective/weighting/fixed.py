"""Fixed weights, as declared: the tuned baseline that other weightings must beat."""

from __future__ import annotations

import torch

from mtl.config.objective import FixedWeighting
from mtl.objective.weighting.base import Gramian, PerTask, Presence, Weighting


class Fixed(Weighting[FixedWeighting]):
    """Each task's own `weight`."""

    def factors(self, losses: PerTask, present: Presence, gramian: Gramian | None = None) -> PerTask:
        return torch.ones_like(losses)
