"""Dual-balancing (Lin et al. 2023, arXiv 2308.12029): log losses, and gradients of one length."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from mtl.config import TaskConfig
from mtl.objective.weighting.base import TINY, Weighting, keep


class DBMTL(Weighting):
    """Σ longest / length · ∇log loss.

    The paper averages gradients over steps; here their squared lengths are averaged: tasks numbers instead of tasks ×
    parameters, and equal to the paper's at beta 0.
    """

    needs_losses = True
    needs_gramian = True
    squares: torch.Tensor

    def __init__(self, config: Any, tasks: Mapping[str, TaskConfig], seed: int = 0) -> None:
        super().__init__(config, tasks, seed)
        keep(self, "squares", torch.full((len(tasks),), torch.nan, dtype=torch.float64))

    def factors(self, losses: torch.Tensor, present: torch.Tensor, gramian: torch.Tensor | None = None) -> torch.Tensor:
        assert gramian is not None
        squares = gramian.diagonal().clamp(min=0) / (losses + TINY) ** 2
        running = self.config.beta * self.squares + (1 - self.config.beta) * squares
        running = torch.where(self.squares.isnan(), squares, running)
        self.squares.copy_(torch.where(present, running, self.squares))
        lengths = torch.where(present, running.sqrt(), 0.0)
        return lengths.max() / ((lengths + TINY) * (losses + TINY))
