"""Geometric loss strategy (Chennupati et al. 2019, "MultiNet++", CVPR workshops)."""

from __future__ import annotations

import torch

from mtl.objective.weighting.base import TINY, Weighting


class GLS(Weighting):
    """The geometric mean of the present tasks' losses: its derivative by a loss is mean / (tasks · loss)."""

    needs_losses = True

    def factors(self, losses: torch.Tensor, present: torch.Tensor, gramian: torch.Tensor | None = None) -> torch.Tensor:
        count = present.sum().clamp(min=1)
        logs = torch.log(losses.clamp(min=TINY))
        mean = torch.exp((logs * present).sum() / count)
        return mean / (count * losses.clamp(min=TINY))
