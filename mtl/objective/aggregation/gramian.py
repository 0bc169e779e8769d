"""Aggregators that are functions of the gradients' cosines and lengths alone.

Methods that average the tasks (UPGrad, CAGrad, MGDA, Aligned-MTL, IMTL-G) are multiplied by their number, so that they
are to be compared with the sum. Where all tasks have one gradient, all but two then step as far as the sum: CAGrad
1 + c times as far, FairGrad tasks^(-α / (1 + α)) times. Where gradients differ without conflict, UPGrad, PCGrad and
GradVac still give the sum; the others' lengths and directions are their own.
"""

from __future__ import annotations

import numpy as np
import torch
import torchjd.aggregation as jd
from jaxtyping import Int64
from torch import Tensor

from mtl.config.objective import (
    AlignedMTLAggregator,
    CAGradAggregator,
    ConFIGAggregator,
    FairGradAggregator,
    IMTLGAggregator,
    MGDAAggregator,
    PCGradAggregator,
    UPGradAggregator,
)
from mtl.objective.aggregation.solvers import (
    PARETO,
    averse_to_conflict,
    cone_projection,
    equal_angles,
    fair,
    shortest,
    unit_vectors,
)
from mtl.objective.aggregator import OnDevice, OnHost, PerRow, Places, Presence, Products


class UPGrad(OnHost[UPGradAggregator]):
    """Each gradient projected onto the dual cone of all, then summed: it hurts no task."""

    def solve(self, cosines: Products, lengths: PerRow, rows: Places) -> PerRow:
        units = unit_vectors(cosines.numpy())
        added = torch.from_numpy(np.stack([cone_projection(units, row) for row in range(len(rows))]))
        return 1.0 + lengths @ added / lengths


class PCGrad(OnDevice[PCGradAggregator]):
    """Conflicting parts projected away, in random order."""

    def solve(self, cosines: Products, lengths: PerRow, there: Presence) -> PerRow:
        parts = torch.eye(len(lengths), dtype=lengths.dtype, device=lengths.device)
        drawn = [torch.randperm(len(lengths)).numpy() for _ in lengths]
        for turn in turns([order[order != own] for own, order in enumerate(drawn)], lengths.device):
            others = turn[:, None]
            met = (cosines[turn] * parts).sum(1, keepdim=True)
            parts = parts.scatter_add(1, others, -met.clamp(max=0.0))
        return lengths @ parts / lengths


def turns(orders: list[np.ndarray], device: torch.device) -> Int64[Tensor, "turns rows"]:
    """In which order each gradient meets the others: whom each of them meets in a turn, int64 [rows - 1, rows]."""
    return torch.from_numpy(np.stack(orders, 1)).to(device, non_blocking=True)


class CAGrad(OnHost[CAGradAggregator]):
    """The best worst task within a ball around the mean gradient. Where no direction helps all, the mean."""

    def solve(self, cosines: Products, lengths: PerRow, rows: Places) -> PerRow:
        return torch.from_numpy(averse_to_conflict(vectors(cosines, lengths), self.config.c))


class MGDA(OnHost[MGDAAggregator]):
    """The shortest vector in the convex hull."""

    def solve(self, cosines: Products, lengths: PerRow, rows: Places) -> PerRow:
        return len(rows) * torch.from_numpy(shortest(vectors(cosines, lengths)))


class AlignedMTL(OnHost[AlignedMTLAggregator]):
    """All principal components made equally long."""

    def solve(self, cosines: Products, lengths: PerRow, rows: Places) -> PerRow:
        return len(rows) * jd.AlignedMTLWeighting(scale_mode=self.config.scale)(products(cosines, lengths))


class IMTLG(OnHost[IMTLGAggregator]):
    """Equal projections on every task, from coefficients of mean 1."""

    def solve(self, cosines: Products, lengths: PerRow, rows: Places) -> PerRow:
        found = torch.from_numpy(equal_angles(cosines.numpy())) / lengths
        total = found.sum()
        return len(rows) * found / total if abs(total) > PARETO * found.abs().sum() else torch.zeros_like(found)


class FairGrad(OnHost[FairGradAggregator]):
    """α-fair: gramian · x = x^(-1/α), with gradients of length 1 in the root mean square: the unit changes the solution's
    length alone.
    """

    def solve(self, cosines: Products, lengths: PerRow, rows: Places) -> PerRow:
        unit = lengths / lengths.square().mean().sqrt()
        power = 1.0 / self.config.alpha
        return torch.from_numpy(fair(cosines.numpy(), (power - 1.0) * unit.log().numpy(), power)) / unit


class ConFIG(OnHost[ConFIGAggregator]):
    """The same cosine to every task, as long as the gradients' projections on it together."""

    def solve(self, cosines: Products, lengths: PerRow, rows: Places) -> PerRow:
        found = torch.from_numpy(equal_angles(cosines.numpy()))
        square = found @ cosines @ found
        return (lengths @ cosines @ found) / square * found / lengths if square else found


def products(cosines: Products, lengths: PerRow) -> Products:
    """The Gramian of the gradients, the longest of length 1."""
    unit = lengths / lengths.max()
    return unit[:, None] * cosines * unit


def vectors(cosines: Products, lengths: PerRow) -> np.ndarray:
    """Vectors [rows, rows] with these cosines, their lengths in proportion, the longest of length 1."""
    return unit_vectors(cosines.numpy()) * (lengths / lengths.max()).numpy()[:, None]
