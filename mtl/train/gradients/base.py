"""What every way to a gradient shares: global counts, global losses, reduction."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from mtl.data.loading.loader import Batch
from mtl.model.sharing import INITIAL, MultiTaskModel
from mtl.objective.combination import Objective
from mtl.tasks import Task
from mtl.train.gradients.part import TaskPart
from mtl.train.process_group import ProcessGroup


@dataclass
class Outcome:
    """What all workers agree on after a gradient is computed.

    losses: over the global batch, detached; 0 where absent.
    present: whether any worker has an image that the task learns from.
    weights, coefficients: of the weighting and of the aggregator.
    gramian: of the unweighted losses' gradients; None if they were not compared.
    local: [tasks], this worker's part of the losses, to tell whose samples are not finite.
    """

    losses: Float64[Tensor, " tasks"]
    present: Bool[Tensor, " tasks"]
    weights: Float64[Tensor, " tasks"]
    coefficients: Float64[Tensor, " tasks"]
    gramian: Float64[Tensor, "tasks tasks"] | None = None
    local: Float[Tensor, " _"] = field(default_factory=lambda: torch.zeros(0))

    def figures(self) -> Float64[Tensor, " figures"]:
        """All that methods learn from, float64 [figures]: if one is not finite, none may."""
        parts = [self.losses, self.weights, self.coefficients]
        return torch.cat(parts if self.gramian is None else [*parts, self.gramian.flatten()])


@dataclass
class Normaliser:
    """Global counts of a step's terms: what each local sum is divided by.

    scales: by task, of its terms.
    """

    scales: Sequence[Float64[Tensor, " _"]]
    present: Bool[Tensor, " tasks"]


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
        world: ProcessGroup,
        *,
        bf16: bool = False,
        mine: Sequence[str] | None = None,
        reseed: Callable[[int], Any] | None = None,
    ) -> None:
        self.model, self.tasks, self.objective, self.world = model, tasks, objective, world
        self.bf16, self._reseed = bf16, reseed
        self.mine = list(tasks) if mine is None else list(mine)
        self.parts = {name: TaskPart(task) for name, task in tasks.items()}

    def reseed(self, micro: int) -> None:
        """Fix the random numbers of a micro-batch's forward pass."""
        if self._reseed:
            self._reseed(micro)

    @abstractmethod
    def compute(self, batches: Sequence[Batch]) -> Outcome:
        """Gradients of one step from this worker's micro-batches; `.grad` must be empty before."""

    def normaliser(self, batches: Sequence[Batch]) -> Normaliser:
        """Count every task's images and every term's targets over all micro-batches and workers.

        A term without a target is divided by one: a batch without a box still has a loss, of what is found in it.
        """
        counts: list[Tensor] = []
        for name, part in self.parts.items():
            own = torch.stack([part.counts(batch) for batch in batches]).sum(0)
            counts.append(own if name in self.mine else torch.zeros_like(own))
        summed = self.world.sum(torch.cat(counts).to(self.world.device)).split([len(own) for own in counts])
        scales = [1.0 / own[1:].clamp(min=1.0) for own in summed]
        return Normaliser(scales, torch.stack([own[0] > 0 for own in summed]))

    def local_losses(self, outputs: dict[str, Tensor], batch: Batch, norm: Normaliser) -> list[Float[Tensor, ""]]:
        """This worker's part of each task's global loss in one micro-batch.

        Scalars whose graphs meet at the features, not before: a backward pass of one must not go through all heads.
        """
        losses: list[Tensor] = []
        for (name, part), scales in zip(self.parts.items(), norm.scales, strict=True):
            if name in self.mine:
                losses.append(part.loss(outputs[name], outputs.get(f"{name}{INITIAL}"), batch, scales))
            else:
                losses.append(batch.images.new_zeros(()))
        return losses

    def autocast(self) -> Any:
        """Half precision for forward passes, where it is on."""
        return torch.autocast(self.world.device.type, torch.bfloat16, enabled=self.bf16)

    @torch.no_grad()
    def losses(self, batches: Sequence[Batch], norm: Normaliser | None = None) -> Float64[Tensor, " tasks"]:
        """The global losses under the present weights, float64 [tasks]: a forward pass and nothing else."""
        norm = norm or self.normaliser(batches)
        total = torch.zeros(len(self.tasks), dtype=torch.float64, device=self.world.device)
        for micro, batch in enumerate(batches):
            self.reseed(micro)
            with self.autocast():
                outputs = self.model(batch.images, batch.views, self.mine)
            total += torch.stack(self.local_losses(outputs, batch, norm)).double()
        return self.world.sum(total)

    def known_losses(self, batches: Sequence[Batch], norm: Normaliser) -> Float64[Tensor, " tasks"]:
        """What the weighting must know of the losses before any backward pass: a forward pass if it looks at them, else
        nothing, zeros.
        """
        if self.objective.weighting.config.needs_losses:
            return self.losses(batches, norm)
        return torch.zeros(len(self.tasks), dtype=torch.float64, device=self.world.device)

    def weigh(self, weights: Float64[Tensor, " tasks"]) -> None:
        """Multiply each task's own parameters' gradients."""
        for weight, name in zip(weights, self.tasks, strict=True):
            own = [p.grad for p in self.model.task_parameters(name) if p.grad is not None]
            if own:
                torch._foreach_mul_(own, weight.to(own[0]))  # pyright: ignore[reportPrivateImportUsage, reportPrivateUsage]
