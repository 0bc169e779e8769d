"""Weighting and aggregator together: from the tasks' global losses and gradients to one gradient."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor, nn

from mtl.config.objective import AggregatorSection, ObjectiveConfig
from mtl.config.tasks import TaskConfig
from mtl.objective.aggregator import Aggregator, Gradient, GramianAggregator, JacobianAggregator
from mtl.objective.jacobian import weigh_into_first
from mtl.objective.weighting import WEIGHTINGS


class Objective(nn.Module):
    """What `objective:` describes. All memory is in `state_dict`; every worker computes the same.

    Auxiliary tasks stay out of weighting and aggregation: their weighted gradients are added to the result, so that they
    can neither veto a direction nor be balanced against the tasks that count.

    Weights, coefficients and gradients are computed without a trace: what the methods remember changes in `after_step`,
    which is not called for a step that is left out.
    """

    def __init__(self, config: ObjectiveConfig, tasks: Mapping[str, TaskConfig], seed: int = 0) -> None:
        super().__init__()
        self.config = config
        self.weighting = WEIGHTINGS[config.weighting.type](config.weighting, tasks, seed)
        self.aggregator: Aggregator[AggregatorSection] | None = None
        if config.aggregator.type != "sum":
            # torchjd brings convex solvers along: three seconds that a plain sum need not wait for.
            from mtl.objective.aggregation import AGGREGATORS

            num_tasks = self.weighting.num_tasks
            self.aggregator = AGGREGATORS[config.aggregator.type](config.aggregator, num_tasks, seed)

    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **options: Any) -> Any:
        """Take over a saved state."""
        if self.aggregator is not None:
            prefix = "aggregator."
            own = {k.removeprefix(prefix): v for k, v in state_dict.items() if k.startswith(prefix)}
            self.aggregator.prepare_load(own)
        return super().load_state_dict(state_dict, *args, **options)

    def coefficients(
        self, gramian: Float64[Tensor, "tasks tasks"], present: Bool[Tensor, " tasks"]
    ) -> Float64[Tensor, " tasks"]:
        """What each task's weighted gradient is multiplied by before they are summed: float64 [tasks].

        Args:
            gramian: of the weighted losses' gradients, float64 [tasks, tasks].
        """
        found, own = present.double(), self.weighting.counting
        if isinstance(self.aggregator, GramianAggregator):
            with self.aggregator.drawing():
                factors = self.aggregator.coefficients(gramian[own][:, own], present[own])
            found = found.index_copy(0, own, torch.where(present[own], factors, 0.0))
        return found

    def combine(
        self,
        jacobian: Float[Tensor, "tasks parameters"],
        weights: Float64[Tensor, " tasks"],
        gramian: Float64[Tensor, "tasks tasks"],
        present: Bool[Tensor, " tasks"],
    ) -> tuple[Gradient, Float64[Tensor, " tasks"]]:
        """One gradient [parameters], and the coefficients.

        Args:
            jacobian: of the unweighted losses, [tasks, parameters]; it may be changed.
            gramian: its own, float64.
        """
        if not isinstance(self.aggregator, JacobianAggregator):
            coefficients = self.coefficients(weights[:, None] * gramian * weights, present)
            return weigh_into_first(coefficients * weights, jacobian), coefficients
        if not self.weighting.one:
            jacobian *= weights.to(jacobian)[:, None]
        own = self.weighting.counting
        aggregated = jacobian if len(own) == len(jacobian) else jacobian[own]
        beside = None
        if aggregated is not jacobian:
            beside = weigh_into_first((present & self.weighting.auxiliary).double(), jacobian)
        with self.aggregator.drawing():
            found = self.aggregator.combine(aggregated, present[own])
        return found if beside is None else beside.add_(found), present.double()

    def after_step(
        self,
        before: Float64[Tensor, " tasks"],
        after: Float64[Tensor, " tasks"] | None,
        present: Bool[Tensor, " tasks"],
        made: Bool[Tensor, ""] | None = None,
    ) -> None:
        """A step is over, and the methods learn from it if it was made; without `made` it was."""
        self.weighting.after_step(before, after, present, made)
        if self.aggregator is not None:
            self.aggregator.end_step(made)
