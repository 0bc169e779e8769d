"""Dual-balancing (Lin et al. 2023, arXiv 2308.12029): log losses, and gradients of one length."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from mtl.config.objective import DBMTLWeighting
from mtl.config.tasks import TaskConfig
from mtl.objective.memory import register_state
from mtl.objective.weighting.base import Gramian, PerTask, Presence, Weighting


class DBMTL(Weighting[DBMTLWeighting]):
    """Σ longest / length · ∇log loss.

    The paper averages gradients over steps; here their squared lengths are averaged: tasks numbers instead of tasks ×
    parameters, and equal to the paper's at beta 0. A loss of 0 has no logarithm: its task waits.
    """

    squares: Tensor

    def __init__(self, config: DBMTLWeighting, tasks: Mapping[str, TaskConfig], seed: int = 0) -> None:
        super().__init__(config, tasks, seed)
        register_state(self, "squares", torch.zeros(self.num_tasks, dtype=torch.float64))

    def factors(self, losses: PerTask, present: Presence, gramian: Gramian | None = None) -> PerTask:
        assert gramian is not None
        known = present & (losses > 0)
        losses = torch.where(known, losses, 1.0)
        squares = gramian.diagonal().clamp(min=0) / losses**2
        running = torch.where(self.squares > 0, self.squares.lerp(squares, 1 - self.config.beta), squares)
        self.plan(squares=torch.where(known, running, self.squares))
        lengths = torch.where(known, running.sqrt(), 0.0)
        ratios = torch.where(lengths > 0, lengths.max() / lengths, 1.0)
        return torch.where(known, ratios / losses, 0.0)
