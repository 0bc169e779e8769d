"""What every weighting is."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import nn

from mtl.config import TaskConfig
from mtl.config.section import Section


class Weighting(nn.Module, ABC):
    """Globally averaged losses → one weight per task. State is in `state_dict`; every worker computes the same."""

    def __init__(self, config: Section, tasks: dict[str, TaskConfig]) -> None:
        super().__init__()
        self.tasks = list(tasks)
        fixed = torch.tensor([task.weight for task in tasks.values()], dtype=torch.float32)
        self.register_buffer("fixed", fixed, persistent=False)
        self.fixed: torch.Tensor

    @abstractmethod
    def weights(self, losses: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
        """losses float32 [tasks], detached; present bool [tasks] → weights float32 [tasks], detached."""

    def own_loss(self, losses: torch.Tensor, present: torch.Tensor) -> torch.Tensor | None:
        """The loss of the weighting's own parameters, if it has any."""
        return None

    def parameter_group(self) -> dict[str, object] | None:
        """The weighting's own parameters for the optimizer, if it has any."""
        return None
