"""What every weighting is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Generic, TypeVar

import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from mtl.config.objective import WeightingSection
from mtl.config.tasks import TaskConfig
from mtl.objective.memory import Remembering

WeightingConfig = TypeVar("WeightingConfig", bound=WeightingSection, covariant=True)
"""A method's section of params.yaml."""

PerTask = Float64[Tensor, " tasks"]
"""A number of each task that a method is called with."""
Presence = Bool[Tensor, " tasks"]
"""Whether any worker has an image that the task learns from."""
Gramian = Float64[Tensor, "tasks tasks"]
"""Products of the tasks' gradients."""


class Weighting(Remembering, ABC, Generic[WeightingConfig]):
    """Globally averaged losses → one weight per task. Every worker computes the same, in float64.

    A task's weight is its declared `weight` times the method's factor. A method sees the tasks that count, and no
    others: an auxiliary task's loss or gradient changes nothing for them. An auxiliary task's factor is the mean of those
    of the tasks that count and are present, and at most 1: beside them it weighs what is declared, and no more than that.

    `weights`, `own_loss` and `after_step` have vectors of all tasks; `factors`, `own_terms` and `learn`, which are a
    method's, of the tasks that count. Memory is in `state_dict`, and changes in `after_step` and `end_epoch` alone.

    Args:
        config: the method's section of params.yaml.
        tasks: what every task has, in the order of all vectors here.
        seed: of methods that draw random numbers, with `mtl.seeds.Stream.WEIGHTING` and the step.
    """

    declared: Tensor
    auxiliary: Tensor
    counting: Tensor

    def __init__(self, config: WeightingConfig, tasks: Mapping[str, TaskConfig], seed: int = 0) -> None:
        super().__init__()
        self.config, self.seed = config, seed
        auxiliary = torch.tensor([task.auxiliary for task in tasks.values()])
        declared = torch.tensor([task.weight for task in tasks.values()], dtype=torch.float64)
        self.register_buffer("declared", declared, persistent=False)
        self.register_buffer("auxiliary", auxiliary, persistent=False)
        places = [place for place, task in enumerate(tasks.values()) if not task.auxiliary]
        self.register_buffer("counting", torch.tensor(places, dtype=torch.int64), persistent=False)
        self.num_tasks = len(self.counting)
        """Of the tasks that count."""

    @property
    def one(self) -> bool:
        """Whether every present task's weight is always 1."""
        return False

    @abstractmethod
    def factors(self, losses: PerTask, present: Presence, gramian: Gramian | None = None) -> PerTask:
        """losses float64 [counting], present bool [counting], gramian of the unweighted losses' gradients float64
        [counting, counting] → factors float64 [counting], detached; those of absent tasks do not matter. What the method
        will remember of the step is planned, no more.
        """

    def weights(self, losses: PerTask, present: Presence, gramian: Gramian | None = None) -> PerTask:
        """The tasks' weights, float64 [tasks]; 0 for absent ones."""
        self.plan()
        own, there = self.counting, present[self.counting]
        factors = self.factors(losses[own], there, None if gramian is None else gramian[own][:, own])
        count = there.sum()
        mean = torch.where(there, factors, 0.0).sum() / count.clamp(min=1)
        found = torch.where(count > 0, mean.clamp(max=1.0), 1.0).repeat(len(losses)).index_copy(0, own, factors)
        return torch.where(present, self.declared * found, torch.zeros_like(found))

    def own_loss(self, losses: PerTask, present: Presence) -> Float64[Tensor, ""] | None:
        """The loss of parameters that the main optimizer learns for the method, if it has any: a scalar."""
        own = self.counting
        terms = self.own_terms(losses[own])
        return None if terms is None else (self.declared[own] * terms * present[own]).sum()

    def own_terms(self, losses: PerTask) -> PerTask | None:
        """What these parameters are to make small, of each task by itself: [counting]."""
        return None

    def parameter_group(self) -> dict[str, object] | None:
        """These parameters for the optimizer, if there are any."""
        return None

    @torch.no_grad()
    def after_step(
        self, before: PerTask, after: PerTask | None, present: Presence, made: Bool[Tensor, ""] | None = None
    ) -> None:
        """Learn from a step, if it was made (without `made` it was): the losses before it and, if asked for, of the same
        batch after it, float64 [tasks].
        """
        own = self.counting
        # A few numbers per task, changed in place.
        memory = [v for name, v in self.state_dict().items() if made is not None and not name.endswith("_extra_state")]
        values = [value.clone() for value in memory]
        self.learn(before[own], None if after is None else after[own], present[own])
        if made is not None:
            for value, old in zip(memory, values, strict=True):
                value.copy_(torch.where(made, value, old))
        self.settle(made)

    def learn(self, before: PerTask, after: PerTask | None, present: Presence) -> None:
        """As `after_step`, of the tasks that count and of a step that was made; in place. `step` is its number still."""

    def end_epoch(self) -> None:
        """An epoch is over."""


def shares(values: PerTask, known: Presence) -> PerTask:
    """The softmax over those that are known, 0 for others: [counting]."""
    return torch.where(known, torch.softmax(torch.where(known, values, -torch.inf), 0), 0.0)
