"""Run a model over a split and collect every task's statistics."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import nn

from mtl.data.loading.loader import CPU, Batch, Split, sequential
from mtl.errors import TrainingError
from mtl.tasks import Task
from mtl.tasks.base import Scorer
from mtl.yardstick import Yardstick


def _alone(value: object) -> list[object]:
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

    Raises:
        TrainingError: the model gives something that is not finite; on all workers.
    """
    scorers = {name: task.scorer() for name, task in tasks.items()}
    bad = fill(scorers, model, tasks, sequential(split, batch_size, rank, world_size, device), device)
    shares = gather((bad, {name: scorer.rows for name, scorer in scorers.items()}))
    refuse_not_finite({name: [i for bad, _ in shares for i in bad.get(name, [])] for name in tasks})
    for name, scorer in scorers.items():
        scorer.rows = [row for _, share in shares for row in share[name]]
    return scorers


def refuse_not_finite(bad: Mapping[str, list[str]]) -> None:
    """Raise TrainingError if a task has samples here, whose answers are not finite: they would be left out of its metrics,
    which would look better for it.
    """
    named = {name: ids for name, ids in bad.items() if ids}
    if named:
        name, ids = next(iter(named.items()))
        shown = ", ".join(ids[:8]) + (f" and {len(ids) - 8} more" if len(ids) > 8 else "")
        raise TrainingError(
            f"what the model says for {', '.join(named)} is not finite",
            found=f"{name}: on {shown}",
            fix="lower train.learning_rate or set train.clip_norm; look at these samples",
        )


@torch.inference_mode()
def fill(
    scorers: dict[str, Scorer], model: nn.Module, tasks: dict[str, Task], batches: Iterable[Batch], device: torch.device
) -> dict[str, list[str]]:
    """Add what the model makes of some batches to the scorers of those tasks that have one.

    Returns:
        Task → ids of samples for which its output is not finite.
    """
    training = model.training
    bad: dict[str, list[str]] = {}
    model.eval()
    for batch in batches:
        moved = batch.to(device)
        for task in tasks.values():
            task.derive(moved)
        here = moved.to(CPU)
        outputs = model(moved.images, moved.views)
        for name, scorer in scorers.items():
            finite = torch.isfinite(outputs[name].reshape(len(batch.ids), -1)).all(1).tolist()
            bad.setdefault(name, []).extend(i for i, good in zip(batch.ids, finite, strict=True) if not good)
            scorer.add(tasks[name].predict(outputs[name]), here)
    model.train(training)
    return bad


def overall(
    scorers: Mapping[str, Scorer], tasks: Mapping[str, Task], yardsticks: Mapping[str, Yardstick] | None = None
) -> float:
    """One number for early stopping, from -1 to 1, higher is better: the mean skill of the tasks that are not auxiliary.

    Skill is 0 for the best answer that does not look at the image and 1 for perfection, whatever the metric and its unit,
    and a task counts no more than another. Without `yardsticks` a share counts as it is, an error (whose unit has no
    scale) not at all.

    Args:
        yardsticks: of the tasks that can be judged on these samples; others are left out.

    Returns:
        NaN if no task can be judged.
    """
    skills: list[float] = []
    for name, task in tasks.items():
        yard = Yardstick(task.directions[task.primary]) if yardsticks is None else yardsticks.get(name)
        if yard is not None and not task.config.auxiliary:
            found = yard.skill(scorers[name].value()[task.primary])
            if not math.isnan(found):
                skills.append(found)
            elif yardsticks is not None:
                skills.append(-1.0)  # what cannot be computed where there are targets is as bad as can be
    return sum(skills) / len(skills) if skills else math.nan
