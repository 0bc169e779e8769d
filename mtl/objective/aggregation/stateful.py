"""Aggregators with a memory, which torchjd's own would lose in a checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from mtl.config.objective import ExcessMTLAggregator, GradDropAggregator, GradVacAggregator, NashMTLAggregator
from mtl.objective.aggregation.gramian import turns
from mtl.objective.aggregation.solvers import fair
from mtl.objective.aggregator import (
    Gradient,
    Jacobian,
    JacobianAggregator,
    OnDevice,
    OnHost,
    PerRow,
    Places,
    Presence,
    Products,
)
from mtl.objective.jacobian import BLOCK, weigh_into_first
from mtl.objective.memory import register_state
from mtl.seeds import Stream, torch_seed

CLOSE = 1e-6
"""The least sine of a wanted angle: no step along a gradient turns another quite parallel to it."""


class NashMTL(OnHost[NashMTLAggregator]):
    """The bargaining solution: gramian · x = 1 / x, every task gaining alike, for a Gramian of Frobenius norm 1.

    torchjd (and the paper's code) goes there by convex programs, each solved to a few digits, which turn differences
    of rounding into 10⁻⁷. `max_norm` is a length by itself: it alone depends on the unit of the losses.
    """

    alpha: Tensor

    def __init__(self, config: NashMTLAggregator, num_tasks: int, seed: int = 0) -> None:
        super().__init__(config, num_tasks, seed)
        register_state(self, "alpha", torch.ones(num_tasks, dtype=torch.float64))

    def solve(self, cosines: Products, lengths: PerRow, rows: Places) -> PerRow:
        alpha = self.alpha[rows]
        if self.step % self.config.every == 0:
            unit = lengths / (lengths[:, None] * cosines * lengths).norm().sqrt()
            alpha = torch.from_numpy(fair(cosines.numpy(), np.zeros(len(rows)), 1.0)) / unit
            self.plan(alpha=self.alpha.index_copy(0, rows, alpha))
        weighted = alpha * lengths
        norm = (weighted @ cosines @ weighted).clamp(min=0).sqrt()
        limit = self.config.max_norm
        return alpha / norm * limit if limit and norm > limit else alpha


class GradVac(OnDevice[GradVacAggregator]):
    """Cosines pulled towards their running mean."""

    cosines: Tensor

    def __init__(self, config: GradVacAggregator, num_tasks: int, seed: int = 0) -> None:
        super().__init__(config, num_tasks, seed)
        register_state(self, "cosines", torch.zeros(num_tasks, num_tasks, dtype=torch.float64))

    def solve(self, cosines: Products, lengths: PerRow, there: Presence) -> PerRow:
        wanted, eye = self.cosines, torch.eye(len(lengths), dtype=lengths.dtype, device=lengths.device)
        parts, found = eye, wanted
        size = len(lengths)
        others_of = [np.delete(np.arange(size), own)[torch.randperm(size - 1).numpy()] for own in range(size)]
        for turn in turns(others_of, lengths.device):
            others = turn[:, None]
            goal = wanted.gather(1, others)
            products = parts @ cosines
            length = (products * parts).sum(1, keepdim=True).clamp(min=0.0).sqrt()
            met = products.gather(1, others) / torch.where(length > 0, length, 1.0)
            met = torch.where(length > 0, met.clamp(-1.0, 1.0), 0.0)
            away, here = (1.0 - goal.square()).clamp(min=0.0).sqrt(), (1.0 - met.square()).clamp(min=0.0).sqrt()
            added = length * (goal * here - met * away) / away.clamp(min=CLOSE)
            both = there[:, None] & there[others]
            parts = parts.scatter_add(1, others, torch.where(both & (met < goal), added, 0.0))
            found = found.scatter(1, others, torch.where(both, met, goal))
        pairs = (there[:, None] & there).to(eye) - eye * there
        self.plan(cosines=wanted.lerp(found, self.config.beta * pairs))
        return lengths @ parts / lengths


class GradDrop(JacobianAggregator[GradDropAggregator]):
    """Each coordinate keeps one sign, the positive one with the probability of its share of the absolute sum.

    As torchjd's, with random numbers of NumPy's SFC64 on the CPU: torch's took a third of a step.
    """

    def combine(self, jacobian: Jacobian, present: Presence) -> Gradient:
        draw = draws(jacobian, torch_seed(self.seed, Stream.AGGREGATION, self.step))
        for block in jacobian.split(BLOCK, 1):
            total, absolute = block[0].clone(), block[0].abs()
            for row in block[1:]:
                total += row
                absolute += row.abs()
            # Positive with the probability (total + absolute) / (2 · absolute), without a division by 0.
            threshold = draw(len(total)).mul_(absolute)
            absolute.copysign_(total - threshold)
            torch.add(total, absolute, out=block[0]).mul_(0.5)
        return jacobian[0]


def draws(like: Tensor, seed: int) -> Callable[[int], Tensor]:
    """Random numbers from -1 to 1 of a seed, of the type of a tensor and on its device.

    On the CPU each is one of 2¹⁶, the middles of as many equal parts: a probability of 1.5·10⁻⁵ does not matter here,
    and four numbers come from one draw of 64 bits.
    """
    if like.device.type != "cpu":
        generator = torch.Generator(like.device).manual_seed(seed)
        kind: dict[str, Any] = {"dtype": like.dtype, "device": like.device, "generator": generator}
        return lambda count: torch.rand(count, **kind).mul_(2.0).sub_(1.0)
    source = np.random.Generator(np.random.SFC64(seed))

    def draw(count: int) -> Tensor:
        bits = source.integers(0, 1 << 64, -(-count // 4), dtype=np.uint64).view(np.int16)[:count]
        return torch.from_numpy(bits).to(like.dtype).add_(0.5).mul_(2.0**-15)

    return draw


class ExcessMTL(JacobianAggregator[ExcessMTLAggregator]):
    """Weights by excess risk, in multiples of each task's first.

    The paper's code takes the very first risks as they are, in the unit of the losses, and adds 10⁻⁷ under its roots,
    which is as much as the squares of small gradients: neither here. The sum of squares is as large as the Jacobian,
    and part of the checkpoint; what it will be after the step takes the same memory again.
    """

    logits: Tensor
    baseline: Tensor
    steps: Tensor
    squares: Tensor

    def __init__(self, config: ExcessMTLAggregator, num_tasks: int, seed: int = 0) -> None:
        super().__init__(config, num_tasks, seed)
        register_state(self, "logits", torch.zeros(num_tasks, dtype=torch.float64))
        register_state(self, "baseline", torch.zeros(num_tasks, dtype=torch.float64))
        register_state(self, "steps", torch.zeros(num_tasks, dtype=torch.float64))
        register_state(self, "squares", torch.zeros(num_tasks, 0))
        self._spare = torch.zeros(num_tasks, 0)

    def combine(self, jacobian: Jacobian, present: Presence) -> Gradient:
        self.plan()
        risks = self._risks(jacobian)
        seen, first = self.steps, self.baseline
        warm = self.step < self.config.warmup_steps
        # The mean over the warm-up's steps that had the task, or its first risk after it.
        first = torch.where(seen == 0, risks, first.lerp(risks, 1.0 / (seen + 1.0)) if warm else first)
        logits = self.logits
        if not warm:
            moved = logits + self.config.step_size * torch.where(first > 0, risks / first, 1.0)
            # The present tasks' weights sum to what they did before.
            logits = moved - _of_present(moved, present) + _of_present(logits, present)
        self.plan(
            logits=torch.where(present, logits, self.logits),
            baseline=torch.where(present, first, self.baseline),
            steps=seen + present,
            squares=self._spare,
        )
        shares = (logits - _of_present(logits, present)).exp()
        return weigh_into_first(torch.where(present, present.sum() * shares, 0.0), jacobian)

    def _risks(self, jacobian: Jacobian) -> PerRow:
        """Each task's excess risk, float64 [rows]; the sums of squares after this step are left in the spare memory."""
        if self.squares.shape != jacobian.shape:
            self.squares = torch.zeros_like(jacobian)
        if self._spare.shape != jacobian.shape:
            self._spare = torch.empty_like(jacobian)
        rows = zip(jacobian, self.squares, self._spare, strict=True)
        return torch.stack([_excess(*row) for row in rows])

    def settle(self, made: Bool[Tensor, ""] | None = None) -> None:
        before, after = self.squares, self._planned.pop("squares", None)
        super().settle(made)
        if after is not None:
            if made is not None:
                torch.where(made, after, before, out=after)
            self.squares, self._spare = after, before

    def prepare_load(self, state: Mapping[str, Tensor]) -> None:
        # Its width is known only once there are gradients.
        self.squares = torch.zeros_like(state["squares"])


def _of_present(values: PerRow, present: Presence) -> Float64[Tensor, ""]:
    """The logarithm of the sum of exponentials of those that are present."""
    return torch.where(present, values, -torch.inf).logsumexp(0)


def _excess(gradient: Tensor, squares: Tensor, after: Tensor) -> Tensor:
    """Σ gradient² / √squares, with this gradient's among the squares: their sums are written to `after`. Block by block,
    so that they stay in cache.
    """
    total = torch.zeros((), dtype=torch.float64, device=gradient.device)
    least = torch.finfo(gradient.dtype).tiny  # of no coordinate that moves: 0 / 0 is to be 0
    for part, old, new in zip(gradient.split(BLOCK), squares.split(BLOCK), after.split(BLOCK), strict=True):
        squared = part * part
        torch.add(old, squared, out=new)
        total += torch.dot(squared, new.clamp(min=least).rsqrt_()).double()
    return total
