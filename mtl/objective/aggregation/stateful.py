"""Aggregators with a memory, which torchjd's own would lose in a checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
import torchjd.aggregation as jd

from mtl.objective.aggregator import GramianAggregator, JacobianAggregator
from mtl.objective.jacobian import BLOCK, weigh_into_first
from mtl.objective.weighting.base import keep, seeded


class NashMTL(GramianAggregator):
    """The bargaining solution: gramian · x = 1 / x, every task gaining alike.

    torchjd (and the paper's code) goes there by convex programs, each solved to a few digits, which turn differences
    of rounding into 10⁻⁷. The solution is the one minimum of x·G·x / 2 - Σ log x, so damped Newton steps reach it to
    rounding from anywhere (Nesterov & Nemirovskii 1994).
    """

    alpha: torch.Tensor

    def __init__(self, config: Any, num_tasks: int, seed: int = 0) -> None:
        super().__init__(config, num_tasks, seed)
        keep(self, "alpha", torch.ones(num_tasks, dtype=torch.float64))

    def coefficients(self, gramian: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        if int(self.step) % self.config.every == 0:
            self.alpha[rows] = bargain(gramian / gramian.norm().clamp(min=1e-30))
        alpha = self.alpha[rows]
        norm = (alpha @ gramian @ alpha).clamp(min=0).sqrt()
        limit = self.config.max_norm
        return alpha / norm * limit if limit and norm > limit else alpha.clone()


def bargain(gramian: torch.Tensor) -> torch.Tensor:
    """x > 0 with gramian · x = 1 / x. A gradient of no length would have an endless x: it is held at 10⁵."""
    matrix = gramian + 1e-10 * torch.eye(len(gramian), dtype=gramian.dtype)
    x = matrix.diagonal().rsqrt()
    for _ in range(200):
        slope = matrix @ x - 1.0 / x
        move = torch.linalg.solve(matrix + torch.diag(x**-2), slope)
        decrement = float((slope @ move).clamp(min=0).sqrt())
        x = x - move / (1.0 + decrement if decrement > 0.25 else 1.0)
        if decrement < 1e-13:
            break
    return x


class GradVac(GramianAggregator):
    """Cosines pulled towards their running mean."""

    cosines: torch.Tensor

    def __init__(self, config: Any, num_tasks: int, seed: int = 0) -> None:
        super().__init__(config, num_tasks, seed)
        keep(self, "cosines", torch.zeros(num_tasks, num_tasks, dtype=torch.float64))

    def coefficients(self, gramian: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        method: Any = jd.GradVacWeighting(beta=self.config.beta)
        method._phi_t = self.cosines[rows[:, None], rows].clone()
        method._state_key = (len(rows), gramian.dtype)
        found = method(gramian)
        self.cosines[rows[:, None], rows] = method._phi_t
        return found


class GradDrop(JacobianAggregator):
    """Each coordinate keeps one sign, the positive one with the probability of its share of the absolute sum.

    As torchjd's, with random numbers of NumPy's SFC64 on the CPU: torch's took a third of a step.
    """

    def combine(self, jacobian: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        draw = draws(jacobian, seeded(self.seed, int(self.step)).initial_seed())
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


def draws(like: torch.Tensor, seed: int) -> Callable[[int], torch.Tensor]:
    """Random numbers from -1 to 1 of a seed, of the type of a tensor and on its device.

    On the CPU each is one of 2¹⁶, the middles of as many equal parts: a probability of 1.5·10⁻⁵ does not matter here,
    and four numbers come from one draw of 64 bits.
    """
    if like.device.type != "cpu":
        generator = torch.Generator(like.device).manual_seed(seed)
        kind: dict[str, Any] = {"dtype": like.dtype, "device": like.device, "generator": generator}
        return lambda count: torch.rand(count, **kind).mul_(2.0).sub_(1.0)
    source = np.random.Generator(np.random.SFC64(seed))

    def draw(count: int) -> torch.Tensor:
        bits = source.integers(0, 1 << 64, -(-count // 4), dtype=np.uint64).view(np.int16)[:count]
        return torch.from_numpy(bits).to(like.dtype).add_(0.5).mul_(2.0**-15)

    return draw


class ExcessMTL(JacobianAggregator):
    """Weights by excess risk. The sum of squares is as large as the Jacobian, and part of the checkpoint."""

    weights: torch.Tensor
    baseline: torch.Tensor
    warmup: torch.Tensor
    squares: torch.Tensor

    def __init__(self, config: Any, num_tasks: int, seed: int = 0) -> None:
        super().__init__(config, num_tasks, seed)
        keep(self, "weights", torch.full((num_tasks,), 1.0 / num_tasks, dtype=torch.float64))
        keep(self, "baseline", torch.full((num_tasks,), torch.nan, dtype=torch.float64))
        keep(self, "warmup", torch.zeros(num_tasks, dtype=torch.float64))
        keep(self, "squares", torch.zeros(num_tasks, 0))

    def combine(self, jacobian: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        if self.squares.shape[1] == 0:
            self.squares = jacobian.new_zeros(self.num_tasks, jacobian.shape[1])
        risks = [_excess(gradient, self.squares[int(row)]) for gradient, row in zip(jacobian, rows, strict=True)]
        excess = torch.stack(risks).cpu()
        if int(self.step) < self.config.warmup_steps:
            self.warmup[rows] += excess / self.config.warmup_steps
        else:
            self._update(excess, rows)
        return weigh_into_first(len(rows) * self.weights[rows] / self.weights[rows].sum(), jacobian)

    def _update(self, excess: torch.Tensor, rows: torch.Tensor) -> None:
        """The exponentiated step; the first excess of a task is its baseline, and itself taken as it is (torchjd)."""
        known = ~self.baseline[rows].isnan()
        first = self.warmup[rows] if self.config.warmup_steps else excess
        self.baseline[rows] = torch.where(known, self.baseline[rows], first)
        relative = excess / (self.baseline[rows] + 1e-7)
        if not self.config.warmup_steps:
            relative = torch.where(known, relative, excess)
        moved = torch.log(self.weights[rows]) + relative * self.config.step_size
        self.weights[rows] = torch.softmax(moved, 0) * self.weights[rows].sum()

    def prepare_load(self, state: Mapping[str, torch.Tensor]) -> None:
        # Its width is known only once there are gradients.
        self.squares = torch.zeros_like(state["squares"])


def _excess(gradient: torch.Tensor, squares: torch.Tensor) -> torch.Tensor:
    """Σ gradient² / √squares after the gradient's are added to it in place, block by block, so that they stay in cache."""
    total = torch.zeros((), dtype=torch.float64, device=gradient.device)
    for part, sums in zip(gradient.split(BLOCK), squares.split(BLOCK), strict=True):
        squared = part * part
        sums += squared
        total += torch.dot(squared, torch.rsqrt(sums + 1e-7)).double()
    return total
