"""FAMO (Liu et al. 2023, arXiv 2306.03792): every task's log loss falls at the same rate."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from mtl.config.objective import FAMOWeighting
from mtl.config.tasks import TaskConfig
from mtl.objective.weighting.base import Gramian, PerTask, Presence, Weighting, shares
from mtl.objective.weighting.learned import OwnAdam


class FAMO(Weighting[FAMOWeighting]):
    """c · Σ softmax(w) · log loss; after the step w follows how much each log loss fell on the same batch.

    A loss of 0 has no logarithm: its task is out of the step, as one that is absent.
    """

    def __init__(self, config: FAMOWeighting, tasks: Mapping[str, TaskConfig], seed: int = 0) -> None:
        super().__init__(config, tasks, seed)
        self.logits = nn.Parameter(torch.zeros(self.num_tasks, dtype=torch.float64), requires_grad=False)
        self.adam = OwnAdam(self.logits, config.learning_rate, config.weight_decay)

    def factors(self, losses: PerTask, present: Presence, gramian: Gramian | None = None) -> PerTask:
        known = present & (losses > 0)
        parts = shares(self.logits.detach(), known) / torch.where(known, losses, 1.0)
        return parts / torch.where(known.any(), parts.sum(), 1.0)

    def learn(self, before: PerTask, after: PerTask | None, present: Presence) -> None:
        assert after is not None
        known = present & (before > 0) & (after > 0) & torch.isfinite(after)
        fallen = torch.where(known, torch.log(before) - torch.log(after), 0.0)
        own = shares(self.logits.detach(), known)
        # Of softmax: d(Σ fallen · shares) / d logits.
        self.adam.step(own * (fallen - (own * fallen).sum()))
