"""FAMO (Liu et al. 2023, arXiv 2306.03792): every task's log loss falls at the same rate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from mtl.config import TaskConfig
from mtl.objective.weighting.base import TINY, Weighting
from mtl.objective.weighting.learned import OwnAdam


class FAMO(Weighting):
    """c · Σ softmax(w) · log loss; after the step w follows how much each log loss fell on the same batch."""

    needs_losses = True
    needs_losses_after = True

    def __init__(self, config: Any, tasks: Mapping[str, TaskConfig], seed: int = 0) -> None:
        super().__init__(config, tasks, seed)
        self.logits = nn.Parameter(torch.zeros(len(tasks), dtype=torch.float64), requires_grad=False)
        self.adam = OwnAdam(self.logits, config.learning_rate, config.weight_decay)

    def factors(self, losses: torch.Tensor, present: torch.Tensor, gramian: torch.Tensor | None = None) -> torch.Tensor:
        parts = self._shares(present) / (losses + TINY)
        return parts / parts.sum()

    def after_step(self, before: torch.Tensor, after: torch.Tensor | None, present: torch.Tensor) -> None:
        assert after is not None
        fallen = torch.where(present, torch.log(before + TINY) - torch.log(after + TINY), 0.0)
        shares = self._shares(present)
        # Of softmax: d(Σ fallen · shares) / d logits.
        self.adam.step(shares * (fallen - (shares * fallen).sum()))

    def _shares(self, present: torch.Tensor) -> torch.Tensor:
        return torch.softmax(torch.where(present, self.logits.detach(), -torch.inf), 0)
