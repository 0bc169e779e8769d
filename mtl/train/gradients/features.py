"""The tasks' gradients compared at the shared features."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from mtl.data.loading.loader import Batch, Split
from mtl.precision import at_least_float32
from mtl.tasks import Task
from mtl.train.buckets import Buckets
from mtl.train.gradients.base import GradientMethod, Normaliser, Outcome


class FeatureGradients(GradientMethod):
    """The tasks' gradients are compared at the shared features.

    With several micro-batches the products of all must be known before any goes on: the features are computed twice.

    Gradients behind the cut travel while the last backward pass goes on from there, and those before it bucket by bucket as it
    has them. The products themselves are few numbers, which all that follows waits for.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        after = list(self.model.after_cut())
        behind = {id(parameter) for parameter in after}
        self._after = Buckets(self.world, after)
        self._before = Buckets(self.world, [p for p in self.model.parameters() if id(p) not in behind])

    def compute(self, batches: Sequence[Batch]) -> Outcome:
        norm, weighting = self.normaliser(batches), self.objective.weighting
        entangled = self.model.sharing.entangled
        ones = norm.present.double()
        once = len(batches) == 1
        # Parameters after the cut that several tasks train need the weights before the backward pass.
        early = weighting.weights(self.known_losses(batches, norm), norm.present) if entangled else ones
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
            if micro < len(batches) - 1:
                cut.go_on(coefficients * rows)
                continue
            if not entangled:
                self.weigh(weights)
            self._after.begin()
            with self._before.during():
                cut.go_on(coefficients * rows)
            self._after.end()
        return Outcome(losses, norm.present, weights, coefficients, gramian, local)

    def _cut(
        self, micro: int, batch: Batch, norm: Normaliser, row_weights: Float64[Tensor, " tasks"], *, heads: bool
    ) -> _Cut:
        """Forward, and backward through the heads as far as the features."""
        self.reseed(micro)
        with self.autocast(), torch.set_grad_enabled(heads):
            features = self.model.shared(batch.images, batch.views)
        leaves = [f.detach().requires_grad_() for f in features]
        with self.autocast():
            outputs = self.model.specific(leaves, self.model.rows(batch.images, batch.views), self.mine)
        local = self.local_losses(outputs, batch, norm)
        after = [p for p in self.model.after_cut() if p.requires_grad] if heads else []
        gradients: list[list[Tensor]] = []
        for number, loss in enumerate(local):
            if loss.requires_grad:
                weighted = loss * row_weights[number].to(loss)
                weighted.backward(inputs=[*leaves, *after], retain_graph=self.model.sharing.entangled)
            gradients.append([torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for leaf in leaves])
            for leaf in leaves:
                leaf.grad = None
        return _Cut(list(features), gradients, torch.stack(local).detach().double())


@dataclass
class _Cut:
    """Features with their graph, and each task's gradients at them: [tasks][features]."""

    features: list[Tensor]
    gradients: list[list[Tensor]]
    local: Float64[Tensor, " tasks"]

    def gramian(self) -> Float64[Tensor, "tasks tasks"]:
        """Of this worker's samples."""
        size = len(self.gradients)
        found = torch.zeros(size, size, dtype=torch.float64, device=self.local.device)
        for place in range(len(self.features)):
            rows = torch.stack([at_least_float32(task[place]).flatten() for task in self.gradients])
            found += (rows @ rows.T).double()
        return found

    def go_on(self, coefficients: Float64[Tensor, " tasks"]) -> None:
        """The backward pass from the features on."""
        starts: list[Tensor] = []
        sums: list[Tensor] = []
        for place, feature in enumerate(self.features):
            if feature.requires_grad:
                starts.append(feature)
                parts = (c * task[place] for c, task in zip(coefficients, self.gradients, strict=True))
                sums.append(sum(parts, torch.zeros_like(feature)))
        if starts:
            torch.autograd.backward(starts, sums)


def never_met(split: Split, tasks: Iterable[Task]) -> list[tuple[str, str]]:
    """Pairs of tasks without an image that both learn from, auxiliary ones left out.

    At the features each one's gradient is zero where the other's images are: their product is zero, and aggregators see
    no conflict, whatever the two want of the shared parameters.
    """
    there: dict[str, np.ndarray] = {}
    for task in tasks:
        if not task.config.auxiliary:
            everywhere = np.full(len(split), not task.view)
            there[task.name] = split.present(task.target_name) if task.kind else everywhere
    return [(one, other) for one, other in combinations(there, 2) if not (there[one] & there[other]).any()]
