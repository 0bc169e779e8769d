"""What every aggregator is: the tasks' gradients → one."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping
from typing import Any

import torch
from torch import nn

from mtl.objective.weighting.base import keep, seeded


class Aggregator(nn.Module, ABC):
    """Jacobian of the present tasks' weighted losses → one gradient. Every worker computes the same.

    `rows` are the present tasks' places among all: an absent task has no row, and its part of the state stays as it
    is. All state is in `state_dict`.
    """

    step: torch.Tensor

    def __init__(self, config: Any, num_tasks: int, seed: int = 0) -> None:
        super().__init__()
        self.config, self.num_tasks, self.seed = config, num_tasks, seed
        keep(self, "step", torch.zeros((), dtype=torch.int64))

    @contextlib.contextmanager
    def drawing(self) -> Generator[None]:
        """Within it, torch's random numbers are those of this seed and step; outside they go on as if nothing was."""
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(seeded(self.seed, int(self.step)).initial_seed())
            yield

    def end_step(self) -> None:
        """A step is over."""
        self.step += 1

    def prepare_load(self, state: Mapping[str, torch.Tensor]) -> None:  # most have a state of fixed size
        """Make room for a saved state."""


class GramianAggregator(Aggregator):
    """A method that needs nothing but the products of the gradients: it works at both levels."""

    @abstractmethod
    def coefficients(self, gramian: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """gramian float64 [rows, rows], on the CPU → what each gradient is multiplied by before they are summed,
        float64 [rows]."""


class JacobianAggregator(Aggregator):
    """A method that looks at coordinates: parameter level only."""

    @abstractmethod
    def combine(self, jacobian: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """jacobian [rows, parameters], which may be changed → gradient [parameters]; at least one row."""
