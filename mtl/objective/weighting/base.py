"""What every weighting is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import nn

from mtl.config import TaskConfig

TINY = 1e-8


class Weighting(nn.Module, ABC):
    """Globally averaged losses → one weight a task. Every worker computes the same, in float64.

    A task's weight is its declared `weight` times the method's factor; an auxiliary task's factor is at most 1. State
    is in `state_dict`.

    Args:
        config: the method's section of params.yaml.
        tasks: what every task has, in the order of all vectors here.
        seed: of methods that draw random numbers.
    """

    needs_losses: ClassVar[bool] = False
    """Whether the factors depend on the losses of the very step that they weigh."""
    needs_gramian: ClassVar[bool] = False
    """Whether they depend on the Gramian of the tasks' gradients."""
    needs_losses_after: ClassVar[bool] = False
    """Whether `after_step` wants the losses of the same batch under the new weights: a second forward pass."""

    def __init__(self, config: Any, tasks: Mapping[str, TaskConfig], seed: int = 0) -> None:
        super().__init__()
        self.config, self.seed, self.num_tasks = config, seed, len(tasks)
        declared = torch.tensor([task.weight for task in tasks.values()], dtype=torch.float64)
        self.register_buffer("declared", declared, persistent=False)
        self.declared: torch.Tensor
        auxiliary = torch.tensor([task.auxiliary for task in tasks.values()])
        self.register_buffer("auxiliary", auxiliary, persistent=False)
        self.auxiliary: torch.Tensor

    @abstractmethod
    def factors(self, losses: torch.Tensor, present: torch.Tensor, gramian: torch.Tensor | None = None) -> torch.Tensor:
        """losses float64 [tasks], present bool [tasks], gramian of the unweighted losses' gradients float64
        [tasks, tasks] → factors float64 [tasks], detached; those of absent tasks do not matter."""

    def weights(self, losses: torch.Tensor, present: torch.Tensor, gramian: torch.Tensor | None = None) -> torch.Tensor:
        """The tasks' weights, float64 [tasks]; 0 for absent ones."""
        factors = self.factors(losses, present, gramian)
        factors = torch.where(self.auxiliary, factors.clamp(max=1.0), factors)
        return torch.where(present, self.declared * factors, torch.zeros_like(factors))

    def own_loss(self, losses: torch.Tensor, present: torch.Tensor) -> torch.Tensor | None:
        """The loss of parameters that the main optimizer learns for the method, if it has any."""
        return None

    def parameter_group(self) -> dict[str, object] | None:
        """These parameters for the optimizer, if there are any."""
        return None

    def after_step(self, before: torch.Tensor, after: torch.Tensor | None, present: torch.Tensor) -> None:
        """Learn from a step: the losses before it and, if asked for, of the same batch after it, float64 [tasks]."""

    def end_epoch(self) -> None:
        """An epoch is over."""


def keep(module: nn.Module, name: str, value: torch.Tensor) -> None:
    """A tensor that is part of the method's state."""
    module.register_buffer(name, value)


def seeded(seed: int, step: int) -> torch.Generator:
    """Random numbers that depend on seed and step alone, so that all workers draw the same."""
    return torch.Generator().manual_seed((seed * 1_000_003 + step) % 2**63)
