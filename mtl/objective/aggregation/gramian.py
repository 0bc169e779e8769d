"""Aggregators that are functions of the Gramian, each through torchjd.

torchjd's methods that average the tasks (UPGrad, MGDA, Aligned-MTL, CAGrad, IMTL-G) are multiplied by the number of
tasks, so that without conflict all methods step as far as the plain sum.
"""

from __future__ import annotations

from typing import Any

import torch
import torchjd.aggregation as jd

from mtl.objective.aggregator import GramianAggregator


class UPGrad(GramianAggregator):
    """Each gradient projected onto the dual cone of all, then summed."""

    def coefficients(self, gramian: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        return len(rows) * jd.UPGradWeighting()(gramian)


class PCGrad(GramianAggregator):
    """Conflicting parts projected away, in random order."""

    def coefficients(self, gramian: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        return jd.PCGradWeighting()(gramian)


class CAGrad(GramianAggregator):
    """The best worst task within a ball around the mean gradient.

    torchjd divides the Gramian by its trace and gives 0 where the result is short: with one task's gradient 10⁴ times
    the others' it always is, so that guard is off here.
    """

    def coefficients(self, gramian: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        if not bool(gramian.any()):
            return torch.zeros(len(rows), dtype=gramian.dtype)
        return len(rows) * jd.CAGradWeighting(c=self.config.c, norm_eps=0.0)(gramian)


class MGDA(GramianAggregator):
    """The shortest vector in the convex hull."""

    def coefficients(self, gramian: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        method = jd.MGDAWeighting(epsilon=self.config.epsilon, max_iters=self.config.max_iterations)
        return len(rows) * method(gramian)


class AlignedMTL(GramianAggregator):
    """All principal components made equally long."""

    def coefficients(self, gramian: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        return len(rows) * jd.AlignedMTLWeighting(scale_mode=self.config.scale)(gramian)


class IMTLG(GramianAggregator):
    """Equal projections on every task."""

    def coefficients(self, gramian: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        return len(rows) * jd.IMTLGWeighting()(gramian)


class FairGrad(GramianAggregator):
    """α-fair: gramian · x = x^(-1/α).

    The Gramian is brought to size 1 first, which changes the solution's length alone: at 10⁻⁸, where gradients at
    features lie, torchjd's solver stops far from the solution.
    """

    def coefficients(self, gramian: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        unit = gramian.diagonal().mean().clamp(min=1e-30)
        method: Any = jd.FairGradWeighting(alpha=self.config.alpha)
        return method(gramian / unit)


class ConFIG(GramianAggregator):
    """The same cosine to every task. torchjd's works on the Jacobian: any with this Gramian gives the same result."""

    def coefficients(self, gramian: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        root = square_root(gramian)
        return torch.linalg.pinv(root.T) @ jd.ConFIG()(root)


def square_root(gramian: torch.Tensor) -> torch.Tensor:
    """A matrix [rows, rows] whose Gramian is the one given."""
    values, vectors = torch.linalg.eigh(gramian)
    return vectors * values.clamp(min=0).sqrt()
