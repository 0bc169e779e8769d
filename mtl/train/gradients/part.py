"""What a step computes of one task beside the network."""

from __future__ import annotations

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from mtl.data.loading.loader import Batch
from mtl.tasks import Task

INITIAL_WEIGHT = 0.5
"""Of the loss of a task's initial prediction, where a sharing makes two (PAD-Net supervises both)."""


class TaskPart:
    """One task's counts and its loss: functions of tensors alone, so that each can be one graph of a compiled training."""

    def __init__(self, task: Task) -> None:
        self.task = task

    def counts(self, batch: Batch) -> Float64[Tensor, " counts"]:
        """This worker's images that have something to learn from, then the targets of each term of the loss."""
        numbers = [self.task.num_present(batch), *self.task.target_counts(batch)]
        return torch.stack([number.double() for number in numbers])

    def loss(
        self,
        output: Float[Tensor, "n ..."],
        early: Float[Tensor, "n ..."] | None,
        batch: Batch,
        scales: Float64[Tensor, " terms"],
    ) -> Float[Tensor, ""]:
        """This worker's part of the global loss: a scalar with its graph.

        Args:
            early: the initial prediction, where a sharing makes two.
            scales: what the sum of each term is multiplied by.
        """
        terms = self.task.loss_terms(output, batch)
        if early is not None:
            terms = [a + INITIAL_WEIGHT * b for a, b in zip(terms, self.task.loss_terms(early, batch), strict=True)]
        return torch.stack(terms) @ scales.to(terms[0])
