"""What every aggregator is: the tasks' gradients → one."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Mapping
from typing import Generic, Self, TypeVar

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from mtl.config.objective import AggregatorSection
from mtl.objective.memory import Remembering
from mtl.seeds import Stream, torch_seed

AggregatorConfig = TypeVar("AggregatorConfig", bound=AggregatorSection, covariant=True)
"""A method's section of params.yaml."""

Products = Float64[Tensor, "rows rows"]
"""Of the gradients of the tasks that are aggregated."""
PerRow = Float64[Tensor, " rows"]
Presence = Bool[Tensor, " rows"]
"""Which of them are there in a step."""
Places = Int64[Tensor, " rows"]
"""Of those that are there among all that are aggregated."""
Jacobian = Float[Tensor, "rows parameters"]
Gradient = Float[Tensor, " parameters"]


class Aggregator(Remembering, ABC, Generic[AggregatorConfig]):
    """Jacobian of the tasks' weighted losses → one gradient. Every worker computes the same.

    An absent task's gradient is zero: it has no say, and its part of the memory stays as it is. All memory is in
    `state_dict`, and changes in `end_step` alone.
    """

    def __init__(self, config: AggregatorConfig, num_tasks: int, seed: int = 0) -> None:
        super().__init__()
        self.config, self.num_tasks, self.seed = config, num_tasks, seed

    @contextlib.contextmanager
    def drawing(self) -> Generator[None]:
        """Within it, torch's random numbers are those of this seed and step; outside they go on as if nothing was."""
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(torch_seed(self.seed, Stream.AGGREGATION, self.step))
            yield

    def end_step(self, made: Bool[Tensor, ""] | None = None) -> None:
        """A step is over, and was made; without `made` it was."""
        self.settle(made)

    def prepare_load(self, state: Mapping[str, Tensor]) -> None:  # most have a state of fixed size
        """Make room for a saved state."""


class GramianAggregator(Aggregator[AggregatorConfig]):
    """A method that needs nothing but the products of the gradients: it works at both levels.

    Methods see the cosines between the gradients, and their lengths. So nothing in them depends on the unit of the
    losses, and a gradient ten thousand times as long as another is as exact as that one.
    """

    @abstractmethod
    def coefficients(self, gramian: Products, present: Presence) -> PerRow:
        """gramian float64 [rows, rows] → what each gradient is multiplied by before they are summed, float64 [rows]; what
        absent ones get does not matter.

        A gradient of no length has no say in it, and 1 itself. If the products are not finite, neither is the result.
        """


class OnDevice(GramianAggregator[AggregatorConfig]):
    """A method of a fixed number of operations on a few numbers: they stay on the device."""

    def coefficients(self, gramian: Products, present: Presence) -> PerRow:
        self.plan()
        lengths = gramian.diagonal().clamp(min=0).sqrt()
        there = lengths > 0
        own = torch.where(there, lengths, 1.0)
        both = there[:, None] & there
        cosines = torch.where(both, (gramian / own / own[:, None]).clamp(-1, 1), 0.0)
        eye = torch.eye(len(own), dtype=torch.bool, device=own.device)
        found = self.solve(torch.where(eye, 1.0, cosines), torch.where(there, lengths, 0.0), there & present)
        # Added so that what is not finite is passed on.
        return torch.where(there, found, 1.0) + 0.0 * gramian.sum()

    @abstractmethod
    def solve(self, cosines: Products, lengths: PerRow, there: Presence) -> PerRow:
        """The coefficients, float64 [rows], from the gradients' cosines [rows, rows], 1 on the diagonal, and lengths
        [rows]; 0 of those that are not `there`.
        """


class OnHost(GramianAggregator[AggregatorConfig]):
    """A method that the device cannot do alone: `config.on_host` says why. It sees those gradients that have a length."""

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """The memory stays on the CPU, wherever the model goes: numbers of tasks × tasks are worked on there."""
        return self

    def coefficients(self, gramian: Products, present: Presence) -> PerRow:
        self.plan()
        numbers = torch.cat([gramian, present[None].to(gramian)]).cpu()  # one wait for both
        products, known = numbers[:-1], numbers[-1] > 0
        found = torch.ones_like(products[0])
        rows = torch.nonzero(known).flatten()
        products = products[rows[:, None], rows]
        if not bool(torch.isfinite(products).all()):
            return torch.full_like(gramian[0], torch.nan)
        lengths = products.diagonal().clamp(min=0).sqrt()
        there = torch.nonzero(lengths).flatten()
        if len(rows) > 1 and len(there):
            own, rows = lengths[there], rows[there]
            cosines = (products[there[:, None], there] / own / own[:, None]).clamp(-1, 1).fill_diagonal_(1.0)
            found[rows] = self.solve(cosines, own, rows)
        return found.to(gramian.device, non_blocking=True)

    @abstractmethod
    def solve(self, cosines: Products, lengths: PerRow, rows: Places) -> PerRow:
        """The coefficients, float64 [rows], from the gradients' cosines [rows, rows] and lengths [rows], all > 0, on the
        CPU. rows: their places among all that are aggregated.
        """


class JacobianAggregator(Aggregator[AggregatorConfig]):
    """A method that looks at coordinates: parameter level only."""

    @abstractmethod
    def combine(self, jacobian: Jacobian, present: Presence) -> Gradient:
        """jacobian [rows, parameters], which may be changed; zeros of those that are absent → gradient [parameters]."""
