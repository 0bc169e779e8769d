"""The gradient of one optimizer step, the same for any number of workers, micro-batches and any division of labour.

Counts, losses, Gramians and Jacobians are summed over all workers *before* they are used. Three ways to the gradient:

sum         one backward pass of the weighted sum; the weights may depend on the global losses
features    the model is cut at its shared features: a backward pass through each head gives the tasks' gradients
            there, their tasks × tasks products travel, one backward pass goes on from the combination
parameters  a backward pass a task; the whole Jacobian travels
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from mtl.data.loader import Batch
from mtl.model.sharing import INITIAL, MultiTaskModel
from mtl.objective.combination import Objective
from mtl.precision import precise
from mtl.tasks import Task
from mtl.train.distributed import World

INITIAL_WEIGHT = 0.5
"""Of the loss of a task's initial prediction, where a sharing makes two (PAD-Net supervises both)."""


@dataclass
class Outcome:
    """What all workers agree on after a gradient is computed.

    losses: float64 [tasks], over the global batch, detached; 0 where absent.
    present: bool [tasks], whether any worker has a target for the task.
    weights, coefficients: float64 [tasks], of the weighting and of the aggregator.
    gramian: float64 [tasks, tasks], of the unweighted losses' gradients; None if they were not compared.
    local: [tasks], this worker's part of the losses, to tell whose samples are not finite.
    """

    losses: torch.Tensor
    present: torch.Tensor
    weights: torch.Tensor
    coefficients: torch.Tensor
    gramian: torch.Tensor | None = None
    local: torch.Tensor = field(default_factory=lambda: torch.zeros(0))


@dataclass
class Normaliser:
    """Global counts of a step's terms: what each local sum is divided by.

    scale: float64 [terms]; owner: int64 [terms], the task of each term; present: bool [tasks].
    """

    scale: torch.Tensor
    owner: torch.Tensor
    present: torch.Tensor

    def loss(self, task: int, sums: Sequence[torch.Tensor]) -> torch.Tensor:
        """A worker's part of one task's global loss, from the sums of its terms: a scalar with their graph."""
        scales = self.scale[self.owner == task]
        return torch.stack(list(sums)) @ scales.to(sums[0])


class GradientMethod(ABC):
    """Computes `.grad` of every trained parameter, summed over the workers.

    Args:
        mine: tasks that this worker computes; all, unless the work is divided by tasks.
        reseed: called with the micro-batch's number before each forward pass, so that repeating one repeats it.
    """

    def __init__(
        self,
        model: MultiTaskModel,
        tasks: dict[str, Task],
        objective: Objective,
        world: World,
        *,
        bf16: bool = False,
        mine: Sequence[str] | None = None,
        reseed: Callable[[int], Any] | None = None,
    ) -> None:
        self.model, self.tasks, self.objective, self.world = model, tasks, objective, world
        self.bf16, self._reseed = bf16, reseed
        self.mine = list(tasks) if mine is None else list(mine)

    def reseed(self, micro: int) -> None:
        """Fix the random numbers of a micro-batch's forward pass."""
        if self._reseed:
            self._reseed(micro)

    @abstractmethod
    def compute(self, batches: Sequence[Batch]) -> Outcome:
        """Gradients of one step from this worker's micro-batches; `.grad` must be empty before."""

    def normaliser(self, batches: Sequence[Batch]) -> Normaliser:
        """Count every term's targets over all micro-batches and workers."""
        device = self.world.device
        counts: list[torch.Tensor] = []
        owner: list[int] = []
        for number, (name, task) in enumerate(self.tasks.items()):
            own = torch.stack([torch.stack([c.double() for c in task.counts(batch)]) for batch in batches]).sum(0)
            counts.append(own if name in self.mine else torch.zeros_like(own))
            owner += [number] * len(own)
        summed = self.world.sum(torch.cat(counts).to(device))
        places = torch.tensor(owner, device=device)
        zeros = torch.zeros(len(self.tasks), dtype=torch.float64, device=device)
        return Normaliser(1.0 / summed.clamp(min=1.0), places, zeros.index_add(0, places, summed) > 0)

    def local_losses(self, outputs: dict[str, torch.Tensor], batch: Batch, norm: Normaliser) -> list[torch.Tensor]:
        """This worker's part of each task's global loss in one micro-batch.

        Scalars whose graphs meet at the features, not before: a backward pass of one must not go through all heads.
        """
        losses: list[torch.Tensor] = []
        for number, (name, task) in enumerate(self.tasks.items()):
            if name not in self.mine:
                losses.append(batch.images.new_zeros(()))
                continue
            terms = task.terms(outputs[name], batch)
            early = outputs.get(f"{name}{INITIAL}")
            if early is not None:
                terms = [a + INITIAL_WEIGHT * b for a, b in zip(terms, task.terms(early, batch), strict=True)]
            losses.append(norm.loss(number, terms))
        return losses

    def autocast(self) -> Any:
        """Half precision for forward passes, where it is on."""
        return torch.autocast(self.world.device.type, torch.bfloat16, enabled=self.bf16)

    @torch.no_grad()
    def losses(self, batches: Sequence[Batch], norm: Normaliser | None = None) -> torch.Tensor:
        """The global losses under the present weights, float64 [tasks]: a forward pass and nothing else."""
        norm = norm or self.normaliser(batches)
        total = torch.zeros(len(self.tasks), dtype=torch.float64, device=self.world.device)
        for micro, batch in enumerate(batches):
            self.reseed(micro)
            with self.autocast():
                outputs = self.model(batch.images, batch.views)
            total += torch.stack(self.local_losses(outputs, batch, norm)).double()
        return self.world.sum(total)

    def finish(self, weights: torch.Tensor | None, parameters: Sequence[nn.Parameter] | None = None) -> None:
        """Weigh each task's own parameters' gradients, if they are not yet, and sum gradients over workers: of some
        parameters, or of all."""
        if weights is not None:
            for weight, name in zip(weights.tolist(), self.tasks, strict=True):
                own = [p.grad for p in self.model.task_parameters(name) if p.grad is not None]
                if own:
                    torch._foreach_mul_(own, weight)  # pyright: ignore[reportPrivateImportUsage, reportPrivateUsage]
        self.world.sum_gradients(self.model.parameters() if parameters is None else parameters)


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

    def compute(self, batches: Sequence[Batch]) -> Outcome:
        norm, weighting = self.normaliser(batches), self.objective.weighting
        total = torch.zeros(len(self.tasks), dtype=torch.float64, device=self.world.device)
        weights: torch.Tensor | None = None
        if not weighting.needs_losses:
            weights = weighting.weights(total, norm.present)
        elif len(batches) > 1:
            weights = weighting.weights(self.losses(batches, norm), norm.present)
        for micro, batch in enumerate(batches):
            self.reseed(micro)
            last = micro == len(batches) - 1
            with self.wrapped.no_sync() if self.wrapped and not last else nullcontext():
                with self.autocast():
                    outputs = (self.wrapped or self.model)(batch.images, batch.views)
                local = torch.stack(self.local_losses(outputs, batch, norm))
                total += local.detach().double()
                if weights is None:
                    weights = weighting.weights(self.world.sum(total.clone()), norm.present)
                # Both take the mean over workers; the losses are already divided.
                factor = self.world.size if self.wrapped or self.sharded else 1
                (factor * (local * weights.to(local)).sum()).backward()
        assert weights is not None
        if not self.wrapped and not self.sharded:
            self.finish(None)
        losses = self.world.sum(total.clone())
        return Outcome(losses, norm.present, weights, norm.present.double(), local=total)


class FeatureGradients(GradientMethod):
    """The tasks' gradients are compared at the shared features.

    With several micro-batches the products of all must be known before any goes on: the features are computed twice.
    """

    def compute(self, batches: Sequence[Batch]) -> Outcome:
        norm, weighting = self.normaliser(batches), self.objective.weighting
        entangled = self.model.entangled
        ones = norm.present.double()
        once = len(batches) == 1
        # Parameters after the cut that several tasks train need the weights before the backward pass.
        early = weighting.weights(self.losses(batches, norm), norm.present) if entangled else ones
        size = len(self.tasks)
        sums = torch.zeros(size, size + 1, dtype=torch.float64, device=self.world.device)
        graph: _Cut | None = None
        for micro, batch in enumerate(batches):
            graph = self._cut(micro, batch, norm, early, heads=once)
            sums[:, 0] += graph.local
            sums[:, 1:] += graph.gramian()
        local = sums[:, 0].clone()
        total = self.world.sum(sums)
        losses, gramian = total[:, 0].clone(), total[:, 1:].clone()
        weights = early if entangled else weighting.weights(losses, norm.present, gramian)
        rows = ones if entangled else weights
        coefficients = self.objective.coefficients(rows[:, None] * gramian * rows, norm.present)
        for micro, batch in enumerate(batches):
            cut = graph if once and graph else self._cut(micro, batch, norm, early, heads=True)
            cut.go_on((coefficients * rows).tolist())
        self.finish(None if entangled else weights)
        return Outcome(losses, norm.present, weights, coefficients, gramian, local)

    def _cut(self, micro: int, batch: Batch, norm: Normaliser, row_weights: torch.Tensor, *, heads: bool) -> _Cut:
        """Forward, and backward through the heads as far as the features."""
        self.reseed(micro)
        with self.autocast(), torch.set_grad_enabled(heads):
            features = self.model.shared(batch.images, batch.views)
        leaves = [f.detach().requires_grad_() for f in features]
        with self.autocast():
            outputs = self.model.specific(leaves, self.model.rows(batch.images, batch.views), self.mine)
        local = self.local_losses(outputs, batch, norm)
        after = [p for p in self.model.after_cut() if p.requires_grad] if heads else []
        gradients: list[list[torch.Tensor]] = []
        for number, loss in enumerate(local):
            if loss.requires_grad:
                weighted = loss * row_weights[number].to(loss)
                weighted.backward(inputs=[*leaves, *after], retain_graph=self.model.entangled)
            gradients.append([torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for leaf in leaves])
            for leaf in leaves:
                leaf.grad = None
        return _Cut(list(features), gradients, torch.stack(local).detach().double())


@dataclass
class _Cut:
    """Features with their graph, and each task's gradients at them: [tasks][features]."""

    features: list[torch.Tensor]
    gradients: list[list[torch.Tensor]]
    local: torch.Tensor

    def gramian(self) -> torch.Tensor:
        """float64 [tasks, tasks], of this worker's samples."""
        size = len(self.gradients)
        found = torch.zeros(size, size, dtype=torch.float64, device=self.local.device)
        for place in range(len(self.features)):
            rows = torch.stack([precise(task[place]).flatten() for task in self.gradients])
            found += (rows @ rows.T).double()
        return found

    def go_on(self, coefficients: list[float]) -> None:
        """The backward pass from the features on."""
        starts: list[torch.Tensor] = []
        sums: list[torch.Tensor] = []
        for place, feature in enumerate(self.features):
            if feature.requires_grad:
                starts.append(feature)
                parts = (c * task[place] for c, task in zip(coefficients, self.gradients, strict=True) if c)
                sums.append(sum(parts, torch.zeros_like(feature)))
        if starts:
            torch.autograd.backward(starts, sums)


class ParameterGradients(GradientMethod):
    """The tasks' gradients are compared at the shared parameters: a backward pass a task."""

    _jacobian: torch.Tensor | None = None

    def compute(self, batches: Sequence[Batch]) -> Outcome:
        norm = self.normaliser(batches)
        shared = [p for p in self.model.shared_parameters() if p.requires_grad]
        sizes = [p.numel() for p in shared]
        jacobian = self._cleared(shared, sum(sizes))
        total = torch.zeros(len(self.tasks), dtype=torch.float64, device=self.world.device)
        for micro, batch in enumerate(batches):
            self.reseed(micro)
            with self.autocast():
                outputs = self.model(batch.images, batch.views, self.mine)
            local = self.local_losses(outputs, batch, norm)
            total += torch.stack(local).detach().double()
            for number, (row, loss) in enumerate(zip(jacobian, local, strict=True)):
                self._add_row(row.split(sizes), loss, shared, number)
        self.world.sum(jacobian)
        losses = self.world.sum(total.clone())
        gramian = (jacobian @ jacobian.T).double()
        weights = self.objective.weighting.weights(losses, norm.present, gramian)
        combined, coefficients = self.objective.combine(jacobian, weights, gramian, norm.present)
        # The tasks' own parameters first; the shared ones' gradient is the same on all workers already.
        self.finish(weights, [p for name in self.tasks for p in self.model.task_parameters(name)])
        for parameter, part in zip(shared, combined.split(sizes), strict=True):
            parameter.grad = part.view_as(parameter)
        return Outcome(losses, norm.present, weights, coefficients, gramian, total)

    def _cleared(self, shared: list[nn.Parameter], width: int) -> torch.Tensor:
        """The Jacobian's memory, [tasks, width] of zeros: the same each step, for it is large and new pages are slow."""
        if self._jacobian is None:
            self._jacobian = torch.empty(len(self.tasks), width, dtype=shared[0].dtype, device=self.world.device)
        return self._jacobian.zero_()

    def _add_row(
        self, row: Sequence[torch.Tensor], loss: torch.Tensor, shared: list[nn.Parameter], number: int
    ) -> None:
        """One task's backward pass, which adds its gradient of the shared parameters to a row of the Jacobian."""
        if not loss.requires_grad:
            return
        for part, parameter in zip(row, shared, strict=True):
            parameter.grad = part.view_as(parameter)
        own = [p for p in self.model.task_parameters(list(self.tasks)[number]) if p.requires_grad]
        loss.backward(inputs=[*shared, *own], retain_graph=number < len(self.tasks) - 1)
