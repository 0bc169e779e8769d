"""What every aggregator is: the tasks' gradients → one."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Mapping
from typing import Generic, Self, TypeVar

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from mtl.config.objective import AggregatorSection
from mtl.objective.memory import Remembering, register_state
from mtl.seeds import Stream, torch_seed

AggregatorConfig = TypeVar("AggregatorConfig", bound=AggregatorSection, covariant=True)
"""A method's section of params.yaml."""

Products = Float64[Tensor, "rows rows"]
"""Of the gradients of the tasks that are aggregated in a step."""
PerRow = Float64[Tensor, " rows"]
Places = Int64[Tensor, " rows"]
"""Of these tasks among all that are aggregated."""
Jacobian = Float[Tensor, "rows parameters"]
Gradient = Float[Tensor, " parameters"]


class Aggregator(Remembering, ABC, Generic[AggregatorConfig]):
    """Jacobian of the present tasks' weighted losses → one gradient. Every worker computes the same.

    `rows` are the present tasks' places among all that are aggregated: an absent task has no row, and its part of the
    memory stays as it is. All memory is in `state_dict`, and changes in `end_step` alone.
    """

    step: Tensor

    def __init__(self, config: AggregatorConfig, num_tasks: int, seed: int = 0) -> None:
        super().__init__()
        self.config, self.num_tasks, self.seed = config, num_tasks, seed
        register_state(self, "step", torch.zeros((), dtype=torch.int64))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """The memory stays on the CPU, wherever the model goes: numbers of tasks × tasks are worked on there."""
        return self

    @contextlib.contextmanager
    def drawing(self) -> Generator[None]:
        """Within it, torch's random numbers are those of this seed and step; outside they go on as if nothing was."""
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(torch_seed(self.seed, Stream.AGGREGATION, int(self.step)))
            yield

    def end_step(self) -> None:
        """A step was made."""
        self.settle()
        self.step += 1

    def prepare_load(self, state: Mapping[str, Tensor]) -> None:  # most have a state of fixed size
        """Make room for a saved state."""


class GramianAggregator(Aggregator[AggregatorConfig]):
    """A method that needs nothing but the products of the gradients: it works at both levels.

    Methods see the cosines between the gradients, and their lengths. So nothing in them depends on the unit of the
    losses, and a gradient ten thousand times as long as another is as exact as that one.
    """

    def coefficients(self, gramian: Products, rows: Places) -> PerRow:
        """gramian float64 [rows, rows], on the CPU → what each gradient is multiplied by before they are summed,
        float64 [rows].

        A gradient of no length has no say in it, and 1 itself. If the products are not finite, neither is the result.
        """
        self.plan()
        if not bool(torch.isfinite(gramian).all()):
            return torch.full_like(gramian[0], torch.nan)
        lengths = gramian.diagonal().clamp(min=0).sqrt()
        there = torch.nonzero(lengths).flatten()
        found = torch.ones_like(lengths)
        if len(there):
            own = lengths[there]
            cosines = (gramian[there[:, None], there] / own / own[:, None]).clamp(-1, 1).fill_diagonal_(1.0)
            found[there] = self.solve(cosines, own, rows[there])
        return found

    @abstractmethod
    def solve(self, cosines: Products, lengths: PerRow, rows: Places) -> PerRow:
        """The coefficients, float64 [rows], from the gradients' cosines [rows, rows] and lengths [rows], all > 0."""


class JacobianAggregator(Aggregator[AggregatorConfig]):
    """A method that looks at coordinates: parameter level only."""

    @abstractmethod
    def combine(self, jacobian: Jacobian, rows: Places) -> Gradient:
        """jacobian [rows, parameters], which may be changed → gradient [parameters]; at least one row."""
