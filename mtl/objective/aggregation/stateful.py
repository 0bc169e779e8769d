"""Aggregators with a memory, which torchjd's own would lose in a checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mtl.config.objective import ExcessMTLAggregator, GradDropAggregator, GradVacAggregator, NashMTLAggregator
from mtl.objective.aggregation.solvers import fair
from mtl.objective.aggregator import Gradient, GramianAggregator, Jacobian, JacobianAggregator, PerRow, Places, Products
from mtl.objective.jacobian import BLOCK, weigh_into_first
from mtl.objective.memory import register_state
from mtl.seeds import Stream, torch_seed

CLOSE = 1e-6
"""The least sine of a wanted angle: no step along a gradient turns another quite parallel to it."""


class NashMTL(GramianAggregator[NashMTLAggregator]):
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
        if int(self.step) % self.config.every == 0:
            unit = lengths / (lengths[:, None] * cosines * lengths).norm().sqrt()
            alpha = torch.from_numpy(fair(cosines.numpy(), np.zeros(len(rows)), 1.0)) / unit
            self.plan(alpha=self.alpha.index_copy(0, rows, alpha))
        weighted = alpha * lengths
        norm = (weighted @ cosines @ weighted).clamp(min=0).sqrt()
        limit = self.config.max_norm
        return alpha / norm * limit if limit and norm > limit else alpha


class GradVac(GramianAggregator[GradVacAggregator]):
    """Cosines pulled towards their running mean."""

    cosines: Tensor

    def __init__(self, config: GradVacAggregator, num_tasks: int, seed: int = 0) -> None:
        super().__init__(config, num_tasks, seed)
        register_state(self, "cosines", torch.zeros(num_tasks, num_tasks, dtype=torch.float64))

    def solve(self, cosines: Products, lengths: PerRow, rows: Places) -> PerRow:
        wanted = self.cosines[rows[:, None], rows]
        parts, found = vaccinated(cosines.numpy(), wanted.numpy())
        remembered = self.cosines.clone()
        remembered[rows[:, None], rows] = wanted.lerp(torch.from_numpy(found), self.config.beta)
        self.plan(cosines=remembered)
        return lengths @ torch.from_numpy(parts) / lengths


def vaccinated(cosines: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit gradients, each pulled in random order towards the others as far as the wanted cosines ask: what each is made of
    [rows, rows], and the cosines that were met on the way [rows, rows].
    """
    size = len(cosines)
    parts, found = np.eye(size), np.zeros((size, size))
    for i in range(size):
        others = [j for j in range(size) if j != i]
        for place in torch.randperm(size - 1).tolist():
            j = others[place]
            products = parts[i] @ cosines
            length = np.sqrt(max(float(products @ parts[i]), 0.0))
            met = min(max(products[j] / length, -1.0), 1.0) if length > 0.0 else 0.0
            if met < wanted[i, j]:
                there, here = np.sqrt(1.0 - wanted[i, j] ** 2), np.sqrt(1.0 - met**2)
                parts[i, j] += length * (wanted[i, j] * here - met * there) / max(there, CLOSE)
            found[i, j] = met
    return parts, found


class GradDrop(JacobianAggregator[GradDropAggregator]):
    """Each coordinate keeps one sign, the positive one with the probability of its share of the absolute sum.

    As torchjd's, with random numbers of NumPy's SFC64 on the CPU: torch's took a third of a step.
    """

    def combine(self, jacobian: Jacobian, rows: Places) -> Gradient:
        draw = draws(jacobian, torch_seed(self.seed, Stream.AGGREGATION, int(self.step)))
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

    def combine(self, jacobian: Jacobian, rows: Places) -> Gradient:
        self.plan()
        risks = self._risks(jacobian, rows)
        seen, first = self.steps[rows], self.baseline[rows]
        warm = int(self.step) < self.config.warmup_steps
        # The mean over the warm-up's steps that had the task, or its first risk after it.
        first = torch.where(seen == 0, risks, first.lerp(risks, 1.0 / (seen + 1.0)) if warm else first)
        logits = self.logits[rows]
        if not warm:
            moved = logits + self.config.step_size * torch.where(first > 0, risks / first, 1.0)
            # The present tasks' weights sum to what they did before.
            logits = moved - moved.logsumexp(0) + logits.logsumexp(0)
        self.plan(
            logits=self.logits.index_copy(0, rows, logits),
            baseline=self.baseline.index_copy(0, rows, first),
            steps=self.steps.index_copy(0, rows, seen + 1.0),
            squares=self._spare,
        )
        return weigh_into_first(len(rows) * logits.softmax(0), jacobian)

    def _risks(self, jacobian: Jacobian, rows: Places) -> PerRow:
        """Each task's excess risk, float64 [rows]; the sums of squares after this step are left in the spare memory."""
        shape = (self.num_tasks, jacobian.shape[1])
        squares = self.squares.to(jacobian) if self.squares.shape == shape else jacobian.new_zeros(shape)
        if self._spare.shape != shape:
            self._spare = torch.empty_like(squares)
        present = {int(row): gradient for gradient, row in zip(jacobian, rows, strict=True)}
        for row in set(range(self.num_tasks)) - present.keys():
            self._spare[row] = squares[row]
        found = [_excess(gradient, squares[row], self._spare[row]) for row, gradient in present.items()]
        return torch.stack(found).cpu()

    def settle(self) -> None:
        before = self.squares
        super().settle()
        if self.squares is not before:
            self._spare = before

    def prepare_load(self, state: Mapping[str, Tensor]) -> None:
        # Its width is known only once there are gradients.
        self.squares = torch.zeros_like(state["squares"])


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
