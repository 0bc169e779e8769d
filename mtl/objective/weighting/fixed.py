"""Fixed weights, as declared: the tuned baseline that other weightings must beat."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from mtl.config.objective import FixedWeighting
from mtl.config.tasks import TaskConfig
from mtl.objective.weighting.base import Gramian, PerTask, Presence, Weighting


class Fixed(Weighting[FixedWeighting]):
    """Each task's own `weight`."""

    def __init__(self, config: FixedWeighting, tasks: Mapping[str, TaskConfig], seed: int = 0) -> None:
        super().__init__(config, tasks, seed)
        self._one = all(task.weight == 1.0 for task in tasks.values())

    @property
    def one(self) -> bool:
        return self._one

    def factors(self, losses: PerTask, present: Presence, gramian: Gramian | None = None) -> PerTask:
        return torch.ones_like(losses)
