"""What is reached without looking at the images: what any task must do better than before it has learnt anything."""

from __future__ import annotations

import numpy as np

from mtl.data.loading.loader import Split, sequential
from mtl.tasks import Task
from mtl.tasks.base import Scorer
from mtl.yardstick import Yardstick

MOST_VALUES = 2**24
"""Values of targets that one answer is made of: some 4,000 maps of 64×64, some 300 of 224×224."""


def score_blind(tasks: dict[str, Task], split: Split, batch_size: int) -> dict[str, Scorer]:
    """Every task's scorer, filled with the best answers that do not look at the images of a split.

    They are made of the split's own targets: no answer that a model could have learnt by heart elsewhere is better on it,
    and a model that shows no more than its training's frequencies shows nothing. Tasks without a target there are left
    out.
    """
    truths = _truths(tasks, split, batch_size)
    answers = {name: task.blind(truths[name]) for name, task in tasks.items() if truths[name]}
    scorers = {name: tasks[name].scorer() for name in answers}
    for batch in sequential(split, batch_size):
        for name, scorer in scorers.items():
            tasks[name].derive(batch)
            scorer.add(tasks[name].blind_answers(answers[name], batch.draws), batch)
    return scorers


def yardsticks(tasks: dict[str, Task], split: Split, batch_size: int) -> dict[str, Yardstick]:
    """What each task's primary metric is measured by on a split; only of tasks that can be judged there."""
    found: dict[str, Yardstick] = {}
    for name, scorer in score_blind(tasks, split, batch_size).items():
        value = scorer.value()[tasks[name].primary]
        if np.isfinite(value):
            found[name] = yardstick(tasks[name], value)
    return found


def yardstick(task: Task, blind: float | None = None) -> Yardstick:
    """What a task's primary metric is measured by."""
    return Yardstick(task.directions[task.primary], task.units.get(task.primary, ""), blind)


def _truths(tasks: dict[str, Task], split: Split, batch_size: int) -> dict[str, list[np.ndarray]]:
    """Every task's targets, or as many, evenly over the split, as may be held at once."""
    found: dict[str, list[np.ndarray]] = {name: [] for name in tasks}
    seen = dict.fromkeys(tasks, 0)
    for batch in sequential(split, batch_size):
        for name, task in tasks.items():
            task.derive(batch)
            for truth in task.truths(batch):
                every = max(1, -(-len(split) * max(np.size(truth), 1) // MOST_VALUES))
                if seen[name] % every == 0:
                    found[name].append(truth)
                seen[name] += 1
    return found
