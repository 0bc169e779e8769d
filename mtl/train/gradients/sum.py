"""One backward pass of the weighted sum."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn

from mtl.data.loading.loader import Batch
from mtl.train.buckets import Buckets
from mtl.train.gradients.base import GradientMethod, Outcome

if TYPE_CHECKING:
    from torch.distributed.fsdp import FSDPModule


class SumGradients(GradientMethod):
    """One backward pass of the weighted sum of the losses.

    Args:
        wrapped: the model in DistributedDataParallel, which sums gradients while the backward pass goes on; None where
            they are summed after it.
        sharded: the model is divided by FSDP2, which sums gradients during the backward pass too.
    """

    def __init__(
        self,
        *args: Any,
        wrapped: nn.parallel.DistributedDataParallel | None = None,
        sharded: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(*args, **options)
        self.wrapped, self.sharded = wrapped, sharded
        self._buckets = Buckets(self.world, self.model.parameters())

    def compute(self, batches: Sequence[Batch]) -> Outcome:
        norm, weighting = self.normaliser(batches), self.objective.weighting
        total = torch.zeros(len(self.tasks), dtype=torch.float64, device=self.world.device)
        losses: torch.Tensor | None = None
        weights: torch.Tensor | None = None
        if len(batches) > 1 or not weighting.config.needs_losses:
            weights = weighting.weights(self.known_losses(batches, norm), norm.present)
        for micro, batch in enumerate(batches):
            self.reseed(micro)
            with self._synced(last=micro == len(batches) - 1):
                with self.autocast():
                    outputs = (self.wrapped or self.model)(batch.images, batch.views, self.mine)
                local = torch.stack(self.local_losses(outputs, batch, norm))
                total += local.detach().double()
                if weights is None:
                    losses = self.world.sum(total.clone())
                    weights = weighting.weights(losses, norm.present)
                # Both take the mean over workers; the losses are already divided.
                factor = self.world.size if self.wrapped or self.sharded else 1
                (factor * (local * weights.to(local)).sum()).backward()
        assert weights is not None
        if not self.wrapped and not self.sharded:
            self._buckets.begin()
            self._buckets.end()
        if losses is None:
            losses = self.world.sum(total.clone())
        return Outcome(losses, norm.present, weights, norm.present.double(), local=total)

    def _synced(self, *, last: bool) -> AbstractContextManager[Any]:
        """Within it a backward pass sums gradients over workers if it is a step's last one; others add to this worker's own."""
        if self.sharded:
            cast("FSDPModule", self.model).set_requires_gradient_sync(last)
        return self.wrapped.no_sync() if self.wrapped and not last else nullcontext()
