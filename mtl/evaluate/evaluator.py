"""Run a model over a split and collect every task's statistics."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from mtl.data.loader import Batch, Split, sequential
from mtl.tasks import Task
from mtl.tasks.base import Scorer


def _alone(value: Any) -> list[Any]:
    return [value]


def score(
    model: nn.Module,
    tasks: dict[str, Task],
    split: Split,
    batch_size: int,
    *,
    device: torch.device,
    rank: int = 0,
    world_size: int = 1,
    gather: Callable[[Any], list[Any]] = _alone,
) -> dict[str, Scorer]:
    """Every task's scorer, filled with the whole split in order.

    Several workers score a share each, and `gather` brings the rows together on all of them. In float32, as served.
    """
    scorers = {name: task.scorer() for name, task in tasks.items()}
    fill(scorers, model, tasks, sequential(split, batch_size, rank, world_size), device)
    shares = gather({name: scorer.rows for name, scorer in scorers.items()})
    for name, scorer in scorers.items():
        scorer.rows = [row for share in shares for row in share[name]]
    return scorers


@torch.inference_mode()
def fill(
    scorers: dict[str, Scorer], model: nn.Module, tasks: dict[str, Task], batches: Iterable[Batch], device: torch.device
) -> None:
    """Add what the model makes of some batches to the scorers of those tasks that have one."""
    training = model.training
    model.eval()
    for batch in batches:
        for task in tasks.values():
            task.derive(batch)
        moved = batch.to(device)
        outputs = model(moved.images, moved.views)
        for name, scorer in scorers.items():
            scorer.add(tasks[name].predict(outputs[name]), batch)
    model.train(training)


def overall(scorers: dict[str, Scorer], tasks: dict[str, Task]) -> float:
    """One number for early stopping, higher is better: the mean over the tasks that are not auxiliary.

    A metric that improves downwards counts as 1 / (1 + value).
    """
    parts: list[float] = []
    for name, task in tasks.items():
        if not task.config.auxiliary:
            value = scorers[name].value()[task.primary]
            parts.append(value if task.directions[task.primary] == "max" else 1 / (1 + value))
    return sum(parts) / len(parts)
