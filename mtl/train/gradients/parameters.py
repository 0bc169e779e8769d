"""The tasks' gradients compared at the shared parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mtl.data.loading.loader import Batch
from mtl.objective.jacobian import gramian_of
from mtl.train.buckets import Buckets
from mtl.train.gradients.base import GradientMethod, Outcome


class ParameterGradients(GradientMethod):
    """The tasks' gradients are compared at the shared parameters: a backward pass per task."""

    _jacobian: Tensor | None = None

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        own = [p for name in self.tasks for p in self.model.task_parameters(name)]
        self._own = Buckets(self.world, own)

    def compute(self, batches: Sequence[Batch]) -> Outcome:
        norm = self.normaliser(batches)
        shared = [p for p in self.model.shared_parameters() if p.requires_grad]
        sizes = [p.numel() for p in shared]
        jacobian = self._cleared(shared, sum(sizes))
        total = torch.zeros(len(self.tasks), dtype=torch.float64, device=self.world.device)
        under_way: list[Callable[[], object]] = []
        for micro, batch in enumerate(batches):
            self.reseed(micro)
            with self.autocast():
                outputs = self.model(batch.images, batch.views, self.mine)
            local = self.local_losses(outputs, batch, norm)
            total += torch.stack(local).detach().double()
            for number, (row, loss) in enumerate(zip(jacobian, local, strict=True)):
                self._add_row(row.split(sizes), loss, shared, number)
                if micro == len(batches) - 1:  # a row is complete, and travels while the next is computed
                    under_way.append(self.world.begin_sum(row))
        for wait in under_way:
            wait()
        losses = self.world.sum(total.clone())
        gramian = gramian_of(jacobian)
        weights = self.objective.weighting.weights(losses, norm.present, gramian)
        combined, coefficients = self.objective.combine(jacobian, weights, gramian, norm.present)
        # The tasks' own parameters first; the shared ones' gradient is the same on all workers already.
        self.weigh(weights)
        self._own.begin()
        self._own.end()
        for parameter, part in zip(shared, combined.split(sizes), strict=True):
            parameter.grad = part.view_as(parameter)
        return Outcome(losses, norm.present, weights, coefficients, gramian, total)

    def _cleared(self, shared: list[nn.Parameter], width: int) -> Float[Tensor, "tasks width"]:
        """The Jacobian's memory, [tasks, width] of zeros: the same each step, for it is large and new pages are slow."""
        if self._jacobian is None:
            self._jacobian = torch.empty(len(self.tasks), width, dtype=shared[0].dtype, device=self.world.device)
        return self._jacobian.zero_()

    def _add_row(self, row: Sequence[Tensor], loss: Tensor, shared: list[nn.Parameter], number: int) -> None:
        """One task's backward pass, which adds its gradient of the shared parameters to a row of the Jacobian."""
        if not loss.requires_grad:
            return
        for part, parameter in zip(row, shared, strict=True):
            parameter.grad = part.view_as(parameter)
        own = [p for p in self.model.task_parameters(list(self.tasks)[number]) if p.requires_grad]
        loss.backward(inputs=[*shared, *own], retain_graph=number < len(self.tasks) - 1)
